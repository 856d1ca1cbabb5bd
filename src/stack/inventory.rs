//! What of the stack exists, found by name: there is no state file to be wrong.

use std::collections::BTreeMap;

use futures::future::{join_all, try_join_all};

use super::Stack;
use crate::aws::Aws;
use crate::error::{Error, Result};
use crate::names::{Names, ResourceKind};
use crate::resources::{Found, Presence, bucket, instance_profile, not_ours, queue, role, topic};
use crate::task;

/// Everything of the stack that exists, with its settings.
#[derive(Debug, Clone, Default)]
pub struct Inventory(pub BTreeMap<ResourceKind, Found>);

impl Inventory {
    /// Asks for all kinds at once.
    pub async fn list(aws: &Aws, names: &Names) -> Result<Self> {
        let all = ResourceKind::STACK.map(|kind| {
            let (aws, names) = (aws.clone(), names.clone());
            task::start(async move {
                let found = find(&aws, &names, kind).await;
                found.map(|found| (kind, found))
            })
        });
        let found = try_join_all(all).await?;
        Ok(Self(
            found
                .into_iter()
                .filter_map(|(kind, found)| Some((kind, found?)))
                .collect(),
        ))
    }
}

async fn find(aws: &Aws, names: &Names, kind: ResourceKind) -> Result<Option<Found>> {
    let name = names.of(kind);
    match kind {
        ResourceKind::InputBucket | ResourceKind::OutputBucket => {
            Box::pin(bucket::find(aws, &name)).await
        }
        ResourceKind::InputQueue | ResourceKind::OutputQueue | ResourceKind::FailedQueue => {
            queue::find(aws, &name).await
        }
        ResourceKind::Role => role::find(aws, &name).await,
        ResourceKind::InstanceProfile => instance_profile::find(aws, &name).await,
        ResourceKind::Topic => topic::find(aws, &names.topic_arn()).await,
        _ => Ok(None),
    }
}

/// What exists and whose it is, without settings: half the calls.
#[derive(Debug, Clone, Default)]
pub struct Presences(BTreeMap<ResourceKind, Presence>);

impl Presences {
    /// # Errors
    /// A thing that has our name but not our tag.
    pub async fn look(aws: &Aws, names: &Names) -> Result<Self> {
        let mut presences = Self::default();
        for (kind, presence) in Self::look_at_each(aws, names).await {
            if let Some(presence) = presence? {
                presences.insert(kind, presence);
            }
        }
        for (kind, presence) in &presences.0 {
            if !presence.belongs_to(&names.stack, &names.region) {
                let (what, name) = (kind.to_string(), names.of(*kind));
                return Err(not_ours(&what, &name, &names.stack, presence));
            }
        }
        Ok(presences)
    }

    /// Looks at each kind by itself: one that cannot be looked at hides no other. Also finds what
    /// has our name but not our tag.
    pub async fn look_at_each(
        aws: &Aws,
        names: &Names,
    ) -> Vec<(ResourceKind, Result<Option<Presence>>)> {
        Self::look_at_some(aws, names, &ResourceKind::STACK).await
    }

    /// The same for some of the kinds.
    pub async fn look_at_some(
        aws: &Aws,
        names: &Names,
        kinds: &[ResourceKind],
    ) -> Vec<(ResourceKind, Result<Option<Presence>>)> {
        let all = kinds
            .iter()
            .copied()
            .map(|kind| async move { (kind, Self::look_at(aws, names, kind).await) });
        join_all(all).await
    }

    /// Looks at one kind.
    pub async fn look_at(aws: &Aws, names: &Names, kind: ResourceKind) -> Result<Option<Presence>> {
        let name = names.of(kind);
        match kind {
            ResourceKind::InputBucket | ResourceKind::OutputBucket => {
                bucket::look(aws, &name).await
            }
            ResourceKind::InputQueue | ResourceKind::OutputQueue | ResourceKind::FailedQueue => {
                queue::look(aws, &name).await
            }
            ResourceKind::Role => role::look(aws, &name).await,
            ResourceKind::InstanceProfile => instance_profile::look(aws, &name).await,
            ResourceKind::Topic => topic::look(aws, &names.topic_arn()).await,
            _ => Ok(None),
        }
    }

    pub fn contains(&self, kind: ResourceKind) -> bool {
        self.0.contains_key(&kind)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&ResourceKind, &Presence)> {
        self.0.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The thing's id, learned by creating it.
    pub(super) fn insert(&mut self, kind: ResourceKind, presence: Presence) {
        self.0.insert(kind, presence);
    }

    /// # Errors
    /// If a part is missing (the topic may be).
    pub fn stack(&self, names: &Names) -> Result<Stack> {
        let id = |kind: ResourceKind| {
            self.0
                .get(&kind)
                .map(|presence| presence.id.clone())
                .ok_or_else(|| {
                    Error::failed(format!("{kind} {} is missing", names.of(kind)))
                        .hint(super::up_hint(names))
                })
        };
        Ok(Stack {
            input_bucket: id(ResourceKind::InputBucket)?,
            output_bucket: id(ResourceKind::OutputBucket)?,
            input_queue_url: id(ResourceKind::InputQueue)?,
            output_queue_url: id(ResourceKind::OutputQueue)?,
            failed_queue_url: id(ResourceKind::FailedQueue)?,
            role_arn: id(ResourceKind::Role)?,
            instance_profile_name: id(ResourceKind::InstanceProfile)?,
            topic_arn: id(ResourceKind::Topic).ok(),
        })
    }
}

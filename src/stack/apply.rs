//! Carries a plan out: everything at once that does not need another thing first.
//!
//! The only orders there are: the dead-letter queue before the input queue that names it; role and
//! profile before the role is put into the profile; role before its policy. Everything else
//! names what it refers to by derived ARNs, which need not exist yet.

use std::sync::Arc;

use serde::Serialize;

use super::Stack;
use super::desired::desired;
use super::inventory::{Inventory, Presences};
use super::plan::{Action, Change, Plan, Step, plan};
use super::tagging;
use crate::cloud::Cloud;
use crate::error::Result;
use crate::event::{Event, Outcome};
use crate::names::ResourceKind;
use crate::resources::{Attributes, Presence, bucket, instance_profile, queue, role, topic};
use crate::task;

/// What became of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Applied {
    pub kind: ResourceKind,
    pub name: String,
    pub outcome: Outcome,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
}

/// A stack that is up, and what was done for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Up {
    pub stack: Stack,
    pub resources: Vec<Applied>,
}

/// What [`up`] would do.
pub async fn planned(cloud: &Cloud) -> Result<Plan> {
    let inventory = Inventory::list(&cloud.aws, &cloud.names).await?;
    let desired = desired(
        &cloud.config,
        &cloud.names,
        &inventory,
        cloud.lifetime(),
        cloud.aws.is_encrypted(),
    )?;
    plan(&cloud.names, desired, &inventory)
}

/// Plans and carries it out.
///
/// # Errors
/// The first thing that failed; further ones are told as warnings. Everything that could be made
/// is made, so that the next `up` has less to do.
pub async fn up(cloud: &Cloud) -> Result<Up> {
    let plan = planned(cloud).await?;
    let run = Run {
        cloud: cloud.clone(),
        plan: Arc::new(plan),
    };
    let plan = &run.plan;
    let each = || run.clone();
    let (input_bucket, output_bucket, queues, output_queue, worker, topic) = tokio::join!(
        task::start(each().bucket(ResourceKind::InputBucket)),
        task::start(each().bucket(ResourceKind::OutputBucket)),
        task::start(each().input_queues()),
        task::start(each().queue(ResourceKind::OutputQueue)),
        task::start(each().role_and_profile()),
        task::start(each().topic()),
    );
    let (failed_queue, input_queue) = queues;
    let (role, profile) = worker;
    let all = [
        input_bucket,
        output_bucket,
        input_queue,
        output_queue,
        failed_queue,
        role,
        profile,
        topic,
    ];
    let mut presences = Presences::default();
    let mut errors = Vec::new();
    for (kind, result) in ResourceKind::STACK.into_iter().zip(all) {
        match result {
            Ok(Some(presence)) => presences.insert(kind, presence),
            Ok(None) => {}
            Err(error) => errors.push(error),
        }
    }
    let mut errors = errors.into_iter();
    if let Some(first) = errors.next() {
        for other in errors {
            cloud.events.warn(other.chain());
        }
        return Err(first);
    }
    let resources = plan.steps.iter().map(applied).collect();
    Ok(Up {
        stack: presences.stack(&cloud.names)?,
        resources,
    })
}

fn applied(step: &Step) -> Applied {
    let (outcome, changes) = match &step.action {
        Action::Create => (Outcome::Created, Vec::new()),
        Action::Change(changes) => (Outcome::Changed, changes.clone()),
        Action::Keep => (Outcome::Kept, Vec::new()),
    };
    Applied {
        kind: step.kind,
        name: step.name.clone(),
        outcome,
        changes,
    }
}

/// A thing that is there now, or `None` if the plan has none of this kind.
type Done = Result<Option<Presence>>;

#[derive(Clone)]
struct Run {
    cloud: Cloud,
    plan: Arc<Plan>,
}

impl Run {
    /// The dead-letter queue, and then the queue that names it.
    async fn input_queues(self) -> (Done, Done) {
        match self.clone().queue(ResourceKind::FailedQueue).await {
            Ok(failed) => (Ok(failed), self.queue(ResourceKind::InputQueue).await),
            // Only one thing failed: that the other waits for it is no second failure.
            Err(error) => (Err(error), Ok(None)),
        }
    }

    /// Tells what became of a thing, and passes on what is there now.
    fn tell(&self, step: &Step, id: String) -> Presence {
        let applied = applied(step);
        let detail = match applied.changes.as_slice() {
            [] => None,
            changes => Some(
                changes
                    .iter()
                    .map(Change::brief)
                    .collect::<Vec<_>>()
                    .join(", "),
            ),
        };
        let Applied {
            kind,
            name,
            outcome,
            ..
        } = applied;
        self.cloud.events.emit(Event::Resource {
            kind,
            name,
            outcome,
            detail,
        });
        let tags = step.tags.clone();
        Presence { id, tags }
    }

    /// Brings the tags of what was there before up to date, its end among them.
    async fn retag(&self, step: &Step) -> Result<()> {
        match &step.presence {
            Some(presence) => tagging::write(&self.cloud, step.kind, presence, &step.tags).await,
            None => Ok(()),
        }
    }

    async fn bucket(self, kind: ResourceKind) -> Done {
        let Some(step) = self.plan.step(kind) else {
            return Ok(None);
        };
        let aws = &self.cloud.aws;
        match &step.action {
            Action::Create => {
                let stack = &self.cloud.names.stack;
                bucket::create(aws, &step.name, stack, &tags(step), &step.attributes).await?;
            }
            Action::Change(changes) => {
                let wanted = wanted(changes);
                let set = bucket::set(aws, &step.name, &wanted);
                both(set, self.retag(step)).await?;
            }
            Action::Keep => self.retag(step).await?,
        }
        Ok(Some(self.tell(step, step.name.clone())))
    }

    async fn queue(self, kind: ResourceKind) -> Done {
        let Some(step) = self.plan.step(kind) else {
            return Ok(None);
        };
        let (aws, events) = (&self.cloud.aws, &self.cloud.events);
        let url = match (&step.action, &step.presence) {
            (Action::Create, _) | (_, None) => {
                let stack = &self.cloud.names.stack;
                queue::create(
                    aws,
                    &step.name,
                    stack,
                    &tags(step),
                    &step.attributes,
                    events,
                )
                .await?
            }
            (Action::Change(changes), Some(presence)) => {
                let wanted = wanted(changes);
                let set = queue::set(aws, &step.name, &presence.id, &wanted);
                both(set, self.retag(step)).await?;
                presence.id.clone()
            }
            (Action::Keep, Some(presence)) => {
                self.retag(step).await?;
                presence.id.clone()
            }
        };
        Ok(Some(self.tell(step, url)))
    }

    async fn role_and_profile(self) -> (Done, Done) {
        let (role, profile) = (
            self.plan.step(ResourceKind::Role),
            self.plan.step(ResourceKind::InstanceProfile),
        );
        let (Some(role), Some(profile)) = (role, profile) else {
            return (Ok(None), Ok(None));
        };
        let (made_role, made_profile) =
            tokio::join!(self.make_role(role), self.make_profile(profile));
        let (arn, ()) = match (made_role, made_profile) {
            (Ok(arn), Ok(())) => (arn, ()),
            (role, profile) => return (role.map(|_| None), profile.map(|()| None)),
        };
        let (role_set, profile_set) = tokio::join!(
            both(self.set_role(role), self.retag(role)),
            both(self.fill_profile(profile), self.retag(profile)),
        );
        (
            role_set.map(|()| Some(self.tell(role, arn))),
            profile_set.map(|()| Some(self.tell(profile, profile.name.clone()))),
        )
    }

    async fn make_role(&self, step: &Step) -> Result<String> {
        if let Some(presence) = &step.presence {
            return Ok(presence.id.clone());
        }
        let (names, tags) = (&self.cloud.names, tags(step));
        let trust = step.attributes.get(role::TRUST).map_or("", String::as_str);
        role::create(
            &self.cloud.aws,
            &step.name,
            &names.stack,
            &names.iam_path(),
            &tags,
            trust,
        )
        .await
    }

    async fn set_role(&self, step: &Step) -> Result<()> {
        let attributes = match &step.action {
            // The trust policy went with the creation.
            Action::Create => {
                let mut all = step.attributes.clone();
                all.remove(role::TRUST);
                all
            }
            Action::Change(changes) => wanted(changes),
            Action::Keep => return Ok(()),
        };
        role::set(&self.cloud.aws, &step.name, &attributes).await
    }

    async fn make_profile(&self, step: &Step) -> Result<()> {
        if step.presence.is_some() {
            return Ok(());
        }
        let (names, tags) = (&self.cloud.names, tags(step));
        let path = names.iam_path();
        instance_profile::create(&self.cloud.aws, &step.name, &names.stack, &path, &tags).await
    }

    async fn fill_profile(&self, step: &Step) -> Result<()> {
        match (&step.action, step.attributes.get(instance_profile::ROLE)) {
            (Action::Keep, _) | (_, None) => Ok(()),
            (_, Some(role)) => instance_profile::set_role(&self.cloud.aws, &step.name, role).await,
        }
    }

    async fn topic(self) -> Done {
        let Some(step) = self.plan.step(ResourceKind::Topic) else {
            return Ok(None);
        };
        let (aws, names) = (&self.cloud.aws, &self.cloud.names);
        let arn = names.topic_arn();
        if step.action == Action::Create {
            topic::create(aws, &step.name, &arn, &names.stack, &tags(step)).await?;
        }
        self.retag(step).await?;
        let list = |text: Option<&String>| -> Vec<String> {
            text.map(|text| text.split(',').map(str::to_owned).collect())
                .unwrap_or_default()
        };
        let had = match &step.action {
            Action::Change(changes) => match subscribers(changes) {
                Some(change) => list(change.old.as_ref()),
                None => list(step.attributes.get(topic::SUBSCRIBERS)),
            },
            Action::Keep => list(step.attributes.get(topic::SUBSCRIBERS)),
            Action::Create => Vec::new(),
        };
        let all = list(step.attributes.get(topic::SUBSCRIBERS));
        let new: Vec<&str> = all
            .iter()
            .filter(|address| !had.contains(address))
            .map(String::as_str)
            .collect();
        topic::subscribe(aws, &arn, &new).await?;
        for address in &new {
            self.cloud
                .events
                .note(format!("{address} gets a mail from AWS to confirm"));
        }
        Ok(Some(self.tell(step, arn)))
    }
}

fn subscribers(changes: &[Change]) -> Option<&Change> {
    changes
        .iter()
        .find(|change| change.attribute == topic::SUBSCRIBERS)
}

fn tags(step: &Step) -> Vec<(String, String)> {
    step.tags.clone().into_iter().collect()
}

/// Both beside each other; the first error in this order.
async fn both(
    one: impl Future<Output = Result<()>>,
    other: impl Future<Output = Result<()>>,
) -> Result<()> {
    let (one, other) = tokio::join!(one, other);
    one.and(other)
}

/// The attributes to set. What shall not be set at all is named with an empty text.
fn wanted(changes: &[Change]) -> Attributes {
    changes
        .iter()
        .filter(|change| !tagging::is_tag(change.attribute))
        .map(|change| (change.attribute, change.new.clone().unwrap_or_default()))
        .collect()
}

//! Everything of a stack that exists, of every kind, with counts: what a teardown shows, deletes
//! and looks for afterwards.

use std::collections::BTreeMap;
use std::time::Instant;

use futures::future::join_all;
use serde::Serialize;

use super::inventory::Presences;
use crate::cloud::Cloud;
use crate::error::{Error, Result};
use crate::names::ResourceKind;
use crate::resources::bucket_contents::{self, Contents};
use crate::resources::image::Image;
use crate::resources::instance::Instance;
use crate::resources::queue::{self, Depth};
use crate::resources::snapshot::Snapshot;
use crate::resources::volume::Volume;
use crate::resources::{Presence, image, instance, snapshot, volume};
use crate::task;

/// One thing of the stack, for people and for `--json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Thing {
    pub kind: ResourceKind,
    /// Name or id.
    pub name: String,
    /// Of an instance, image, snapshot or volume: its state in EC2's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Of a bucket.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub contents: Option<Contents>,
    /// Of a queue: messages visible and in flight, approximately.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<u64>,
}

impl Thing {
    fn named(kind: ResourceKind, name: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.into(),
            state: None,
            contents: None,
            messages: None,
        }
    }
}

/// What a teardown leaves alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DownOptions {
    /// Both buckets with all objects.
    pub keep_data: bool,
    /// The images with their snapshots.
    pub keep_image: bool,
    /// All that has a fixed name, buckets and queues among it: only what computes goes.
    pub keep_stack: bool,
}

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depths {
    /// Also count objects, bytes and messages: for showing.
    Counted,
    /// Only what is there.
    Bare,
}

/// What exists of a stack.
#[derive(Debug, Default)]
pub struct Survey {
    pub instances: Vec<Instance>,
    pub volumes: Vec<Volume>,
    pub images: Vec<Image>,
    /// Only those that belong to no image of the stack.
    pub snapshots: Vec<Snapshot>,
    /// Only what carries our tag.
    pub named: BTreeMap<ResourceKind, Presence>,
    /// Has our name but not our tag: never touched.
    pub foreign: Vec<ResourceKind>,
    pub contents: BTreeMap<ResourceKind, Contents>,
    pub depths: BTreeMap<ResourceKind, Depth>,
    /// What could not be looked at.
    pub errors: Vec<Error>,
    /// When the instances were listed; `None` if they couldn't be.
    pub instances_seen: Option<Instant>,
}

/// Is this kind left alone?
pub fn keeps(options: DownOptions, kind: ResourceKind) -> bool {
    match kind {
        ResourceKind::InputBucket | ResourceKind::OutputBucket => {
            options.keep_data || options.keep_stack
        }
        ResourceKind::Image | ResourceKind::Snapshot => options.keep_image,
        _ => options.keep_stack && ResourceKind::STACK.contains(&kind),
    }
}

/// What is in a thing.
enum Count {
    Contents(Contents),
    Depth(Depth),
}

/// One thing with a fixed name: whether it is there, and what is in it if that was asked for.
struct Looked {
    kind: ResourceKind,
    presence: Result<Option<Presence>>,
    count: Option<Result<Count>>,
}

/// What is counted is counted beside the look, by the derived name, so that it takes no longer. The
/// count of a thing that turns out not to be ours is dropped.
async fn look_at(cloud: Cloud, kind: ResourceKind, depths: Depths) -> Looked {
    let (aws, names) = (&cloud.aws, &cloud.names);
    let name = names.of(kind);
    let (presence, count) = match (depths, kind) {
        (Depths::Counted, ResourceKind::InputBucket | ResourceKind::OutputBucket) => {
            let (presence, count) = tokio::join!(
                Presences::look_at(aws, names, kind),
                bucket_contents::count(aws, &name)
            );
            (presence, Some(count.map(Count::Contents)))
        }
        (
            Depths::Counted,
            ResourceKind::InputQueue | ResourceKind::OutputQueue | ResourceKind::FailedQueue,
        ) => match queue::look_and_count(aws, &name).await {
            Ok(Some((presence, depth))) => {
                let depth = depth.transpose();
                (
                    Ok(Some(presence)),
                    depth.map(|depth| depth.map(Count::Depth)),
                )
            }
            Ok(None) => (Ok(None), None),
            Err(error) => (Err(error), None),
        },
        _ => (Presences::look_at(aws, names, kind).await, None),
    };
    Looked {
        kind,
        presence,
        count,
    }
}

impl Survey {
    /// Looks at everything at once. Never fails: what could not be seen is in `errors`.
    pub async fn take(cloud: &Cloud, depths: Depths) -> Self {
        let (aws, names) = (&cloud.aws, &cloud.names);
        let mut survey = Self::default();
        let with_names =
            ResourceKind::STACK.map(|kind| task::start(look_at(cloud.clone(), kind, depths)));
        let instances = async {
            let instances = instance::list_live(aws, &names.stack).await;
            (instances, Instant::now())
        };
        let ((instances, seen), volumes, images, snapshots, looks) = tokio::join!(
            instances,
            volume::list(aws, &names.stack),
            image::list(aws, &names.stack),
            snapshot::list(aws, &names.stack),
            join_all(with_names),
        );
        survey.instances_seen = instances.is_ok().then_some(seen);
        survey.instances = survey.or_none(instances);
        survey.volumes = survey.or_none(volumes);
        survey.images = survey.or_none(images);
        survey.snapshots = survey.or_none(snapshots);
        let of_images: Vec<&String> = survey
            .images
            .iter()
            .flat_map(|image| &image.snapshots)
            .collect();
        survey
            .snapshots
            .retain(|snapshot| !of_images.contains(&&snapshot.id));
        for looked in looks {
            survey.add(cloud, looked);
        }
        survey
    }

    fn or_none<T>(&mut self, listed: Result<Vec<T>>) -> Vec<T> {
        listed.unwrap_or_else(|error| {
            self.errors.push(error);
            Vec::new()
        })
    }

    fn add(&mut self, cloud: &Cloud, looked: Looked) {
        let kind = looked.kind;
        match looked.presence {
            Ok(Some(presence)) => {
                if !presence.belongs_to(&cloud.names.stack, &cloud.names.region) {
                    self.foreign.push(kind);
                    return;
                }
                self.named.insert(kind, presence);
            }
            Ok(None) => return,
            Err(error) => {
                self.errors.push(error);
                return;
            }
        }
        match looked.count {
            Some(Ok(Count::Contents(contents))) => {
                self.contents.insert(kind, contents);
            }
            Some(Ok(Count::Depth(depth))) => {
                self.depths.insert(kind, depth);
            }
            Some(Err(error)) => self.errors.push(error),
            None => {}
        }
    }

    /// Everything that is there, in the order in which it is deleted.
    pub fn things(&self, cloud: &Cloud) -> Vec<Thing> {
        let mut things = Vec::new();
        for instance in &self.instances {
            let builder = instance.kind() == Some(ResourceKind::Builder.as_str());
            let kind = if builder {
                ResourceKind::Builder
            } else {
                ResourceKind::Worker
            };
            let state = format!("{}, {}", instance.state, instance.instance_type);
            things.push(Thing {
                state: Some(state),
                ..Thing::named(kind, &instance.id)
            });
        }
        for volume in &self.volumes {
            let state = format!("{}, {} GiB", volume.state, volume.size);
            let thing = Thing::named(ResourceKind::Volume, &volume.id);
            things.push(Thing {
                state: Some(state),
                ..thing
            });
        }
        for image in &self.images {
            let thing = Thing::named(
                ResourceKind::Image,
                format!("{} ({})", image.id, image.name),
            );
            things.push(Thing {
                state: Some(image.state.clone()),
                ..thing
            });
        }
        for snapshot in &self.snapshots {
            let thing = Thing::named(ResourceKind::Snapshot, &snapshot.id);
            things.push(Thing {
                state: Some(snapshot.state.clone()),
                ..thing
            });
        }
        for kind in self.named.keys() {
            things.push(Thing {
                contents: self.contents.get(kind).copied(),
                messages: self
                    .depths
                    .get(kind)
                    .map(|depth| depth.visible + depth.in_flight),
                ..Thing::named(*kind, cloud.names.of(*kind))
            });
        }
        things
    }
}

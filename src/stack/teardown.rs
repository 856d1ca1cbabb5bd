//! The end of a stack: everything in the safe order, past errors, and then a second look, because
//! success means listed again and absent.

use std::time::{Duration, Instant};

use futures::future::join_all;
use muck_worker::text::quantity;
use serde::Serialize;

use super::confirmation::Confirmed;
use super::survey::{Depths, DownOptions, Survey, Thing, keeps};
use crate::cloud::Cloud;
use crate::error::{Error, Result};
use crate::event::{Event, Outcome};
use crate::names::ResourceKind;
use crate::resources::bucket_contents::Deletion;
use crate::resources::{
    bucket_contents, image, instance, instance_profile, queue, role, snapshot, topic, volume,
};
use crate::wait::{self, Look};

/// An instance launched a moment before may not be listed yet; two looks this far apart find it
/// (EC2's listings settle within a second as a rule).
const NEWBORN_PAUSE: Duration = Duration::from_millis(1500);

/// What was deleted may still be listed: queues for 60 s by SQS's documentation, the rest for
/// seconds.
const VANISH_LIMIT: Duration = Duration::from_secs(75);

/// What a teardown did, and what the second look found.
#[derive(Debug, Default, Serialize)]
pub struct TeardownReport {
    /// Was there, and is not any more.
    pub deleted: Vec<Thing>,
    /// Left alone as asked.
    pub kept: Vec<Thing>,
    /// Is still there.
    pub left: Vec<Thing>,
    /// What went wrong, with its causes. With nothing left, it no longer matters.
    pub errors: Vec<String>,
    /// What could not be looked at afterwards: it may be there or not.
    pub unknown: Vec<String>,
}

impl TeardownReport {
    /// Everything that was to go is known to be gone.
    pub fn is_clean(&self) -> bool {
        self.left.is_empty() && self.unknown.is_empty()
    }
}

/// Surveys the stack and deletes all of it but what `options` keep.
///
/// # Errors
/// None but broken invariants: what fails is in the report, and so is what is left.
pub async fn down(
    cloud: &Cloud,
    options: DownOptions,
    confirmed: Confirmed,
) -> Result<TeardownReport> {
    let survey = Survey::take(cloud, Depths::Bare).await;
    delete(cloud, &survey, options, confirmed).await
}

/// Deletes what `survey` found (the survey that the user was shown), then looks again.
pub async fn delete(
    cloud: &Cloud,
    survey: &Survey,
    options: DownOptions,
    _confirmed: Confirmed,
) -> Result<TeardownReport> {
    let seen = survey.instances_seen.unwrap_or_else(Instant::now);
    for kind in &survey.foreign {
        cloud.events.warn(format!(
            "{kind} {} does not carry this stack's tag: not touched",
            cloud.names.of(*kind)
        ));
    }
    let teardown = Teardown { cloud, options };
    let mut errors = teardown.pass(survey).await;
    tokio::time::sleep(NEWBORN_PAUSE.saturating_sub(seen.elapsed())).await;
    let mut after = teardown.look_again(&errors, Patience::Named).await;
    let ec2_left = |survey: &Survey| {
        survey
            .things(cloud)
            .iter()
            .any(|thing| is_ec2(thing.kind) && !keeps(options, thing.kind))
    };
    if ec2_left(&after) {
        // Newborn when we first looked, refused the first time, or still listed though gone:
        // deleting again is right for all three.
        errors.extend(teardown.pass(&after.only_ec2()).await);
        after = teardown.look_again(&errors, Patience::All).await;
    }
    let (kept, left): (Vec<Thing>, Vec<Thing>) = after
        .things(cloud)
        .into_iter()
        .partition(|thing| keeps(options, thing.kind));
    let deleted = survey
        .things(cloud)
        .into_iter()
        .filter(|thing| !keeps(options, thing.kind))
        .filter(|thing| {
            !left
                .iter()
                .any(|other| (other.kind, &other.name) == (thing.kind, &thing.name))
        })
        .collect();
    Ok(TeardownReport {
        deleted,
        kept,
        left,
        errors: errors.iter().map(|(_, error)| error.chain()).collect(),
        unknown: after.errors.iter().map(Error::chain).collect(),
    })
}

/// Which deleted things are waited for until they are listed no more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// Those with fixed names; EC2's get another pass at once instead.
    Named,
    All,
}

/// What failed, by kind.
type Failures = Vec<(ResourceKind, Error)>;

struct Teardown<'a> {
    cloud: &'a Cloud,
    options: DownOptions,
}

impl Teardown<'_> {
    /// Deletes all that the survey found. Instances first, because they write to the rest; then
    /// everything else at once.
    async fn pass(&self, survey: &Survey) -> Failures {
        let (running, mut failures) = self.instances(survey).await;
        let (volumes, images, named) = tokio::join!(
            self.volumes(survey, &running),
            self.images(survey),
            self.named(survey),
        );
        for more in [volumes, images, named] {
            failures.extend(more);
        }
        failures
    }

    /// What has a fixed name.
    async fn named(&self, survey: &Survey) -> Failures {
        if self.options.keep_stack {
            return Vec::new();
        }
        let (mut all, queues, iam, topic) = tokio::join!(
            Box::pin(self.buckets(survey)),
            self.queues(survey),
            self.profile_and_role(survey),
            self.topic(survey),
        );
        for more in [queues, iam, topic] {
            all.extend(more);
        }
        all
    }

    fn gone(&self, kind: ResourceKind, name: impl Into<String>, detail: Option<String>) {
        let (name, outcome) = (name.into(), Outcome::Deleted);
        self.cloud.events.emit(Event::Resource {
            kind,
            name,
            outcome,
            detail,
        });
    }

    /// Returns the ids of those that EC2 refuses to end, and what failed.
    async fn instances(&self, survey: &Survey) -> (Vec<String>, Failures) {
        if survey.instances.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let aws = &self.cloud.aws;
        let ids: Vec<String> = survey
            .instances
            .iter()
            .map(|instance| instance.id.clone())
            .collect();
        let mut failures = Vec::new();
        // What EC2 refused to end is not waited for: it goes on.
        let mut running = ids.clone();
        let (ids, outcome) = instance::terminate_each(aws, &ids).await;
        running.retain(|id| !ids.contains(id));
        if let Err(error) = outcome {
            failures.push((ResourceKind::Worker, error));
        }
        match instance::wait_terminated(aws, &ids, &self.cloud.events).await {
            Ok(()) => {
                for id in ids {
                    self.gone(ResourceKind::Worker, id, None);
                }
            }
            Err(error) => failures.push((ResourceKind::Worker, error)),
        }
        (running, failures)
    }

    /// Listed afresh: most volumes go with their instance, and what is left now is left over.
    /// Those of the instances that are still `running` can't go.
    async fn volumes(&self, survey: &Survey, running: &[String]) -> Failures {
        if survey.volumes.is_empty() && survey.instances.is_empty() {
            return Vec::new();
        }
        let aws = &self.cloud.aws;
        let volumes = match volume::list(aws, &self.cloud.names.stack).await {
            Ok(volumes) => volumes,
            Err(error) => return vec![(ResourceKind::Volume, error)],
        };
        let all = volumes.iter().map(|volume| async move {
            if let Some(why) = why_held(volume, survey, running) {
                return Err(Error::failed(format!(
                    "cannot delete the volume {}: {why}",
                    volume.id
                )));
            }
            volume::delete(aws, &volume.id).await?;
            self.gone(ResourceKind::Volume, &volume.id, None);
            Ok(())
        });
        failures(ResourceKind::Volume, join_all(all).await)
    }

    async fn images(&self, survey: &Survey) -> Failures {
        if self.options.keep_image {
            return Vec::new();
        }
        let aws = &self.cloud.aws;
        let images = survey.images.iter().map(|image| async move {
            image::deregister(aws, image).await?;
            self.gone(
                ResourceKind::Image,
                format!("{} ({})", image.id, image.name),
                None,
            );
            Ok(())
        });
        let mut all = failures(ResourceKind::Image, join_all(images).await);
        // After the images, which hold their snapshots.
        let snapshots = survey.snapshots.iter().map(|snapshot| async move {
            snapshot::delete(aws, &snapshot.id).await?;
            self.gone(ResourceKind::Snapshot, &snapshot.id, None);
            Ok(())
        });
        all.extend(failures(ResourceKind::Snapshot, join_all(snapshots).await));
        all
    }

    async fn buckets(&self, survey: &Survey) -> Failures {
        if self.options.keep_data {
            return Vec::new();
        }
        let counted = survey.contents.values();
        let total = counted.map(|contents| contents.objects + contents.delete_markers);
        let total = (!survey.contents.is_empty()).then(|| total.sum());
        let progress = &Deletion::new(&self.cloud.events, total);
        let one = |kind: ResourceKind| async move {
            let Some(presence) = survey.named.get(&kind) else {
                return Vec::new();
            };
            let aws = &self.cloud.aws;
            match bucket_contents::empty_and_delete(aws, &presence.id, progress).await {
                Ok(count) => {
                    let detail = (count > 0).then(|| format!("with {}", quantity(count, "object")));
                    self.gone(kind, &presence.id, detail);
                    Vec::new()
                }
                Err(error) => vec![(kind, error)],
            }
        };
        let (mut input, output) = tokio::join!(
            one(ResourceKind::InputBucket),
            one(ResourceKind::OutputBucket)
        );
        input.extend(output);
        input
    }

    async fn queues(&self, survey: &Survey) -> Failures {
        let kinds = [
            ResourceKind::InputQueue,
            ResourceKind::OutputQueue,
            ResourceKind::FailedQueue,
        ];
        let all = kinds.map(|kind| async move {
            let presence = survey.named.get(&kind)?;
            let name = self.cloud.names.of(kind);
            match queue::delete(&self.cloud.aws, &name, &presence.id).await {
                Ok(()) => {
                    self.gone(kind, name, None);
                    None
                }
                Err(error) => Some((kind, error)),
            }
        });
        join_all(all).await.into_iter().flatten().collect()
    }

    /// First what ties the two to each other and to others: a role in a profile cannot be deleted,
    /// nor one with policies. Then both beside each other.
    async fn profile_and_role(&self, survey: &Survey) -> Failures {
        let (aws, name) = (&self.cloud.aws, &self.cloud.names.worker_role());
        let has_profile = survey.named.contains_key(&ResourceKind::InstanceProfile);
        let has_role = survey.named.contains_key(&ResourceKind::Role);
        let untie = async {
            if !has_profile {
                return Ok(());
            }
            instance_profile::remove_role(aws, name, name).await
        };
        let strip = async {
            if !has_role {
                return Ok(());
            }
            role::delete_inline_policies(aws, name).await
        };
        let (untied, stripped) = tokio::join!(untie, strip);
        let delete_profile = async {
            untied?;
            if has_profile {
                instance_profile::delete(aws, name).await?;
                self.gone(ResourceKind::InstanceProfile, name, None);
            }
            Ok(())
        };
        let delete_role = async {
            stripped?;
            if has_role {
                role::delete(aws, name).await?;
                self.gone(ResourceKind::Role, name, None);
            }
            Ok(())
        };
        let (profile, role) = tokio::join!(delete_profile, delete_role);
        let mut all = failures(ResourceKind::InstanceProfile, vec![profile]);
        all.extend(failures(ResourceKind::Role, vec![role]));
        all
    }

    async fn topic(&self, survey: &Survey) -> Failures {
        let Some(presence) = survey.named.get(&ResourceKind::Topic) else {
            return Vec::new();
        };
        match topic::delete(&self.cloud.aws, &presence.id).await {
            Ok(()) => {
                self.gone(ResourceKind::Topic, self.cloud.names.topic(), None);
                Vec::new()
            }
            Err(error) => vec![(ResourceKind::Topic, error)],
        }
    }

    /// Looks until everything is gone whose deletion succeeded, or a limit passes.
    async fn look_again(&self, errors: &Failures, patience: Patience) -> Survey {
        let last = std::sync::Mutex::new(Survey::default());
        let put = |survey: Survey| {
            *last
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner) = survey;
        };
        let looked = wait::until("deleted things to vanish", VANISH_LIMIT, || async {
            let survey = Survey::take(self.cloud, Depths::Bare).await;
            let lingering: Vec<String> = survey
                .things(self.cloud)
                .iter()
                .filter(|thing| !keeps(self.options, thing.kind))
                .filter(|thing| !errors.iter().any(|(kind, _)| *kind == thing.kind))
                .filter(|thing| patience == Patience::All || !is_ec2(thing.kind))
                .map(|thing| format!("{} {}", thing.kind, thing.name))
                .collect();
            put(survey);
            if lingering.is_empty() {
                return Ok(Look::Done(()));
            }
            let last_seen = format!("still listed: {}", lingering.join(", "));
            self.cloud.events.emit(Event::Waiting {
                what: "deleted things to vanish".to_owned(),
                last_seen: last_seen.clone(),
            });
            Ok(Look::NotYet(last_seen))
        })
        .await;
        if let Err(timed_out) = looked {
            self.cloud.events.warn(timed_out.chain());
        }
        last.into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Why nobody need wait for a volume to be free: its instance goes on, or may.
fn why_held(volume: &volume::Volume, survey: &Survey, running: &[String]) -> Option<String> {
    let instance = volume.instance.as_ref()?;
    if survey.instances_seen.is_none() {
        return Some(format!(
            "{instance} has it, and whether that runs can't be seen"
        ));
    }
    running
        .contains(instance)
        .then(|| format!("{instance} has it, and that runs"))
}

fn is_ec2(kind: ResourceKind) -> bool {
    matches!(
        kind,
        ResourceKind::Builder
            | ResourceKind::Worker
            | ResourceKind::Volume
            | ResourceKind::Image
            | ResourceKind::Snapshot
    )
}

fn failures(kind: ResourceKind, results: Vec<Result<()>>) -> Failures {
    results
        .into_iter()
        .filter_map(|result| Some((kind, result.err()?)))
        .collect()
}

impl Survey {
    /// Without buckets, queues and the rest that has names.
    fn only_ec2(&self) -> Self {
        Self {
            instances_seen: self.instances_seen,
            instances: self.instances.clone(),
            volumes: self.volumes.clone(),
            images: self.images.clone(),
            snapshots: self.snapshots.clone(),
            ..Self::default()
        }
    }
}

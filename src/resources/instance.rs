//! EC2 instances: find, wait, end. How they are started is in [`super::run_instances`].

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_sdk_ec2::types as sdk;
use futures::stream::{self, StreamExt as _};
use jiff::Timestamp;
use serde::Serialize;

use super::ec2_tags::{self, Tags};
use super::newborn::{NEWBORN, unknown_is_unlisted};
use crate::aws::{Aws, Cause};
use crate::error::{Error, Result};
use crate::event::{Event, Events};
use crate::lifetime::expiry_of;
use crate::names::{StackName, TAG_BATCH, TAG_KIND, TAG_RECIPE};
use crate::wait::{self, Look};

/// Stopping and terminating take tens of seconds; a hung guest is killed by EC2 after a few minutes.
const ENDING: Duration = Duration::from_mins(10);
/// Values in one filter: EC2 takes 200; half of it keeps requests short.
const IDS_PER_CALL: usize = 100;
/// Single terminations beside each other when a batch is refused.
const PARALLEL: usize = 8;

/// Where an instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    Pending,
    Running,
    ShuttingDown,
    Terminated,
    Stopping,
    Stopped,
    /// A state that this version does not know.
    Unknown,
}

impl InstanceState {
    fn read(state: Option<&sdk::InstanceState>) -> Self {
        match state.and_then(|state| state.name.as_ref()) {
            Some(sdk::InstanceStateName::Pending) => Self::Pending,
            Some(sdk::InstanceStateName::Running) => Self::Running,
            Some(sdk::InstanceStateName::ShuttingDown) => Self::ShuttingDown,
            Some(sdk::InstanceStateName::Terminated) => Self::Terminated,
            Some(sdk::InstanceStateName::Stopping) => Self::Stopping,
            Some(sdk::InstanceStateName::Stopped) => Self::Stopped,
            _ => Self::Unknown,
        }
    }

    /// EC2's name of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Unknown => "unknown",
        }
    }

    /// Terminated or on the way there: no call brings it back.
    pub fn is_ending(self) -> bool {
        matches!(self, Self::ShuttingDown | Self::Terminated)
    }
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// An instance as EC2 lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Instance {
    pub id: String,
    pub state: InstanceState,
    /// Why it is in that state, as far as EC2 tells.
    pub state_reason: Option<String>,
    /// When and by whom it was ended, e.g. `User initiated (2026-01-02 03:04:05 GMT)`.
    pub transition_reason: Option<String>,
    pub instance_type: String,
    pub image_id: String,
    pub zone: Option<String>,
    /// Of the last start.
    pub launched: Option<Timestamp>,
    pub private_dns: Option<String>,
    /// It has a public IPv4 address, which is billed by the hour.
    pub public_ip: bool,
    pub root_device: Option<String>,
    /// Volume id of the root device; absent soon after the launch.
    pub root_volume: Option<String>,
    /// ARN of the instance profile in force.
    pub profile_arn: Option<String>,
    pub client_token: Option<String>,
    pub spot: bool,
    pub tags: Tags,
}

impl Instance {
    /// The tag `muck:kind`: `worker` or `builder`.
    pub fn kind(&self) -> Option<&str> {
        self.tags.get(TAG_KIND).map(String::as_str)
    }

    pub fn batch(&self) -> Option<&str> {
        self.tags.get(TAG_BATCH).map(String::as_str)
    }

    /// Recipe digest of the image that a builder bakes.
    pub fn recipe(&self) -> Option<&str> {
        self.tags.get(TAG_RECIPE).map(String::as_str)
    }

    /// When it may be removed by anyone.
    pub fn expires(&self) -> Option<Timestamp> {
        expiry_of(&self.tags)
    }

    pub(super) fn read(instance: sdk::Instance) -> Option<Self> {
        let root_device = instance.root_device_name;
        let root_volume = instance
            .block_device_mappings
            .unwrap_or_default()
            .into_iter()
            .find(|mapping| mapping.device_name == root_device)
            .and_then(|mapping| mapping.ebs?.volume_id);
        Some(Self {
            id: instance.instance_id?,
            state: InstanceState::read(instance.state.as_ref()),
            state_reason: instance.state_reason.and_then(|reason| reason.message),
            transition_reason: instance
                .state_transition_reason
                .filter(|reason| !reason.is_empty()),
            instance_type: instance
                .instance_type
                .map(|kind| kind.as_str().to_owned())
                .unwrap_or_default(),
            image_id: instance.image_id.unwrap_or_default(),
            zone: instance
                .placement
                .and_then(|placement| placement.availability_zone),
            launched: instance
                .launch_time
                .and_then(|time| Timestamp::from_second(time.secs()).ok()),
            public_ip: instance
                .public_ip_address
                .is_some_and(|address| !address.is_empty()),
            private_dns: instance.private_dns_name.filter(|name| !name.is_empty()),
            root_device,
            root_volume,
            profile_arn: instance
                .iam_instance_profile
                .and_then(|profile| profile.arn),
            client_token: instance.client_token.filter(|token| !token.is_empty()),
            spot: instance.instance_lifecycle == Some(sdk::InstanceLifecycleType::Spot),
            tags: ec2_tags::read(instance.tags),
        })
    }
}

/// All instances of the stack that EC2 still shows, terminated ones (for about an hour) too.
pub async fn list(aws: &Aws, stack: &StackName) -> Result<Vec<Instance>> {
    describe(aws, vec![ec2_tags::of_stack(stack)])
        .await
        .map_err(|cause| {
            Error::failed(format!("cannot list the instances of stack {stack}")).because(cause)
        })
}

/// Those of all stacks of the account in this region that are not terminated.
pub async fn list_live_of_all(aws: &Aws) -> Result<Vec<Instance>> {
    let mut instances = describe(aws, vec![ec2_tags::of_any_stack()])
        .await
        .map_err(|cause| Error::failed("cannot list the instances").because(cause))?;
    instances.retain(|instance| instance.state != InstanceState::Terminated);
    Ok(instances)
}

/// The stack's instances that are not terminated: pending, running, stopping, stopped and
/// shutting down. Empty may mean "not yet seen": look twice before you believe it.
pub async fn list_live(aws: &Aws, stack: &StackName) -> Result<Vec<Instance>> {
    let mut instances = list(aws, stack).await?;
    instances.retain(|instance| instance.state != InstanceState::Terminated);
    Ok(instances)
}

/// The instances with these ids that EC2 knows; those it does not know (yet, or any more) are missing.
pub async fn find(aws: &Aws, ids: &[String]) -> Result<Vec<Instance>, Cause> {
    let mut found = Vec::new();
    // A filter, not the parameter InstanceId, because one unknown id there fails the whole call.
    for some in ids.chunks(IDS_PER_CALL) {
        let known = describe(aws, vec![ec2_tags::filter("instance-id", some)]).await;
        found.extend(unknown_is_unlisted(known, "InvalidInstanceID.NotFound")?);
    }
    Ok(found)
}

/// The account's instances of any of these images that are not terminated, whoever started them.
pub async fn list_using(aws: &Aws, images: &[String]) -> Result<Vec<Instance>> {
    let mut found = Vec::new();
    for some in images.chunks(IDS_PER_CALL) {
        let using = describe(aws, vec![ec2_tags::filter("image-id", some)])
            .await
            .map_err(|cause| {
                Error::failed("cannot see which instances use the images").because(cause)
            })?;
        found.extend(
            using
                .into_iter()
                .filter(|one| one.state != InstanceState::Terminated),
        );
    }
    Ok(found)
}

/// The instances that a RunInstances call with this client token made.
pub async fn find_by_token(aws: &Aws, token: &str) -> Result<Vec<Instance>, Cause> {
    describe(aws, vec![ec2_tags::filter("client-token", [token])]).await
}

async fn describe(aws: &Aws, filters: Vec<sdk::Filter>) -> Result<Vec<Instance>, Cause> {
    let mut pages = aws
        .ec2
        .describe_instances()
        .set_filters(Some(filters))
        .into_paginator()
        .send();
    let mut instances = Vec::new();
    while let Some(page) = pages.next().await {
        let reservations = page?.reservations.unwrap_or_default();
        let listed = reservations
            .into_iter()
            .flat_map(|one| one.instances.unwrap_or_default());
        instances.extend(listed.filter_map(Instance::read));
    }
    Ok(instances)
}

/// Asks EC2 to terminate all of `ids`, whatever state they are in. Goes on past single failures.
///
/// # Errors
/// Naming each instance that could not be terminated, with the first cause. An id that EC2 has
/// not known for a minute counts as terminated.
pub async fn terminate(aws: &Aws, ids: &[String]) -> Result<()> {
    terminate_each(aws, ids).await.1
}

/// The same; also tells which of them EC2 has taken.
pub async fn terminate_each(aws: &Aws, ids: &[String]) -> (Vec<String>, Result<()>) {
    let mut failed: Vec<(String, Cause)> = Vec::new();
    for some in ids.chunks(IDS_PER_CALL) {
        if terminate_call(aws, some).await.is_ok() {
            continue;
        }
        // One bad id fails the whole call, so ask for each alone.
        let single = stream::iter(some.to_vec())
            .map(|id| async move {
                let outcome = terminate_one(aws, &id).await;
                (id, outcome)
            })
            .buffer_unordered(PARALLEL)
            .collect::<Vec<_>>()
            .await;
        failed.extend(
            single
                .into_iter()
                .filter_map(|(id, outcome)| Some((id, outcome.err()?))),
        );
    }
    let mut taken = ids.to_vec();
    taken.retain(|id| !failed.iter().any(|(other, _)| other == id));
    let names = failed
        .iter()
        .map(|(id, _)| id.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    let outcome = match failed.into_iter().next() {
        None => Ok(()),
        Some((_, cause)) => Err(Error::failed(format!("cannot terminate {names}")).because(cause)),
    };
    (taken, outcome)
}

async fn terminate_call(aws: &Aws, ids: &[String]) -> Result<(), Cause> {
    aws.ec2
        .terminate_instances()
        .set_instance_ids(Some(ids.to_vec()))
        .send()
        .await?;
    Ok(())
}

async fn terminate_one(aws: &Aws, id: &str) -> Result<(), Cause> {
    let start = std::time::Instant::now();
    let mut pause = Duration::from_millis(250);
    loop {
        match terminate_call(aws, &[id.to_owned()]).await {
            Err(cause) if cause.is("InvalidInstanceID.NotFound") => {
                if start.elapsed() > NEWBORN {
                    return Ok(());
                }
            }
            outcome => return outcome,
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(5));
    }
}

/// Waits until every one of `ids` is terminated, or has been unknown three times in a row.
///
/// # Errors
/// After ten minutes, naming the last states.
pub async fn wait_terminated(aws: &Aws, ids: &[String], events: &Events) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let what = match ids {
        [one] => format!("{one} to be terminated"),
        many => format!("{} instances to be terminated", many.len()),
    };
    // Atomic, because the closure may not lend a plain counter to the future that it returns.
    let good = AtomicU32::new(0);
    wait::until(&what, ENDING, || async {
        let found = find(aws, ids).await.map_err(|cause| {
            Error::failed(format!("cannot see whether {} ended", ids.join(", "))).because(cause)
        })?;
        let left: Vec<_> = found
            .iter()
            .filter(|instance| instance.state != InstanceState::Terminated)
            .collect();
        if !left.is_empty() {
            good.store(0, Ordering::Relaxed);
            let last_seen = left
                .iter()
                .map(|instance| format!("{} {}", instance.id, instance.state))
                .collect::<Vec<_>>()
                .join(", ");
            events.emit(Event::Waiting {
                what: what.clone(),
                last_seen: last_seen.clone(),
            });
            return Ok(Look::NotYet(last_seen));
        }
        let good = good.fetch_add(1, Ordering::Relaxed) + 1;
        // Terminated instances stay visible for about an hour, so a missing one may be a stale answer.
        if found.len() == ids.len() || good >= 3 {
            Ok(Look::Done(()))
        } else {
            Ok(Look::NotYet("not listed".to_owned()))
        }
    })
    .await
}

/// Waits until the instance has powered itself off (state *stopped*), calling `meanwhile` at each look.
///
/// # Errors
/// If it ends in another way, or after `limit` with its last state.
pub async fn wait_stopped<Fut: Future<Output = ()>>(
    aws: &Aws,
    id: &str,
    limit: Duration,
    mut meanwhile: impl FnMut(InstanceState) -> Fut,
) -> Result<Instance> {
    let start = std::time::Instant::now();
    let mut pause = Duration::from_millis(500);
    loop {
        let found = find(aws, std::slice::from_ref(&id.to_owned()))
            .await
            .map_err(|cause| Error::failed(format!("cannot look at {id}")).because(cause))?
            .pop();
        let state = found
            .as_ref()
            .map_or(InstanceState::Unknown, |instance| instance.state);
        meanwhile(state).await;
        match found {
            Some(instance) if state == InstanceState::Stopped => return Ok(instance),
            Some(instance) if state.is_ending() => {
                let reason = instance.state_reason.or(instance.transition_reason);
                return Err(Error::failed(format!(
                    "{id} was terminated before its work was done ({})",
                    reason.as_deref().unwrap_or("EC2 tells no reason")
                )));
            }
            // Unknown: a newborn.
            _ => {}
        }
        if start.elapsed() >= limit {
            return Err(Error::failed(format!(
                "{id} did not power itself off within {} s; last seen: {state}",
                limit.as_secs()
            )));
        }
        tokio::time::sleep(pause).await;
        pause = pause.mul_f64(1.5).min(CONSOLE_PAUSE);
    }
}

/// Longest pause between two looks at a builder, so that its console feels live.
const CONSOLE_PAUSE: Duration = Duration::from_secs(2);

/// The console's output so far, at most its last 64 KiB; empty if there is none yet.
pub async fn console(aws: &Aws, id: &str) -> Result<Vec<u8>, Cause> {
    use base64::Engine as _;

    let ask = || aws.ec2.get_console_output().instance_id(id);
    let answer = match ask().latest(true).send().await.map_err(Cause::from) {
        // Instance types of before Nitro keep only the console of the last start or stop.
        Err(cause) if cause.is("UnsupportedOperation") => ask().send().await.map_err(Cause::from),
        answer => answer,
    };
    let text = match answer {
        Ok(answer) => answer.output.unwrap_or_default(),
        Err(cause) if cause.is("InvalidInstanceID.NotFound") => String::new(),
        Err(cause) => return Err(cause),
    };
    // Some of the services that speak this protocol break base64 into lines.
    let text: String = text.split_whitespace().collect();
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .map_err(|error| Cause {
            code: None,
            message: format!("the console of {id} is not base64: {error}"),
            request_id: None,
            uncertain: false,
        })
}

/// Makes sure that the profile is attached: RunInstances may succeed and leave it out.
pub async fn ensure_profile(aws: &Aws, instance: &Instance, profile: &str) -> Result<bool> {
    if instance.profile_arn.is_some() {
        return Ok(false);
    }
    let specification = sdk::IamInstanceProfileSpecification::builder()
        .name(profile)
        .build();
    let outcome = aws
        .ec2
        .associate_iam_instance_profile()
        .instance_id(&instance.id)
        .iam_instance_profile(specification)
        .send()
        .await
        .map_err(Cause::from);
    match outcome {
        Ok(_) => Ok(true),
        // Another of our attempts was first.
        Err(cause) if cause.is("IncorrectState") => Ok(false),
        Err(cause) => Err(Error::failed(format!(
            "cannot attach the instance profile {profile} to {}",
            instance.id
        ))
        .because(cause)),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An instance of which nothing else is known.
    pub(crate) fn instance(id: &str, state: InstanceState, tags: Tags) -> Instance {
        Instance {
            id: id.into(),
            state,
            state_reason: None,
            transition_reason: None,
            instance_type: "c7i.large".into(),
            image_id: "ami-1".into(),
            zone: None,
            launched: None,
            private_dns: None,
            public_ip: false,
            root_device: None,
            root_volume: None,
            profile_arn: None,
            client_token: None,
            spot: false,
            tags,
        }
    }

    #[test]
    fn an_instance_is_read_with_its_root_volume_and_tags() {
        let mapping = |device: &str, volume: &str| {
            sdk::InstanceBlockDeviceMapping::builder()
                .device_name(device)
                .ebs(
                    sdk::EbsInstanceBlockDevice::builder()
                        .volume_id(volume)
                        .build(),
                )
                .build()
        };
        let tag = |key: &str, value: &str| sdk::Tag::builder().key(key).value(value).build();
        let instance = sdk::Instance::builder()
            .instance_id("i-1")
            .state(
                sdk::InstanceState::builder()
                    .name(sdk::InstanceStateName::Stopped)
                    .build(),
            )
            .root_device_name("/dev/xvda")
            .block_device_mappings(mapping("/dev/sdb", "vol-2"))
            .block_device_mappings(mapping("/dev/xvda", "vol-1"))
            .tags(tag("muck:kind", "builder"))
            .tags(tag("muck:expires", "2026-01-02T03:04:05Z"))
            .state_transition_reason("")
            .build();
        let instance = Instance::read(instance).expect("has an id");
        assert_eq!(instance.root_volume.as_deref(), Some("vol-1"));
        assert_eq!(instance.state, InstanceState::Stopped);
        assert_eq!(instance.kind(), Some("builder"));
        assert_eq!(
            instance.expires().expect("set").to_string(),
            "2026-01-02T03:04:05Z"
        );
        assert_eq!(instance.transition_reason, None);
    }

    #[test]
    fn an_instance_without_id_is_none() {
        assert_eq!(Instance::read(sdk::Instance::builder().build()), None);
    }
}

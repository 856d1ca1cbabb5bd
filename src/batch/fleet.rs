//! The stack's instances as the batch sees them: who works, and what the bill must remember.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use muck_worker::recent_log;

use super::ledger::{Ledger, Sighting};
use crate::cloud::Cloud;
use crate::error::Result;
use crate::resources::instance::{self, Instance, InstanceState};
use crate::resources::{object, volume};

/// Lists the stack's instances and writes them down, because EC2 forgets them about an hour after
/// their end. Call it before a stack is removed, and the bill stays right.
pub async fn observe_instances(cloud: &Cloud) -> Result<Vec<Instance>> {
    observe(cloud, &Ledger::open(cloud)?).await
}

/// The same with an open ledger.
pub(super) async fn observe(cloud: &Cloud, ledger: &Ledger) -> Result<Vec<Instance>> {
    let instances = instance::list(&cloud.aws, &cloud.names.stack).await?;
    let alive = instances.iter().any(|one| is_alive(one.state));
    let volumes = if alive {
        volume::list(&cloud.aws, &cloud.names.stack).await?
    } else {
        Vec::new()
    };
    let sightings: Vec<Sighting> = instances
        .iter()
        .filter_map(|one| {
            let size = one
                .root_volume
                .as_ref()
                .and_then(|id| volumes.iter().find(|volume| volume.id == *id))
                .map_or(0, |volume| u64::from(volume.size));
            Some(Sighting {
                id: one.id.clone(),
                kind: one.kind().unwrap_or_default().to_owned(),
                instance_type: one.instance_type.clone(),
                launched: one.launched?,
                alive: is_alive(one.state),
                ended: one.transition_reason.as_deref().and_then(ended),
                volume_gib: size,
                public_ip: one.public_ip,
            })
        })
        .collect();
    ledger.saw_instances(&sightings, Timestamp::now())?;
    Ok(instances)
}

/// Writes down when the stack's instances stored their logs, which is the last that they do before they power
/// themselves off: EC2 tells the time of an end only if a user brought it about. Call it before the output bucket is removed.
pub async fn observe_ends(cloud: &Cloud) -> Result<()> {
    note_ends(cloud, &Ledger::open(cloud)?).await
}

/// The same with an open ledger.
pub(super) async fn note_ends(cloud: &Cloud, ledger: &Ledger) -> Result<()> {
    let bucket = cloud.names.output_bucket();
    let logs = object::list_if_there(cloud, &bucket, recent_log::PREFIX).await?;
    let ends: Vec<_> = logs
        .into_iter()
        .filter_map(|log| {
            let name = log
                .key
                .strip_prefix(recent_log::PREFIX)?
                .strip_suffix(".log")?;
            Some((name.to_owned(), log.written?))
        })
        .collect();
    ledger.heard_last(&ends)
}

/// Writes down that instances which were just launched reach S3 and SQS through a NAT gateway, so that the bill has a
/// line for it. Of others nothing need be written.
pub fn behind_nat<'i>(cloud: &Cloud, instances: impl Iterator<Item = &'i str>) -> Result<()> {
    Ledger::open(cloud)?.are_behind_nat(instances)
}

/// Runs or is on the way to it: may still bring a job back.
pub fn is_working(instance: &Instance) -> bool {
    instance.kind() != Some("builder")
        && matches!(
            instance.state,
            InstanceState::Pending | InstanceState::Running | InstanceState::Unknown
        )
}

/// Billed for its time.
fn is_alive(state: InstanceState) -> bool {
    !matches!(state, InstanceState::Terminated | InstanceState::Stopped)
}

/// The time in `User initiated (2026-01-02 03:04:05 GMT)`.
fn ended(reason: &str) -> Option<Timestamp> {
    let (_, time) = reason.rsplit_once('(')?;
    let time = time.trim_end_matches(')').trim_end_matches(" GMT");
    let time = DateTime::strptime("%Y-%m-%d %H:%M:%S", time).ok()?;
    time.to_zoned(TimeZone::UTC)
        .ok()
        .map(|time| time.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_read_from_ec2s_words() {
        let time = ended("User initiated (2026-01-02 03:04:05 GMT)").expect("has one");
        assert_eq!(time.to_string(), "2026-01-02T03:04:05Z");
        for none in [
            "",
            "User initiated",
            "Server.SpotInstanceTermination",
            "x (soon)",
        ] {
            assert_eq!(ended(none), None, "{none}");
        }
    }
}

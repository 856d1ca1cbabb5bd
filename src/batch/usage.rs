//! What a batch used, gathered from the ledger: the facts that the bill prices. No prices here.

use jiff::Timestamp;
use muck_worker::progress;

use super::ledger::{Batch, Counter, JobStatus, Ledger, SeenInstance};
use crate::error::Result;

/// What a worker asks of S3 and SQS for one job, by its protocol: get the input; put the output and
/// the verdict; look for an earlier verdict; receive, prolong, report and delete in the queues.
const WORKER_PUTS: u64 = 2;
const WORKER_GETS: u64 = 2;
const WORKER_QUEUE: u64 = 4;

/// What a worker asks in its life beside its jobs: at its end it stores its log.
const WORKER_LOG_PUTS: u64 = 1;

/// Quantities, none of them priced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    pub batch: String,
    pub jobs: u64,
    pub converted: u64,
    /// Bytes stored, of inputs and of known outputs.
    pub stored_bytes: u64,
    /// How long they have been stored.
    pub stored_seconds: u64,
    pub bytes_out: u64,
    /// Through NAT gateways, to and from instances.
    pub nat_bytes: u64,
    pub puts: u64,
    pub gets: u64,
    pub queue_requests: u64,
    pub instances: Vec<InstanceTime>,
    /// Bytes of the image's snapshots.
    pub snapshot_bytes: u64,
}

/// The billed time of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceTime {
    pub id: String,
    /// `worker` or `builder`.
    pub kind: String,
    pub instance_type: String,
    /// From launch to end, or until now.
    pub seconds: u64,
    pub volume_gib: u64,
    pub public_ip: bool,
    /// Its end is not known: it ran this long at least.
    pub at_least: bool,
}

/// Gathers what `batch` used until `now`.
///
/// Instances are those of the stack that lived after the batch was begun, its image's builder
/// included: a stack is made for a batch, and what ran beside it had no other purpose.
pub fn gather(
    ledger: &Ledger,
    batch: &Batch,
    snapshot_bytes: u64,
    now: Timestamp,
) -> Result<Usage> {
    let totals = ledger.totals(batch)?;
    let (inputs, outputs) = ledger.stored_bytes(batch)?;
    let end = ledger.removed(batch)?.unwrap_or(now);
    let instances: Vec<InstanceTime> = ledger
        .instances(batch.created)?
        .into_iter()
        .map(|one| time_of(one, now))
        .collect();
    let finished = ledger
        .jobs(batch)?
        .iter()
        .filter(|job| job.status != JobStatus::Outstanding)
        .count() as u64;
    Ok(Usage {
        batch: batch.name.clone(),
        jobs: totals.jobs,
        converted: totals.converted,
        stored_bytes: inputs + outputs,
        stored_seconds: between(batch.created, end),
        bytes_out: ledger.counted(batch, Counter::BytesOut)?,
        nat_bytes: ledger.nat_bytes(batch)?,
        puts: ledger.counted(batch, Counter::Puts)?
            + finished * WORKER_PUTS
            + instances.iter().map(reports_of).sum::<u64>(),
        gets: ledger.counted(batch, Counter::Gets)? + finished * WORKER_GETS,
        queue_requests: ledger.counted(batch, Counter::Queue)? + finished * WORKER_QUEUE,
        instances,
        snapshot_bytes,
    })
}

/// Requests of a worker for its progress reports and its log, at the most: it reports only what is new.
fn reports_of(instance: &InstanceTime) -> u64 {
    if instance.kind == "worker" {
        instance.seconds / progress::EVERY.as_secs() + WORKER_LOG_PUTS
    } else {
        0
    }
}

fn time_of(instance: SeenInstance, now: Timestamp) -> InstanceTime {
    InstanceTime {
        seconds: between(instance.launched, instance.ended.unwrap_or(now)),
        id: instance.id,
        kind: instance.kind,
        instance_type: instance.instance_type,
        volume_gib: instance.volume_gib,
        public_ip: instance.public_ip,
        at_least: instance.end_is_a_guess,
    }
}

/// Whole seconds, begun ones counted.
fn between(start: Timestamp, end: Timestamp) -> u64 {
    u64::try_from(end.as_millisecond() - start.as_millisecond())
        .unwrap_or(0)
        .div_ceil(1000)
}

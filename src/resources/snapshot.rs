//! EBS snapshots: find, take, delete.

use std::time::Duration;

use aws_sdk_ec2::types as sdk;
use jiff::Timestamp;
use serde::Serialize;

use super::ec2_tags::{self, Tags};
use super::newborn::unknown_is_unlisted;
use crate::aws::{Aws, Cause};
use crate::error::{Error, Result};
use crate::event::{Event, Events};
use crate::names::StackName;
use crate::wait::{self, Look};

/// EC2 takes one snapshot of a volume every 15 s (error `SnapshotCreationPerVolumeRateExceeded`).
const RATE_PAUSE: Duration = Duration::from_secs(15);
/// A lost answer's snapshot may be listed this much later (eventual consistency).
const ADOPT: Duration = Duration::from_secs(30);
/// Attempts to take a snapshot; the faults that pass do so in a few.
const ATTEMPTS: u32 = 5;
/// There is no fixed cap: a full root volume may take long. This one only ends a wait on a snapshot
/// that makes no progress at all.
const STALLED: Duration = Duration::from_hours(1);

/// A snapshot as EC2 lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    pub id: String,
    pub volume: Option<String>,
    /// `pending`, `completed`, `error` …
    pub state: String,
    /// E.g. `42%`.
    pub progress: Option<String>,
    /// GiB of the volume, not of what is stored.
    pub volume_size: Option<u32>,
    /// Bytes stored, where EC2 tells.
    pub bytes: Option<u64>,
    pub started: Option<Timestamp>,
    pub tags: Tags,
}

impl Snapshot {
    fn read(snapshot: sdk::Snapshot) -> Option<Self> {
        Some(Self {
            id: snapshot.snapshot_id?,
            volume: snapshot.volume_id,
            state: snapshot
                .state
                .map(|state| state.as_str().to_owned())
                .unwrap_or_default(),
            progress: snapshot.progress.filter(|progress| !progress.is_empty()),
            volume_size: snapshot.volume_size.and_then(|size| size.try_into().ok()),
            bytes: snapshot
                .full_snapshot_size_in_bytes
                .and_then(|bytes| bytes.try_into().ok()),
            started: snapshot
                .start_time
                .and_then(|time| Timestamp::from_second(time.secs()).ok()),
            tags: ec2_tags::read(snapshot.tags),
        })
    }
}

/// All snapshots of the stack.
pub async fn list(aws: &Aws, stack: &StackName) -> Result<Vec<Snapshot>> {
    describe(aws, vec![ec2_tags::of_stack(stack)])
        .await
        .map_err(|cause| {
            Error::failed(format!("cannot list the snapshots of stack {stack}")).because(cause)
        })
}

/// The snapshots of all stacks of the account in this region.
pub async fn list_of_all(aws: &Aws) -> Result<Vec<Snapshot>> {
    describe(aws, vec![ec2_tags::of_any_stack()])
        .await
        .map_err(|cause| Error::failed("cannot list the snapshots").because(cause))
}

/// The snapshots with these ids; those that EC2 does not know are missing.
pub async fn find(aws: &Aws, ids: &[String]) -> Result<Vec<Snapshot>> {
    let mut found = Vec::new();
    // EC2 takes 200 values in one filter.
    for some in ids.chunks(200) {
        let page = describe(aws, vec![ec2_tags::filter("snapshot-id", some)])
            .await
            .map_err(|cause| Error::failed("cannot list snapshots").because(cause))?;
        found.extend(page);
    }
    Ok(found)
}

/// The snapshots whose tag `Name` is `name`.
pub async fn find_by_name(aws: &Aws, name: &str) -> Result<Vec<Snapshot>, Cause> {
    describe(aws, vec![ec2_tags::filter("tag:Name", [name])]).await
}

async fn describe(aws: &Aws, filters: Vec<sdk::Filter>) -> Result<Vec<Snapshot>, Cause> {
    let mut pages = aws
        .ec2
        .describe_snapshots()
        .owner_ids("self")
        .set_filters(Some(filters))
        .into_paginator()
        .send();
    let mut snapshots = Vec::new();
    while let Some(page) = pages.next().await {
        let listed = page?.snapshots.unwrap_or_default();
        snapshots.extend(listed.into_iter().filter_map(Snapshot::read));
    }
    Ok(snapshots)
}

/// Begins a snapshot named `name` (which becomes its tag `Name`) and returns its id. There is no client
/// token for this call, so after a lost answer the snapshot is looked for by its name and adopted.
pub async fn create(
    aws: &Aws,
    volume: &str,
    name: &str,
    tags: &[(String, String)],
) -> Result<String> {
    let mut tags = tags.to_vec();
    tags.push(("Name".to_owned(), name.to_owned()));
    let mut attempt = 0;
    loop {
        attempt += 1;
        match create_call(aws, volume, name, &tags).await {
            Ok(id) => return Ok(id),
            Err(cause)
                if cause.is("SnapshotCreationPerVolumeRateExceeded") && attempt < ATTEMPTS =>
            {
                tokio::time::sleep(RATE_PAUSE).await;
            }
            Err(cause) => {
                // A refusal to even look at the call, whatever HTTP status it comes with.
                let refused = cause.is_any(&["RequestLimitExceeded", "Throttling"]);
                if cause.uncertain
                    && !refused
                    && let Some(id) = appears(aws, name).await
                {
                    return Ok(id);
                }
                let passes =
                    refused || cause.uncertain || cause.is_any(&["InternalError", "Unavailable"]);
                if attempt >= ATTEMPTS || !passes {
                    return Err(
                        Error::failed(format!("cannot take a snapshot of {volume}")).because(cause)
                    );
                }
                tokio::time::sleep(Duration::from_secs(1 << attempt)).await;
            }
        }
    }
}

async fn create_call(
    aws: &Aws,
    volume: &str,
    name: &str,
    tags: &[(String, String)],
) -> Result<String, Cause> {
    let answer = aws
        .ec2_once
        .create_snapshot()
        .volume_id(volume)
        .description(name)
        .tag_specifications(ec2_tags::specification(sdk::ResourceType::Snapshot, tags))
        .send()
        .await?;
    answer.snapshot_id.ok_or_else(|| Cause {
        code: None,
        message: "the answer has no snapshot id".to_owned(),
        request_id: None,
        uncertain: true,
    })
}

/// The snapshot whose answer was lost, if it is there after all.
async fn appears(aws: &Aws, name: &str) -> Option<String> {
    let look = || async {
        match find_by_name(aws, name).await {
            Ok(found) => Ok(match found.into_iter().next() {
                Some(snapshot) => Look::Done(snapshot.id),
                None => Look::NotYet("not listed".to_owned()),
            }),
            Err(cause) => Ok(Look::NotYet(cause.to_string())),
        }
    };
    wait::until(name, ADOPT, look).await.ok()
}

/// Waits until the snapshot is complete, telling its percentage.
///
/// # Errors
/// If it fails, or makes no progress for an hour; it is not deleted then.
pub async fn wait_completed(aws: &Aws, id: &str, events: &Events) -> Result<Snapshot> {
    let what = format!("snapshot {id}");
    wait::until(&what, STALLED, || async {
        let found = describe(aws, vec![ec2_tags::filter("snapshot-id", [id])]).await;
        let found = unknown_is_unlisted(found, "InvalidSnapshot.NotFound")
            .map_err(|cause| Error::failed(format!("cannot look at {what}")).because(cause))?;
        match found.into_iter().next() {
            Some(snapshot) if snapshot.state == "completed" => Ok(Look::Done(snapshot)),
            Some(snapshot) if snapshot.state == "error" => Err(Error::failed(format!(
                "{what} failed: EC2 could not copy the volume"
            ))),
            Some(snapshot) => {
                let last_seen = snapshot.progress.unwrap_or(snapshot.state);
                events.emit(Event::Waiting {
                    what: what.clone(),
                    last_seen: last_seen.clone(),
                });
                Ok(Look::NotYet(last_seen))
            }
            None => Ok(Look::NotYet("not listed".to_owned())),
        }
    })
    .await
}

/// Deletes a snapshot. One that is gone is no error.
pub async fn delete(aws: &Aws, id: &str) -> Result<()> {
    match aws
        .ec2
        .delete_snapshot()
        .snapshot_id(id)
        .send()
        .await
        .map_err(Cause::from)
    {
        Ok(_) => Ok(()),
        Err(cause) if cause.is("InvalidSnapshot.NotFound") => Ok(()),
        // Whoever may delete only what carries our tag is refused what is gone: it has none any more.
        Err(cause)
            if cause.is("UnauthorizedOperation")
                && find(aws, &[id.to_owned()])
                    .await
                    .is_ok_and(|found| found.is_empty()) =>
        {
            Ok(())
        }
        Err(cause) if cause.is("InvalidSnapshot.InUse") => Err(Error::failed(format!(
            "cannot delete the snapshot {id}: an image stands on it"
        ))
        .because(cause)
        .hint("deregister that image first")),
        Err(cause) => Err(Error::failed(format!("cannot delete the snapshot {id}")).because(cause)),
    }
}

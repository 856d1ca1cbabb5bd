//! CreateSnapshot, DescribeSnapshots, DeleteSnapshot.

use jiff::{SignedDuration, Timestamp};
use rusqlite::Transaction;

use super::dry_run::DryRun;
use super::filters::{Filters, one};
use super::paging::Page;
use super::tagging::{TagSpecifications, Tags};
use super::{Ec2, ids, iso, tag_set};
use crate::account::ACCOUNT;
use crate::error::{ApiError, ApiResult};
use crate::query_protocol::{Params, XmlBody};
use crate::state::ec2::{
    Image, Instance, InstanceState, Snapshot, SnapshotState, Volume, get, list, new_id, put, tags,
};

/// One a volume in this time, as EC2's request throttling has it.
const SNAPSHOT_PAUSE: SignedDuration = SignedDuration::from_secs(15);

impl Ec2 {
    pub(super) fn create_snapshot(&self, params: &Params, dry_run: DryRun) -> ApiResult<XmlBody> {
        let volume_id = params.required("VolumeId")?;
        let description = params.optional("Description").unwrap_or_default();
        let specifications = TagSpecifications::read(params, &["snapshot"])?;
        params.finish()?;
        let now = self.clock.now();
        let (snapshot, tags) = self.store.transaction(|tx| {
            let volume = ids::volume(tx, &volume_id)?;
            let snapshot = begin(tx, volume, description, now)?;
            specifications.apply(tx, "snapshot", &snapshot.id)?;
            let tags = tags::of(tx, &snapshot.id)?;
            dry_run.end()?;
            Ok((snapshot, tags))
        })?;
        self.lifecycle.freeze(&snapshot.id);
        let mut body = XmlBody::new();
        write(&mut body, &(snapshot, tags));
        Ok(body)
    }

    pub(super) fn describe_snapshots(
        &self,
        params: &Params,
        dry_run: DryRun,
    ) -> ApiResult<XmlBody> {
        let wanted = params.list("SnapshotId");
        let owners = params.list("Owner");
        let restorable_by = params.list("RestorableBy");
        let filters = Filters::read(
            params,
            &[
                "snapshot-id",
                "volume-id",
                "status",
                "owner-id",
                "description",
                "encrypted",
                "progress",
                "start-time",
                "storage-tier",
                "volume-size",
            ],
        )?;
        let page = Page::read(params, 5)?;
        params.finish()?;
        page.not_beside(&wanted, "snapshotSet")?;
        dry_run.end()?;
        // Only this account's snapshots can be seen, and only this account may restore them.
        let ours = |names: &[String]| {
            names.is_empty() || names.iter().any(|name| name == "self" || name == ACCOUNT)
        };
        let found = self.store.transaction(|tx| {
            let snapshots: Vec<Snapshot> = if wanted.is_empty() {
                list::<Snapshot>(tx)?
                    .into_iter()
                    .filter(|snapshot| !snapshot.deleted && snapshot.owner == ACCOUNT)
                    .collect()
            } else {
                wanted
                    .iter()
                    .map(|id| ids::snapshot(tx, id))
                    .collect::<ApiResult<_>>()?
            };
            if !ours(&owners) || !ours(&restorable_by) {
                return Ok(Vec::new());
            }
            let mut found = Vec::new();
            for snapshot in snapshots {
                let tags = tags::of(tx, &snapshot.id)?;
                if filters.pass(&tags, |name| facet(&snapshot, name)) {
                    found.push((snapshot, tags));
                }
            }
            Ok(found)
        })?;
        let (found, next) = page.cut(found, |(snapshot, _)| snapshot.id.clone());
        let mut body = XmlBody::new();
        body.list("snapshotSet", "item", &found, write);
        body.optional("nextToken", next);
        Ok(body)
    }

    pub(super) fn delete_snapshot(&self, params: &Params, dry_run: DryRun) -> ApiResult<XmlBody> {
        let id = params.required("SnapshotId")?;
        params.finish()?;
        self.store.transaction(|tx| {
            let snapshot = ids::snapshot(tx, &id)?;
            if let Some(user) = image_on(tx, &id)? {
                return Err(ApiError::new(
                    "InvalidSnapshot.InUse",
                    format!("The snapshot {id} is currently in use by {user}"),
                ));
            }
            forget(tx, snapshot)?;
            dry_run.end()
        })?;
        self.lifecycle.sweep();
        Ok(XmlBody::return_true())
    }
}

/// The image that stands on a snapshot, if one does.
pub(super) fn image_on(tx: &Transaction<'_>, snapshot: &str) -> ApiResult<Option<String>> {
    Ok(list::<Image>(tx)?
        .into_iter()
        .find(|image| image.deregistered.is_none() && image.snapshot_id == snapshot)
        .map(|image| image.id))
}

/// Shows a snapshot as gone. Its layer is swept when nothing stands on it.
pub(super) fn forget(tx: &Transaction<'_>, mut snapshot: Snapshot) -> ApiResult<()> {
    snapshot.deleted = true;
    put(tx, &snapshot)?;
    tags::forget(tx, &snapshot.id)
}

/// Writes down a pending snapshot of the volume; `Lifecycle::freeze` then makes it.
///
/// # Errors
/// `SnapshotCreationPerVolumeRateExceeded`; `IncorrectState` while a guest runs on the volume or
/// an earlier snapshot of it is pending.
pub(super) fn begin(
    tx: &Transaction<'_>,
    mut volume: Volume,
    description: String,
    now: Timestamp,
) -> ApiResult<Snapshot> {
    if let Some(attachment) = &volume.attachment {
        let instance: Option<Instance> = get(tx, &attachment.instance_id)?;
        if let Some(instance) = instance
            && instance.state != InstanceState::Stopped
        {
            return Err(ApiError::new(
                "IncorrectState",
                format!(
                    "The local cloud takes snapshots of a volume at rest: instance {} is {}, not stopped.",
                    instance.id,
                    instance.state.name()
                ),
            ));
        }
    }
    if volume
        .last_snapshot
        .is_some_and(|last| now.duration_since(last) < SNAPSHOT_PAUSE)
    {
        return Err(ApiError::new(
            "SnapshotCreationPerVolumeRateExceeded",
            "The maximum per volume CreateSnapshot request rate has been exceeded. Use an increasing or variable sleep interval between requests.",
        ));
    }
    let earlier = list::<Snapshot>(tx)?.into_iter().find(|snapshot| {
        snapshot.volume_id == volume.id && snapshot.state == SnapshotState::Pending
    });
    if let Some(earlier) = earlier {
        return Err(ApiError::new(
            "ConcurrentSnapshotLimitExceeded",
            format!("Snapshot {} of this volume is still pending.", earlier.id),
        ));
    }
    let id = new_id("snap");
    let mut layers = volume.layers.clone();
    layers.push(id.clone());
    let snapshot = Snapshot {
        id,
        owner: ACCOUNT.to_owned(),
        volume_id: volume.id.clone(),
        volume_size: volume.size,
        description,
        encrypted: volume.encrypted,
        state: SnapshotState::Pending,
        message: None,
        started: now,
        completed: None,
        bytes: None,
        layers,
        deleted: false,
    };
    volume.last_snapshot = Some(now);
    put(tx, &volume)?;
    put(tx, &snapshot)?;
    Ok(snapshot)
}

fn progress(snapshot: &Snapshot) -> &'static str {
    match snapshot.state {
        SnapshotState::Completed => "100%",
        SnapshotState::Pending | SnapshotState::Error => "0%",
    }
}

fn facet(snapshot: &Snapshot, name: &str) -> Vec<String> {
    match name {
        "snapshot-id" => one(&snapshot.id),
        "volume-id" => one(&snapshot.volume_id),
        "status" => one(snapshot.state.name()),
        "owner-id" => one(&snapshot.owner),
        "description" => one(&snapshot.description),
        "encrypted" => one(snapshot.encrypted),
        "progress" => one(progress(snapshot)),
        "start-time" => one(iso(snapshot.started)),
        "storage-tier" => one("standard"),
        "volume-size" => one(snapshot.volume_size),
        _ => Vec::new(),
    }
}

fn write(xml: &mut XmlBody, (snapshot, tags): &(Snapshot, Tags)) {
    xml.text("snapshotId", &snapshot.id)
        .text("volumeId", &snapshot.volume_id)
        .text("status", snapshot.state.name())
        .optional("statusMessage", snapshot.message.as_ref())
        .text("startTime", iso(snapshot.started))
        .optional("completionTime", snapshot.completed.map(iso))
        .text("progress", progress(snapshot))
        .text("ownerId", &snapshot.owner)
        .text("description", &snapshot.description)
        .text("volumeSize", snapshot.volume_size)
        .text("encrypted", snapshot.encrypted)
        .text("storageTier", "standard");
    // On EBS this counts the blocks below too; here it is what the snapshot's own layer holds.
    xml.optional("fullSnapshotSizeInBytes", snapshot.bytes);
    tag_set(xml, tags);
}

//! Which layers are still stood on. A deleted volume's layer goes at once, a deleted snapshot's
//! when its last user has gone. Their rows stay as long as the layers.

use std::collections::HashSet;

use rusqlite::Transaction;

use super::{Snapshot, SnapshotState, Volume, list, remove};
use crate::error::ApiResult;

/// Deleted volumes whose layer may go: those that no pending snapshot is still to be made of.
pub fn unused_volumes(tx: &Transaction<'_>) -> ApiResult<Vec<String>> {
    let awaited: HashSet<String> = pending(tx)?
        .into_iter()
        .map(|snapshot| snapshot.volume_id)
        .collect();
    Ok(list::<Volume>(tx)?
        .into_iter()
        .filter(|volume| volume.deleted && !awaited.contains(&volume.id))
        .map(|volume| volume.id)
        .collect())
}

/// Snapshots that are still to be made, oldest first. One that was deleted meanwhile is made all the
/// same: the driver may have begun, and the volume would stand on it then.
pub fn pending(tx: &Transaction<'_>) -> ApiResult<Vec<Snapshot>> {
    Ok(list::<Snapshot>(tx)?
        .into_iter()
        .filter(|snapshot| snapshot.state == SnapshotState::Pending)
        .collect())
}

/// Deleted snapshots whose layer nothing stands on any more, topmost first, so that they can be
/// deleted in this order.
pub fn unused_snapshots(tx: &Transaction<'_>) -> ApiResult<Vec<String>> {
    let snapshots: Vec<Snapshot> = list(tx)?;
    let mut used: HashSet<String> = HashSet::new();
    for volume in list::<Volume>(tx)? {
        used.extend(volume.layers);
    }
    for snapshot in snapshots.iter().filter(|snapshot| !snapshot.deleted) {
        used.extend(snapshot.layers.iter().cloned());
    }
    let mut unused: Vec<&Snapshot> = snapshots
        .iter()
        .filter(|snapshot| {
            snapshot.deleted
                && snapshot.state != SnapshotState::Pending
                && !used.contains(&snapshot.id)
        })
        .collect();
    unused.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.layers.len()));
    Ok(unused
        .into_iter()
        .map(|snapshot| snapshot.id.clone())
        .collect())
}

/// Forgets a deleted volume whose layer is gone from the disk.
pub fn forget_volume(tx: &Transaction<'_>, volume: &str) -> ApiResult<()> {
    remove::<Volume>(tx, volume)
}

/// Forgets a deleted snapshot whose layer is gone from the disk.
pub fn forget_snapshot(tx: &Transaction<'_>, snapshot: &str) -> ApiResult<()> {
    remove::<Snapshot>(tx, snapshot)
}

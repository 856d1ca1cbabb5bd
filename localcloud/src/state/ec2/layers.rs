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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Store;
    use crate::state::ec2::put;

    fn snapshot(id: &str, layers: &[&str], deleted: bool, state: SnapshotState) -> Snapshot {
        Snapshot {
            id: id.to_owned(),
            owner: "1".to_owned(),
            volume_id: "vol".to_owned(),
            volume_size: 8,
            description: String::new(),
            encrypted: false,
            state,
            message: None,
            started: jiff::Timestamp::UNIX_EPOCH,
            completed: None,
            bytes: None,
            layers: layers.iter().map(|id| (*id).to_owned()).collect(),
            deleted,
        }
    }

    fn volume(deleted: bool, layers: &[&str]) -> Volume {
        Volume {
            id: "vol".to_owned(),
            snapshot_id: "a".to_owned(),
            layers: layers.iter().map(|id| (*id).to_owned()).collect(),
            size: 8,
            volume_type: "gp3".to_owned(),
            iops: None,
            throughput: None,
            encrypted: false,
            zone: "z".to_owned(),
            created: jiff::Timestamp::UNIX_EPOCH,
            attachment: None,
            last_snapshot: None,
            deleted,
        }
    }

    #[test]
    fn only_what_nobody_stands_on_goes_the_topmost_first() {
        let store = Store::in_memory().unwrap();
        let unused = || store.transaction(unused_snapshots).unwrap();
        let done = SnapshotState::Completed;
        store
            .transaction(|tx| {
                put(tx, &snapshot("a", &["a"], true, done))?;
                put(tx, &snapshot("b", &["a", "b"], true, done))?;
                put(tx, &snapshot("c", &["a", "b", "c"], false, done))?;
                put(tx, &snapshot("d", &["d"], true, SnapshotState::Pending))?;
                put(tx, &snapshot("e", &["e"], true, done))
            })
            .unwrap();
        assert_eq!(
            unused(),
            ["e"],
            "c stands on a and b; d is still to be made"
        );
        store
            .transaction(|tx| {
                put(tx, &snapshot("c", &["a", "b", "c"], true, done))?;
                put(tx, &volume(false, &["a"]))
            })
            .unwrap();
        assert_eq!(unused(), ["c", "b", "e"], "the volume stands on a");
    }

    #[test]
    fn a_deleted_volume_waits_for_its_snapshot() {
        let store = Store::in_memory().unwrap();
        let put_both = |state| {
            store
                .transaction(|tx| {
                    put(tx, &volume(true, &["a"]))?;
                    put(tx, &snapshot("s", &["a", "s"], false, state))
                })
                .unwrap();
            store.transaction(unused_volumes).unwrap()
        };
        assert!(put_both(SnapshotState::Pending).is_empty());
        assert_eq!(put_both(SnapshotState::Completed), ["vol"]);
    }
}

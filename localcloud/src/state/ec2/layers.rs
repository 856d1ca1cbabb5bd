//! Which layers are still stood on. A deleted snapshot's layer goes when its last user has gone.

use std::collections::HashSet;

use rusqlite::Transaction;

use super::{Snapshot, Volume, list, remove};
use crate::error::ApiResult;

/// Deleted snapshots whose layer nothing stands on any more, topmost first, so that they can be
/// deleted in this order.
pub fn unused(tx: &Transaction<'_>) -> ApiResult<Vec<String>> {
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
        .filter(|snapshot| snapshot.deleted && !used.contains(&snapshot.id))
        .collect();
    unused.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.layers.len()));
    Ok(unused
        .into_iter()
        .map(|snapshot| snapshot.id.clone())
        .collect())
}

/// Forgets a deleted snapshot whose layer is gone from the disk.
pub fn forget(tx: &Transaction<'_>, snapshot: &str) -> ApiResult<()> {
    remove::<Snapshot>(tx, snapshot)
}

//! The layers of volumes and snapshots: freezing them, and deleting those that nothing stands on.

use std::sync::Arc;

use super::{Lifecycle, held};
use crate::ec2::ids::known;
use crate::error::ApiResult;
use crate::state::ec2::{Image, Snapshot, SnapshotState, Volume, get, layers, list, put};

impl Lifecycle {
    /// Freezes the volume of a pending snapshot, in the background.
    pub(in crate::ec2) fn freeze(self: &Arc<Self>, snapshot_id: &str) {
        let lifecycle = Arc::clone(self);
        let snapshot = snapshot_id.to_owned();
        tokio::spawn(async move {
            if let Err(error) = lifecycle.freeze_now(&snapshot).await {
                tracing::error!(snapshot, %error, "snapshot not recorded");
            }
            lifecycle.sweep_layers().await;
        });
    }

    async fn freeze_now(&self, id: &str) -> ApiResult<()> {
        let snapshot: Snapshot = self.store.transaction(|tx| known(tx, id))?;
        let lock = self.lock(&snapshot.volume_id);
        // Its instance can't boot while this is held.
        let _held = lock.lock().await;
        self.freeze_held(id).await
    }

    /// Makes the snapshot, unless that has been done while the lock was waited for.
    pub(super) async fn freeze_held(&self, id: &str) -> ApiResult<()> {
        let snapshot = self.store.transaction(|tx| get::<Snapshot>(tx, id))?;
        let Some(snapshot) = snapshot.filter(|found| found.state == SnapshotState::Pending) else {
            return Ok(());
        };
        let frozen = self.driver.freeze(&snapshot.volume_id, id).await;
        let now = self.clock.now();
        self.store.transaction(|tx| {
            let mut snapshot: Snapshot = known(tx, id)?;
            let failure = match frozen {
                Ok(bytes) => {
                    snapshot.state = SnapshotState::Completed;
                    snapshot.completed = Some(now);
                    snapshot.bytes = Some(bytes);
                    let mut volume: Volume = known(tx, &snapshot.volume_id)?;
                    volume.layers.clone_from(&snapshot.layers);
                    put(tx, &volume)?;
                    None
                }
                Err(error) => {
                    tracing::error!(snapshot = id, %error, "not frozen");
                    snapshot.state = SnapshotState::Error;
                    snapshot.message = Some(error.to_string());
                    Some(error.to_string())
                }
            };
            put(tx, &snapshot)?;
            for mut image in list::<Image>(tx)? {
                if image.pending && image.snapshot_id == id {
                    image.pending = false;
                    image.failure.clone_from(&failure);
                    put(tx, &image)?;
                }
            }
            Ok(())
        })
    }

    /// Deletes layers of deleted volumes, and of deleted snapshots that nothing stands on any more.
    pub(super) async fn sweep_layers(&self) {
        // One sweep at a time: two would delete the same layer twice.
        let _held = self.sweeping.lock().await;
        if let Err(error) = self.sweep_held().await {
            tracing::error!(%error, "layers not swept; tried again later");
        }
    }

    async fn sweep_held(&self) -> ApiResult<()> {
        for volume in self.store.transaction(layers::unused_volumes)? {
            match self.driver.delete_volume(&volume).await {
                Ok(()) => self
                    .store
                    .transaction(|tx| layers::forget_volume(tx, &volume))?,
                Err(error) => tracing::error!(volume, %error, "its layer stays on the disk"),
            }
            held(&self.locks).remove(&volume);
        }
        for snapshot in self.store.transaction(layers::unused_snapshots)? {
            match self.driver.delete_snapshot(&snapshot).await {
                Ok(()) => self
                    .store
                    .transaction(|tx| layers::forget_snapshot(tx, &snapshot))?,
                Err(error) => tracing::error!(snapshot, %error, "its layer stays on the disk"),
            }
        }
        Ok(())
    }

    /// The same in the background.
    pub(in crate::ec2) fn sweep(self: &Arc<Self>) {
        let lifecycle = Arc::clone(self);
        tokio::spawn(async move { lifecycle.sweep_layers().await });
    }
}

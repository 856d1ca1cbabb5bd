//! What takes time: booting, powering off, freezing, deleting layers.
//!
//! An API call only writes the state that an instance shall go to (pending, stopping, shutting-down) and
//! lets [`Lifecycle::settle`] bring it there. Settling holds the lock of the instance's volume, reads the
//! state, takes one step, and reads it again: so calls that come while it boots are obeyed afterwards,
//! in no order that could leave a guest behind. What is begun is written down first, so that the next
//! start of the server finishes it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use tokio::sync::{OnceCell, mpsc};

use super::Ec2Options;
use super::base::BASE_SNAPSHOT;
use super::ids::known;
use crate::account::REGION;
use crate::clock::Clock;
use crate::driver::{
    BootSpec, Driver, DriverError, DriverResult, MetadataService, PowerEvent, PowerOff,
};
use crate::error::{ApiError, ApiResult};
use crate::state::Store;
use crate::state::ec2::instance::Cause;
use crate::state::ec2::layers::pending as pending_snapshots;
use crate::state::ec2::{
    Image, Instance, InstanceState, SpotNotice, Volume, get, list, put, remove, tags,
};

mod layers;

/// How often what is left over is looked for. Nothing waits for it: it only mends and forgets.
const HOUSEKEEPING: Duration = Duration::from_secs(30);
/// How often a driver is asked again to power a guest off before housekeeping takes over.
const POWER_OFF_TRIES: u32 = 3;
const POWER_OFF_PAUSE: Duration = Duration::from_secs(1);

/// The part of the service that outlives calls.
pub(super) struct Lifecycle {
    store: Store,
    clock: Arc<dyn Clock>,
    pub(super) driver: Arc<dyn Driver>,
    metadata: Arc<dyn MetadataService>,
    endpoint: String,
    /// By volume id.
    locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    sweeping: tokio::sync::Mutex<()>,
    base: OnceCell<()>,
    /// What happened before an instance's guest could print: the making of the base root.
    preludes: Mutex<HashMap<String, String>>,
}

impl Lifecycle {
    pub(super) fn new(options: Ec2Options) -> Self {
        Self {
            store: options.store,
            clock: options.clock,
            driver: options.driver,
            metadata: options.metadata,
            endpoint: options.endpoint,
            locks: Mutex::default(),
            sweeping: tokio::sync::Mutex::default(),
            base: OnceCell::new(),
            preludes: Mutex::default(),
        }
    }

    pub(super) fn start(
        self: &Arc<Self>,
        mut events: mpsc::UnboundedReceiver<PowerEvent>,
    ) -> ApiResult<()> {
        let left = self.all_powered_off(&Cause::ServerEnded)?;
        for id in left {
            self.settle(&id);
        }
        for snapshot in self.store.transaction(pending_snapshots)? {
            self.freeze(&snapshot.id);
        }
        self.sweep();
        let follower = Arc::clone(self);
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                follower.power_event(&event);
            }
        });
        let keeper = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(HOUSEKEEPING).await;
                let Some(lifecycle) = keeper.upgrade() else {
                    return;
                };
                lifecycle.keep_house().await;
            }
        });
        Ok(())
    }

    pub(super) async fn shutdown(self: &Arc<Self>) -> ApiResult<()> {
        let ids = self.all_powered_off(&Cause::ServerEnded)?;
        futures::future::join_all(ids.iter().map(|id| self.settle_now(id))).await;
        Ok(())
    }

    /// Treats every guest as powered off; returns the instances that have to be settled.
    fn all_powered_off(&self, cause: &Cause) -> ApiResult<Vec<String>> {
        let now = self.clock.now();
        self.store.transaction(|tx| {
            let mut ids = Vec::new();
            for mut instance in list::<Instance>(tx)? {
                if instance.powered_off(cause, now) {
                    put(tx, &instance)?;
                }
                if in_transition(instance.state) {
                    ids.push(instance.id);
                }
            }
            Ok(ids)
        })
    }

    fn power_event(self: &Arc<Self>, event: &PowerEvent) {
        if event.cause == PowerOff::Requested {
            // Whoever requested it is settling the instance.
            return;
        }
        let now = self.clock.now();
        let changed = self.store.transaction(|tx| {
            let Some(mut instance) = get::<Instance>(tx, &event.instance_id)? else {
                return Ok(false);
            };
            let changed = instance.powered_off(&Cause::Guest, now);
            put(tx, &instance)?;
            Ok(changed)
        });
        match changed {
            Ok(true) => self.settle(&event.instance_id),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(instance = event.instance_id, %error, "power-off not recorded");
            }
        }
    }

    /// Brings an instance to the state it is on the way to, in the background.
    pub(super) fn settle(self: &Arc<Self>, instance_id: &str) {
        let lifecycle = Arc::clone(self);
        let id = instance_id.to_owned();
        tokio::spawn(async move { lifecycle.settle_now(&id).await });
    }

    async fn settle_now(&self, id: &str) {
        let volume = match self.store.transaction(|tx| known::<Instance>(tx, id)) {
            Ok(instance) => instance.volume_id,
            Err(error) => {
                tracing::error!(instance = id, %error, "state not readable");
                return;
            }
        };
        let lock = self.lock(&volume);
        let held = lock.lock().await;
        if let Err(error) = self.settle_held(id).await {
            tracing::error!(instance = id, %error, "left in transition; tried again later");
        }
        drop(held);
        self.sweep_layers().await;
    }

    async fn settle_held(&self, id: &str) -> ApiResult<()> {
        loop {
            let instance: Instance = self.store.transaction(|tx| known(tx, id))?;
            match instance.state {
                InstanceState::Pending => self.bring_up(&instance).await?,
                state if in_transition(state) => self.bring_down(&instance).await?,
                _ => return Ok(()),
            }
        }
    }

    async fn bring_up(&self, instance: &Instance) -> ApiResult<()> {
        // Snapshots show the volume as it was when they were asked for: before this boot.
        for snapshot in self.store.transaction(pending_snapshots)? {
            if snapshot.volume_id == instance.volume_id {
                self.freeze_held(&snapshot.id).await?;
            }
        }
        let first = instance.boots == 0;
        let booted = self.boot(instance).await;
        let now = self.clock.now();
        self.store.transaction(|tx| {
            let mut instance: Instance = known(tx, &instance.id)?;
            match booted {
                // Unless it was told to stop, or went off by itself, in the meantime.
                Ok(()) if instance.state == InstanceState::Pending => instance.booted(),
                Ok(()) => {}
                // A launch that fails terminates; a start that fails leaves it stopped, as on EC2.
                Err(error) => {
                    tracing::warn!(instance = instance.id, %error, "did not boot");
                    let cause = Cause::BootFailed(error.to_string());
                    if first {
                        instance.terminate(&cause, now);
                    } else {
                        instance.stop(&cause, now);
                    }
                }
            }
            put(tx, &instance)
        })
    }

    async fn boot(&self, instance: &Instance) -> DriverResult<()> {
        let volume: Volume = self
            .store
            .transaction(|tx| known(tx, &instance.volume_id))
            .map_err(in_driver)?;
        if volume
            .layers
            .first()
            .is_some_and(|first| first == BASE_SNAPSHOT)
        {
            self.ensure_base(&instance.id).await?;
        }
        let metadata = self.metadata.open(&instance.id).await?;
        let user_data = match &instance.user_data {
            Some(text) => Some(
                STANDARD
                    .decode(text)
                    .map_err(|error| DriverError(format!("user data: {error}")))?,
            ),
            None => None,
        };
        // Counted before it begins: whatever happens, a first boot is never done twice.
        self.store
            .transaction(|tx| {
                let mut instance: Instance = known(tx, &instance.id)?;
                instance.boots += 1;
                put(tx, &instance)
            })
            .map_err(in_driver)?;
        self.driver
            .boot(BootSpec {
                instance_id: instance.id.clone(),
                volume_id: volume.id,
                layers: volume.layers,
                volume_size: volume.size,
                hostname: instance.hostname(),
                user_data,
                first_boot: instance.boots == 0,
                environment: vec![
                    ("AWS_ENDPOINT_URL".to_owned(), self.endpoint.clone()),
                    ("AWS_EC2_METADATA_SERVICE_ENDPOINT".to_owned(), metadata),
                    ("AWS_REGION".to_owned(), REGION.to_owned()),
                ],
            })
            .await
    }

    /// Has the base root made once, however many instances wait for it.
    async fn ensure_base(&self, instance_id: &str) -> DriverResult<()> {
        self.base
            .get_or_try_init(|| async {
                let (progress, mut lines) = mpsc::unbounded_channel::<String>();
                let making = self.driver.ensure_base(BASE_SNAPSHOT, progress);
                let telling = async {
                    while let Some(line) = lines.recv().await {
                        tracing::info!(instance = instance_id, "{line}");
                        let mut preludes = held(&self.preludes);
                        let prelude = preludes.entry(instance_id.to_owned()).or_default();
                        prelude.push_str(&line);
                        prelude.push_str("\r\n");
                    }
                };
                tokio::join!(making, telling).0
            })
            .await
            .copied()
    }

    async fn bring_down(&self, instance: &Instance) -> ApiResult<()> {
        self.power_off(&instance.id).await?;
        self.metadata.close(&instance.id).await;
        let now = self.clock.now();
        self.store.transaction(|tx| {
            let mut instance: Instance = known(tx, &instance.id)?;
            if instance.state == InstanceState::ShuttingDown
                && let Some(mut volume) = get::<Volume>(tx, &instance.volume_id)?
                && let Some(attachment) = volume.attachment.take()
            {
                if attachment.delete_on_termination {
                    volume.deleted = true;
                    tags::forget(tx, &volume.id)?;
                }
                put(tx, &volume)?;
            }
            instance.settled(now);
            put(tx, &instance)
        })
    }

    async fn power_off(&self, id: &str) -> ApiResult<()> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.driver.power_off(id).await {
                Ok(()) => return Ok(()),
                Err(error) if tries < POWER_OFF_TRIES => {
                    tracing::warn!(instance = id, %error, "power-off failed, trying again");
                    tokio::time::sleep(POWER_OFF_PAUSE).await;
                }
                Err(error) => return Err(ApiError::internal(error)),
            }
        }
    }

    pub(super) fn interrupt_spot(
        self: &Arc<Self>,
        instance_id: &str,
        at: Timestamp,
    ) -> ApiResult<()> {
        let now = self.clock.now();
        self.store.transaction(|tx| {
            let mut instance = super::ids::instance(tx, instance_id, now)?;
            if instance.spot_request.is_none() || instance.state != InstanceState::Running {
                return Err(ApiError::new(
                    "UnsupportedOperation",
                    format!("The instance '{instance_id}' is not a running spot instance."),
                ));
            }
            instance.spot_notice = Some(SpotNotice {
                action: "terminate".to_owned(),
                at,
            });
            put(tx, &instance)
        })?;
        let lifecycle = Arc::clone(self);
        let id = instance_id.to_owned();
        let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            let now = lifecycle.clock.now();
            let ended = lifecycle.store.transaction(|tx| {
                let mut instance: Instance = known(tx, &id)?;
                instance.terminate(&Cause::SpotInterruption, now);
                put(tx, &instance)
            });
            match ended {
                Ok(()) => lifecycle.settle_now(&id).await,
                Err(error) => tracing::error!(instance = id, %error, "not interrupted"),
            }
        });
        Ok(())
    }

    async fn keep_house(self: &Arc<Self>) {
        let now = self.clock.now();
        let stuck = self.store.transaction(|tx| {
            let mut stuck = Vec::new();
            for instance in list::<Instance>(tx)? {
                if instance.forgettable(now) {
                    remove::<Instance>(tx, &instance.id)?;
                    tags::forget(tx, &instance.id)?;
                    held(&self.preludes).remove(&instance.id);
                } else if in_transition(instance.state) {
                    stuck.push(instance.id);
                }
            }
            for image in list::<Image>(tx)? {
                if image.forgettable(now) {
                    remove::<Image>(tx, &image.id)?;
                }
            }
            Ok(stuck)
        });
        match stuck {
            Ok(stuck) => stuck.iter().for_each(|id| self.settle(id)),
            Err(error) => tracing::error!(%error, "housekeeping failed"),
        }
        self.sweep_layers().await;
    }

    /// What was told before the guest's console begins.
    pub(super) fn prelude(&self, instance_id: &str) -> String {
        held(&self.preludes)
            .get(instance_id)
            .cloned()
            .unwrap_or_default()
    }

    fn lock(&self, id: &str) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(held(&self.locks).entry(id.to_owned()).or_default())
    }
}

fn in_transition(state: InstanceState) -> bool {
    matches!(
        state,
        InstanceState::Pending | InstanceState::Stopping | InstanceState::ShuttingDown
    )
}

fn in_driver(error: ApiError) -> DriverError {
    DriverError(error.message)
}

/// Locks a map that is whole after any panic.
fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

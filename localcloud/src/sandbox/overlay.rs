//! The `sandbox` driver: volumes and snapshots are layers of overlays, instances are namespaces.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::base::Base;
use super::boot::SandboxMachine;
use super::console;
use super::guest::Guest;
use super::layout::{Layout, failure, make_folder};
use super::namespace::{Namespace, run};
use crate::driver::{BootSpec, Driver, DriverError, DriverResult, PowerEvent};

/// Boots instances in namespaces; see `guest/boot.sh`.
pub(super) struct SandboxDriver {
    layout: Layout,
    namespace: Namespace,
    base: Arc<Base>,
    guests: Guests,
    events: mpsc::UnboundedSender<PowerEvent>,
}

impl SandboxDriver {
    pub(super) fn new(
        layout: Layout,
        namespace: Namespace,
        cache_dir: &Path,
        events: mpsc::UnboundedSender<PowerEvent>,
    ) -> Self {
        Self {
            layout,
            namespace,
            base: Arc::new(Base::new(cache_dir, namespace)),
            guests: Guests::default(),
            events,
        }
    }
}

#[async_trait]
impl Driver for SandboxDriver {
    fn name(&self) -> &'static str {
        "sandbox"
    }

    async fn ensure_base(
        &self,
        snapshot: &str,
        progress: mpsc::UnboundedSender<String>,
    ) -> DriverResult<()> {
        let base = Arc::clone(&self.base);
        let layout = self.layout.clone();
        let snapshot = snapshot.to_owned();
        blocking(move || {
            let root = base.ensure(&progress)?;
            let layer = layout.layer(&snapshot);
            if layer.read_link().is_ok_and(|target| target == root) {
                return Ok(());
            }
            make_folder(&layout.snapshot(&snapshot))?;
            let mark = layout.base_mark(&snapshot);
            fs::write(&mark, "").map_err(|error| failure("write", &mark, &error))?;
            // A link beside it, renamed over: an older one may be in use by a second look-up.
            let link = layer.with_extension("new");
            let _ = fs::remove_file(&link);
            symlink(&root, &link).map_err(|error| failure("link", &link, &error))?;
            fs::rename(&link, &layer).map_err(|error| failure("rename", &link, &error))
        })
        .await
    }

    async fn boot(&self, spec: BootSpec) -> DriverResult<()> {
        self.guests.refuse_running(&spec)?;
        let instance_id = spec.instance_id.clone();
        let volume_id = spec.volume_id.clone();
        let console = self.layout.console(&instance_id);
        let machine = SandboxMachine::new(self.layout.clone(), self.namespace, spec)?;
        make_folder(&self.layout.instance(&instance_id))?;
        self.guests
            .boot(
                instance_id,
                volume_id,
                Box::new(machine),
                console,
                self.events.clone(),
            )
            .await
    }

    async fn power_off(&self, instance_id: &str) -> DriverResult<()> {
        self.guests.power_off(instance_id).await
    }

    async fn console(&self, instance_id: &str) -> DriverResult<Vec<u8>> {
        read_console(&self.layout, instance_id)
    }

    async fn freeze(&self, volume_id: &str, snapshot: &str) -> DriverResult<u64> {
        self.guests.refuse_use(volume_id)?;
        let layout = self.layout.clone();
        let namespace = self.namespace;
        let (volume_id, snapshot) = (volume_id.to_owned(), snapshot.to_owned());
        blocking(move || {
            let upper = layout.upper(&volume_id);
            let layer = layout.layer(&snapshot);
            make_folder(&upper)?;
            make_folder(&layout.snapshot(&snapshot))?;
            // There already after a crash between the rename and the answer.
            if !layer.exists() {
                // What the guest was told to be on disk (the overlay is `volatile`) now must be.
                run(namespace.command("sync").arg("-f").arg(&upper))?;
                if fs::rename(&upper, &layer).is_err() {
                    // The guest may have given its `/` to another user or mode.
                    run(namespace.command("mv").arg("-T").arg(&upper).arg(&layer))?;
                }
            }
            make_folder(&upper)?;
            size(namespace, &layer)
        })
        .await
    }

    async fn delete_volume(&self, volume_id: &str) -> DriverResult<()> {
        self.guests.refuse_use(volume_id)?;
        let path = self.layout.volume(volume_id);
        let namespace = self.namespace;
        blocking(move || namespace.remove_tree(&path)).await
    }

    async fn delete_snapshot(&self, snapshot: &str) -> DriverResult<()> {
        let path = self.layout.snapshot(snapshot);
        let namespace = self.namespace;
        blocking(move || namespace.remove_tree(&path)).await
    }

    fn console_path(&self, instance_id: &str) -> PathBuf {
        self.layout.console(instance_id)
    }
}

/// The guests of a driver, by instance id; those that are off stay until they boot again.
#[derive(Default)]
pub(super) struct Guests(Mutex<HashMap<String, Arc<Guest>>>);

impl Guests {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Guest>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An error if the instance runs already, or its volume is another's.
    pub(super) fn refuse_running(&self, spec: &BootSpec) -> DriverResult<()> {
        if self
            .lock()
            .get(&spec.instance_id)
            .is_some_and(|guest| !guest.is_off())
        {
            return Err(DriverError(format!("{} runs already", spec.instance_id)));
        }
        self.refuse_use(&spec.volume_id)
    }

    /// An error if a guest runs on the volume.
    pub(super) fn refuse_use(&self, volume_id: &str) -> DriverResult<()> {
        let guests = self.lock();
        match guests
            .iter()
            .find(|(_, guest)| guest.volume_id == volume_id && !guest.is_off())
        {
            Some((instance, _)) => Err(DriverError(format!(
                "volume {volume_id} is in use by the running instance {instance}"
            ))),
            None => Ok(()),
        }
    }

    pub(super) async fn boot(
        &self,
        instance_id: String,
        volume_id: String,
        machine: Box<dyn super::guest::Machine>,
        console: PathBuf,
        events: mpsc::UnboundedSender<PowerEvent>,
    ) -> DriverResult<()> {
        let guest = Guest::boot(instance_id.clone(), volume_id, machine, console, events).await?;
        self.lock().insert(instance_id, guest);
        Ok(())
    }

    pub(super) async fn power_off(&self, instance_id: &str) -> DriverResult<()> {
        let guest = self.lock().get(instance_id).cloned();
        match guest {
            Some(guest) => guest.power_off().await,
            None => Ok(()),
        }
    }
}

impl Drop for Guests {
    /// Guests end with the server, also where its process lives on.
    fn drop(&mut self) {
        for guest in self.lock().values() {
            guest.kill();
        }
    }
}

/// Runs file work where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> DriverResult<T> + Send + 'static,
) -> DriverResult<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| DriverError(format!("a task of the driver failed: {error}")))?
}

pub(super) fn read_console(layout: &Layout, instance_id: &str) -> DriverResult<Vec<u8>> {
    let path = layout.console(instance_id);
    console::tail(&path).map_err(|error| failure("read", &path, &error))
}

/// Bytes in a layer.
pub(super) fn size(namespace: Namespace, layer: &Path) -> DriverResult<u64> {
    let printed = run(namespace.command("du").args(["-s", "-b", "--"]).arg(layer))?;
    printed
        .split_whitespace()
        .next()
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| DriverError(format!("du said {printed:?} of {}", layer.display())))
}

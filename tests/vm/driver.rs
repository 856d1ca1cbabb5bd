//! A driver of the local cloud whose instances are virtual machines and whose volumes are disks.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use localcloud::driver::{BootSpec, Driver, DriverError, DriverResult, PowerEvent, PowerOff};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, mpsc, watch};

use super::base::{Base, vm_folder};
use super::machine::{Credential, Machine, press_power_button};

/// How long a guest may take to power off once its button is pressed. Emulated, it takes half a minute.
const POWER_OFF_GRACE: Duration = Duration::from_mins(3);
/// A QEMU that can't start says so by then.
const START_GRACE: Duration = Duration::from_secs(30);
/// What EC2 keeps of a console.
const CONSOLE_KEPT: usize = 64 * 1024;

pub struct VmDriver {
    /// The server's, for sockets: their paths must be short.
    folder: PathBuf,
    /// Disks and consoles.
    kept: PathBuf,
    base: Base,
    machines: Mutex<HashMap<String, Arc<Running>>>,
    events: mpsc::UnboundedSender<PowerEvent>,
    /// What the machines that are booted next get beside what all get.
    more: Mutex<Vec<Credential>>,
}

/// A machine that is on, or was.
struct Running {
    monitor: PathBuf,
    requested: AtomicBool,
    plug: Notify,
    off: watch::Sender<bool>,
}

impl VmDriver {
    /// In the folder of a server.
    pub fn new(
        story: &str,
        folder: &Path,
        base: Base,
        events: mpsc::UnboundedSender<PowerEvent>,
    ) -> DriverResult<Self> {
        // Not in the server's folder, which may be in memory. What a run leaves stays to be looked at.
        let kept = vm_folder().join(story);
        let _ = std::fs::remove_dir_all(&kept);
        std::fs::create_dir_all(&kept).map_err(failed)?;
        Ok(Self {
            folder: folder.to_owned(),
            kept,
            base,
            machines: Mutex::default(),
            events,
            more: Mutex::default(),
        })
    }

    /// From now on machines boot with these credentials too.
    pub fn boot_with(&self, more: Vec<Credential>) {
        *self.more.lock().unwrap_or_else(PoisonError::into_inner) = more;
    }

    /// The disk of a volume or snapshot, by its id.
    pub fn disk(&self, id: &str) -> PathBuf {
        self.kept.join(format!("{id}.raw"))
    }

    fn machine(&self, instance_id: &str) -> Option<Arc<Running>> {
        let machines = self.machines.lock().unwrap_or_else(PoisonError::into_inner);
        machines.get(instance_id).cloned()
    }
}

fn failed(error: impl std::fmt::Display) -> DriverError {
    DriverError(error.to_string())
}

#[async_trait]
impl Driver for VmDriver {
    fn name(&self) -> &'static str {
        "vm"
    }

    async fn ensure_base(
        &self,
        snapshot: &str,
        _progress: mpsc::UnboundedSender<String>,
    ) -> DriverResult<()> {
        let link = self.disk(snapshot);
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(self.base.disk(), link).map_err(failed)
    }

    async fn boot(&self, spec: BootSpec) -> DriverResult<()> {
        let disk = self.disk(&spec.volume_id);
        if !disk.exists() {
            let below = spec
                .layers
                .last()
                .ok_or_else(|| failed("no layer to boot from"))?;
            copy_disk(&self.disk(below), &disk, spec.volume_size).await?;
        }
        let variable = |name: &str| {
            let found = spec.environment.iter().find(|(its, _)| its == name);
            found
                .map(|(_, value)| value.clone())
                .ok_or_else(|| failed(format!("no {name} is given")))
        };
        let metadata = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT")?;
        let endpoint = variable("AWS_ENDPOINT_URL")?;
        let port = endpoint.rsplit(':').next().and_then(|p| p.parse().ok());
        let monitor = self.folder.join(format!("{}.monitor", spec.instance_id));
        let more = self
            .more
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut child = Machine {
            instance_id: &spec.instance_id,
            disk: &disk,
            mac: &mac(&metadata).await?,
            metadata: metadata.trim_start_matches("http://"),
            port: port.ok_or_else(|| failed(format!("no port in {endpoint}")))?,
            console: &self.console_path(&spec.instance_id),
            monitor: &monitor,
            more: &more,
        }
        .start(&self.base)
        .map_err(|error| failed(format!("can't run setpriv and qemu-system-x86_64: {error}")))?;
        wait_started(&mut child, &monitor).await?;

        let running = Arc::new(Running {
            monitor,
            requested: AtomicBool::new(false),
            plug: Notify::new(),
            off: watch::Sender::new(false),
        });
        let mut machines = self.machines.lock().unwrap_or_else(PoisonError::into_inner);
        machines.insert(spec.instance_id.clone(), Arc::clone(&running));
        tokio::spawn(live(spec.instance_id, running, child, self.events.clone()));
        Ok(())
    }

    async fn power_off(&self, instance_id: &str) -> DriverResult<()> {
        let Some(running) = self.machine(instance_id) else {
            return Ok(());
        };
        running.requested.store(true, Ordering::SeqCst);
        let mut off = running.off.subscribe();
        if !*off.borrow() {
            press_power_button(&running.monitor).await;
        }
        if tokio::time::timeout(POWER_OFF_GRACE, off.wait_for(|off| *off))
            .await
            .is_err()
        {
            running.plug.notify_one();
            off.wait_for(|off| *off).await.map_err(failed)?;
        }
        Ok(())
    }

    async fn console(&self, instance_id: &str) -> DriverResult<Vec<u8>> {
        let mut text = std::fs::read(self.console_path(instance_id)).unwrap_or_default();
        Ok(text.split_off(text.len().saturating_sub(CONSOLE_KEPT)))
    }

    async fn freeze(&self, volume_id: &str, snapshot: &str) -> DriverResult<u64> {
        use std::os::unix::fs::MetadataExt as _;
        let frozen = self.disk(snapshot);
        if !frozen.exists() {
            std::fs::rename(self.disk(volume_id), &frozen).map_err(failed)?;
        }
        // Sparse: what it really takes, in blocks of 512 bytes.
        Ok(frozen.metadata().map_err(failed)?.blocks() * 512)
    }

    async fn delete_volume(&self, volume_id: &str) -> DriverResult<()> {
        remove(&self.disk(volume_id))
    }

    async fn delete_snapshot(&self, snapshot: &str) -> DriverResult<()> {
        remove(&self.disk(snapshot))
    }

    fn console_path(&self, instance_id: &str) -> PathBuf {
        self.kept.join(format!("{instance_id}.console"))
    }
}

fn remove(disk: &Path) -> DriverResult<()> {
    match std::fs::remove_file(disk) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(()),
    }
}

/// A machine's life until its QEMU has ended.
async fn live(
    instance_id: String,
    running: Arc<Running>,
    mut child: Child,
    events: mpsc::UnboundedSender<PowerEvent>,
) {
    tokio::select! {
        _ = child.wait() => {}
        () = running.plug.notified() => {
            let _ = child.kill().await;
        }
    }
    running.off.send_replace(true);
    let cause = if running.requested.load(Ordering::SeqCst) {
        PowerOff::Requested
    } else {
        PowerOff::Guest
    };
    let _ = events.send(PowerEvent { instance_id, cause });
}

/// Returns when QEMU has opened its monitor: then it has understood all its arguments.
async fn wait_started(child: &mut Child, monitor: &Path) -> DriverResult<()> {
    let until = tokio::time::Instant::now() + START_GRACE;
    loop {
        if tokio::net::UnixStream::connect(monitor).await.is_ok() {
            return Ok(());
        }
        let ended = child.try_wait().map_err(failed)?;
        if ended.is_some() || tokio::time::Instant::now() > until {
            let _ = child.kill().await;
            let mut words = String::new();
            if let Some(mut stderr) = child.stderr.take() {
                let _ = stderr.read_to_string(&mut words).await;
            }
            return Err(failed(format!("QEMU did not start: {}", words.trim())));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A new disk of `size` GiB that begins as `from`.
async fn copy_disk(from: &Path, to: &Path, size: u32) -> DriverResult<()> {
    let making = to.with_extension("making");
    let copied = Command::new("cp")
        .args(["--reflink=auto", "--sparse=always", "--"])
        .arg(from)
        .arg(&making)
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(failed)?;
    if !copied.status.success() {
        return Err(failed(String::from_utf8_lossy(&copied.stderr)));
    }
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(&making)
        .map_err(failed)?;
    file.set_len(u64::from(size) << 30).map_err(failed)?;
    std::fs::rename(&making, to).map_err(failed)
}

/// The address of the instance's network interface: cloud-init looks it up in the metadata.
async fn mac(metadata: &str) -> DriverResult<String> {
    let client = aws_config::imds::client::Client::builder()
        .endpoint(metadata)
        .map_err(failed)?
        .configure(
            &aws_config::provider_config::ProviderConfig::without_region()
                .with_http_client(aws_smithy_http_client::Builder::new().build_http()),
        )
        .build();
    let mac = client
        .get("/latest/meta-data/mac")
        .await
        .map_err(|error| failed(format!("the metadata service: {error}")))?;
    Ok(mac.as_ref().to_owned())
}

//! The seam between the EC2 API and the thing that boots: a `Driver` knows volumes, snapshots
//! (layers) and running instances by id, and nothing of HTTP, tags or permissions.

use std::path::PathBuf;

use async_trait::async_trait;
use tokio::sync::mpsc;

/// What went wrong in booting, freezing or deleting; `Display` is a sentence for a person.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DriverError(pub String);

pub type DriverResult<T> = Result<T, DriverError>;

/// Everything a boot needs. Layers are snapshot ids, the base first.
#[derive(Debug, Clone)]
pub struct BootSpec {
    pub instance_id: String,
    pub volume_id: String,
    /// Snapshot ids under the volume, lowest first.
    pub layers: Vec<String>,
    /// GiB; for drivers whose volumes are disks.
    pub volume_size: u32,
    /// Host name inside, e.g. `ip-127-0-3-17`.
    pub hostname: String,
    /// Raw user data (already base64-decoded). Run as cloud-init would if it begins `#!`, and
    /// only on the first boot of the instance.
    pub user_data: Option<Vec<u8>>,
    pub first_boot: bool,
    /// Environment of the guest's init: AWS_ENDPOINT_URL, AWS_EC2_METADATA_SERVICE_ENDPOINT, AWS_REGION.
    pub environment: Vec<(String, String)>,
}

/// Why an instance is no longer running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PowerOff {
    /// The guest powered itself off (or its init ended).
    Guest,
    /// `power_off` was called.
    Requested,
}

/// Told by a driver when a guest is off and all its processes are gone.
#[derive(Debug, Clone)]
pub struct PowerEvent {
    pub instance_id: String,
    pub cause: PowerOff,
}

/// What gives each instance its own metadata endpoint. It reads what it tells from
/// [`crate::state::ec2::instance_facts`], anew for each request.
#[async_trait]
pub trait MetadataService: Send + Sync {
    /// Serves the instance's metadata until [`close`](Self::close); called before each boot. Returns the
    /// endpoint that the guest is told as `AWS_EC2_METADATA_SERVICE_ENDPOINT`, e.g.
    /// `http://127.0.16.4:40123`. Where it binds is its own choice: the instance's private address
    /// (`InstanceFacts::private_ip`) is in 127.0.0.0/8 and no other live instance has it.
    async fn open(&self, instance_id: &str) -> DriverResult<String>;

    /// Stops serving it; called when the instance is off. No error if it isn't served.
    async fn close(&self, instance_id: &str);
}

/// One way of booting instances. Implementations: `sandbox` (namespaces and overlays) and
/// `process` (a staged folder and the host's ffmpeg).
#[async_trait]
pub trait Driver: Send + Sync {
    /// `sandbox` or `process`; shown by `muck local status`.
    fn name(&self) -> &'static str;

    /// Makes the layer of the base AMI ready under the snapshot id `snapshot` (a Debian root;
    /// cached over all server folders). `progress` gets lines for a person.
    async fn ensure_base(
        &self,
        snapshot: &str,
        progress: mpsc::UnboundedSender<String>,
    ) -> DriverResult<()>;

    /// Starts an instance; returns when its init runs. Power events go to the channel that the
    /// driver was built with; one may arrive before this returns.
    async fn boot(&self, spec: BootSpec) -> DriverResult<()>;

    /// Powers an instance off: asks (as ACPI does), then kills it whole after a grace of seconds.
    /// No error if it is off already.
    async fn power_off(&self, instance_id: &str) -> DriverResult<()>;

    /// The console so far (raw bytes, at most the last 64 KiB, as EC2 keeps).
    async fn console(&self, instance_id: &str) -> DriverResult<Vec<u8>>;

    /// Freezes the volume's own layer as `snapshot`. It is called only while no guest runs on the
    /// volume, so the layer is moved, not copied, and the volume has an empty layer over `snapshot`
    /// afterwards (its chain grows by one). A volume that was never booted freezes as an empty layer.
    /// Returns the layer's size in bytes.
    ///
    /// Called again after a crash of the server: if the layer `snapshot` is there already, it only makes
    /// sure that the volume has a layer over it and returns the size. So the move must be atomic.
    async fn freeze(&self, volume_id: &str, snapshot: &str) -> DriverResult<u64>;

    /// Deletes a volume's layer. No error if absent.
    async fn delete_volume(&self, volume_id: &str) -> DriverResult<()>;

    /// Deletes a snapshot's layer. No error if absent. The caller makes sure that nothing stands on it.
    async fn delete_snapshot(&self, snapshot: &str) -> DriverResult<()>;

    /// Where the instance's console file lies, for `muck local status`.
    fn console_path(&self, instance_id: &str) -> PathBuf;
}

//! A volume: a layer of its own over a chain of snapshots.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Document;

/// A volume. Only root volumes exist: each is made with its instance and attached to it until
/// that is terminated.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Volume {
    pub id: String,
    /// The snapshot it was made of.
    pub snapshot_id: String,
    /// Snapshots under its own layer, lowest first. Grows when the volume itself is frozen.
    pub layers: Vec<String>,
    /// GiB, as declared; not enforced.
    pub size: u32,
    /// E.g. `gp3`.
    pub volume_type: String,
    pub iops: Option<u32>,
    /// MiB/s.
    pub throughput: Option<u32>,
    pub encrypted: bool,
    pub zone: String,
    pub created: Timestamp,
    pub attachment: Option<Attachment>,
    /// When CreateSnapshot was last asked for, for its rate limit.
    pub last_snapshot: Option<Timestamp>,
    /// Gone as the API shows it; the row stays until the layer is off the disk, so that a crash
    /// between the two leaves nothing there.
    pub deleted: bool,
}

/// Where a volume is attached.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Attachment {
    pub instance_id: String,
    pub device: String,
    pub since: Timestamp,
    pub delete_on_termination: bool,
}

impl Document for Volume {
    const TABLE: &'static str = "ec2_volumes";

    fn id(&self) -> &str {
        &self.id
    }
}

//! A snapshot: a frozen layer over the snapshots below it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Document;

/// States, with EC2's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SnapshotState {
    Pending,
    Completed,
    Error,
}

impl SnapshotState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Completed => "completed",
            Self::Error => "error",
        }
    }
}

/// A snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Snapshot {
    pub id: String,
    pub owner: String,
    pub volume_id: String,
    /// GiB of the volume it was made of.
    pub volume_size: u32,
    pub description: String,
    pub encrypted: bool,
    pub state: SnapshotState,
    /// Why it is in error.
    pub message: Option<String>,
    pub started: Timestamp,
    pub completed: Option<Timestamp>,
    /// Bytes in its own layer, once completed.
    pub bytes: Option<u64>,
    /// Its chain, lowest first, itself last.
    pub layers: Vec<String>,
    /// Deleted by its owner; the layer stays while others stand on it, and the API shows it gone.
    pub deleted: bool,
}

impl Document for Snapshot {
    const TABLE: &'static str = "ec2_snapshots";

    fn id(&self) -> &str {
        &self.id
    }
}

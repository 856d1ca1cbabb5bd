//! An image (AMI): a name and boot settings bound to a snapshot.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Document;

/// How long a deregistered image is still known: EC2's own time isn't published; a day covers any
/// session that still holds the id.
const DEREGISTERED_KEPT: SignedDuration = SignedDuration::from_hours(24);

/// An image. A deregistered one keeps its row for a while, so that using it says "no longer
/// available" rather than "does not exist", as EC2 does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Image {
    pub id: String,
    pub name: String,
    pub owner: String,
    pub description: Option<String>,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    pub root_device: String,
    pub snapshot_id: String,
    /// GiB.
    pub volume_size: u32,
    pub volume_type: String,
    pub delete_on_termination: bool,
    pub encrypted: bool,
    pub ena_support: bool,
    pub boot_mode: Option<String>,
    /// `v2.0` makes IMDSv2 the default of its instances, with hop limit 2.
    pub imds_support: Option<String>,
    pub sriov_net_support: Option<String>,
    pub tpm_support: Option<String>,
    pub public: bool,
    pub created: Timestamp,
    /// The instance that CreateImage was called on.
    pub source_instance: Option<String>,
    /// `pending` until a snapshot that CreateImage began is complete.
    pub pending: bool,
    /// Why it failed, if it did.
    pub failure: Option<String>,
    pub deregistered: Option<Timestamp>,
}

impl Document for Image {
    const TABLE: &'static str = "ec2_images";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Image {
    /// Whether its row may be forgotten.
    pub fn forgettable(&self, now: Timestamp) -> bool {
        self.deregistered
            .is_some_and(|end| now.duration_since(end) >= DEREGISTERED_KEPT)
    }

    /// `State`, with EC2's names.
    pub fn state(&self) -> &'static str {
        if self.failure.is_some() {
            "failed"
        } else if self.pending {
            "pending"
        } else {
            "available"
        }
    }
}

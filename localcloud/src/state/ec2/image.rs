//! An image (AMI): a name and boot settings bound to a snapshot.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Document;

/// An image. A deregistered one leaves no row but its id (`deregistered`), so that using it says
/// "no longer available" rather than "does not exist", as EC2 does for a while.
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
    pub deregistered: bool,
}

impl Document for Image {
    const TABLE: &'static str = "ec2_images";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Image {
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

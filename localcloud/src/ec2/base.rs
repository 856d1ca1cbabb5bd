//! The base image: a Debian root that the driver makes once. It stands in for Debian's own AMI,
//! so it has Debian's owner id and the form of its names.

use jiff::Timestamp;

use crate::error::{ApiError, ApiResult};
use crate::state::Store;
use crate::state::ec2::{Image, Snapshot, SnapshotState, get, put};

/// The account from which Debian publishes its images (wiki.debian.org/Cloud/AmazonEC2Image).
pub const DEBIAN_OWNER: &str = "136693071363";
/// Its image here. An id never given to another, so it may be written in a configuration.
pub const BASE_IMAGE: &str = "ami-00000000000000d13";
/// Its snapshot; [`crate::driver::Driver::ensure_base`] is told this.
pub const BASE_SNAPSHOT: &str = "snap-00000000000000d13";
/// GiB; the size of Debian's images.
const BASE_SIZE: u32 = 8;
/// Debian's own AMIs have their root here.
const ROOT_DEVICE: &str = "/dev/xvda";

/// EC2's and Debian's names of the architecture that guests here have: the host's, since nothing is emulated.
fn architecture() -> (&'static str, &'static str) {
    match std::env::consts::ARCH {
        "aarch64" => ("arm64", "arm64"),
        _ => ("x86_64", "amd64"),
    }
}

/// Makes the base image and its snapshot known, if they aren't.
pub(super) fn seed(store: &Store) -> ApiResult<()> {
    let (architecture, debian) = architecture();
    let made: Timestamp = "2026-01-01T12:34:00Z".parse().map_err(ApiError::internal)?;
    let snapshot = Snapshot {
        id: BASE_SNAPSHOT.to_owned(),
        owner: DEBIAN_OWNER.to_owned(),
        volume_id: "vol-ffffffff".to_owned(),
        volume_size: BASE_SIZE,
        description: "Debian 13".to_owned(),
        encrypted: false,
        state: SnapshotState::Completed,
        message: None,
        started: made,
        completed: Some(made),
        bytes: None,
        layers: vec![BASE_SNAPSHOT.to_owned()],
        deleted: false,
    };
    let image = Image {
        id: BASE_IMAGE.to_owned(),
        name: format!("debian-13-{debian}-20260101-1234"),
        owner: DEBIAN_OWNER.to_owned(),
        description: Some(format!("Debian 13 ({debian})")),
        architecture: architecture.to_owned(),
        root_device: ROOT_DEVICE.to_owned(),
        snapshot_id: BASE_SNAPSHOT.to_owned(),
        volume_size: BASE_SIZE,
        volume_type: "gp3".to_owned(),
        delete_on_termination: true,
        encrypted: false,
        ena_support: true,
        boot_mode: Some("uefi-preferred".to_owned()),
        imds_support: None,
        sriov_net_support: Some("simple".to_owned()),
        tpm_support: None,
        public: true,
        created: made,
        source_instance: None,
        pending: false,
        failure: None,
        deregistered: None,
    };
    store.transaction(|tx| {
        if get::<Image>(tx, BASE_IMAGE)?.is_none() {
            put(tx, &snapshot)?;
            put(tx, &image)?;
        }
        Ok(())
    })
}

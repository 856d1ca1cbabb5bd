//! RegisterImage, CreateImage, CopyImage: the ways an image comes to be.

use jiff::Timestamp;
use rusqlite::Transaction;

use super::dry_run::DryRun;
use super::launch_request::{DeviceRequest, read_devices};
use super::tagging::TagSpecifications;
use super::{Ec2, ids, launch, snapshots};
use crate::account::{ACCOUNT, REGION};
use crate::error::{ApiError, ApiResult};
use crate::query_protocol::{Params, XmlBody};
use crate::state::ec2::tokens::{self, Token};
use crate::state::ec2::{
    Image, Instance, InstanceState, Snapshot, SnapshotState, Volume, list, new_id, put, tags,
};

/// What RegisterImage asks for beside its devices.
struct Registration {
    name: String,
    description: Option<String>,
    architecture: String,
    root_device: String,
    ena_support: bool,
    boot_mode: Option<String>,
    imds_support: Option<String>,
    sriov_net_support: Option<String>,
    tpm_support: Option<String>,
}

impl Registration {
    fn read(params: &Params) -> ApiResult<Self> {
        let name = params.required("Name")?;
        // EC2's defaults are i386 and paravirtual, which no present instance type boots.
        let architecture = choice(params, "Architecture", &["x86_64", "arm64"])?
            .ok_or_else(|| must("Architecture", "x86_64 or arm64"))?;
        choice(params, "VirtualizationType", &["hvm"])?
            .ok_or_else(|| must("VirtualizationType", "hvm"))?;
        Ok(Self {
            name,
            description: params.optional("Description"),
            architecture,
            // The API reference's default for EBS-backed images.
            root_device: params
                .optional("RootDeviceName")
                .unwrap_or_else(|| "/dev/sda1".to_owned()),
            ena_support: params.boolean("EnaSupport")?.unwrap_or(false),
            boot_mode: choice(
                params,
                "BootMode",
                &["legacy-bios", "uefi", "uefi-preferred"],
            )?,
            imds_support: choice(params, "ImdsSupport", &["v2.0"])?,
            sriov_net_support: choice(params, "SriovNetSupport", &["simple"])?,
            tpm_support: choice(params, "TpmSupport", &["v2.0"])?,
        })
    }
}

/// One of some words, if given.
fn choice(params: &Params, name: &str, words: &[&str]) -> ApiResult<Option<String>> {
    match params.optional(name) {
        Some(value) if !words.contains(&value.as_str()) => Err(ApiError::new(
            "InvalidParameterValue",
            format!(
                "Value ({value}) for parameter {name} is invalid. Expected: {}.",
                words.join(", ")
            ),
        )),
        given => Ok(given),
    }
}

fn must(name: &str, what: &str) -> ApiError {
    ApiError::new(
        "InvalidParameterValue",
        format!("The default of {name} boots on no instance type here: give {what}."),
    )
}

/// # Errors
/// `InvalidAMIName.Malformed`; `InvalidAMIName.Duplicate` naming the image that has it.
fn check_name(tx: &Transaction<'_>, name: &str) -> ApiResult<()> {
    // The characters of the API reference, RegisterImage, Name.
    let allowed = |c: char| c.is_ascii_alphanumeric() || "()[] ./-'@_".contains(c);
    if !(3..=128).contains(&name.len()) || !name.chars().all(allowed) {
        return Err(ApiError::new(
            "InvalidAMIName.Malformed",
            "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, '(', ')', '.', '-', '/' and '_'",
        ));
    }
    let holder = list::<Image>(tx)?
        .into_iter()
        .find(|image| image.owner == ACCOUNT && image.deregistered.is_none() && image.name == name);
    match holder {
        None => Ok(()),
        Some(image) => Err(ApiError::new(
            "InvalidAMIName.Duplicate",
            format!("AMI name {name} is already in use by AMI {}", image.id),
        )),
    }
}

impl Ec2 {
    pub(super) fn register_image(&self, params: &Params, dry_run: DryRun) -> ApiResult<XmlBody> {
        let asked = Registration::read(params)?;
        let devices = read_devices(params)?;
        let specifications = TagSpecifications::read(params, &["image"])?;
        params.finish()?;
        let now = self.clock.now();
        let id = self.store.transaction(|tx| {
            check_name(tx, &asked.name)?;
            let (device, snapshot) = root(tx, &devices, &asked.root_device)?;
            let size = device.size.unwrap_or(snapshot.volume_size);
            if size < snapshot.volume_size {
                return Err(too_small(size, &snapshot));
            }
            let image = Image {
                id: new_id("ami"),
                name: asked.name,
                owner: ACCOUNT.to_owned(),
                description: asked.description,
                architecture: asked.architecture,
                root_device: asked.root_device,
                snapshot_id: snapshot.id,
                volume_size: size,
                // EC2's default for a registered image's volume.
                volume_type: device
                    .volume_type
                    .clone()
                    .unwrap_or_else(|| "gp2".to_owned()),
                delete_on_termination: device.delete_on_termination.unwrap_or(true),
                encrypted: snapshot.encrypted,
                ena_support: asked.ena_support,
                boot_mode: asked.boot_mode,
                imds_support: asked.imds_support,
                sriov_net_support: asked.sriov_net_support,
                tpm_support: asked.tpm_support,
                public: false,
                created: now,
                source_instance: None,
                pending: false,
                failure: None,
                deregistered: None,
            };
            put(tx, &image)?;
            specifications.apply(tx, "image", &image.id)?;
            dry_run.end()?;
            Ok(image.id)
        })?;
        Ok(image_id(&id))
    }

    pub(super) fn create_image(&self, params: &Params, dry_run: DryRun) -> ApiResult<XmlBody> {
        let instance_id = params.required("InstanceId")?;
        let name = params.required("Name")?;
        let description = params.optional("Description");
        // Only instances at rest are taken, so there is nothing to reboot.
        params.boolean("NoReboot")?;
        let specifications = TagSpecifications::read(params, &["image", "snapshot"])?;
        params.finish()?;
        let now = self.clock.now();
        let image = self.store.transaction(|tx| {
            check_name(tx, &name)?;
            let instance = ids::instance(tx, &instance_id, now)?;
            if instance.state != InstanceState::Stopped {
                return Err(ApiError::new(
                    "IncorrectState",
                    format!(
                        "The local cloud makes images of stopped instances: {instance_id} is {}.",
                        instance.state.name()
                    ),
                ));
            }
            let volume = launch::volume_of(tx, &instance)?
                .ok_or_else(|| ApiError::internal(format!("{instance_id} has lost its volume")))?;
            let image = of_instance(&instance, &volume, name, description, now);
            let snapshot = snapshots::begin(
                tx,
                volume,
                format!("Created by CreateImage({instance_id}) for {}", image.id),
                now,
            )?;
            let image = Image {
                snapshot_id: snapshot.id,
                ..image
            };
            put(tx, &image)?;
            specifications.apply(tx, "image", &image.id)?;
            specifications.apply(tx, "snapshot", &image.snapshot_id)?;
            dry_run.end()?;
            Ok(image)
        })?;
        self.lifecycle.freeze(&image.snapshot_id);
        Ok(image_id(&image.id))
    }

    /// A copy within the region. Layers are shared: the copy's snapshot stands on the same ones.
    pub(super) fn copy_image(&self, params: &Params, dry_run: DryRun) -> ApiResult<XmlBody> {
        let source = params.required("SourceImageId")?;
        let region = params.required("SourceRegion")?;
        let name = params.required("Name")?;
        let description = params.optional("Description");
        let with_tags = params.boolean("CopyImageTags")?.unwrap_or(false);
        let encrypted = params.boolean("Encrypted")?;
        let client_token = params.optional("ClientToken");
        let specifications = TagSpecifications::read(params, &["image", "snapshot"])?;
        params.finish()?;
        if region != REGION {
            return Err(ApiError::new(
                "InvalidParameterValue",
                format!(
                    "Value ({region}) for parameter sourceRegion is invalid. The only region is {REGION}."
                ),
            ));
        }
        let now = self.clock.now();
        let asked = (
            &source,
            &name,
            &description,
            with_tags,
            encrypted,
            &specifications,
        );
        let fingerprint = serde_json::to_string(&asked).map_err(ApiError::internal)?;
        let token = client_token.as_deref().map(|token| Token {
            action: "CopyImage",
            token,
            fingerprint: &fingerprint,
        });
        let id = self.store.transaction(|tx| {
            if let Some(token) = token
                && let Some(made) = tokens::recall(tx, token, now)?
            {
                dry_run.end()?;
                return Ok(made);
            }
            check_name(tx, &name)?;
            let source = ids::image(tx, &source)?;
            let below: Snapshot = ids::known(tx, &source.snapshot_id)?;
            completed(&below)?;
            let image_id = new_id("ami");
            let snapshot = Snapshot {
                id: new_id("snap"),
                owner: ACCOUNT.to_owned(),
                // EC2 shows this for copies.
                volume_id: "vol-ffffffff".to_owned(),
                description: format!(
                    "Copied for DestinationAmi {image_id} from SourceAmi {} for SourceSnapshot {}.",
                    source.id, below.id
                ),
                encrypted: encrypted.unwrap_or(false) || below.encrypted,
                started: now,
                completed: Some(now),
                ..below
            };
            let image = Image {
                id: image_id,
                name: name.clone(),
                owner: ACCOUNT.to_owned(),
                description: description.clone().or_else(|| source.description.clone()),
                snapshot_id: snapshot.id.clone(),
                encrypted: snapshot.encrypted,
                public: false,
                created: now,
                source_instance: None,
                ..source.clone()
            };
            put(tx, &snapshot)?;
            put(tx, &image)?;
            if with_tags {
                for (key, value) in tags::of(tx, &source.id)? {
                    tags::set(tx, &image.id, "image", &key, &value)?;
                }
            }
            specifications.apply(tx, "image", &image.id)?;
            specifications.apply(tx, "snapshot", &snapshot.id)?;
            if let Some(token) = token {
                tokens::remember(tx, token, &image.id, now)?;
            }
            dry_run.end()?;
            Ok(image.id)
        })?;
        Ok(image_id(&id))
    }
}

fn image_id(id: &str) -> XmlBody {
    let mut body = XmlBody::new();
    body.text("imageId", id);
    body
}

/// The root device's mapping and its snapshot.
fn root<'a>(
    tx: &Transaction<'_>,
    devices: &'a [DeviceRequest],
    root_device: &str,
) -> ApiResult<(&'a DeviceRequest, Snapshot)> {
    let [device] = devices else {
        return Err(ApiError::new(
            "InvalidBlockDeviceMapping",
            format!("The local cloud's images have one device, the root device {root_device}."),
        ));
    };
    let (true, Some(snapshot)) = (device.device == root_device, &device.snapshot_id) else {
        return Err(ApiError::new(
            "InvalidBlockDeviceMapping",
            format!("The root device {root_device} must be mapped to a snapshot."),
        ));
    };
    let snapshot = ids::snapshot(tx, snapshot)?;
    completed(&snapshot)?;
    if device.encrypted == Some(true) && !snapshot.encrypted {
        return Err(ApiError::new(
            "InvalidBlockDeviceMapping",
            "the encrypted flag cannot be specified since device has a snapshot specified.",
        ));
    }
    Ok((device, snapshot))
}

fn completed(snapshot: &Snapshot) -> ApiResult<()> {
    if snapshot.state == SnapshotState::Completed {
        return Ok(());
    }
    Err(ApiError::new(
        "IncorrectState",
        format!("Snapshot is in invalid state - {}", snapshot.state.name()),
    ))
}

fn too_small(size: u32, snapshot: &Snapshot) -> ApiError {
    ApiError::new(
        "InvalidBlockDeviceMapping",
        format!(
            "Volume of size {size}GB is smaller than snapshot '{}', expect size >= {}GB",
            snapshot.id, snapshot.volume_size
        ),
    )
}

/// The image of an instance, pending until its snapshot (whose id is still to be set) is complete.
fn of_instance(
    instance: &Instance,
    volume: &Volume,
    name: String,
    description: Option<String>,
    now: Timestamp,
) -> Image {
    Image {
        id: new_id("ami"),
        name,
        owner: ACCOUNT.to_owned(),
        description,
        architecture: instance.architecture.clone(),
        root_device: instance.root_device.clone(),
        snapshot_id: String::new(),
        volume_size: volume.size,
        volume_type: volume.volume_type.clone(),
        delete_on_termination: volume
            .attachment
            .as_ref()
            .is_none_or(|attachment| attachment.delete_on_termination),
        encrypted: volume.encrypted,
        ena_support: true,
        boot_mode: None,
        imds_support: None,
        sriov_net_support: None,
        tpm_support: None,
        public: false,
        created: now,
        source_instance: Some(instance.id.clone()),
        pending: true,
        failure: None,
        deregistered: None,
    }
}

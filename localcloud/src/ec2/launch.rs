//! RunInstances.

use rusqlite::Transaction;

use super::dry_run::DryRun;
use super::instance_xml::{self, Shown};
use super::launch_request::{DeviceRequest, LaunchRequest};
use super::{Ec2, ids, network};
use crate::error::{ApiError, ApiResult};
use crate::query_protocol::{Params, XmlBody};
use crate::state::ec2::instance::MetadataOptions;
use crate::state::ec2::tokens::{self, Token};
use crate::state::ec2::volume::Attachment;
use crate::state::ec2::{Image, Instance, InstanceState, Snapshot, Volume, get, list, new_id, put};
use jiff::Timestamp;

impl Ec2 {
    pub(super) fn run_instances(&self, params: &Params, dry_run: DryRun) -> ApiResult<XmlBody> {
        let request = LaunchRequest::read(params)?;
        self.network().check_placement(request.subnet.as_deref())?;
        let now = self.clock.now();
        let (reservation, shown, new) = self.store.transaction(|tx| {
            let fingerprint = request.fingerprint()?;
            let token = request.client_token.as_deref().map(|token| Token {
                action: "RunInstances",
                token,
                fingerprint: &fingerprint,
            });
            let earlier = match token {
                Some(token) => tokens::recall(tx, token, now)?,
                None => None,
            };
            let new = earlier.is_none();
            let (reservation, instances) = if let Some(reservation) = earlier {
                let mut instances = list::<Instance>(tx)?;
                instances.retain(|instance| instance.reservation_id == reservation);
                (reservation, instances)
            } else {
                let reservation = new_id("r");
                let instances = launch(tx, &request, &reservation, now)?;
                if let Some(token) = token {
                    tokens::remember(tx, token, &reservation, now)?;
                }
                (reservation, instances)
            };
            dry_run.end()?;
            let shown = instances
                .into_iter()
                .map(|instance| Shown::read(tx, instance))
                .collect::<ApiResult<Vec<_>>>()?;
            Ok((reservation, shown, new))
        })?;
        if new {
            for shown in &shown {
                self.lifecycle.settle(&shown.instance.id);
            }
        }
        let mut body = XmlBody::new();
        instance_xml::reservation(&mut body, &reservation, &shown);
        Ok(body)
    }
}

/// Makes the instances, pending, and their volumes.
fn launch(
    tx: &Transaction<'_>,
    request: &LaunchRequest,
    reservation: &str,
    now: Timestamp,
) -> ApiResult<Vec<Instance>> {
    let image = ids::image(tx, &request.image_id)?;
    if image.state() != "available" {
        return Err(ApiError::new(
            "InvalidAMIID.Unavailable",
            format!(
                "The image ID '{}' is not available ({})",
                image.id,
                image.state()
            ),
        ));
    }
    let kind = &request.instance_type;
    if image.architecture != kind.family.architecture {
        return Err(ApiError::new(
            "InvalidParameterValue",
            format!(
                "The architecture '{}' of the specified instance type does not match the architecture '{}' of the specified AMI. Specify an instance type and an AMI that have matching architectures, and try again. You can use 'describe-instance-types' or 'describe-images' to discover the architecture of the instance type or AMI.",
                kind.family.architecture, image.architecture
            ),
        ));
    }
    // The image holds on to the snapshot, so its row is there.
    let snapshot: Snapshot = ids::known(tx, &image.snapshot_id)?;
    let device = root_device(&request.devices, &image)?;
    let size = device
        .and_then(|device| device.size)
        .unwrap_or(image.volume_size);
    if size < snapshot.volume_size {
        return Err(ApiError::new(
            "InvalidBlockDeviceMapping",
            format!(
                "Volume of size {size}GB is smaller than snapshot '{}', expect size >= {}GB",
                snapshot.id, snapshot.volume_size
            ),
        ));
    }
    let zone = request.place()?;
    let profile = request
        .profile
        .as_ref()
        .map(|name| name.associate(tx, now))
        .transpose()?;
    let addresses = network::free_addresses(tx, zone, request.count() as usize)?;
    let v2 = image.imds_support.as_deref() == Some("v2.0");
    let metadata = MetadataOptions {
        tokens_required: request.metadata.tokens_required.unwrap_or(v2),
        hop_limit: request.metadata.hop_limit.unwrap_or(if v2 { 2 } else { 1 }),
        endpoint_enabled: request.metadata.endpoint_enabled.unwrap_or(true),
        tags_enabled: request.metadata.tags_enabled.unwrap_or(false),
    };

    let mut instances = Vec::new();
    for (index, private_ip) in (0_u32..).zip(addresses) {
        let instance_id = new_id("i");
        let volume = Volume {
            id: new_id("vol"),
            snapshot_id: snapshot.id.clone(),
            layers: snapshot.layers.clone(),
            size,
            volume_type: device
                .and_then(|device| device.volume_type.clone())
                .unwrap_or_else(|| image.volume_type.clone()),
            iops: device.and_then(|device| device.iops),
            throughput: device.and_then(|device| device.throughput),
            encrypted: device
                .and_then(|device| device.encrypted)
                .unwrap_or(image.encrypted)
                || snapshot.encrypted,
            zone: zone.name.to_owned(),
            created: now,
            attachment: Some(Attachment {
                instance_id: instance_id.clone(),
                device: image.root_device.clone(),
                since: now,
                delete_on_termination: device
                    .and_then(|device| device.delete_on_termination)
                    .unwrap_or(image.delete_on_termination),
            }),
            last_snapshot: None,
            deleted: false,
        };
        let instance = Instance {
            id: instance_id,
            reservation_id: reservation.to_owned(),
            launch_index: index,
            image_id: image.id.clone(),
            instance_type: kind.name.clone(),
            architecture: image.architecture.clone(),
            state: InstanceState::Pending,
            state_reason: None,
            transition_reason: String::new(),
            launch_time: now,
            terminated_at: None,
            client_token: request.client_token.clone(),
            user_data: request.user_data.clone(),
            // Each instance's association has an id of its own.
            profile: profile.clone().map(|mut profile| {
                profile.association_id = new_id("iip-assoc");
                profile
            }),
            shutdown_behavior: request.shutdown_behavior,
            zone: zone.name.to_owned(),
            subnet_id: zone.subnet.to_owned(),
            interface_id: new_id("eni"),
            private_ip,
            security_groups: vec![network::SECURITY_GROUP.to_owned()],
            metadata: metadata.clone(),
            monitoring: request.monitoring,
            ebs_optimized: request.ebs_optimized.unwrap_or(false),
            disable_api_termination: request.disable_api_termination,
            cpu_credits: kind.family.burstable.then(|| {
                let default = super::types::DEFAULT_CREDITS;
                request
                    .cpu_credits
                    .clone()
                    .unwrap_or_else(|| default.to_owned())
            }),
            spot_request: request.spot.then(|| new_id("sir")),
            spot_notice: None,
            root_device: image.root_device.clone(),
            volume_id: volume.id.clone(),
            boots: 0,
        };
        put(tx, &volume)?;
        put(tx, &instance)?;
        request.tags.apply(tx, "instance", &instance.id)?;
        request.tags.apply(tx, "volume", &volume.id)?;
        request
            .tags
            .apply(tx, "network-interface", &instance.interface_id)?;
        if let Some(spot) = &instance.spot_request {
            request.tags.apply(tx, "spot-instances-request", spot)?;
        }
        instances.push(instance);
    }
    Ok(instances)
}

/// The request's mapping of the root device, if it has one.
///
/// # Errors
/// `UnsupportedOperation` for other devices: instances here have one volume. `InvalidBlockDeviceMapping`
/// for another snapshot under the root device.
fn root_device<'a>(
    devices: &'a [DeviceRequest],
    image: &Image,
) -> ApiResult<Option<&'a DeviceRequest>> {
    let mut root = None;
    for device in devices {
        if device.device != image.root_device {
            return Err(ApiError::new(
                "UnsupportedOperation",
                format!(
                    "The local cloud gives an instance its root volume ({}) and no other ({}).",
                    image.root_device, device.device
                ),
            ));
        }
        if device
            .snapshot_id
            .as_ref()
            .is_some_and(|id| *id != image.snapshot_id)
        {
            return Err(ApiError::new(
                "InvalidBlockDeviceMapping",
                "snapshotId cannot be modified on root device",
            ));
        }
        root = Some(device);
    }
    Ok(root)
}

/// An instance's volume, if it still has it.
pub(super) fn volume_of(tx: &Transaction<'_>, instance: &Instance) -> ApiResult<Option<Volume>> {
    Ok(get::<Volume>(tx, &instance.volume_id)?.filter(|volume| {
        volume
            .attachment
            .as_ref()
            .is_some_and(|attachment| attachment.instance_id == instance.id)
    }))
}

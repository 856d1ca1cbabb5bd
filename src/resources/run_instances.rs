//! Starting instances: what all of ours have in common (IMDSv2 only, encrypted root volume, no key
//! pair, tags in the call), and what differs.

use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types as sdk;
use base64::Engine as _;
use sha2::{Digest, Sha256};

use super::ec2_tags;
use super::instance::Instance;
use super::instance_type::is_burstable;
use crate::aws::{Aws, Cause};

/// "Maximum 64 ASCII characters" (EC2 API reference, RunInstances, ClientToken); SHA-256 in hex is that.
const TOKEN_LENGTH: usize = 64;
/// User data may have 16 KiB before base64 (EC2 user guide).
pub const USER_DATA_MAX: usize = 16 * 1024;

/// What a power-off from inside does to the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnPowerOff {
    Stop,
    Terminate,
}

/// One RunInstances call.
#[derive(Debug, Clone)]
pub struct LaunchSpec {
    pub image_id: String,
    pub instance_type: String,
    /// Fewest instances that count as success.
    pub min: u32,
    pub max: u32,
    pub subnet: String,
    /// Whether the instance gets a public address; `None`: as the subnet says.
    pub public_ip: Option<bool>,
    /// Empty: the VPC's default group.
    pub security_groups: Vec<String>,
    /// Name of the instance profile.
    pub profile: Option<String>,
    /// At most [`USER_DATA_MAX`] bytes.
    pub user_data: Vec<u8>,
    /// From [`client_token`]. The same token with the same parameters never starts a second instance.
    pub token: String,
    pub on_power_off: OnPowerOff,
    /// The image's root device, e.g. `/dev/xvda`.
    pub root_device: String,
    /// GiB; `None`: as the image says.
    pub volume_size: Option<u32>,
    /// E.g. `gp3`.
    pub volume_type: String,
    /// Of the instance.
    pub tags: Vec<(String, String)>,
    /// Of its volume.
    pub volume_tags: Vec<(String, String)>,
}

/// What one call started.
#[derive(Debug, Clone)]
pub struct Reservation {
    pub id: String,
    pub instances: Vec<Instance>,
}

/// A client token: the same parts give the same token, any other parts another.
pub fn client_token(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // The length keeps ("ab", "c") and ("a", "bc") apart.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut token = hex::encode(hash.finalize());
    token.truncate(TOKEN_LENGTH);
    token
}

/// Starts instances.
///
/// # Errors
/// EC2's, for the caller to judge (`InsufficientInstanceCapacity`, `VPCIdNotSpecified` …).
pub async fn run(aws: &Aws, spec: &LaunchSpec) -> Result<Reservation, Cause> {
    let answer = request(aws, spec).send().await?;
    Ok(Reservation {
        id: answer.reservation_id.unwrap_or_default(),
        instances: answer
            .instances
            .unwrap_or_default()
            .into_iter()
            .filter_map(Instance::read)
            .collect(),
    })
}

/// Asks whether [`run`] would be allowed and its parameters are known, without starting anything.
///
/// # Errors
/// What [`run`] would say.
pub async fn probe(aws: &Aws, spec: &LaunchSpec) -> Result<(), Cause> {
    match request(aws, spec)
        .dry_run(true)
        .send()
        .await
        .map_err(Cause::from)
    {
        Err(cause) if cause.is("DryRunOperation") => Ok(()),
        Err(cause) => Err(cause),
        // EC2 answers every dry run with an error, so this one was none.
        Ok(_) => Err(Cause {
            code: None,
            message: "the endpoint does not know dry runs and may have started an instance"
                .to_owned(),
            request_id: None,
            uncertain: true,
        }),
    }
}

fn request(aws: &Aws, spec: &LaunchSpec) -> RunInstancesFluentBuilder {
    let volume = sdk::EbsBlockDevice::builder()
        .encrypted(true)
        .delete_on_termination(true)
        .volume_type(sdk::VolumeType::from(spec.volume_type.as_str()))
        .set_volume_size(spec.volume_size.map(u32::cast_signed))
        .build();
    let metadata = sdk::InstanceMetadataOptionsRequest::builder()
        .http_tokens(sdk::HttpTokensState::Required)
        // An image with ImdsSupport v2.0 would set 2: containers on the instance would reach it too.
        .http_put_response_hop_limit(1)
        .http_endpoint(sdk::InstanceMetadataEndpointState::Enabled)
        .build();
    // T3 and later default to `unlimited`, whose surplus credits cost more than the instance ($0.05 a vCPU-hour).
    // EC2 refuses the parameter for other types.
    let credits = is_burstable(&spec.instance_type).then(|| {
        sdk::CreditSpecificationRequest::builder()
            .cpu_credits("standard")
            .build()
    });
    let groups = Some(spec.security_groups.clone()).filter(|groups| !groups.is_empty());
    let profile = spec.profile.as_ref().map(|name| {
        sdk::IamInstanceProfileSpecification::builder()
            .name(name)
            .build()
    });
    let request = aws.ec2.run_instances();
    // Only an interface can say whether it gets a public address, and then it names subnet and groups.
    let request = match spec.public_ip {
        None => request
            .subnet_id(&spec.subnet)
            .set_security_group_ids(groups),
        Some(public) => request.network_interfaces(
            sdk::InstanceNetworkInterfaceSpecification::builder()
                .device_index(0)
                .subnet_id(&spec.subnet)
                .set_groups(groups)
                .associate_public_ip_address(public)
                .delete_on_termination(true)
                .build(),
        ),
    };
    request
        .image_id(&spec.image_id)
        .instance_type(sdk::InstanceType::from(spec.instance_type.as_str()))
        .min_count(spec.min.cast_signed())
        .max_count(spec.max.cast_signed())
        .client_token(&spec.token)
        .user_data(base64::engine::general_purpose::STANDARD.encode(&spec.user_data))
        .instance_initiated_shutdown_behavior(match spec.on_power_off {
            OnPowerOff::Stop => sdk::ShutdownBehavior::Stop,
            OnPowerOff::Terminate => sdk::ShutdownBehavior::Terminate,
        })
        .metadata_options(metadata)
        .set_credit_specification(credits)
        .block_device_mappings(
            sdk::BlockDeviceMapping::builder()
                .device_name(&spec.root_device)
                .ebs(volume)
                .build(),
        )
        .set_iam_instance_profile(profile)
        .tag_specifications(ec2_tags::specification(
            sdk::ResourceType::Instance,
            &spec.tags,
        ))
        .tag_specifications(ec2_tags::specification(
            sdk::ResourceType::Volume,
            &spec.volume_tags,
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_in_every_part_and_fit_ec2() {
        let base = client_token(&["demo", "batch", "1", "0"]);
        assert_eq!(base, client_token(&["demo", "batch", "1", "0"]));
        assert_eq!(base.len(), TOKEN_LENGTH);
        assert!(base.is_ascii());
        for other in [
            ["demo2", "batch", "1", "0"],
            ["demo", "batch2", "1", "0"],
            ["demo", "batch", "2", "0"],
            ["demo", "batch", "1", "1"],
            ["demob", "atch", "1", "0"],
        ] {
            assert_ne!(base, client_token(&other), "{other:?}");
        }
        assert_ne!(base, client_token(&["demo", "batch", "10"]));
    }
}

//! Where instances are started, and what is tried when there is no room.

use std::collections::BTreeSet;

use super::reach::{Network, NetworkFault, Purpose};
use super::run_instances::{self, LaunchSpec, Reservation};
use super::subnet::{self, Subnet};
use super::{route_table, security_group, vpc_endpoint};
use crate::aws::Cause;
use crate::cloud::Cloud;
use crate::error::{Error, Result};

/// A place for instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub subnet: String,
    /// For people.
    pub zone: String,
    /// Traffic with S3 goes through a NAT gateway, which AWS bills by the GB.
    pub nat: bool,
}

/// The subnets that the settings name, else the default VPC's, one an availability zone: those from which an instance reaches
/// what `purpose` needs. Never empty.
///
/// # Errors
/// One sentence for each fault of the network, if no subnet is without.
pub async fn places(cloud: &Cloud, purpose: Purpose) -> Result<Vec<Place>> {
    let mut subnets = if cloud.config.subnets.is_empty() {
        subnet::defaults(&cloud.aws).await?
    } else {
        subnet::find(&cloud.aws, &cloud.config.subnets).await?
    };
    if subnets.is_empty() {
        return Err(Error::failed(format!(
            "this account has no default VPC with subnets in {}",
            cloud.aws.region
        ))
        .hint("name subnets with internet access: subnets = [\"subnet-…\"] in muck.toml"));
    }
    // Where none has room, EC2 says so.
    if subnets.iter().any(|subnet| subnet.free_addresses > 0) {
        subnets.retain(|subnet| subnet.free_addresses > 0);
    }
    let network = look(cloud, &subnets).await?;
    let (places, faults) = sort_out(&network, subnets, cloud.config.public_ip, purpose);
    if places.is_empty() {
        return Err(refuse(faults, purpose));
    }
    for fault in faults {
        cloud
            .events
            .warn(format!("{}: it is left out; {}", fault.what, fault.remedy));
    }
    Ok(places)
}

/// What EC2 says of the subnets' network. A call that is not permitted is reported, and what it would have told is presumed right:
/// earlier policies do not name it.
async fn look(cloud: &Cloud, subnets: &[Subnet]) -> Result<Network> {
    let vpcs: BTreeSet<String> = subnets.iter().map(|subnet| subnet.vpc.clone()).collect();
    let vpcs: Vec<String> = vpcs.into_iter().collect();
    let aws = &cloud.aws;
    let (tables, endpoints, groups) = tokio::join!(
        route_table::list(aws, &vpcs),
        vpc_endpoint::list(aws, &vpcs),
        security_group::find(aws, &cloud.config.security_groups, &vpcs),
    );
    let ids: Vec<&str> = subnets.iter().map(|subnet| subnet.id.as_str()).collect();
    let of = ids.join(", ");
    let mut network = Network {
        groups: permitted(cloud, groups, &of, "ec2:DescribeSecurityGroups")?.unwrap_or_default(),
        ..Network::default()
    };
    let tables = permitted(cloud, tables, &of, "ec2:DescribeRouteTables")?;
    let endpoints = permitted(cloud, endpoints, &of, "ec2:DescribeVpcEndpoints")?;
    // A missing route is a fault only where there is no endpoint either.
    if let (Some(tables), Some(endpoints)) = (tables, endpoints) {
        network.tables = tables;
        network.endpoints = endpoints;
    }
    Ok(network)
}

/// What was found; `None`: the call is not permitted, which is reported. `of`: ids of the subnets.
fn permitted<T>(
    cloud: &Cloud,
    outcome: Result<T, Cause>,
    of: &str,
    action: &str,
) -> Result<Option<T>> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(cause) if cause.is("UnauthorizedOperation") => {
            cloud.events.warn(format!(
                "the network is not checked before the launch: {action} is not permitted (`muck permissions` prints the policy)"
            ));
            Ok(None)
        }
        Err(cause) => {
            let error = Error::failed(format!("cannot look at the network of {of} ({action})"));
            Err(if cause.code.as_deref().is_some_and(is_unknown_group) {
                error.because(cause).hint(GROUP_HINT)
            } else {
                error.because(cause)
            })
        }
    }
}

fn is_unknown_group(code: &str) -> bool {
    matches!(
        code,
        "InvalidGroup.NotFound" | "InvalidSecurityGroupID.NotFound" | "InvalidGroupId.Malformed"
    )
}

const GROUP_HINT: &str = "correct security_groups in muck.toml; they must be of the subnets' VPC";

fn sort_out(
    network: &Network,
    subnets: Vec<Subnet>,
    public_ip: Option<bool>,
    purpose: Purpose,
) -> (Vec<Place>, Vec<NetworkFault>) {
    let (mut places, mut faults) = (Vec::new(), Vec::new());
    for subnet in subnets {
        match network.reach(&subnet, public_ip, purpose) {
            Ok(reach) => places.push(Place {
                subnet: subnet.id,
                zone: subnet.zone,
                nat: reach.nat,
            }),
            Err(fault) if faults.contains(&fault) => {}
            Err(fault) => faults.push(fault),
        }
    }
    (places, faults)
}

fn refuse(faults: Vec<NetworkFault>, purpose: Purpose) -> Error {
    let sentences: Vec<&str> = faults.iter().map(|fault| fault.what.as_str()).collect();
    let error = Error::failed(format!(
        "{purpose} would reach nothing: {}",
        sentences.join("; ")
    ));
    let remedies: BTreeSet<String> = faults.into_iter().map(|fault| fault.remedy).collect();
    remedies.into_iter().fold(error, Error::hint)
}

/// Whether another place may have what this one lacks.
pub fn is_lack_of_room(cause: &Cause) -> bool {
    cause.is_any(&[
        "InsufficientInstanceCapacity",
        "InsufficientHostCapacity",
        "InsufficientFreeAddressesInSubnet",
        // The type is not offered in this zone.
        "Unsupported",
    ])
}

/// Starts what `spec` says at the first place that has room. `spec` must give each place a token of its
/// own: EC2 refuses a token that it has seen with other parameters.
///
/// # Errors
/// EC2's last word, with what can be done about it.
pub async fn launch_first(
    cloud: &Cloud,
    places: &[Place],
    spec: impl Fn(&Place) -> LaunchSpec,
) -> Result<Reservation> {
    let mut lacking = None;
    for place in places {
        let spec = spec(place);
        match run_instances::run(&cloud.aws, &spec).await {
            Ok(reservation) => return Ok(reservation),
            Err(cause) if is_lack_of_room(&cause) => {
                cloud.events.note(format!(
                    "no room for {} in {}",
                    spec.instance_type, place.zone
                ));
                lacking = Some(explain(&spec, cause));
            }
            Err(cause) => return Err(explain(&spec, cause)),
        }
    }
    Err(lacking.unwrap_or_else(|| Error::failed("there is no subnet to start an instance in")))
}

/// What RunInstances refused, and what can be done about it.
pub fn explain(spec: &LaunchSpec, cause: Cause) -> Error {
    let hint = match cause.code.as_deref().unwrap_or_default() {
        "VPCIdNotSpecified" | "MissingInput" | "DefaultVpcDoesNotExist" => {
            "this account has no default VPC here: name subnets with internet access, subnets = [\"subnet-…\"] in muck.toml"
        }
        "InvalidSubnetID.NotFound" | "InvalidSubnet" => "correct subnets in muck.toml",
        code if is_unknown_group(code) => GROUP_HINT,
        "InstanceLimitExceeded" | "VcpuLimitExceeded" | "MaxSpotInstanceCountExceeded" => {
            "start fewer (-n), wait for others to end, or ask AWS for a higher quota (Service Quotas, EC2)"
        }
        "InvalidInstanceType" | "InvalidParameterValue" => {
            "check the instance type (--type, or instance_type in muck.toml) and that the region has it"
        }
        "Unsupported" | "InsufficientInstanceCapacity" | "InsufficientHostCapacity" => {
            "try another instance type (--type, or instance_type in muck.toml), or again later"
        }
        "InsufficientFreeAddressesInSubnet" => "name other subnets in muck.toml",
        "UnauthorizedOperation" => {
            "these credentials may not start instances: `muck permissions` prints the policy that they need"
        }
        _ => "",
    };
    let error = Error::failed(format!(
        "cannot start a {} from {}",
        spec.instance_type, spec.image_id
    ))
    .because(cause);
    if hint.is_empty() {
        error
    } else {
        error.hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::run_instances::OnPowerOff;

    fn cause(code: &str) -> Cause {
        Cause {
            code: Some(code.to_owned()),
            message: "no".to_owned(),
            request_id: None,
            uncertain: false,
        }
    }

    #[test]
    fn a_missing_vpc_names_the_setting() {
        let spec = LaunchSpec {
            image_id: "ami-1".into(),
            instance_type: "c7i.large".into(),
            min: 1,
            max: 1,
            subnet: "subnet-1".into(),
            public_ip: None,
            security_groups: vec![],
            profile: None,
            user_data: vec![],
            token: "t".into(),
            on_power_off: OnPowerOff::Stop,
            root_device: "/dev/xvda".into(),
            volume_size: None,
            volume_type: "gp3".into(),
            tags: vec![],
            volume_tags: vec![],
        };
        for code in ["VPCIdNotSpecified", "MissingInput"] {
            let error = explain(&spec, cause(code));
            assert!(
                error.hints()[0].contains("subnets = "),
                "{:?}",
                error.hints()
            );
        }
        assert!(explain(&spec, cause("Surprise")).hints().is_empty());
    }

    #[test]
    fn only_lack_of_room_sends_us_elsewhere() {
        assert!(is_lack_of_room(&cause("InsufficientInstanceCapacity")));
        assert!(!is_lack_of_room(&cause("UnauthorizedOperation")));
        assert!(!is_lack_of_room(&cause("VcpuLimitExceeded")));
    }
}

//! Where instances are started, and what is tried when there is no room.

use super::run_instances::{self, LaunchSpec, Reservation};
use super::subnet;
use crate::aws::Cause;
use crate::cloud::Cloud;
use crate::error::{Error, Result};

/// A place for instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `None`: EC2's choice.
    pub subnet: Option<String>,
    /// For people.
    pub zone: String,
}

/// The subnet that the settings name, else the default VPC's, one an availability zone. Never empty.
pub async fn places(cloud: &Cloud) -> Result<Vec<Place>> {
    if let Some(subnet) = &cloud.config.subnet {
        return Ok(vec![Place {
            subnet: Some(subnet.clone()),
            zone: subnet.clone(),
        }]);
    }
    let mut places: Vec<Place> = subnet::defaults(&cloud.aws)
        .await?
        .into_iter()
        .filter(|subnet| subnet.free_addresses > 0)
        .map(|subnet| Place {
            subnet: Some(subnet.id),
            zone: subnet.zone,
        })
        .collect();
    if places.is_empty() {
        // EC2 then says itself what it misses, and `explain` what to do.
        places.push(Place {
            subnet: None,
            zone: cloud.aws.region.clone(),
        });
    }
    Ok(places)
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
            "this account has no default VPC here: name a subnet with internet access, subnet = \"subnet-…\" in muck.toml"
        }
        "InvalidSubnetID.NotFound" | "InvalidSubnet" => "correct subnet in muck.toml",
        "InvalidGroup.NotFound"
        | "InvalidSecurityGroupID.NotFound"
        | "InvalidGroupId.Malformed" => {
            "correct security_groups in muck.toml; they must be of the subnet's VPC"
        }
        "InstanceLimitExceeded" | "VcpuLimitExceeded" | "MaxSpotInstanceCountExceeded" => {
            "start fewer (-n), wait for others to end, or ask AWS for a higher quota (Service Quotas, EC2)"
        }
        "InvalidInstanceType" | "InvalidParameterValue" => {
            "check the instance type (--type, or instance_type in muck.toml) and that the region has it"
        }
        "Unsupported" | "InsufficientInstanceCapacity" | "InsufficientHostCapacity" => {
            "try another instance type (--type, or instance_type in muck.toml), or again later"
        }
        "InsufficientFreeAddressesInSubnet" => "name another subnet in muck.toml",
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
            subnet: None,
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
                error.hints()[0].contains("subnet = "),
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

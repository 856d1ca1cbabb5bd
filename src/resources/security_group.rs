//! Security groups, as far as they say what instances may send. Only found.

use aws_sdk_ec2::types as sdk;

use super::ec2_tags;
use crate::aws::{Aws, Cause};

/// A VPC's security group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityGroup {
    pub id: String,
    pub vpc: String,
    /// TCP ports that it lets out to some destination, first and last of each range.
    pub egress: Vec<(u16, u16)>,
}

impl SecurityGroup {
    fn read(group: sdk::SecurityGroup) -> Option<Self> {
        Some(Self {
            id: group.group_id?,
            vpc: group.vpc_id?,
            egress: group
                .ip_permissions_egress
                .unwrap_or_default()
                .iter()
                .filter_map(tcp_ports)
                .collect(),
        })
    }

    pub fn lets_out(&self, port: u16) -> bool {
        self.egress
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&port))
    }
}

/// The ports of a rule for TCP, or for every protocol (`-1`), that names a destination.
fn tcp_ports(rule: &sdk::IpPermission) -> Option<(u16, u16)> {
    let has_destination = !rule.ip_ranges().is_empty()
        || !rule.prefix_list_ids().is_empty()
        || !rule.user_id_group_pairs().is_empty();
    if !has_destination {
        return None;
    }
    match rule.ip_protocol()? {
        "-1" => Some((0, u16::MAX)),
        "tcp" | "6" => Some((
            u16::try_from(rule.from_port().unwrap_or(0)).unwrap_or(0),
            u16::try_from(rule.to_port().unwrap_or(-1)).unwrap_or(u16::MAX),
        )),
        _ => None,
    }
}

/// The groups with these ids; if there are none, the default groups of the VPCs.
///
/// # Errors
/// EC2's, for the caller to judge.
pub async fn find(aws: &Aws, ids: &[String], vpcs: &[String]) -> Result<Vec<SecurityGroup>, Cause> {
    let request = aws.ec2.describe_security_groups();
    let request = if ids.is_empty() {
        request
            .filters(ec2_tags::filter("vpc-id", vpcs))
            .filters(ec2_tags::filter("group-name", ["default"]))
    } else {
        request.set_group_ids(Some(ids.to_vec()))
    };
    let listed = request.send().await?.security_groups.unwrap_or_default();
    Ok(listed.into_iter().filter_map(SecurityGroup::read).collect())
}

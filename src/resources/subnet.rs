//! Subnets: where instances may be started. Ours are never created, only found.

use aws_sdk_ec2::types as sdk;
use serde::Serialize;

use super::ec2_tags;
use crate::aws::{Aws, Cause};
use crate::error::{Error, Result};

/// A subnet as EC2 lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subnet {
    pub id: String,
    pub vpc: String,
    /// Availability zone, e.g. `eu-central-1a`.
    pub zone: String,
    /// Addresses left: an instance takes one.
    pub free_addresses: u32,
    /// Instances get a public address unless their launch says otherwise.
    pub gives_public: bool,
}

impl Subnet {
    fn read(subnet: sdk::Subnet) -> Option<Self> {
        Some(Self {
            id: subnet.subnet_id?,
            vpc: subnet.vpc_id?,
            zone: subnet.availability_zone?,
            free_addresses: subnet
                .available_ip_address_count
                .and_then(|count| count.try_into().ok())
                .unwrap_or_default(),
            gives_public: subnet.map_public_ip_on_launch.unwrap_or_default(),
        })
    }
}

/// The default VPC's subnets, one an availability zone, in the zones' order. Empty if the account has no
/// default VPC in this region.
pub async fn defaults(aws: &Aws) -> Result<Vec<Subnet>> {
    let filters = vec![
        ec2_tags::filter("default-for-az", ["true"]),
        ec2_tags::filter("state", ["available"]),
    ];
    let failed = |cause| Error::failed("cannot list the default subnets").because(cause);
    let mut pages = aws
        .ec2
        .describe_subnets()
        .set_filters(Some(filters))
        .into_paginator()
        .send();
    let mut subnets = Vec::new();
    while let Some(page) = pages.next().await {
        let listed = page
            .map_err(|error| failed(Cause::from(error)))?
            .subnets
            .unwrap_or_default();
        subnets.extend(listed.into_iter().filter_map(Subnet::read));
    }
    subnets.sort_by(|a, b| a.zone.cmp(&b.zone));
    Ok(subnets)
}

/// The subnets with these ids, in their order.
///
/// # Errors
/// Also if one does not exist, or belongs to another region.
pub async fn find(aws: &Aws, ids: &[String]) -> Result<Vec<Subnet>> {
    let failed = || {
        Error::failed(format!("cannot find the subnets {}", ids.join(", ")))
            .hint("correct subnets in muck.toml")
    };
    let listed = aws
        .ec2
        .describe_subnets()
        .set_subnet_ids(Some(ids.to_vec()))
        .send()
        .await
        .map_err(|error| failed().because(Cause::from(error)))?
        .subnets
        .unwrap_or_default();
    let subnets: Vec<Subnet> = listed.into_iter().filter_map(Subnet::read).collect();
    ids.iter()
        .map(|id| {
            let found = subnets.iter().find(|subnet| subnet.id == *id);
            found.cloned().ok_or_else(failed)
        })
        .collect()
}

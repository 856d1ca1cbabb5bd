//! Subnets: where instances may be started. Ours are never made, only found.

use serde::Serialize;

use super::ec2_tags;
use crate::aws::{Aws, Cause};
use crate::error::{Error, Result};

/// A subnet as EC2 lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subnet {
    pub id: String,
    /// Availability zone, e.g. `eu-central-1a`.
    pub zone: String,
    /// Addresses left: an instance takes one.
    pub free_addresses: u32,
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
        subnets.extend(listed.into_iter().filter_map(|subnet| {
            Some(Subnet {
                id: subnet.subnet_id?,
                zone: subnet.availability_zone?,
                free_addresses: subnet
                    .available_ip_address_count
                    .and_then(|count| count.try_into().ok())
                    .unwrap_or_default(),
            })
        }));
    }
    subnets.sort_by(|a, b| a.zone.cmp(&b.zone));
    Ok(subnets)
}

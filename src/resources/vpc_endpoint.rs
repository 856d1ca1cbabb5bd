//! VPC endpoints: how instances reach a service without the internet. Only found.

use aws_sdk_ec2::types as sdk;

use super::ec2_tags;
use crate::aws::{Aws, Cause};

/// An endpoint that works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VpcEndpoint {
    pub vpc: String,
    /// The last part of its name, e.g. `s3` of `com.amazonaws.eu-central-1.s3`.
    pub service: String,
    pub reach: EndpointReach,
}

/// Which instances of the VPC use an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointReach {
    /// A gateway: those in subnets of these route tables.
    RouteTables(Vec<String>),
    /// An interface under the service's own name: all.
    Vpc,
}

fn read(endpoint: sdk::VpcEndpoint) -> Option<VpcEndpoint> {
    let gateway = endpoint.vpc_endpoint_type() == Some(&sdk::VpcEndpointType::Gateway);
    // Without the name, clients do not find it.
    if !gateway && endpoint.private_dns_enabled() != Some(true) {
        return None;
    }
    Some(VpcEndpoint {
        vpc: endpoint.vpc_id?,
        service: endpoint.service_name?.rsplit('.').next()?.to_owned(),
        reach: if gateway {
            EndpointReach::RouteTables(endpoint.route_table_ids.unwrap_or_default())
        } else {
            EndpointReach::Vpc
        },
    })
}

/// The endpoints of these VPCs that are available and that clients find by themselves.
///
/// # Errors
/// EC2's, for the caller to judge.
pub async fn list(aws: &Aws, vpcs: &[String]) -> Result<Vec<VpcEndpoint>, Cause> {
    let mut pages = aws
        .ec2
        .describe_vpc_endpoints()
        .filters(ec2_tags::filter("vpc-id", vpcs))
        .filters(ec2_tags::filter("vpc-endpoint-state", ["available"]))
        .into_paginator()
        .send();
    let mut endpoints = Vec::new();
    while let Some(page) = pages.next().await {
        let listed = page?.vpc_endpoints.unwrap_or_default();
        endpoints.extend(listed.into_iter().filter_map(read));
    }
    Ok(endpoints)
}

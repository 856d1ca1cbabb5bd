//! Route tables, as far as they say how instances reach the internet. Only found.

use aws_sdk_ec2::types as sdk;

use super::ec2_tags;
use crate::aws::{Aws, Cause};

/// A VPC's route table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteTable {
    pub id: String,
    pub vpc: String,
    /// Of subnets that are associated with no other.
    pub is_main: bool,
    /// Subnets that are associated with it.
    pub subnets: Vec<String>,
    /// Where 0.0.0.0/0 leads; `None`: nowhere.
    pub default: Option<RouteTarget>,
}

/// Where a route leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteTarget {
    InternetGateway,
    NatGateway,
    /// A transit gateway, a firewall, an instance …: presumed to lead to the internet.
    Other,
    /// What it led to was deleted.
    Blackhole,
}

impl RouteTable {
    fn read(table: sdk::RouteTable) -> Option<Self> {
        let associations = table.associations.unwrap_or_default();
        let routes = table.routes.unwrap_or_default();
        Some(Self {
            id: table.route_table_id?,
            vpc: table.vpc_id?,
            is_main: associations.iter().any(|one| one.main == Some(true)),
            subnets: associations
                .into_iter()
                .filter_map(|one| one.subnet_id)
                .collect(),
            default: routes
                .iter()
                .find(|route| route.destination_cidr_block() == Some("0.0.0.0/0"))
                .map(target),
        })
    }
}

fn target(route: &sdk::Route) -> RouteTarget {
    if route.state() == Some(&sdk::RouteState::Blackhole) {
        RouteTarget::Blackhole
    } else if route.nat_gateway_id().is_some() {
        RouteTarget::NatGateway
    } else if route
        .gateway_id()
        .is_some_and(|gateway| gateway.starts_with("igw-"))
    {
        RouteTarget::InternetGateway
    } else {
        RouteTarget::Other
    }
}

/// All route tables of these VPCs.
///
/// # Errors
/// EC2's, for the caller to judge.
pub async fn list(aws: &Aws, vpcs: &[String]) -> Result<Vec<RouteTable>, Cause> {
    let mut pages = aws
        .ec2
        .describe_route_tables()
        .filters(ec2_tags::filter("vpc-id", vpcs))
        .into_paginator()
        .send();
    let mut tables = Vec::new();
    while let Some(page) = pages.next().await {
        let listed = page?.route_tables.unwrap_or_default();
        tables.extend(listed.into_iter().filter_map(RouteTable::read));
    }
    Ok(tables)
}

//! The network that every account has: a default VPC, a default subnet in each zone, the default
//! security group, a route to the internet. [`NetworkSettings`] makes others of it. Its addresses are loopback's, so that an instance's private address is
//! really its own on this machine.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use rusqlite::Transaction;

use super::Ec2;
use super::dry_run::DryRun;
use super::filters::{Filters, one};
use super::paging::Page;
use crate::account::REGION;
use crate::error::{ApiError, ApiResult};
use crate::query_protocol::{Params, XmlBody};
use crate::state::ec2::{Instance, InstanceState, list};

mod endpoints;
mod routes;
mod security_groups;
mod settings;

pub(super) use security_groups::check as check_security_groups;
pub use settings::NetworkSettings;

/// An availability zone with its default subnet.
#[derive(Debug)]
pub(super) struct Zone {
    pub(super) name: &'static str,
    pub(super) id: &'static str,
    pub(super) subnet: &'static str,
    /// First address of its /20.
    network: Ipv4Addr,
}

pub(super) static ZONES: &[Zone] = &[
    Zone {
        name: "us-local-1a",
        id: "usl1-az1",
        subnet: "subnet-0000000000000001a",
        network: Ipv4Addr::new(127, 0, 16, 0),
    },
    Zone {
        name: "us-local-1b",
        id: "usl1-az2",
        subnet: "subnet-0000000000000001b",
        network: Ipv4Addr::new(127, 0, 32, 0),
    },
];

/// The default VPC; its CIDR holds the subnets' and not 127.0.0.1, where the server listens, in any of them.
pub(super) const VPC: &str = "vpc-00000000000000001";
const VPC_CIDR: &str = "127.0.0.0/16";
/// The default security group.
pub(super) const SECURITY_GROUP: &str = "sg-00000000000000001";
/// Default subnets are /20 on EC2 too.
const SUBNET_SIZE: u32 = 1 << 12;
/// EC2 keeps the first four addresses of a subnet and the last one for itself.
const RESERVED: u32 = 4;

/// The zone of this name.
pub(super) fn zone(name: &str) -> Option<&'static Zone> {
    ZONES.iter().find(|zone| zone.name == name)
}

/// The zone of this subnet.
///
/// # Errors
/// `InvalidSubnetID.NotFound`.
pub(super) fn zone_of_subnet(subnet: &str) -> ApiResult<&'static Zone> {
    ZONES
        .iter()
        .find(|zone| zone.subnet == subnet)
        .ok_or_else(|| {
            ApiError::new(
                "InvalidSubnetID.NotFound",
                format!("The subnet ID '{subnet}' does not exist"),
            )
        })
}

fn taken(tx: &Transaction<'_>) -> ApiResult<HashSet<Ipv4Addr>> {
    Ok(list::<Instance>(tx)?
        .into_iter()
        .filter(|instance| instance.state != InstanceState::Terminated)
        .map(|instance| instance.private_ip)
        .collect())
}

/// `count` addresses of the zone's subnet that no live instance has.
///
/// # Errors
/// `InsufficientFreeAddressesInSubnet`.
pub(super) fn free_addresses(
    tx: &Transaction<'_>,
    zone: &Zone,
    count: usize,
) -> ApiResult<Vec<Ipv4Addr>> {
    let taken = taken(tx)?;
    let first = u32::from(zone.network);
    let free: Vec<Ipv4Addr> = (first + RESERVED..first + SUBNET_SIZE - 1)
        .map(Ipv4Addr::from)
        .filter(|address| !taken.contains(address))
        .take(count)
        .collect();
    if free.len() < count {
        return Err(ApiError::new(
            "InsufficientFreeAddressesInSubnet",
            format!(
                "There are not enough free addresses in subnet '{}' to satisfy the requested number of instances.",
                zone.subnet
            ),
        ));
    }
    Ok(free)
}

pub(super) fn describe_zones(params: &Params, dry_run: DryRun) -> ApiResult<XmlBody> {
    let names = params.list("ZoneName");
    let ids = params.list("ZoneId");
    // All zones here are open to the account, so this changes nothing.
    params.boolean("AllAvailabilityZones")?;
    let filters = Filters::read(
        params,
        &[
            "zone-name",
            "zone-id",
            "region-name",
            "state",
            "zone-type",
            "opt-in-status",
            "group-name",
        ],
    )?;
    params.finish()?;
    dry_run.end()?;
    if let Some(unknown) = names.iter().find(|name| zone(name).is_none()) {
        return Err(ApiError::new(
            "InvalidParameterValue",
            format!("Invalid availability zone: [{unknown}]"),
        ));
    }
    if let Some(unknown) = ids
        .iter()
        .find(|id| !ZONES.iter().any(|zone| zone.id == **id))
    {
        return Err(ApiError::new(
            "InvalidParameterValue",
            format!("Invalid availability zone-id: [{unknown}]"),
        ));
    }
    let found = ZONES
        .iter()
        .filter(|zone| names.is_empty() || names.iter().any(|name| name == zone.name))
        .filter(|zone| ids.is_empty() || ids.iter().any(|id| id == zone.id))
        .filter(|zone| {
            filters.pass(&[], |name| match name {
                "zone-name" => one(zone.name),
                "zone-id" => one(zone.id),
                "region-name" | "group-name" => one(REGION),
                "state" => one("available"),
                "zone-type" => one("availability-zone"),
                "opt-in-status" => one("opt-in-not-required"),
                _ => Vec::new(),
            })
        });
    let mut body = XmlBody::new();
    body.list("availabilityZoneInfo", "item", found, |xml, zone| {
        xml.text("optInStatus", "opt-in-not-required")
            .text("regionName", REGION)
            .text("zoneName", zone.name)
            .text("zoneId", zone.id)
            .text("groupName", REGION)
            .text("networkBorderGroup", REGION)
            .text("zoneType", "availability-zone")
            .text("zoneState", "available");
    });
    Ok(body)
}

pub(super) fn describe_regions(params: &Params, dry_run: DryRun) -> ApiResult<XmlBody> {
    let names = params.list("RegionName");
    params.boolean("AllRegions")?;
    let filters = Filters::read(params, &["region-name", "opt-in-status"])?;
    params.finish()?;
    dry_run.end()?;
    if let Some(unknown) = names.iter().find(|name| *name != REGION) {
        return Err(ApiError::new(
            "InvalidParameterValue",
            format!("Invalid region provided: [{unknown}]"),
        ));
    }
    let found = [REGION].into_iter().filter(|_| {
        filters.pass(&[], |name| match name {
            "region-name" => one(REGION),
            "opt-in-status" => one("opt-in-not-required"),
            _ => Vec::new(),
        })
    });
    let mut body = XmlBody::new();
    body.list("regionInfo", "item", found, |xml, region| {
        xml.text("optInStatus", "opt-in-not-required")
            .text("regionName", region)
            .text("regionEndpoint", format!("ec2.{region}.localhost"));
    });
    Ok(body)
}

impl Ec2 {
    pub(super) fn describe_vpcs(&self, params: &Params, dry_run: DryRun) -> ApiResult<XmlBody> {
        let ids = params.list("VpcId");
        let filters = Filters::read(
            params,
            &[
                "vpc-id",
                "is-default",
                "isDefault",
                "state",
                "cidr",
                "owner-id",
            ],
        )?;
        let page = Page::read(params, 5)?;
        params.finish()?;
        page.not_beside(&ids, "vpcSet")?;
        dry_run.end()?;
        if let Some(unknown) = ids.iter().find(|id| *id != VPC) {
            return Err(ApiError::new(
                "InvalidVpcID.NotFound",
                format!("The vpc ID '{unknown}' does not exist"),
            ));
        }
        let network = self.network();
        let found = [VPC].into_iter().filter(|_| {
            filters.pass(&[], |name| match name {
                "vpc-id" => one(VPC),
                "is-default" | "isDefault" => one(network.default_vpc),
                "state" => one("available"),
                "cidr" => one(VPC_CIDR),
                "owner-id" => one(network.owner()),
                _ => Vec::new(),
            })
        });
        let mut body = XmlBody::new();
        body.list("vpcSet", "item", found, |xml, vpc| {
            xml.text("ownerId", network.owner())
                .text("instanceTenancy", "default")
                .text("isDefault", network.default_vpc)
                .text("vpcId", vpc)
                .text("state", "available")
                .text("cidrBlock", VPC_CIDR);
        });
        Ok(body)
    }

    pub(super) fn describe_subnets(&self, params: &Params, dry_run: DryRun) -> ApiResult<XmlBody> {
        let ids = params.list("SubnetId");
        let filters = Filters::read(
            params,
            &[
                "subnet-id",
                "vpc-id",
                "availability-zone",
                "availabilityZone",
                "availability-zone-id",
                "default-for-az",
                "defaultForAz",
                "state",
                "owner-id",
                "map-public-ip-on-launch",
            ],
        )?;
        let page = Page::read(params, 5)?;
        params.finish()?;
        page.not_beside(&ids, "subnetSet")?;
        dry_run.end()?;
        for id in &ids {
            zone_of_subnet(id)?;
        }
        let taken = self.store.transaction(taken)?;
        let network = self.network();
        let found = ZONES
            .iter()
            .filter(|zone| ids.is_empty() || ids.iter().any(|id| id == zone.subnet))
            .filter(|zone| {
                filters.pass(&[], |name| match name {
                    "subnet-id" => one(zone.subnet),
                    "vpc-id" => one(VPC),
                    "availability-zone" | "availabilityZone" => one(zone.name),
                    "availability-zone-id" => one(zone.id),
                    "default-for-az" | "defaultForAz" => one(network.default_vpc),
                    "state" => one("available"),
                    "owner-id" => one(network.owner()),
                    "map-public-ip-on-launch" => one(network.gives_public(zone.subnet)),
                    _ => Vec::new(),
                })
            });
        let mut body = XmlBody::new();
        body.list("subnetSet", "item", found, |xml, zone| {
            let first = u32::from(zone.network);
            let used = taken
                .iter()
                .filter(|address| (first..first + SUBNET_SIZE).contains(&u32::from(**address)))
                .count();
            xml.text("availabilityZoneId", zone.id)
                .text("ownerId", network.owner())
                .text(
                    "subnetArn",
                    format!(
                        "arn:aws:ec2:{REGION}:{}:subnet/{}",
                        network.owner(),
                        zone.subnet
                    ),
                )
                .text("subnetId", zone.subnet)
                .text("state", "available")
                .text("vpcId", VPC)
                .text("cidrBlock", format!("{}/20", zone.network))
                .text(
                    "availableIpAddressCount",
                    SUBNET_SIZE as usize - RESERVED as usize - 1 - used,
                )
                .text("availabilityZone", zone.name)
                .text("defaultForAz", network.default_vpc)
                .text("mapPublicIpOnLaunch", network.gives_public(zone.subnet));
        });
        Ok(body)
    }
}

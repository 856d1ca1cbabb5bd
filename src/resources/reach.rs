//! Whether instances of a subnet reach what they need, from what EC2 says of its network. Makes no calls.

use std::fmt;

use super::route_table::{RouteTable, RouteTarget};
use super::security_group::SecurityGroup;
use super::subnet::Subnet;
use super::vpc_endpoint::{EndpointReach, VpcEndpoint};

/// HTTPS, by which all of AWS is called.
const HTTPS: u16 = 443;
/// Plain HTTP, by which packages come; they are signed.
const HTTP: u16 = 80;

/// What an instance is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Bakes, and reports to S3. The shipped recipe installs packages from the internet; one of the user's own may have them
    /// from elsewhere.
    Builder { packages: bool },
    /// Sends what an image holds to S3.
    Reader,
    /// Converts: S3 and SQS, and SNS where it sends mail.
    Worker { mail: bool },
}

impl Purpose {
    /// Services by their names in VPC endpoints.
    fn services(self) -> &'static [&'static str] {
        match self {
            Self::Builder { .. } | Self::Reader => &["s3"],
            Self::Worker { mail: false } => &["s3", "sqs"],
            Self::Worker { mail: true } => &["s3", "sqs", "sns"],
        }
    }

    fn ports(self) -> &'static [u16] {
        match self {
            Self::Builder { packages: true } => &[HTTPS, HTTP],
            Self::Builder { packages: false } | Self::Reader | Self::Worker { .. } => &[HTTPS],
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Builder { .. } => "a builder",
            Self::Reader => "an instance that reports",
            Self::Worker { .. } => "a worker",
        })
    }
}

/// What EC2 says of a network.
#[derive(Debug, Clone, Default)]
pub struct Network {
    pub tables: Vec<RouteTable>,
    pub endpoints: Vec<VpcEndpoint>,
    pub groups: Vec<SecurityGroup>,
}

/// How instances of a subnet reach what they need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Traffic with S3 goes through a NAT gateway, which AWS bills by the GB.
    pub nat: bool,
}

/// Why they do not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkFault {
    /// One sentence.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl NetworkFault {
    fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

impl Network {
    /// How instances of `subnet` reach what `purpose` needs. `public_ip`: what the launch says of public addresses, if
    /// anything.
    ///
    /// # Errors
    /// The first fault of the way out.
    pub fn reach(
        &self,
        subnet: &Subnet,
        public_ip: Option<bool>,
        purpose: Purpose,
    ) -> Result<Reach, NetworkFault> {
        self.check_groups(subnet, purpose)?;
        let Some(table) = self.table_of(subnet) else {
            // Not shown to this account: as in some shared VPCs.
            return Ok(Reach { nat: false });
        };
        let missing: Vec<&str> = purpose
            .services()
            .iter()
            .copied()
            .filter(|service| !self.has_endpoint(table, service))
            .collect();
        let needs_internet =
            purpose == (Purpose::Builder { packages: true }) || !missing.is_empty();
        let has_public = public_ip.unwrap_or(subnet.gives_public);
        match table.default {
            Some(RouteTarget::NatGateway) => Ok(Reach {
                nat: !self.has_endpoint(table, "s3"),
            }),
            Some(RouteTarget::Other) => Ok(Reach { nat: false }),
            Some(RouteTarget::InternetGateway) if has_public => Ok(Reach { nat: false }),
            _ if !needs_internet => Ok(Reach { nat: false }),
            Some(RouteTarget::InternetGateway) => Err(no_public_address(subnet, public_ip)),
            Some(RouteTarget::Blackhole) => Err(NetworkFault::new(
                format!(
                    "the route of {} to the internet leads to a gateway that no longer exists ({}, blackhole)",
                    name(subnet),
                    table.id
                ),
                format!(
                    "repair 0.0.0.0/0 in {}, or name another subnet (subnets in muck.toml)",
                    table.id
                ),
            )),
            None => Err(no_route(subnet, table, purpose, &missing)),
        }
    }

    fn table_of(&self, subnet: &Subnet) -> Option<&RouteTable> {
        let of_vpc = || self.tables.iter().filter(|table| table.vpc == subnet.vpc);
        of_vpc()
            .find(|table| table.subnets.contains(&subnet.id))
            .or_else(|| of_vpc().find(|table| table.is_main))
    }

    fn has_endpoint(&self, table: &RouteTable, service: &str) -> bool {
        self.endpoints.iter().any(|endpoint| {
            endpoint.service == service
                && endpoint.vpc == table.vpc
                && match &endpoint.reach {
                    EndpointReach::Vpc => true,
                    EndpointReach::RouteTables(ids) => ids.contains(&table.id),
                }
        })
    }

    fn check_groups(&self, subnet: &Subnet, purpose: Purpose) -> Result<(), NetworkFault> {
        let own: Vec<&SecurityGroup> = self
            .groups
            .iter()
            .filter(|group| group.vpc == subnet.vpc)
            .collect();
        if own.is_empty() {
            let Some(other) = self.groups.first() else {
                return Ok(());
            };
            return Err(NetworkFault::new(
                format!(
                    "the security group {} is of {}, but {} is of {}",
                    other.id,
                    other.vpc,
                    name(subnet),
                    subnet.vpc
                ),
                "name groups of the subnets' VPC (security_groups in muck.toml)",
            ));
        }
        let closed = purpose
            .ports()
            .iter()
            .find(|port| !own.iter().any(|group| group.lets_out(**port)));
        let Some(port) = closed else { return Ok(()) };
        let ids: Vec<&str> = own.iter().map(|group| group.id.as_str()).collect();
        Err(NetworkFault::new(
            format!(
                "no outbound rule of the security group {} lets TCP port {port} out, which {purpose} needs",
                ids.join(", ")
            ),
            format!(
                "add an outbound rule for TCP port {port} to 0.0.0.0/0, or name other groups: security_groups = [\"sg-…\"] in muck.toml"
            ),
        ))
    }
}

fn name(subnet: &Subnet) -> String {
    format!("{} ({})", subnet.id, subnet.zone)
}

fn no_public_address(subnet: &Subnet, public_ip: Option<bool>) -> NetworkFault {
    if public_ip == Some(false) {
        return NetworkFault::new(
            format!(
                "instances in {} get no public address (public_ip = false), and its route to the internet needs one",
                name(subnet)
            ),
            "remove public_ip from muck.toml, or name a subnet whose route is a NAT gateway (subnets in muck.toml)",
        );
    }
    NetworkFault::new(
        format!(
            "{} gives instances no public address, and its route to the internet needs one",
            name(subnet)
        ),
        "set public_ip = true in muck.toml, or name a subnet whose route is a NAT gateway (subnets in muck.toml)",
    )
}

fn no_route(
    subnet: &Subnet,
    table: &RouteTable,
    purpose: Purpose,
    missing: &[&str],
) -> NetworkFault {
    if purpose == (Purpose::Builder { packages: true }) {
        return NetworkFault::new(
            format!(
                "{} has no route to the internet, from where {purpose} installs packages",
                name(subnet)
            ),
            "name a subnet with one (subnets in muck.toml), or bake elsewhere and copy the image: muck images copy",
        );
    }
    NetworkFault::new(
        format!(
            "{} has no route to the internet, and its VPC no endpoint for {}",
            name(subnet),
            missing.join(", ")
        ),
        format!(
            "add 0.0.0.0/0 by a NAT or internet gateway or the missing endpoints to {}, or name another subnet (subnets in muck.toml)",
            table.id
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKER: Purpose = Purpose::Worker { mail: false };
    const BUILDER: Purpose = Purpose::Builder { packages: true };

    fn subnet(gives_public: bool) -> Subnet {
        Subnet {
            id: "subnet-a".to_owned(),
            vpc: "vpc-1".to_owned(),
            zone: "eu-central-1a".to_owned(),
            free_addresses: 9,
            gives_public,
        }
    }

    /// One main table with this route, and a group that lets everything out.
    fn network(default: Option<RouteTarget>, services: &[&str]) -> Network {
        let endpoint = |service: &&str| VpcEndpoint {
            vpc: "vpc-1".to_owned(),
            service: (*service).to_owned(),
            reach: match *service {
                "s3" => EndpointReach::RouteTables(vec!["rtb-1".to_owned()]),
                _ => EndpointReach::Vpc,
            },
        };
        Network {
            tables: vec![RouteTable {
                id: "rtb-1".to_owned(),
                vpc: "vpc-1".to_owned(),
                is_main: true,
                subnets: Vec::new(),
                default,
            }],
            endpoints: services.iter().map(endpoint).collect(),
            groups: vec![SecurityGroup {
                id: "sg-1".to_owned(),
                vpc: "vpc-1".to_owned(),
                egress: vec![(0, u16::MAX)],
            }],
        }
    }

    #[test]
    fn every_way_out_is_taken() {
        use RouteTarget::{InternetGateway, NatGateway, Other};
        for (default, services, public, purpose, nat) in [
            (Some(InternetGateway), &[][..], true, BUILDER, false),
            (Some(NatGateway), &[], false, WORKER, true),
            (Some(NatGateway), &["s3"], false, WORKER, false),
            (Some(Other), &[], false, BUILDER, false),
            (None, &["s3", "sqs"], false, WORKER, false),
            (None, &["s3"], false, Purpose::Reader, false),
            (
                None,
                &["s3"],
                false,
                Purpose::Builder { packages: false },
                false,
            ),
            (Some(InternetGateway), &["s3", "sqs"], false, WORKER, false),
        ] {
            let reach = network(default, services).reach(&subnet(public), None, purpose);
            assert_eq!(
                reach,
                Ok(Reach { nat }),
                "{default:?} {services:?} {purpose}"
            );
        }
    }

    #[test]
    fn each_fault_is_a_sentence_with_a_remedy() {
        use RouteTarget::{Blackhole, InternetGateway, NatGateway};
        let closed = |ports: &[(u16, u16)]| {
            let mut network = network(Some(NatGateway), &[]);
            network.groups[0].egress = ports.to_vec();
            network
        };
        let mut foreign = network(Some(NatGateway), &[]);
        foreign.groups[0].vpc = "vpc-2".to_owned();
        for (network, public_ip, purpose, sentence, remedy) in [
            (
                network(Some(InternetGateway), &[]),
                None,
                WORKER,
                "subnet-a (eu-central-1a) gives instances no public address, and its route to the internet needs one",
                "set public_ip = true",
            ),
            (
                network(Some(InternetGateway), &[]),
                Some(false),
                WORKER,
                "(public_ip = false)",
                "remove public_ip",
            ),
            (
                network(None, &["s3"]),
                None,
                WORKER,
                "subnet-a (eu-central-1a) has no route to the internet, and its VPC no endpoint for sqs",
                "rtb-1",
            ),
            (
                network(None, &["s3", "sqs"]),
                None,
                Purpose::Worker { mail: true },
                "no endpoint for sns",
                "rtb-1",
            ),
            (
                network(None, &["s3", "sqs"]),
                None,
                BUILDER,
                "from where a builder installs packages",
                "muck images copy",
            ),
            (
                network(Some(Blackhole), &[]),
                None,
                WORKER,
                "(rtb-1, blackhole)",
                "repair 0.0.0.0/0",
            ),
            (
                closed(&[]),
                None,
                WORKER,
                "no outbound rule of the security group sg-1 lets TCP port 443 out, which a worker needs",
                "add an outbound rule",
            ),
            (
                closed(&[(443, 443)]),
                None,
                BUILDER,
                "TCP port 80",
                "port 80",
            ),
            (
                foreign,
                None,
                WORKER,
                "sg-1 is of vpc-2, but subnet-a",
                "security_groups",
            ),
        ] {
            let fault = network
                .reach(&subnet(false), public_ip, purpose)
                .expect_err(sentence);
            assert!(fault.what.contains(sentence), "{}", fault.what);
            assert!(fault.remedy.contains(remedy), "{}", fault.remedy);
        }
    }

    #[test]
    fn a_public_address_by_the_launch_is_enough() {
        let network = network(Some(RouteTarget::InternetGateway), &[]);
        assert!(network.reach(&subnet(false), Some(true), WORKER).is_ok());
    }

    #[test]
    fn the_subnets_own_table_goes_before_the_main_one() {
        let mut network = network(None, &[]);
        network.tables.push(RouteTable {
            id: "rtb-2".to_owned(),
            vpc: "vpc-1".to_owned(),
            is_main: false,
            subnets: vec!["subnet-a".to_owned()],
            default: Some(RouteTarget::NatGateway),
        });
        let reach = network.reach(&subnet(false), None, WORKER);
        assert_eq!(reach, Ok(Reach { nat: true }));
        // What this account is not shown is no fault.
        network.tables.clear();
        assert!(network.reach(&subnet(false), None, WORKER).is_ok());
    }
}

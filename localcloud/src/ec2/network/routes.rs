//! DescribeRouteTables: the VPC's main route table, which all subnets use without being associated.

use super::settings::DefaultRoute;
use super::{VPC, VPC_CIDR};
use crate::ec2::Ec2;
use crate::ec2::dry_run::DryRun;
use crate::ec2::filters::{Filters, maybe, one};
use crate::ec2::paging::Page;
use crate::error::{ApiError, ApiResult};
use crate::query_protocol::{Params, XmlBody};

pub(super) const ROUTE_TABLE: &str = "rtb-00000000000000001";
const MAIN_ASSOCIATION: &str = "rtbassoc-00000000000000001";
const EVERYWHERE: &str = "0.0.0.0/0";
/// Where packets to S3 go by a gateway endpoint.
const S3_PREFIX_LIST: &str = "pl-00000000000000053";

struct Route {
    destination: (&'static str, &'static str),
    target: (&'static str, &'static str),
    state: &'static str,
    origin: &'static str,
}

impl Ec2 {
    fn routes(&self) -> Vec<Route> {
        let network = self.network();
        let route = |destination, target, state, origin| Route {
            destination,
            target,
            state,
            origin,
        };
        let cidr = |cidr| ("destinationCidrBlock", cidr);
        let mut routes = vec![route(
            cidr(VPC_CIDR),
            ("gatewayId", "local"),
            "active",
            "CreateRouteTable",
        )];
        let default = match network.route {
            DefaultRoute::InternetGateway => {
                Some((("gatewayId", "igw-00000000000000001"), "active"))
            }
            DefaultRoute::NatGateway => Some((("natGatewayId", "nat-00000000000000001"), "active")),
            DefaultRoute::Blackhole => {
                Some((("natGatewayId", "nat-00000000000000001"), "blackhole"))
            }
            DefaultRoute::None => None,
        };
        routes.extend(
            default.map(|(target, state)| route(cidr(EVERYWHERE), target, state, "CreateRoute")),
        );
        if network.endpoints.iter().any(|service| service == "s3") {
            routes.push(route(
                ("destinationPrefixListId", S3_PREFIX_LIST),
                ("gatewayId", super::endpoints::S3_ENDPOINT),
                "active",
                "CreateRoute",
            ));
        }
        routes
    }

    pub(in crate::ec2) fn describe_route_tables(
        &self,
        params: &Params,
        dry_run: DryRun,
    ) -> ApiResult<XmlBody> {
        let ids = params.list("RouteTableId");
        let filters = Filters::read(
            params,
            &[
                "association.main",
                "association.route-table-association-id",
                "association.route-table-id",
                "association.subnet-id",
                "owner-id",
                "route-table-id",
                "route.destination-cidr-block",
                "route.gateway-id",
                "route.nat-gateway-id",
                "route.state",
                "vpc-id",
            ],
        )?;
        let page = Page::read(params, 5)?;
        params.finish()?;
        page.not_beside(&ids, "routeTableIds")?;
        dry_run.end()?;
        if let Some(unknown) = ids.iter().find(|id| *id != ROUTE_TABLE) {
            return Err(ApiError::new(
                "InvalidRouteTableID.NotFound",
                format!("The routeTable ID '{unknown}' does not exist"),
            ));
        }
        let (network, routes) = (self.network(), self.routes());
        let of_routes = |field: fn(&Route) -> (&'static str, &'static str), name: &str| {
            routes
                .iter()
                .map(field)
                .filter(|(kind, _)| *kind == name)
                .map(|(_, value)| value.to_owned())
                .collect()
        };
        let found: Vec<&str> = [ROUTE_TABLE]
            .into_iter()
            .filter(|_| {
                filters.pass(&[], |name| match name {
                    "association.main" => one(true),
                    "association.route-table-association-id" => one(MAIN_ASSOCIATION),
                    "association.route-table-id" | "route-table-id" => one(ROUTE_TABLE),
                    // No subnet is associated with it by name.
                    "association.subnet-id" => maybe(None::<&str>),
                    "owner-id" => one(network.owner()),
                    "route.destination-cidr-block" => {
                        of_routes(|route| route.destination, "destinationCidrBlock")
                    }
                    "route.gateway-id" => of_routes(|route| route.target, "gatewayId"),
                    "route.nat-gateway-id" => of_routes(|route| route.target, "natGatewayId"),
                    "route.state" => routes.iter().map(|route| route.state.to_owned()).collect(),
                    "vpc-id" => one(VPC),
                    _ => Vec::new(),
                })
            })
            .collect();
        let (found, next) = page.cut(found, |id| (*id).to_owned());
        let mut body = XmlBody::new();
        body.list("routeTableSet", "item", found, |xml, id| {
            xml.text("routeTableId", id)
                .text("vpcId", VPC)
                .text("ownerId", network.owner());
            xml.list("routeSet", "item", &routes, |xml, route| {
                xml.text(route.destination.0, route.destination.1)
                    .text(route.target.0, route.target.1)
                    .text("state", route.state)
                    .text("origin", route.origin);
            });
            xml.list(
                "associationSet",
                "item",
                [MAIN_ASSOCIATION],
                |xml, association| {
                    xml.text("routeTableAssociationId", association)
                        .text("routeTableId", id)
                        .text("main", true);
                    xml.element("associationState", |xml| {
                        xml.text("state", "associated");
                    });
                },
            );
        });
        body.optional("nextToken", next);
        Ok(body)
    }
}

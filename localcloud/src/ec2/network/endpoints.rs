//! DescribeVpcEndpoints: those that the network's settings name.

use super::{SECURITY_GROUP, VPC, ZONES};
use crate::account::REGION;
use crate::ec2::Ec2;
use crate::ec2::dry_run::DryRun;
use crate::ec2::filters::{Filters, one};
use crate::ec2::paging::Page;
use crate::error::{ApiError, ApiResult};
use crate::query_protocol::{Params, XmlBody};

/// The gateway endpoint.
pub(super) const S3_ENDPOINT: &str = "vpce-00000000000000053";

/// S3 has a gateway, the others interfaces.
struct Endpoint {
    id: String,
    service: String,
    kind: &'static str,
}

impl Endpoint {
    fn of(number: usize, service: &str) -> Self {
        let gateway = service == "s3";
        Self {
            id: if gateway {
                S3_ENDPOINT.to_owned()
            } else {
                format!("vpce-000000000000001{number:02x}")
            },
            service: format!("com.amazonaws.{REGION}.{service}"),
            kind: if gateway { "Gateway" } else { "Interface" },
        }
    }
}

impl Ec2 {
    pub(in crate::ec2) fn describe_vpc_endpoints(
        &self,
        params: &Params,
        dry_run: DryRun,
    ) -> ApiResult<XmlBody> {
        let ids = params.list("VpcEndpointId");
        let filters = Filters::read(
            params,
            &[
                "service-name",
                "vpc-endpoint-id",
                "vpc-endpoint-state",
                "vpc-endpoint-type",
                "vpc-id",
            ],
        )?;
        let page = Page::read(params, 1)?;
        params.finish()?;
        dry_run.end()?;
        let all: Vec<Endpoint> = (self.network().endpoints.iter().enumerate())
            .map(|(number, service)| Endpoint::of(number, service))
            .collect();
        if let Some(unknown) = ids.iter().find(|id| !all.iter().any(|one| one.id == **id)) {
            return Err(ApiError::new(
                "InvalidVpcEndpointId.NotFound",
                format!("The Vpc Endpoint Id '{unknown}' does not exist"),
            ));
        }
        let found: Vec<Endpoint> = all
            .into_iter()
            .filter(|endpoint| ids.is_empty() || ids.contains(&endpoint.id))
            .filter(|endpoint| {
                filters.pass(&[], |name| match name {
                    "service-name" => one(&endpoint.service),
                    "vpc-endpoint-id" => one(&endpoint.id),
                    "vpc-endpoint-state" => one("available"),
                    "vpc-endpoint-type" => one(endpoint.kind),
                    "vpc-id" => one(VPC),
                    _ => Vec::new(),
                })
            })
            .collect();
        let (found, next) = page.cut(found, |endpoint| endpoint.id.clone());
        let mut body = XmlBody::new();
        body.list("vpcEndpointSet", "item", &found, |xml, endpoint| {
            let gateway = endpoint.kind == "Gateway";
            xml.text("vpcEndpointId", &endpoint.id)
                .text("vpcEndpointType", endpoint.kind)
                .text("vpcId", VPC)
                .text("serviceName", &endpoint.service)
                .text("state", "available")
                .text("privateDnsEnabled", !gateway);
            if gateway {
                xml.texts("routeTableIdSet", "item", [super::routes::ROUTE_TABLE]);
            } else {
                xml.texts("subnetIdSet", "item", ZONES.iter().map(|zone| zone.subnet));
                xml.list("groupSet", "item", [SECURITY_GROUP], |xml, id| {
                    xml.text("groupId", id).text("groupName", "default");
                });
            }
        });
        body.optional("nextToken", next);
        Ok(body)
    }
}

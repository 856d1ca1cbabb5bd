//! The default security group, and DescribeSecurityGroups.

use super::{SECURITY_GROUP, VPC};
use crate::account::ACCOUNT;
use crate::ec2::Ec2;
use crate::ec2::dry_run::DryRun;
use crate::ec2::filters::{Filters, one};
use crate::ec2::paging::Page;
use crate::error::{ApiError, ApiResult};
use crate::query_protocol::{Params, XmlBody};

/// # Errors
/// `InvalidGroup.NotFound` for any other than the default group.
pub(in crate::ec2) fn check(ids: &[String]) -> ApiResult<()> {
    match ids.iter().find(|id| *id != SECURITY_GROUP) {
        None => Ok(()),
        Some(unknown) => Err(ApiError::new(
            "InvalidGroup.NotFound",
            format!("The security group '{unknown}' does not exist"),
        )),
    }
}

impl Ec2 {
    pub(in crate::ec2) fn describe_security_groups(
        &self,
        params: &Params,
        dry_run: DryRun,
    ) -> ApiResult<XmlBody> {
        let ids = params.list("GroupId");
        let names = params.list("GroupName");
        let filters = Filters::read(params, &["group-id", "group-name", "vpc-id", "owner-id"])?;
        let page = Page::read(params, 5)?;
        params.finish()?;
        page.not_beside(&ids, "groupIds")?;
        dry_run.end()?;
        check(&ids)?;
        if let Some(unknown) = names.iter().find(|name| *name != "default") {
            return Err(ApiError::new(
                "InvalidGroup.NotFound",
                format!("The security group '{unknown}' does not exist in default VPC '{VPC}'"),
            ));
        }
        let found = [SECURITY_GROUP].into_iter().filter(|_| {
            filters.pass(&[], |name| match name {
                "group-id" => one(SECURITY_GROUP),
                "group-name" => one("default"),
                "vpc-id" => one(VPC),
                "owner-id" => one(ACCOUNT),
                _ => Vec::new(),
            })
        });
        let open = self.network().egress;
        let mut body = XmlBody::new();
        body.list("securityGroupInfo", "item", found, |xml, group| {
            xml.text("groupId", group)
                .text("vpcId", VPC)
                .text("ownerId", ACCOUNT)
                .text("groupName", "default")
                .text("groupDescription", "default VPC security group");
            if open {
                xml.list(
                    "ipPermissionsEgress",
                    "item",
                    ["0.0.0.0/0"],
                    |xml, range| {
                        xml.text("ipProtocol", -1);
                        xml.list("ipRanges", "item", [range], |xml, range| {
                            xml.text("cidrIp", range);
                        });
                    },
                );
            }
        });
        Ok(body)
    }
}

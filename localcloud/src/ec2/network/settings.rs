//! How the account's network differs from a new account's. It is what `Describe…` tells; guests reach this machine's network
//! whatever it says.

use serde::{Deserialize, Serialize};

use crate::account::ACCOUNT;
use crate::ec2::Ec2;
use crate::error::{ApiError, ApiResult};

/// The switches. What is left out is as in a new account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkSettings {
    /// The VPC and its subnets are the account's default ones.
    pub default_vpc: bool,
    /// Subnets that give no public address at launch; `*`: none does.
    pub private_subnets: Vec<String>,
    /// Where the route to 0.0.0.0/0 leads.
    pub route: DefaultRoute,
    /// Services with a VPC endpoint, e.g. `s3` (as a gateway) and `sqs` (as an interface).
    pub endpoints: Vec<String>,
    /// The default security group lets everything out.
    pub egress: bool,
    /// 12 digits of the account that shares the VPC with this one.
    pub shared_by: Option<String>,
}

/// Where the main route table's default route leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DefaultRoute {
    InternetGateway,
    NatGateway,
    /// To a NAT gateway that was deleted.
    Blackhole,
    None,
}

impl Default for NetworkSettings {
    fn default() -> Self {
        Self {
            default_vpc: true,
            private_subnets: Vec::new(),
            route: DefaultRoute::InternetGateway,
            endpoints: Vec::new(),
            egress: true,
            shared_by: None,
        }
    }
}

impl NetworkSettings {
    pub(in crate::ec2) fn owner(&self) -> &str {
        self.shared_by.as_deref().unwrap_or(ACCOUNT)
    }

    pub(in crate::ec2) fn gives_public(&self, subnet: &str) -> bool {
        !self
            .private_subnets
            .iter()
            .any(|private| private == "*" || private == subnet)
    }

    /// # Errors
    /// `VPCIdNotSpecified`: a launch that names no subnet needs the default VPC.
    pub(in crate::ec2) fn check_placement(&self, subnet: Option<&str>) -> ApiResult<()> {
        if self.default_vpc || subnet.is_some() {
            return Ok(());
        }
        Err(ApiError::new(
            "VPCIdNotSpecified",
            "No default VPC for this user. GroupName is only supported for EC2-Classic and default VPC.",
        ))
    }
}

impl Ec2 {
    /// The network as it is now.
    pub fn network(&self) -> NetworkSettings {
        self.network
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    /// Makes the network another. It is a new account's again when the server starts anew.
    pub fn set_network(&self, settings: NetworkSettings) {
        *self
            .network
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = settings;
    }
}

//! What an instance may learn of itself: the facts that its metadata service tells.

use std::net::Ipv4Addr;

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::instance::{Instance, InstanceState, MetadataOptions};
use super::{get, tags};
use crate::error::{ApiError, ApiResult};
use crate::state::Store;

/// Spot capacity will be taken back; served as `spot/instance-action` and `spot/termination-time`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpotNotice {
    /// `terminate` or `stop`.
    pub action: String,
    /// When it happens; EC2 tells two minutes before.
    pub at: Timestamp,
}

/// The instance profile of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileFacts {
    pub arn: String,
    pub id: String,
}

impl ProfileFacts {
    /// The profile's name: what follows the last `/` of its ARN.
    pub fn name(&self) -> &str {
        self.arn.rsplit('/').next().unwrap_or(&self.arn)
    }
}

/// Everything that an instance's metadata service needs to know of it. Looked up anew for each
/// request, so that an association made while it runs is seen.
#[derive(Debug, Clone)]
pub struct InstanceFacts {
    pub instance_id: String,
    pub reservation_id: String,
    pub launch_index: u32,
    pub image_id: String,
    pub instance_type: String,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    pub state: InstanceState,
    pub zone: String,
    /// An address in 127.0.0.0/8 that no other live instance has.
    pub private_ip: Ipv4Addr,
    /// E.g. `ip-127-0-16-4`.
    pub hostname: String,
    pub mac: String,
    pub launch_time: Timestamp,
    pub security_groups: Vec<String>,
    /// Decoded.
    pub user_data: Option<Vec<u8>>,
    pub profile: Option<ProfileFacts>,
    pub metadata: MetadataOptions,
    /// `None` unless the launch enabled tags in the metadata.
    pub tags: Option<Vec<(String, String)>>,
    pub spot: bool,
    pub spot_notice: Option<SpotNotice>,
}

/// The facts of an instance; `None` if there is no such instance.
///
/// # Errors
/// `InternalError` if the state can't be read.
pub fn instance_facts(store: &Store, instance_id: &str) -> ApiResult<Option<InstanceFacts>> {
    store.transaction(|tx| {
        let Some(instance) = get::<Instance>(tx, instance_id)? else {
            return Ok(None);
        };
        let tags = if instance.metadata.tags_enabled {
            Some(tags::of(tx, instance_id)?)
        } else {
            None
        };
        let user_data = instance
            .user_data
            .as_deref()
            .map(|text| STANDARD.decode(text).map_err(ApiError::internal))
            .transpose()?;
        Ok(Some(InstanceFacts {
            hostname: instance.hostname(),
            mac: mac_address(&instance.interface_id),
            user_data,
            tags,
            profile: instance.profile.map(|profile| ProfileFacts {
                arn: profile.arn,
                id: profile.profile_id,
            }),
            instance_id: instance.id,
            reservation_id: instance.reservation_id,
            launch_index: instance.launch_index,
            image_id: instance.image_id,
            instance_type: instance.instance_type,
            architecture: instance.architecture,
            state: instance.state,
            zone: instance.zone,
            private_ip: instance.private_ip,
            launch_time: instance.launch_time,
            security_groups: instance.security_groups,
            metadata: instance.metadata,
            spot: instance.spot_request.is_some(),
            spot_notice: instance.spot_notice,
        }))
    })
}

/// A locally administered address made of the last five bytes of an interface's id.
pub fn mac_address(interface_id: &str) -> String {
    let digits: Vec<char> = interface_id.chars().rev().take(10).collect();
    let digits: String = digits.into_iter().rev().collect();
    let mut mac = "02".to_owned();
    for pair in digits.as_bytes().chunks(2) {
        mac.push(':');
        mac.push_str(&String::from_utf8_lossy(pair));
    }
    mac
}

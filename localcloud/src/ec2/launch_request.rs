//! What RunInstances asks for, read and checked as far as that needs no state.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::network;
use super::profiles::ProfileName;
use super::tagging::TagSpecifications;
use super::types::{self, InstanceType};
use crate::error::{ApiError, ApiResult};
use crate::query_protocol::Params;
use crate::state::ec2::ShutdownBehavior;

/// "User data is limited to 16 KB, in raw form, before it is base64-encoded" (EC2 user guide).
const LONGEST_USER_DATA: usize = 16 * 1024;
/// "Maximum 64 ASCII characters" (API reference, RunInstances).
const LONGEST_TOKEN: usize = 64;
/// A guard for this machine; EC2's own quota counts vCPUs.
const MOST_INSTANCES: u32 = 100;

/// The request. Its serialized form is what a client token is compared by.
#[derive(Debug, Clone, Serialize)]
pub(super) struct LaunchRequest {
    pub(super) image_id: String,
    #[serde(serialize_with = "type_name")]
    pub(super) instance_type: InstanceType,
    pub(super) min: u32,
    pub(super) max: u32,
    #[serde(skip)]
    pub(super) client_token: Option<String>,
    /// Base64, as it came.
    pub(super) user_data: Option<String>,
    pub(super) profile: Option<ProfileName>,
    pub(super) shutdown_behavior: ShutdownBehavior,
    pub(super) metadata: MetadataRequest,
    pub(super) tags: TagSpecifications,
    pub(super) devices: Vec<DeviceRequest>,
    pub(super) zone: Option<String>,
    pub(super) subnet: Option<String>,
    pub(super) security_groups: Vec<String>,
    pub(super) spot: bool,
    pub(super) monitoring: bool,
    pub(super) ebs_optimized: Option<bool>,
    pub(super) disable_api_termination: bool,
    /// `standard` or `unlimited`; `None`: as the type's family has it.
    pub(super) cpu_credits: Option<String>,
    pub(super) public_address: Option<bool>,
}

fn type_name<S: serde::Serializer>(kind: &InstanceType, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&kind.name)
}

/// `MetadataOptions`; what isn't given comes from the image.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct MetadataRequest {
    pub(super) tokens_required: Option<bool>,
    pub(super) hop_limit: Option<u8>,
    pub(super) endpoint_enabled: Option<bool>,
    pub(super) tags_enabled: Option<bool>,
}

/// One `BlockDeviceMapping`.
#[derive(Debug, Clone, Serialize)]
pub(super) struct DeviceRequest {
    pub(super) device: String,
    pub(super) delete_on_termination: Option<bool>,
    pub(super) snapshot_id: Option<String>,
    /// GiB.
    pub(super) size: Option<u32>,
    pub(super) volume_type: Option<String>,
    pub(super) iops: Option<u32>,
    /// MiB/s.
    pub(super) throughput: Option<u32>,
    pub(super) encrypted: Option<bool>,
}

impl LaunchRequest {
    /// Reads all parameters of RunInstances.
    ///
    /// # Errors
    /// As EC2 words them; `UnknownParameter` for those that this cloud doesn't know.
    pub(super) fn read(params: &Params) -> ApiResult<Self> {
        let image_id = params.required("ImageId")?;
        let type_name = params
            .optional("InstanceType")
            // EC2's default is m1.small, which has not been launchable for years.
            .ok_or_else(|| missing("InstanceType"))?;
        let (min, max) = (
            required_number(params, "MinCount")?,
            required_number(params, "MaxCount")?,
        );
        let tags = TagSpecifications::read(
            params,
            &[
                "instance",
                "volume",
                "network-interface",
                "spot-instances-request",
            ],
        )?;
        let mut request = Self {
            instance_type: types::find(&type_name)
                .ok_or_else(|| invalid(format!("Invalid value '{type_name}' for InstanceType.")))?,
            image_id,
            min,
            max,
            client_token: params.optional("ClientToken"),
            user_data: params.optional("UserData").filter(|text| !text.is_empty()),
            profile: ProfileName::read(params)?,
            shutdown_behavior: read_shutdown_behavior(
                params.optional("InstanceInitiatedShutdownBehavior"),
            )?,
            metadata: MetadataRequest::read(params)?,
            tags,
            devices: read_devices(params)?,
            zone: params
                .structure("Placement")
                .and_then(|placement| placement.optional("AvailabilityZone")),
            subnet: params.optional("SubnetId"),
            security_groups: params.list("SecurityGroupId"),
            spot: read_spot(params)?,
            monitoring: match params.structure("Monitoring") {
                Some(monitoring) => monitoring.boolean("Enabled")?.unwrap_or(false),
                None => false,
            },
            ebs_optimized: params.boolean("EbsOptimized")?,
            disable_api_termination: params.boolean("DisableApiTermination")?.unwrap_or(false),
            cpu_credits: read_credits(params)?,
            public_address: None,
        };
        request.read_interface(params)?;
        params.finish()?;
        request.check()?;
        Ok(request)
    }

    /// The form that gives a public address: one interface, which names subnet and groups itself.
    fn read_interface(&mut self, params: &Params) -> ApiResult<()> {
        let interfaces = params.structures("NetworkInterface");
        if interfaces.len() > 1 {
            return Err(ApiError::new(
                "UnsupportedOperation",
                "The local cloud gives an instance one network interface.",
            ));
        }
        let Some(interface) = interfaces.into_iter().next() else {
            return Ok(());
        };
        match interface.number::<u32>("DeviceIndex")? {
            Some(0) => {}
            Some(other) => {
                return Err(invalid(format!(
                    "Value ({other}) for parameter networkInterface.deviceIndex is invalid. The first interface has index 0."
                )));
            }
            None => {
                return Err(missing("NetworkInterface.1.DeviceIndex"));
            }
        }
        let clash = |what: &str| {
            ApiError::new(
                "InvalidParameterCombination",
                format!(
                    "Network interfaces and an instance-level {what} may not be specified on the same request"
                ),
            )
        };
        if self.subnet.is_some() {
            return Err(clash("subnet ID"));
        }
        if !self.security_groups.is_empty() {
            return Err(clash("security groups"));
        }
        self.subnet = interface.optional("SubnetId");
        self.security_groups = interface.list("SecurityGroupId");
        self.public_address = interface.boolean("AssociatePublicIpAddress")?;
        // Interfaces can't outlive instances here.
        if interface.boolean("DeleteOnTermination")? == Some(false) {
            return Err(ApiError::new(
                "UnsupportedOperation",
                "The local cloud deletes an interface with its instance.",
            ));
        }
        interface.optional("Description");
        Ok(())
    }

    fn check(&self) -> ApiResult<()> {
        if self.min < 1 || self.min > self.max {
            return Err(invalid(format!(
                "Value ({}) for parameter minCount is invalid. It must be at least 1 and at most maxCount ({}).",
                self.min, self.max
            )));
        }
        if self.min > MOST_INSTANCES {
            return Err(ApiError::new(
                "InstanceLimitExceeded",
                format!(
                    "You have requested more instances ({}) than the local cloud starts in one call ({MOST_INSTANCES}).",
                    self.min
                ),
            ));
        }
        if let Some(token) = &self.client_token
            && (token.len() > LONGEST_TOKEN || !token.is_ascii() || token.is_empty())
        {
            return Err(invalid(format!(
                "Value ({token}) for parameter clientToken is invalid. It must be 1 to {LONGEST_TOKEN} ASCII characters."
            )));
        }
        if let Some(text) = &self.user_data {
            check_user_data(text)?;
        }
        if self.cpu_credits.is_some() && !self.instance_type.family.burstable {
            // EC2's words, whatever credits are asked for.
            return Err(ApiError::new(
                "InstanceCreditSpecification.NotSupported",
                format!(
                    "The {} instance type does not support T2 Unlimited.",
                    self.instance_type.name
                ),
            ));
        }
        network::check_security_groups(&self.security_groups)?;
        if let Some(zone) = &self.zone
            && network::zone(zone).is_none()
        {
            return Err(invalid(format!("Invalid availability zone: [{zone}]")));
        }
        Ok(())
    }

    /// The zone that it shall run in.
    ///
    /// # Errors
    /// `InvalidSubnetID.NotFound`; `InvalidParameterValue` if zone and subnet disagree.
    pub(super) fn place(&self) -> ApiResult<&'static network::Zone> {
        let of_subnet = self
            .subnet
            .as_deref()
            .map(network::zone_of_subnet)
            .transpose()?;
        let of_name = self.zone.as_deref().and_then(network::zone);
        match (of_subnet, of_name) {
            (Some(subnet), Some(zone)) if subnet.name != zone.name => Err(invalid(format!(
                "The availability zone '{}' and the subnet '{}' do not match.",
                zone.name, subnet.subnet
            ))),
            (Some(zone), _) | (None, Some(zone)) => Ok(zone),
            (None, None) => Ok(&network::ZONES[0]),
        }
    }

    /// How many to start: as many as asked for, within this machine's limit.
    pub(super) fn count(&self) -> u32 {
        self.max.min(MOST_INSTANCES)
    }

    /// What a client token is compared by: a digest over every parameter but the token.
    pub(super) fn fingerprint(&self) -> ApiResult<String> {
        let text = serde_json::to_vec(self).map_err(ApiError::internal)?;
        Ok(hex::encode(Sha256::digest(text)))
    }
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameterValue", message)
}

fn missing(name: &str) -> ApiError {
    ApiError::new(
        "MissingParameter",
        format!("The request must contain the parameter {name}"),
    )
}

fn required_number(params: &Params, name: &str) -> ApiResult<u32> {
    params.number(name)?.ok_or_else(|| missing(name))
}

/// # Errors
/// `InvalidUserData.Malformed` if it isn't base64; `InvalidParameterValue` if it is too long.
pub(super) fn check_user_data(text: &str) -> ApiResult<()> {
    let raw = STANDARD.decode(text).map_err(|_| {
        ApiError::new(
            "InvalidUserData.Malformed",
            "Invalid BASE64 encoding of user data.",
        )
    })?;
    if raw.len() > LONGEST_USER_DATA {
        return Err(invalid(format!(
            "User data is limited to {LONGEST_USER_DATA} bytes"
        )));
    }
    Ok(())
}

/// # Errors
/// `InvalidParameterValue` for anything but `stop` and `terminate`.
pub(super) fn read_shutdown_behavior(given: Option<String>) -> ApiResult<ShutdownBehavior> {
    match given {
        None => Ok(ShutdownBehavior::Stop),
        Some(name) => ShutdownBehavior::parse(&name).ok_or_else(|| {
            invalid(format!(
                "Value ({name}) for parameter instanceInitiatedShutdownBehavior is invalid. Expected: stop or terminate."
            ))
        }),
    }
}

/// One of two words as a flag.
fn word(params: &Params, name: &str, yes: &str, no: &str) -> ApiResult<Option<bool>> {
    match params.optional(name) {
        None => Ok(None),
        Some(value) if value == yes => Ok(Some(true)),
        Some(value) if value == no => Ok(Some(false)),
        Some(value) => Err(invalid(format!(
            "Value ({value}) for parameter {} is invalid. Expected: {yes} or {no}.",
            params.name_of(name)
        ))),
    }
}

impl MetadataRequest {
    fn read(params: &Params) -> ApiResult<Self> {
        let Some(given) = params.structure("MetadataOptions") else {
            return Ok(Self::default());
        };
        let hop_limit = given.number::<u8>("HttpPutResponseHopLimit")?;
        if let Some(hops) = hop_limit
            && !(1..=64).contains(&hops)
        {
            return Err(invalid(format!(
                "Value ({hops}) for parameter HttpPutResponseHopLimit is invalid. Expected 1 to 64."
            )));
        }
        Ok(Self {
            tokens_required: word(&given, "HttpTokens", "required", "optional")?,
            hop_limit,
            endpoint_enabled: word(&given, "HttpEndpoint", "enabled", "disabled")?,
            tags_enabled: word(&given, "InstanceMetadataTags", "enabled", "disabled")?,
        })
    }
}

/// The CPU credits that are asked for, if any.
fn read_credits(params: &Params) -> ApiResult<Option<String>> {
    let Some(credits) = params.structure("CreditSpecification") else {
        return Ok(None);
    };
    match credits.optional("CpuCredits") {
        Some(name) if matches!(name.as_str(), "standard" | "unlimited") => Ok(Some(name)),
        Some(other) => Err(invalid(format!(
            "Value ({other}) for parameter CreditSpecification.CpuCredits is invalid. Expected: standard, unlimited."
        ))),
        None => Err(missing("CreditSpecification.CpuCredits")),
    }
}

/// Whether it is a spot request; only the one kind that ends with its instance.
fn read_spot(params: &Params) -> ApiResult<bool> {
    let Some(market) = params.structure("InstanceMarketOptions") else {
        return Ok(false);
    };
    match market.optional("MarketType").as_deref() {
        Some("spot") => {}
        other => {
            return Err(invalid(format!(
                "Value ({}) for parameter InstanceMarketOptions.MarketType is invalid. Expected: spot.",
                other.unwrap_or_default()
            )));
        }
    }
    if let Some(options) = market.structure("SpotOptions") {
        let kind = options.optional("SpotInstanceType");
        let on_interruption = options.optional("InstanceInterruptionBehavior");
        if kind.is_some_and(|kind| kind != "one-time")
            || on_interruption.is_some_and(|behavior| behavior != "terminate")
        {
            return Err(ApiError::new(
                "UnsupportedOperation",
                "The local cloud has one-time spot requests that terminate on interruption, no others.",
            ));
        }
        if let Some(price) = options.optional("MaxPrice")
            && price.parse::<f64>().is_err()
        {
            return Err(invalid(format!(
                "Value ({price}) for parameter MaxPrice is invalid."
            )));
        }
    }
    Ok(true)
}

/// Reads `BlockDeviceMapping.N`.
pub(super) fn read_devices(params: &Params) -> ApiResult<Vec<DeviceRequest>> {
    let mut devices = Vec::new();
    for given in params.structures("BlockDeviceMapping") {
        let device = given.required("DeviceName")?;
        let ebs = given.structure("Ebs").ok_or_else(|| {
            ApiError::new(
                "InvalidBlockDeviceMapping",
                format!("The device '{device}' has no Ebs settings."),
            )
        })?;
        let volume_type = ebs.optional("VolumeType");
        if let Some(kind) = &volume_type
            && !matches!(kind.as_str(), "gp2" | "gp3" | "io1" | "io2" | "standard")
        {
            return Err(invalid(format!("Unknown volume type '{kind}'")));
        }
        devices.push(DeviceRequest {
            device,
            delete_on_termination: ebs.boolean("DeleteOnTermination")?,
            snapshot_id: ebs.optional("SnapshotId"),
            size: ebs.number("VolumeSize")?,
            volume_type,
            iops: ebs.number("Iops")?,
            throughput: ebs.number("Throughput")?,
            encrypted: ebs.boolean("Encrypted")?,
        });
    }
    Ok(devices)
}

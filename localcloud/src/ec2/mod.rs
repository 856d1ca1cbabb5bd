//! The EC2 API (ec2Query, version 2016-11-15) over [`crate::state::ec2`] and a [`Driver`].
//!
//! Each action reads its parameters, calls `Params::finish`, changes state in one transaction and
//! answers; what takes time (booting, powering off, freezing) is done after it by [`lifecycle`], which
//! always acts on what the state says by then.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::caller::Caller;
use crate::clock::Clock;
use crate::driver::{Driver, MetadataService, PowerEvent};
use crate::error::{ApiError, ApiResult};
use crate::query_protocol::{Params, XmlBody};
use crate::state::Store;

mod attributes;
pub mod base;
mod console;
mod dry_run;
mod filters;
mod ids;
mod image_registration;
mod images;
mod instance_types;
mod instance_xml;
mod instances;
mod launch;
mod launch_request;
mod lifecycle;
mod network;
mod paging;
mod permissions;
mod profiles;
mod snapshots;
mod tagging;
mod types;
mod volumes;

pub use crate::state::ec2::{InstanceFacts, SpotNotice, instance_facts};
use dry_run::DryRun;
use lifecycle::Lifecycle;
pub use network::NetworkSettings;

/// What the service is built of.
pub struct Ec2Options {
    pub store: Store,
    pub clock: Arc<dyn Clock>,
    pub driver: Arc<dyn Driver>,
    pub metadata: Arc<dyn MetadataService>,
    /// Of this server, as guests are told it in `AWS_ENDPOINT_URL`.
    pub endpoint: String,
}

/// The service.
pub struct Ec2 {
    store: Store,
    clock: Arc<dyn Clock>,
    lifecycle: Arc<Lifecycle>,
    network: Mutex<NetworkSettings>,
}

impl Ec2 {
    /// Builds the service and makes the base image known.
    ///
    /// # Errors
    /// `InternalError` if the state can't be written.
    pub fn new(options: Ec2Options) -> ApiResult<Self> {
        base::seed(&options.store)?;
        Ok(Self {
            store: options.store.clone(),
            clock: Arc::clone(&options.clock),
            lifecycle: Arc::new(Lifecycle::new(options)),
            network: Mutex::default(),
        })
    }

    /// Takes up what an earlier run of the server left (guests died with it: their instances count as
    /// powered off from inside), then follows the driver's power events. To be called once, in a
    /// tokio runtime.
    ///
    /// # Errors
    /// `InternalError` if the state can't be read or written.
    pub fn start(&self, events: mpsc::UnboundedReceiver<PowerEvent>) -> ApiResult<()> {
        self.lifecycle.start(events)
    }

    /// Powers all guests off and waits for it; their shutdown behaviour decides whether they are
    /// stopped or terminated. To be called when the server ends.
    ///
    /// # Errors
    /// `InternalError` if the state can't be read or written.
    pub async fn shutdown(&self) -> ApiResult<()> {
        self.lifecycle.shutdown().await
    }

    /// Tells a spot instance that it will be interrupted at `at`, and does it then. For fault switches.
    ///
    /// # Errors
    /// `InvalidInstanceID.NotFound`; `UnsupportedOperation` if it isn't a running spot instance.
    pub fn interrupt_spot(&self, instance_id: &str, at: Timestamp) -> ApiResult<()> {
        self.lifecycle.interrupt_spot(instance_id, at)
    }

    /// Answers one call.
    ///
    /// # Errors
    /// As EC2 answers them; `InvalidAction` and `UnknownParameter` for what this service doesn't know.
    pub async fn handle(
        &self,
        _caller: &Caller,
        action: &str,
        params: &mut Params,
    ) -> ApiResult<XmlBody> {
        let dry_run = DryRun::read(params)?;
        let params = &*params;
        match action {
            "RunInstances" => self.run_instances(params, dry_run),
            "DescribeInstances" => self.describe_instances(params, dry_run),
            "DescribeInstanceStatus" => self.describe_instance_status(params, dry_run),
            "StartInstances" => self.start_instances(params, dry_run),
            "StopInstances" => self.stop_instances(params, dry_run),
            "TerminateInstances" => self.terminate_instances(params, dry_run),
            "GetConsoleOutput" => self.get_console_output(params, dry_run).await,
            "ModifyInstanceAttribute" => self.modify_instance_attribute(params, dry_run),
            "DescribeInstanceCreditSpecifications" => {
                self.describe_credit_specifications(params, dry_run)
            }
            "DescribeInstanceAttribute" => self.describe_instance_attribute(params, dry_run),
            "AssociateIamInstanceProfile" => self.associate_profile(params, dry_run),
            "DisassociateIamInstanceProfile" => self.disassociate_profile(params, dry_run),
            "DescribeIamInstanceProfileAssociations" => {
                self.describe_profile_associations(params, dry_run)
            }
            "DescribeImages" => self.describe_images(params, dry_run),
            "RegisterImage" => self.register_image(params, dry_run),
            "DeregisterImage" => self.deregister_image(params, dry_run),
            "CreateImage" => self.create_image(params, dry_run),
            "CopyImage" => self.copy_image(params, dry_run),
            "CreateSnapshot" => self.create_snapshot(params, dry_run),
            "DescribeSnapshots" => self.describe_snapshots(params, dry_run),
            "DeleteSnapshot" => self.delete_snapshot(params, dry_run),
            "DescribeVolumes" => self.describe_volumes(params, dry_run),
            "DeleteVolume" => self.delete_volume(params, dry_run),
            "CreateTags" => self.create_tags(params, dry_run),
            "DeleteTags" => self.delete_tags(params, dry_run),
            "DescribeTags" => self.describe_tags(params, dry_run),
            "DescribeInstanceTypes" => instance_types::describe(params, dry_run),
            "DescribeInstanceTypeOfferings" => instance_types::offerings(params, dry_run),
            "DescribeAvailabilityZones" => network::describe_zones(params, dry_run),
            "DescribeRegions" => network::describe_regions(params, dry_run),
            "DescribeVpcs" => self.describe_vpcs(params, dry_run),
            "DescribeSubnets" => self.describe_subnets(params, dry_run),
            "DescribeSecurityGroups" => self.describe_security_groups(params, dry_run),
            "DescribeRouteTables" => self.describe_route_tables(params, dry_run),
            "DescribeVpcEndpoints" => self.describe_vpc_endpoints(params, dry_run),
            unknown => Err(ApiError::new(
                "InvalidAction",
                format!("The action {unknown} is not valid for this web service."),
            )),
        }
    }
}

/// A time as EC2 writes it, e.g. `2026-01-01T12:34:56.000Z`.
fn iso(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// `<tagSet>` of key and value items.
fn tag_set(xml: &mut XmlBody, tags: &[(String, String)]) {
    if tags.is_empty() {
        return;
    }
    xml.list("tagSet", "item", tags, |xml, (key, value)| {
        xml.text("key", key).text("value", value);
    });
}

//! An instance as EC2 writes it.

use rusqlite::Transaction;

use super::launch::volume_of;
use super::network::{SECURITY_GROUP, VPC};
use super::{iso, tag_set, types};
use crate::account::{ACCOUNT, REGION};
use crate::error::ApiResult;
use crate::query_protocol::XmlBody;
use crate::state::ec2::facts::mac_address;
use crate::state::ec2::{Instance, InstanceState, Volume, tags};

/// An instance with what belongs to it.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) instance: Instance,
    pub(super) volume: Option<Volume>,
    pub(super) tags: Vec<(String, String)>,
}

impl Shown {
    pub(super) fn read(tx: &Transaction<'_>, instance: Instance) -> ApiResult<Self> {
        Ok(Self {
            volume: volume_of(tx, &instance)?,
            tags: tags::of(tx, &instance.id)?,
            instance,
        })
    }
}

/// The members of a reservation.
pub(super) fn reservation<'a>(
    xml: &mut XmlBody,
    id: &str,
    instances: impl IntoIterator<Item = &'a Shown>,
) {
    xml.text("reservationId", id).text("ownerId", ACCOUNT).list(
        "instancesSet",
        "item",
        instances,
        write,
    );
}

/// `<name><code>16</code><name>running</name></name>`.
pub(super) fn state(xml: &mut XmlBody, name: &str, state: InstanceState) {
    xml.element(name, |xml| {
        xml.text("code", state.code()).text("name", state.name());
    });
}

fn groups(xml: &mut XmlBody) {
    xml.list("groupSet", "item", [SECURITY_GROUP], |xml, id| {
        xml.text("groupId", id).text("groupName", "default");
    });
}

/// The name that EC2's DNS gives a private address.
pub(super) fn private_dns_name(instance: &Instance) -> String {
    format!("{}.{REGION}.compute.internal", instance.hostname())
}

fn write(xml: &mut XmlBody, shown: &Shown) {
    let instance = &shown.instance;
    let ended = instance.state == InstanceState::Terminated;
    xml.text("instanceId", &instance.id)
        .text("imageId", &instance.image_id);
    state(xml, "instanceState", instance.state);
    // A terminated instance has lost its address, its interface and its volume.
    if ended {
        xml.text("privateDnsName", "");
    } else {
        xml.text("privateDnsName", private_dns_name(instance))
            .text("privateIpAddress", instance.private_ip)
            .text("subnetId", &instance.subnet_id)
            .text("vpcId", VPC);
        groups(xml);
        interface(xml, instance);
    }
    xml.text("dnsName", "")
        .text("reason", &instance.transition_reason)
        .text("amiLaunchIndex", instance.launch_index)
        .text("instanceType", &instance.instance_type)
        .text("launchTime", iso(instance.launch_time))
        .element("placement", |xml| {
            xml.text("availabilityZone", &instance.zone)
                .text("groupName", "")
                .text("tenancy", "default");
        })
        .element("monitoring", |xml| {
            xml.text(
                "state",
                if instance.monitoring {
                    "enabled"
                } else {
                    "disabled"
                },
            );
        })
        .text("architecture", &instance.architecture)
        .text("rootDeviceType", "ebs")
        .text("rootDeviceName", &instance.root_device)
        .text("virtualizationType", "hvm")
        .text("hypervisor", "xen")
        .text("ebsOptimized", instance.ebs_optimized)
        .text("enaSupport", true)
        .text("sourceDestCheck", true)
        .text("platformDetails", "Linux/UNIX")
        .text("usageOperation", "RunInstances")
        .text(
            "clientToken",
            instance.client_token.as_deref().unwrap_or_default(),
        );
    if let Some(kind) = types::find(&instance.instance_type) {
        xml.element("cpuOptions", |xml| {
            xml.text("coreCount", kind.vcpus / kind.family.threads_per_core)
                .text("threadsPerCore", kind.family.threads_per_core);
        });
    }
    if let Some(volume) = &shown.volume
        && let Some(attachment) = &volume.attachment
    {
        xml.list("blockDeviceMapping", "item", [attachment], |xml, held| {
            xml.text("deviceName", &held.device).element("ebs", |xml| {
                xml.text("volumeId", &volume.id)
                    .text("status", "attached")
                    .text("attachTime", iso(held.since))
                    .text("deleteOnTermination", held.delete_on_termination);
            });
        });
    }
    if let Some(profile) = &instance.profile {
        xml.element("iamInstanceProfile", |xml| {
            xml.text("arn", &profile.arn)
                .text("id", &profile.profile_id);
        });
    }
    if let Some(request) = &instance.spot_request {
        xml.text("instanceLifecycle", "spot")
            .text("spotInstanceRequestId", request);
    }
    if let Some(reason) = &instance.state_reason {
        xml.element("stateReason", |xml| {
            xml.text("code", &reason.code)
                .text("message", &reason.message);
        });
    }
    let on_off = |on: bool| if on { "enabled" } else { "disabled" };
    xml.element("metadataOptions", |xml| {
        let options = &instance.metadata;
        xml.text("state", "applied")
            .text(
                "httpTokens",
                if options.tokens_required {
                    "required"
                } else {
                    "optional"
                },
            )
            .text("httpPutResponseHopLimit", options.hop_limit)
            .text("httpEndpoint", on_off(options.endpoint_enabled))
            .text("httpProtocolIpv6", "disabled")
            .text("instanceMetadataTags", on_off(options.tags_enabled));
    });
    tag_set(xml, &shown.tags);
}

fn interface(xml: &mut XmlBody, instance: &Instance) {
    xml.list(
        "networkInterfaceSet",
        "item",
        [instance],
        |xml, instance| {
            xml.text("networkInterfaceId", &instance.interface_id)
                .text("subnetId", &instance.subnet_id)
                .text("vpcId", VPC)
                .text("ownerId", ACCOUNT)
                .text("status", "in-use")
                .text("macAddress", mac_address(&instance.interface_id))
                .text("privateIpAddress", instance.private_ip)
                .text("privateDnsName", private_dns_name(instance))
                .text("sourceDestCheck", true)
                .text("interfaceType", "interface");
            groups(xml);
        },
    );
}

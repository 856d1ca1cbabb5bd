//! DescribeInstanceTypes and DescribeInstanceTypeOfferings.

use super::dry_run::DryRun;
use super::filters::{Filters, one};
use super::network::ZONES;
use super::paging::Page;
use super::types::{self, InstanceType};
use crate::account::REGION;
use crate::error::{ApiError, ApiResult};
use crate::query_protocol::{Params, XmlBody};

pub(super) fn describe(params: &Params, dry_run: DryRun) -> ApiResult<XmlBody> {
    let names = params.list("InstanceType");
    let filters = Filters::read(
        params,
        &[
            "instance-type",
            "current-generation",
            "bare-metal",
            "burstable-performance-supported",
            "hypervisor",
            "memory-info.size-in-mib",
            "processor-info.supported-architecture",
            "supported-usage-class",
            "vcpu-info.default-vcpus",
            "vcpu-info.default-cores",
        ],
    )?;
    let page = Page::read(params, 5)?;
    params.finish()?;
    page.not_beside(&names, "instanceTypes")?;
    dry_run.end()?;

    let unknown: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| types::find(name).is_none())
        .collect();
    if !unknown.is_empty() {
        return Err(ApiError::new(
            "InvalidInstanceType",
            format!(
                "The following supplied instance types do not exist: [{}]",
                unknown.join(", ")
            ),
        ));
    }
    let found = types::all()
        .filter(|kind| names.is_empty() || names.contains(&kind.name))
        .filter(|kind| filters.pass(&[], |name| facet(kind, name)))
        .collect();
    let (found, next) = page.cut(found, |kind| kind.name.clone());
    let mut body = XmlBody::new();
    body.list("instanceTypeSet", "item", &found, write);
    body.optional("nextToken", next);
    Ok(body)
}

fn facet(kind: &InstanceType, name: &str) -> Vec<String> {
    match name {
        "instance-type" => one(&kind.name),
        "current-generation" => one(true),
        "bare-metal" => one(false),
        "burstable-performance-supported" => one(kind.family.burstable),
        "hypervisor" => one("nitro"),
        "memory-info.size-in-mib" => one(kind.memory_mib),
        "processor-info.supported-architecture" => one(kind.family.architecture),
        "supported-usage-class" => vec!["on-demand".to_owned(), "spot".to_owned()],
        "vcpu-info.default-vcpus" => one(kind.vcpus),
        "vcpu-info.default-cores" => one(kind.vcpus / kind.family.threads_per_core),
        _ => Vec::new(),
    }
}

fn write(xml: &mut XmlBody, kind: &InstanceType) {
    let family = kind.family;
    xml.text("instanceType", &kind.name)
        .text("currentGeneration", true)
        .text("freeTierEligible", false)
        .texts("supportedUsageClasses", "item", ["on-demand", "spot"])
        .texts("supportedRootDeviceTypes", "item", ["ebs"])
        .texts("supportedVirtualizationTypes", "item", ["hvm"])
        .text("bareMetal", false)
        .text("hypervisor", "nitro")
        .element("processorInfo", |xml| {
            xml.texts("supportedArchitectures", "item", [family.architecture])
                .text("sustainedClockSpeedInGhz", family.clock)
                .text("manufacturer", family.manufacturer);
        })
        .element("vCpuInfo", |xml| {
            xml.text("defaultVCpus", kind.vcpus)
                .text("defaultCores", kind.vcpus / family.threads_per_core)
                .text("defaultThreadsPerCore", family.threads_per_core);
        })
        .element("memoryInfo", |xml| {
            xml.text("sizeInMiB", kind.memory_mib);
        })
        .text("instanceStorageSupported", false)
        .element("ebsInfo", |xml| {
            xml.text("ebsOptimizedSupport", "default")
                .text("encryptionSupport", "supported")
                .text("nvmeSupport", "required");
        })
        .text("hibernationSupported", false)
        .text("burstablePerformanceSupported", family.burstable)
        .text("dedicatedHostsSupported", false)
        .text("autoRecoverySupported", true)
        .texts("supportedBootModes", "item", ["legacy-bios", "uefi"]);
}

pub(super) fn offerings(params: &Params, dry_run: DryRun) -> ApiResult<XmlBody> {
    let by = params
        .optional("LocationType")
        .unwrap_or_else(|| "region".to_owned());
    let filters = Filters::read(params, &["instance-type", "location"])?;
    let page = Page::read(params, 5)?;
    params.finish()?;
    dry_run.end()?;

    let locations: Vec<&str> = match by.as_str() {
        "region" => vec![REGION],
        "availability-zone" => ZONES.iter().map(|zone| zone.name).collect(),
        "availability-zone-id" => ZONES.iter().map(|zone| zone.id).collect(),
        other => {
            return Err(ApiError::new(
                "InvalidParameterValue",
                format!("Value ({other}) for parameter locationType is invalid."),
            ));
        }
    };
    let found = types::all()
        .flat_map(|kind| {
            locations
                .iter()
                .map(move |location| (kind.name.clone(), *location))
        })
        .filter(|(kind, location)| {
            filters.pass(&[], |name| match name {
                "instance-type" => one(kind),
                "location" => one(location),
                _ => Vec::new(),
            })
        })
        .collect();
    let (found, next) = page.cut(found, |(kind, location)| format!("{kind}/{location}"));
    let mut body = XmlBody::new();
    body.list(
        "instanceTypeOfferingSet",
        "item",
        &found,
        |xml, (kind, location)| {
            xml.text("instanceType", kind)
                .text("locationType", &by)
                .text("location", location);
        },
    );
    body.optional("nextToken", next);
    Ok(body)
}

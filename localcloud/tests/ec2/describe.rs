//! Lists: filters, pages, and what is there from the start.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{
    ArchitectureType, Filter, InstanceType, LocationType, Reservation, ResourceType, Tag,
    TagSpecification,
};
use localcloud::ec2::base::BASE_IMAGE;

use super::rig::{Cloud, code};

fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

#[tokio::test]
async fn instances_are_found_by_filters() {
    let cloud = Cloud::new();
    cloud.profile("p");
    let first = cloud
        .run()
        .client_token("tok")
        .tag_specifications(
            TagSpecification::builder()
                .resource_type(ResourceType::Instance)
                .tags(Tag::builder().key("muck:stack").value("one").build())
                .build(),
        )
        .iam_instance_profile(
            aws_sdk_ec2::types::IamInstanceProfileSpecification::builder()
                .name("p")
                .build(),
        )
        .send()
        .await
        .unwrap();
    let reservation = first.reservation_id().unwrap();
    let first = first.instances()[0].instance_id().unwrap();
    let second = cloud
        .run()
        .instance_type(InstanceType::from("t3.medium"))
        .subnet_id("subnet-0000000000000001b")
        .send()
        .await
        .unwrap();
    let second = second.instances()[0].instance_id().unwrap();
    cloud.until(first, "running").await;
    cloud.until(second, "running").await;
    cloud
        .client
        .stop_instances()
        .instance_ids(second)
        .send()
        .await
        .unwrap();
    cloud.until(second, "stopped").await;
    for (name, value, expected) in [
        ("instance-state-name", "running", vec![first]),
        ("instance-state-name", "st*", vec![second]),
        ("tag:muck:stack", "one", vec![first]),
        ("tag:muck:stack", "o?e", vec![first]),
        ("tag:muck:stack", "two", vec![]),
        ("tag-key", "muck:*", vec![first]),
        ("client-token", "tok", vec![first]),
        ("reservation-id", reservation, vec![first]),
        ("instance-type", "t3.*", vec![second]),
        ("subnet-id", "subnet-0000000000000001b", vec![second]),
        ("availability-zone", "us-local-1a", vec![first]),
        (
            "iam-instance-profile.arn",
            "*:instance-profile/muck/test/p",
            vec![first],
        ),
        ("image-id", BASE_IMAGE, vec![first, second]),
        ("vpc-id", "vpc-00000000000000001", vec![first, second]),
    ] {
        let answer = cloud
            .client
            .describe_instances()
            .filters(filter(name, value))
            .send()
            .await
            .unwrap();
        let found: BTreeSet<_> = answer
            .reservations()
            .iter()
            .flat_map(Reservation::instances)
            .map(|instance| instance.instance_id().unwrap())
            .collect();
        assert_eq!(found, expected.into_iter().collect(), "{name}={value}");
    }
    let error = cloud
        .client
        .describe_instances()
        .filters(filter("flavour", "x"))
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error).1, "The filter 'flavour' is invalid");

    let status = cloud
        .client
        .describe_instance_status()
        .send()
        .await
        .unwrap();
    let [status] = status.instance_statuses() else {
        panic!("only running ones unless asked: {status:?}")
    };
    assert_eq!(status.instance_id(), Some(first));
    assert_eq!(
        status.instance_status().unwrap().status().unwrap().as_str(),
        "ok"
    );
    let all = cloud
        .client
        .describe_instance_status()
        .include_all_instances(true)
        .send()
        .await
        .unwrap();
    assert_eq!(all.instance_statuses().len(), 2);
}

#[tokio::test]
async fn pages_hold_everything_once() {
    let cloud = Cloud::new();
    let mut launched = BTreeSet::new();
    for _ in 0..4 {
        let answer = cloud.run().max_count(3).send().await.unwrap();
        launched.extend(
            answer
                .instances()
                .iter()
                .map(|instance| instance.instance_id().unwrap().to_owned()),
        );
    }
    let mut pages = cloud
        .client
        .describe_instances()
        .max_results(5)
        .into_paginator()
        .send();
    let mut sizes = Vec::new();
    let mut seen = BTreeSet::new();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        let before = seen.len();
        seen.extend(
            page.reservations()
                .iter()
                .flat_map(Reservation::instances)
                .map(|instance| instance.instance_id().unwrap().to_owned()),
        );
        sizes.push(seen.len() - before);
    }
    assert_eq!(sizes, [5, 5, 2]);
    assert_eq!(seen, launched);
    for id in &launched {
        cloud.until(id, "running").await;
    }
    let base_made = cloud.driver.disk().base;
    assert!(base_made);
    cloud.assert_sound();

    let error = cloud
        .client
        .describe_instances()
        .max_results(4)
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error).0, "InvalidParameterValue");
    let error = cloud
        .client
        .describe_instances()
        .max_results(5)
        .instance_ids(launched.first().unwrap())
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error).0, "InvalidParameterCombination");
}

#[tokio::test]
async fn the_base_image_is_found_as_debians_is() {
    let cloud = Cloud::new();
    let answer = cloud
        .client
        .describe_images()
        .owners("136693071363")
        .filters(filter("name", "debian-13-*"))
        .filters(filter(
            "architecture",
            std::env::consts::ARCH.replace("aarch64", "arm64").as_str(),
        ))
        .filters(filter("state", "available"))
        .filters(filter("root-device-type", "ebs"))
        .filters(filter("virtualization-type", "hvm"))
        .send()
        .await
        .unwrap();
    let [image] = answer.images() else {
        panic!("one base image: {answer:?}")
    };
    assert_eq!(image.image_id(), Some(BASE_IMAGE));
    assert_eq!(image.owner_id(), Some("136693071363"));
    assert_eq!(image.root_device_name(), Some("/dev/xvda"));
    assert_eq!(image.creation_date(), Some("2026-01-01T12:34:00.000Z"));
    let snapshot = image.block_device_mappings()[0]
        .ebs()
        .unwrap()
        .snapshot_id()
        .unwrap();

    // Neither it nor its snapshot is ours.
    let ours = cloud
        .client
        .describe_images()
        .owners("self")
        .send()
        .await
        .unwrap();
    assert!(ours.images().is_empty());
    let ours = cloud
        .client
        .describe_snapshots()
        .owner_ids("self")
        .send()
        .await
        .unwrap();
    assert!(ours.snapshots().is_empty());
    let error = cloud
        .client
        .delete_snapshot()
        .snapshot_id(snapshot)
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error).0, "InvalidSnapshot.NotFound");
}

#[tokio::test]
async fn types_zones_and_network_are_there() {
    let cloud = Cloud::new();
    let types = cloud
        .client
        .describe_instance_types()
        .instance_types(InstanceType::from("c7g.xlarge"))
        .send()
        .await
        .unwrap();
    let [kind] = types.instance_types() else {
        panic!("one type: {types:?}")
    };
    assert_eq!(kind.v_cpu_info().unwrap().default_v_cpus(), Some(4));
    assert_eq!(kind.memory_info().unwrap().size_in_mib(), Some(8192));
    assert_eq!(
        kind.processor_info().unwrap().supported_architectures(),
        [ArchitectureType::Arm64]
    );
    let error = cloud
        .client
        .describe_instance_types()
        .instance_types(InstanceType::from("z9.huge"))
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        code(&error),
        (
            "InvalidInstanceType".to_owned(),
            "The following supplied instance types do not exist: [z9.huge]".to_owned()
        )
    );
    let many = cloud
        .client
        .describe_instance_types()
        .max_results(20)
        .into_paginator()
        .items()
        .send()
        .collect::<Result<Vec<_>, _>>()
        .await
        .unwrap();
    assert!(many.len() > 60, "{}", many.len());

    let offers = cloud
        .client
        .describe_instance_type_offerings()
        .location_type(LocationType::AvailabilityZone)
        .filters(filter("instance-type", "c7i.large"))
        .send()
        .await
        .unwrap();
    let places: Vec<_> = offers
        .instance_type_offerings()
        .iter()
        .map(|offer| offer.location().unwrap())
        .collect();
    assert_eq!(places, ["us-local-1a", "us-local-1b"]);

    let zones = cloud
        .client
        .describe_availability_zones()
        .send()
        .await
        .unwrap();
    let names: Vec<_> = zones
        .availability_zones()
        .iter()
        .map(|zone| zone.zone_name().unwrap())
        .collect();
    assert_eq!(names, ["us-local-1a", "us-local-1b"]);
    let regions = cloud.client.describe_regions().send().await.unwrap();
    assert_eq!(regions.regions()[0].region_name(), Some("us-local-1"));

    let vpcs = cloud
        .client
        .describe_vpcs()
        .filters(filter("is-default", "true"))
        .send()
        .await
        .unwrap();
    let vpc = vpcs.vpcs()[0].vpc_id().unwrap();
    let subnets = cloud
        .client
        .describe_subnets()
        .filters(filter("vpc-id", vpc))
        .filters(filter("default-for-az", "true"))
        .send()
        .await
        .unwrap();
    assert_eq!(subnets.subnets().len(), 2);
    assert_eq!(
        subnets.subnets()[0].available_ip_address_count(),
        Some(4091)
    );
    cloud.running().await;
    let subnets = cloud
        .client
        .describe_subnets()
        .subnet_ids("subnet-0000000000000001a")
        .send()
        .await
        .unwrap();
    assert_eq!(
        subnets.subnets()[0].available_ip_address_count(),
        Some(4090)
    );
    let groups = cloud
        .client
        .describe_security_groups()
        .filters(filter("group-name", "default"))
        .send()
        .await
        .unwrap();
    assert_eq!(groups.security_groups()[0].vpc_id(), Some(vpc));
    assert!(groups.security_groups()[0].ip_permissions().is_empty());
}

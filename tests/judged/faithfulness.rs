//! What the judges are known to do otherwise than AWS is tried: whichever of it a judge learns, its stories must tell
//! again.

use std::time::Duration;

use aws_sdk_ec2::types as ec2;

use crate::harness::judge::{Judge, judged};
use crate::harness::machine::Access;
use crate::harness::sdk::{BASE, Sdk};

judged!(each_judge_is_as_faithful_as_is_said by local_cloud, moto);

fn each_judge_is_as_faithful_as_is_said(judge: &dyn Judge) {
    let sdk = judge.sdk();
    judge.machine().muck(&["up"]).exits(0);
    let (instance, volume) = sdk.start_instance(&[("Name", "probe")], true);
    // A volume at rest is the surest to take a snapshot of.
    sdk.run(sdk.ec2.stop_instances().instance_ids(&instance).send())
        .expect("stops");
    sdk.wait_for_state(&instance, "stopped", Duration::from_mins(1));
    let (keeps, deletes) = images(&sdk, &volume);
    let tried = [
        (
            "keeps_what_images_are_registered_with",
            keeps,
            judge.keeps_what_images_are_registered_with(),
        ),
        (
            "deletes_associated_snapshots",
            deletes,
            judge.deletes_associated_snapshots(),
        ),
        (
            "remembers_client_tokens",
            tokens(&sdk),
            judge.remembers_client_tokens(),
        ),
        (
            "takes_volume_sizes_from_images",
            sizes(&sdk),
            judge.takes_volume_sizes_from_images(),
        ),
        (
            "remembers_deleted_queues",
            queues(&sdk),
            judge.remembers_deleted_queues(),
        ),
        (
            "keeps_policies_of_queues",
            policies(&sdk),
            judge.keeps_policies_of_queues(),
        ),
        (
            "weighs_conditions_of_bucket_policies",
            conditions(&sdk, &judge.access().bucket("muck", "input")),
            judge.weighs_conditions_of_bucket_policies(),
        ),
        (
            "verifies_signatures",
            signatures(judge.access()),
            judge.verifies_signatures(),
        ),
    ];
    sdk.run(sdk.ec2.terminate_instances().instance_ids(instance).send())
        .expect("ends");
    let wrong: Vec<String> = tried
        .iter()
        .filter(|(_, is, said)| is != said)
        .map(|(what, is, said)| format!("{what}: {is}, said is {said}"))
        .collect();
    assert!(
        wrong.is_empty(),
        "change harness/judge.rs and docs/second-judge.md: {wrong:?}"
    );
}

/// An image's tags and architecture are kept; its snapshot goes with it.
fn images(sdk: &Sdk, volume: &str) -> (bool, bool) {
    let snapshot = sdk
        .run(sdk.ec2.create_snapshot().volume_id(volume).send())
        .expect("snapshot");
    let snapshot = snapshot.snapshot_id().expect("an id");
    let completed = || {
        let call = sdk.ec2.describe_snapshots().snapshot_ids(snapshot);
        let answer = sdk.run(call.send()).expect("snapshots");
        answer.snapshots()[0].state() == Some(&ec2::SnapshotState::Completed)
    };
    while !completed() {
        std::thread::sleep(Duration::from_millis(200));
    }
    let disk = ec2::EbsBlockDevice::builder().snapshot_id(snapshot).build();
    let mapping = ec2::BlockDeviceMapping::builder()
        .device_name("/dev/xvda")
        .ebs(disk)
        .build();
    let tags = ec2::TagSpecification::builder()
        .resource_type(ec2::ResourceType::Image)
        .tags(ec2::Tag::builder().key("probe").value("yes").build());
    let call = sdk
        .ec2
        .register_image()
        .name("probe")
        .architecture(ec2::ArchitectureValues::X8664)
        .root_device_name("/dev/xvda")
        .virtualization_type("hvm")
        .block_device_mappings(mapping)
        .tag_specifications(tags.build());
    let id = sdk
        .run(call.send())
        .expect("registers")
        .image_id
        .expect("an id");
    let described = sdk
        .run(sdk.ec2.describe_images().image_ids(&id).send())
        .expect("images");
    let image = &described.images()[0];
    let on = image
        .block_device_mappings()
        .iter()
        .filter_map(|mapping| mapping.ebs()?.snapshot_id());
    let keeps = [
        image.architecture() == Some(&ec2::ArchitectureValues::X8664),
        image.root_device_name() == Some("/dev/xvda"),
        image.tags().iter().any(|tag| tag.key() == Some("probe")),
        on.into_iter().any(|id| id == snapshot),
    ];
    assert!(
        keeps.iter().all(|kept| *kept == keeps[0]),
        "some of it: {keeps:?}"
    );
    let call = sdk
        .ec2
        .deregister_image()
        .image_id(&id)
        .delete_associated_snapshots(true);
    sdk.run(call.send()).expect("deregisters");
    let left = sdk.run(sdk.ec2.describe_snapshots().snapshot_ids(snapshot).send());
    let gone = left.map_or(true, |answer| answer.snapshots().is_empty());
    if !gone {
        sdk.run(sdk.ec2.delete_snapshot().snapshot_id(snapshot).send())
            .expect("deletes");
    }
    (keeps[0], gone)
}

/// The same token twice starts one instance.
fn tokens(sdk: &Sdk) -> bool {
    let start = || {
        let disk = ec2::EbsBlockDevice::builder()
            .volume_size(8)
            .delete_on_termination(true);
        let call = sdk
            .ec2
            .run_instances()
            .image_id(BASE)
            .instance_type(ec2::InstanceType::C7iLarge)
            .min_count(1)
            .max_count(1)
            .client_token("probe")
            .block_device_mappings(
                ec2::BlockDeviceMapping::builder()
                    .device_name("/dev/xvda")
                    .ebs(disk.build())
                    .build(),
            );
        let answer = sdk.run(call.send()).expect("starts");
        answer.instances()[0]
            .instance_id()
            .expect("an id")
            .to_owned()
    };
    let (first, second) = (start(), start());
    for id in [&first, &second] {
        sdk.run(sdk.ec2.terminate_instances().instance_ids(id).send())
            .expect("ends");
    }
    first == second
}

/// A root volume need not have a size.
fn sizes(sdk: &Sdk) -> bool {
    let disk = ec2::EbsBlockDevice::builder()
        .delete_on_termination(true)
        .build();
    let call = sdk
        .ec2
        .run_instances()
        .image_id(BASE)
        .instance_type(ec2::InstanceType::C7iLarge)
        .min_count(1)
        .max_count(1)
        .block_device_mappings(
            ec2::BlockDeviceMapping::builder()
                .device_name("/dev/xvda")
                .ebs(disk)
                .build(),
        );
    let Ok(answer) = sdk.run(call.send()) else {
        return false;
    };
    let id = answer.instances()[0].instance_id().expect("an id");
    sdk.run(sdk.ec2.terminate_instances().instance_ids(id).send())
        .expect("ends");
    true
}

/// A deleted queue's name is taken for a while.
fn queues(sdk: &Sdk) -> bool {
    let create = || {
        let answer = sdk.run(sdk.sqs.create_queue().queue_name("probe").send());
        answer.ok()?.queue_url
    };
    let url = create().expect("creates");
    sdk.run(sdk.sqs.delete_queue().queue_url(url).send())
        .expect("deletes");
    create().is_none()
}

/// Another attribute is set, and the policy is still there.
fn policies(sdk: &Sdk) -> bool {
    use aws_sdk_sqs::types::QueueAttributeName as Attribute;

    let url = sdk.queue_url("muck", "failed");
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"sqs:PurgeQueue","Resource":"*"}]}"#;
    for (attribute, value) in [
        (Attribute::Policy, policy),
        (Attribute::VisibilityTimeout, "31"),
    ] {
        let call = sdk.sqs.set_queue_attributes().queue_url(&url);
        sdk.run(call.attributes(attribute, value).send())
            .expect("sets");
    }
    let call = sdk.sqs.get_queue_attributes().queue_url(&url);
    let answer = sdk.run(call.attribute_names(Attribute::All).send());
    let attributes = answer.expect("attributes").attributes;
    attributes.is_some_and(|all| all.contains_key(&Attribute::Policy))
}

/// A denial whose condition does not hold denies nothing.
fn conditions(sdk: &Sdk, bucket: &str) -> bool {
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Deny","Principal":"*","Action":"s3:*",
            "Resource":["arn:aws:s3:::{bucket}","arn:aws:s3:::{bucket}/*"],
            "Condition":{{"StringEquals":{{"aws:RequestedRegion":"ap-south-1"}}}}}}]}}"#
    );
    let body = aws_sdk_s3::primitives::ByteStream::from_static(b"film");
    sdk.run(
        sdk.s3
            .put_object()
            .bucket(bucket)
            .key("probe")
            .body(body)
            .send(),
    )
    .expect("puts");
    sdk.run(
        sdk.s3
            .put_bucket_policy()
            .bucket(bucket)
            .policy(policy)
            .send(),
    )
    .expect("sets");
    let read = sdk.run(sdk.s3.get_object().bucket(bucket).key("probe").send());
    sdk.run(sdk.s3.delete_bucket_policy().bucket(bucket).send())
        .expect("deletes");
    read.is_ok()
}

/// Another secret than the key's is of no use.
fn signatures(access: &Access) -> bool {
    let mut wrong = access.clone();
    wrong.keys.secret.push_str("not");
    let sdk = Sdk::over(&wrong);
    sdk.run(sdk.s3.list_buckets().send()).is_err()
}

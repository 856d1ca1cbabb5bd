//! Snapshots and images: what a bake does, and which layers stay on the disk.

use aws_sdk_ec2::operation::register_image::builders::RegisterImageFluentBuilder;
use aws_sdk_ec2::types::{
    ArchitectureValues, BlockDeviceMapping, BootModeValues, EbsBlockDevice, Filter, ImageState,
    ImdsSupportValues, ResourceType, SnapshotReturnCodes, SnapshotState, Tag, TagSpecification,
};
use localcloud::ec2::base::BASE_SNAPSHOT;

use super::rig::{Cloud, code, volume_of};

impl Cloud {
    async fn snapshot(&self, volume: &str) -> String {
        let answer = self
            .client
            .create_snapshot()
            .volume_id(volume)
            .description("a bake")
            .tag_specifications(tag(ResourceType::Snapshot))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.state(), Some(&SnapshotState::Pending));
        assert_eq!(answer.tags()[0].value(), Some("s1"));
        let id = answer.snapshot_id().unwrap().to_owned();
        self.until_snapshot(&id, &SnapshotState::Completed).await;
        id
    }

    fn register(&self, name: &str, snapshot: &str) -> RegisterImageFluentBuilder {
        self.client
            .register_image()
            .name(name)
            .architecture(ArchitectureValues::X8664)
            .virtualization_type("hvm")
            .root_device_name("/dev/xvda")
            .block_device_mappings(
                BlockDeviceMapping::builder()
                    .device_name("/dev/xvda")
                    .ebs(EbsBlockDevice::builder().snapshot_id(snapshot).build())
                    .build(),
            )
    }
}

fn tag(kind: ResourceType) -> TagSpecification {
    TagSpecification::builder()
        .resource_type(kind)
        .tags(Tag::builder().key("muck:stack").value("s1").build())
        .build()
}

#[tokio::test]
async fn a_bake_from_base_to_worker_and_its_removal() {
    let cloud = Cloud::new();
    let (builder, volume) = cloud.stopped().await;
    let snapshot = cloud.snapshot(&volume).await;
    let shown = cloud
        .until_snapshot(&snapshot, &SnapshotState::Completed)
        .await;
    assert_eq!(shown.progress(), Some("100%"));
    assert_eq!(shown.volume_id(), Some(volume.as_str()));
    assert_eq!(shown.owner_id(), Some("000000000000"));
    assert_eq!(shown.volume_size(), Some(8));
    assert_eq!(shown.full_snapshot_size_in_bytes(), Some(4096));
    assert!(shown.completion_time().is_some());

    let image = cloud
        .register("muck-s1-abc", &snapshot)
        .description("baked")
        .ena_support(true)
        .boot_mode(BootModeValues::UefiPreferred)
        .imds_support(ImdsSupportValues::V20)
        .tag_specifications(tag(ResourceType::Image))
        .send()
        .await
        .unwrap();
    let image = image.image_id().unwrap();
    let images = cloud
        .client
        .describe_images()
        .owners("self")
        .filters(
            Filter::builder()
                .name("tag:muck:stack")
                .values("s1")
                .build(),
        )
        .send()
        .await
        .unwrap();
    let [listed] = images.images() else {
        panic!("one image of ours: {images:?}")
    };
    assert_eq!(listed.image_id(), Some(image));
    assert_eq!(listed.state(), Some(&ImageState::Available));
    assert_eq!(listed.imds_support().unwrap().as_str(), "v2.0");
    let ebs = listed.block_device_mappings()[0].ebs().unwrap();
    assert_eq!(ebs.snapshot_id(), Some(snapshot.as_str()));

    let error = cloud
        .client
        .delete_snapshot()
        .snapshot_id(&snapshot)
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error).0, "InvalidSnapshot.InUse");
    assert!(code(&error).1.contains(image), "{error:?}");

    cloud
        .client
        .terminate_instances()
        .instance_ids(&builder)
        .send()
        .await
        .unwrap();
    cloud.until(&builder, "terminated").await;

    let answer = cloud.run().image_id(image).send().await.unwrap();
    let worker = answer.instances()[0].instance_id().unwrap();
    let running = cloud.until(worker, "running").await;
    // ImdsSupport makes IMDSv2 the default, with two hops.
    let options = running.metadata_options().unwrap();
    assert_eq!(options.http_tokens().unwrap().as_str(), "required");
    assert_eq!(options.http_put_response_hop_limit(), Some(2));
    let boot = cloud.driver.disk().boots.last().unwrap().clone();
    assert_eq!(boot.layers, [BASE_SNAPSHOT.to_owned(), snapshot.clone()]);

    // Deregistered with its snapshot while a worker stands on it: the API shows it gone, the layer stays.
    let gone = cloud
        .client
        .deregister_image()
        .image_id(image)
        .delete_associated_snapshots(true)
        .send()
        .await
        .unwrap();
    let result = &gone.delete_snapshot_results()[0];
    assert_eq!(result.snapshot_id(), Some(snapshot.as_str()));
    assert_eq!(result.return_code(), Some(&SnapshotReturnCodes::Success));
    let error = cloud
        .client
        .describe_snapshots()
        .snapshot_ids(&snapshot)
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error).0, "InvalidSnapshot.NotFound");
    let error = cloud.run().image_id(image).send().await.unwrap_err();
    assert_eq!(code(&error).0, "InvalidAMIID.Unavailable");
    let error = cloud
        .client
        .deregister_image()
        .image_id(image)
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error).0, "InvalidAMIID.Unavailable");
    assert_eq!(cloud.layers(), std::slice::from_ref(&snapshot));

    cloud
        .client
        .terminate_instances()
        .instance_ids(worker)
        .send()
        .await
        .unwrap();
    cloud.until(worker, "terminated").await;
    cloud
        .until_disk("only the base is left", |disk| {
            disk.snapshots.len() == 1 && disk.volumes.is_empty()
        })
        .await;
    cloud.assert_sound();
}

#[tokio::test]
async fn images_baked_on_images_keep_each_layer_once() {
    let cloud = Cloud::new();
    let (first, volume) = cloud.stopped().await;
    let lower = cloud.snapshot(&volume).await;
    // The same volume goes on, over the layer that was frozen.
    cloud
        .client
        .start_instances()
        .instance_ids(&first)
        .send()
        .await
        .unwrap();
    cloud.until(&first, "running").await;
    let boot = cloud.driver.disk().boots.last().unwrap().clone();
    assert_eq!(boot.layers, [BASE_SNAPSHOT, &lower]);
    cloud
        .client
        .stop_instances()
        .instance_ids(&first)
        .send()
        .await
        .unwrap();
    cloud.until(&first, "stopped").await;
    cloud.wait(15);
    let upper = cloud.snapshot(&volume).await;

    cloud
        .client
        .delete_snapshot()
        .snapshot_id(&lower)
        .send()
        .await
        .unwrap();
    cloud
        .client
        .terminate_instances()
        .instance_ids(&first)
        .send()
        .await
        .unwrap();
    cloud.until(&first, "terminated").await;
    cloud
        .until_disk("volumes are gone", |disk| disk.volumes.is_empty())
        .await;
    let mut both = vec![lower.clone(), upper.clone()];
    both.sort();
    assert_eq!(cloud.layers(), both, "the upper stands on the lower");

    cloud
        .client
        .delete_snapshot()
        .snapshot_id(&upper)
        .send()
        .await
        .unwrap();
    cloud
        .until_disk("only the base is left", |disk| disk.snapshots.len() == 1)
        .await;
    cloud.assert_sound();
}

#[tokio::test]
async fn snapshots_have_their_limits() {
    let cloud = Cloud::new();
    let id = cloud.running().await;
    let volume = volume_of(&cloud.instance(&id).await);
    let create = || cloud.client.create_snapshot().volume_id(&volume).send();
    assert_eq!(code(&create().await.unwrap_err()).0, "IncorrectState");
    cloud
        .client
        .stop_instances()
        .instance_ids(&id)
        .send()
        .await
        .unwrap();
    cloud.until(&id, "stopped").await;

    cloud.driver.fail_freezes(Some("disk full"));
    let failed = create().await.unwrap();
    let failed = cloud
        .until_snapshot(failed.snapshot_id().unwrap(), &SnapshotState::Error)
        .await;
    assert_eq!(failed.state_message(), Some("disk full"));
    let error = cloud
        .register("name-1", failed.snapshot_id().unwrap())
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error).0, "IncorrectState");
    cloud.driver.fail_freezes(None);

    cloud.wait(14);
    let error = create().await.unwrap_err();
    assert_eq!(code(&error).0, "SnapshotCreationPerVolumeRateExceeded");
    cloud.wait(1);
    create().await.unwrap();
    let error = cloud
        .client
        .create_snapshot()
        .volume_id("vol-0123456789abcdef0")
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error).0, "InvalidVolume.NotFound");
}

#[tokio::test]
async fn registration_refuses_what_ec2_refuses() {
    let cloud = Cloud::new();
    let (_, volume) = cloud.stopped().await;
    let snapshot = cloud.snapshot(&volume).await;
    let first = cloud.register("taken", &snapshot).send().await.unwrap();
    let first = first.image_id().unwrap();
    for (request, expected, words) in [
        (
            cloud.register("taken", &snapshot),
            "InvalidAMIName.Duplicate",
            format!("AMI name taken is already in use by AMI {first}"),
        ),
        (
            cloud.register("a*b", &snapshot),
            "InvalidAMIName.Malformed",
            "between 3 and 128".to_owned(),
        ),
        (
            cloud.register("other", "snap-0123456789abcdef0"),
            "InvalidSnapshot.NotFound",
            "The snapshot 'snap-0123456789abcdef0' does not exist.".to_owned(),
        ),
        (
            cloud.register("other", BASE_SNAPSHOT),
            "InvalidSnapshot.NotFound",
            BASE_SNAPSHOT.to_owned(),
        ),
        (
            cloud
                .register("other", &snapshot)
                .root_device_name("/dev/sda1"),
            "InvalidBlockDeviceMapping",
            "/dev/sda1".to_owned(),
        ),
        (
            cloud
                .register("other", &snapshot)
                .virtualization_type("paravirtual"),
            "InvalidParameterValue",
            "VirtualizationType".to_owned(),
        ),
        (
            cloud
                .register("other", &snapshot)
                .image_location("bucket/manifest"),
            "UnknownParameter",
            "ImageLocation".to_owned(),
        ),
        (
            cloud.register("other", &snapshot).dry_run(true),
            "DryRunOperation",
            String::new(),
        ),
    ] {
        let error = request.send().await.unwrap_err();
        let (code, message) = code(&error);
        assert_eq!(code, expected, "{message}");
        assert!(message.contains(&words), "{message:?} has {words:?}");
    }

    // A second image on the same snapshot holds on to it.
    let second = cloud.register("second", &snapshot).send().await.unwrap();
    let gone = cloud
        .client
        .deregister_image()
        .image_id(first)
        .delete_associated_snapshots(true)
        .send()
        .await
        .unwrap();
    assert_eq!(
        gone.delete_snapshot_results()[0].return_code(),
        Some(&SnapshotReturnCodes::WarnSkipped)
    );
    // The name is free again.
    cloud.register("taken", &snapshot).send().await.unwrap();
    let error = cloud
        .client
        .deregister_image()
        .image_id(localcloud::ec2::base::BASE_IMAGE)
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error).0, "AuthFailure");
    drop(second);
}

#[tokio::test]
async fn an_image_of_an_instance_and_a_copy_of_an_image() {
    let cloud = Cloud::new();
    let (id, _) = cloud.stopped().await;
    let image = cloud
        .client
        .create_image()
        .instance_id(&id)
        .name("of-instance")
        .tag_specifications(tag(ResourceType::Image))
        .tag_specifications(tag(ResourceType::Snapshot))
        .send()
        .await
        .unwrap();
    let image = image.image_id().unwrap();
    let describe = async |id: &str| {
        let answer = cloud
            .client
            .describe_images()
            .image_ids(id)
            .send()
            .await
            .unwrap();
        answer.images()[0].clone()
    };
    let snapshot = describe(image).await.block_device_mappings()[0]
        .ebs()
        .unwrap()
        .snapshot_id()
        .unwrap()
        .to_owned();
    let shown = cloud
        .until_snapshot(&snapshot, &SnapshotState::Completed)
        .await;
    assert_eq!(shown.tags()[0].key(), Some("muck:stack"));
    assert_eq!(describe(image).await.state(), Some(&ImageState::Available));
    assert_eq!(
        describe(image).await.source_instance_id(),
        Some(id.as_str())
    );

    let copy = async |name: &str| {
        cloud
            .client
            .copy_image()
            .source_image_id(image)
            .source_region("us-local-1")
            .name(name)
            .client_token("copy-1")
            .copy_image_tags(true)
            .send()
            .await
    };
    let again = copy("copy").await.unwrap();
    let error = copy("other").await.unwrap_err();
    assert_eq!(code(&error).0, "IdempotentParameterMismatch");
    let copy = copy("copy").await.unwrap();
    assert_eq!(copy.image_id(), again.image_id());
    let copy = copy.image_id().unwrap();
    assert_eq!(describe(copy).await.tags()[0].value(), Some("s1"));
    for id in [image, copy] {
        let answer = cloud.run().image_id(id).send().await.unwrap();
        cloud
            .until(answer.instances()[0].instance_id().unwrap(), "running")
            .await;
        let boot = cloud.driver.disk().boots.last().unwrap().clone();
        assert_eq!(boot.layers, [BASE_SNAPSHOT, &snapshot]);
    }
    // The original goes; the copy still boots.
    cloud
        .client
        .deregister_image()
        .image_id(image)
        .delete_associated_snapshots(true)
        .send()
        .await
        .unwrap();
    let answer = cloud.run().image_id(copy).send().await.unwrap();
    cloud
        .until(answer.instances()[0].instance_id().unwrap(), "running")
        .await;
    cloud.assert_sound();
}

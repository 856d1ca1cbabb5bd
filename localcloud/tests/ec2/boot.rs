//! Start, stop, termination, power-offs from inside, failed boots.

use aws_sdk_ec2::types::{
    AttributeBooleanValue, AttributeValue, InstanceAttributeName, ShutdownBehavior, StateReason,
};
use aws_sdk_ec2::types::{BlockDeviceMapping, EbsBlockDevice, IamInstanceProfileSpecification};
use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::sync::Semaphore;

use super::rig::{Cloud, code, state_of, volume_of};

fn reason(instance: &aws_sdk_ec2::types::Instance) -> (&str, &str) {
    let reason: &StateReason = instance.state_reason().unwrap();
    (reason.code().unwrap(), reason.message().unwrap())
}

#[tokio::test]
async fn stops_starts_and_terminates() {
    let cloud = Cloud::new();
    let id = cloud.running().await;
    let answer = cloud
        .client
        .stop_instances()
        .instance_ids(&id)
        .send()
        .await
        .unwrap();
    let change = &answer.stopping_instances()[0];
    assert_eq!(
        change.previous_state().unwrap().name().unwrap().as_str(),
        "running"
    );
    assert_eq!(change.current_state().unwrap().code(), Some(64));
    let stopped = cloud.until(&id, "stopped").await;
    assert_eq!(
        stopped.state_transition_reason(),
        Some("User initiated (2026-01-02 03:04:05 GMT)")
    );
    assert_eq!(reason(&stopped).0, "Client.UserInitiatedShutdown");
    let volume = volume_of(&stopped);
    assert!(cloud.driver.disk().running.is_empty());
    assert!(cloud.driver.disk().served.is_empty());
    assert!(
        cloud.driver.disk().volumes.contains_key(&volume),
        "it keeps its volume"
    );

    cloud.wait(60);
    cloud
        .client
        .start_instances()
        .instance_ids(&id)
        .send()
        .await
        .unwrap();
    let started = cloud.until(&id, "running").await;
    assert_eq!(volume_of(&started), volume);
    assert_ne!(started.launch_time(), stopped.launch_time());
    assert!(started.state_reason().is_none());
    let boots = cloud.driver.disk().boots.clone();
    assert_eq!(
        boots.iter().map(|spec| spec.first_boot).collect::<Vec<_>>(),
        [true, false]
    );

    // Both of these change nothing.
    cloud
        .client
        .start_instances()
        .instance_ids(&id)
        .send()
        .await
        .unwrap();
    assert_eq!(state_of(&cloud.instance(&id).await), "running");

    cloud
        .client
        .terminate_instances()
        .instance_ids(&id)
        .send()
        .await
        .unwrap();
    let ended = cloud.until(&id, "terminated").await;
    assert!(ended.block_device_mappings().is_empty());
    assert!(ended.private_ip_address().is_none());
    cloud
        .until_disk("the volume is gone", |disk| disk.volumes.is_empty())
        .await;
    let volumes = cloud.client.describe_volumes().send().await.unwrap();
    assert!(volumes.volumes().is_empty());

    let again = cloud
        .client
        .terminate_instances()
        .instance_ids(&id)
        .send()
        .await
        .unwrap();
    assert_eq!(
        again.terminating_instances()[0]
            .current_state()
            .unwrap()
            .name()
            .unwrap()
            .as_str(),
        "terminated"
    );
    let error = cloud
        .client
        .start_instances()
        .instance_ids(&id)
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error).0, "IncorrectInstanceState");
    let error = cloud
        .client
        .stop_instances()
        .instance_ids(&id)
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error).0, "IncorrectInstanceState");

    cloud.wait(59 * 60);
    assert_eq!(state_of(&cloud.instance(&id).await), "terminated");
    cloud.wait(60);
    let error = cloud
        .client
        .describe_instances()
        .instance_ids(&id)
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error).0, "InvalidInstanceID.NotFound");
    assert!(
        cloud
            .client
            .describe_instances()
            .send()
            .await
            .unwrap()
            .reservations()
            .is_empty()
    );
    cloud.assert_sound();
}

#[tokio::test]
async fn one_bad_id_spoils_the_batch_and_changes_nothing() {
    let cloud = Cloud::new();
    let id = cloud.running().await;
    let error = cloud
        .client
        .terminate_instances()
        .instance_ids(&id)
        .instance_ids("i-0123456789abcdef0")
        .instance_ids("i-0123456789abcdef1")
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        code(&error),
        (
            "InvalidInstanceID.NotFound".to_owned(),
            "The instance IDs 'i-0123456789abcdef0, i-0123456789abcdef1' do not exist".to_owned()
        )
    );
    assert_eq!(state_of(&cloud.instance(&id).await), "running");
}

#[tokio::test]
async fn a_power_off_from_inside_does_what_its_behaviour_says() {
    let cloud = Cloud::new();
    let id = cloud.running().await;
    cloud.driver.guest_powers_off(&id);
    let stopped = cloud.until(&id, "stopped").await;
    assert_eq!(
        reason(&stopped),
        (
            "Client.InstanceInitiatedShutdown",
            "Client.InstanceInitiatedShutdown: Instance initiated shutdown"
        )
    );

    cloud
        .client
        .start_instances()
        .instance_ids(&id)
        .send()
        .await
        .unwrap();
    cloud.until(&id, "running").await;
    cloud
        .client
        .modify_instance_attribute()
        .instance_id(&id)
        .instance_initiated_shutdown_behavior(AttributeValue::builder().value("terminate").build())
        .send()
        .await
        .unwrap();
    let attribute = cloud
        .client
        .describe_instance_attribute()
        .instance_id(&id)
        .attribute(InstanceAttributeName::InstanceInitiatedShutdownBehavior)
        .send()
        .await
        .unwrap();
    assert_eq!(
        attribute
            .instance_initiated_shutdown_behavior()
            .unwrap()
            .value(),
        Some("terminate")
    );
    cloud.driver.guest_powers_off(&id);
    let ended = cloud.until(&id, "terminated").await;
    assert_eq!(reason(&ended).0, "Client.InstanceInitiatedShutdown");
    cloud
        .until_disk("the volume is gone", |disk| disk.volumes.is_empty())
        .await;
    cloud.assert_sound();
}

#[tokio::test]
async fn a_launch_that_cannot_boot_is_terminated_and_a_start_stopped() {
    let cloud = Cloud::new();
    cloud.driver.fail_boots(Some("no kernel today"));
    let answer = cloud.run().send().await.unwrap();
    let id = answer.instances()[0].instance_id().unwrap();
    let ended = cloud.until(id, "terminated").await;
    assert_eq!(
        reason(&ended),
        (
            "Server.InternalError",
            "Server.InternalError: no kernel today"
        )
    );
    assert_eq!(
        ended.state_transition_reason(),
        Some("Server.InternalError")
    );
    let volumes = cloud.client.describe_volumes().send().await.unwrap();
    assert!(volumes.volumes().is_empty());

    cloud.driver.fail_boots(None);
    let (id, _) = cloud.stopped().await;
    cloud.driver.fail_boots(Some("no kernel today"));
    cloud
        .client
        .start_instances()
        .instance_ids(&id)
        .send()
        .await
        .unwrap();
    let stopped = cloud.until(&id, "stopped").await;
    assert_eq!(reason(&stopped).0, "Server.InternalError");
    cloud.assert_sound();
}

/// Calls that come while it boots are obeyed when the boot is over, in whatever order they came.
#[tokio::test]
async fn what_is_asked_while_it_boots_is_done_after() {
    let cloud = Cloud::new();
    cloud.driver.gate.forget_permits(Semaphore::MAX_PERMITS);
    let answer = cloud.run().max_count(2).send().await.unwrap();
    let ids: Vec<_> = answer
        .instances()
        .iter()
        .map(|i| i.instance_id().unwrap())
        .collect();
    cloud
        .client
        .terminate_instances()
        .instance_ids(ids[0])
        .send()
        .await
        .unwrap();
    cloud
        .client
        .stop_instances()
        .instance_ids(ids[1])
        .send()
        .await
        .unwrap();
    assert_eq!(state_of(&cloud.instance(ids[0]).await), "shutting-down");
    assert_eq!(state_of(&cloud.instance(ids[1]).await), "stopping");
    cloud.driver.gate.add_permits(10);
    cloud.until(ids[0], "terminated").await;
    cloud.until(ids[1], "stopped").await;
    cloud
        .until_disk("no guest runs", |disk| disk.running.is_empty())
        .await;
    cloud.assert_sound();
}

#[tokio::test]
async fn a_protected_instance_is_not_terminated() {
    let cloud = Cloud::new();
    let answer = cloud
        .run()
        .disable_api_termination(true)
        .send()
        .await
        .unwrap();
    let id = answer.instances()[0].instance_id().unwrap();
    cloud.until(id, "running").await;
    let error = cloud
        .client
        .terminate_instances()
        .instance_ids(id)
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error).0, "OperationNotPermitted");
    cloud
        .client
        .modify_instance_attribute()
        .instance_id(id)
        .disable_api_termination(AttributeBooleanValue::builder().value(false).build())
        .send()
        .await
        .unwrap();
    cloud
        .client
        .terminate_instances()
        .instance_ids(id)
        .send()
        .await
        .unwrap();
    cloud.until(id, "terminated").await;
}

#[tokio::test]
async fn a_volume_may_outlive_its_instance() {
    let cloud = Cloud::new();
    let answer = cloud
        .run()
        .instance_initiated_shutdown_behavior(ShutdownBehavior::Terminate)
        .block_device_mappings(
            BlockDeviceMapping::builder()
                .device_name("/dev/xvda")
                .ebs(
                    EbsBlockDevice::builder()
                        .delete_on_termination(false)
                        .build(),
                )
                .build(),
        )
        .send()
        .await
        .unwrap();
    let id = answer.instances()[0].instance_id().unwrap();
    let volume = volume_of(&cloud.until(id, "running").await);
    let error = cloud
        .client
        .delete_volume()
        .volume_id(&volume)
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error).0, "VolumeInUse");
    cloud.driver.guest_powers_off(id);
    cloud.until(id, "terminated").await;
    let volumes = cloud
        .client
        .describe_volumes()
        .volume_ids(&volume)
        .send()
        .await
        .unwrap();
    assert_eq!(volumes.volumes()[0].state().unwrap().as_str(), "available");
    cloud
        .client
        .delete_volume()
        .volume_id(&volume)
        .send()
        .await
        .unwrap();
    cloud
        .until_disk("the layer is gone", |disk| disk.volumes.is_empty())
        .await;
    let error = cloud
        .client
        .describe_volumes()
        .volume_ids(&volume)
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error).0, "InvalidVolume.NotFound");
}

#[tokio::test]
async fn the_console_is_read_from_the_first_line_on() {
    let cloud = Cloud::new();
    let id = cloud.running().await;
    let console = async |id: &str| {
        let answer = cloud
            .client
            .get_console_output()
            .instance_id(id)
            .latest(true)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.instance_id(), Some(id));
        answer
            .output()
            .map(|text| String::from_utf8(STANDARD.decode(text).unwrap()).unwrap())
    };
    assert_eq!(
        console(&id).await.unwrap(),
        format!("making the base\r\nconsole of {id}\r\n")
    );
    // The base is there now, so the next instance has nothing to tell of it.
    cloud.driver.gate.forget_permits(Semaphore::MAX_PERMITS);
    let second = cloud.run().send().await.unwrap();
    let second = second.instances()[0].instance_id().unwrap().to_owned();
    assert_eq!(console(&second).await, None);
    cloud.driver.gate.add_permits(1);
    cloud.until(&second, "running").await;
    assert_eq!(
        console(&second).await.unwrap(),
        format!("console of {second}\r\n")
    );
}

#[tokio::test]
async fn attributes_that_need_a_stopped_instance_say_so() {
    let cloud = Cloud::new();
    let id = cloud.running().await;
    let change = || {
        cloud
            .client
            .modify_instance_attribute()
            .instance_id(&id)
            .instance_type(AttributeValue::builder().value("m7i.large").build())
            .send()
    };
    assert_eq!(
        code(&change().await.unwrap_err()).0,
        "IncorrectInstanceState"
    );
    cloud
        .client
        .stop_instances()
        .instance_ids(&id)
        .send()
        .await
        .unwrap();
    cloud.until(&id, "stopped").await;
    change().await.unwrap();
    let instance = cloud.instance(&id).await;
    assert_eq!(instance.instance_type().unwrap().as_str(), "m7i.large");
}

#[tokio::test]
async fn a_profile_can_be_associated_later() {
    let cloud = Cloud::new();
    let arn = cloud.profile("late");
    let id = cloud.running().await;
    let profile = |name: &str| {
        IamInstanceProfileSpecification::builder()
            .name(name)
            .build()
    };
    let associate = |name: &str| {
        cloud
            .client
            .associate_iam_instance_profile()
            .instance_id(&id)
            .iam_instance_profile(profile(name))
            .send()
    };
    assert!(
        code(&associate("absent").await.unwrap_err())
            .1
            .contains("Invalid IAM Instance Profile name")
    );
    let association = associate("late").await.unwrap();
    let association = association.iam_instance_profile_association().unwrap();
    assert_eq!(
        association.iam_instance_profile().unwrap().arn(),
        Some(arn.as_str())
    );
    assert_eq!(
        code(&associate("late").await.unwrap_err()).0,
        "IncorrectState"
    );
    let facts = localcloud::ec2::instance_facts(&cloud.store, &id)
        .unwrap()
        .unwrap();
    assert_eq!(facts.profile.unwrap().arn, arn);

    let listed = cloud
        .client
        .describe_iam_instance_profile_associations()
        .filters(
            aws_sdk_ec2::types::Filter::builder()
                .name("instance-id")
                .values(&id)
                .build(),
        )
        .send()
        .await
        .unwrap();
    let listed = &listed.iam_instance_profile_associations()[0];
    assert_eq!(listed.association_id(), association.association_id());
    cloud
        .client
        .disassociate_iam_instance_profile()
        .association_id(listed.association_id().unwrap())
        .send()
        .await
        .unwrap();
    assert!(cloud.instance(&id).await.iam_instance_profile().is_none());
}

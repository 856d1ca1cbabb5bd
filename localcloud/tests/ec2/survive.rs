//! The server ends and starts again.

use aws_sdk_ec2::types::{ShutdownBehavior, SnapshotState};
use tokio::sync::Semaphore;

use super::rig::{Cloud, state_of, volume_of};

#[tokio::test]
async fn guests_that_died_with_the_server_count_as_powered_off() {
    let cloud = Cloud::new();
    let stays = cloud.running().await;
    let goes = cloud
        .run()
        .instance_initiated_shutdown_behavior(ShutdownBehavior::Terminate)
        .send()
        .await
        .unwrap();
    let goes = goes.instances()[0].instance_id().unwrap().to_owned();
    cloud.until(&goes, "running").await;
    let volume = volume_of(&cloud.instance(&stays).await);

    let cloud = cloud.crash_and_restart();
    let stopped = cloud.until(&stays, "stopped").await;
    let reason = stopped.state_reason().unwrap();
    assert_eq!(reason.code(), Some("Client.InstanceInitiatedShutdown"));
    assert!(
        reason
            .message()
            .unwrap()
            .contains("local cloud was stopped")
    );
    cloud.until(&goes, "terminated").await;
    cloud
        .until_disk("one volume is left", |disk| disk.volumes.len() == 1)
        .await;

    cloud
        .client
        .start_instances()
        .instance_ids(&stays)
        .send()
        .await
        .unwrap();
    let again = cloud.until(&stays, "running").await;
    assert_eq!(volume_of(&again), volume);
    assert!(!cloud.driver.disk().boots.last().unwrap().first_boot);
    cloud.assert_sound();
}

#[tokio::test]
async fn what_was_begun_is_finished() {
    let cloud = Cloud::new();
    let (stopped, volume) = cloud.stopped().await;
    let ending = cloud.running().await;
    // A termination and a snapshot, asked for in the server's last moment.
    cloud
        .client
        .terminate_instances()
        .instance_ids(&ending)
        .send()
        .await
        .unwrap();
    let snapshot = cloud
        .client
        .create_snapshot()
        .volume_id(&volume)
        .send()
        .await
        .unwrap();
    let snapshot = snapshot.snapshot_id().unwrap().to_owned();

    let cloud = cloud.crash_and_restart();
    cloud.until(&ending, "terminated").await;
    cloud
        .until_snapshot(&snapshot, &SnapshotState::Completed)
        .await;
    cloud
        .client
        .start_instances()
        .instance_ids(&stopped)
        .send()
        .await
        .unwrap();
    cloud.until(&stopped, "running").await;
    let boot = cloud.driver.disk().boots.last().unwrap().clone();
    assert_eq!(boot.layers.last(), Some(&snapshot));
    cloud.assert_sound();
}

#[tokio::test]
async fn an_orderly_end_powers_all_off() {
    let cloud = Cloud::new();
    let running = cloud.running().await;
    let booting = cloud
        .run()
        .instance_initiated_shutdown_behavior(ShutdownBehavior::Terminate)
        .send()
        .await
        .unwrap();
    let booting = booting.instances()[0].instance_id().unwrap().to_owned();
    cloud.ec2.shutdown().await.unwrap();
    assert_eq!(state_of(&cloud.instance(&running).await), "stopped");
    assert_eq!(state_of(&cloud.instance(&booting).await), "terminated");
    assert!(cloud.driver.disk().running.is_empty());
    cloud.assert_sound();
    // Semaphore's default here: boots are not held back.
    assert!(cloud.driver.gate.available_permits() < Semaphore::MAX_PERMITS);
}

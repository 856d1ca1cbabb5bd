//! The server's life: one a folder, found by its folder, reset with all that it held.

use std::os::unix::fs::PermissionsExt as _;

use localcloud::server::{DriverChoice, ServeOptions, ServerError, find, reset, serve};

use crate::harness::Cloud;

#[tokio::test]
async fn it_is_found_while_it_runs_and_not_after() {
    let cloud = Cloud::start().await;
    let dir = cloud.dir().to_owned();
    let found = find(&dir).await.unwrap();
    assert_eq!(found, cloud.info);
    assert!(found.endpoint.starts_with("http://127.0.0.1:"));
    let file = dir.join("server.json");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let left_over = std::fs::read(&file).unwrap();
    let cloud = cloud.restart().await;
    cloud.shutdown().await;
    assert!(!file.exists());

    // What a killed server leaves is not believed.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("server.json"), left_over).unwrap();
    assert!(find(folder.path()).await.is_none());
}

#[tokio::test]
async fn a_folder_has_one_server() {
    let cloud = Cloud::start().await;
    let second = serve(ServeOptions {
        dir: cloud.dir().to_owned(),
        cache_dir: cloud.dir().join("cache"),
        port: None,
        driver: DriverChoice::Process,
    })
    .await;
    match second {
        Err(ServerError::InUse { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("two servers in one folder"),
    }
    cloud.shutdown().await;
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let cloud = Cloud::start().await;
    let port: u16 = cloud
        .info
        .endpoint
        .rsplit(':')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let other = tempfile::tempdir().unwrap();
    let error = serve(ServeOptions {
        dir: other.path().to_owned(),
        cache_dir: other.path().join("cache"),
        port: Some(port),
        driver: DriverChoice::Process,
    })
    .await
    .err()
    .expect("the port is taken");
    assert!(error.to_string().contains(&port.to_string()), "{error}");
    cloud.shutdown().await;
}

#[tokio::test]
async fn a_reset_removes_the_state_and_only_of_a_server() {
    let cloud = Cloud::start().await;
    let dir = cloud.dir().to_owned();
    let before = cloud.info.access_key_id.clone();
    cloud
        .sqs()
        .create_queue()
        .queue_name("q")
        .send()
        .await
        .unwrap();
    let cloud = cloud
        .restart_after(async || {
            reset(&dir).await.unwrap();
            assert!(!dir.exists());
        })
        .await;
    assert_ne!(cloud.info.access_key_id, before);
    assert!(
        cloud
            .sqs()
            .list_queues()
            .send()
            .await
            .unwrap()
            .queue_urls()
            .is_empty()
    );
    cloud.shutdown().await;

    let foreign = tempfile::tempdir().unwrap();
    std::fs::write(foreign.path().join("thesis.txt"), "x").unwrap();
    reset(foreign.path()).await.unwrap();
    assert!(foreign.path().join("thesis.txt").exists());
}

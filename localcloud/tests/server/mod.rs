//! The server's life: one a folder, found by its folder, reset with all that it held.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use localcloud::server::{
    DriverChoice, ServeOptions, ServerError, ServerInfo, find, reset, serve, stop,
};

use crate::harness::{Cloud, serve_in};

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

/// Tells [`other_process`] where to serve.
const FOLDER: &str = "LOCALCLOUD_TEST_FOLDER";

/// The server that the tests below start as another process.
#[tokio::test]
#[ignore = "no test by itself: the tests of other processes start it"]
async fn other_process() {
    let folder = std::env::var_os(FOLDER).expect("started by a test that says where");
    let running = serve_in(folder.as_ref()).await;
    let mut asked_to_end =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
    asked_to_end.recv().await;
    running.shutdown().await;
}

/// The other process; it ends with the test, however that ends.
struct Other(Child);

impl Drop for Other {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts it and waits until it answers.
async fn start_another(folder: &Path) -> (Other, ServerInfo) {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "server::other_process", "--ignored"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .spawn();
    let other = Other(child.unwrap());
    let since = Instant::now();
    loop {
        if let Some(info) = find(&folder.join("cloud")).await {
            return (other, info);
        }
        assert!(since.elapsed() < Duration::from_mins(1), "it never answers");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_server_of_another_process_is_stopped_or_reset() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("cloud");
    let (mut other, info) = start_another(folder.path()).await;
    assert_eq!(info.pid, other.0.id());
    assert_eq!(stop(&dir).await.unwrap(), Some(info));
    assert!(other.0.wait().unwrap().success());
    assert!(find(&dir).await.is_none());
    assert_eq!(stop(&dir).await.unwrap(), None);

    let (mut other, _) = start_another(folder.path()).await;
    reset(&dir).await.unwrap();
    assert!(other.0.wait().unwrap().success());
    assert!(!dir.exists());
}

#[tokio::test]
async fn a_killed_server_leaves_its_folder_free_and_its_state_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (mut other, info) = start_another(folder.path()).await;
    other.0.kill().unwrap();
    other.0.wait().unwrap();
    assert!(find(&info.dir).await.is_none());
    let again = serve_in(folder.path()).await;
    assert_eq!(again.info.access_key_id, info.access_key_id);
    assert_eq!(again.info.secret_access_key, info.secret_access_key);
    assert_ne!(again.info.started, info.started);
    again.shutdown().await;
}

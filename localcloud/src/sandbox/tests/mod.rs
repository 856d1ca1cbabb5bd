//! Real boots. The base root is made once for all tests (a minute, and the network) in MUCK_CACHE_DIR, else in
//! `target/test-cache`. Where the kernel forbids sandboxes these say so and pass.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{DriverChoice, choose, remove_tree};
use crate::driver::{BootSpec, Driver, PowerEvent, PowerOff};

mod layers;
mod process;
mod sandbox;

/// Longer than any boot or power-off here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

const BASE: &str = "snap-base";

fn cache_dir() -> PathBuf {
    std::env::var_os("MUCK_CACHE_DIR").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/test-cache")),
        PathBuf::from,
    )
}

/// A driver over a folder of its own, with the base image ready.
struct Room {
    dir: PathBuf,
    driver: Arc<dyn Driver>,
    events: mpsc::UnboundedReceiver<PowerEvent>,
}

impl Room {
    /// `None` where sandboxes are impossible, said loudly.
    #[allow(clippy::print_stderr)] // A skipped test must be seen.
    async fn sandbox() -> Option<Self> {
        match Self::open(DriverChoice::Sandbox).await {
            Ok(room) => Some(room),
            Err(error) => {
                eprintln!("SKIPPED, sandboxed guests can't be tested here: {error}");
                None
            }
        }
    }

    async fn process() -> Self {
        Self::open(DriverChoice::Process).await.unwrap()
    }

    async fn open(choice: DriverChoice) -> Result<Self, String> {
        let cache = cache_dir();
        std::fs::create_dir_all(&cache).unwrap();
        // Beside the cache, because not every file system carries overlays.
        let dir = tempfile::Builder::new()
            .prefix("room.")
            .tempdir_in(&cache)
            .unwrap()
            .keep();
        let (sender, events) = mpsc::unbounded_channel();
        let (driver, why) = match choose(choice, &dir, &cache, sender).await {
            Ok(chosen) => chosen,
            Err(error) => {
                remove_tree(&dir).await.unwrap();
                return Err(error.to_string());
            }
        };
        assert!(why.starts_with(driver.name()), "{why}");
        let (progress, _told) = mpsc::unbounded_channel();
        driver.ensure_base(BASE, progress).await.unwrap();
        Ok(Self {
            dir,
            driver,
            events,
        })
    }

    /// Boots `id` with its own volume over the base.
    async fn boot(&self, id: &str, script: &str) {
        self.driver.boot(spec(id, &[BASE], script)).await.unwrap();
    }

    async fn off(&mut self) -> (String, PowerOff) {
        let event = tokio::time::timeout(PATIENCE, self.events.recv())
            .await
            .expect("a guest should have powered off")
            .unwrap();
        (event.instance_id, event.cause)
    }

    async fn console(&self, id: &str) -> String {
        String::from_utf8(self.driver.console(id).await.unwrap()).unwrap()
    }

    /// Waits until the console shows `text`.
    async fn shows(&self, id: &str, text: &str) -> String {
        let look = async {
            loop {
                let console = self.console(id).await;
                if console.contains(text) {
                    return console;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if let Ok(console) = tokio::time::timeout(PATIENCE, look).await {
            return console;
        }
        panic!(
            "{text:?} is not in the console:\n{}",
            self.console(id).await
        )
    }

    async fn close(self) {
        drop(self.driver);
        remove_tree(&self.dir).await.unwrap();
        assert!(!self.dir.exists());
    }
}

/// A first boot of instance `i-NAME` with volume `vol-NAME`.
fn spec(id: &str, layers: &[&str], script: &str) -> BootSpec {
    BootSpec {
        instance_id: id.to_owned(),
        volume_id: id.replace("i-", "vol-"),
        layers: layers.iter().map(|&layer| layer.to_owned()).collect(),
        volume_size: 8,
        hostname: format!("ip-{id}"),
        user_data: (!script.is_empty()).then(|| script.as_bytes().to_vec()),
        first_boot: true,
        environment: vec![("AWS_REGION".to_owned(), "us-local-1".to_owned())],
    }
}

/// The same with the script packed, as cloud-init takes it too.
fn packed_spec(id: &str, script: &str) -> BootSpec {
    use std::io::Write as _;
    let mut gzip = std::process::Command::new("gzip")
        .arg("-c")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("Debian's essential gzip");
    let mut input = gzip.stdin.take().expect("piped");
    input.write_all(script.as_bytes()).expect("written");
    drop(input);
    let packed = gzip.wait_with_output().expect("ends").stdout;
    assert_eq!(packed[..2], [0x1f, 0x8b]);
    BootSpec {
        user_data: Some(packed),
        ..spec(id, &[BASE], "")
    }
}

/// Whether a process whose command line holds `mark` lives.
fn lives(mark: &str) -> bool {
    super::processes::all().iter().any(|process| {
        !process.zombie
            && std::fs::read(format!("/proc/{}/cmdline", process.pid))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(mark))
    })
}

/// A command line argument that no other test's processes have.
fn unique_seconds() -> String {
    // `sleep` takes any number; these are years away.
    format!(
        "{}.{}",
        400_000_000 + u64::from(std::process::id()),
        rand::random::<u32>()
    )
}

/// Runs this test binary's helper test `name` as a process of its own, which boots a guest and waits.
fn spawn_server(name: &str, folder: &std::path::Path, seconds: &str) -> std::process::Child {
    std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env("LOCALCLOUD_TEST_DIR", folder)
        .env("LOCALCLOUD_TEST_SECONDS", seconds)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

async fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(
            std::time::Instant::now() < end,
            "not within the time: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The life of a server that another test kills.
async fn serve_until_killed(choice: DriverChoice) {
    let dir = PathBuf::from(std::env::var_os("LOCALCLOUD_TEST_DIR").unwrap());
    let seconds = std::env::var("LOCALCLOUD_TEST_SECONDS").unwrap();
    let (sender, _events) = mpsc::unbounded_channel();
    let (driver, _) = choose(choice, &dir, &cache_dir(), sender).await.unwrap();
    let (progress, _told) = mpsc::unbounded_channel();
    driver.ensure_base(BASE, progress).await.unwrap();
    let script =
        format!("#!/bin/sh\nsetsid sleep {seconds} &\nenv -u LOCALCLOUD_GUEST sleep {seconds}\n");
    driver.boot(spec("i-1", &[BASE], &script)).await.unwrap();
    std::future::pending::<()>().await;
}

/// Boots in a server of its own, kills that with SIGKILL, and sees the guest's processes go.
async fn guests_die_with_the_server(helper: &str) {
    let cache = cache_dir();
    std::fs::create_dir_all(&cache).unwrap();
    let dir = tempfile::Builder::new()
        .prefix("killed.")
        .tempdir_in(&cache)
        .unwrap()
        .keep();
    let seconds = unique_seconds();
    let mut server = spawn_server(helper, &dir, &seconds);
    wait_until("the guest runs", || lives(&format!("sleep\0{seconds}"))).await;
    server.kill().unwrap();
    server.wait().unwrap();
    wait_until("the guest is gone", || !lives(&format!("sleep\0{seconds}"))).await;
    remove_tree(&dir).await.unwrap();
}

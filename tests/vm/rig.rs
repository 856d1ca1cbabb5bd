//! A local cloud of the story's own whose instances are virtual machines, and `muck` that works on it.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_ec2::types::{
    InstanceAttributeName, InstanceStateName, InstanceType, ShutdownBehavior,
};
use aws_sdk_s3::presigning::PresigningConfig;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use localcloud::driver::Driver;
use localcloud::server::{self, Running};

use super::base::Base;
use super::driver::VmDriver;
use super::say;
use crate::harness::World;
use crate::harness::account::Account;

/// Between two looks at something that takes minutes.
const LOOK: Duration = Duration::from_secs(1);

pub struct Rig {
    // In the order in which they must go: guests, server, home.
    running: Option<Running>,
    runtime: tokio::runtime::Runtime,
    driver: Arc<VmDriver>,
    world: World,
}

impl Rig {
    /// Disks and consoles are kept below the story's name. The local cloud is where `--local` looks for it, so that `muck` finds it running.
    pub fn new(story: &str, base: Base) -> Self {
        let world = World::new();
        let folder = world.work().join("../state/local");
        let runtime = tokio::runtime::Runtime::new().expect("runtime");
        let mut made = None;
        let running = runtime
            .block_on(server::serve_with(&folder, |folder, events| {
                let driver = Arc::new(VmDriver::new(story, folder, base, events)?);
                made = Some(Arc::clone(&driver));
                Ok(driver as Arc<dyn Driver>)
            }))
            .expect("the local cloud starts");
        Self {
            running: Some(running),
            runtime,
            driver: made.expect("serving asked for it"),
            world,
        }
    }

    pub fn world(&self) -> &World {
        &self.world
    }

    pub fn account(&self) -> Account {
        Account::of(&self.world)
    }

    pub fn driver(&self) -> &VmDriver {
        &self.driver
    }

    /// Runs `muck … --local`, its talk shown as it comes, and returns its stdout. It must succeed.
    #[track_caller]
    pub fn muck(&self, arguments: &[&str]) -> String {
        say(&format!("$ muck {} --local", arguments.join(" ")));
        let began = Instant::now();
        let output = self
            .world
            .command(arguments)
            .arg("--local")
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .expect("muck starts");
        assert!(
            output.status.success(),
            "muck {arguments:?}: {}",
            output.status
        );
        say(&format!("  ({:.0} s)", began.elapsed().as_secs_f64()));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    fn ec2(&self) -> aws_sdk_ec2::Client {
        aws_sdk_ec2::Client::new(&self.config())
    }

    fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.config());
        aws_sdk_s3::Client::from_conf(config.force_path_style(true).build())
    }

    /// A URL by which an object can be put for an hour.
    pub fn presigned_put(&self, bucket: &str, key: &str) -> String {
        let hour = PresigningConfig::expires_in(Duration::from_hours(1)).expect("allowed");
        let put = self.s3().put_object().bucket(bucket).key(key);
        let request = self.runtime.block_on(put.presigned(hour));
        request.expect("signed").uri().to_owned()
    }

    /// An object's text.
    pub fn object(&self, bucket: &str, key: &str) -> String {
        let got = self.s3().get_object().bucket(bucket).key(key).send();
        let bytes = self.runtime.block_on(async {
            let body = got.await.expect("there").body;
            body.collect().await.expect("whole").into_bytes()
        });
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn config(&self) -> aws_config::SdkConfig {
        let info = &self.running.as_ref().expect("runs until dropped").info;
        self.runtime.block_on(
            aws_config::defaults(BehaviorVersion::v2026_01_12())
                .http_client(aws_smithy_http_client::Builder::new().build_http())
                .endpoint_url(&info.endpoint)
                .region(Region::new(info.region.clone()))
                .credentials_provider(Credentials::from_keys(
                    &info.access_key_id,
                    &info.secret_access_key,
                    None,
                ))
                .load(),
        )
    }

    /// Launches an instance that terminates at power-off, without `muck`.
    pub fn launch(&self, image_id: &str, user_data: impl AsRef<[u8]>) -> String {
        let launched = self
            .ec2()
            .run_instances()
            .image_id(image_id)
            .instance_type(InstanceType::C7iLarge)
            .min_count(1)
            .max_count(1)
            .instance_initiated_shutdown_behavior(ShutdownBehavior::Terminate)
            .user_data(STANDARD.encode(user_data))
            .send();
        let launched = self.runtime.block_on(launched).expect("launched");
        let id = launched.instances()[0].instance_id().expect("an id");
        id.to_owned()
    }

    /// Ids of the instances that are not terminated.
    pub fn instances(&self) -> Vec<String> {
        self.all_instances()
            .into_iter()
            .filter(|(_, state)| *state != InstanceStateName::Terminated)
            .map(|(id, _)| id)
            .collect()
    }

    fn all_instances(&self) -> Vec<(String, InstanceStateName)> {
        let listed = self.ec2().describe_instances().send();
        let listed = self.runtime.block_on(listed).expect("listed");
        listed
            .reservations()
            .iter()
            .flat_map(aws_sdk_ec2::types::Reservation::instances)
            .filter_map(|instance| {
                let state = instance.state()?.name()?.clone();
                Some((instance.instance_id()?.to_owned(), state))
            })
            .collect()
    }

    /// The one snapshot that the account has.
    pub fn snapshot(&self) -> String {
        let listed = self.ec2().describe_snapshots().owner_ids("self").send();
        let listed = self.runtime.block_on(listed).expect("listed");
        let [snapshot] = listed.snapshots() else {
            panic!("not one snapshot: {listed:?}");
        };
        snapshot.snapshot_id().expect("an id").to_owned()
    }

    /// What an instance was launched with.
    pub fn user_data(&self, instance_id: &str) -> String {
        let asked = self
            .ec2()
            .describe_instance_attribute()
            .instance_id(instance_id)
            .attribute(InstanceAttributeName::UserData)
            .send();
        let told = self.runtime.block_on(asked).expect("told");
        let text = told.user_data().and_then(|data| data.value());
        let bytes = STANDARD.decode(text.expect("has some")).expect("base64");
        String::from_utf8(bytes).expect("UTF-8")
    }

    /// What an instance printed, whole.
    pub fn console(&self, instance_id: &str) -> String {
        let path = self.console_path(instance_id);
        String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).replace('\r', "")
    }

    /// What the first instance of all printed.
    pub fn first_console(&self) -> String {
        let (id, _) = self.all_instances().into_iter().next().expect("one was");
        self.console(&id)
    }

    fn console_path(&self, instance_id: &str) -> PathBuf {
        self.driver.console_path(instance_id)
    }

    /// Waits until `done` and returns how long; fails after `limit`, naming the console of `instance_id`.
    #[track_caller]
    pub fn wait(
        &self,
        what: &str,
        instance_id: &str,
        limit: Duration,
        done: impl Fn() -> bool,
    ) -> Duration {
        let began = Instant::now();
        loop {
            if done() {
                let took = began.elapsed();
                say(&format!("{what}: {:.0} s", took.as_secs_f64()));
                return took;
            }
            assert!(
                began.elapsed() < limit,
                "{what}: not within {} s; the console is {}",
                limit.as_secs(),
                self.console_path(instance_id).display()
            );
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.shutdown());
        }
    }
}

//! A stack in a local cloud of its own, and real `muck-worker` processes on this machine that work for it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName};
use md5::{Digest as _, Md5};

use super::World;
use super::faults::Faults;
use super::sdk::Sdk;

/// The stack's name.
pub const STACK: &str = "yard";
/// How long the yard's workers hold a message at a time: as long as others wait for the dead.
pub const HOLD: Duration = Duration::from_secs(4);

pub struct Yard {
    pub sdk: Sdk,
    pub faults: Faults,
    access: Vec<(&'static str, String)>,
    input: String,
    // Last: the local cloud goes after all that calls it.
    pub world: World,
}

/// A worker; killed when dropped.
pub struct Worker {
    pub child: Child,
    pub log: PathBuf,
}

/// Makes each write into the output bucket a version of its own: so a second one can be seen.
fn keep_versions(sdk: &Sdk) {
    let keep = VersioningConfiguration::builder()
        .status(BucketVersioningStatus::Enabled)
        .build();
    let call = sdk.s3.put_bucket_versioning();
    let call = call
        .bucket(Sdk::bucket(STACK, "output"))
        .versioning_configuration(keep);
    sdk.run(call.send()).expect("keeps versions");
}

impl Yard {
    /// Makes the stack.
    pub fn open() -> Self {
        Self::of(World::without_booting())
    }

    /// The same in a world that may boot instances.
    pub fn of(world: World) -> Self {
        world.muck(&["up", "--local", "--stack", STACK]).exits(0);
        let status = world.muck(&["local", "status", "--json"]).exits(0).json();
        let text = |key: &str| status[key].as_str().expect("a string").to_owned();
        let access = vec![
            ("AWS_ENDPOINT_URL", text("endpoint")),
            ("AWS_REGION", text("region")),
            ("AWS_ACCESS_KEY_ID", text("access_key_id")),
            ("AWS_SECRET_ACCESS_KEY", text("secret_access_key")),
        ];
        let sdk = Sdk::of(&world);
        let queue = |purpose| sdk.queue_url(STACK, purpose);
        let user_data = format!(
            "Stack: {STACK}\nRegion: us-local-1\nAccount: 000000000000\nInput-Queue: {}\n\
             Output-Queue: {}\nFailed-Queue: {}\nInput-Bucket: {}\nOutput-Bucket: {}\n\
             Idle-Seconds: 3600\nExpires: Fri, 01 Jan 2100 00:00:00 GMT\n",
            queue("input"),
            queue("output"),
            queue("failed"),
            Sdk::bucket(STACK, "input"),
            Sdk::bucket(STACK, "output"),
        );
        world.file("user-data", user_data);
        keep_versions(&sdk);
        Self {
            input: queue("input"),
            faults: Faults::of(&world),
            sdk,
            access,
            world,
        }
    }

    /// The command of a worker that is known as `client` in fault rules and in the journal.
    pub fn command(&self, client: &str, options: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .arg("--user-data")
            .arg(self.world.work().join("user-data"))
            .arg("--work-dir")
            .arg(self.folder(client))
            .args(options);
        if !options.contains(&"--hold") {
            command.args(["--hold", &HOLD.as_secs().to_string()]);
        }
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").expect("PATH"))
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_SDK_UA_APP_ID", client)
            .envs(self.access())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    /// What AWS programs read of their environment.
    pub fn access(&self) -> impl Iterator<Item = (&str, &str)> {
        self.access
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
    }

    /// Starts one; its log goes into a file.
    pub fn start(&self, client: &str, options: &[&str]) -> Worker {
        self.run(client, self.command(client, options))
    }

    pub fn run(&self, client: &str, mut command: Command) -> Worker {
        let log = self.world.work().join(format!("{client}.log"));
        let file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("a log");
        let child = command.stderr(file).spawn().expect("muck-worker starts");
        Worker { child, log }
    }

    /// Where a worker works.
    pub fn folder(&self, client: &str) -> PathBuf {
        self.world.work().join(format!("work-{client}"))
    }

    /// Stores a clip and sends its message; returns the clip's MD5.
    pub fn submit(&self, name: &str, content: &[u8], preset: &str) -> String {
        let md5 = self.store(content);
        self.send(&Self::message(name, &md5, content.len(), preset));
        md5
    }

    pub fn store(&self, content: &[u8]) -> String {
        let md5 = hex::encode(Md5::digest(content));
        let call = self.sdk.s3.put_object();
        let call = call
            .bucket(Sdk::bucket(STACK, "input"))
            .key(format!("media/{md5}"))
            .body(content.to_vec().into());
        self.sdk.run(call.send()).expect("stores the input");
        md5
    }

    pub fn message(name: &str, md5: &str, size: usize, preset: &str) -> String {
        format!(
            "Bucket: {}\nInputKey: media/{md5}\nOriginalFileName: {name}\nSize: {size}\nBatch: b\n\
             Preset: {preset}\n",
            Sdk::bucket(STACK, "input")
        )
    }

    pub fn send(&self, body: &str) {
        let call = self.sdk.sqs.send_message();
        let call = call.queue_url(&self.input).message_body(body);
        self.sdk.run(call.send()).expect("sends");
    }

    /// Messages of the queue: waiting, and in flight.
    pub fn depth(&self, purpose: &str) -> (usize, usize) {
        let url = self.sdk.queue_url(STACK, purpose);
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let call = self.sdk.sqs.get_queue_attributes().queue_url(url);
        let call = call.set_attribute_names(Some(names.to_vec()));
        let answer = self.sdk.run(call.send()).expect("attributes");
        let count = |name: &QueueAttributeName| {
            let text = answer.attributes().and_then(|all| all.get(name));
            text.and_then(|n| n.parse().ok()).expect("a number")
        };
        (count(&names[0]), count(&names[1]))
    }

    /// Waits until nothing is in the input queue, in flight included.
    pub fn wait_done(&self, limit: Duration, worker: &Worker) {
        self.wait("the queue to be empty", limit, worker, || {
            self.depth("input") == (0, 0)
        });
    }

    /// Waits until something is so.
    pub fn wait(&self, what: &str, limit: Duration, worker: &Worker, is_so: impl Fn() -> bool) {
        let start = Instant::now();
        while !is_so() {
            assert!(
                start.elapsed() < limit,
                "waited {limit:?} for {what}; queue {:?}; the worker says:\n{}",
                self.depth("input"),
                worker.said()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Takes all messages of a queue.
    pub fn drain(&self, purpose: &str) -> Vec<String> {
        let url = self.sdk.queue_url(STACK, purpose);
        let mut bodies = Vec::new();
        loop {
            let call = self.sdk.sqs.receive_message().queue_url(&url);
            let call = call
                .max_number_of_messages(10)
                .wait_time_seconds(0)
                .message_system_attribute_names(MessageSystemAttributeName::All);
            let answer = self.sdk.run(call.send()).expect("receives");
            if answer.messages().is_empty() {
                return bodies;
            }
            for one in answer.messages() {
                bodies.push(one.body().unwrap_or_default().to_owned());
                let call = self.sdk.sqs.delete_message().queue_url(&url);
                let call = call.receipt_handle(one.receipt_handle().expect("a receipt"));
                self.sdk.run(call.send()).expect("deletes");
            }
        }
    }

    /// Keys of all versions of all objects in the output bucket below `prefix`: each so often as it was written.
    pub fn written(&self, prefix: &str) -> Vec<String> {
        let mut keys = Vec::new();
        let (mut key, mut version) = (None, None);
        loop {
            let call = self.sdk.s3.list_object_versions();
            let call = call
                .bucket(Sdk::bucket(STACK, "output"))
                .prefix(prefix)
                .set_key_marker(key.take())
                .set_version_id_marker(version.take());
            let answer = self.sdk.run(call.send()).expect("lists");
            keys.extend((answer.versions().iter()).filter_map(|one| one.key().map(str::to_owned)));
            if answer.is_truncated() != Some(true) {
                return keys;
            }
            key = answer.next_key_marker().map(str::to_owned);
            version = answer.next_version_id_marker().map(str::to_owned);
        }
    }

    /// Keys of what is in the output bucket below `prefix` now.
    pub fn present(&self, prefix: &str) -> Vec<String> {
        let call = self.sdk.s3.list_objects_v2();
        let call = call.bucket(Sdk::bucket(STACK, "output")).prefix(prefix);
        let answer = self.sdk.run(call.send()).expect("lists");
        assert_ne!(answer.is_truncated(), Some(true), "there are too many");
        let keys = answer.contents().iter();
        keys.filter_map(|one| one.key().map(str::to_owned))
            .collect()
    }

    pub fn object(&self, key: &str) -> Vec<u8> {
        let call = self.sdk.s3.get_object();
        let call = call.bucket(Sdk::bucket(STACK, "output")).key(key);
        self.sdk.run(async {
            let answer = call.send().await.expect("is there");
            answer.body.collect().await.expect("reads").to_vec()
        })
    }
}

impl Worker {
    /// Its log.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn id(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid")
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let id = nix::unistd::Pid::from_raw(self.id());
        nix::sys::signal::kill(id, signal).expect("signalled");
    }

    /// The conversions that it runs now: process ids of its children (and theirs) called `ffmpeg`.
    pub fn conversions(&self) -> Vec<i32> {
        let mut found = Vec::new();
        let mut parents = vec![self.id()];
        while let Some(parent) = parents.pop() {
            for child in children(parent) {
                if command_name(child) == "ffmpeg" {
                    found.push(child);
                }
                parents.push(child);
            }
        }
        found
    }

    /// Waits for its end and returns its exit code.
    pub fn ends(&mut self, limit: Duration) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            assert!(
                start.elapsed() < limit,
                "the worker does not end:\n{}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn kill(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The worker's binary, which is built beside `muck`.
fn binary() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_muck")).with_file_name("muck-worker");
    assert!(path.exists(), "{} is not built", path.display());
    path
}

fn children(parent: i32) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task"));
    tasks
        .into_iter()
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok())
        .flat_map(|text| {
            text.split_whitespace()
                .filter_map(|id| id.parse().ok())
                .collect::<Vec<i32>>()
        })
        .collect()
}

fn command_name(process: i32) -> String {
    std::fs::read_to_string(format!("/proc/{process}/comm"))
        .unwrap_or_default()
        .trim()
        .to_owned()
}

//! A stack, a worker with its role's credentials, and what comes of the work.

use std::cell::RefCell;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use muck_worker::worker::KEEPER_KEY;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::STACK;
use super::queues::{counts, take_all, waiting};
use super::scenario::{Outcome, Work};
use super::thief::{console_of, start_thief, user_data_of};
use crate::harness::World;
use crate::harness::faults::Faults;
use crate::harness::machine::Keys;
use crate::harness::policy::covers;
use crate::harness::sdk::{BASE, Sdk};

/// A conversion takes a second or two; a busy machine more.
const PATIENCE: Duration = Duration::from_mins(2);
/// A message that was given back comes again within a quarter of a minute.
const GIVEN_BACK: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(100);

/// A stack with a role whose credentials are known, and no worker but ours.
pub(super) struct Stage {
    pub(super) sdk: Sdk,
    pub(super) faults: Faults,
    pub(super) keys: Keys,
    user_data: String,
    /// The input message of the clip.
    message: String,
    endpoint: String,
    pub(super) console: String,
    /// Receipt of the message that another worker would have.
    held: RefCell<Option<String>>,
    pub(super) world: World,
}

impl Stage {
    pub(super) fn open() -> Self {
        let world = World::without_booting();
        world.file(
            "muck.toml",
            "idle = \"1s\"\nstack = \"w\"\nemail = \"ann@example.org\"\n",
        );
        world.muck(&["up", "--local"]).exits(0);
        let sdk = Sdk::of(&world);
        let clip = World::sample("MVI_3121.AVI");
        let clip = clip.to_str().expect("UTF-8");
        world
            .muck(&["submit", clip, "--local", "--batch", "b"])
            .exits(0);
        let message = take_all(&sdk, "input").pop().expect("a message");
        // The user data that workers get, from one that has nothing to run.
        let launch = world
            .muck(&["launch", "--local", "--image", BASE, "--json"])
            .exits(0)
            .json();
        let id = launch["reservations"][0]["instances"][0]["id"].as_str();
        let user_data = user_data_of(&sdk, id.expect("an id"));
        let console = console_of(&sdk, &start_thief(&sdk));
        let loot = console
            .lines()
            .find_map(|line| line.split_once("loot: "))
            .unwrap_or_else(|| panic!("no credentials in\n{console}"))
            .1;
        let loot: Value = serde_json::from_str(loot).expect("JSON");
        let text = |key: &str| loot[key].as_str().expect("a string").to_owned();
        let status = world.muck(&["local", "status", "--json"]).exits(0).json();
        Self {
            keys: Keys {
                id: text("AccessKeyId"),
                secret: text("SecretAccessKey"),
                token: Some(text("Token")),
            },
            endpoint: status["endpoint"].as_str().expect("a URL").to_owned(),
            faults: Faults::of(&world),
            sdk,
            held: RefCell::default(),
            user_data,
            message,
            console,
            world,
        }
    }

    pub(super) fn policy(&self) -> Value {
        let call = self.sdk.iam.get_role_policy().role_name("muck-w-worker");
        let answer = self.sdk.run(call.policy_name("worker").send());
        let text = answer.expect("a policy").policy_document;
        let text = percent_encoding::percent_decode_str(&text);
        serde_json::from_str(&text.decode_utf8_lossy()).expect("JSON")
    }

    pub(super) fn set_policy(&self, policy: &Value) {
        let call = self.sdk.iam.put_role_policy().role_name("muck-w-worker");
        let call = call
            .policy_name("worker")
            .policy_document(policy.to_string());
        self.sdk.run(call.send()).expect("puts");
    }

    /// Keys in the output bucket.
    fn stored(&self, prefix: &str) -> Vec<String> {
        let bucket = Sdk::bucket(STACK, "output");
        let call = self.sdk.s3.list_objects_v2().bucket(bucket).prefix(prefix);
        let list = self.sdk.run(call.send()).expect("lists");
        let keys = list.contents().iter().filter_map(|object| object.key());
        keys.map(str::to_owned).collect()
    }

    /// Hands in work, with nothing of earlier work left if that would change it.
    pub(super) fn send(&self, work: Work) {
        let (s3, bucket) = (&self.sdk.s3, Sdk::bucket(STACK, "output"));
        self.faults.set(&json!([]));
        match work {
            Work::Clip | Work::Slow => {
                for key in self.stored("") {
                    let call = s3.delete_object().bucket(&bucket).key(key);
                    self.sdk.run(call.send()).expect("deletes");
                }
            }
            Work::Broken => {
                for key in self.stored("verdicts/") {
                    let body = aws_sdk_s3::primitives::ByteStream::from_static(b"no verdict");
                    let call = s3.put_object().bucket(&bucket).key(key).body(body);
                    self.sdk.run(call.send()).expect("puts");
                }
            }
            Work::Spare => {
                let lease = br#"{"version":1,"holder":"x","renewals":1,"released":true,"at":"2007-02-21T01:28:14Z"}"#;
                let body = aws_sdk_s3::primitives::ByteStream::from_static(lease);
                let call = s3.put_object().bucket(&bucket).key(KEEPER_KEY).body(body);
                self.sdk.run(call.send()).expect("puts");
            }
            Work::Again | Work::Unreadable => {}
        }
        match work {
            // The first is the look for a verdict, the second the clip.
            Work::Slow => self.faults.set(&json!([{
                "service": "s3", "action": "GetObject", "principal": "role", "nth": 2, "times": 1,
                "fault": {"kind": "delay", "ms": 11_000}
            }])),
            // What was given back would come to the same worker at once, and the third time for good.
            Work::Broken => self.faults.set(&json!([{
                "service": "sqs", "action": "ReceiveMessage", "principal": "role", "nth": 2, "times": 1000,
                "fault": {"kind": "throttle"}
            }])),
            Work::Clip | Work::Again | Work::Unreadable | Work::Spare => {}
        }
        let body = match work {
            Work::Unreadable => "no header at all",
            _ => &self.message,
        };
        let call = self
            .sdk
            .sqs
            .send_message()
            .queue_url(self.sdk.queue_url(STACK, "input"));
        self.sdk.run(call.message_body(body).send()).expect("sends");
        if work == Work::Spare {
            let call = self.sdk.sqs.receive_message();
            let call = call
                .queue_url(self.sdk.queue_url(STACK, "input"))
                .visibility_timeout(3600);
            let taken = self.sdk.run(call.send()).expect("a message").messages;
            let receipt = taken.and_then(|mut all| all.pop()?.receipt_handle);
            *self.held.borrow_mut() = Some(receipt.expect("a receipt"));
        }
    }

    pub(super) fn start_worker(&self) -> Worker {
        let data = self.world.file("user-data", &self.user_data);
        let log = std::fs::File::create(self.world.work().join("worker.log")).expect("log");
        let child =
            Command::new(Path::new(env!("CARGO_BIN_EXE_muck")).with_file_name("muck-worker"))
                .arg("--user-data")
                .arg(data)
                .arg("--work-dir")
                .arg(self.world.work().join("jobs"))
                .env_clear()
                .env("PATH", std::env::var_os("PATH").expect("PATH"))
                .env("AWS_ENDPOINT_URL", &self.endpoint)
                .env("AWS_ACCESS_KEY_ID", &self.keys.id)
                .env("AWS_SECRET_ACCESS_KEY", &self.keys.secret)
                .env(
                    "AWS_SESSION_TOKEN",
                    self.keys.token.as_deref().expect("a token"),
                )
                .env("AWS_EC2_METADATA_DISABLED", "true")
                .stdin(Stdio::null())
                .stderr(log)
                .spawn()
                .expect("the worker starts");
        Worker(child)
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.world.work().join("worker.log")).unwrap_or_default()
    }

    /// How often the role was refused this since call number `seq`.
    pub(super) fn refusals(&self, action: &str, resource: &str, seq: u64) -> usize {
        self.faults
            .all_calls(seq)
            .iter()
            .filter(|call| call.principal.starts_with("role/muck-w-worker/"))
            .filter(|call| call.status == Some(403))
            // The last that was asked for is what was refused.
            .filter_map(|call| call.demands.last())
            .filter(|demand| demand.action == action && covers(resource, &demand.resource))
            .count()
    }

    /// Whether the role has given a message back since call number `seq`.
    pub(super) fn gave_back(&self, seq: u64) -> bool {
        let calls = self.faults.all_calls(seq);
        calls.iter().any(|call| {
            call.principal.starts_with("role/")
                && call.action == "ChangeMessageVisibility"
                && call.status == Some(200)
        })
    }

    pub(super) fn mails(&self) -> usize {
        count_files(&self.world.state(), "eml")
    }

    /// Whether it came about. Takes what is in the output queue.
    pub(super) fn came(&self, outcome: Outcome, mails_before: usize) -> bool {
        match outcome {
            Outcome::Status => take_all(&self.sdk, "output")
                .iter()
                .any(|body| body.contains("Status: converted")),
            Outcome::Deleted => waiting(&self.sdk, "input") == 0,
            Outcome::DeadLetter => waiting(&self.sdk, "failed") > 0,
            Outcome::Mail => self.mails() > mails_before,
            Outcome::Log => !self.stored("logs/").is_empty(),
            Outcome::Progress => !self.stored("progress/").is_empty(),
            Outcome::BackAtOnce => counts(&self.sdk, "input")[0] > 0,
            Outcome::Keeper => {
                let call = self.sdk.s3.get_object().key(KEEPER_KEY);
                let call = call.bucket(Sdk::bucket(STACK, "output"));
                let text = self.sdk.run(async {
                    let body = call.send().await.expect("a lease").body;
                    body.collect().await.expect("reads").to_vec()
                });
                !String::from_utf8_lossy(&text).contains(r#""holder":"x""#)
            }
        }
    }

    /// Takes everything out of the queues, what is held by nobody any more too.
    pub(super) fn drain(&self) {
        if let Some(receipt) = self.held.take() {
            let call = self.sdk.sqs.delete_message().receipt_handle(receipt);
            let call = call.queue_url(self.sdk.queue_url(STACK, "input"));
            self.sdk.run(call.send()).expect("deletes");
        }
        let start = Instant::now();
        while waiting(&self.sdk, "input") > 0 {
            take_all(&self.sdk, "input");
            assert!(
                start.elapsed() < GIVEN_BACK,
                "a message is not given back:\n{}",
                self.log()
            );
            std::thread::sleep(LOOK);
        }
        for purpose in ["output", "failed"] {
            take_all(&self.sdk, purpose);
        }
    }
}

/// Ends when dropped.
pub(super) struct Worker(Child);

impl Worker {
    /// Asks it to end, and waits until it has.
    pub(super) fn end(&mut self) {
        let pid = Pid::from_raw(self.0.id().cast_signed());
        // It may have ended by itself.
        let _ = kill(pid, Signal::SIGTERM);
        self.0.wait().expect("ends");
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.0.try_wait().expect("a child").is_some()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until it is so.
#[track_caller]
pub(super) fn wait_until(mut is_so: impl FnMut() -> bool, otherwise: impl Fn() -> String) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{}", otherwise());
        std::thread::sleep(LOOK);
    }
}

fn count_files(folder: &Path, extension: &str) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    entries
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            if path.is_dir() && !path.is_symlink() {
                count_files(&path, extension)
            } else {
                usize::from(path.extension().is_some_and(|own| own == extension))
            }
        })
        .sum()
}

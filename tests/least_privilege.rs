//! The worker's role: whatever its policy allows is needed, and nothing else is allowed.
//!
//! The real worker runs beside the local cloud with the credentials of an instance, as a thief on that instance
//! would get them. One permission at a time is taken out of the role's policy, and what the worker then fails
//! to do is looked at. The policy is read as it is: a permission that no scenario here needs fails the test.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::harness::World;
use crate::harness::faults::Faults;
use crate::harness::machine::{Access, Keys};
use crate::harness::policy::covers;
use crate::harness::sdk::{BASE, Sdk};

const STACK: &str = "w";
/// A conversion takes a second or two; a busy machine more.
const PATIENCE: Duration = Duration::from_mins(2);
/// A message that was given back comes again within a quarter of a minute.
const GIVEN_BACK: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(100);

/// What an instance runs whose user data somebody else wrote: it tells the role's credentials, after asking
/// for them in the old way.
const THIEF: &str = r#"#!/bin/sh
imds=${AWS_EC2_METADATA_SERVICE_ENDPOINT%/}
roles=$imds/latest/meta-data/iam/security-credentials
echo "version 1: $(curl -s -o /dev/null -w '%{http_code}' "$roles/")"
token=$(curl -fsS -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 600' "$imds/latest/api/token")
ask() { curl -fsS -H "X-aws-ec2-metadata-token: $token" "$1"; }
echo "loot: $(ask "$roles/$(ask "$roles/")" | tr -d '\n')"
"#;

/// What is worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// A clip that was never converted.
    Clip,
    /// The same once more: there is a verdict.
    Again,
    /// A message without a header: a dead letter.
    Unreadable,
    /// A clip that takes its time to come: over the ten seconds after which it is told how far it is.
    Slow,
    /// A clip whose verdict is none: the message goes back.
    Broken,
}

/// What comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// A status message that tells a conversion.
    Status,
    /// Nothing is left in the input queue.
    Deleted,
    DeadLetter,
    /// Of the worker's start.
    Mail,
    Log,
    Progress,
    /// The message waits for another worker, and not for the end of this one's hold.
    BackAtOnce,
}

/// Shows that a permission is needed: what does not come of which work, and after how many refusals that is
/// certain.
struct Scenario(Work, Outcome, usize);

/// The scenario for a permission; `None` if nobody has said what it is for.
fn scenario(action: &str, resource: &str) -> Option<Scenario> {
    let is = |what: &str| resource.ends_with(what);
    let input = resource.contains("muck-w-input");
    Some(match action {
        "s3:GetObject" if input && is("/media/*") => Scenario(Work::Clip, Outcome::Status, 1),
        // Before the conversion, and when the verdict that is there is in the way of another.
        "s3:GetObject" if !input && is("/verdicts/*") => Scenario(Work::Again, Outcome::Status, 2),
        "s3:PutObject" if !input && (is("/media/*") || is("/verdicts/*")) => {
            Scenario(Work::Clip, Outcome::Status, 1)
        }
        "sqs:ReceiveMessage" | "sqs:GetQueueAttributes" if input => {
            Scenario(Work::Clip, Outcome::Status, 1)
        }
        "sqs:DeleteMessage" if input => Scenario(Work::Clip, Outcome::Deleted, 1),
        "sqs:ChangeMessageVisibility" if input => Scenario(Work::Broken, Outcome::BackAtOnce, 1),
        "sqs:SendMessage" if is("muck-w-failed") => {
            Scenario(Work::Unreadable, Outcome::DeadLetter, 1)
        }
        "s3:PutObject" if !input && is("/logs/*") => Scenario(Work::Clip, Outcome::Log, 1),
        "s3:PutObject" if !input && is("/progress/*") => Scenario(Work::Slow, Outcome::Progress, 1),
        "sqs:SendMessage" if is("muck-w-output") => Scenario(Work::Clip, Outcome::Status, 1),
        "sns:Publish" if is("muck-w-notify") => Scenario(Work::Clip, Outcome::Mail, 1),
        _ => return None,
    })
}

/// A stack with a role whose credentials are known, and no worker but ours.
struct Stage {
    sdk: Sdk,
    faults: Faults,
    keys: Keys,
    user_data: String,
    /// The input message of the clip.
    message: String,
    endpoint: String,
    console: String,
    world: World,
}

impl Stage {
    fn open() -> Self {
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
            user_data,
            message,
            console,
            world,
        }
    }

    fn policy(&self) -> Value {
        let call = self.sdk.iam.get_role_policy().role_name("muck-w-worker");
        let answer = self.sdk.run(call.policy_name("worker").send());
        let text = answer.expect("a policy").policy_document;
        let text = percent_encoding::percent_decode_str(&text);
        serde_json::from_str(&text.decode_utf8_lossy()).expect("JSON")
    }

    fn set_policy(&self, policy: &Value) {
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
    fn send(&self, work: Work) {
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
            Work::Clip | Work::Again | Work::Unreadable => {}
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
    }

    fn start_worker(&self) -> Worker {
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

    fn log(&self) -> String {
        std::fs::read_to_string(self.world.work().join("worker.log")).unwrap_or_default()
    }

    /// How often the role was refused this since call number `seq`.
    fn refusals(&self, action: &str, resource: &str, seq: u64) -> usize {
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
    fn gave_back(&self, seq: u64) -> bool {
        let calls = self.faults.all_calls(seq);
        calls.iter().any(|call| {
            call.principal.starts_with("role/")
                && call.action == "ChangeMessageVisibility"
                && call.status == Some(200)
        })
    }

    fn mails(&self) -> usize {
        count_files(&self.world.state(), "eml")
    }

    /// Whether it came about. Takes what is in the output queue.
    fn came(&self, outcome: Outcome, mails_before: usize) -> bool {
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
        }
    }

    /// Takes everything out of the queues, what is held by nobody any more too.
    fn drain(&self) {
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
struct Worker(Child);

impl Worker {
    /// Asks it to end, and waits until it has.
    fn end(&mut self) {
        let pid = Pid::from_raw(self.0.id().cast_signed());
        // It may have ended by itself.
        let _ = kill(pid, Signal::SIGTERM);
        self.0.wait().expect("ends");
    }

    fn has_ended(&mut self) -> bool {
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
fn wait_until(mut is_so: impl FnMut() -> bool, otherwise: impl Fn() -> String) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{}", otherwise());
        std::thread::sleep(LOOK);
    }
}

fn start_thief(sdk: &Sdk) -> String {
    use aws_sdk_ec2::types as sdk_types;
    use base64::Engine as _;

    let profile = sdk_types::IamInstanceProfileSpecification::builder().name("muck-w-worker");
    let call = sdk
        .ec2
        .run_instances()
        .image_id(BASE)
        .instance_type(sdk_types::InstanceType::C7iLarge)
        .min_count(1)
        .max_count(1)
        .iam_instance_profile(profile.build())
        .user_data(base64::engine::general_purpose::STANDARD.encode(THIEF));
    let answer = sdk.run(call.send()).expect("starts");
    answer.instances()[0]
        .instance_id()
        .expect("an id")
        .to_owned()
}

/// The console, once it tells credentials.
fn console_of(sdk: &Sdk, id: &str) -> String {
    use base64::Engine as _;

    let mut console = String::new();
    wait_until(
        || {
            let call = sdk.ec2.get_console_output().instance_id(id).latest(true);
            let answer = sdk.run(call.send()).expect("a console");
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(answer.output.unwrap_or_default())
                .expect("base64");
            console = String::from_utf8_lossy(&bytes).into_owned();
            console
                .lines()
                .any(|line| line.contains("loot: ") && line.ends_with('}'))
        },
        || format!("{id} tells no credentials"),
    );
    console
}

fn user_data_of(sdk: &Sdk, id: &str) -> String {
    use base64::Engine as _;

    let call = sdk.ec2.describe_instance_attribute().instance_id(id);
    let call = call.attribute(aws_sdk_ec2::types::InstanceAttributeName::UserData);
    let answer = sdk.run(call.send()).expect("user data");
    let text = answer
        .user_data
        .and_then(|data| data.value)
        .expect("a value");
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text)
        .expect("base64");
    String::from_utf8(bytes).expect("UTF-8")
}

/// Messages of a queue: visible, held.
fn counts(sdk: &Sdk, purpose: &str) -> [u64; 2] {
    use aws_sdk_sqs::types::QueueAttributeName::{
        ApproximateNumberOfMessages as Visible, ApproximateNumberOfMessagesNotVisible as Held,
    };

    let call = sdk
        .sqs
        .get_queue_attributes()
        .queue_url(sdk.queue_url(STACK, purpose));
    let call = call.attribute_names(Visible).attribute_names(Held);
    let answer = sdk.run(call.send()).expect("counts");
    let counts = answer.attributes.expect("some");
    [Visible, Held].map(|name| counts[&name].parse().expect("a number"))
}

fn waiting(sdk: &Sdk, purpose: &str) -> u64 {
    counts(sdk, purpose).iter().sum()
}

/// Takes what is visible in a queue.
fn take_all(sdk: &Sdk, purpose: &str) -> Vec<String> {
    let url = sdk.queue_url(STACK, purpose);
    let mut bodies = Vec::new();
    loop {
        let call = sdk.sqs.receive_message().queue_url(&url);
        let call = call.max_number_of_messages(10).wait_time_seconds(0);
        let messages = sdk
            .run(call.send())
            .expect("messages")
            .messages
            .unwrap_or_default();
        if messages.is_empty() {
            return bodies;
        }
        for message in messages {
            let receipt = message.receipt_handle.expect("a receipt");
            let call = sdk.sqs.delete_message().queue_url(&url);
            sdk.run(call.receipt_handle(receipt).send())
                .expect("deletes");
            bodies.extend(message.body);
        }
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

/// A value that may be a list.
fn list(value: &Value) -> Vec<String> {
    match value {
        Value::Array(many) => many
            .iter()
            .map(|one| one.as_str().expect("a string").to_owned())
            .collect(),
        one => vec![one.as_str().expect("a string").to_owned()],
    }
}

/// Each permission of a policy: the statement's number, an action, a resource.
fn permissions(policy: &Value) -> Vec<(usize, String, String)> {
    let statements = policy["Statement"].as_array().expect("statements");
    let mut all = Vec::new();
    for (number, statement) in statements.iter().enumerate() {
        for action in list(&statement["Action"]) {
            for resource in list(&statement["Resource"]) {
                all.push((number, action.clone(), resource));
            }
        }
    }
    all
}

/// The policy but for one permission.
fn without(policy: &Value, (number, action, resource): &(usize, String, String)) -> Value {
    let mut statements = policy["Statement"].as_array().expect("statements").clone();
    let whole = statements.remove(*number);
    let mut others = whole.clone();
    let actions = list(&whole["Action"]);
    others["Action"] = json!(
        actions
            .iter()
            .filter(|one| *one != action)
            .collect::<Vec<_>>()
    );
    let mut rest = whole.clone();
    rest["Action"] = json!(action);
    let resources = list(&whole["Resource"]);
    rest["Resource"] = json!(
        resources
            .iter()
            .filter(|one| *one != resource)
            .collect::<Vec<_>>()
    );
    for part in [others, rest] {
        if part["Action"] != json!([]) && part["Resource"] != json!([]) {
            statements.push(part);
        }
    }
    json!({"Version": "2012-10-17", "Statement": statements})
}

#[test]
fn each_permission_of_the_worker_is_needed() {
    let stage = Stage::open();
    let policy = stage.policy();

    // With all of them everything comes about.
    for (work, outcomes) in [
        (
            Work::Clip,
            &[
                Outcome::Status,
                Outcome::Deleted,
                Outcome::Mail,
                Outcome::Log,
            ][..],
        ),
        (Work::Again, &[Outcome::Status, Outcome::Deleted]),
        (Work::Unreadable, &[Outcome::DeadLetter]),
        (Work::Slow, &[Outcome::Progress, Outcome::Status]),
        (Work::Broken, &[Outcome::BackAtOnce]),
    ] {
        let (mails, before) = (stage.mails(), stage.faults.last_call());
        stage.send(work);
        let mut worker = stage.start_worker();
        wait_until(
            || match work {
                // Left to itself it would take the message again and again.
                Work::Broken => stage.gave_back(before),
                _ => worker.has_ended(),
            },
            || format!("{work:?}:\n{}", stage.log()),
        );
        worker.end();
        for outcome in outcomes {
            assert!(
                stage.came(*outcome, mails),
                "{work:?} {outcome:?}:\n{}",
                stage.log()
            );
        }
        stage.drain();
    }

    let mut all = permissions(&policy);
    // A message that is held to the end of its minute and a half is in nobody's way at the end.
    all.sort_by_key(|(_, action, _)| action == "sqs:ChangeMessageVisibility");
    for one in &all {
        let (number, action, resource) = one;
        let Some(Scenario(work, outcome, certain)) = scenario(action, resource) else {
            let sid = &policy["Statement"][*number]["Sid"];
            panic!(
                "the worker's policy allows {action} on {resource} (statement {sid}), and no scenario here \
                 needs it: say what it is for in `scenario`, or take it out of the policy"
            );
        };
        stage.set_policy(&without(&policy, one));
        if matches!(work, Work::Again | Work::Broken) {
            // The verdict is made anew: what was done since may have removed it.
            stage.set_policy(&policy);
            stage.send(Work::Clip);
            let mut worker = stage.start_worker();
            wait_until(|| worker.has_ended(), || stage.log());
            stage.drain();
            stage.set_policy(&without(&policy, one));
        }
        let (mails, before) = (stage.mails(), stage.faults.last_call());
        stage.send(work);
        let mut worker = stage.start_worker();
        wait_until(
            || stage.refusals(action, resource, before) >= certain,
            || {
                format!(
                    "the worker never asked for {action} on {resource}:\n{}",
                    stage.log()
                )
            },
        );
        worker.end();
        assert!(
            !stage.came(outcome, mails),
            "without {action} on {resource} there is all the same: {outcome:?}\n{}",
            stage.log()
        );
        stage.set_policy(&policy);
        // The last's message is held until nobody waits for it.
        if outcome != Outcome::BackAtOnce {
            stage.drain();
        }
    }
}

/// What somebody tries who has an instance's credentials, each with the word that refuses it.
macro_rules! refused {
    ($thief:expr, $($call:expr),+ $(,)?) => {
        vec![$((
            stringify!($call),
            $thief.run($call.send()).err().map(|error| error.code().unwrap_or("no code").to_owned()),
        )),+]
    };
}

#[test]
fn stolen_credentials_do_nothing_but_the_workers_work() {
    let stage = Stage::open();
    // Without the token of IMDSv2 there was nothing to steal.
    assert!(
        stage.console.contains("version 1: 401"),
        "{}",
        stage.console
    );
    let root = &stage.sdk;
    let here = aws_sdk_s3::types::CreateBucketConfiguration::builder()
        .location_constraint("us-local-1".into());
    let call = root.s3.create_bucket().bucket("films");
    root.run(call.create_bucket_configuration(here.build()).send())
        .expect("a bucket");
    let (input, output) = (&Sdk::bucket(STACK, "input"), &Sdk::bucket(STACK, "output"));
    for bucket in ["films", input, output] {
        let body = aws_sdk_s3::primitives::ByteStream::from_static(b"film");
        let call = root
            .s3
            .put_object()
            .bucket(bucket)
            .key("media/film")
            .body(body);
        root.run(call.send()).expect("puts");
    }
    let [in_url, out_url, failed_url] =
        ["input", "output", "failed"].map(|purpose| root.queue_url(STACK, purpose));
    root.run(
        root.sqs
            .send_message()
            .queue_url(&out_url)
            .message_body("x")
            .send(),
    )
    .expect("sends");
    let topic = "arn:aws:sns:us-local-1:000000000000:muck-w-notify";
    let role = "muck-w-worker";
    let role_arn = "arn:aws:iam::000000000000:role/muck/w/muck-w-worker";

    let thief = Sdk::over(&Access::of(&stage.world).with_keys(&stage.keys));
    let (s3, sqs, ec2, iam) = (&thief.s3, &thief.sqs, &thief.ec2, &thief.iam);
    let everything =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
    let put = |bucket: &str, key: &str| {
        let body = aws_sdk_s3::primitives::ByteStream::from_static(b"mine");
        s3.put_object().bucket(bucket).key(key).body(body)
    };
    let instance = || aws_sdk_ec2::types::InstanceType::C7iLarge;
    let mut tried = refused!(
        thief,
        s3.list_buckets(),
        s3.list_objects_v2().bucket("films"),
        s3.list_objects_v2().bucket(input),
        s3.list_objects_v2().bucket(output),
        s3.list_object_versions().bucket(output),
        s3.get_object().bucket("films").key("media/film"),
        s3.get_object().bucket(output).key("media/film"),
        s3.get_object().bucket(input).key("worker/binary"),
        s3.delete_object().bucket(input).key("media/film"),
        s3.delete_object().bucket(output).key("media/film"),
        put("films", "media/film"),
        put(input, "media/film"),
        put(input, "bake/report"),
        put(output, "film"),
        put(output, "mediafilm"),
        s3.get_bucket_policy().bucket(output),
        s3.delete_bucket_policy().bucket(output),
        s3.get_object_tagging().bucket(input).key("media/film"),
        s3.delete_bucket().bucket(output),
        s3.create_bucket().bucket("mine"),
    );
    tried.extend(refused!(
        thief,
        sqs.receive_message()
            .queue_url(&out_url)
            .wait_time_seconds(0),
        sqs.receive_message()
            .queue_url(&failed_url)
            .wait_time_seconds(0),
        sqs.send_message().queue_url(&in_url).message_body("x"),
        sqs.purge_queue().queue_url(&in_url),
        sqs.purge_queue().queue_url(&out_url),
        sqs.delete_queue().queue_url(&in_url),
        sqs.get_queue_attributes().queue_url(&out_url),
        sqs.set_queue_attributes()
            .queue_url(&in_url)
            .attributes("VisibilityTimeout".into(), "0"),
        sqs.list_queues(),
        sqs.create_queue().queue_name("mine"),
        thief
            .sns
            .subscribe()
            .topic_arn(topic)
            .protocol("email")
            .endpoint("eve@example.org"),
        thief.sns.list_topics(),
        thief.sns.delete_topic().topic_arn(topic),
        thief
            .sts
            .assume_role()
            .role_arn(role_arn)
            .role_session_name("eve"),
    ));
    tried.extend(refused!(
        thief,
        ec2.describe_instances(),
        ec2.describe_images(),
        ec2.describe_volumes(),
        ec2.run_instances()
            .image_id(BASE)
            .instance_type(instance())
            .min_count(1)
            .max_count(1),
        ec2.terminate_instances()
            .instance_ids("i-0123456789abcdef0"),
        ec2.get_console_output().instance_id("i-0123456789abcdef0"),
        ec2.create_tags().resources("i-0123456789abcdef0").tags(
            aws_sdk_ec2::types::Tag::builder()
                .key("muck:stack")
                .value("x")
                .build()
        ),
        iam.get_role().role_name(role),
        iam.list_roles(),
        iam.put_role_policy()
            .role_name(role)
            .policy_name("mine")
            .policy_document(everything),
        iam.get_role_policy().role_name(role).policy_name("worker"),
        iam.create_role()
            .role_name("mine")
            .assume_role_policy_document(everything),
        iam.delete_role_policy()
            .role_name(role)
            .policy_name("worker"),
    ));
    // A refusal in each service's own word.
    let words = [
        "AccessDenied",
        "UnauthorizedOperation",
        "AuthorizationError",
    ];
    let allowed: Vec<_> = tried
        .iter()
        .filter(|(_, code)| !code.as_deref().is_some_and(|code| words.contains(&code)))
        .collect();
    assert!(allowed.is_empty(), "{allowed:#?}");
    assert!(tried.len() > 40);
    // The keys are good, though: they do what they are for.
    let counts = sqs.get_queue_attributes().queue_url(&in_url);
    thief.run(counts.send()).expect("may count");
    thief
        .run(put(output, "media/mine").send())
        .expect("may put");
}

/// Over plain HTTP, from IMDSv1, or on another account's things, nothing of it is allowed.
#[test]
fn the_workers_permissions_hold_under_their_conditions_alone() {
    use localcloud::iam::Context;
    use localcloud::iam::policy::{Decision, Policy, evaluate};

    let names = muck::names::Names {
        stack: STACK.parse().expect("valid"),
        account: "000000000000".into(),
        region: "us-local-1".into(),
    };
    let text = muck::stack::desired::worker_policy(&names, true).expect("renders");
    let policy = [Policy::parse(&text).expect("a policy")];
    for (_, action, resource) in permissions(&serde_json::from_str(&text).expect("JSON")) {
        let resource = resource.replace('*', "x");
        let decide = |key: &str, value: &str| {
            let mut context = Context::default();
            context.set("ec2:RoleDelivery", "2.0").set(key, value);
            evaluate(&policy, &action, &resource, &context)
        };
        assert_eq!(
            decide("aws:SecureTransport", "true"),
            Decision::Allow,
            "{action}"
        );
        for (key, value) in [
            ("aws:SecureTransport", "false"),
            ("ec2:RoleDelivery", "1.0"),
            ("aws:ResourceAccount", "123456789012"),
        ] {
            assert_eq!(decide(key, value), Decision::ImplicitDeny, "{action} {key}");
        }
    }
}

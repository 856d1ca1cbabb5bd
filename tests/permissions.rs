//! `muck permissions`: each command runs under the policy that it prints, and what it asked for is compared
//! with the table both ways.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::ValueEnum as _;
use localcloud::iam::Demand;
use muck::permissions::{Command, Row, Scope, rows};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::account::Account;
use crate::harness::faults::Faults;
use crate::harness::lane::{TWO_PARTS, noise};
use crate::harness::machine::{Access, Machine};
use crate::harness::policy::{allows, told};
use crate::harness::sdk::Sdk;
use crate::harness::sweep::tell;
use crate::harness::{Ended, World};

const ACCOUNT: &str = "000000000000";
const REGION: &str = "us-local-1";
/// Debian's account, whose image is the base.
const DEBIAN: &str = "136693071363";
const LONG_PAST: &str = "2026-01-02T03:04:05Z";
const SOON: Duration = Duration::from_secs(30);

/// A local cloud, a machine, and a user for each command.
struct Stage {
    faults: Faults,
    sdk: Sdk,
    access: Access,
    machine: Rc<Machine>,
    /// What each command asked for.
    asked: BTreeMap<Command, Vec<Demand>>,
    // Last: the local cloud goes after all that calls it.
    world: World,
}

impl Stage {
    fn open() -> Self {
        let world = World::without_booting();
        world.muck(&["plan", "--local"]).exits(3);
        let access = Access::of(&world);
        let machine = Machine::new(&access, "least");
        let clip = std::fs::read(World::sample("MVI_3121.AVI")).expect("a sample");
        machine.file("clip.avi", clip);
        machine.file("small.avi", noise(100_000));
        machine.file("big.avi", noise(TWO_PARTS));
        Self {
            faults: Faults::of(&world),
            sdk: Sdk::of(&world),
            access,
            machine: Rc::new(machine),
            asked: BTreeMap::new(),
            world,
        }
    }

    /// What the program prints for these commands, in the local cloud's place, for one stack or all.
    fn policy(&self, commands: &[Command], stack: Option<&str>) -> Value {
        let names: Vec<String> = commands.iter().map(|command| command.name()).collect();
        let mut arguments = vec!["permissions", "--account", ACCOUNT, "--region", REGION];
        arguments.extend(names.iter().map(String::as_str));
        arguments.extend(stack.iter().flat_map(|stack| ["--stack", stack]));
        self.machine.muck(&arguments).exits(0).json()
    }

    /// Runs a command on a stack as somebody who may do just what `muck permissions COMMAND` says.
    #[track_caller]
    fn run_on(&mut self, machine: &Machine, command: Command, line: &str) -> Ended {
        let mut words: Vec<&str> = line.split(' ').collect();
        let (_, stack) = line.rsplit_once("--stack ").expect("a stack");
        words.extend(["--no-sweep"]);
        let policy = self.policy(&[command], Some(stack));
        self.run_under(machine, command, &policy, &words)
    }

    #[track_caller]
    fn run(&mut self, command: Command, line: &str) -> Ended {
        let machine = Rc::clone(&self.machine);
        self.run_on(&machine, command, line)
    }

    #[track_caller]
    fn run_under(
        &mut self,
        machine: &Machine,
        command: Command,
        policy: &Value,
        words: &[&str],
    ) -> Ended {
        let (access, before) = self.user(command, policy);
        let clock = Instant::now();
        let ended = machine.muck_as(&access, words);
        let took = clock.elapsed().as_secs_f64();
        tell(format!("muck {}: {took:.1} s", words.join(" ")));
        self.judge(command, policy, before, &ended.stderr);
        ended
    }

    /// Somebody with this policy, and the number of the last call before theirs.
    fn user(&self, command: Command, policy: &Value) -> (Access, u64) {
        let name = user_of(command);
        let access = self.access.with_keys(&self.faults.user(&name, policy));
        (access, self.faults.last_call())
    }

    /// What that user asked for since call number `seq`.
    fn demands(&self, command: Command, seq: u64) -> Vec<Demand> {
        let principal = format!("user/{}", user_of(command));
        let mut calls = self.faults.all_calls(seq);
        calls.retain(|call| call.principal == principal);
        calls.into_iter().flat_map(|call| call.demands).collect()
    }

    /// All that was asked for must be allowed; it is noted.
    #[track_caller]
    fn judge(&mut self, command: Command, policy: &Value, seq: u64, said: &str) {
        let demands = self.demands(command, seq);
        assert!(!demands.is_empty(), "nothing was asked for:\n{said}");
        let refused: Vec<String> = demands
            .iter()
            .filter(|demand| !allows(policy, demand))
            .map(told)
            .collect();
        assert_eq!(
            refused,
            Vec::<String>::new(),
            "{} asked for what the table does not have\n{said}",
            command.name()
        );
        self.asked.entry(command).or_default().extend(demands);
    }

    /// Runs a command that waits until it has asked for `action`, and then interrupts it.
    #[track_caller]
    fn run_until(&mut self, command: Command, line: &str, action: &str, signal: Signal) {
        let (_, stack) = line.rsplit_once("--stack ").expect("a stack");
        let policy = self.policy(&[command], Some(stack));
        let (access, before) = self.user(command, &policy);
        let mut words: Vec<&str> = line.split(' ').collect();
        words.push("--no-sweep");
        let mut waiting = self
            .machine
            .command_as(&access, &words)
            .spawn()
            .expect("muck starts");
        let start = Instant::now();
        while !self
            .demands(command, before)
            .iter()
            .any(|demand| demand.action == action)
        {
            assert!(
                start.elapsed() < SOON,
                "muck {line} never asked for {action}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        let pid = nix::unistd::Pid::from_raw(waiting.id().cast_signed());
        nix::sys::signal::kill(pid, signal).expect("signalled");
        let ended = waiting.wait().expect("ends");
        assert_eq!(ended.code(), (signal == Signal::SIGINT).then_some(130));
        self.judge(command, &policy, before, "");
    }

    /// Of the next calls of this machine the `nth` of an action fails once, in a way that is not tried again.
    fn fails(&self, service: &str, action: &str, nth: u32, code: &str) {
        let fault = json!({"kind": "error", "code": code, "status": 409});
        self.faults.set(&json!([{
            "service": service, "action": action, "nth": nth, "times": 1, "client": "least", "fault": fault
        }]));
    }

    /// Rows of the command that nothing asked for, in its own runs or in those of `others`.
    fn never_asked(&self, command: Command, scope: &Scope, others: &[Command]) -> Vec<Row> {
        let all: Vec<&Demand> = [&[command], others]
            .concat()
            .iter()
            .filter_map(|command| self.asked.get(command))
            .flatten()
            .collect();
        rows(scope, command)
            .into_iter()
            .filter(|row| {
                let policy = json!({"Version": "2012-10-17", "Statement": [{
                    "Effect": "Allow", "Action": row.action, "Resource": row.resources,
                    "Condition": row.conditions,
                }]});
                let asked = all
                    .iter()
                    .any(|one| one.action == row.action && allows(&policy, one));
                // A case that only AWS knows must not be had here: else it belongs among the others.
                asked == row.only.is_some()
            })
            .collect()
    }
}

fn user_of(command: Command) -> String {
    format!("may-{}", command.name())
}

fn scope(stack: &str) -> Scope {
    Scope {
        stack: Some(stack.parse().expect("valid")),
        account: Some(ACCOUNT.into()),
        region: Some(REGION.into()),
        base_owners: vec![DEBIAN.into()],
    }
}

/// Somebody changes what `up` mends: queues, the role's policies, the profile's role.
fn drift(stage: &Stage, stack: &str) {
    let sdk = &stage.sdk;
    for purpose in ["input", "output", "failed"] {
        let visibility = aws_sdk_sqs::types::QueueAttributeName::VisibilityTimeout;
        let call = sdk.sqs.set_queue_attributes();
        let call = call.queue_url(sdk.queue_url(stack, purpose));
        sdk.run(call.attributes(visibility, "7").send())
            .expect("sets");
    }
    let name = format!("muck-{stack}-worker");
    let more =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#;
    let call = sdk.iam.put_role_policy().role_name(&name);
    sdk.run(call.policy_name("more").policy_document(more).send())
        .expect("puts");
    let trust = sdk.run(sdk.iam.get_role().role_name(&name).send());
    let trust = trust.expect("a role").role.expect("a role");
    let trust = trust.assume_role_policy_document.expect("a policy");
    let trust = percent_encoding::percent_decode_str(&trust);
    let call = sdk.iam.create_role().role_name("other");
    let call = call.assume_role_policy_document(trust.decode_utf8_lossy());
    sdk.run(call.send()).expect("another role");
    let call = sdk.iam.remove_role_from_instance_profile();
    let call = call.instance_profile_name(&name).role_name(&name);
    sdk.run(call.send()).expect("removes");
    let call = sdk.iam.add_role_to_instance_profile();
    let call = call.instance_profile_name(&name).role_name("other");
    sdk.run(call.send()).expect("adds");
}

/// What a teardown finds beside what the commands made: uploads, a volume and a snapshot left over, an
/// instance that runs.
fn leave_pieces(stage: &Stage, stack: &str) {
    use aws_sdk_ec2::types as sdk_types;

    let sdk = &stage.sdk;
    for purpose in ["input", "output"] {
        let bucket = Sdk::bucket(stack, purpose);
        let call = sdk.s3.create_multipart_upload().bucket(&bucket);
        sdk.run(call.key("media/half").send()).expect("begins");
        let body = aws_sdk_s3::primitives::ByteStream::from_static(b"film");
        let call = sdk.s3.put_object().bucket(&bucket).key("media/film");
        sdk.run(call.body(body).send()).expect("puts");
    }
    let tags = [("muck:stack", stack), ("muck:kind", "worker")];
    sdk.start_instance(&tags, true);
    let (gone, volume) = sdk.start_instance(&tags, false);
    // Snapshots are taken of volumes at rest.
    sdk.run(sdk.ec2.stop_instances().instance_ids(&gone).send())
        .expect("stops");
    sdk.wait_for_state(&gone, "stopped", SOON);
    let tags = sdk_types::TagSpecification::builder()
        .resource_type(sdk_types::ResourceType::Snapshot)
        .tags(
            sdk_types::Tag::builder()
                .key("muck:stack")
                .value(stack)
                .build(),
        );
    let call = sdk.ec2.create_snapshot().volume_id(volume);
    sdk.run(call.tag_specifications(tags.build()).send())
        .expect("a snapshot");
    sdk.run(sdk.ec2.terminate_instances().instance_ids(&gone).send())
        .expect("ends");
    sdk.wait_for_state(&gone, "terminated", SOON);
}

#[test]
fn each_command_asks_for_what_its_policy_says_and_for_all_of_it() {
    let mut stage = Stage::open();
    up_and_plan(&mut stage);
    bakes(&mut stage);
    images(&mut stage);
    a_batch(&mut stage);
    listing_and_teardown(&mut stage);
    sweep(&mut stage);
    whole_run(&mut stage);

    // A run does what these do, by the same code; its ways through their errors were gone there.
    let parts = [
        Command::Up,
        Command::Bake,
        Command::Submit,
        Command::Launch,
        Command::Results,
        Command::FailedRedrive,
        Command::Bill,
        Command::Down,
    ];
    let mut wrong = Vec::new();
    for command in Command::value_variants() {
        let (scope, others): (_, &[Command]) = match command {
            Command::Run | Command::Resume => (
                Scope {
                    stack: None,
                    ..scope("any")
                },
                &parts,
            ),
            // It deletes by the code of `down`.
            Command::Sweep => (
                Scope {
                    stack: None,
                    ..scope("any")
                },
                &[Command::Down],
            ),
            _ => (scope("least"), &[]),
        };
        for row in stage.never_asked(*command, &scope, others) {
            let why = if row.only.is_some() {
                "was asked for, so it is no case of AWS alone"
            } else {
                "was never asked for"
            };
            wrong.push(format!(
                "{}: {} on {} {why}",
                command.name(),
                row.action,
                row.resources.join(" or ")
            ));
        }
    }
    assert_eq!(
        wrong,
        Vec::<String>::new(),
        "the table says otherwise:\n{}",
        wrong.join("\n")
    );
}

fn up_and_plan(stage: &mut Stage) {
    stage.run(Command::Plan, "plan --stack least").exits(3);
    // The role's answer is lost: it is there at the next try, and is adopted.
    stage.faults.set(&json!([{
        "service": "iam", "action": "CreateRole", "nth": 1, "client": "least", "fault": {"kind": "reset_mid_body"}
    }]));
    stage
        .run(
            Command::Up,
            "up --email ann@example.org --ttl 24h --stack least",
        )
        .exits(0);
    stage.faults.set(&json!([]));
    stage.run(Command::Plan, "plan --stack least").exits(0);
    drift(stage, "least");
    stage
        .run(Command::Up, "up --ttl 48h --stack least")
        .exits(0);
    stage.run(Command::Plan, "plan --stack least").exits(0);
}

fn bakes(stage: &mut Stage) {
    // One is registered and then not seen: its pieces are removed again.
    stage.fails("ec2", "DescribeImages", 3, "UnauthorizedOperation");
    stage.run(Command::Bake, "bake --stack least").exits(1);
    stage.faults.set(&json!([]));
    stage.run(Command::Bake, "bake --stack least").exits(0);
    // Another machine has no copy of the report and gets it out of the image.
    let elsewhere = Machine::new(&stage.access, "elsewhere");
    stage
        .run_on(&elsewhere, Command::Bake, "bake --verify --stack least")
        .exits(0);
}

fn images(stage: &mut Stage) {
    let list = stage
        .run(Command::ImagesLs, "images ls --json --stack least")
        .exits(0);
    let image = list.json()[0]["id"].as_str().expect("an image").to_owned();
    let line = format!("images show {image} --stack least");
    stage.run(Command::ImagesShow, &line).exits(0);
    let elsewhere = Machine::new(&stage.access, "elsewhere");
    let line = format!("images show {image} --manifest --stack least");
    stage
        .run_on(&elsewhere, Command::ImagesShow, &line)
        .exits(0);
    let copy = format!("images copy {image} --to {REGION} --stack least");
    stage.fails("ec2", "DescribeImages", 3, "UnauthorizedOperation");
    stage.run(Command::ImagesCopy, &copy).exits(1);
    stage.faults.set(&json!([]));
    stage.run(Command::ImagesCopy, &copy).exits(0);
    stage
        .run(Command::ImagesPrune, "images prune --yes --stack least")
        .exits(0);
}

/// A batch from files to bill.
fn a_batch(stage: &mut Stage) {
    stage.fails("s3", "UploadPart", 1, "InvalidRequest");
    let submit = "submit big.avi --batch big --ttl 72h --stack least";
    stage.run(Command::Submit, submit).exits(1);
    stage.faults.set(&json!([]));
    let submit = "submit clip.avi small.avi --batch b --ttl 72h --stack least";
    stage.run(Command::Submit, submit).exits(0);
    // While jobs are to come, somebody else's dead letter is looked at.
    let sdk = &stage.sdk;
    let dead = "Bucket: x\nInputKey: media/x\nOriginalFileName: x.avi\nSize: 1\nBatch: other\n";
    let call = sdk.sqs.send_message();
    let call = call.queue_url(sdk.queue_url("least", "failed"));
    sdk.run(call.message_body(dead).send()).expect("sends");
    let early = "results early --no-wait --batch b --stack least";
    stage.run(Command::Results, early);
    // Whoever waits for a batch looks at who works, and at their volumes as long as they live.
    let tags = [("muck:stack", "least"), ("muck:kind", "worker")];
    stage.sdk.start_instance(&tags, true);
    let wait = "results early --batch b --stack least";
    stage.run_until(
        Command::Results,
        wait,
        "ec2:DescribeVolumes",
        Signal::SIGINT,
    );
    stage.run(Command::Status, "status --stack least").exits(0);
    status_while_somebody_works(stage);
    let launch = "launch -n 1 --batch b --ttl 96h --json --stack least";
    let launch = stage.run(Command::Launch, launch).exits(0).json();
    let instance = launch["reservations"][0]["instances"][0]["id"].as_str();
    let instance = instance.expect("an id").to_owned();
    // Its volume is looked at as long as it lives.
    stage.run(Command::Status, "status --stack least").exits(0);
    // It has stored nothing yet; whether its console says anything by now is another matter.
    let log = format!("logs {instance} --stack least");
    stage.run(Command::Logs, &log);
    // Noise is no video, so one of the jobs fails, as it should.
    stage
        .run(Command::Results, "results back --batch b --stack least")
        .exits(4);
    // An output that somebody removed is told, not taken for a refusal.
    let bucket = Sdk::bucket("least", "output");
    let sdk = &stage.sdk;
    let list = sdk.s3.list_objects_v2().bucket(&bucket).prefix("media/");
    let list = sdk.run(list.send()).expect("lists");
    let key = list.contents()[0].key().expect("a key").to_owned();
    sdk.run(sdk.s3.delete_object().bucket(&bucket).key(key).send())
        .expect("deletes");
    let again = "results again --no-wait --batch b --stack least";
    stage.run(Command::Results, again).exits(4);
    stage.run(Command::Bill, "bill --stack least").exits(0);
    stage.run(Command::Logs, "logs --stack least").exits(0);
    dead_letters(stage);
}

/// A message is at work, and a worker has said how far it is.
fn status_while_somebody_works(stage: &mut Stage) {
    let sdk = &stage.sdk;
    let url = sdk.queue_url("least", "input");
    let call = sdk.sqs.receive_message().queue_url(&url);
    let taken = sdk
        .run(call.wait_time_seconds(1).send())
        .expect("a message");
    let call = sdk.s3.put_object().bucket(Sdk::bucket("least", "output"));
    let call = call.key("progress/i-1.json").body(b"{}".to_vec().into());
    sdk.run(call.send()).expect("puts");
    stage.run(Command::Status, "status --stack least").exits(0);
    let sdk = &stage.sdk;
    let receipt = taken.messages()[0].receipt_handle().expect("a receipt");
    let call = sdk.sqs.change_message_visibility().queue_url(&url);
    // Not at once: so `results` has to wait for it, and looks who works.
    let call = call.receipt_handle(receipt).visibility_timeout(15);
    sdk.run(call.send()).expect("gives back");
}

/// One has a verdict, one has none any more, and one is left.
fn dead_letters(stage: &mut Stage) {
    let sdk = &stage.sdk;
    let job = format!("{}-{}", "0".repeat(32), "0".repeat(64));
    let letter = format!(
        "Bucket: x\nInputKey: media/y\nOriginalFileName: y.avi\nSize: 1\nBatch: b\nStatus: failed\n\
         Error: Invalid\nReceive-Count: 1\nVerdict-Job: {job}\n"
    );
    let call = sdk
        .sqs
        .send_message()
        .queue_url(sdk.queue_url("least", "failed"));
    sdk.run(call.message_body(letter).send()).expect("sends");
    let list = "failed ls --json --stack least";
    let letters = stage.run(Command::FailedLs, list).exits(0).json();
    assert_eq!(letters.as_array().map(Vec::len), Some(3), "{letters:#}");
    let again = "failed redrive --yes --reason invalid --stack least";
    let again = stage.run(Command::FailedRedrive, again).exits(0);
    assert!(again.stdout.contains("2 sent"), "{}", again.stdout);
}

fn listing_and_teardown(stage: &mut Stage) {
    leave_pieces(stage, "least");
    let list = stage
        .run(Command::Ls, "ls --all-regions --json --stack least")
        .exits(0);
    assert_eq!(list.json()["regions"][0]["unknown"], json!([]));
    stage.fails("iam", "DeleteRole", 1, "DeleteConflict");
    stage
        .run(Command::Down, "down --yes --stack least")
        .exits(0);
    stage.faults.set(&json!([]));
    stage
        .run(
            Command::Down,
            "down --all-expired --all-regions --yes --stack least",
        )
        .exits(0);
    let left = Account::of(&stage.world).left_overs();
    // What `drift` made.
    assert_eq!(left, ["role other"]);
}

/// Beside a command that only looks: what is past its end goes, and what is to be kept is told.
fn sweep(stage: &mut Stage) {
    for stack in ["own", "once", "kept"] {
        stage.machine.muck(&["up", "--stack", stack]).exits(0);
    }
    leave_pieces(stage, "once");
    let end = ("muck:expires", LONG_PAST);
    stage.sdk.tag_stack("kept", &[end]);
    stage
        .sdk
        .tag_stack("once", &[end, ("muck:on-expiry", "delete")]);
    let policy = stage.policy(&[Command::Sweep, Command::Plan], None);
    let machine = Machine::new(&stage.access, "elsewhere");
    let words = ["plan", "--stack", "own"];
    stage
        .run_under(&machine, Command::Sweep, &policy, &words)
        .exits(0)
        .says(&["swept: stack once", "nothing is left", "stack kept expired"]);
    // Of this, what the plan asked of its own stack proves nothing of the sweep.
    let asked = stage.asked.get_mut(&Command::Sweep).expect("asked");
    asked.retain(|demand| !demand.resource.contains("muck-own-"));
    for stack in ["own", "kept"] {
        stage
            .machine
            .muck(&["down", "--yes", "--stack", stack])
            .exits(0);
    }
}

fn whole_run(stage: &mut Stage) {
    stage
        .machine
        .file("muck.toml", "email = \"ann@example.org\"\n");
    stage
        .run(Command::Run, "run clip.avi -o run --stack job")
        .exits(0)
        .says(&["nothing is left of stack job"]);
    stage.run_until(
        Command::Run,
        "run clip.avi -o again --stack cut",
        "sqs:ReceiveMessage",
        Signal::SIGKILL,
    );
    stage
        .run(Command::Resume, "resume --stack cut")
        .exits(0)
        .says(&["nothing is left of stack cut"]);
}

#[test]
fn a_policy_for_one_stack_leaves_its_neighbours_alone() {
    let stage = Stage::open();
    // Its name begins as the other's does.
    for stack in ["a", "a-input"] {
        stage.machine.muck(&["up", "--stack", stack]).exits(0);
        leave_pieces(&stage, stack);
    }
    let account = Account::of(&stage.world);
    let neighbours = || -> Vec<String> {
        let mut left = account.left_overs();
        left.sort();
        left
    };
    let before = neighbours();
    let policy = stage.policy(&[Command::Down], Some("a"));
    let access = stage.access.with_keys(&stage.faults.user("ann", &policy));
    let down = ["down", "--yes", "--no-sweep", "--stack", "a-input"];
    stage.machine.muck_as(&access, &down).exits(5).says(&[
        "AccessDenied",
        "UnauthorizedOperation",
        "s3:GetBucketTagging",
    ]);
    assert_eq!(neighbours(), before);
    // Nor may she make one, or tag her own things as another's.
    let up = ["up", "--no-sweep", "--stack", "a-input"];
    stage
        .machine
        .muck_as(&access, &up)
        .exits(1)
        .says(&["AccessDenied"]);
    assert_eq!(neighbours(), before);
    let own = ["down", "--yes", "--no-sweep", "--stack", "a"];
    stage.machine.muck_as(&access, &own).exits(0);
    stage
        .machine
        .muck(&["down", "--yes", "--stack", "a-input"])
        .exits(0);
    assert_eq!(account.left_overs(), Vec::<String>::new());
}

/// With nothing said the policy is for whatever account it is put into: two managed policies hold it.
#[test]
fn the_policy_for_everything_works_and_fits_in_two() {
    let stage = Stage::open();
    let printed = stage
        .machine
        .muck(&["permissions"])
        .exits(0)
        .says(&["too long for a managed policy (6144)", "its 2 parts"]);
    let statements = |ended: &Ended| {
        let policy = ended.json();
        policy["Statement"].as_array().expect("statements").clone()
    };
    let parts: Vec<Value> = ["1", "2"]
        .into_iter()
        .flat_map(|part| {
            let part = stage.machine.muck(&["permissions", "--part", part]);
            statements(&part.exits(0).says(&["fits a managed policy (6144)"]))
        })
        .collect();
    for statement in statements(&printed) {
        assert!(parts.contains(&statement), "in no part: {statement}");
    }
    assert_eq!(parts.len(), statements(&printed).len());
    let access = stage
        .access
        .with_keys(&stage.faults.user("ann", &printed.json()));
    for line in [
        "up --stack x",
        "plan --stack x",
        "ls",
        "down --yes --stack x",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let ended = stage.machine.muck_as(&access, &words).exits(0);
        assert!(!ended.stderr.contains("AccessDenied"), "{}", ended.stderr);
    }
    let table = stage
        .machine
        .muck(&["permissions", "down", "--table"])
        .exits(0);
    assert!(
        table.stdout.contains("iam:DetachRolePolicy"),
        "{}",
        table.stdout
    );
    let rows = stage
        .machine
        .muck(&["permissions", "down", "--table", "--json"]);
    assert_eq!(rows.exits(0).json()[0]["command"], "down");
    stage
        .machine
        .muck(&["permissions", "--part", "3"])
        .exits(2)
        .says(&["there is no part 3: the policy has 2 parts"]);
}

//! How long `up` and `down` take where each call takes 100 ms: no longer than the calls that must wait for
//! each other, and 15 %. `make bench-lifecycle` runs it.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use crate::harness::World;
use crate::harness::faults::{Call, Faults};
use crate::harness::machine::{Access, Machine};
use crate::harness::sdk::Sdk;
use crate::harness::sweep::keep_table;

/// What the local cloud adds to each call.
const DELAY: Duration = Duration::from_millis(100);
/// What a command may take over its longest chain, in percent: starting, signing, parsing, printing.
const MARGIN: u32 = 15;
const RUNS: usize = 3;

/// A step of a chain: a call that waits for the one before, or a pause between two.
#[derive(Clone, Copy)]
enum Step {
    /// The first call of this name that begins when the step before has ended.
    Call(&'static str),
    /// At least so many milliseconds from the end of the call before, and why.
    Pause(u64, &'static str),
}

use Step::{Call as C, Pause};

/// Chains of calls of which none can begin before the one ahead of it is answered:
/// bucket names hold the account's number; a plan needs the whole inventory; a thing is set up when it is there.
const UP: [&[Step]; 3] = [
    &[
        C("sts.GetCallerIdentity"),
        C("s3.GetBucketTagging"),
        C("s3.CreateBucket"),
        C("s3.PutPublicAccessBlock"),
    ],
    // The dead-letter queue is made before the queue that names it.
    &[
        C("sts.GetCallerIdentity"),
        C("sqs.GetQueueUrl"),
        C("sqs.CreateQueue"),
        C("sqs.CreateQueue"),
    ],
    &[
        C("sts.GetCallerIdentity"),
        C("iam.GetRole"),
        C("iam.CreateRole"),
        C("iam.AddRoleToInstanceProfile"),
    ],
];

/// What is shown before it is deleted is a whole survey (a queue's tags need its URL), and what was deleted is
/// listed again. A look that finds no instance may be too early to see one just launched; so two looks lie some
/// time apart, as EC2's eventual consistency demands, and nothing is deleted any faster by leaving that out.
const DOWN: [&[Step]; 3] = [
    &[
        C("sts.GetCallerIdentity"),
        C("sqs.GetQueueUrl"),
        C("sqs.ListQueueTags"),
        C("s3.ListObjectVersions"),
        C("s3.DeleteObjects"),
        C("s3.DeleteBucket"),
        C("s3.GetBucketTagging"),
    ],
    &[
        C("sts.GetCallerIdentity"),
        C("sqs.GetQueueUrl"),
        C("sqs.ListQueueTags"),
        C("iam.RemoveRoleFromInstanceProfile"),
        C("iam.DeleteRole"),
        C("iam.GetRole"),
    ],
    &[
        C("sts.GetCallerIdentity"),
        C("ec2.DescribeInstances"),
        Pause(1500, "a launch just before may not be listed yet"),
        C("ec2.DescribeInstances"),
    ],
];

/// A command that has run.
struct Run {
    /// From its start to its end.
    took: Duration,
    began: Timestamp,
    calls: Vec<Call>,
}

/// One step as it was, in milliseconds from the command's start.
struct Link {
    name: String,
    start: i64,
    end: i64,
    /// What the step takes of the bound.
    length: i64,
}

impl Run {
    fn of(machine: &Machine, faults: &Faults, arguments: &[&str]) -> Self {
        let before = faults.last_call();
        let began = Timestamp::now();
        machine.muck(arguments).exits(0);
        let took = Timestamp::now().duration_since(began);
        Self {
            took: took.try_into().expect("time goes on"),
            began,
            calls: faults.calls(machine.client(), before),
        }
    }

    fn since_start(&self, time: Timestamp) -> i64 {
        time.as_millisecond() - self.began.as_millisecond()
    }

    /// The chain as it was: each call the first of its name that began after the step before.
    fn chain(&self, steps: &[Step]) -> Vec<Link> {
        let mut links: Vec<Link> = Vec::new();
        for step in steps {
            let ready = links.last().map_or(i64::MIN, |link| link.end);
            let link = match step {
                Step::Pause(length, why) => {
                    let length = i64::try_from(*length).expect("fits");
                    Link {
                        name: format!("({why})"),
                        start: ready,
                        end: ready + length,
                        length,
                    }
                }
                Step::Call(name) => {
                    let (service, action) = name.split_once('.').expect("service.Action");
                    let call = self
                        .calls
                        .iter()
                        .filter(|call| call.service == service && call.action == action)
                        // The journal's clock and this one's are the same, to a rounded millisecond.
                        .find(|call| self.since_start(call.time) + 1 >= ready)
                        .unwrap_or_else(|| panic!("no {name} after {ready} ms"));
                    let start = self.since_start(call.time);
                    let length =
                        i64::try_from(call.took_us.expect("answered") / 1000).expect("fits");
                    Link {
                        name: (*name).to_owned(),
                        start,
                        end: start + length,
                        length,
                    }
                }
            };
            links.push(link);
        }
        links
    }

    /// The longest of the chains, by the time that its own calls and pauses took.
    fn longest(&self, chains: &[&[Step]]) -> Vec<Link> {
        let all = chains.iter().map(|steps| self.chain(steps));
        all.max_by_key(|chain| bound(chain)).expect("a chain")
    }
}

fn bound(chain: &[Link]) -> i64 {
    chain.iter().map(|link| link.length).sum()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
#[ignore = "measures time: run it by `make bench-lifecycle`, with nothing else running"]
fn the_lifecycle_is_as_fast_as_its_longest_chain() {
    let world = World::without_booting();
    // Starts the local cloud, and warms it.
    world.muck(&["up", "--local", "--stack", "warm"]).exits(0);
    world
        .muck(&["down", "--local", "--stack", "warm", "--yes"])
        .exits(0);
    let (access, faults, sdk) = (Access::of(&world), Faults::of(&world), Sdk::of(&world));
    let machine = Machine::new(&access, "bench");
    let delay = json!({"kind": "delay", "ms": DELAY.as_millis()});
    let (mut up, mut down) = (Vec::new(), Vec::new());
    for run in 1..=RUNS {
        let stack = format!("bench{run}");
        faults.set(&json!([{"fault": delay}]));
        up.push(Run::of(&machine, &faults, &["up", "--stack", &stack]));
        faults.set(&json!([]));
        for key in ["media/a", "media/b"] {
            let body = aws_sdk_s3::primitives::ByteStream::from_static(b"film");
            let call = sdk.s3.put_object().bucket(Sdk::bucket(&stack, "input"));
            sdk.run(call.key(key).body(body).send()).expect("puts");
        }
        faults.set(&json!([{"fault": delay}]));
        let arguments = ["down", "--stack", &stack, "--yes"];
        down.push(Run::of(&machine, &faults, &arguments));
    }
    faults.set(&json!([]));
    let mut table = format!(
        "{} ms added to each call, {RUNS} runs, {} build\n",
        DELAY.as_millis(),
        if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        }
    );
    let fast = [("up", &up, UP), ("down", &down, DOWN)]
        .map(|(name, runs, chains)| tell(&mut table, name, runs, &chains));
    keep_table("lifecycle.txt", &table);
    assert!(
        fast.iter().all(|fast| *fast),
        "slower than its longest chain allows"
    );
}

/// Adds one command to the table; whether its median is within the margin.
fn tell(table: &mut String, name: &str, runs: &[Run], chains: &[&[Step]]) -> bool {
    let took = median(runs.iter().map(|run| run.took).collect());
    let run = runs
        .iter()
        .find(|run| run.took == took)
        .expect("the median is one");
    let chain = run.longest(chains);
    let bound = bound(&chain);
    let limit = bound * i64::from(100 + MARGIN) / 100;
    let times: Vec<String> = runs
        .iter()
        .map(|run| format!("{} ms", run.took.as_millis()))
        .collect();
    let took = i64::try_from(took.as_millis()).expect("fits");
    let fast = took <= limit;
    let verdict = if fast { "within" } else { "BEYOND" };
    writeln!(
        table,
        "\n{name}: {} calls; runs {}; median {took} ms; longest chain {bound} ms + {MARGIN} % = {limit} ms: {verdict}",
        run.calls.len(),
        times.join(", ")
    )
    .expect("writes");
    for link in &chain {
        writeln!(
            table,
            "  {:>6} → {:>6} ms  {}",
            link.start, link.end, link.name
        )
        .expect("writes");
    }
    fast
}

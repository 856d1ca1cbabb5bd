//! One point of the fault sweep: one call of `muck` goes wrong in one way, and what came of it is compared with
//! an undisturbed run.

use std::collections::BTreeMap;
use std::fmt;
use std::process::Stdio;
use std::str::FromStr;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::call::Call;
use crate::harness::lane::{Job, Lane};
use crate::trouble::Trouble;

/// A command that has not ended by then hangs. The longest pauses are those for ten refusals in a row.
const LIMIT: Duration = Duration::from_mins(3);
/// Instances and what they do in a bucket come to rest within this.
const SETTLED: Duration = Duration::from_secs(15);
/// Files that `submit` sends in a lane.
const FILES: [&str; 2] = ["big.avi", "small.avi"];

/// A call, and how it goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    pub call: Call,
    pub trouble: Trouble,
}

/// `bake ec2.RunInstances#1 timeout-after`
impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.call, self.trouble.name())
    }
}

impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (call, trouble) = text.rsplit_once(' ')?;
            let trouble = Trouble::ALL.into_iter().find(|one| one.name() == trouble)?;
            Some(call.parse().map(|call| Self { call, trouble }))
        };
        parse().unwrap_or_else(|| {
            let names = Trouble::ALL.map(Trouble::name);
            Err(format!(
                "{text:?} is no point: write it like \"bake ec2.RunInstances#1 timeout-after\"; faults: {}",
                names.join(", ")
            ))
        })
    }
}

/// What the account has after a command, with all names and ids taken out that differ from run to run.
pub type Shape = Vec<String>;

/// Shapes after undisturbed runs.
pub type Shapes = BTreeMap<Job, Shape>;

/// How a command took it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Taken {
    /// The call was never made: the command ended as ever.
    NotReached,
    /// It ended well, and all is as after an undisturbed run.
    Succeeded,
    /// It ended with an error that names the cause and the thing.
    Refused,
    /// Neither.
    Wrong,
}

/// What came of a point.
#[derive(Debug)]
pub struct Outcome {
    pub point: Point,
    pub taken: Taken,
    /// What is wrong with it.
    pub wrong: Vec<String>,
    /// The command's last words: the error, where it failed.
    pub error: String,
    /// What is left after the `down` that follows.
    pub left: Vec<String>,
    pub seconds: u64,
}

impl Outcome {
    /// What is wrong, for people.
    pub fn complaint(&self) -> Option<String> {
        let mut all = self.wrong.clone();
        if !self.left.is_empty() {
            all.push(format!("left after down: {}", self.left.join(", ")));
        }
        (!all.is_empty()).then(|| format!("{}:\n    {}", self.point, all.join("\n    ")))
    }
}

/// All points of `job`, and the account's shape after it.
pub fn record(lane: &mut Lane, job: Job) -> (Vec<Point>, Shape) {
    let stack = lane.new_stack();
    lane.prepare(job, &stack);
    let calls = Call::all_of(lane, job, &stack);
    let shape = settled(lane, &stack, None);
    lane.elsewhere()
        .muck(&["down", "--yes", "--stack", &stack])
        .exits(0);
    let mut points = Vec::new();
    for trouble in Trouble::ALL {
        let struck = (0..calls.len()).filter(|&index| trouble.may_strike(&calls, index));
        points.extend(struck.map(|index| Point {
            call: calls[index].clone(),
            trouble,
        }));
    }
    (points, shape)
}

/// Runs the command of `point` with that call going wrong; looks at the account; takes the stack down; looks again.
pub fn attempt(lane: &mut Lane, shapes: &Shapes, point: Point) -> Outcome {
    let start = Instant::now();
    let Point { call, trouble } = &point;
    let stack = lane.new_stack();
    lane.prepare(call.job, &stack);
    lane.faults.set(&trouble.rule(call, lane.machine.client()));
    let (code, stderr) = run(lane, call.job, &stack);
    let reached = lane.faults.hits() > 0;
    lane.faults.set(&json!([]));

    let mut wrong = Vec::new();
    let error = last_words(&stderr);
    let taken = match code {
        Some(0) => {
            compare(lane, &stack, call.job, &shapes[&call.job], &mut wrong);
            if reached {
                Taken::Succeeded
            } else {
                Taken::NotReached
            }
        }
        Some(code) if trouble.lasts() => {
            if !cause_is_told(*trouble, &error) {
                wrong.push(format!("exited {code} without the cause: {error}"));
            }
            if !thing_is_named(&error, &stack) {
                wrong.push(format!("exited {code} without the thing's name: {error}"));
            }
            Taken::Refused
        }
        Some(code) => {
            wrong.push(format!("exited {code}: {error}"));
            Taken::Wrong
        }
        None => {
            wrong.push(format!("did not end within {} s", LIMIT.as_secs()));
            Taken::Wrong
        }
    };
    let taken = if wrong.is_empty() {
        taken
    } else {
        Taken::Wrong
    };
    let down = lane.elsewhere().muck(&["down", "--yes", "--stack", &stack]);
    if down.code != 0 {
        wrong.push(format!("down exited {}: {}", down.code, down.stderr));
    }
    Outcome {
        taken,
        wrong,
        error,
        left: lane.account.left_overs(),
        seconds: start.elapsed().as_secs(),
        point,
    }
}

/// Exit code (`None`: it hung and was killed) and talk.
fn run(lane: &Lane, job: Job, stack: &str) -> (Option<i32>, String) {
    let arguments = job.arguments(stack);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let talk = tempfile::NamedTempFile::new().expect("a file");
    let mut child = lane
        .machine
        .command(&arguments)
        .stdout(Stdio::null())
        .stderr(talk.reopen().expect("opens"))
        .spawn()
        .expect("muck starts");
    let start = Instant::now();
    let code = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break Some(status.code().unwrap_or(-1));
        }
        if start.elapsed() > LIMIT {
            child.kill().expect("killed");
            child.wait().expect("ends");
            break None;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let text = std::fs::read_to_string(talk.path()).expect("UTF-8");
    (code, text)
}

/// The errors at the end: from the first line that begins with `muck: `, hints included.
fn last_words(stderr: &str) -> String {
    let lines: Vec<&str> = stderr.lines().collect();
    let first = lines.iter().position(|line| line.starts_with("muck: "));
    lines[first.unwrap_or(lines.len().saturating_sub(3))..].join(" | ")
}

fn cause_is_told(trouble: Trouble, error: &str) -> bool {
    let words: &[&str] = match trouble {
        Trouble::ExpiredToken => &["ExpiredToken", "RequestExpired", "has expired"],
        Trouble::AccessDenied => &["AccessDenied", "UnauthorizedOperation"],
        _ => &["InsufficientInstanceCapacity"],
    };
    words.iter().any(|word| error.contains(word))
}

/// Whether the error says which thing it is about: something of this stack, an id, a file, or what has no name
/// of its own.
fn thing_is_named(error: &str, stack: &str) -> bool {
    let names = [
        format!("muck-{stack}"),
        format!("stack {stack}"),
        "credentials".to_owned(),
        "AWS session".to_owned(),
    ];
    let kinds = ["i-", "ami-", "snap-", "vol-", "subnet-"];
    names.iter().any(|name| error.contains(name))
        || FILES.iter().any(|file| error.contains(file))
        || kinds.iter().any(|kind| has_id(error, kind))
        || [
            "c7i.large",
            "debian-13",
            "instance type",
            "subnet",
            "the recipe",
        ]
        .iter()
        .any(|word| error.contains(word))
}

fn has_id(text: &str, kind: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .any(|word| {
            word.strip_prefix(kind)
                .is_some_and(|rest| rest.len() == 17 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
        })
}

/// Tells how the account differs from after an undisturbed run.
fn compare(lane: &Lane, stack: &str, job: Job, expected: &Shape, wrong: &mut Vec<String>) {
    let shape = settled(lane, stack, Some(expected));
    if shape != *expected {
        let more = shape
            .iter()
            .filter(|thing| count(&shape, thing) > count(expected, thing));
        let less = expected
            .iter()
            .filter(|thing| count(expected, thing) > count(&shape, thing));
        wrong.push(format!(
            "ended well, but there is {:?} too much, {:?} too little",
            more.collect::<Vec<_>>(),
            less.collect::<Vec<_>>()
        ));
    }
    if job == Job::Submit {
        let queue = format!("muck-{stack}-input");
        let bodies = lane
            .account
            .peek(&queue, FILES.len(), Duration::from_secs(5));
        for file in FILES {
            if !bodies
                .iter()
                .any(|body| body.contains(&format!("OriginalFileName: {file}")))
            {
                wrong.push(format!("no message for {file}"));
            }
        }
    }
}

fn count(shape: &[String], thing: &str) -> usize {
    shape.iter().filter(|one| *one == thing).count()
}

/// The account's shape, as soon as it is `expected` or (without one) when it no longer changes.
fn settled(lane: &Lane, stack: &str, expected: Option<&Shape>) -> Shape {
    let start = Instant::now();
    let mut last = shape(lane, stack);
    loop {
        if expected.is_some_and(|expected| *expected == last) {
            return last;
        }
        std::thread::sleep(Duration::from_millis(if expected.is_some() {
            200
        } else {
            3000
        }));
        let next = shape(lane, stack);
        if (expected.is_none() && next == last) || start.elapsed() > SETTLED {
            return next;
        }
        last = next;
    }
}

fn shape(lane: &Lane, stack: &str) -> Shape {
    let mut things: Vec<String> = lane
        .account
        .left_overs()
        .into_iter()
        .map(|thing| {
            let (kind, rest) = thing.split_once(' ').expect("a kind and a name");
            match kind {
                "volume" | "image" | "snapshot" => kind.to_owned(),
                // Whether it has booted yet is beside the point.
                "instance" if rest.ends_with("pending") => "instance running".to_owned(),
                "instance" => format!("instance {}", rest.rsplit(' ').next().unwrap_or_default()),
                // Its URL has the local cloud's port.
                "queue" => format!("queue {}", rest.rsplit('/').next().unwrap_or_default()),
                // Each bake has a folder of its own, by its time.
                "object" if rest.contains("/bake/") => {
                    format!(
                        "object bake/{}",
                        rest.rsplit('/').next().unwrap_or_default()
                    )
                }
                _ => thing,
            }
            .replace(&format!("muck-{stack}-"), "muck-STACK-")
        })
        .collect();
    things.sort();
    things
}

//! One point of the crash sweep: `muck` is killed (SIGKILL) at one of its calls, and what `down` from another
//! machine leaves is listed.

use std::fmt;
use std::process::Child;
use std::str::FromStr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::call::Call;
use crate::harness::lane::{Job, Lane};
use crate::harness::machine::Machine;

/// A command that has not come to its call by then hangs.
const REACH_LIMIT: Duration = Duration::from_mins(2);
/// How often the journal is read for it.
const LOOK: Duration = Duration::from_millis(5);
/// An answer that was sent is read within this, unless the caller shows by its next call that it was.
const READ: Duration = Duration::from_millis(100);

/// How far the call came at which the command is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// It has no effect.
    Before,
    /// It took effect, and no answer came.
    After,
    /// It was answered.
    Answered,
}

impl Phase {
    pub const ALL: [Self; 3] = [Self::Before, Self::After, Self::Answered];

    pub fn word(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
            Self::Answered => "answered",
        }
    }
}

/// A call, and how far it comes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    pub call: Call,
    pub phase: Phase,
}

impl Point {
    fn rule(&self, client: &str) -> Value {
        let Call {
            service,
            action,
            occurrence,
            ..
        } = &self.call;
        json!([{
            "client": client, "service": service, "action": action, "nth": occurrence,
            "fault": {"kind": "freeze", "phase": self.phase.word()},
        }])
    }
}

/// `bake ec2.RunInstances#1 after`
impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.call, self.phase.word())
    }
}

impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (call, phase) = text.rsplit_once(' ')?;
            let phase = Phase::ALL.into_iter().find(|one| one.word() == phase)?;
            Some(call.parse().map(|call| Self { call, phase }))
        };
        parse().unwrap_or_else(|| {
            Err(format!(
                "{text:?} is no point: write it like \"bake ec2.RunInstances#1 after\""
            ))
        })
    }
}

/// Where the `down` that follows is killed too: at its nth call of all.
#[derive(Debug, Clone, Copy)]
pub struct Second {
    pub nth: u64,
    pub phase: Phase,
}

/// What came of a point.
#[derive(Debug)]
pub struct Outcome {
    pub point: Point,
    pub second: Option<Second>,
    /// The command came to the call; else it ended before and was left to end.
    pub reached: bool,
    /// The same of the `down` that was to be killed.
    pub second_reached: bool,
    /// What is left after the last `down`.
    pub left: Vec<String>,
    /// Exit code and talk of the last `down`.
    pub down: (i32, String),
}

impl Outcome {
    /// What is wrong, for people.
    pub fn complaint(&self) -> Option<String> {
        if self.left.is_empty() && self.down.0 == 0 {
            return None;
        }
        let second = self.second.map_or_else(String::new, |second| {
            format!(
                ", then `down` at its call {} {}",
                second.nth,
                second.phase.word()
            )
        });
        Some(format!(
            "{}{second}: {} left: {}\n  down exited {}:\n    {}",
            self.point,
            self.left.len(),
            self.left.join(", "),
            self.down.0,
            self.down.1.trim().replace('\n', "\n    ")
        ))
    }
}

/// All points of `job`: its calls in an undisturbed run, times the phases.
pub fn record(lane: &mut Lane, job: Job) -> Vec<Point> {
    let stack = lane.new_stack();
    lane.prepare(job, &stack);
    let calls = Call::all_of(lane, job, &stack);
    lane.elsewhere()
        .muck(&["down", "--yes", "--stack", &stack])
        .exits(0);
    let each_phase = |call: Call| Phase::ALL.map(|phase| (call.clone(), phase));
    calls
        .into_iter()
        .flat_map(each_phase)
        .map(|(call, phase)| Point { call, phase })
        .collect()
}

/// Kills the command of `point` there, then runs `down` on another machine (killed as `second` says, and run
/// again), and lists what is left.
pub fn attempt(lane: &mut Lane, point: Point, second: Option<Second>) -> Outcome {
    let stack = lane.new_stack();
    lane.prepare(point.call.job, &stack);
    let rule = point.rule(lane.machine.client());
    let arguments = point.call.job.arguments(&stack);
    let reached = kill_at(lane, &lane.machine, &arguments, &rule, point.phase);
    let down = ["down", "--yes", "--stack", &stack].map(str::to_owned);
    let second_reached = second.is_some_and(|second| {
        let machine = lane.elsewhere();
        let rule = json!([{
            "client": machine.client(), "nth": second.nth,
            "fault": {"kind": "freeze", "phase": second.phase.word()},
        }]);
        kill_at(lane, &machine, &down, &rule, second.phase)
    });
    let down = lane.elsewhere().muck(&down.each_ref().map(String::as_str));
    Outcome {
        point,
        second,
        reached,
        second_reached,
        left: lane.account.left_overs(),
        down: (down.code, down.stderr),
    }
}

/// Runs `muck` under a rule that freezes it, and kills it when that has struck. Returns false if it
/// ended before.
fn kill_at(
    lane: &Lane,
    machine: &Machine,
    arguments: &[String],
    rule: &Value,
    phase: Phase,
) -> bool {
    let before = lane.faults.last_call();
    lane.faults.set(rule);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut child = machine
        .command(&arguments)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("muck starts");
    let reached = wait_frozen(lane, machine.client(), before, phase, &mut child);
    child.kill().expect("killed");
    child.wait().expect("ends");
    lane.faults.set(&json!([]));
    reached
}

fn wait_frozen(lane: &Lane, client: &str, before: u64, phase: Phase, child: &mut Child) -> bool {
    let start = Instant::now();
    let mut answered: Option<Instant> = None;
    loop {
        let ended = child.try_wait().expect("a child").is_some();
        let calls = lane.faults.calls(client, before);
        let frozen = calls
            .iter()
            .find(|call| call.fault.as_deref() == Some("freeze"));
        if let Some(call) = frozen {
            match phase {
                Phase::Before if call.progress == "held-before" => return true,
                Phase::After if call.progress == "held-after" => return true,
                Phase::Answered if call.progress == "done" => {
                    let since = answered.get_or_insert_with(Instant::now);
                    let went_on = calls
                        .iter()
                        .any(|later| later.seq > call.seq && later.progress == "held-before");
                    if ended || went_on || since.elapsed() > READ {
                        return true;
                    }
                }
                _ => {}
            }
        } else if ended {
            return false;
        }
        assert!(
            start.elapsed() < REACH_LIMIT,
            "muck neither ended nor came to the call; its calls: {calls:?}"
        );
        std::thread::sleep(LOOK);
    }
}

//! What all sweeps have in common: their settings, lanes side by side, and where tables go.

use std::collections::VecDeque;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::lane::Lane;

/// Lanes side by side: most of a point's time is waiting (for a second look, a builder, a backoff), so four
/// keep two processors busy.
const LANES: usize = 4;

/// The number that the environment variable `name` gives.
pub fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is not a number")),
    )
}

/// The seed of a sweep's draws: `SEED`, else `default`.
pub fn seed(default: u64) -> u64 {
    number("SEED").unwrap_or(default)
}

/// A seed that differs from run to run.
pub fn fresh_seed() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a clock past 1970")
        .as_secs()
}

/// Tells one line, captured or not: a sweep takes minutes.
pub fn tell(line: impl std::fmt::Display) {
    // Nobody may read it, and then nothing is lost.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The last line of a sweep's table.
pub fn footer(points: usize, took: Duration, seed: u64) -> String {
    format!("{points} points in {} s, SEED={seed}\n", took.as_secs())
}

/// Fails the sweep of so many points if there is anything to complain of.
#[track_caller]
pub fn assert_none(complaints: &[String], points: usize) {
    assert!(
        complaints.is_empty(),
        "{} of {points} points:\n{}",
        complaints.len(),
        complaints.join("\n")
    );
}

/// Writes a table into `<target>/sweeps/` and tells it.
pub fn keep_table(name: &str, table: &str) {
    tell(format!("\n{table}"));
    keep(name, table);
}

/// Writes a file into `<target>/sweeps/`.
pub fn keep(name: &str, text: &str) {
    std::fs::write(kept(name), text).expect("table");
}

/// Where a file of that name is kept.
pub fn kept(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("target folder")
        .join("sweeps");
    std::fs::create_dir_all(&folder).expect("folder for tables");
    folder.join(name)
}

/// Tries all points, several side by side (`LANES`), each in a lane that nothing is left in. Outcomes come in
/// any order. `attempt` returns false as its second part if its lane is spoilt for others.
pub fn over<P: Send, R: Send>(
    points: Vec<P>,
    attempt: impl Fn(&mut Lane, P) -> (R, bool) + Sync,
) -> Vec<R> {
    let lanes = number("LANES").map_or(LANES, |lanes| usize::try_from(lanes).expect("fits"));
    let total = points.len();
    let queue = Mutex::new(VecDeque::from(points));
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..lanes.clamp(1, total.max(1)) {
            scope.spawn(|| {
                let mut lane = None;
                loop {
                    let point = lock(&queue).pop_front();
                    let Some(point) = point else { break };
                    let (outcome, clean) = attempt(lane.get_or_insert_with(Lane::open), point);
                    if !clean {
                        lane = None;
                    }
                    let mut outcomes = lock(&outcomes);
                    outcomes.push(outcome);
                    if outcomes.len() % 50 == 0 {
                        tell(format!("{} of {total} points", outcomes.len()));
                    }
                }
            });
        }
    });
    outcomes
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

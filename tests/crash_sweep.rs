//! The crash sweep: `muck` is killed at each call of each command in three phases, and `down` from another
//! machine leaves nothing. `docs/sweeps.md` says how to run it and one point of it again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use crate::crash_point::{Outcome, Phase, Point, Second, attempt, record};
use crate::harness::call::Call;
use crate::harness::lane::Job;
use crate::harness::sweep::{
    assert_none, footer, fresh_seed, keep_table, number, over, seed, tell,
};

/// Calls that make things: the points that leak if any do.
const MAKERS: [&str; 11] = [
    "CreateBucket",
    "CreateQueue",
    "CreateRole",
    "CreateInstanceProfile",
    "AddRoleToInstanceProfile",
    "PutObject",
    "CreateMultipartUpload",
    "UploadPart",
    "RunInstances",
    "CreateSnapshot",
    "RegisterImage",
];
/// Points that the part in `make test` draws beside those: with them it takes about a minute.
const DRAWN: usize = 12;
/// Double crashes of the part, and of the whole.
const DOUBLE_PART: usize = 6;
const DOUBLE_WHOLE: usize = 60;
/// What renews the expiry of a stack: only if a second has passed since that was written.
const RENEWALS: [&str; 3] = ["PutBucketTagging", "TagQueue", "TagRole"];
/// `down` makes about so many calls; a second crash is drawn among them.
const CALLS_OF_DOWN: u64 = 50;

/// Each call that makes something, killed after it took effect and before the answer; some other points; and
/// some double crashes. A part of `the_whole_crash_sweep` that is quick enough for every run of all tests.
#[test]
fn a_part_of_the_crash_sweep() {
    let seed = seed(1);
    let mut random = StdRng::seed_from_u64(seed);
    let all = record_all();
    let (mut points, mut others): (Vec<Point>, Vec<Point>) = all.into_iter().partition(|point| {
        point.phase == Phase::After
            && point.call.job != Job::Down
            && MAKERS.contains(&point.call.action.as_str())
    });
    others.shuffle(&mut random);
    let double = doubles(&others[DRAWN..], DOUBLE_PART, &mut random);
    points.extend(others.into_iter().take(DRAWN));
    sweep("crash-sweep-part.txt", seed, points, double);
}

#[test]
#[ignore = "takes many minutes: run it by `make crash-sweep`"]
fn the_whole_crash_sweep() {
    let seed = seed(fresh_seed());
    let mut random = StdRng::seed_from_u64(seed);
    if let Some(text) = std::env::var("POINT").ok().filter(|text| !text.is_empty()) {
        let point: Point = text.parse().unwrap_or_else(|error| panic!("{error}"));
        return sweep("crash-sweep-point.txt", seed, vec![point], Vec::new());
    }
    let all = record_all();
    let count =
        number("DOUBLE").map_or(DOUBLE_WHOLE, |count| usize::try_from(count).expect("fits"));
    let double = doubles(&all, count, &mut random);
    sweep("crash-sweep.txt", seed, all, double);
}

/// What is swept: all points of all commands, in the order of the commands.
fn record_all() -> Vec<Point> {
    let mut points = over(Job::ALL.to_vec(), |lane, job| (record(lane, job), true)).concat();
    // Lanes end in any order, and a seed draws by position.
    points.sort();
    points
}

/// `count` of the points, each with a place in the following `down`.
fn doubles(points: &[Point], count: usize, random: &mut StdRng) -> Vec<(Point, Second)> {
    (0..count)
        .filter(|_| !points.is_empty())
        .map(|_| {
            let point = points[random.random_range(0..points.len())].clone();
            let second = Second {
                nth: random.random_range(1..=CALLS_OF_DOWN),
                phase: Phase::ALL[random.random_range(0..Phase::ALL.len())],
            };
            (point, second)
        })
        .collect()
}

fn sweep(table: &str, seed: u64, points: Vec<Point>, double: Vec<(Point, Second)>) {
    let start = Instant::now();
    tell(format!(
        "crash sweep: {} points, {} double crashes, SEED={seed}",
        points.len(),
        double.len()
    ));
    let all: Vec<(Point, Option<Second>)> = points
        .into_iter()
        .map(|point| (point, None))
        .chain(
            double
                .into_iter()
                .map(|(point, second)| (point, Some(second))),
        )
        .collect();
    let outcomes = over(all, |lane, (point, second)| {
        let outcome = attempt(lane, point, second);
        if let Some(complaint) = outcome.complaint() {
            tell(&complaint);
        }
        let clean = outcome.left.is_empty();
        (outcome, clean)
    });
    let footer = footer(outcomes.len(), start.elapsed(), seed);
    keep_table(table, &format!("{}\n{footer}", told(&outcomes)));
    let complaints: Vec<String> = outcomes.iter().filter_map(Outcome::complaint).collect();
    assert_none(&complaints, outcomes.len());
    // A read more or less is the weather; a change that is never made is another program.
    let missed: Vec<String> = outcomes
        .iter()
        .filter(|outcome| {
            let call = &outcome.point.call;
            let renews = RENEWALS.contains(&call.action.as_str());
            outcome.second.is_none() && !outcome.reached && call.changes() && !renews
        })
        .map(|outcome| outcome.point.to_string())
        .collect();
    assert!(missed.is_empty(), "never came to {}", missed.join(", "));
}

/// The table of commands: calls, points, those that were not reached, and what was left.
fn told(outcomes: &[Outcome]) -> String {
    #[derive(Default)]
    struct Row {
        calls: BTreeSet<Call>,
        points: [usize; 3],
        missed: usize,
        left: usize,
    }
    let mut rows: BTreeMap<Job, Row> = BTreeMap::new();
    for outcome in outcomes.iter().filter(|outcome| outcome.second.is_none()) {
        let point = &outcome.point;
        let row = rows.entry(point.call.job).or_default();
        row.calls.insert(point.call.clone());
        row.points[point.phase as usize] += 1;
        row.missed += usize::from(!outcome.reached);
        row.left += outcome.left.len();
    }
    let mut lines = vec![format!(
        "{:<14}{:>6}{:>10}{:>16}{:>10}{:>14}{:>10}",
        "command", "calls", "not sent", "effect, silent", "answered", "not reached", "left over"
    )];
    for (job, row) in &rows {
        let [before, after, answered] = row.points;
        lines.push(format!(
            "{:<14}{:>6}{before:>10}{after:>16}{answered:>10}{:>14}{:>10}",
            job.name(),
            row.calls.len(),
            row.missed,
            row.left
        ));
    }
    let double: Vec<&Outcome> = outcomes
        .iter()
        .filter(|outcome| outcome.second.is_some())
        .collect();
    if !double.is_empty() {
        let reached = double.iter().filter(|one| one.second_reached).count();
        let left: usize = double.iter().map(|one| one.left.len()).sum();
        lines.push(format!(
            "double crashes: {}, of which the second `down` was reached and killed too: {reached}; left over: {left}",
            double.len()
        ));
    }
    lines.join("\n")
}

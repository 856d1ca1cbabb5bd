//! The fault sweep: each call of each command goes wrong in every way in which AWS lets calls go wrong. What passes
//! is got over, with one of each thing; what lasts is told, with the thing's name; and `down` leaves nothing.
//! `docs/sweeps.md` says how to run it and one point of it again.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

use crate::fault_point::{Outcome, Point, Shapes, Taken, attempt, record};
use crate::harness::lane::Job;
use crate::harness::sweep::{assert_none, footer, fresh_seed, keep_table, over, seed, tell};
use crate::trouble::Trouble;

/// Points of each fault that the part in `make test` draws: with three it takes about two minutes.
const DRAWN: usize = 3;

/// Some points of each fault. A part of `the_whole_fault_sweep` that is quick enough for every run of all tests.
#[test]
fn a_part_of_the_fault_sweep() {
    let seed = seed(1);
    let (mut points, shapes) = record_all();
    points.shuffle(&mut StdRng::seed_from_u64(seed));
    let mut drawn: BTreeMap<Trouble, usize> = BTreeMap::new();
    points.retain(|point| {
        let drawn = drawn.entry(point.trouble).or_default();
        *drawn += 1;
        // Ten refusals in a row take half a minute of pauses.
        *drawn
            <= if point.trouble.name().ends_with("*10") {
                1
            } else {
                DRAWN
            }
    });
    sweep("fault-sweep-part.txt", seed, points, &shapes);
}

#[test]
#[ignore = "takes the better part of an hour: run it by `make fault-sweep`"]
fn the_whole_fault_sweep() {
    let seed = seed(fresh_seed());
    let (mut points, shapes) = record_all();
    if let Some(text) = std::env::var("POINT").ok().filter(|text| !text.is_empty()) {
        let wanted: Point = text.parse().unwrap_or_else(|error| panic!("{error}"));
        return sweep("fault-sweep-point.txt", seed, vec![wanted], &shapes);
    }
    if let Some(word) = std::env::var("ONLY").ok().filter(|text| !text.is_empty()) {
        points.retain(|point| point.to_string().contains(&word));
    }
    points.shuffle(&mut StdRng::seed_from_u64(seed));
    sweep("fault-sweep.txt", seed, points, &shapes);
}

/// What is swept: all points of all commands, in the order of the commands.
fn record_all() -> (Vec<Point>, Shapes) {
    let shapes = Mutex::new(Shapes::new());
    let mut points = over(Job::ALL.to_vec(), |lane, job| {
        let (points, shape) = record(lane, job);
        shapes.lock().expect("whole").insert(job, shape);
        (points, true)
    })
    .concat();
    // Lanes end in any order, and a seed draws by position.
    points.sort();
    (points, shapes.into_inner().expect("whole"))
}

fn sweep(table: &str, seed: u64, points: Vec<Point>, shapes: &Shapes) {
    let start = Instant::now();
    tell(format!("fault sweep: {} points, SEED={seed}", points.len()));
    let mut outcomes = over(points, |lane, point| {
        let outcome = attempt(lane, shapes, point);
        if let Some(complaint) = outcome.complaint() {
            tell(&complaint);
        }
        let clean = outcome.left.is_empty();
        (outcome, clean)
    });
    outcomes.sort_by(|one, other| one.point.cmp(&other.point));
    let footer = footer(outcomes.len(), start.elapsed(), seed);
    keep_table(table, &format!("{}\n{footer}", told(&outcomes)));
    keep_errors(table, &outcomes);
    let complaints: Vec<String> = outcomes.iter().filter_map(Outcome::complaint).collect();
    assert_none(&complaints, outcomes.len());
}

/// The table of faults: points, and how they were taken.
fn told(outcomes: &[Outcome]) -> String {
    #[derive(Default)]
    struct Row {
        points: usize,
        taken: BTreeMap<Taken, usize>,
        left: usize,
        longest: u64,
    }
    let mut rows: BTreeMap<Trouble, Row> = BTreeMap::new();
    for outcome in outcomes {
        let row = rows.entry(outcome.point.trouble).or_default();
        row.points += 1;
        *row.taken.entry(outcome.taken).or_default() += 1;
        row.left += outcome.left.len();
        row.longest = row.longest.max(outcome.seconds);
    }
    let mut lines = vec![format!(
        "{:<26}{:>7}{:>12}{:>20}{:>8}{:>13}{:>11}{:>11}",
        "fault",
        "points",
        "succeeded",
        "failed, told why",
        "wrong",
        "not reached",
        "left over",
        "longest"
    )];
    for (trouble, row) in &rows {
        let taken = |how| row.taken.get(&how).copied().unwrap_or(0);
        lines.push(format!(
            "{:<26}{:>7}{:>12}{:>20}{:>8}{:>13}{:>11}{:>9} s",
            trouble.name(),
            row.points,
            taken(Taken::Succeeded),
            taken(Taken::Refused),
            taken(Taken::Wrong),
            taken(Taken::NotReached),
            row.left,
            row.longest,
        ));
    }
    lines.join("\n")
}

/// Each point with its time and error, beside the table: what people would have read.
fn keep_errors(table: &str, outcomes: &[Outcome]) {
    let lines: Vec<String> = outcomes
        .iter()
        .map(|one| {
            format!(
                "{} [{:?}, {} s] {}",
                one.point, one.taken, one.seconds, one.error
            )
        })
        .collect();
    crate::harness::sweep::keep(
        &table.replace(".txt", "-points.txt"),
        &(lines.join("\n") + "\n"),
    );
}

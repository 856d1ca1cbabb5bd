//! Many jobs, many workers, messages delivered twice, and a worker killed every two seconds: no job is lost,
//! none has another outcome than it should, none has two verdicts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use muck_worker::message::Status;
use muck_worker::verdict::Verdict;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::harness::sweep::{fresh_seed, keep_table, number, seed, tell};
use crate::harness::yard::{STACK, Worker, Yard};
use crate::worker_kill::numbered;

/// A worker dies this often.
const KILL_EVERY: Duration = Duration::from_secs(2);
/// Seconds. On a machine with ten processes for each processor a heartbeat may come many seconds late, and a
/// message that is lost so is worked on by two.
const HOLD: &str = "20";
/// Of a hundred messages so many come twice.
const TWICE_PERCENT: usize = 5;

struct Size {
    jobs: usize,
    workers: usize,
    limit: Duration,
    table: &'static str,
}

#[test]
fn a_short_soak_loses_nothing() {
    soak(&Size {
        jobs: 40,
        workers: 6,
        limit: Duration::from_mins(5),
        table: "soak-short.txt",
    });
}

/// `make soak`
#[test]
#[ignore = "takes many minutes: make soak"]
fn the_whole_soak_loses_nothing() {
    let of = |name, default| number(name).map_or(default, |n| usize::try_from(n).expect("fits"));
    soak(&Size {
        jobs: of("JOBS", 1000),
        workers: of("WORKERS", 20),
        limit: Duration::from_hours(2),
        table: "soak.txt",
    });
}

fn soak(size: &Size) {
    let seed = seed(fresh_seed());
    tell(format!("soak: SEED={seed}"));
    let mut random = StdRng::seed_from_u64(seed);
    let yard = Yard::open();
    let clip = tiny_clip(&yard);
    let twice = (size.jobs * TWICE_PERCENT).div_ceil(100);
    let sent_twice = rand::seq::index::sample(&mut random, size.jobs, twice).into_vec();
    let mut jobs = BTreeSet::new();
    for number in 0..size.jobs {
        let content = numbered(clip.clone(), number);
        let name = format!("film {number}.avi");
        let md5 = yard.submit(&name, &content, "ipod");
        if sent_twice.contains(&number) {
            yard.send(&Yard::message(&name, &md5, content.len(), "ipod"));
        }
        jobs.insert(md5);
    }

    let began = Instant::now();
    let mut started = 0;
    let mut start = || {
        started += 1;
        let options = ["--slots", "1", "--hold", HOLD];
        yard.start(&format!("soaked-{started}"), &options)
    };
    let mut workers: Vec<Worker> = (0..size.workers).map(|_| start()).collect();
    let mut kills = 0;
    let mut redriven = 0;
    let mut next_kill = Instant::now() + KILL_EVERY;
    loop {
        std::thread::sleep(Duration::from_millis(100));
        if Instant::now() >= next_kill {
            next_kill += KILL_EVERY;
            let victim = random.random_range(0..workers.len());
            workers[victim].kill();
            workers[victim] = start();
            kills += 1;
            if kills % 15 == 0 {
                let (verdicts, left) = (writes(&yard, "verdicts/").len(), yard.depth("input"));
                tell(format!(
                    "{verdicts} verdicts, {left:?} messages, {kills} kills"
                ));
            }
        }
        if yard.depth("input") == (0, 0) {
            // Whoever killed three workers, or was with three that were killed, is a dead letter.
            let dead = yard.depth("failed").0;
            if dead == 0 {
                break;
            }
            redriven += dead;
            let arguments = ["failed", "redrive", "--yes", "--local", "--stack", STACK];
            yard.world.muck(&arguments).exits(0);
        }
        assert!(
            began.elapsed() < size.limit,
            "SEED={seed}: {:?} are left; a worker says:\n{}",
            yard.depth("input"),
            workers[0].said()
        );
    }
    let took = began.elapsed();
    drop(workers);

    let outcome = Outcome::of(&yard, &jobs);
    let out = yard.world.work().join("out");
    let out = out.to_str().expect("UTF-8");
    let arguments = ["results", out, "--batch", "b", "--local", "--stack", STACK];
    let results = yard.world.muck(&arguments).exits(0);
    let table = format!(
        "soak of {} jobs by {} workers, SEED={seed}\n\
         took                {:.0} s\nworkers killed      {kills}\nmessages sent twice {twice}\n\
         redriven            {redriven}\nlost                {}\nunexpected          {}\nduplicate verdicts  {}\n",
        size.jobs,
        size.workers,
        took.as_secs_f64(),
        outcome.lost,
        outcome.unexpected,
        outcome.duplicates,
    );
    keep_table(size.table, &table);
    assert_eq!(
        (outcome.lost, outcome.unexpected, outcome.duplicates),
        (0, 0, 0),
        "{table}"
    );
    // Told more than once, counted once.
    let line = format!("{} results successfully retrieved.", size.jobs);
    assert!(results.stdout.contains(&line), "{}", results.stdout);
}

struct Outcome {
    /// Jobs without a verdict, or whose output isn't there.
    lost: usize,
    /// Verdicts of no job, and failures of good clips.
    unexpected: usize,
    /// Verdicts that were written more than once.
    duplicates: usize,
}

impl Outcome {
    fn of(yard: &Yard, jobs: &BTreeSet<String>) -> Self {
        let verdicts = writes(yard, "verdicts/");
        let outputs = writes(yard, "media/");
        let mut lost = jobs.clone();
        let mut unexpected = 0;
        for key in verdicts.keys() {
            let text = String::from_utf8(yard.object(key)).expect("UTF-8");
            let verdict = Verdict::parse(&text).expect("a verdict");
            let whole = verdict
                .outputs
                .iter()
                .all(|o| outputs.contains_key(&o.content.key));
            if verdict.status != Status::Converted || !jobs.contains(&verdict.input.md5) {
                unexpected += 1;
            }
            if whole && !verdict.outputs.is_empty() {
                lost.remove(&verdict.input.md5);
            }
        }
        Self {
            lost: lost.len(),
            unexpected,
            duplicates: verdicts.values().filter(|count| **count > 1).count(),
        }
    }
}

/// How often each object below `prefix` was written.
fn writes(yard: &Yard, prefix: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for key in yard.written(prefix) {
        *counts.entry(key).or_default() += 1;
    }
    counts
}

/// Three frames of 64×48.
fn tiny_clip(yard: &Yard) -> Vec<u8> {
    let path = yard.world.work().join("tiny.avi");
    let made = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i"])
        .args(["testsrc2=size=64x48:rate=25:duration=0.12", "-c:v", "mjpeg"])
        .arg(&path)
        .status();
    assert!(made.expect("ffmpeg runs").success());
    std::fs::read(&path).expect("a clip")
}

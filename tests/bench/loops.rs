//! The worker's loop alone: many workers, whose conversion is a fixed wait, and one whose conversion is nothing.
//!
//! Each worker is a process of its own with the frame that `muck-worker` has (receive, fetch, store, verdict, status, delete)
//! around a service that waits. So what is measured is whether workers get in each other's way.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use muck_worker::aws;
use muck_worker::clock::SystemClock;
use muck_worker::inbox::SqsQueue;
use muck_worker::instance::Machine;
use muck_worker::message::InputMessage;
use muck_worker::service::{Made, OutputFile, Progress, Service, ServiceError, Task};
use muck_worker::store::S3Store;
use muck_worker::user_data::UserData;
use muck_worker::worker::{Desk, Leaving, Space, Worker};

use super::{RUNS, Way, plot};
use crate::harness::sdk::Sdk;
use crate::harness::sweep::{keep_table, kept, number, tell};
use crate::harness::yard::{STACK, Yard};

const JOBS: u64 = 500;
/// Milliseconds: the article's conversions took some seconds, and the loop's share shows all the better in a short one.
const WAIT: u64 = 1000;
const WORKERS: [usize; 5] = [1, 2, 5, 10, 20];
/// A worker among many does at least so much of what one alone does.
const LEAST: f64 = 0.95;
const LIMIT: Duration = Duration::from_mins(30);
/// How a child knows what it shall be.
const USER_DATA: &str = "MUCK_BENCH_USER_DATA";
/// A folder in which each child puts a file when it is ready; then it waits for one of the name [`GO`].
const START: &str = "MUCK_BENCH_START";
const GO: &str = "go";
const CONVERSION: &str = "MUCK_BENCH_CONVERSION_MS";

/// A service that takes its time, and does nothing in it.
struct Wait(Duration);

#[async_trait]
impl Service for Wait {
    fn name(&self) -> &'static str {
        "Wait"
    }

    fn task(&self, _message: &InputMessage) -> Result<Task, ServiceError> {
        Ok(Task {
            digest: "wait-1".to_owned(),
            preset: None,
        })
    }

    async fn process_file(
        &self,
        input: &Path,
        _message: &InputMessage,
        work: &Path,
        progress: &Progress,
    ) -> Result<Made, ServiceError> {
        let start = Instant::now();
        while start.elapsed() < self.0 {
            // As ffmpeg does, so that the next file is fetched ahead.
            progress.report(start.elapsed().as_secs_f64(), self.0.as_secs_f64());
            let left = self.0.saturating_sub(start.elapsed());
            tokio::time::sleep(left.min(Duration::from_millis(100))).await;
        }
        let path = work.join("output");
        std::fs::copy(input, &path).map_err(|error| ServiceError::Machine(error.to_string()))?;
        Ok(Made::from(vec![OutputFile {
            path,
            name: None,
            mime: "text/plain".to_owned(),
            certificate: None,
        }]))
    }
}

/// Not a test: what each child process of the benchmark runs.
#[test]
#[ignore = "is started by the benchmark beside it"]
fn a_waiting_worker() {
    let Ok(text) = std::env::var(USER_DATA) else {
        // All ignored tests were asked for, and this is none.
        return;
    };
    let wait = number(CONVERSION).expect("milliseconds");
    let folder = tempfile::tempdir().expect("a folder");
    let data = UserData::parse(&text).expect("user data");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let config = aws::load(&data.region).await.expect("valid settings");
        let sqs = aws_sdk_sqs::Client::new(&config);
        let worker = Worker {
            service: &Wait(Duration::from_millis(wait)),
            inbox: &SqsQueue::new(sqs.clone(), &data.input_queue),
            outbox: &SqsQueue::new(sqs, &data.output_queue),
            failed: None,
            store: &S3Store::new(aws::s3(&config), &data.account),
            clock: &SystemClock,
            data: &data,
            name: "bench",
            machine: &Machine {
                host: "bench".to_owned(),
                instance_id: None,
            },
            space: &Space::of(folder.path()),
            desk: &Desk::new(1),
            hold: Duration::from_secs(90),
            leaving: Leaving::new(),
        };
        let start = PathBuf::from(std::env::var_os(START).expect("a folder"));
        std::fs::write(start.join(std::process::id().to_string()), "").expect("writes");
        while !start.join(GO).exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        worker.run().await.expect("ends in good order");
    });
}

#[test]
#[ignore = "takes many minutes: run it by `make bench`"]
fn twenty_workers_do_twenty_times_the_work_of_one() {
    let jobs = number("JOBS").unwrap_or(JOBS);
    let wait = number("WAIT").unwrap_or(WAIT);
    let mut ways: Vec<(usize, Way)> = WORKERS
        .iter()
        .map(|count| (*count, Way::new(format!("{count} workers"))))
        .collect();
    let mut empty = Way::new("1 worker, no wait");
    for _ in 0..RUNS {
        for (count, way) in &mut ways {
            way.add(run(jobs, *count, wait));
            tell(format!("{}: {:?}", way.name, way.runs));
        }
        empty.add(run(jobs, 1, 0));
    }
    let each = |count: usize, way: &Way| jobs as f64 / way.median() / count as f64;
    let (first, one) = &ways[0];
    let alone = each(*first, one);
    let mut table =
        format!("{jobs} jobs whose conversion is a wait of {wait} ms, medians of {RUNS} runs\n");
    let mut slow = Vec::new();
    for (count, way) in &ways {
        let (all, one) = (jobs as f64 / way.median(), each(*count, way));
        writeln!(
            table,
            "  {count:>2} workers  {:>7.2} s  {all:>6.2} jobs/s  {one:>6.3} jobs/s a worker  x {:.3}",
            way.median(),
            one / alone
        )
        .expect("writes");
        if one < alone * LEAST {
            slow.push(format!("{}: x {:.3}", way.name, one / alone));
        }
    }
    writeln!(
        table,
        "  the loop alone (1 worker, an empty conversion): {:.1} messages/s",
        jobs as f64 / empty.median()
    )
    .expect("writes");
    keep_table("bench-loops.txt", &table);
    let points: Vec<(usize, f64)> = ways
        .iter()
        .map(|(count, way)| (*count, jobs as f64 / way.median()))
        .collect();
    let title = format!("{jobs} jobs whose conversion is a wait of {wait} ms");
    plot::throughput(&kept("bench-workers.svg"), &title, &points);
    assert!(slow.is_empty(), "a worker does less among others: {slow:?}");
}

/// From the moment when all workers are ready until the queue is empty.
fn run(jobs: u64, workers: usize, wait: u64) -> Duration {
    let yard = Yard::open();
    for job in 0..jobs {
        let content = format!("film {job}");
        yard.submit(&format!("{job}.avi"), content.as_bytes(), "ipod");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let children: Vec<Waiting> = (0..workers)
        .map(|_| Waiting::start(&yard, folder.path(), wait))
        .collect();
    go(folder.path(), workers);
    let start = Instant::now();
    wait_empty(&yard);
    let took = start.elapsed();
    drop(children);
    let bucket = Sdk::bucket(STACK, "output");
    assert_eq!(
        yard.written("verdicts/").len() as u64,
        jobs,
        "verdicts in {bucket}"
    );
    took
}

/// Waits until there is nothing left to do.
pub(super) fn wait_empty(yard: &Yard) {
    let start = Instant::now();
    while yard.depth("input") != (0, 0) {
        assert!(
            start.elapsed() < LIMIT,
            "{:?} are left",
            yard.depth("input")
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A worker's process; ends when dropped.
pub(super) struct Waiting(Child);

impl Waiting {
    /// Starts one that tells in `folder` when it is ready, and waits there for [`go`].
    pub(super) fn start(yard: &Yard, folder: &Path, wait: u64) -> Self {
        let user_data = std::fs::read_to_string(yard.world.work().join("user-data"));
        let child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--ignored", "--exact", "bench::loops::a_waiting_worker"])
            .env_clear()
            .envs(yard.access())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env(USER_DATA, user_data.expect("user data"))
            .env(START, folder)
            .env(CONVERSION, wait.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("starts");
        Self(child)
    }

    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }
}

/// Lets so many workers begin, when all are ready.
pub(super) fn go(folder: &Path, workers: usize) {
    while std::fs::read_dir(folder).expect("a folder").count() < workers {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::fs::write(folder.join(GO), "").expect("writes");
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

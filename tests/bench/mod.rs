//! Benchmarks: what `muck` and its worker take beside the programs that people would use instead. `make bench`
//! runs them one after the other; tables are kept in `target/sweeps/`, and docs/benchmark.md tells what came of them.

mod conversion;
mod files;
mod loops;
mod memory;
mod plot;
mod transfer;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Each way is tried so often, in turns, so that what the machine does beside strikes all alike.
const RUNS: usize = 3;

/// What one way took.
struct Way {
    name: String,
    /// Seconds of each run.
    runs: Vec<f64>,
}

impl Way {
    fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            runs: Vec::new(),
        }
    }

    fn add(&mut self, time: Duration) {
        self.runs.push(time.as_secs_f64());
    }

    /// Of an odd number of runs.
    fn median(&self) -> f64 {
        let mut runs = self.runs.clone();
        runs.sort_by(f64::total_cmp);
        runs[runs.len() / 2]
    }
}

/// Each way with its runs, its median, and that over the median of `reference`.
fn table(title: &str, ways: &[&Way], reference: &Way) -> String {
    let mut text = format!("{title}\n");
    for way in ways {
        let runs: Vec<String> = way.runs.iter().map(|one| format!("{one:>7.2}")).collect();
        writeln!(
            text,
            "  {:<28} {} s   median {:>7.2} s   x {:.3}",
            way.name,
            runs.join(" "),
            way.median(),
            way.median() / reference.median()
        )
        .expect("writes");
    }
    text
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

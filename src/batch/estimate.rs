//! How much of a batch is converted and when the rest will be, from the ledger's jobs and the workers' reports. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::ledger::{Job, JobStatus};
use super::progress::AtWork;

/// Longer is no estimate: some thirty years.
const MAX_SECONDS: f64 = 1e9;

/// How far a batch is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Estimate {
    /// 0 to 1, by bytes of the inputs; files in work count in part.
    pub fraction: f64,
    /// Until the last outstanding job is done; `None` until something was converted.
    pub eta: Option<Duration>,
}

impl Estimate {
    /// Conversions take time in proportion to their inputs' bytes, roughly: so the pace is bytes a second, since the first
    /// job of the batch began. But no batch ends before its slowest file in work.
    pub(super) fn of(jobs: &[Job], at_work: &[AtWork], now: Timestamp) -> Self {
        let bytes = |job: &Job| job.size.max(1) as f64;
        let total: f64 = jobs.iter().map(bytes).sum();
        let outstanding = || {
            jobs.iter()
                .filter(|job| job.status == JobStatus::Outstanding)
        };
        let left: f64 = outstanding().map(bytes).sum();
        let in_part = in_part(outstanding(), at_work);
        let to_do = (left - in_part).max(0.0);
        let fraction = if total > 0.0 {
            (1.0 - to_do / total).clamp(0.0, 1.0)
        } else {
            0.0
        };
        // What failed before it was begun says nothing about the pace.
        let timed = || jobs.iter().filter_map(|job| Some((job, job.times?)));
        let converted: f64 = timed().map(|(job, _)| bytes(job)).sum::<f64>() + in_part;
        let first_read = timed().map(|(_, times)| times.read).min();
        let began = first_read
            .map(|at| now.duration_since(at).as_secs_f64().max(0.0))
            .into_iter()
            .chain(at_work.iter().filter_map(seconds_in_work))
            .reduce(f64::max);
        let by_pace = began
            .filter(|_| converted > 0.0)
            .map(|passed| passed / converted * to_do);
        let slowest = at_work
            .iter()
            .filter_map(|one| one.file.eta_seconds)
            .max()
            .map(|seconds| seconds as f64);
        let eta = match (by_pace, slowest) {
            (Some(one), Some(other)) => Some(one.max(other)),
            // Alone it says nothing about the files that wait.
            (None, slowest) => slowest.filter(|_| outstanding().count() <= at_work.len()),
            (by_pace, None) => by_pace,
        };
        Self {
            fraction,
            eta: eta.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, MAX_SECONDS))),
        }
    }
}

impl Estimate {
    /// Whole percents, rounded down: 100 means that nothing is left.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a fraction is from 0 to 1"
    )]
    pub(super) fn percent(self) -> u32 {
        (self.fraction * 100.0) as u32
    }
}

/// Bytes of the outstanding jobs that workers have converted already. A report has a file's name only: of two
/// outstanding jobs of that name either may be meant.
fn in_part<'a>(outstanding: impl Iterator<Item = &'a Job>, at_work: &[AtWork]) -> f64 {
    let mut left: Vec<&Job> = outstanding.collect();
    let mut bytes = 0.0;
    for one in at_work {
        let Some(percent) = one.file.percent else {
            continue;
        };
        if let Some(index) = left.iter().position(|job| job.name == one.file.file) {
            let job = left.swap_remove(index);
            bytes += job.size.max(1) as f64 * f64::from(percent.min(100)) / 100.0;
        }
    }
    bytes
}

/// How long a file has been converted, from its percent and the time that is left.
fn seconds_in_work(one: &AtWork) -> Option<f64> {
    let percent = f64::from(
        one.file
            .percent
            .filter(|percent| (1..100).contains(percent))?,
    );
    let left = one.file.eta_seconds? as f64;
    Some((left * percent / (100.0 - percent)).min(MAX_SECONDS))
}

#[cfg(test)]
mod tests {
    use muck_worker::progress::FileReport;
    use proptest::prelude::*;

    use super::super::results::tests::job;
    use super::*;
    use crate::batch::statistics::JobTimes;
    use crate::batch::statistics::tests::any_times;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn waiting(name: &str, size: u64) -> Job {
        Job {
            name: name.to_owned(),
            size,
            status: JobStatus::Outstanding,
            ..job("web", None)
        }
    }

    fn done(size: u64, read: i64, written: i64) -> Job {
        Job {
            size,
            times: Some(JobTimes {
                read: at(read),
                written: at(written),
            }),
            ..job("web", None)
        }
    }

    fn in_work(name: &str, percent: u32, eta_seconds: u64) -> AtWork {
        AtWork {
            instance: "i-1".to_owned(),
            file: FileReport {
                file: name.to_owned(),
                batch: None,
                stage: "working".to_owned(),
                percent: Some(percent),
                speed: None,
                eta_seconds: Some(eta_seconds),
            },
        }
    }

    fn seconds(estimate: Estimate) -> Option<u64> {
        estimate.eta.map(|eta| eta.as_secs())
    }

    #[test]
    fn nothing_is_known_before_the_first_report() {
        let estimate = Estimate::of(&[waiting("a", 10)], &[], at(100));
        assert_eq!(
            estimate,
            Estimate {
                fraction: 0.0,
                eta: None
            }
        );
        assert_eq!(Estimate::of(&[], &[], at(100)).percent(), 0);
    }

    #[test]
    fn large_files_count_for_more() {
        let jobs = [done(10, 0, 10), waiting("b", 30)];
        let estimate = Estimate::of(&jobs, &[], at(10));
        assert_eq!(estimate.percent(), 25);
        assert_eq!(seconds(estimate), Some(30));
    }

    #[test]
    fn files_in_work_count_in_part() {
        let jobs = [waiting("a", 100), waiting("b", 100)];
        // Half of `a` in 20 s: 20 s more for it, and 40 s for `b`.
        let estimate = Estimate::of(&jobs, &[in_work("a", 50, 20)], at(1000));
        assert_eq!(estimate.percent(), 25);
        assert_eq!(seconds(estimate), Some(60));
    }

    #[test]
    fn no_batch_ends_before_its_slowest_file() {
        let jobs = [done(1000, 0, 10), waiting("slow", 10)];
        let estimate = Estimate::of(&jobs, &[in_work("slow", 1, 500)], at(10));
        assert_eq!(seconds(estimate), Some(500));
    }

    proptest! {
        #[test]
        fn an_estimate_is_a_time_and_a_fraction(
            times in prop::collection::vec((any::<u64>(), prop::option::of(any_times())), 0..20),
            reports in prop::collection::vec((any::<u32>(), any::<u64>()), 0..5),
            now in any::<i32>(),
        ) {
            let jobs: Vec<Job> = times
                .into_iter()
                .map(|(size, times)| Job {
                    status: if times.is_some() { JobStatus::Converted } else { JobStatus::Outstanding },
                    times,
                    ..waiting("a", size)
                })
                .collect();
            let at_work: Vec<AtWork> =
                reports.into_iter().map(|(percent, eta)| in_work("a", percent, eta)).collect();
            let estimate = Estimate::of(&jobs, &at_work, at(i64::from(now)));
            prop_assert!((0.0..=1.0).contains(&estimate.fraction), "{:?}", estimate);
            prop_assert!(estimate.eta.is_none_or(|eta| eta <= Duration::from_secs(1_000_000_000)), "{:?}", estimate);
        }
    }
}

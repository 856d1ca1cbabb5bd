//! The article's statistics, from the times in status messages. Pure.

use jiff::Timestamp;
use serde::Serialize;

/// When a job's service read its input and wrote its status, as the messages tell: whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobTimes {
    pub read: Timestamp,
    pub written: Timestamp,
}

impl JobTimes {
    /// Whole seconds of processing; never negative, whatever clocks said.
    pub fn processing_seconds(&self) -> u64 {
        u64::try_from(self.written.as_second() - self.read.as_second()).unwrap_or(0)
    }
}

/// The article's five figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Statistics {
    pub results: u64,
    /// Seconds, whole because the messages' dates are.
    pub minimum_processing_seconds: u64,
    pub maximum_processing_seconds: u64,
    pub average_processing_seconds: f64,
    /// From the first read to the last write, in seconds.
    pub elapsed_seconds: u64,
    /// Results a minute of elapsed time. An elapsed time that the dates can't tell from zero
    /// counts as one second.
    pub transactions_per_minute: f64,
}

impl Statistics {
    /// `None` without a single result: there is no mean of nothing.
    pub fn of(times: &[JobTimes]) -> Option<Self> {
        let processing = times.iter().map(JobTimes::processing_seconds);
        let results = times.len() as u64;
        let first = times.iter().map(|job| job.read).min()?;
        let last = times.iter().map(|job| job.written).max()?;
        let elapsed_seconds = JobTimes {
            read: first,
            written: last,
        }
        .processing_seconds();
        Some(Self {
            results,
            minimum_processing_seconds: processing.clone().min()?,
            maximum_processing_seconds: processing.clone().max()?,
            average_processing_seconds: processing.sum::<u64>() as f64 / results as f64,
            elapsed_seconds,
            transactions_per_minute: results as f64 * 60.0 / elapsed_seconds.max(1) as f64,
        })
    }

    /// The article's lines, without a line feed at the end.
    pub fn text(&self) -> String {
        format!(
            "Minimum Processing Time: {}\nMaximum Processing Time: {}\nAverage Processing Time: {:.6}\n\
             Elapsed Time: {}\nThroughput: {:.6} transactions / minute",
            self.minimum_processing_seconds,
            self.maximum_processing_seconds,
            self.average_processing_seconds,
            self.elapsed_seconds,
            self.transactions_per_minute,
        )
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Times as messages may tell them: of one day, or of any year that can be written.
    pub(in crate::batch) fn any_times() -> impl Strategy<Value = JobTimes> {
        let second = || {
            prop_oneof![
                1_172_021_294_i64..1_172_107_694,
                -377_705_023_201_i64..=253_402_207_200,
                Just(-377_705_023_201),
                Just(253_402_207_200),
            ]
        };
        (second(), second()).prop_map(|(read, written)| job(read, written))
    }

    fn job(read: i64, written: i64) -> JobTimes {
        let time = |second| Timestamp::from_second(second).expect("in range");
        JobTimes {
            read: time(read),
            written: time(written),
        }
    }

    /// Fifty jobs of one worker whose figures are those that the article prints.
    #[test]
    fn the_articles_figures_come_out() {
        // 50 durations with minimum 2, maximum 58 and the sum 891 = 50 × 17.82.
        let mut durations = vec![2_i64, 58];
        durations.extend(std::iter::repeat_n(17, 33));
        durations.extend(std::iter::repeat_n(18, 15));
        assert_eq!(durations.len(), 50);
        assert_eq!(durations.iter().sum::<i64>(), 891);
        let mut start = 1_172_021_294;
        let mut jobs = Vec::new();
        for duration in durations {
            jobs.push(job(start, start + duration));
            start += duration;
        }
        jobs[49].written = Timestamp::from_second(1_172_021_294 + 896).expect("in range");
        jobs[49].read = Timestamp::from_second(1_172_021_294 + 896 - 18).expect("in range");
        insta::assert_snapshot!(Statistics::of(&jobs).expect("jobs").text(), @r"
        Minimum Processing Time: 2
        Maximum Processing Time: 58
        Average Processing Time: 17.820000
        Elapsed Time: 896
        Throughput: 3.348214 transactions / minute
        ");
    }

    #[test]
    fn nothing_has_no_statistics() {
        assert_eq!(Statistics::of(&[]), None);
    }

    #[test]
    fn clocks_that_disagree_make_no_negative_time() {
        let statistics = Statistics::of(&[job(10, 3)]).expect("one");
        assert_eq!(statistics.maximum_processing_seconds, 0);
        assert_eq!(statistics.elapsed_seconds, 0);
        assert!((statistics.transactions_per_minute - 60.0).abs() < 1e-9);
    }
}

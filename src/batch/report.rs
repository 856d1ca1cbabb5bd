//! What `muck results` tells at its end: the article's lines, and what failed.

use std::fmt::Write as _;
use std::path::PathBuf;

use comfy_table::{ContentArrangement, Table, presets::NOTHING};
use muck_worker::text::{printable_short, quantity};
use serde::Serialize;

use super::ledger::Totals;
use super::statistics::Statistics;
use crate::error::{Error, Kind};

/// Characters of a reason in the table of failures; the log has all.
const REASON_MAX: usize = 300;

/// A job that did not come to a result here, and why. Foreign text: escape before showing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobFailure {
    pub file: String,
    pub reason: String,
}

/// What came of a batch.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub batch: String,
    /// Absolute.
    pub folder: PathBuf,
    pub log: PathBuf,
    pub totals: Totals,
    /// Converted jobs whose outputs are all in the folder.
    pub retrieved: u64,
    /// Bytes that were fetched this time; what was in the folder already isn't fetched again.
    pub bytes_fetched: u64,
    /// Result files below the folder, in the order of their originals.
    pub files: Vec<String>,
    /// Over the converted jobs.
    pub statistics: Option<Statistics>,
    /// Jobs that failed, and converted ones that could not be fetched.
    pub failures: Vec<JobFailure>,
    /// Why waiting was given up, if it was.
    pub given_up: Option<String>,
}

impl Report {
    /// The article's lines, and a table of failures if there are any.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{} successfully retrieved.",
            quantity(self.retrieved, "result")
        );
        if let Some(statistics) = &self.statistics {
            let _ = write!(text, "\n{}", statistics.text());
        }
        if !self.failures.is_empty() {
            let _ = write!(
                text,
                "\n\n{} failed:\n{}",
                self.failures.len(),
                failure_table(&self.failures)
            );
        }
        text
    }

    /// The error that the outcome deserves: waiting in vain, or (kind `SomeJobsFailed`) failed jobs.
    pub fn failure(&self) -> Option<Error> {
        if let Some(why) = &self.given_up {
            let error = Error::failed(format!(
                "{} of {} of batch {} did not come back",
                self.totals.outstanding,
                quantity(self.totals.jobs, "job"),
                self.batch
            ))
            .because(why.as_str());
            let hint = if self.totals.unsent > 0 {
                format!(
                    "submit the same files again with --batch {}: only what is missing is sent",
                    self.batch
                )
            } else {
                "`muck launch` starts instances; `muck status` shows the queues; then get the results again".to_owned()
            };
            return Some(error.hint(hint));
        }
        if self.failures.is_empty() {
            return None;
        }
        let error = Error::new(
            Kind::SomeJobsFailed,
            format!(
                "{} of {} failed",
                self.failures.len(),
                quantity(self.totals.jobs, "job")
            ),
        );
        Some(error.hint(format!("{} has the reasons in full", self.log.display())))
    }
}

fn failure_table(failures: &[JobFailure]) -> String {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    for failure in failures {
        table.add_row([
            printable_short(&failure.file, REASON_MAX),
            printable_short(&failure.reason, REASON_MAX),
        ]);
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::batch::statistics::JobTimes;

    fn report(failures: Vec<JobFailure>, given_up: Option<&str>) -> Report {
        Report {
            batch: "b".into(),
            folder: "/r".into(),
            log: "/r/log.csv".into(),
            totals: Totals {
                jobs: 3,
                converted: 1,
                failed: 2,
                outstanding: 0,
                unsent: 0,
            },
            retrieved: 1,
            bytes_fetched: 10,
            files: vec!["a.mov".into()],
            statistics: Statistics::of(&[JobTimes {
                read: Timestamp::from_second(10).expect("in range"),
                written: Timestamp::from_second(12).expect("in range"),
            }]),
            failures,
            given_up: given_up.map(ToOwned::to_owned),
        }
    }

    #[test]
    fn the_report_reads_as_in_the_article() {
        let failures = vec![
            JobFailure {
                file: "b.avi".into(),
                reason: "Invalid data found when processing input".into(),
            },
            JobFailure {
                file: "trip/\x1b[31mc.avi".into(),
                reason: "moov atom not found\u{202e}".into(),
            },
        ];
        let report = report(failures, None);
        insta::assert_snapshot!(report.text(), @r"
        1 result successfully retrieved.
        Minimum Processing Time: 2
        Maximum Processing Time: 2
        Average Processing Time: 2.000000
        Elapsed Time: 2
        Throughput: 30.000000 transactions / minute

        2 failed:
         b.avi                 Invalid data found when processing input
         trip/\u{1b}[31mc.avi  moov atom not found\u{202e}
        ");
        let error = report.failure().expect("some failed");
        assert_eq!(error.kind(), Kind::SomeJobsFailed);
        assert_eq!(error.to_string(), "2 of 3 jobs failed");
        assert!(super::tests::report(vec![], None).failure().is_none());
    }

    #[test]
    fn waiting_in_vain_says_what_to_do() {
        let mut report = report(vec![], Some("all queues are empty"));
        report.totals = Totals {
            jobs: 3,
            outstanding: 2,
            ..Totals::default()
        };
        let error = report.failure().expect("given up");
        assert_eq!(
            error.chain(),
            "2 of 3 jobs of batch b did not come back: all queues are empty"
        );
        assert!(error.hints()[0].contains("muck launch"));
        report.totals.unsent = 2;
        assert!(report.failure().expect("given up").hints()[0].contains("--batch b"));
    }
}

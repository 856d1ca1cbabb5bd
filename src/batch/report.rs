//! What `muck results` tells at its end: the article's lines, and what failed.

use std::fmt::Write as _;
use std::path::PathBuf;

use comfy_table::{ContentArrangement, Table, presets::NOTHING};
use muck_worker::text::{printable_short, quantity, quantity_of};
use serde::Serialize;

use super::ledger::Totals;
use super::statistics::Statistics;
use crate::error::{Error, Kind};

/// Characters of a text in a table; the log has all.
const REASON_MAX: usize = 300;

/// Rows of a table of what is left out: a folder of one camera's films has the same in each.
const MOST_REMARKS: usize = 20;

/// A job that did not come to a result here, and why. Foreign text: escape before showing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobFailure {
    pub file: String,
    pub reason: String,
}

/// A result that lacks part of its original, and what is missing. Untrusted text: escape before printing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remark {
    pub file: String,
    /// What the preset has no place for: nothing is wrong with it.
    pub left_out: Option<String>,
    /// What is missing because the original is damaged.
    pub warning: Option<String>,
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
    /// Converted jobs whose results don't hold all of their originals.
    pub remarks: Vec<Remark>,
    /// Why waiting was given up, if it was.
    pub given_up: Option<String>,
}

impl Report {
    /// Every converted job is in the folder with all its outputs.
    pub fn is_fetched(&self) -> bool {
        self.retrieved == self.totals.converted
    }

    /// The article's lines, and tables of what is missing and what failed if there is any.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{} successfully retrieved.",
            quantity(self.retrieved, "result")
        );
        if let Some(statistics) = &self.statistics {
            let _ = write!(text, "\n{}", statistics.text());
        }
        self.write_remarks(&mut text, "has damage", "have damage", |one| {
            one.warning.as_deref()
        });
        self.write_remarks(&mut text, "lacks something", "lack something", |one| {
            one.left_out.as_deref()
        });
        if !self.failures.is_empty() {
            let _ = write!(
                text,
                "\n\n{} failed:\n{}",
                self.failures.len(),
                table(self.failures.iter().map(|one| (&*one.file, &*one.reason)))
            );
        }
        text
    }

    fn write_remarks(
        &self,
        text: &mut String,
        one: &str,
        many: &str,
        pick: impl Fn(&Remark) -> Option<&str>,
    ) {
        let rows: Vec<(&str, &str)> = self
            .remarks
            .iter()
            .filter_map(|remark| Some((&*remark.file, pick(remark)?)))
            .collect();
        if rows.is_empty() {
            return;
        }
        let _ = write!(
            text,
            "\n\n{} {}:\n{}",
            quantity_of(&rows, "result"),
            if rows.len() == 1 { one } else { many },
            table(rows.iter().take(MOST_REMARKS).copied())
        );
        if rows.len() > MOST_REMARKS {
            let _ = write!(
                text,
                "\n … and {} more: {}",
                rows.len() - MOST_REMARKS,
                self.log.display()
            );
        }
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

fn table<'a>(rows: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    for (file, text) in rows {
        table.add_row([
            printable_short(file, REASON_MAX),
            printable_short(text, REASON_MAX),
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
            remarks: Vec::new(),
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
    fn what_is_missing_is_told() {
        let mut report = report(vec![], None);
        let remark = |file: &str, left_out: Option<&str>, warning: Option<&str>| Remark {
            file: file.into(),
            left_out: left_out.map(Into::into),
            warning: warning.map(Into::into),
        };
        let data = "data stream 2 (gpmd): MP4 has no place for it";
        report.remarks = vec![
            remark("a.mp4", Some(data), None),
            remark("b.mp4", Some(data), None),
            remark("c.avi", None, Some("the last 3.0 s are missing")),
        ];
        let text = report.text();
        let (_, tables) = text.split_once("minute\n\n").expect("has tables");
        insta::assert_snapshot!(tables, @r"
        1 result has damage:
         c.avi  the last 3.0 s are missing

        2 results lack something:
         a.mp4  data stream 2 (gpmd): MP4 has no place for it
         b.mp4  data stream 2 (gpmd): MP4 has no place for it
        ");
        report.remarks = vec![remark("a.mp4", Some(data), None); 25];
        assert!(report.text().ends_with("… and 5 more: /r/log.csv"));
        assert!(report.failure().is_none(), "nothing is wrong with them");
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

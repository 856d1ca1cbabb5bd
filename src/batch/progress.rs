//! How far the workers are with their files, from the reports that they put into the output bucket.

use std::fmt::Write as _;

use futures::future::try_join_all;
use jiff::Timestamp;
use muck_worker::progress::{AT_LEAST_EVERY, EVERY, FileReport, PREFIX, Report, VERSION};
use muck_worker::text::printable_short;
use serde::Serialize;

use crate::cloud::Cloud;
use crate::error::Result;
use crate::resources::object::{self, Listed, Place};

/// Reports that are older are of workers that have died: one with a file in hand reports twice in that time
/// ([`AT_LEAST_EVERY`]).
const FRESH_SECONDS: i64 = 60;
/// A report has some hundred bytes a file; what is much longer isn't one.
const MOST_BYTES: u64 = 1 << 20;

/// Faster than any machine, so that a number that is none is not shown with its three hundred digits.
const MOST_SPEED: f64 = 99_999.0;

/// A file at work somewhere. All text in it is foreign.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AtWork {
    /// The instance's id, or the host's name.
    pub instance: String,
    #[serde(flatten)]
    pub file: FileReport,
}

/// The files at work, in the order of instances. Costs a list and a request for each worker.
pub async fn at_work(cloud: &Cloud) -> Result<Vec<AtWork>> {
    let bucket = cloud.names.output_bucket();
    let now = Timestamp::now();
    let listed = object::list(cloud, &bucket, PREFIX).await?;
    let fresh = listed.into_iter().filter(|one| is_fresh(one, now));
    let reports = fresh.map(async |one| {
        let place = Place {
            bucket: &bucket,
            key: &one.key,
        };
        object::read(cloud, place, MOST_BYTES).await
    });
    let mut all = Vec::new();
    for text in try_join_all(reports).await?.into_iter().flatten() {
        all.extend(read(&text));
    }
    Ok(all)
}

/// The files in a report. One of a later version, or a text that is none, tells nothing of its worker.
fn read(text: &[u8]) -> Vec<AtWork> {
    match serde_json::from_slice::<Report>(text) {
        Ok(report) if report.version == VERSION => files_of(report),
        _ => Vec::new(),
    }
}

fn is_fresh(object: &Listed, now: Timestamp) -> bool {
    const { assert!(FRESH_SECONDS > (EVERY.as_secs() + AT_LEAST_EVERY.as_secs()).cast_signed()) };
    object
        .written
        .is_some_and(|at| now.as_second() - at.as_second() <= FRESH_SECONDS)
}

fn files_of(report: Report) -> Vec<AtWork> {
    let instance = report.instance_id.unwrap_or(report.host);
    let files = report.files.into_iter();
    files
        .map(|file| AtWork {
            instance: instance.clone(),
            file,
        })
        .collect()
}

impl AtWork {
    /// One line, for a terminal.
    pub(super) fn text(&self) -> String {
        let file = &self.file;
        let mut text = format!(
            "{}  {:<30} {:<8}",
            printable_short(&self.instance, 40),
            printable_short(&file.file, 30),
            printable_short(&file.stage, 10),
        );
        if let Some(percent) = file.percent {
            let _ = write!(text, " {:>3} %", percent.min(100));
        }
        if let Some(speed) = file.speed {
            let _ = write!(text, "  {:.1}×", speed.clamp(0.0, MOST_SPEED));
        }
        if let Some(eta) = file.eta_seconds {
            let eta = std::time::Duration::from_secs(eta);
            let _ = write!(text, "  ETA {}", crate::ui::seconds(eta));
        }
        text.trim_end().to_owned()
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_at_work_is_one_harmless_line() {
        let mut one = AtWork {
            instance: "i-0123456789abcdef0".to_owned(),
            file: FileReport {
                file: "a\x1b[2J.avi".to_owned(),
                batch: None,
                stage: "working".to_owned(),
                percent: Some(42),
                speed: Some(1.9),
                eta_seconds: Some(91),
            },
        };
        assert_eq!(
            one.text(),
            "i-0123456789abcdef0  a\\u{1b}[2J.avi                 working   42 %  1.9×  ETA 1 min 31 s"
        );
        one.file = FileReport {
            stage: "fetching".to_owned(),
            percent: None,
            speed: None,
            eta_seconds: None,
            ..one.file
        };
        assert!(one.text().ends_with("fetching"));
    }
}

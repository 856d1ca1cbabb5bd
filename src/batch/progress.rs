//! How far the workers are with their files, from the reports that they put into the output bucket.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use jiff::Timestamp;
use muck_worker::progress::{AT_LEAST_EVERY, EVERY, FileReport, PREFIX, Report, VERSION};
use muck_worker::text::printable_short;
use serde::Serialize;

use super::ledger::{Batch, Counter, Job, JobStatus, Ledger};
use crate::cloud::Cloud;
use crate::error::Result;
use crate::event::FileProgress;
use crate::resources::object::{self, Listed, Place};
use crate::ui::{seconds, speed};

/// Reports that are older are of workers that have died: one with a file in hand reports twice in that time
/// ([`AT_LEAST_EVERY`]).
const FRESH_SECONDS: i64 = 60;
/// A report has some hundred bytes a file; what is much longer isn't one.
const MOST_BYTES: u64 = 1 << 20;
/// Workers write no more often than every [`EVERY`]; half of it keeps what is shown from being twice as old.
const READ_EVERY: Duration = Duration::from_secs(EVERY.as_secs() / 2);

/// A file at work somewhere. All text in it is untrusted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AtWork {
    /// The instance's id, or the host's name.
    pub instance: String,
    #[serde(flatten)]
    pub file: FileReport,
}

/// The workers' reports, read again only when there may be new ones.
#[derive(Debug, Default)]
pub struct Reports {
    last: Option<(Instant, Vec<AtWork>)>,
}

impl Reports {
    /// The files at work, in the order of instances. Costs a list and a request for each worker every five seconds.
    pub async fn read(&mut self, cloud: &Cloud) -> Result<Vec<AtWork>> {
        Ok(self.read_if_due(cloud).await?.0)
    }

    /// Like [`Self::read`], but only the files of `batch`, whose ledger counts the requests. Reports are for looking at: a
    /// failure to read them is logged and no more.
    pub(super) async fn of_batch(
        &mut self,
        cloud: &Cloud,
        ledger: &Ledger,
        batch: &Batch,
    ) -> Result<Vec<AtWork>> {
        let (mut files, gets) = match self.read_if_due(cloud).await {
            Ok(read) => read,
            Err(error) => {
                tracing::debug!(error = error.chain(), "cannot read the workers' reports");
                self.last = Some((Instant::now(), Vec::new()));
                (Vec::new(), None)
            }
        };
        if let Some(gets) = gets {
            ledger.count(batch, Counter::Puts, 1)?;
            ledger.count(batch, Counter::Gets, gets)?;
        }
        files.retain(|one| one.file.batch.as_ref() == Some(&batch.name));
        Ok(files)
    }

    /// The files, and how many reports were requested if they were read just now.
    async fn read_if_due(&mut self, cloud: &Cloud) -> Result<(Vec<AtWork>, Option<u64>)> {
        if let Some((at, files)) = &self.last
            && at.elapsed() < READ_EVERY
        {
            return Ok((files.clone(), None));
        }
        let (files, gets) = at_work(cloud).await?;
        self.last = Some((Instant::now(), files.clone()));
        Ok((files, Some(gets)))
    }
}

/// The files at work, in the order of instances, and how many reports were requested.
async fn at_work(cloud: &Cloud) -> Result<(Vec<AtWork>, u64)> {
    let bucket = cloud.names.output_bucket();
    let now = Timestamp::now();
    let listed = object::list(cloud, &bucket, PREFIX).await?;
    let fresh = listed.into_iter().filter(|one| is_fresh(one, now));
    let requests = fresh.map(async |one| {
        let place = Place {
            bucket: &bucket,
            key: &one.key,
        };
        object::read(cloud, place, MOST_BYTES).await
    });
    let reports = try_join_all(requests).await?;
    let gets = reports.len() as u64;
    let files = reports.into_iter().flatten().flat_map(|text| read(&text));
    Ok((files.collect(), gets))
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
    /// Whether one of `jobs` is still outstanding and may be this file: a report may be older than the file's result.
    pub(super) fn is_of(&self, jobs: &[Job]) -> bool {
        jobs.iter()
            .any(|job| job.status == JobStatus::Outstanding && job.name == self.file.file)
    }

    pub(super) fn into_event(self) -> FileProgress {
        let file = self.file;
        FileProgress {
            file: file.file,
            stage: file.stage,
            percent: file.percent,
            speed: file.speed,
            eta: file.eta_seconds.map(Duration::from_secs),
        }
    }

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
        if let Some(value) = file.speed {
            let _ = write!(text, "  {}", speed(value));
        }
        if let Some(eta) = file.eta_seconds {
            let _ = write!(text, "  ETA {}", seconds(Duration::from_secs(eta)));
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

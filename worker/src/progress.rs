//! How far a worker is, for people who wait: one small object, `progress/<instance>.json`.
//!
//! It is put every ten seconds at most, and only if it says something new or, while a file is in hand, half a minute has passed: who
//! reads it takes silence for death. So an instance that works pays for 360 requests an hour at most, and one that
//! waits for none.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::dates::whole_seconds;
use crate::instance::Machine;
use crate::store::Store;
use crate::worker::{Desk, Stage, Standing};

/// The folder in the output bucket.
pub const PREFIX: &str = "progress/";

/// How often it is put at most.
pub const EVERY: Duration = Duration::from_secs(10);

/// How often it is looked whether there is something to put: the first report of a file that comes after a pause is this
/// late, not [`EVERY`].
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How often it is put at least while a file is in hand, whether or not it says something new.
pub const AT_LEAST_EVERY: Duration = Duration::from_secs(30);

/// [`Report::version`]: it changes when a field changes its meaning. Readers ignore fields that they
/// don't know.
pub const VERSION: u32 = 1;

/// How far an instance is. JSON in `progress/<instance>.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub version: u32,
    pub host: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// When it was written.
    pub at: Timestamp,
    /// How many files are worked on beside each other.
    pub slots: usize,
    /// The worker has ended: nothing more comes.
    pub ended: bool,
    pub files: Vec<FileReport>,
}

/// How far a file is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileReport {
    /// Foreign text.
    pub file: String,
    /// Foreign text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// `fetching`, `working` or `storing`.
    pub stage: String,
    /// Whole percents of the film.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u32>,
    /// Seconds of film a second, to a tenth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<f64>,
    /// Seconds until the conversion is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_seconds: Option<u64>,
}

impl FileReport {
    fn of(standing: Standing) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a fraction is from 0 to 1"
        )]
        let percent = |fraction: f64| (fraction * 100.0) as u32;
        Self {
            file: standing.file,
            batch: standing.batch,
            stage: match standing.stage {
                Stage::Fetching => "fetching",
                Stage::Working => "working",
                Stage::Storing => "storing",
            }
            .to_owned(),
            percent: standing.fraction.map(percent),
            speed: standing.speed.map(|speed| (speed * 10.0).round() / 10.0),
            eta_seconds: standing.eta.map(|eta| eta.as_secs()),
        }
    }
}

/// Puts a worker's reports.
pub struct Publisher<'a> {
    pub store: &'a dyn Store,
    pub clock: &'a dyn Clock,
    pub machine: &'a Machine,
    pub desk: &'a Desk,
    pub bucket: &'a str,
    /// The name of the object below [`PREFIX`], without `.json`.
    pub name: &'a str,
}

impl Publisher<'_> {
    /// Puts reports as long as `work` goes on, and a last one if there was any.
    pub async fn beside<T>(&self, work: impl Future<Output = T>) -> T {
        let mut last: Vec<FileReport> = Vec::new();
        let mut last_put: Option<Instant> = None;
        let publishing = async {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let passed = |limit| last_put.is_none_or(|at: Instant| at.elapsed() >= limit);
                if !passed(EVERY) {
                    continue;
                }
                let files = self.files();
                if files != last || (passed(AT_LEAST_EVERY) && !files.is_empty()) {
                    last.clone_from(&files);
                    last_put = Some(Instant::now());
                    self.put(files, false).await;
                }
            }
        };
        let done = tokio::select! {
            done = work => done,
            () = publishing => unreachable!("it is published for ever"),
        };
        if last_put.is_some() {
            self.put(Vec::new(), true).await;
        }
        done
    }

    fn files(&self) -> Vec<FileReport> {
        let standings = self.desk.standings().into_iter();
        standings.map(FileReport::of).collect()
    }

    /// One that can't be put is only missed.
    async fn put(&self, files: Vec<FileReport>, ended: bool) {
        let report = Report {
            version: VERSION,
            host: self.machine.host.clone(),
            instance_id: self.machine.instance_id.clone(),
            at: whole_seconds(self.clock.now()),
            slots: self.desk.slots(),
            ended,
            files,
        };
        let key = format!("{PREFIX}{}.json", self.name);
        match serde_json::to_string(&report) {
            Ok(text) => {
                let put = self
                    .store
                    .put_note(self.bucket, &key, &text, "application/json");
                if let Err(error) = put.await {
                    tracing::warn!("{error}");
                }
            }
            Err(error) => tracing::warn!("{error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_rounded_and_read_back() {
        let file = FileReport::of(Standing {
            file: "a.avi".to_owned(),
            batch: None,
            stage: Stage::Working,
            fraction: Some(0.429),
            speed: Some(1.949),
            eta: Some(Duration::from_millis(31_500)),
        });
        let report = Report {
            version: VERSION,
            host: "h1".to_owned(),
            instance_id: Some("i-1".to_owned()),
            at: Timestamp::UNIX_EPOCH,
            slots: 2,
            ended: false,
            files: vec![file],
        };
        let text = serde_json::to_string(&report).expect("writes");
        assert_eq!(
            text,
            r#"{"version":1,"host":"h1","instance_id":"i-1","at":"1970-01-01T00:00:00Z","slots":2,"ended":false,"files":[{"file":"a.avi","stage":"working","percent":42,"speed":1.9,"eta_seconds":31}]}"#
        );
        assert_eq!(
            serde_json::from_str::<Report>(&text).expect("reads"),
            report
        );
    }
}

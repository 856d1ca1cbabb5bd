//! `muck submit`: files to the input bucket under their MD5, one message a file to the input queue.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use futures::StreamExt as _;
use jiff::Timestamp;
use muck_worker::MEDIA_PREFIX;
use muck_worker::message::{InputMessage, MAX_BYTES, Message};
use muck_worker::preset::{Preset, Presets};
use muck_worker::text::{printable, quantity, quantity_of};
use muck_worker::worker::{disk_for, is_too_large_for};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinError;

use super::check_batch_name;
use super::disk;
use super::ledger::{Batch, Counter, Ledger, NewJob};
use super::scan::{self, Accept, FoundFile, LeftOut};
use super::upload::{self, Budget, Uploaded};
use crate::cloud::Cloud;
use crate::error::{Error, Result};
use crate::event::{Event, TransferProgress};
use crate::resources::message::{self, BATCH, Queue};
use crate::stack;

/// Files under way beside each other: enough to hide a round trip of 100 ms on a line of 500 Mbit/s at a hundred kB a file.
const FILES_AT_ONCE: usize = 64;
/// Messages that are sent beside each other: ten calls. Whatever a round trip takes, they go as fast as the files.
const ROUND: usize = 10 * BATCH;
/// A status message is its input message and up to about 4 KiB more, and must be readable too.
const MESSAGE_MAX: usize = MAX_BYTES / 2;

/// The header with the name of a job's results, without an extension, where the original's name is not enough.
pub(super) const RESULT_NAME: &str = "ResultName";
/// The header with the time at which the original was last changed, in ISO 8601.
pub(super) const MODIFIED: &str = "Modified";

/// What to submit.
#[derive(Debug, Clone, Default)]
pub struct SubmitOptions {
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// `None`: the configuration's.
    pub preset: Option<String>,
    /// `None`: a new name from the time, e.g. `20260102-030405-9f3a`.
    pub batch: Option<String>,
    /// Also what isn't video, and what is hidden.
    pub all: bool,
    /// Damaged files are converted as far as they decode; also where the configuration says so.
    pub salvage: bool,
    /// The folder of the results where it is known, canonical: it is left out.
    pub results: Option<PathBuf>,
}

/// What was submitted.
#[derive(Debug, Clone, Serialize)]
pub struct Submission {
    pub batch: String,
    pub preset: String,
    /// Files that have a message in the input queue, those of an earlier run of the same batch included.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files and bytes that were sent to the bucket this time; the rest was there.
    pub uploaded_files: u64,
    pub uploaded_bytes: u64,
    /// Files whose message was sent by an earlier run.
    pub submitted_before: u64,
    pub skipped: Vec<LeftOut>,
    /// Files that should have been submitted and could not be.
    pub failures: Vec<LeftOut>,
    pub seconds: f64,
}

impl Submission {
    /// The article's line, and how many files were skipped.
    pub fn text(&self) -> String {
        let mut text = format!("{} successfully submitted.", quantity(self.files, "file"));
        if !self.skipped.is_empty() {
            let skipped = quantity_of(&self.skipped, "file");
            let _ = write!(text, "\n{skipped} skipped; --all takes what can be read.");
        }
        text
    }

    /// An error that names the files that could not be submitted, if there are any.
    pub fn failure(&self) -> Option<Error> {
        let first = self.failures.first()?;
        let error = match self.failures.len() {
            1 => Error::failed(format!(
                "{} was not submitted: it {}",
                first.path, first.reason
            )),
            count => Error::failed(format!(
                "{count} files were not submitted; the first, {}, {}",
                first.path, first.reason
            )),
        };
        Some(error.hint(format!(
            "when they can be read, submit again with --batch {}: what is there isn't sent twice",
            self.batch
        )))
    }
}

/// What `submit` would refuse whatever the cloud is like: for commands that create things first.
///
/// # Errors
/// An unknown preset; a path that does not exist; nothing to submit.
pub async fn check_input(
    paths: &[PathBuf],
    presets: &Presets,
    preset: &str,
    all: bool,
    results: Option<PathBuf>,
) -> Result<()> {
    let accept = accept(find_preset(presets, preset)?, all);
    let paths = paths.to_vec();
    blocking(move || scan::scan(&paths, accept, results.as_deref()))
        .await?
        .map(|_| ())
}

/// What a preset can convert, or everything.
fn accept(preset: &Preset, all: bool) -> Accept {
    if all {
        Accept::All
    } else if preset.outputs.iter().any(|one| one.expect.video.is_some()) {
        Accept::Video
    } else {
        Accept::Audio
    }
}

/// Submits files. Each job is in the ledger before its message is sent, so repeating a submit
/// with the same batch name ends where an undisturbed one would have.
///
/// # Errors
/// Nothing to submit, an unknown preset, a bad batch name, a stack that isn't up, no ledger, or AWS
/// refusing. A single file that can't be read or changes meanwhile is told in
/// [`Submission::failures`] and the others go on.
pub async fn submit(cloud: &Cloud, options: &SubmitOptions) -> Result<Submission> {
    submit_by(cloud, &Ledger::open(cloud)?, options).await
}

/// The same with the ledger given.
pub(super) async fn submit_by(
    cloud: &Cloud,
    ledger: &Ledger,
    options: &SubmitOptions,
) -> Result<Submission> {
    let started = Instant::now();
    let preset = options
        .preset
        .clone()
        .unwrap_or_else(|| cloud.config.preset.clone());
    let definition = find_preset(&cloud.config.presets, &preset)?;
    let accept = accept(definition, options.all);
    let disk = disk::size(&cloud.config)?;
    let definition = (!definition.is_builtin()).then(|| definition.definition());
    if let Some(name) = &options.batch {
        check_batch_name(name)?;
    }
    let (paths, results) = (options.paths.clone(), options.results.clone());
    let scan = blocking(move || scan::scan(&paths, accept, results.as_deref())).await??;
    // A batch must not outlive its stack.
    let expires = cloud.lifetime().expires;
    let input = cloud.names.input_queue();
    let (queue, ()) = tokio::try_join!(message::open(cloud, &input), stack::renew(cloud, expires))?;
    let queue_made = message::depth(cloud, &queue).await?.made;
    let name = options
        .batch
        .clone()
        .unwrap_or_else(|| new_name(Timestamp::now()));
    let batch = ledger.begin_batch(&name, Timestamp::now())?;
    cloud.events.note(format!("batch {name}, preset {preset}"));
    let mut report = Submission {
        batch: name,
        preset,
        files: 0,
        bytes: 0,
        uploaded_files: 0,
        uploaded_bytes: 0,
        submitted_before: 0,
        skipped: scan.skipped,
        failures: scan.failures,
        seconds: 0.0,
    };
    for one in &report.skipped {
        let (path, reason) = (one.path.clone(), one.reason.clone());
        cloud.events.emit(Event::Skipped { path, reason });
    }
    let run = Run {
        cloud,
        ledger,
        batch: &batch,
        preset: &report.preset.clone(),
        definition,
        salvage: options.salvage || cloud.config.salvage,
        disk,
        queue_made,
        budget: Budget::default(),
        progress: Progress::new(cloud, &scan.files),
        contents: tokio::sync::Mutex::default(),
    };
    run.all(scan.files, &queue, &mut report).await?;
    for one in &report.failures {
        cloud.events.warn(format!("{} {}", one.path, one.reason));
    }
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

/// The preset of that name.
///
/// # Errors
/// Kind `Usage`, with the names that there are.
pub fn find_preset<'a>(presets: &'a Presets, name: &str) -> Result<&'a Preset> {
    presets.get(name).ok_or_else(|| {
        let known = presets.names().collect::<Vec<_>>().join(", ");
        Error::usage(format!("there is no preset {name:?}")).hint(format!(
            "use one of: {known}; `muck presets` tells what each does"
        ))
    })
}

/// A batch's name: UTC time, and four hex digits against two submits in one second.
pub fn new_name(now: Timestamp) -> String {
    format!(
        "{}-{:04x}",
        now.strftime("%Y%m%d-%H%M%S"),
        rand::random::<u16>()
    )
}

/// Runs what blocks (files, digests) off the threads that serve the network.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(broken)
}

/// What a task that panicked is to the user.
pub(super) fn broken(error: JoinError) -> Error {
    Error::failed("a task of this program broke").because(error)
}

/// One submission under way.
struct Run<'a> {
    cloud: &'a Cloud,
    ledger: &'a Ledger,
    batch: &'a Batch,
    preset: &'a str,
    /// Of the user's own preset; workers know the built-in ones.
    definition: Option<String>,
    salvage: bool,
    /// GiB of the workers' disks.
    disk: u32,
    queue_made: i64,
    budget: Budget,
    progress: Progress<'a>,
    /// One lock a content: of two files with the same, the second waits and finds it there.
    contents: tokio::sync::Mutex<HashMap<String, Arc<tokio::sync::Mutex<bool>>>>,
}

/// What became of one file.
enum Outcome {
    /// Stored, its job written down; the message is still to be sent.
    Ready(Ready),
    SubmittedBefore {
        bytes: u64,
    },
    /// The same content under the same name in the same folder of another root.
    Twice(LeftOut),
    Failed(LeftOut),
}

struct Ready {
    job: i64,
    body: String,
    bytes: u64,
    uploaded: bool,
}

impl Run<'_> {
    async fn all(
        &self,
        files: Vec<FoundFile>,
        queue: &Queue,
        report: &mut Submission,
    ) -> Result<()> {
        let (give, take) = mpsc::unbounded_channel();
        tokio::try_join!(
            self.store_all(files, give, report),
            self.send_all(queue, take)
        )?;
        Ok(())
    }

    /// Stores the files and hands on those whose message is to be sent.
    async fn store_all(
        &self,
        files: Vec<FoundFile>,
        ready: mpsc::UnboundedSender<Ready>,
        report: &mut Submission,
    ) -> Result<()> {
        let jobs = std::sync::Mutex::new(HashSet::new());
        let mut outcomes = futures::stream::iter(files)
            .map(|file| self.one(file, &jobs))
            .buffer_unordered(FILES_AT_ONCE);
        while let Some(outcome) = outcomes.next().await {
            match outcome? {
                Outcome::Ready(one) => {
                    report.files += 1;
                    report.bytes += one.bytes;
                    if one.uploaded {
                        report.uploaded_files += 1;
                        report.uploaded_bytes += one.bytes;
                    }
                    // Whoever takes them has ended only with an error, which ends this too.
                    let _ = ready.send(one);
                }
                Outcome::SubmittedBefore { bytes } => {
                    report.files += 1;
                    report.bytes += bytes;
                    report.submitted_before += 1;
                }
                Outcome::Twice(one) => {
                    let (path, reason) = (one.path.clone(), one.reason.clone());
                    self.cloud.events.emit(Event::Skipped { path, reason });
                    report.skipped.push(one);
                }
                Outcome::Failed(one) => report.failures.push(one),
            }
        }
        Ok(())
    }

    /// Sends the messages while further files are stored: those that are ready, at most [`ROUND`], beside each other.
    async fn send_all(
        &self,
        queue: &Queue,
        mut ready: mpsc::UnboundedReceiver<Ready>,
    ) -> Result<()> {
        let mut some = Vec::with_capacity(ROUND);
        loop {
            let room = ROUND - some.len();
            if ready.recv_many(&mut some, room).await == 0 {
                break;
            }
            // A call costs the same with one message as with ten: only the last is not full.
            let full = some.len() / BATCH * BATCH;
            self.send(queue, some.drain(..full).collect()).await?;
        }
        self.send(queue, some).await
    }

    async fn send(&self, queue: &Queue, ready: Vec<Ready>) -> Result<()> {
        if ready.is_empty() {
            return Ok(());
        }
        let (jobs, bodies): (Vec<_>, Vec<_>) =
            ready.into_iter().map(|one| (one.job, one.body)).unzip();
        self.ledger.harden()?;
        let mut requests = 0;
        let sent = message::send(self.cloud, queue, &bodies, &mut requests).await;
        self.ledger.count(self.batch, Counter::Queue, requests)?;
        sent?;
        self.ledger.mark_sent(&jobs, Timestamp::now())
    }

    /// Takes one file as far as its message. Errors of the file are an outcome; those of the cloud
    /// or the ledger end the submission.
    async fn one(&self, file: FoundFile, jobs: &std::sync::Mutex<HashSet<i64>>) -> Result<Outcome> {
        if is_too_large_for(file.bytes, self.disk) {
            self.progress.file_done(file.bytes);
            let reason = format!(
                "can't be converted with a disk of {} GiB: give the instances --disk {}",
                self.disk,
                disk_for(file.bytes)
            );
            return Ok(Outcome::Failed(LeftOut::new(&file.path, reason)));
        }
        let prepared = match upload::prepare(&self.budget, &file.path, &file.mime, file.bytes).await
        {
            Ok(prepared) => prepared,
            Err(reason) => {
                self.progress.file_done(file.bytes);
                return Ok(Outcome::Failed(LeftOut::new(&file.path, reason)));
            }
        };
        let bytes = prepared.content.bytes;
        let (input, body) = match self.message(&file, &prepared) {
            Ok(message) => message,
            Err(reason) => {
                self.progress.file_done(file.bytes);
                return Ok(Outcome::Failed(LeftOut::new(&file.path, reason)));
            }
        };
        let job = NewJob {
            input_key: input.input_key,
            name: input.original_file_name,
            location: input.original_location.unwrap_or_default(),
            preset: self.preset.to_owned(),
            size: bytes,
        };
        let (id, unsent) = self.ledger.add_job(self.batch, &job, self.queue_made)?;
        let told = AtomicU64::new(0);
        let first = jobs.lock().map_or(true, |mut jobs| jobs.insert(id));
        let outcome = if !first {
            Outcome::Twice(LeftOut::new(
                &file.path,
                "is the same file as another of that name",
            ))
        } else if unsent {
            let content = self.content_lock(&prepared.content.md5).await;
            let mut is_there = content.lock().await;
            let uploaded = if *is_there {
                Uploaded::WasThere
            } else {
                match upload::store(
                    self.cloud,
                    &self.budget,
                    &prepared,
                    self.ledger,
                    self.batch,
                    &|bytes| {
                        told.fetch_add(bytes, Ordering::Relaxed);
                        self.progress.more(bytes);
                    },
                )
                .await?
                {
                    Ok(uploaded) => uploaded,
                    Err(reason) => {
                        self.progress
                            .file_done(file.bytes.saturating_sub(told.load(Ordering::Relaxed)));
                        return Ok(Outcome::Failed(LeftOut::new(&file.path, reason)));
                    }
                }
            };
            *is_there = true;
            Outcome::Ready(Ready {
                job: id,
                body,
                bytes,
                uploaded: uploaded == Uploaded::Sent,
            })
        } else {
            Outcome::SubmittedBefore { bytes }
        };
        self.progress
            .file_done(file.bytes.saturating_sub(told.load(Ordering::Relaxed)));
        Ok(outcome)
    }

    async fn content_lock(&self, md5: &str) -> Arc<tokio::sync::Mutex<bool>> {
        Arc::clone(
            self.contents
                .lock()
                .await
                .entry(md5.to_owned())
                .or_default(),
        )
    }

    /// The input message, as a reader will see it, and its text.
    fn message(
        &self,
        file: &FoundFile,
        prepared: &upload::Prepared,
    ) -> Result<(InputMessage, String), String> {
        let content = &prepared.content;
        let message = InputMessage {
            bucket: self.cloud.names.input_bucket(),
            input_key: format!("{MEDIA_PREFIX}{}", content.md5),
            date: Some(Timestamp::now()),
            original_file_name: file.name.clone(),
            size: content.bytes,
            batch: Some(self.batch.name.clone()),
            preset: Some(self.preset.to_owned()),
            preset_definition: self.definition.clone(),
            output_bucket: Some(self.cloud.names.output_bucket()),
            original_location: Some(file.location.clone()).filter(|location| !location.is_empty()),
            sha256: Some(content.sha256.clone()),
            salvage: self.salvage,
            extra: result_headers(file),
        };
        let text = message.to_message().to_string();
        if text.len() > MESSAGE_MAX {
            return Err(format!(
                "has too long a path for a message of {MESSAGE_MAX} bytes"
            ));
        }
        // Headers can't hold every character that a file name can; what comes back is what counts.
        let read = Message::parse(&text)
            .and_then(|message| InputMessage::from_message(&message))
            .map_err(|error| format!("can't be told in a message: {error}"))?;
        if read.original_file_name != file.name
            || file
                .path
                .file_name()
                .is_none_or(|name| name.to_str().is_none())
        {
            self.cloud.events.note(format!(
                "{} is sent under the name {}",
                printable(&file.path.display().to_string()),
                printable(&read.original_file_name)
            ));
        }
        Ok((read, text))
    }
}

/// Headers that are for whoever fetches the results: workers pass them on.
fn result_headers(file: &FoundFile) -> Vec<(String, String)> {
    let modified = file
        .modified
        .and_then(|time| Timestamp::try_from(time).ok());
    let headers = [
        (RESULT_NAME, file.result_name.clone()),
        (MODIFIED, modified.map(|time| time.to_string())),
    ];
    headers
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

/// Counts files and bytes for the bar.
struct Progress<'a> {
    cloud: &'a Cloud,
    total: TransferProgress,
    files: AtomicU64,
    bytes: AtomicU64,
}

impl<'a> Progress<'a> {
    fn new(cloud: &'a Cloud, files: &[FoundFile]) -> Self {
        let total = TransferProgress {
            files_total: files.len() as u64,
            bytes_total: files.iter().map(|file| file.bytes).sum(),
            ..TransferProgress::default()
        };
        Self {
            cloud,
            total,
            files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// `bytes` more are done, of a file that is not.
    fn more(&self, bytes: u64) {
        self.cloud.events.emit(Event::Upload(TransferProgress {
            files_done: self.files.load(Ordering::Relaxed),
            bytes_done: self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes,
            ..self.total
        }));
    }

    /// A file is done, in whatever way; `bytes` of it were not told yet.
    fn file_done(&self, bytes: u64) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.more(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_names_come_from_the_time() {
        let name = new_name("2026-01-02T03:04:05Z".parse().expect("a time"));
        assert!(name.starts_with("20260102-030405-"), "{name}");
        assert_eq!(name.len(), 20);
        check_batch_name(&name).expect("valid");
    }

    #[test]
    fn an_unknown_preset_names_the_known_ones() {
        let error = find_preset(Presets::builtin(), "ipdo").expect_err("unknown");
        assert_eq!(error.to_string(), "there is no preset \"ipdo\"");
        assert!(error.hints()[0].contains("ipod"), "{:?}", error.hints());
    }
}

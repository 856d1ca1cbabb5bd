//! From the output queue into the ledger; and the dead letters of the failed queue.

use std::time::Duration;

use futures::future::try_join_all;
use jiff::Timestamp;
use muck_worker::message::{DeadLetter, InputMessage, Message, Status, StatusMessage};
use muck_worker::text::printable_short;

use super::ledger::{Batch, Counter, JobStatus, Ledger, NewJob, Told};
use super::statistics::JobTimes;
use super::{UNNAMED, is_batch_name};
use crate::cloud::Cloud;
use crate::error::Result;
use crate::names::Names;
use crate::resources::message::{self, Depth, Queue, Received};
use crate::stack::MAX_RECEIVES;

/// Dead letters are looked at, not taken: for this long nobody else sees them.
const PEEK: Duration = Duration::from_secs(10);
/// Follows a number in the reason of a dead letter that the queue itself moved.
pub const LOST: &str = "workers died or lost it before one could answer";
/// Further calls for status messages, those of each round beside each other: at the most 310 messages come at once.
const BESIDE: [u64; 4] = [2, 4, 8, 16];
/// Calls of one look at the dead letters, ten messages each; more wait for the next look.
const PEEKS: u32 = 20;

/// The stack's queues, seen from here.
#[derive(Debug)]
pub struct Collector<'a> {
    cloud: &'a Cloud,
    ledger: &'a Ledger,
    /// Whose counters our own requests go to.
    batch: &'a Batch,
    pub input: Queue,
    output: Queue,
    failed: Queue,
}

/// How full the three queues are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Depths {
    pub input: Depth,
    pub output: Depth,
    pub failed: Depth,
}

/// One job that came back now for the first time.
#[derive(Debug, Clone, PartialEq)]
pub struct Came {
    pub batch: String,
    /// Its number in the ledger, if it may have outputs.
    pub job: Option<i64>,
    /// Location and name; foreign text.
    pub file: String,
    pub seconds: u64,
    /// Foreign text.
    pub failure: Option<String>,
}

impl<'a> Collector<'a> {
    pub async fn open(cloud: &'a Cloud, ledger: &'a Ledger, batch: &'a Batch) -> Result<Self> {
        let (input, output, failed) = (
            cloud.names.input_queue(),
            cloud.names.output_queue(),
            cloud.names.failed_queue(),
        );
        let (input, output, failed) = tokio::try_join!(
            message::open(cloud, &input),
            message::open(cloud, &output),
            message::open(cloud, &failed)
        )?;
        Ok(Self {
            cloud,
            ledger,
            batch,
            input,
            output,
            failed,
        })
    }

    /// Takes status messages, waiting for the first: into the ledger first, out of the queue then. Returns how many messages
    /// there were, and the jobs that came back by them.
    pub async fn reports(&self, wait: Duration) -> Result<(usize, Vec<Came>)> {
        let messages = self.receive(wait).await?;
        let mut usable = Vec::new();
        for one in &messages {
            match read_report(&one.body, &self.cloud.names) {
                Ok((batch, status)) => usable.push((batch, status, one.body.as_str())),
                Err(reason) => self.keep(&self.output, &one.id, &one.body, &reason)?,
            }
        }
        let told: Vec<Told<'_>> = usable
            .iter()
            .map(|(batch, status, raw)| Told { batch, status, raw })
            .collect();
        let recorded = self
            .ledger
            .record(&told, &self.cloud.names.output_bucket())?;
        let receipts: Vec<String> = messages.iter().map(|one| one.receipt.clone()).collect();
        let calls = receipts.chunks(message::BATCH);
        self.ledger
            .count(self.batch, Counter::Queue, calls.len() as u64)?;
        try_join_all(calls.map(|some| message::delete(self.cloud, &self.output, some))).await?;
        let came = usable
            .iter()
            .zip(recorded)
            .filter_map(|((batch, status, _), job)| Some(Came::of(job?, batch.clone(), status)));
        Ok((receipts.len(), came.collect()))
    }

    /// As many messages as a few calls bring: while calls come back full, twice as many beside each other.
    async fn receive(&self, wait: Duration) -> Result<Vec<Received>> {
        let call = |wait| message::receive(self.cloud, &self.output, wait, None);
        let mut messages = call(wait).await?;
        let mut calls = 1;
        let mut full = messages.len() == message::BATCH;
        for beside in BESIDE {
            if !full {
                break;
            }
            let more = try_join_all((0..beside).map(|_| call(Duration::ZERO))).await?;
            calls += beside;
            full = more.iter().all(|some| some.len() == message::BATCH);
            messages.extend(more.into_iter().flatten());
        }
        self.ledger.count(self.batch, Counter::Queue, calls)?;
        Ok(messages)
    }

    /// Looks at the dead letters, which stay where they are. Outstanding jobs among them have failed.
    pub async fn dead_letters(&self) -> Result<Vec<Came>> {
        let mut came = Vec::new();
        for _ in 0..PEEKS {
            let messages =
                message::receive(self.cloud, &self.failed, Duration::ZERO, Some(PEEK)).await?;
            self.ledger.count(self.batch, Counter::Queue, 1)?;
            if messages.is_empty() {
                break;
            }
            for one in messages {
                match read_dead(&DeadLetter::read(&one.body)) {
                    Ok((batch, job, reason, written)) => {
                        let Some(batch) = self.ledger.batch(&batch)? else {
                            continue;
                        };
                        if self.ledger.record_dead(&batch, &job, &reason, written)? {
                            came.push(Came {
                                job: None,
                                batch: batch.name,
                                file: shown(&job.location, &job.name),
                                seconds: 0,
                                failure: Some(reason),
                            });
                        }
                    }
                    Err(reason) => self.keep(&self.failed, &one.id, &one.body, &reason)?,
                }
            }
        }
        Ok(came)
    }

    /// Counts the stack's queues without taking part in a batch.
    pub async fn look(cloud: &Cloud) -> Result<Depths> {
        let (input, output, failed) = (
            cloud.names.input_queue(),
            cloud.names.output_queue(),
            cloud.names.failed_queue(),
        );
        let count =
            async |name: &str| message::depth(cloud, &message::open(cloud, name).await?).await;
        let (input, output, failed) =
            tokio::try_join!(count(&input), count(&output), count(&failed))?;
        Ok(Depths {
            input,
            output,
            failed,
        })
    }

    /// Counts the three queues.
    pub async fn depths(&self) -> Result<Depths> {
        let (input, output, failed) = tokio::try_join!(
            message::depth(self.cloud, &self.input),
            message::depth(self.cloud, &self.output),
            message::depth(self.cloud, &self.failed)
        )?;
        self.ledger.count(self.batch, Counter::Queue, 3)?;
        Ok(Depths {
            input,
            output,
            failed,
        })
    }

    /// Keeps a message that can't be used in the ledger and says so, once.
    fn keep(&self, queue: &Queue, id: &str, body: &str, reason: &str) -> Result<()> {
        if self.ledger.keep_stray(&queue.name, id, body, reason)? {
            let text = format!(
                "a message in queue {} is of no use: {} (kept in the ledger)",
                queue.name,
                printable_short(reason, 300)
            );
            self.cloud.events.warn(text);
        }
        Ok(())
    }
}

impl Came {
    fn of(job: i64, batch: String, status: &StatusMessage) -> Self {
        let times = JobTimes {
            read: status.service_read,
            written: status.service_write,
        };
        Self {
            batch,
            job: Some(job),
            file: shown(
                status
                    .input
                    .original_location
                    .as_deref()
                    .unwrap_or_default(),
                &status.input.original_file_name,
            ),
            seconds: times.processing_seconds(),
            failure: match status.status {
                Status::Converted => None,
                Status::Failed => Some(reason_of(status.error.as_deref())),
            },
        }
    }
}

fn shown(location: &str, name: &str) -> String {
    match (location, name) {
        (_, "") => "(no name)".to_owned(),
        ("", name) => name.to_owned(),
        (location, name) => format!("{location}/{name}"),
    }
}

fn reason_of(error: Option<&str>) -> String {
    error.unwrap_or("the worker gave no reason").to_owned()
}

/// Reads a status message and the batch that it belongs to.
///
/// # Errors
/// Why it can't be used, safe to print: not of the form, an impossible batch name, or outputs in a
/// bucket that is not the stack's (fetching from there would be another's choice, not ours).
fn read_report(body: &str, names: &Names) -> Result<(String, StatusMessage), String> {
    let message = Message::parse(body).map_err(|error| error.to_string())?;
    let status = StatusMessage::from_message(&message).map_err(|error| error.to_string())?;
    let batch = batch_of(&status.input)?;
    if let Some(bucket) = &status.input.output_bucket
        && *bucket != names.output_bucket()
        && !status.outputs.is_empty()
    {
        let bucket = printable_short(bucket, 70);
        return Err(format!(
            "it names the bucket `{bucket}`, which is not this stack's output bucket"
        ));
    }
    Ok((batch, status))
}

fn batch_of(input: &InputMessage) -> Result<String, String> {
    let name = input.batch.as_deref().unwrap_or(UNNAMED);
    if is_batch_name(name) {
        Ok(name.to_owned())
    } else {
        Err(format!(
            "`{}` is not a batch name",
            printable_short(name, 70)
        ))
    }
}

/// What a dead letter tells: its batch, its job, why it is dead, and when a worker wrote it.
///
/// # Errors
/// Why it belongs to no job.
pub(super) fn read_dead(
    letter: &DeadLetter,
) -> Result<(String, NewJob, String, Option<Timestamp>), String> {
    if let Some(why) = &letter.unreadable {
        return Err(why.clone());
    }
    let input = letter.input.clone();
    let batch = batch_of(&input)?;
    let job = NewJob {
        name: match input.original_file_name.as_str() {
            "" => input.input_key.rsplit('/').next().unwrap_or_default(),
            name => name,
        }
        .to_owned(),
        input_key: input.input_key,
        location: input.original_location.unwrap_or_default(),
        preset: input.preset.unwrap_or_default(),
        size: input.size,
    };
    Ok((batch, job, dead_reason(letter), letter.written))
}

/// Why a message is dead; foreign text. The queue itself moves what was received too often and neither
/// answered nor given up.
pub(super) fn dead_reason(letter: &DeadLetter) -> String {
    letter
        .reason
        .clone()
        .unwrap_or_else(|| format!("{MAX_RECEIVES} {LOST}"))
}

/// How many dead letters the stack has, approximately.
pub async fn dead_letters(cloud: &Cloud) -> Result<u64> {
    let queue = message::open(cloud, &cloud.names.failed_queue()).await?;
    Ok(message::depth(cloud, &queue).await?.visible)
}

/// Whether a status is an end that is not a success.
pub fn is_failure(status: JobStatus) -> bool {
    matches!(status, JobStatus::Failed | JobStatus::Dead)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn names() -> Names {
        Names {
            stack: "demo".parse().expect("valid"),
            account: "000000000000".into(),
            region: "us-local-1".into(),
            extra_tags: std::collections::BTreeMap::new(),
        }
    }

    pub(super) fn report(change: &[(&str, &str)]) -> String {
        let mut message = Message::parse(
            "Bucket: bbb\nInputKey: media/f84e4a20b571abc69baf2277d193e596\nOriginalFileName: a.avi\nSize: 10\n\
             Batch: b\nOutputKey: media/e69e376be5af6f88f81d3e31adf27988;type=video/quicktime\n\
             Server: ConvertVideo\nHost: h\nService-Read: Wed, 21 Feb 2007 01:28:14 GMT\n\
             Service-Write: Wed, 21 Feb 2007 01:28:27 GMT\nStatus: converted\n",
        )
        .expect("parses");
        for (name, value) in change {
            message.set(name, value);
        }
        message.to_string()
    }

    #[test]
    fn a_report_is_read_with_its_batch() {
        let (batch, status) = read_report(&report(&[]), &names()).expect("a report");
        assert_eq!((batch.as_str(), status.outputs.len()), ("b", 1));
        let (batch, _) =
            read_report(&report(&[("Batch", "")]), &names()).expect("a report of 2007");
        assert_eq!(batch, UNNAMED);
        let ours = names().output_bucket();
        assert!(read_report(&report(&[("OutputBucket", &ours)]), &names()).is_ok());
    }

    #[test]
    fn hostile_reports_are_refused_with_their_reason() {
        let refused = |body: &str| read_report(body, &names()).expect_err("is refused");
        assert_eq!(
            refused(&report(&[("OutputBucket", "someone-elses-bucket")])),
            "it names the bucket `someone-elses-bucket`, which is not this stack's output bucket"
        );
        assert_eq!(
            refused(&report(&[("Batch", "../../x")])),
            "`../../x` is not a batch name"
        );
        assert_eq!(
            refused(&report(&[("InputKey", "")])),
            "the header `InputKey` is missing"
        );
        assert_eq!(
            refused(&report(&[("OutputKey", "")])),
            "the header `OutputKey` is missing"
        );
        assert!(refused(&report(&[("Batch", "\u{202e}evil")])).contains("\\u{202e}evil"));
        assert!(refused(&format!("X: {}", "x".repeat(1 << 20))).contains("bytes; at most"));
        for garbage in ["", "{\"Records\": []}", "\0\0\0", "<xml/>", "A: b\n\nbody"] {
            refused(garbage);
        }
    }

    #[test]
    fn a_dead_letter_is_told_with_its_reason() {
        let text =
            "Bucket: bbb\nInputKey: k\nOriginalFileName: a.avi\nSize: 1\nBatch: b\nPreset: ipod\n";
        let read = |text: &str| read_dead(&DeadLetter::read(text));
        let (batch, job, reason, _) = read(text).expect("an input");
        assert_eq!(
            (batch.as_str(), job.name.as_str(), job.preset.as_str()),
            ("b", "a.avi", "ipod")
        );
        assert!(reason.starts_with("3 workers died"), "{reason}");
        let (_, _, reason, _) = read(&format!("{text}Error: no InputKey\n")).expect("an input");
        assert_eq!(reason, "no InputKey");
        assert_eq!(
            read("Bucket: bbb\nSize: 1\n").expect_err("no key"),
            "the header `InputKey` is missing"
        );
    }
}

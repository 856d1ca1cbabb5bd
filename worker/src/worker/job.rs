//! The six steps of one message: read it, fetch the input, process it, store the outputs, write
//! the status message, delete the input message.
//!
//! The order is what makes duplicates and crashes harmless: an output is stored under its own MD5
//! before the verdict names it, the verdict decides before the status message tells it, and the
//! input message goes last.

use std::time::Duration;

use jiff::Timestamp;

use super::Worker;
use crate::MEDIA_PREFIX;
use crate::ffmpeg::INPUT_NAME;
use crate::inbox::{Delivery, QueueError};
use crate::message::{InputMessage, Message, OutputKey, Status, StatusMessage};
use crate::service::{OutputFile, ServiceError, Task};
use crate::store::{Fetched, StoreError};
use crate::sums::Sums;
use crate::text::printable_short;
use crate::verdict::{self, Content, Output, Verdict};

/// A failure that is not the file's: the message goes back, and the machine is doubted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(String);

/// What becomes of the message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// It is answered and deleted.
    Finished,
    /// It goes back without anyone's fault, to be seen again after that time.
    GiveBack(Duration),
}

/// A message that S3 denies the input of is given back so often before it is failed: the rights
/// of a new role may take a while to be known everywhere.
const DENIED_TIMES: u32 = 3;

/// … and seen again after this time.
const DENIED_PAUSE: Duration = Duration::from_secs(15);

/// The longest pause of a message that can't be read. Each time it comes back sooner or later it
/// nears `maxReceiveCount`, and becomes a dead letter; on a queue without that it must not be
/// read in a circle.
const LONGEST_UNREADABLE_PAUSE: u64 = 900;

/// Free space that must be left beside input and output, in bytes: for logs and the system.
const SPARE_BYTES: u64 = 64 << 20;

/// How a job ends that makes nothing.
enum Stop {
    /// The message can't be done as it stands: told, with no verdict, because it says nothing of
    /// what the content would become.
    Refused(String),
    GiveBack(Duration),
    Fault(Fault),
}

/// One message at work.
pub(super) struct Job<'a> {
    pub(super) worker: &'a Worker<'a>,
    pub(super) delivery: &'a Delivery,
    /// When the message was read.
    pub(super) read_at: Timestamp,
}

impl Job<'_> {
    /// All six steps.
    pub(super) async fn run(&self) -> Result<Done, Fault> {
        let message = match Message::parse(&self.delivery.body) {
            Ok(message) => message,
            Err(error) => {
                // No header can be read, so there is no one to tell. It becomes a dead letter.
                tracing::error!("message {} can't be read: {error}", self.delivery.id);
                return Ok(Done::GiveBack(self.unreadable_pause()));
            }
        };
        let input = match InputMessage::from_message(&message) {
            Ok(input) => input,
            Err(error) => {
                tracing::error!("message {} is no input message: {error}", self.delivery.id);
                let input = InputMessage::lenient(&message);
                if input.bucket.is_empty()
                    && input.input_key.is_empty()
                    && input.batch.is_none()
                    && input.original_file_name.is_empty()
                {
                    return Ok(Done::GiveBack(self.unreadable_pause()));
                }
                self.refuse(input, &error.to_string()).await?;
                return Ok(Done::Finished);
            }
        };
        tracing::info!(
            "read {}: {} ({} bytes)",
            printable_short(&input.input_key, 100),
            printable_short(&input.original_file_name, 100),
            input.size
        );
        match self.decide(&input).await {
            Ok(verdict) => {
                self.tell(input, &verdict).await?;
                Ok(Done::Finished)
            }
            Err(Stop::Refused(why)) => {
                self.refuse(input, &why).await?;
                Ok(Done::Finished)
            }
            Err(Stop::GiveBack(after)) => Ok(Done::GiveBack(after)),
            Err(Stop::Fault(fault)) => Err(fault),
        }
    }

    /// Finds the job's verdict, or works until there is one.
    async fn decide(&self, input: &InputMessage) -> Result<Verdict, Stop> {
        self.check_buckets(input)?;
        let task = self
            .worker
            .service
            .task(input)
            .map_err(|error| match error {
                ServiceError::File(why) => Stop::Refused(why),
                ServiceError::Machine(why) => Stop::Fault(Fault(why)),
            })?;
        if let Some(md5) = input.key_md5()
            && let Some(verdict) = self.find_verdict(&md5, &task).await?
        {
            tracing::info!("{} was done before: {}", verdict.job, verdict.status);
            return Ok(verdict);
        }
        let work = tempfile::Builder::new()
            .prefix("muck-job-")
            .tempdir_in(&self.worker.work_root)
            .map_err(|e| {
                let root = self.worker.work_root.display();
                Stop::Fault(Fault(format!("can't make a folder in {root}: {e}")))
            })?;
        self.check_space(input.size)?;
        let file = work.path().join(INPUT_NAME);
        let store = self.worker.store;
        let fetched = store
            .fetch(&input.bucket, &input.input_key, input.size, &file)
            .await
            .map_err(|error| self.not_fetched(&error))?;
        check_sums(input, &fetched)?;
        let content = Content {
            bucket: input.bucket.clone(),
            key: input.input_key.clone(),
            size: fetched.sums.size,
            md5: fetched.sums.md5_hex(),
            sha256: fetched.sums.sha256_hex(),
        };
        // Keys of 2007's later tools are paths; what the content is, is known only now.
        if input.key_md5().is_none()
            && let Some(verdict) = self.find_verdict(&content.md5, &task).await?
        {
            tracing::info!("{} was done before: {}", verdict.job, verdict.status);
            return Ok(verdict);
        }
        let processed = self
            .worker
            .service
            .process_file(&file, input, work.path())
            .await;
        let (outputs, error) = match processed {
            Ok(files) => (self.store_outputs(files).await?, None),
            Err(ServiceError::File(why)) => (Vec::new(), Some(why)),
            Err(ServiceError::Machine(why)) => return Err(Stop::Fault(Fault(why))),
        };
        self.write_verdict(content, task, outputs, error).await
    }

    /// A worker reads from one bucket and writes to one: what a message says is only compared.
    fn check_buckets(&self, input: &InputMessage) -> Result<(), Stop> {
        let data = self.worker.data;
        if input.bucket != data.input_bucket {
            return Err(Stop::Refused(format!(
                "the bucket `{}` is not the one that this worker reads from",
                input.bucket
            )));
        }
        match &input.output_bucket {
            Some(bucket) if *bucket != data.output_bucket => Err(Stop::Refused(format!(
                "the bucket `{bucket}` is not the one that this worker writes to"
            ))),
            _ => Ok(()),
        }
    }

    /// Whether input and output may fit. The output is taken to be as large as the input.
    fn check_space(&self, size: u64) -> Result<(), Stop> {
        let root = &self.worker.work_root;
        let fault = |why: String| Stop::Fault(Fault(format!("{}: {why}", root.display())));
        let stat = nix::sys::statvfs::statvfs(root).map_err(|e| fault(e.to_string()))?;
        let free = stat.blocks_available().saturating_mul(stat.fragment_size());
        let needed = size.saturating_mul(2).saturating_add(SPARE_BYTES);
        if free < needed {
            return Err(fault(format!(
                "the disk is full: {free} bytes free, {needed} needed"
            )));
        }
        Ok(())
    }

    fn not_fetched(&self, error: &StoreError) -> Stop {
        match error {
            StoreError::Denied { .. } if self.delivery.times < DENIED_TIMES => {
                tracing::warn!("{error}; trying again later");
                Stop::GiveBack(DENIED_PAUSE)
            }
            StoreError::Absent { .. } | StoreError::Denied { .. } | StoreError::Size { .. } => {
                Stop::Refused(error.to_string())
            }
            StoreError::Machine { .. } => Stop::Fault(Fault(error.to_string())),
        }
    }

    async fn find_verdict(&self, md5: &str, task: &Task) -> Result<Option<Verdict>, Stop> {
        let key = verdict::key(&verdict::job_id_of(md5, &task.digest));
        let bucket = &self.worker.data.output_bucket;
        let fault = |why: String| Stop::Fault(Fault(why));
        match self.worker.store.verdict(bucket, &key).await {
            Ok(None) => Ok(None),
            Ok(Some(text)) => Verdict::parse(&text)
                .map(Some)
                .map_err(|e| fault(format!("s3://{bucket}/{key} is no verdict: {e}"))),
            Err(error) => Err(fault(error.to_string())),
        }
    }

    async fn store_outputs(&self, files: Vec<OutputFile>) -> Result<Vec<Output>, Stop> {
        let bucket = &self.worker.data.output_bucket;
        let mut outputs = Vec::new();
        for file in files {
            let sums = Sums::of_file(&file.path).await.map_err(|e| {
                Stop::Fault(Fault(format!("can't read {}: {e}", file.path.display())))
            })?;
            let key = format!("{MEDIA_PREFIX}{}", sums.md5_hex());
            self.worker
                .store
                .put(bucket, &key, &file.path, &sums, &file.mime)
                .await
                .map_err(|error| Stop::Fault(Fault(error.to_string())))?;
            outputs.push(Output {
                content: Content {
                    bucket: bucket.clone(),
                    key,
                    size: sums.size,
                    md5: sums.md5_hex(),
                    sha256: sums.sha256_hex(),
                },
                mime: file.mime,
                certificate: file.certificate,
            });
        }
        Ok(outputs)
    }

    /// Writes the verdict, or takes that of whoever was first.
    async fn write_verdict(
        &self,
        input: Content,
        task: Task,
        outputs: Vec<Output>,
        error: Option<String>,
    ) -> Result<Verdict, Stop> {
        let worker = self.worker;
        let job = verdict::job_id_of(&input.md5, &task.digest);
        let key = verdict::key(&job);
        let ours = Verdict {
            version: verdict::VERSION,
            job,
            status: if error.is_none() {
                Status::Converted
            } else {
                Status::Failed
            },
            service: worker.service.name().to_owned(),
            preset: task.preset.clone(),
            digest: task.digest.clone(),
            outputs,
            error,
            host: worker.machine.host.clone(),
            instance_id: worker.machine.instance_id.clone(),
            service_read: self.read_at,
            service_write: crate::dates::whole_seconds(worker.clock.now()),
            input,
        };
        let text = ours
            .to_json()
            .map_err(|e| Stop::Fault(Fault(e.to_string())))?;
        let first = worker
            .store
            .put_verdict(&worker.data.output_bucket, &key, &text)
            .await;
        match first {
            Ok(true) => Ok(ours),
            Ok(false) => match self.find_verdict(&ours.input.md5, &task).await? {
                Some(winner) => {
                    tracing::info!("another worker was first with {}", winner.job);
                    Ok(winner)
                }
                None => Err(Stop::Fault(Fault(format!(
                    "{key} is being written by another"
                )))),
            },
            Err(error) => Err(Stop::Fault(Fault(error.to_string()))),
        }
    }

    /// Steps five and six: the status message, and last the delete.
    async fn tell(&self, mut input: InputMessage, verdict: &Verdict) -> Result<(), Fault> {
        let output_bucket = &self.worker.data.output_bucket;
        if input.bucket != *output_bucket {
            // 2007's readers look for outputs in `Bucket` unless this header is there.
            input.output_bucket = Some(output_bucket.clone());
        }
        match &verdict.error {
            None => tracing::info!("{} {}", verdict.job, verdict.status),
            Some(why) => tracing::warn!("{} failed: {}", verdict.job, printable_short(why, 300)),
        }
        self.answer(
            input,
            verdict.output_keys(),
            verdict.status,
            verdict.error.clone(),
        )
        .await
    }

    async fn refuse(&self, input: InputMessage, why: &str) -> Result<(), Fault> {
        tracing::warn!("refused: {}", printable_short(why, 300));
        self.answer(input, Vec::new(), Status::Failed, Some(why.to_owned()))
            .await
    }

    async fn answer(
        &self,
        input: InputMessage,
        outputs: Vec<OutputKey>,
        status: Status,
        error: Option<String>,
    ) -> Result<(), Fault> {
        let worker = self.worker;
        let message = StatusMessage {
            input,
            outputs,
            server: worker.service.name().to_owned(),
            host: worker.machine.host.clone(),
            instance_id: worker.machine.instance_id.clone(),
            service_read: self.read_at,
            service_write: crate::dates::whole_seconds(worker.clock.now()),
            status,
            error,
        };
        let fault = |e: QueueError| Fault(e.to_string());
        worker
            .outbox
            .send(&message.to_message().to_string())
            .await
            .map_err(fault)?;
        worker.inbox.delete(self.delivery).await.map_err(fault)
    }

    /// Longer each time that the message has come back.
    fn unreadable_pause(&self) -> Duration {
        let times = u64::from(self.delivery.times.saturating_sub(1));
        Duration::from_secs((times * 10).min(LONGEST_UNREADABLE_PAUSE))
    }
}

/// Whether what came is what key, message and object say.
fn check_sums(input: &InputMessage, fetched: &Fetched) -> Result<(), Stop> {
    let (md5, sha256) = (fetched.sums.md5_hex(), fetched.sums.sha256_hex());
    let refused = |why: String| Err(Stop::Refused(why));
    match input.key_md5() {
        Some(named) if named != md5 => {
            return refused(format!(
                "the content has the MD5 {md5}, not {named} as its key says"
            ));
        }
        _ => {}
    }
    for (wanted, whose) in [
        (&input.sha256, "message"),
        (&fetched.stored_sha256, "object"),
    ] {
        match wanted {
            Some(wanted) if !wanted.eq_ignore_ascii_case(&sha256) => {
                return refused(format!(
                    "the content hasn't the SHA-256 that its {whose} tells"
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

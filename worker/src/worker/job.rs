//! The six steps of one message: read it, fetch the input, process it, store the outputs, write
//! the status message, delete the input message.
//!
//! The order is what makes duplicates and crashes harmless: an output is stored under its own MD5
//! before the verdict names it, the verdict decides before the status message tells it, and the
//! input message goes last.

use std::path::Path;
use std::time::Duration;

use super::Worker;
use super::held::{Held, Stage};
use super::job_folder::JobFolder;
use super::request::{Request, Unfit};
use super::space::{NoRoom, job_bytes};
use crate::MEDIA_PREFIX;
use crate::ffmpeg::INPUT_NAME;
use crate::message::{InputMessage, Status};
use crate::service::{Made, OutputFile, ServiceError, Task};
use crate::spent::Spent;
use crate::store::{Fetched, StoreError};
use crate::sums::Sums;
use crate::text::{printable_short, quantity};
use crate::verdict::{self, Content, Output, Verdict};

/// A failure that is not the file's: the message goes back, and the machine is doubted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Fault(pub(super) String);

/// What becomes of the message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// It is answered and deleted.
    Answered,
    /// It goes back without anyone's fault, to be seen again after that time.
    GiveBack(Duration),
    /// It goes back because this machine is too small for it. Another may be larger, and this one is good for others.
    TooLarge(String),
    /// It goes back because the machine goes, for this reason.
    Interrupted(String),
}

/// A message that S3 denies the input of is given back so often before it is failed: the rights
/// of a new role may take a while to be known everywhere.
const DENIED_TIMES: u32 = 3;

/// … and seen again after this time.
const DENIED_PAUSE: Duration = Duration::from_secs(15);

/// A signal that ended the service's programs has reached this one too by then.
const SIGNALLED: Duration = Duration::from_millis(200);

/// How a job ends that makes nothing.
enum Stop {
    /// The message can't be done as it stands: told, with no verdict, because it says nothing of
    /// what the content would become.
    Refused(String),
    GiveBack(Duration),
    TooLarge(String),
    Interrupted(String),
    Fault(Fault),
}

/// What the service came to.
#[derive(Default)]
struct Ended {
    outputs: Vec<Output>,
    left_out: Vec<String>,
    warning: Option<String>,
    /// The file's fault.
    error: Option<String>,
}

/// One message at work.
pub(super) struct Job<'a> {
    pub(super) worker: &'a Worker<'a>,
    pub(super) held: &'a Held,
}

impl Job<'_> {
    /// All six steps.
    pub(super) async fn run(&self) -> Result<Done, Fault> {
        self.held.enter(Stage::Fetching);
        let id = &self.held.delivery.id;
        let request = match Request::read(&self.held.delivery.body) {
            Ok(request) => request,
            Err(Unfit::Unreadable(error)) => {
                tracing::error!("message {id} can't be read: {error}");
                return self.bury_unreadable(&error.to_string()).await;
            }
            Err(Unfit::Faulty(request, error)) => {
                tracing::error!("message {id} is no input message: {error}");
                self.refuse(*request, &error.to_string()).await?;
                return Ok(Done::Answered);
            }
        };
        let input = &request.input;
        let name = &input.original_file_name;
        self.held.name(name, input.batch.as_deref());
        tracing::info!(
            "read {}: {} ({})",
            printable_short(&input.input_key, 100),
            printable_short(name, 100),
            quantity(input.size, "byte")
        );
        let decided = self.decide(input).await;
        self.held.enter(Stage::Storing);
        match decided {
            Ok(verdict) => {
                self.tell(request, &verdict).await?;
                Ok(Done::Answered)
            }
            Err(Stop::Refused(why)) => {
                self.refuse(request, &why).await?;
                Ok(Done::Answered)
            }
            Err(Stop::GiveBack(after)) => Ok(Done::GiveBack(after)),
            Err(Stop::TooLarge(why)) => Ok(Done::TooLarge(why)),
            Err(Stop::Interrupted(why)) => Ok(Done::Interrupted(why)),
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
            check_sha256(input.sha256.as_deref(), "message", &verdict.input.sha256)?;
            return Ok(verdict);
        }
        let space = self.worker.space;
        let _share = space
            .take(job_bytes(input.size))
            .await
            .map_err(|why| match why {
                NoRoom::Never { .. } => Stop::TooLarge(why.to_string()),
                NoRoom::Now(why) => Stop::Fault(Fault(why)),
            })?;
        let work = JobFolder::new_in(space.root()).map_err(|e| {
            let root = space.root().display();
            Stop::Fault(Fault(format!("can't make a folder in {root}: {e}")))
        })?;
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
        let (processed, spent) = self.process(&file, input, work.path()).await?;
        let ended = match processed {
            Ok(made) => Ended {
                outputs: self.store_outputs(made.outputs).await?,
                left_out: made.left_out,
                warning: made.warning,
                error: None,
            },
            Err(why) => Ended {
                error: Some(why),
                ..Ended::default()
            },
        };
        self.write_verdict(content, task, ended, spent).await
    }

    /// Lets the service work, in a slot, and tells what it took. The inner error is the file's fault.
    async fn process(
        &self,
        file: &Path,
        input: &InputMessage,
        work: &Path,
    ) -> Result<(Result<Made, String>, Option<Spent>), Stop> {
        let slot = self.worker.desk.slot().await;
        self.held.enter(Stage::Working);
        let processed = self
            .worker
            .service
            .process_file(file, input, work, &self.held.progress)
            .await;
        drop(slot);
        let spent = self.worker.service.spent(work);
        if let Some(spent) = spent {
            tracing::info!("spent on it: {spent}");
        }
        self.held.enter(Stage::Storing);
        match processed {
            Ok(made) => Ok((Ok(made), spent)),
            Err(error) => {
                // Whoever stops a machine sends its signal to every process: then a failure proves
                // nothing against the file.
                tokio::time::sleep(SIGNALLED).await;
                if let Some(notice) = self.worker.leaving.notice() {
                    return Err(Stop::Interrupted(notice.why));
                }
                match error {
                    ServiceError::File(why) => Ok((Err(why), spent)),
                    ServiceError::Machine(why) => Err(Stop::Fault(Fault(why))),
                }
            }
        }
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

    fn not_fetched(&self, error: &StoreError) -> Stop {
        match error {
            StoreError::Denied { .. } if self.held.delivery.times < DENIED_TIMES => {
                tracing::warn!("{error}; trying again later");
                Stop::GiveBack(DENIED_PAUSE)
            }
            StoreError::Absent { .. } | StoreError::Denied { .. } | StoreError::Size { .. } => {
                Stop::Refused(error.to_string())
            }
            StoreError::Machine { .. } => Stop::Fault(Fault(error.to_string())),
        }
    }

    /// The verdict that a message's job has, as far as the message alone tells which it is.
    pub(super) async fn known_verdict(&self, input: &InputMessage) -> Option<Verdict> {
        let (md5, task) = (input.key_md5()?, self.worker.service.task(input).ok()?);
        self.find_verdict(&md5, &task).await.ok().flatten()
    }

    async fn find_verdict(&self, md5: &str, task: &Task) -> Result<Option<Verdict>, Stop> {
        let job = verdict::job_id_of(md5, &task.digest);
        let key = verdict::key(&job);
        let bucket = &self.worker.data.output_bucket;
        let fault = |why: String| Stop::Fault(Fault(why));
        let text = match self.worker.store.verdict(bucket, &key).await {
            Ok(None) => return Ok(None),
            Ok(Some(text)) => text,
            Err(error) => return Err(fault(error.to_string())),
        };
        match Verdict::parse(&text) {
            Ok(verdict) if verdict.job == job => Ok(Some(verdict)),
            Ok(_) => Err(fault(format!("s3://{bucket}/{key} is another job's"))),
            Err(why) => Err(fault(format!("s3://{bucket}/{key} is no verdict: {why}"))),
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
                name: file.name,
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
        ended: Ended,
        spent: Option<Spent>,
    ) -> Result<Verdict, Stop> {
        let worker = self.worker;
        let job = verdict::job_id_of(&input.md5, &task.digest);
        let key = verdict::key(&job);
        let ours = Verdict {
            version: verdict::VERSION,
            job,
            status: if ended.error.is_none() {
                Status::Converted
            } else {
                Status::Failed
            },
            service: worker.service.name().to_owned(),
            preset: task.preset.clone(),
            digest: task.digest.clone(),
            outputs: ended.outputs,
            left_out: ended.left_out,
            warning: ended.warning,
            error: ended.error,
            host: worker.machine.host.clone(),
            instance_id: worker.machine.instance_id.clone(),
            service_read: self.held.read_at,
            service_write: crate::dates::whole_seconds(worker.clock.now()),
            spent,
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
}

/// Whether what came is what key, message and object say.
fn check_sums(input: &InputMessage, fetched: &Fetched) -> Result<(), Stop> {
    let (md5, sha256) = (fetched.sums.md5_hex(), fetched.sums.sha256_hex());
    if let Some(named) = input.key_md5()
        && named != md5
    {
        return Err(Stop::Refused(format!(
            "the content has the MD5 {md5}, not {named} as its key says"
        )));
    }
    check_sha256(input.sha256.as_deref(), "message", &sha256)?;
    check_sha256(fetched.stored_sha256.as_deref(), "object", &sha256)
}

/// Whether a content has the SHA-256 that was told of it, if one was.
fn check_sha256(told: Option<&str>, whose: &str, own: &str) -> Result<(), Stop> {
    match told {
        Some(told) if !told.eq_ignore_ascii_case(own) => Err(Stop::Refused(format!(
            "the content hasn't the SHA-256 that its {whose} tells"
        ))),
        _ => Ok(()),
    }
}

//! How a message is answered: a dead letter for what failed, the status message, and last the delete.

use std::time::Duration;

use jiff::Timestamp;

use super::job::{Done, Fault, Job};
use super::request::{self, Request, Unfit};
use crate::inbox::QueueError;
use crate::message::dead_letter::{self, GivenUp};
use crate::message::{Message, OutputKey, Status, StatusMessage, join_left_out};
use crate::text::printable_short;
use crate::verdict::Verdict;

/// The longest pause of a message that can't be read, where no failed queue is known. Each time it comes back sooner or later it
/// nears `maxReceiveCount`, and becomes a dead letter; on a queue without that it must not be
/// read in a circle.
const LONGEST_UNREADABLE_PAUSE: u64 = 900;

/// How a message is answered.
struct Answer<'a> {
    outputs: Vec<OutputKey>,
    status: Status,
    left_out: &'a [String],
    warning: Option<&'a str>,
    error: Option<String>,
    /// The job that has a verdict.
    job: Option<&'a str>,
}

impl Job<'_> {
    /// Answers the message with a failure that is not the file's: no verdict. A job that has one all the same, by another worker
    /// or by an earlier try of this, is told as that says. Whether it is answered; without a failed queue it is
    /// left to the input queue.
    pub(super) async fn give_up(&self, why: &str) -> Result<bool, Fault> {
        if self.worker.failed.is_none() {
            return Ok(false);
        }
        match Request::read(&self.held.delivery.body) {
            Ok(request) => match self.known_verdict(&request.input).await {
                Some(verdict) => self.tell(request, &verdict).await?,
                None => self.refuse(request, why).await?,
            },
            Err(Unfit::Faulty(request, error)) => self.refuse(*request, &error.to_string()).await?,
            Err(Unfit::Unreadable(error)) => {
                self.bury_unreadable(&error.to_string()).await?;
            }
        }
        Ok(true)
    }

    /// Steps five and six: the status message, and last the delete.
    pub(super) async fn tell(&self, mut request: Request, verdict: &Verdict) -> Result<(), Fault> {
        let output_bucket = &self.worker.data.output_bucket;
        if request.input.bucket != *output_bucket {
            // 2007's readers look for outputs in `Bucket` unless this header is there.
            request.input.output_bucket = Some(output_bucket.clone());
        }
        match &verdict.error {
            None => tracing::info!("{} {}", verdict.job, verdict.status),
            Some(why) => tracing::warn!("{} failed: {}", verdict.job, printable_short(why, 300)),
        }
        let outcome = Answer {
            outputs: verdict.output_keys(),
            status: verdict.status,
            left_out: &verdict.left_out,
            warning: verdict.warning.as_deref(),
            error: verdict.error.clone(),
            job: Some(&verdict.job),
        };
        self.answer(request, outcome).await
    }

    pub(super) async fn refuse(&self, request: Request, why: &str) -> Result<(), Fault> {
        tracing::warn!("refused: {}", printable_short(why, 300));
        let outcome = Answer {
            outputs: Vec::new(),
            status: Status::Failed,
            left_out: &[],
            warning: None,
            error: Some(why.to_owned()),
            job: None,
        };
        self.answer(request, outcome).await
    }

    /// What is failed becomes a dead letter first: whoever has read the status message finds it.
    async fn answer(&self, request: Request, answer: Answer<'_>) -> Result<(), Fault> {
        let worker = self.worker;
        // One time in both messages: whoever sends the dead letter again tells old answers by it.
        let written = self.now();
        if answer.status == Status::Failed {
            let why = GivenUp {
                job: answer.job,
                ..self.given_up(answer.error.as_deref().unwrap_or_default(), written)
            };
            self.bury(&dead_letter::write(&request.message, why))
                .await?;
        }
        let message = StatusMessage {
            input: request.input,
            outputs: answer.outputs,
            server: worker.service.name().to_owned(),
            host: worker.machine.host.clone(),
            instance_id: worker.machine.instance_id.clone(),
            service_read: self.held.read_at,
            service_write: written,
            processing_milliseconds: self.processing_milliseconds(),
            status: answer.status,
            left_out: join_left_out(answer.left_out),
            warning: answer.warning.map(str::to_owned),
            error: answer.error,
        };
        worker
            .outbox
            .send(&message.to_message().to_string())
            .await
            .map_err(lost)?;
        self.delete().await
    }

    /// A message that tells nothing of whose it is becomes a dead letter, and no one is told.
    pub(super) async fn bury_unreadable(&self, why: &str) -> Result<Done, Fault> {
        if self.worker.failed.is_none() {
            return Ok(Done::GiveBack(self.unreadable_pause()));
        }
        let why = self.given_up(why, self.now());
        let body = &self.held.delivery.body;
        let letter = match request::headers(body) {
            Ok(message) => dead_letter::write(&message, why),
            Err(_) => dead_letter::wrap(body, why),
        };
        self.bury(&letter).await?;
        self.delete().await?;
        Ok(Done::Answered)
    }

    async fn bury(&self, letter: &Message) -> Result<(), Fault> {
        match self.worker.failed {
            Some(failed) => failed.send(&letter.to_string()).await.map_err(lost),
            None => Ok(()),
        }
    }

    async fn delete(&self) -> Result<(), Fault> {
        self.worker
            .inbox
            .delete(&self.held.delivery)
            .await
            .map_err(lost)
    }

    /// From reading the input message to now.
    fn processing_milliseconds(&self) -> Option<u64> {
        let spent = self.worker.clock.now().duration_since(self.held.began);
        u64::try_from(spent.as_millis()).ok()
    }

    fn now(&self) -> Timestamp {
        crate::dates::whole_seconds(self.worker.clock.now())
    }

    fn given_up<'j>(&'j self, reason: &'j str, written: Timestamp) -> GivenUp<'j> {
        let machine = self.worker.machine;
        GivenUp {
            server: self.worker.service.name(),
            host: &machine.host,
            instance_id: machine.instance_id.as_deref(),
            read: self.held.read_at,
            written,
            reason,
            receives: self.held.delivery.times,
            job: None,
        }
    }

    /// Longer each time that the message has come back.
    fn unreadable_pause(&self) -> Duration {
        let times = u64::from(self.held.delivery.times.saturating_sub(1));
        Duration::from_secs((times * 10).min(LONGEST_UNREADABLE_PAUSE))
    }
}

/// By value, as `map_err` gives it.
#[expect(
    clippy::needless_pass_by_value,
    reason = "what `map_err` gives is a value"
)]
fn lost(error: QueueError) -> Fault {
    Fault(error.to_string())
}

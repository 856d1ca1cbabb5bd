//! What the domain reports while it works. Logic emits these and never knows the screen; `ui` draws them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::{Notify, mpsc};

use crate::error::Result;
use crate::names::ResourceKind;

/// What became of a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Created,
    /// Was there and right.
    Kept,
    /// Was there and has been mended.
    Changed,
    Deleted,
}

/// Bytes and files on their way, in either direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TransferProgress {
    pub files_done: u64,
    pub files_total: u64,
    pub bytes_done: u64,
    pub bytes_total: u64,
}

/// How far a batch is.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct BatchProgress {
    pub jobs_done: u64,
    pub jobs_failed: u64,
    pub jobs_total: u64,
    /// Messages waiting in the input queue, and in the hands of workers.
    pub visible: u64,
    pub in_flight: u64,
    pub instances_running: u64,
    /// How much of the batch is converted, 0 to 1; files in work count in part.
    pub fraction: f64,
    /// `None` until there is something to estimate it from.
    pub eta: Option<Duration>,
    /// Empty where it is not shown.
    pub at_work: Vec<FileProgress>,
}

/// How far the conversion of one file is, as its worker reports it. All text is untrusted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileProgress {
    pub file: String,
    /// `fetching`, `working` or `storing`.
    pub stage: String,
    pub percent: Option<u32>,
    /// Seconds of film converted in a second.
    pub speed: Option<f64>,
    pub eta: Option<Duration>,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepEnd {
    Done,
    Failed,
    Interrupted,
}

/// One thing that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// A resource reached its end state. `detail`: attributes changed, counts deleted …
    Resource {
        kind: ResourceKind,
        name: String,
        outcome: Outcome,
        detail: Option<String>,
    },
    /// A step that takes a while began; ends with `StepEnded` of the same name.
    StepStarted {
        step: String,
    },
    StepEnded {
        step: String,
        elapsed: Duration,
        end: StepEnd,
    },
    /// Still waiting: the last status seen.
    Waiting {
        what: String,
        last_seen: String,
    },
    /// A line of an instance's console (untrusted text; `ui` escapes it).
    Console {
        instance: String,
        line: String,
    },
    /// An input that was left out, and why.
    Skipped {
        path: String,
        reason: String,
    },
    /// Objects and delete markers deleted so far, and how many there were if they were counted;
    /// `None`: that is over.
    Deletion(Option<(u64, Option<u64>)>),
    Upload(TransferProgress),
    Download(TransferProgress),
    /// `None`: the wait for the batch is over.
    Batch(Option<BatchProgress>),
    /// One file came back (or failed, with the reason).
    Result {
        file: String,
        seconds: f64,
        failure: Option<String>,
    },
    Note(String),
    Warning(String),
    /// Data for stdout. It goes the way of the talk, so that both appear in the order they were made.
    Data(String),
    /// Told when everything before it has been drawn.
    Barrier(Arc<Notify>),
}

/// The sending end; cheap to clone. Events after the receiver is gone are dropped: nobody listens.
#[derive(Debug, Clone)]
pub struct Events(mpsc::UnboundedSender<Event>);

impl Events {
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    pub fn emit(&self, event: Event) {
        // Deliberately ignored: see the type's documentation.
        let _ = self.0.send(event);
    }

    pub fn note(&self, text: impl Into<String>) {
        self.emit(Event::Note(text.into()));
    }

    pub fn warn(&self, text: impl Into<String>) {
        self.emit(Event::Warning(text.into()));
    }

    /// Returns when everything emitted so far has been drawn (or nobody draws).
    pub async fn drawn(&self) {
        let barrier = Arc::new(Notify::new());
        self.emit(Event::Barrier(Arc::clone(&barrier)));
        tokio::select! {
            () = barrier.notified() => {}
            () = self.0.closed() => {}
        }
    }

    /// Emits start and end of a step around `work`, with its time.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn step<T>(
        &self,
        step: impl Into<String>,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let running = RunningStep::begin(self, step);
        let value = work.await;
        running.end(if value.is_ok() {
            StepEnd::Done
        } else {
            StepEnd::Failed
        });
        value
    }
}

/// A step that goes on. Dropped, it was interrupted.
#[derive(Debug)]
pub struct RunningStep {
    events: Events,
    step: String,
    began: Instant,
    end: StepEnd,
}

impl RunningStep {
    pub fn begin(events: &Events, step: impl Into<String>) -> Self {
        let step = step.into();
        events.emit(Event::StepStarted { step: step.clone() });
        Self {
            events: events.clone(),
            step,
            began: Instant::now(),
            end: StepEnd::Interrupted,
        }
    }

    pub fn end(mut self, end: StepEnd) {
        self.end = end;
    }
}

impl Drop for RunningStep {
    fn drop(&mut self) {
        self.events.emit(Event::StepEnded {
            step: std::mem::take(&mut self.step),
            elapsed: self.began.elapsed(),
            end: self.end,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    /// How the steps ended that were emitted.
    fn ends(events: Events, mut received: mpsc::UnboundedReceiver<Event>) -> Vec<StepEnd> {
        drop(events);
        let mut ends = Vec::new();
        while let Ok(event) = received.try_recv() {
            if let Event::StepEnded { end, .. } = event {
                ends.push(end);
            }
        }
        ends
    }

    #[tokio::test]
    async fn a_step_says_how_it_ended() {
        let (events, received) = Events::channel();
        events.step("a", async { Ok(()) }).await.expect("goes well");
        let failed = events.step("b", async { Err::<(), _>(Error::failed("no")) });
        failed.await.expect_err("fails");
        let waiting = events.step("c", std::future::pending::<Result<()>>());
        let cut = tokio::time::timeout(Duration::from_millis(1), waiting).await;
        cut.expect_err("is cut off");
        assert_eq!(
            ends(events, received),
            [StepEnd::Done, StepEnd::Failed, StepEnd::Interrupted]
        );
    }
}

//! One message that this worker holds: which file it is, how far the work on it is.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::dates;
use crate::inbox::Delivery;
use crate::service::Progress;

/// How far the six steps are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The message is read and the input fetched; then it waits for a slot.
    Fetching,
    /// The service works on it, in a slot.
    Working,
    /// Outputs, verdict and status message are on their way.
    Storing,
}

/// A message at work.
#[derive(Debug)]
pub struct Held {
    pub(super) delivery: Delivery,
    /// When it was read.
    pub(super) read_at: Timestamp,
    /// The same with parts of a second.
    pub(super) began: Timestamp,
    /// How far the service is.
    pub(super) progress: Progress,
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    stage: Stage,
    since: Instant,
    file: String,
    batch: Option<String>,
}

/// How the work on a message stands, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Foreign text.
    pub file: String,
    /// Foreign text.
    pub batch: Option<String>,
    pub stage: Stage,
    /// Of the film, from 0 to 1.
    pub fraction: Option<f64>,
    /// Seconds of film a second.
    pub speed: Option<f64>,
    /// Until the service is done.
    pub eta: Option<Duration>,
}

impl Held {
    pub(super) fn new(delivery: Delivery, began: Timestamp) -> Self {
        Self {
            delivery,
            read_at: dates::whole_seconds(began),
            began,
            progress: Progress::default(),
            now: Mutex::new(Now {
                stage: Stage::Fetching,
                since: Instant::now(),
                file: String::new(),
                batch: None,
            }),
        }
    }

    /// Says what file it is, once that is read.
    pub(super) fn name(&self, file: &str, batch: Option<&str>) {
        let mut now = self.now();
        file.clone_into(&mut now.file);
        now.batch = batch.map(str::to_owned);
    }

    pub(super) fn enter(&self, stage: Stage) {
        let mut now = self.now();
        now.stage = stage;
        now.since = Instant::now();
        if stage == Stage::Fetching {
            self.progress.report(0.0, 0.0);
        }
    }

    pub(super) fn stage(&self) -> Stage {
        self.now().stage
    }

    /// How long the service will still take at its pace so far; `None` while nothing is known.
    pub(super) fn eta(&self) -> Option<Duration> {
        self.standing().eta
    }

    pub(super) fn standing(&self) -> Standing {
        let now = self.now();
        let passed = now.since.elapsed().as_secs_f64();
        let working = now.stage == Stage::Working;
        let fraction = self.progress.fraction().filter(|_| working);
        let pace = fraction.filter(|fraction| *fraction > 0.0 && passed > 0.0);
        Standing {
            file: now.file.clone(),
            batch: now.batch.clone(),
            stage: now.stage,
            fraction,
            speed: pace.map(|_| self.progress.done_seconds() / passed),
            eta: pace.and_then(|fraction| {
                Duration::try_from_secs_f64((passed / fraction - passed).max(0.0)).ok()
            }),
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        // Single fields are set under the lock: they are whole after any panic.
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

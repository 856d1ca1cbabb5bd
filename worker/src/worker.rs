//! The loop around the six steps: takes messages until there are none, holds each while it is
//! worked on, and decides what becomes of it when something fails.

mod job;

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::dates;
use crate::inbox::{Delivery, Inbox, Outbox};
use crate::instance::Machine;
use crate::service::Service;
use crate::store::Store;
use crate::user_data::UserData;

pub use job::Fault;
use job::{Done, Job};

/// SQS's longest wait for a message.
const LONGEST_POLL: Duration = Duration::from_secs(20);

/// How long a message is held at a time. If this machine dies, another gets the message after so
/// long; longer holds would make everyone wait for the dead.
const HOLD: Duration = Duration::from_secs(90);

/// How often the hold is renewed: two renewals may be lost before the message is.
const RENEWAL: Duration = Duration::from_secs(30);

/// Jobs in a row that fail by the machine's fault before it gives up. Bad files don't count.
const MOST_FAULTS: u32 = 5;

/// Failures in a row to reach the queue before the worker gives up: with the pauses between them
/// about six minutes, longer than a new role takes to reach all of AWS.
const MOST_QUEUE_FAILURES: u32 = 12;

/// The longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Why the worker ended in good order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The input queue was empty, in flight included, for the idle time.
    Idle,
    /// Its time, `Expires`, is over.
    Expired,
    /// It was asked to stop.
    Stopped,
}

/// Why the worker can't go on.
#[derive(Debug, thiserror::Error)]
pub enum GaveUp {
    #[error("the input queue couldn't be reached {0} times in a row; last: {1}")]
    Queue(u32, String),
    #[error("{0} jobs in a row failed by this machine's fault; last: {1}")]
    Jobs(u32, String),
}

/// A service at work.
pub struct Worker<'a> {
    pub service: &'a dyn Service,
    pub inbox: &'a dyn Inbox,
    pub outbox: &'a dyn Outbox,
    pub store: &'a dyn Store,
    pub clock: &'a dyn Clock,
    pub data: &'a UserData,
    pub machine: &'a Machine,
    /// Where each job gets a folder for the time that it takes.
    pub work_root: PathBuf,
    /// Cancelled to stop: the message at hand is given back.
    pub stop: CancellationToken,
}

impl Worker<'_> {
    /// Waits until the queue can be reached. A new instance may have no credentials yet.
    ///
    /// # Errors
    /// [`GaveUp::Queue`] if it stays out of reach.
    pub async fn wait_ready(&self) -> Result<(), GaveUp> {
        let mut failures = 0;
        while let Err(error) = self.inbox.depth().await {
            self.queue_failed(&mut failures, &error.to_string()).await?;
            if self.stop.is_cancelled() {
                break;
            }
        }
        Ok(())
    }

    /// Works until there is nothing left to do.
    ///
    /// # Errors
    /// [`GaveUp`] after repeated failures that are not a file's fault.
    pub async fn run(&self) -> Result<Ended, GaveUp> {
        let mut queue_failures = 0;
        let mut faults = 0;
        let mut idle_since: Option<Timestamp> = None;
        loop {
            if self.stop.is_cancelled() {
                return Ok(Ended::Stopped);
            }
            if self.clock.now() >= self.data.expires {
                tracing::warn!(
                    "expired at {}: no more work is taken",
                    dates::write(self.data.expires)
                );
                return Ok(Ended::Expired);
            }
            let received = tokio::select! {
                received = self.inbox.receive(self.poll_time(idle_since), HOLD) => received,
                () = self.stop.cancelled() => return Ok(Ended::Stopped),
            };
            let delivery = match received {
                Ok(Some(delivery)) => delivery,
                Ok(None) => {
                    match self.inbox.depth().await {
                        Ok(depth) if depth.visible == 0 && depth.in_flight == 0 => {
                            queue_failures = 0;
                            let since = *idle_since.get_or_insert(self.clock.now());
                            if self.idle_time(since) >= self.data.idle_seconds {
                                return Ok(Ended::Idle);
                            }
                        }
                        Ok(_) => {
                            queue_failures = 0;
                            idle_since = None;
                        }
                        Err(error) => {
                            self.queue_failed(&mut queue_failures, &error.to_string())
                                .await?;
                        }
                    }
                    continue;
                }
                Err(error) => {
                    self.queue_failed(&mut queue_failures, &error.to_string())
                        .await?;
                    continue;
                }
            };
            queue_failures = 0;
            idle_since = None;
            match self.handle(&delivery).await {
                Ok(()) => faults = 0,
                Err(fault) => {
                    faults += 1;
                    tracing::error!("message {} goes back to the queue: {fault}", delivery.id);
                    if faults >= MOST_FAULTS {
                        return Err(GaveUp::Jobs(faults, fault.to_string()));
                    }
                    self.pause(faults).await;
                }
            }
        }
    }

    /// Works on one message while renewing its hold. Whatever isn't finished is given back.
    async fn handle(&self, delivery: &Delivery) -> Result<(), Fault> {
        if self.clock.now() >= self.data.expires {
            self.give_back(delivery, Duration::ZERO).await;
            return Ok(());
        }
        let job = Job {
            worker: self,
            delivery,
            read_at: dates::whole_seconds(self.clock.now()),
        };
        let done = tokio::select! {
            done = job.run() => done,
            () = self.keep_holding(delivery) => Ok(Done::Finished),
            () = self.stop.cancelled() => {
                tracing::info!("stopping: message {} goes back to the queue", delivery.id);
                Ok(Done::GiveBack(Duration::ZERO))
            }
        };
        match done {
            Ok(Done::Finished) => Ok(()),
            Ok(Done::GiveBack(after)) => {
                self.give_back(delivery, after).await;
                Ok(())
            }
            Err(fault) => {
                self.give_back(delivery, Duration::ZERO).await;
                Err(fault)
            }
        }
    }

    /// Renews the hold for ever. A renewal that fails is only told: should another worker get the
    /// message too, the verdict decides.
    async fn keep_holding(&self, delivery: &Delivery) {
        loop {
            tokio::time::sleep(RENEWAL).await;
            if let Err(error) = self.inbox.hold(delivery, HOLD).await {
                tracing::warn!("{error}");
            }
        }
    }

    /// Gives a message back, to be seen again after that time. If even that fails, the queue does
    /// it by itself when the hold is over.
    async fn give_back(&self, delivery: &Delivery, after: Duration) {
        if let Err(error) = self.inbox.hold(delivery, after).await {
            tracing::warn!("{error}");
        }
    }

    async fn queue_failed(&self, failures: &mut u32, why: &str) -> Result<(), GaveUp> {
        *failures += 1;
        tracing::warn!("{why}");
        if *failures >= MOST_QUEUE_FAILURES {
            return Err(GaveUp::Queue(*failures, why.to_owned()));
        }
        self.pause(*failures).await;
        Ok(())
    }

    /// Waits after the n-th failure in a row: 1, 2, 4 … seconds, or until asked to stop.
    async fn pause(&self, failures: u32) {
        let seconds = 1_u64
            .checked_shl(failures.saturating_sub(1))
            .unwrap_or(u64::MAX);
        tokio::select! {
            () = self.clock.sleep(Duration::from_secs(seconds).min(LONGEST_PAUSE)) => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// How long to wait for a message: not past the end of the idle time.
    fn poll_time(&self, idle_since: Option<Timestamp>) -> Duration {
        let idle = idle_since.map_or(0, |since| self.idle_time(since));
        let left = self.data.idle_seconds.saturating_sub(idle);
        // At least a second: a queue asked without pause is billed without pause.
        Duration::from_secs(left.max(1)).min(LONGEST_POLL)
    }

    fn idle_time(&self, since: Timestamp) -> u64 {
        u64::try_from(self.clock.now().duration_since(since).as_secs()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;

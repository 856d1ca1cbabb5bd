//! The loop around the six steps: takes messages until there are none, holds each while it is
//! worked on, and decides what becomes of it when something fails.

mod answer;
mod desk;
mod held;
mod holding;
mod job;
mod job_folder;
mod keeper;
mod leave;
mod request;
mod space;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::inbox::{Delivery, Inbox, Outbox, QueueError};
use crate::instance::Machine;
use crate::service::Service;
use crate::store::Store;
use crate::user_data::UserData;

pub use desk::Desk;
pub use held::{Held, Stage, Standing};
pub use holding::INTERRUPTED;
pub use keeper::{KEY as KEEPER_KEY, STALE as KEEPER_STALE};
pub use leave::{Leaving, Notice};
pub use space::{Space, disk_for, is_too_large_for};

use holding::Outcome;
use keeper::{Keeper, Watch};

/// SQS's longest wait for a message.
const LONGEST_POLL: Duration = Duration::from_secs(20);

/// How often it is looked whether a slot is about to be free, and whether the time is over.
const LOOK: Duration = Duration::from_millis(500);

/// An answer that is on its way when the worker is asked to leave has come by then. A message in it is
/// given back; one whose answer nobody reads would be missing for the time of its hold.
const ON_ITS_WAY: Duration = Duration::from_millis(500);

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
    /// No message waited for the idle time. What is in flight others work on, one of which or a further one stays.
    Spare,
    /// Its time, `Expires`, is over.
    Expired,
    /// It was asked to leave.
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
    /// Where dead letters go; `None`: unreadable messages are left to the input queue's own redrive.
    pub failed: Option<&'a dyn Outbox>,
    pub store: &'a dyn Store,
    pub clock: &'a dyn Clock,
    pub data: &'a UserData,
    pub machine: &'a Machine,
    /// The instance's, or one that no other worker has.
    pub name: &'a str,
    /// Where each job gets a folder for the time that it takes.
    pub space: &'a Space,
    /// What is in hand, and in how many slots it is worked on.
    pub desk: &'a Desk,
    /// How long a message is held at a time. If this machine dies, another gets the message after so
    /// long.
    pub hold: Duration,
    /// Told to leave: what can't be finished in time is given back.
    pub leaving: Leaving,
}

/// What was met so far. Failures count in a row.
#[derive(Debug, Default)]
struct Experience {
    queue_failures: u32,
    faults: u32,
    last_fault: String,
    /// Since when the input queue has been empty, in flight included.
    idle_since: Option<Timestamp>,
    /// Since when no message has waited and this worker has none.
    spare_since: Option<Timestamp>,
    /// Another worker stays until nothing is in flight.
    relieved: bool,
}

type Taking<'w> = Pin<Box<dyn Future<Output = Result<Option<Delivery>, QueueError>> + Send + 'w>>;
type Pausing<'w> = Pin<Box<dyn Future<Output = ()> + Send + 'w>>;

impl Worker<'_> {
    /// Waits until the queue can be reached. A new instance may have no credentials yet.
    ///
    /// # Errors
    /// [`GaveUp::Queue`] if it stays out of reach.
    pub async fn wait_ready(&self) -> Result<(), GaveUp> {
        let mut failures = 0;
        while let Err(error) = self.inbox.depth().await {
            queue_failed(&mut failures, &error)?;
            self.pause(failures).await;
            if self.leaving.notice().is_some() {
                break;
            }
        }
        Ok(())
    }

    /// Works until there is nothing left to do.
    ///
    /// # Errors
    /// [`GaveUp`] after repeated failures that are not a file's fault. What was under way by then has
    /// been brought to its end.
    pub async fn run(&self) -> Result<Ended, GaveUp> {
        let mut met = Experience::default();
        let mut under_way = FuturesUnordered::new();
        let mut taking: Option<Taking<'_>> = None;
        let mut pausing: Option<Pausing<'_>> = None;
        let mut gave_up: Option<GaveUp> = None;
        let mut asked_to_leave: Option<Instant> = None;
        let mut keeper = Keeper::new(self.store, &self.data.output_bucket, self.name);
        loop {
            let leaving = self.leaving.notice().is_some();
            let over = self.over(leaving, &met);
            if over.is_none() && gave_up.is_none() && taking.is_none() && pausing.is_none() {
                if self.desk.may_take() {
                    taking = Some(self.inbox.receive(self.poll_time(&met), self.hold));
                }
            } else if leaving {
                pausing = None;
                let since = asked_to_leave.get_or_insert_with(Instant::now);
                if since.elapsed() >= ON_ITS_WAY {
                    taking = None;
                }
            }
            if under_way.is_empty() && taking.is_none() {
                // Neither: a pause, after which more is taken.
                if let Some(ended) = gave_up.map(Err).or(over) {
                    keeper.stop(self.clock.now()).await;
                    return ended;
                }
                gave_up = None;
            }
            tokio::select! {
                biased;
                Some((held, outcome)) = under_way.next() => {
                    self.desk.remove(&held);
                    if met.learn(&held, outcome) {
                        pausing = Some(Box::pin(self.pause(met.faults)));
                    }
                }
                received = ready(&mut taking) => {
                    taking = None;
                    let took = self
                        .took(received, !under_way.is_empty(), &mut met, &mut keeper)
                        .await;
                    match took {
                        Ok(Some(delivery)) => {
                            let held = Arc::new(Held::new(delivery, self.clock.now()));
                            self.desk.put(&held);
                            under_way.push(async move {
                                let outcome = self.work_on(&held).await;
                                (held, outcome)
                            });
                        }
                        Ok(None) if met.queue_failures > 0 => {
                            pausing = Some(Box::pin(self.pause(met.queue_failures)));
                        }
                        Ok(None) => {}
                        Err(error) => gave_up = Some(error),
                    }
                }
                () = ready(&mut pausing) => pausing = None,
                () = self.leaving.noticed(), if !leaving => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Why nothing more is to be taken, if so.
    fn over(&self, leaving: bool, met: &Experience) -> Option<Result<Ended, GaveUp>> {
        if leaving {
            return Some(Ok(Ended::Stopped));
        }
        if met.faults >= MOST_FAULTS {
            return Some(Err(GaveUp::Jobs(met.faults, met.last_fault.clone())));
        }
        let idle = |since: Option<Timestamp>| {
            since.is_some_and(|since| self.idle_time(since) >= self.data.idle_seconds)
        };
        if idle(met.idle_since) {
            return Some(Ok(Ended::Idle));
        }
        if met.relieved && idle(met.spare_since) {
            return Some(Ok(Ended::Spare));
        }
        if self.clock.now() >= self.data.expires {
            return Some(Ok(Ended::Expired));
        }
        None
    }

    /// What the answer to a receive means. `busy`: other messages are in hand, so the queue can't be
    /// empty.
    async fn took(
        &self,
        received: Result<Option<Delivery>, QueueError>,
        busy: bool,
        met: &mut Experience,
        keeper: &mut Keeper<'_>,
    ) -> Result<Option<Delivery>, GaveUp> {
        let depth = match received {
            Ok(None) if !busy => self.inbox.depth().await,
            Ok(delivery) => {
                met.queue_failures = 0;
                met.not_spare();
                // It can't be counted on while it works: another has to be the keeper.
                keeper.stop(self.clock.now()).await;
                return Ok(delivery);
            }
            Err(error) => Err(error),
        };
        match depth {
            Ok(depth) => {
                met.queue_failures = 0;
                let now = self.clock.now();
                if depth.visible > 0 {
                    met.not_spare();
                    return Ok(None);
                }
                met.spare_since.get_or_insert(now);
                if depth.in_flight == 0 {
                    met.idle_since.get_or_insert(now);
                } else {
                    met.idle_since = None;
                }
                // The counts are approximate: a keeper stays one when nothing seems to be in flight.
                if depth.in_flight > 0 || keeper.is_ours() {
                    met.relieved = keeper.look(now).await == Watch::Others;
                }
            }
            Err(error) => queue_failed(&mut met.queue_failures, &error)?,
        }
        Ok(None)
    }

    /// Waits after the n-th failure in a row: 1, 2, 4 … seconds, or until asked to leave.
    async fn pause(&self, failures: u32) {
        let seconds = 1_u64
            .checked_shl(failures.saturating_sub(1))
            .unwrap_or(u64::MAX);
        tokio::select! {
            () = self.clock.sleep(Duration::from_secs(seconds).min(LONGEST_PAUSE)) => {}
            () = self.leaving.noticed() => {}
        }
    }

    /// How long to wait for a message: not past the end of the idle time.
    fn poll_time(&self, met: &Experience) -> Duration {
        let idle = self.data.idle_seconds;
        let passed = met
            .idle_since
            .or(met.spare_since)
            .map_or(0, |since| self.idle_time(since));
        // A spare worker that stays is past it.
        let left = if passed < idle { idle - passed } else { idle };
        // At least a second: a queue asked without pause is billed without pause.
        Duration::from_secs(left.max(1)).min(LONGEST_POLL)
    }

    fn idle_time(&self, since: Timestamp) -> u64 {
        u64::try_from(self.clock.now().duration_since(since).as_secs()).unwrap_or(0)
    }
}

impl Experience {
    /// A message waits, or this worker has one.
    fn not_spare(&mut self) {
        self.idle_since = None;
        self.spare_since = None;
        self.relieved = false;
    }

    /// Learns from how a message ended; whether to pause before the next.
    fn learn(&mut self, held: &Held, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Answered => self.faults = 0,
            Outcome::GivenBack => {}
            Outcome::Fault(fault) => {
                self.faults += 1;
                tracing::error!("message {}: {fault}", held.delivery.id);
                self.last_fault = fault;
                return true;
            }
        }
        false
    }
}

/// The outcome of a future that may not be there; never, if it isn't.
async fn ready<F: Future + Unpin>(future: &mut Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

fn queue_failed(failures: &mut u32, error: &QueueError) -> Result<(), GaveUp> {
    *failures += 1;
    tracing::warn!("{error}");
    if *failures >= MOST_QUEUE_FAILURES {
        return Err(GaveUp::Queue(*failures, error.to_string()));
    }
    Ok(())
}

#[cfg(test)]
mod tests;

//! From the receipt of one message to its end: the hold is renewed, work that a fault broke off is
//! tried again where this is the last chance, and what isn't finished is given back.

use std::sync::Arc;
use std::time::Duration;

use super::held::{Held, Stage};
use super::job::{Done, Fault, Job};
use super::{LOOK, Worker};

/// How often a hold is renewed in its time: two renewals may be lost before the message is.
const RENEWALS: u32 = 3;

/// Pauses between tries of a job whose message would become a dead letter if it were given back once
/// more. S3's and SQS's own troubles mostly pass in seconds; a disk gets room when another job ends.
const LAST_CHANCES: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(20)];

/// A message that this machine is too small for is seen again after this time: others get it first.
const TOO_LARGE_PAUSE: Duration = Duration::from_secs(5);

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is answered and deleted.
    Answered,
    /// It was given back, by nobody's fault.
    GivenBack,
    /// The machine failed; the message was given back or, at its last chance, given up.
    Fault(String),
}

/// Begins the reason of a message that was given up because its machines ended, which is no fault of the file.
pub const INTERRUPTED: &str = "this machine had to leave it";

impl Worker<'_> {
    /// Works on one message while renewing its hold.
    pub(super) async fn work_on(&self, held: &Arc<Held>) -> Outcome {
        let job = Job { worker: self, held };
        let done = if self.clock.now() >= self.data.expires {
            Ok(Done::Interrupted("its time is over".to_owned()))
        } else if let Some(notice) = self.leaving.notice() {
            // Asked to leave while the message was on its way: the work does not begin.
            Ok(Done::Interrupted(notice.why))
        } else {
            tokio::select! {
                biased;
                done = self.try_on(&job) => done,
                () = self.keep_holding(held) => Ok(Done::Answered),
                why = self.must_go(held) => Ok(Done::Interrupted(why)),
            }
        };
        if let Ok(Done::Interrupted(why)) = &done {
            tracing::info!("{why}: message {} goes back to the queue", held.delivery.id);
        }
        match done {
            Ok(Done::Answered) => Outcome::Answered,
            Ok(Done::GiveBack(after)) => {
                self.give_back(held, after).await;
                Outcome::GivenBack
            }
            Ok(Done::TooLarge(why)) => {
                tracing::warn!("message {}: {why}", held.delivery.id);
                if !self.give_up(&job, &why).await {
                    self.give_back(held, TOO_LARGE_PAUSE).await;
                }
                Outcome::GivenBack
            }
            Ok(Done::Interrupted(why)) => {
                let why = format!("{INTERRUPTED}: {why}");
                if !self.give_up(&job, &why).await {
                    self.give_back(held, Duration::ZERO).await;
                }
                Outcome::GivenBack
            }
            Err(Fault(why)) => {
                if !self.give_up(&job, &why).await {
                    self.give_back(held, Duration::ZERO).await;
                }
                Outcome::Fault(why)
            }
        }
    }

    /// Goes through the job's steps; at the message's last chance more than once.
    async fn try_on(&self, job: &Job<'_>) -> Result<Done, Fault> {
        for pause in LAST_CHANCES {
            match job.run().await {
                Err(Fault(why)) if self.is_last_chance(job.held).await => {
                    tracing::warn!("{why}; trying again in {} s", pause.as_secs());
                    self.clock.sleep(pause).await;
                }
                done => return done,
            }
        }
        job.run().await
    }

    /// At the last chance, answers the message with the failure. Whether it is answered.
    async fn give_up(&self, job: &Job<'_>, why: &str) -> bool {
        if !self.is_last_chance(job.held).await {
            return false;
        }
        let times = job.held.delivery.times;
        let why = format!("given up after {times} tries; the last: {why}");
        let answered = tokio::select! {
            biased;
            answered = job.give_up(&why) => answered,
            // Should it take long: what the queue buries by itself has no reason.
            () = self.keep_holding(job.held) => Ok(false),
        };
        answered.unwrap_or_else(|Fault(error)| {
            tracing::warn!("{error}");
            false
        })
    }

    /// Whether the queue would bury the message rather than hand it out again. Not known is no.
    async fn is_last_chance(&self, held: &Held) -> bool {
        match self.inbox.max_receives().await {
            Ok(most) => most.is_some_and(|most| held.delivery.times >= most),
            Err(error) => {
                tracing::warn!("{error}");
                false
            }
        }
    }

    /// Renews the hold for ever. A renewal that fails is only told: should another worker get the
    /// message too, the verdict decides. One that hangs is broken off when the next is due.
    async fn keep_holding(&self, held: &Held) {
        let mut due = tokio::time::interval(self.hold / RENEWALS);
        due.tick().await;
        loop {
            due.tick().await;
            let renewing = self.inbox.hold(&held.delivery, self.hold);
            match tokio::time::timeout(self.hold / RENEWALS, renewing).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!("{error}"),
                Err(_late) => tracing::warn!(
                    "the hold of message {} is not renewed: no answer",
                    held.delivery.id
                ),
            }
        }
    }

    /// Returns when this message has to be given back: the machine goes, and the work will not be
    /// done by then. What is known to take longer goes at once, so that another can begin.
    async fn must_go(&self, held: &Held) -> String {
        self.leaving.noticed().await;
        loop {
            let Some(notice) = self.leaving.notice() else {
                // A notice is never taken back.
                return String::new();
            };
            let left = notice.left();
            let goes = match held.stage() {
                Stage::Fetching => true,
                Stage::Working => held.eta().is_some_and(|eta| eta > left),
                Stage::Storing => false,
            };
            if goes || left.is_zero() {
                return notice.why;
            }
            self.leaving.wait(LOOK.min(left)).await;
        }
    }

    /// Gives a message back, to be seen again after that time. If even that fails, the queue does
    /// it by itself when the hold is over.
    async fn give_back(&self, held: &Held, after: Duration) {
        if let Err(error) = self.inbox.hold(&held.delivery, after).await {
            tracing::warn!("{error}");
        }
    }
}

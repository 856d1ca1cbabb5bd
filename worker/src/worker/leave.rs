//! Being asked to leave: by a signal, or by EC2, which takes a Spot instance back.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Kept of the time that is left for giving back what can't be finished: three calls, and the log.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// That the machine goes, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Who says so, e.g. `SIGTERM`; for the log and for reasons.
    pub why: String,
    /// When it is over.
    pub until: Instant,
}

/// Says that the machine goes. Of several notices the one that leaves less time counts.
#[derive(Debug, Clone)]
pub struct Leaving(watch::Sender<Option<Notice>>);

impl Leaving {
    /// Nobody has said so yet.
    pub fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Says so.
    pub fn notify(&self, notice: Notice) {
        self.0.send_if_modified(|now| {
            let sooner = now.as_ref().is_none_or(|now| notice.until < now.until);
            if sooner {
                *now = Some(notice);
            }
            sooner
        });
    }

    /// The notice, if there is one.
    pub fn notice(&self) -> Option<Notice> {
        self.0.borrow().clone()
    }

    /// Returns once there is a notice.
    pub async fn noticed(&self) {
        // The sender lives in `self`: it can't be gone.
        let _ = self.0.subscribe().wait_for(Option::is_some).await;
    }

    /// Returns at the next notice, or when `time` is over.
    pub(super) async fn wait(&self, time: Duration) {
        let mut changes = self.0.subscribe();
        let _ = tokio::time::timeout(time, changes.changed()).await;
    }
}

impl Default for Leaving {
    fn default() -> Self {
        Self::new()
    }
}

impl Notice {
    /// How much longer can be worked, from now on.
    pub(super) fn left(&self) -> Duration {
        self.until
            .saturating_duration_since(Instant::now())
            .saturating_sub(LAST_WORDS)
    }
}

//! Who stays while others are at work.
//!
//! When no message waits, workers without one are spare: what is in flight has its workers already. But a worker
//! may die, and its message comes back; so one spare worker, the keeper, stays until nothing is in flight, and the
//! others leave. The keeper is whoever holds the lease, the object [`KEY`] in the output bucket, which is only
//! written under conditions: `If-None-Match: *` for the first, `If-Match` with the entity tag that was read for
//! every other. So of several that take it at once one succeeds.
//!
//! No clock is compared with another's. A keeper writes the lease at each look at the queue, at most twenty seconds
//! apart, each time with another text. A worker that sees it change knows that the keeper lives, and one that sees it
//! unchanged for [`STALE`] by its own clock takes it over.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::dates::whole_seconds;
use crate::store::{Expected, Store, StoreError};

/// The lease's key in the output bucket.
pub const KEY: &str = "keeper.json";

/// A lease that has not changed for so long has no holder: four times the longest wait between two looks at the
/// queue, and some time for retries.
pub const STALE: Duration = Duration::from_secs(90);

/// A lease is given up for others to take it at once; if S3 does not answer by then, they wait until it is stale.
const RELEASE_LIMIT: Duration = Duration::from_secs(5);

/// [`Lease::version`].
const VERSION: u32 = 1;

/// The text of the lease.
#[derive(Debug, Serialize, Deserialize)]
struct Lease {
    version: u32,
    holder: String,
    /// How often this holder has written it: no two texts are the same.
    renewals: u64,
    /// The holder has left or has work: anyone may take it.
    #[serde(default)]
    released: bool,
    /// For people; never compared.
    at: Timestamp,
}

/// What a look at the lease says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watch {
    /// This worker is the keeper.
    Ours,
    /// Another is, and lives.
    Others,
    /// Not known yet, or S3 refuses: who goes by this stays.
    Unsettled,
}

/// A worker's part in the election.
pub(super) struct Keeper<'w> {
    store: &'w dyn Store,
    bucket: &'w str,
    /// The worker's name, which no other has.
    holder: &'w str,
    renewals: u64,
    /// Entity tag of the lease while it is ours.
    ours: Option<String>,
    /// Another's lease.
    seen: Option<Seen>,
    /// S3's refusal is logged once.
    refused: bool,
}

struct Seen {
    tag: String,
    /// When this tag was first read, by our clock.
    since: Timestamp,
    /// It replaced another before our eyes.
    renewed: bool,
}

impl<'w> Keeper<'w> {
    pub(super) fn new(store: &'w dyn Store, bucket: &'w str, holder: &'w str) -> Self {
        Self {
            store,
            bucket,
            holder,
            renewals: 0,
            ours: None,
            seen: None,
            refused: false,
        }
    }

    pub(super) fn is_ours(&self) -> bool {
        self.ours.is_some()
    }

    /// Renews the lease if it is ours, else reads it, and takes it if nobody has it.
    pub(super) async fn look(&mut self, now: Timestamp) -> Watch {
        let was_ours = self.is_ours();
        match self.renew_or_read(now).await {
            Ok(watch) => {
                self.refused = false;
                if self.is_ours() && !was_ours {
                    tracing::info!("stays, for the messages that other workers may give back");
                }
                watch
            }
            Err(error) => {
                if !self.refused {
                    tracing::warn!(
                        "stays while others work, since no keeper can be elected: {error}"
                    );
                }
                self.refused = true;
                Watch::Unsettled
            }
        }
    }

    /// Forgets what was seen of others, and lets them take the lease if it is ours: this worker has work, or leaves.
    pub(super) async fn stop(&mut self, now: Timestamp) {
        self.seen = None;
        let Some(tag) = self.ours.take() else { return };
        let released = self.write(Expected::Tag(&tag), true, now);
        match tokio::time::timeout(RELEASE_LIMIT, released).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!("the keeper's lease stays until it is stale: {error}"),
            Err(_) => {
                tracing::warn!("the keeper's lease stays until it is stale: no answer from S3");
            }
        }
    }

    async fn renew_or_read(&mut self, now: Timestamp) -> Result<Watch, StoreError> {
        // After an error the tag is kept: was the write done all the same, the next one is refused and the lease read.
        if let Some(tag) = self.ours.clone() {
            self.ours = self.write(Expected::Tag(&tag), false, now).await?;
            if self.is_ours() {
                return Ok(Watch::Ours);
            }
        }
        let Some(note) = self.store.read_note(self.bucket, KEY).await? else {
            return self.take(Expected::Absent, now).await;
        };
        let free = serde_json::from_str::<Lease>(&note.text)
            .is_ok_and(|lease| lease.released || lease.holder == self.holder);
        if free {
            return self.take(Expected::Tag(&note.tag), now).await;
        }
        let renewed = match &self.seen {
            Some(seen) if seen.tag == note.tag => {
                let unchanged = now.duration_since(seen.since).unsigned_abs();
                if unchanged >= STALE {
                    tracing::info!(
                        "the keeper has not been heard of for {} s",
                        unchanged.as_secs()
                    );
                    return self.take(Expected::Tag(&note.tag), now).await;
                }
                seen.renewed
            }
            seen => {
                let renewed = seen.is_some();
                self.seen = Some(Seen {
                    tag: note.tag,
                    since: now,
                    renewed,
                });
                renewed
            }
        };
        Ok(if renewed {
            Watch::Others
        } else {
            Watch::Unsettled
        })
    }

    /// Another may be faster: then the next look shows whose it is.
    async fn take(&mut self, expected: Expected<'_>, now: Timestamp) -> Result<Watch, StoreError> {
        self.ours = self.write(expected, false, now).await?;
        Ok(if self.is_ours() {
            self.seen = None;
            Watch::Ours
        } else {
            Watch::Unsettled
        })
    }

    /// Returns the new entity tag; `None` if another was faster.
    async fn write(
        &mut self,
        expected: Expected<'_>,
        released: bool,
        now: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        self.renewals += 1;
        let lease = Lease {
            version: VERSION,
            holder: self.holder.to_owned(),
            renewals: self.renewals,
            released,
            at: whole_seconds(now),
        };
        let text = serde_json::to_string(&lease).map_err(|error| StoreError::Machine {
            action: "write",
            what: KEY.to_owned(),
            why: error.to_string(),
        })?;
        self.store
            .replace_note(self.bucket, KEY, &text, expected)
            .await
    }
}

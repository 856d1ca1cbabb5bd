//! A stack that is worked in does not expire: its end is moved on while a command runs.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinHandle;

use super::tagging;
use crate::cloud::Cloud;
use crate::error::Result;
use crate::lifetime::{OnExpiry, object_days};
use crate::resources::{Attributes, bucket};

/// How often the end is moved, at least. One failure may be followed by others: a quarter of the time to live leaves three
/// more tries.
const EVERY: Duration = Duration::from_hours(1);
/// The first time: a command that fails at once has nothing to renew.
const FIRST: Duration = Duration::from_secs(1);
/// After a failure: the network may be away for a while.
const AGAIN: Duration = Duration::from_mins(1);

/// Renews the stack's end now and then until it is dropped.
#[derive(Debug)]
pub struct Renewal(JoinHandle<()>);

impl Renewal {
    /// `since`: when the oldest object of the stack may have been stored.
    pub fn start(cloud: &Cloud, since: Timestamp) -> Self {
        let cloud = cloud.clone();
        Self(tokio::spawn(async move {
            let mut warned = false;
            tokio::time::sleep(FIRST).await;
            loop {
                let pause = match extend(&cloud, since).await {
                    Ok(()) => every(cloud.config.ttl),
                    Err(error) => {
                        tracing::debug!(error = error.chain(), "the stack's end was not renewed");
                        if !warned {
                            warned = true;
                            cloud.events.warn(format!(
                                "the end of stack {} can't be moved on, and it may be deleted when it expires: {}",
                                cloud.names.stack,
                                error.chain()
                            ));
                        }
                        AGAIN
                    }
                };
                tokio::time::sleep(pause).await;
            }
        }))
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn every(ttl: SignedDuration) -> Duration {
    EVERY.min(ttl.unsigned_abs() / 4)
}

/// Moves the stack's end to a time to live from now; what a run has stored, the oldest of it at `since`, must then live
/// longer too.
///
/// # Errors
/// A stack that is not up, or not ours to change.
pub async fn extend(cloud: &Cloud, since: Timestamp) -> Result<()> {
    tagging::renew(cloud, cloud.lifetime().expires).await?;
    let age = Timestamp::now().duration_since(since);
    let days = object_days(age + cloud.config.ttl);
    if cloud.config.on_expiry == OnExpiry::Keep || days == object_days(cloud.config.ttl) {
        return Ok(());
    }
    let lifecycle = Attributes::from([(bucket::LIFECYCLE, bucket::lifecycle_after(Some(days)))]);
    let (input, output) = (cloud.names.input_bucket(), cloud.names.output_bucket());
    tokio::try_join!(
        bucket::set(&cloud.aws, &input, &lifecycle),
        bucket::set(&cloud.aws, &output, &lifecycle)
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_life_is_renewed_more_often() {
        assert_eq!(every(SignedDuration::from_hours(12)), EVERY);
        assert_eq!(every(SignedDuration::from_mins(8)), Duration::from_mins(2));
    }
}

//! Polling: with a deadline, growing pauses with jitter, and the last status in the error.
//!
//! The SDK's own waiters start at 15 s and cannot be told otherwise, which loses about 40 s on
//! each long wait; hence this.

use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// First pause between two looks.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause; long waits see a change at most this late.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Each pause is this much longer than the one before.
const GROWTH: f64 = 1.5;

/// What one look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look<T> {
    Done(T),
    /// Not yet; the status seen, for the user and for a time-out's error.
    NotYet(String),
}

/// Looks again and again until `look` says `Done`, fails, or `limit` has passed.
///
/// # Errors
/// Whatever `look` returns; or `timed out waiting for WHAT; last seen: STATUS`.
pub async fn until<T, F, Fut>(what: &str, limit: Duration, mut look: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Look<T>>>,
{
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let last_seen = match look().await? {
            Look::Done(value) => return Ok(value),
            Look::NotYet(status) => status,
        };
        let left = limit.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Err(Error::failed(format!(
                "timed out after {} s waiting for {what}; last seen: {last_seen}",
                limit.as_secs()
            )));
        }
        // Jitter of up to a quarter, so that many waiters don't look at the same moment.
        let jittered = pause.mul_f64(rand::random_range(0.75..=1.0));
        tokio::time::sleep(jittered.min(left)).await;
        pause = pause.mul_f64(GROWTH).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn returns_when_done() {
        let mut looks = 0;
        let value = until("x", Duration::from_secs(5), || {
            looks += 1;
            let look = looks;
            async move {
                Ok(if look == 2 {
                    Look::Done(look)
                } else {
                    Look::NotYet("no".into())
                })
            }
        })
        .await
        .expect("done");
        assert_eq!(value, 2);
    }

    #[tokio::test]
    async fn a_time_out_tells_the_last_status() {
        let error = until::<(), _, _>("the moon", Duration::ZERO, || async {
            Ok(Look::NotYet("waning".into()))
        })
        .await
        .expect_err("times out");
        assert_eq!(
            error.to_string(),
            "timed out after 0 s waiting for the moon; last seen: waning"
        );
    }
}

//! Waiting out a network that is away: a batch takes hours, and nothing is lost by waiting.

use std::error::Error as _;
use std::time::{Duration, Instant};

use crate::aws::Cause;
use crate::error::Error;

/// How long a cloud that gives no answer is tried again. A worker's file goes on meanwhile, and instances end themselves.
const LIMIT: Duration = Duration::from_mins(30);
/// Pause between two tries; the SDK has tried for some seconds before.
const PAUSE: Duration = Duration::from_secs(5);

/// Remembers since when no answer has come.
#[derive(Debug, Default)]
pub struct Outage(Option<Instant>);

impl Outage {
    /// An answer came.
    pub fn is_over(&mut self) {
        self.0 = None;
    }

    /// How long to wait before what failed with `error` is tried again; `None`: it is not the network's fault, or it has
    /// lasted too long.
    pub fn pause(&mut self, error: &Error) -> Option<Duration> {
        if !is_outage(error) {
            return None;
        }
        let since = self.0.get_or_insert_with(Instant::now);
        (since.elapsed() < LIMIT).then_some(PAUSE)
    }

    /// Whether none has come for a while.
    pub fn is_known(&self) -> bool {
        self.0.is_some()
    }
}

/// No service answered: the name could not be resolved, no connection was made, or it broke.
fn is_outage(error: &Error) -> bool {
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(cause) = cause.downcast_ref::<Cause>() {
            return cause.code.is_none() && cause.uncertain;
        }
        next = cause.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: Option<&str>, uncertain: bool) -> Error {
        let cause = Cause {
            code: code.map(str::to_owned),
            message: "m".to_owned(),
            request_id: None,
            uncertain,
        };
        Error::failed("cannot receive").because(Error::failed("inner").because(cause))
    }

    #[test]
    fn only_silence_is_waited_out() {
        let pause = |error: &Error| Outage::default().pause(error);
        assert_eq!(pause(&failure(None, true)), Some(PAUSE));
        assert_eq!(pause(&failure(None, false)), None);
        assert_eq!(pause(&failure(Some("AccessDenied"), false)), None);
        assert_eq!(pause(&failure(Some("InternalError"), true)), None);
        assert_eq!(pause(&Error::failed("disk full")), None);
    }
}

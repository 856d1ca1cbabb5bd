//! Time as a parameter, so that state can be tested without sleeping.

use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};

/// Where state takes its time from.
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that moves only when told to; for tests.
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    pub fn new(start: Timestamp) -> Self {
        Self(Mutex::new(start))
    }

    /// Moves the clock by `by`.
    pub fn advance(&self, by: SignedDuration) {
        let mut now = self.0.lock().expect("no panic while the clock is held");
        *now += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("no panic while the clock is held")
    }
}

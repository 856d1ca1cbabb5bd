//! When a watcher starts another instance: messages came back after all instances had left. Pure.

use std::time::Duration;

use super::stall::Look;

/// SQS's counts and EC2's lists need a moment to agree on an instance that has just left or come.
const SETTLED: Duration = Duration::from_secs(30);
/// Launches in a row after which no job came back: more of them would only cost money.
const MOST: u32 = 3;

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Relaunch {
    /// Since when messages have waited with no instance, on the caller's clock.
    since: Option<Duration>,
    /// Launches since the last job came back.
    launches: u32,
    outstanding: Option<u64>,
}

impl Relaunch {
    /// Takes a look made at `now` (any clock that only goes forward); whether one instance is to be launched.
    pub fn is_due(&mut self, look: Look, now: Duration) -> bool {
        if self
            .outstanding
            .is_some_and(|before| look.outstanding < before)
        {
            self.launches = 0;
        }
        self.outstanding = Some(look.outstanding);
        if look.waiting == 0 || look.instances > 0 {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        if now.saturating_sub(since) < SETTLED || self.launches == MOST {
            return false;
        }
        self.since = None;
        self.launches += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOST: Look = Look {
        outstanding: 2,
        waiting: 1,
        in_work: 0,
        reports: 0,
        instances: 0,
    };

    fn second(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn one_is_launched_when_messages_wait_with_nobody_there() {
        let mut relaunch = Relaunch::default();
        assert!(!relaunch.is_due(LOST, second(0)));
        assert!(!relaunch.is_due(LOST, second(29)));
        assert!(relaunch.is_due(LOST, second(30)));
        // It is not listed at once.
        assert!(!relaunch.is_due(LOST, second(31)));
        let busy = Look {
            instances: 1,
            ..LOST
        };
        assert!(!relaunch.is_due(busy, second(70)));
        assert!(!relaunch.is_due(LOST, second(71)));
        assert!(relaunch.is_due(LOST, second(101)));
    }

    #[test]
    fn nothing_is_launched_where_nothing_waits() {
        let mut relaunch = Relaunch::default();
        let none = Look { waiting: 0, ..LOST };
        assert!(!relaunch.is_due(none, second(0)));
        assert!(!relaunch.is_due(none, second(1000)));
    }

    #[test]
    fn launches_that_bring_nothing_back_come_to_an_end() {
        let mut relaunch = Relaunch::default();
        let mut launches = |outstanding: u64, from: u64| {
            let look = Look {
                outstanding,
                ..LOST
            };
            let due = |at: &u64| relaunch.is_due(look, second(*at));
            (from..from + 1000).filter(due).count()
        };
        assert_eq!(launches(2, 0), 3);
        assert_eq!(launches(2, 1000), 0);
        assert_eq!(launches(1, 2000), 3);
    }
}

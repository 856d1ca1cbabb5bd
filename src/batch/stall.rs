//! When waiting is in vain: no job comes back and nothing is left that could bring one. Pure.

use std::time::Duration;

/// What one look at a batch saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Jobs of the batch that have not come back.
    pub outstanding: u64,
    /// Messages in the input queue: waiting, and in the hands of workers.
    pub waiting: u64,
    pub in_work: u64,
    /// Messages in the output queue, waiting or in someone's hands.
    pub reports: u64,
    /// Instances that run or are on the way to it.
    pub instances: u64,
}

/// Why waiting is in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stalled {
    /// Work is there, but nobody to do it.
    NoInstances,
    /// Neither work nor anybody: the jobs' messages are gone.
    NothingLeft,
}

/// Remembers since when nothing moved.
#[derive(Debug)]
pub struct Watch {
    patience: Duration,
    last: Option<Look>,
    /// When, on the caller's clock, something last moved.
    since: Duration,
}

impl Watch {
    pub fn new(patience: Duration) -> Self {
        Self {
            patience,
            last: None,
            since: Duration::ZERO,
        }
    }

    /// Takes a look made at `now` (any clock that only goes forward).
    ///
    /// Counts of a queue are approximate and settle within a minute, so only a picture that stayed
    /// the same for the whole patience counts. While an instance lives or a message is in work,
    /// waiting is never in vain: instances end themselves.
    pub fn look(&mut self, look: Look, now: Duration) -> Option<Stalled> {
        let moved = self.last.is_none_or(|last| last != look);
        let alive = look.instances > 0 || look.in_work > 0 || look.reports > 0;
        if moved || alive || look.outstanding == 0 {
            self.last = Some(look);
            self.since = now;
            return None;
        }
        if now.saturating_sub(self.since) < self.patience {
            return None;
        }
        Some(if look.waiting > 0 {
            Stalled::NoInstances
        } else {
            Stalled::NothingLeft
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Look = Look {
        outstanding: 3,
        waiting: 0,
        in_work: 0,
        reports: 0,
        instances: 0,
    };

    fn second(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn silence_is_borne_for_the_patience_only() {
        let mut watch = Watch::new(second(60));
        assert_eq!(watch.look(QUIET, second(0)), None);
        assert_eq!(watch.look(QUIET, second(59)), None);
        assert_eq!(watch.look(QUIET, second(60)), Some(Stalled::NothingLeft));
    }

    #[test]
    fn work_without_anybody_is_told_apart() {
        let mut watch = Watch::new(second(60));
        let work = Look {
            waiting: 3,
            ..QUIET
        };
        watch.look(work, second(0));
        assert_eq!(watch.look(work, second(61)), Some(Stalled::NoInstances));
    }

    #[test]
    fn anything_that_moves_or_lives_begins_the_wait_anew() {
        let mut watch = Watch::new(second(60));
        watch.look(QUIET, second(0));
        assert_eq!(
            watch.look(
                Look {
                    outstanding: 2,
                    ..QUIET
                },
                second(61)
            ),
            None
        );
        assert_eq!(
            watch.look(
                Look {
                    outstanding: 2,
                    ..QUIET
                },
                second(100)
            ),
            None
        );
        for alive in [
            Look {
                instances: 1,
                ..QUIET
            },
            Look {
                in_work: 1,
                ..QUIET
            },
            Look {
                reports: 1,
                ..QUIET
            },
        ] {
            let mut watch = Watch::new(second(60));
            watch.look(alive, second(0));
            assert_eq!(watch.look(alive, second(1000)), None);
        }
        let done = Look {
            outstanding: 0,
            ..QUIET
        };
        let mut watch = Watch::new(second(60));
        watch.look(done, second(0));
        assert_eq!(watch.look(done, second(1000)), None);
    }
}

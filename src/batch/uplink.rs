//! How much is sent at once: less where the line is slow, so that what was begun arrives before it times out.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, Result};

const KIB: u64 = 1 << 10;
/// KiB under way at the beginning, at least and at most. The least is one part of a large file.
const FIRST: u32 = 32 << 10;
const LEAST: u32 = 8 << 10;
const MOST: u32 = 64 << 10;
/// What a request counts for at least, so that many small ones still hide each other's round trips.
const SMALLEST: u32 = 64;
/// A request that takes longer shares the line with too many: half as much is sent at once from then on.
const SLOW: Duration = Duration::from_secs(20);
/// One that takes less leaves room for more.
const FAST: Duration = Duration::from_secs(5);

/// The line to S3, shared by all files of a submission.
#[derive(Debug)]
pub struct Uplink {
    room: Arc<Semaphore>,
    width: Mutex<Width>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Width {
    /// KiB that may be under way.
    now: u32,
    /// KiB that are to be taken out of use when they come back.
    owed: u32,
}

/// A request that is under way.
pub struct Turn<'a> {
    uplink: &'a Uplink,
    permit: OwnedSemaphorePermit,
    began: Instant,
}

impl Default for Uplink {
    fn default() -> Self {
        Self {
            room: Arc::new(Semaphore::new(FIRST as usize)),
            width: Mutex::new(Width {
                now: FIRST,
                owed: 0,
            }),
        }
    }
}

impl Uplink {
    /// Waits until a request of so many bytes may begin.
    pub async fn turn(&self, bytes: u64) -> Result<Turn<'_>> {
        let weight = u32::try_from(bytes / KIB).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.room)
            .acquire_many_owned(weight.clamp(SMALLEST, LEAST))
            .await
            .map_err(|error| Error::failed("the upload was stopped").because(error))?;
        Ok(Turn {
            uplink: self,
            permit,
            began: Instant::now(),
        })
    }
}

impl Turn<'_> {
    /// The request has its answer.
    pub fn done(self) {
        let took = self.began.elapsed();
        self.ends_after(took);
    }

    fn ends_after(mut self, took: Duration) {
        let mut width = (self.uplink.width.lock()).unwrap_or_else(PoisonError::into_inner);
        if took > SLOW {
            let narrower = (width.now / 2).max(LEAST);
            width.owed += width.now - narrower;
            width.now = narrower;
        } else if took < FAST && width.now < MOST {
            let more = LEAST.min(MOST - width.now);
            width.now += more;
            let repaid = more.min(width.owed);
            width.owed -= repaid;
            self.uplink.room.add_permits((more - repaid) as usize);
        }
        let held = u32::try_from(self.permit.num_permits()).unwrap_or(u32::MAX);
        let gone = width.owed.min(held);
        width.owed -= gone;
        if let Some(gone) = self.permit.split(gone as usize) {
            gone.forget();
        }
        let idle = self.uplink.room.forget_permits(width.owed as usize);
        width.owed -= u32::try_from(idle).unwrap_or(width.owed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: u64 = 8 << 20;

    /// How many parts can be under way together.
    async fn parts(uplink: &Uplink) -> usize {
        let mut turns = Vec::new();
        while let Ok(turn) = tokio::time::timeout(Duration::from_millis(1), uplink.turn(PART)).await
        {
            turns.push(turn.expect("open"));
        }
        turns.len()
    }

    async fn part_that_takes(uplink: &Uplink, seconds: u64) {
        let turn = uplink.turn(PART).await.expect("open");
        turn.ends_after(Duration::from_secs(seconds));
    }

    #[tokio::test]
    async fn a_slow_line_carries_one_part_at_a_time_and_a_fast_one_eight() {
        let uplink = Uplink::default();
        assert_eq!(parts(&uplink).await, 4);
        for _ in 0..6 {
            part_that_takes(&uplink, 1).await;
        }
        assert_eq!(parts(&uplink).await, 8);
        part_that_takes(&uplink, 10).await;
        assert_eq!(parts(&uplink).await, 8);
        for left in [4, 2, 1, 1] {
            part_that_takes(&uplink, 30).await;
            assert_eq!(parts(&uplink).await, left);
        }
        part_that_takes(&uplink, 1).await;
        assert_eq!(parts(&uplink).await, 2);
    }

    #[tokio::test]
    async fn parts_under_way_when_the_line_slows_down_are_taken_off_as_they_end() {
        let uplink = Uplink::default();
        let mut turns = Vec::new();
        for _ in 0..4 {
            turns.push(uplink.turn(PART).await.expect("open"));
        }
        for turn in turns {
            turn.ends_after(Duration::from_mins(1));
        }
        assert_eq!(parts(&uplink).await, 1);
    }

    #[tokio::test]
    async fn a_huge_part_and_many_small_requests_get_their_turns() {
        let uplink = Uplink::default();
        for _ in 0..5 {
            part_that_takes(&uplink, 60).await;
        }
        drop(uplink.turn(1 << 40).await.expect("open"));
        let mut small = Vec::new();
        for _ in 0..128 {
            small.push(uplink.turn(10).await.expect("open"));
        }
        assert_eq!(parts(&uplink).await, 0);
    }
}

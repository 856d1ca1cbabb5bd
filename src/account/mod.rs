//! The whole account in one region, across stacks: what is there, what it costs, and what has
//! expired and goes. Found by listing only, so that it sees what any machine has left behind.

mod cost;
mod expired;
mod listing;
mod overview;
mod row;
pub mod sweep;

pub use cost::{daily_storage, small};
pub use expired::expired_stacks;
pub use listing::Listing;
pub use overview::{Overview, overview};

use std::time::Duration;

use jiff::Timestamp;

/// `40 s`, `12 min`, `5 h`, `3 d`: how long, to one figure that matters.
pub fn roughly(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// From one time to a later one; nothing if it is not later.
pub fn between(from: Timestamp, to: Timestamp) -> Duration {
    to.duration_since(from).try_into().unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_well() {
        let shown = [5, 119, 120, 7199, 7200, 172_799, 172_800]
            .map(|seconds| roughly(Duration::from_secs(seconds)));
        assert_eq!(
            shown,
            ["5 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 d"]
        );
        let (early, late) = (
            Timestamp::UNIX_EPOCH,
            Timestamp::from_second(9).expect("time"),
        );
        assert_eq!(between(early, late), Duration::from_secs(9));
        assert_eq!(between(late, early), Duration::ZERO);
    }
}

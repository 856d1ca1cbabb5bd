//! What a job has taken of its machine.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What programs took, with all that they started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// Seconds on the clock.
    pub wall_seconds: f64,
    /// Seconds of processor time, of all threads; 0 where it was not measured.
    pub cpu_seconds: f64,
    /// The most memory that was resident at a time, in bytes; 0 where it was not measured.
    pub peak_memory_bytes: u64,
    /// Bytes that were written and are there at the end.
    pub written_bytes: u64,
}

impl Spent {
    /// What was spent on both, one after the other.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            wall_seconds: self.wall_seconds + other.wall_seconds,
            cpu_seconds: self.cpu_seconds + other.cpu_seconds,
            peak_memory_bytes: self.peak_memory_bytes.max(other.peak_memory_bytes),
            written_bytes: self.written_bytes + other.written_bytes,
        }
    }
}

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.1} s, {:.1} s of processor time, {} MiB of memory at most, {} bytes written",
            self.wall_seconds,
            self.cpu_seconds,
            self.peak_memory_bytes >> 20,
            self.written_bytes
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_add_up_and_the_greatest_memory_counts() {
        let one = Spent {
            wall_seconds: 1.0,
            cpu_seconds: 2.0,
            peak_memory_bytes: 3 << 20,
            written_bytes: 4,
        };
        let both = one.and(Spent {
            peak_memory_bytes: 1,
            ..one
        });
        assert_eq!(
            both.to_string(),
            "2.0 s, 4.0 s of processor time, 3 MiB of memory at most, 8 bytes written"
        );
    }
}

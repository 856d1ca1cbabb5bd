//! How many files are worked on beside each other.

use std::fmt;
use std::str::FromStr;

use crate::memory;

/// Memory that a conversion may take, in bytes: x264 with a lookahead of 40 frames of 3840×2160 and
/// ffmpeg's own frame threads stay under it.
const SLOT_BYTES: u64 = 1536 << 20;

/// Memory for the system and the worker, in bytes. A Debian without a desktop takes 150 MiB, the
/// worker under 64 MiB for each part that is sent.
const SYSTEM_BYTES: u64 = 512 << 20;

/// Threads of a conversion.
const SLOT_THREADS: usize = 1;

/// The most that can be asked for: more than any instance type has cores.
const MOST: usize = 1024;

/// What was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Slots {
    /// As many as cores and memory carry.
    #[default]
    Auto,
    Fixed(usize),
}

impl Slots {
    /// How many on this machine; one at least.
    pub fn count(self) -> usize {
        match self {
            Self::Fixed(count) => count,
            Self::Auto => carried(
                std::thread::available_parallelism().map_or(1, usize::from),
                memory::of_this_machine(),
            ),
        }
    }
}

/// How many fit a machine of so many cores and so much memory; `None` if that isn't known.
fn carried(cores: usize, memory: Option<u64>) -> usize {
    let by_memory = memory.map_or(usize::MAX, |bytes| {
        usize::try_from(bytes.saturating_sub(SYSTEM_BYTES) / SLOT_BYTES).unwrap_or(usize::MAX)
    });
    (cores / SLOT_THREADS).min(by_memory).max(1)
}

/// Not a number of slots.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("neither `auto` nor a number from 1 to {MOST}")]
pub struct NotSlots;

impl FromStr for Slots {
    type Err = NotSlots;

    fn from_str(text: &str) -> Result<Self, NotSlots> {
        if text.eq_ignore_ascii_case("auto") {
            return Ok(Self::Auto);
        }
        match text.parse() {
            Ok(count) if (1..=MOST).contains(&count) => Ok(Self::Fixed(count)),
            _ => Err(NotSlots),
        }
    }
}

impl fmt::Display for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Fixed(count) => write!(f, "{count}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_and_memory_carry_them() {
        const GIB: u64 = 1 << 30;
        // c7i.large, c7i.xlarge, m7i.large, t3.micro.
        assert_eq!(carried(2, Some(4 * GIB)), 2);
        assert_eq!(carried(4, Some(8 * GIB)), 4);
        assert_eq!(carried(2, Some(8 * GIB)), 2);
        assert_eq!(carried(2, Some(GIB)), 1);
        assert_eq!(carried(3, None), 3);
        assert!(Slots::Auto.count() >= 1);
    }

    #[test]
    fn what_is_typed_is_read() {
        for text in ["auto", "1", "16"] {
            assert_eq!(
                text.parse::<Slots>().map(|s| s.to_string()),
                Ok(text.into())
            );
        }
        for text in ["", "0", "-1", "many", "100000"] {
            assert_eq!(text.parse::<Slots>(), Err(NotSlots), "{text}");
        }
    }
}

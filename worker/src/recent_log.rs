//! The end of the worker's log, kept in memory, so that it can be stored when the machine goes: a
//! disk that is full can't hinder it.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

/// What is kept, in bytes: several thousand jobs.
const MOST_BYTES: usize = 1 << 20;

/// Where logs are stored in the output bucket: `logs/<instance id, or host and process>.log`.
pub const PREFIX: &str = "logs/";

/// Writes to standard error and keeps the last MiB.
#[derive(Debug, Clone, Default)]
pub struct RecentLog(Arc<Mutex<VecDeque<u8>>>);

impl RecentLog {
    /// What is kept, from the beginning of a line on.
    pub fn text(&self) -> String {
        let kept = self.kept();
        let (first, second) = kept.as_slices();
        String::from_utf8_lossy(&[first, second].concat()).into_owned()
    }

    fn keep(&self, bytes: &[u8]) {
        let mut kept = self.kept();
        kept.extend(bytes);
        if kept.len() > MOST_BYTES {
            let excess = kept.len() - MOST_BYTES;
            let line = kept.iter().skip(excess).position(|byte| *byte == b'\n');
            let cut = line.map_or(kept.len(), |at| excess + at + 1);
            kept.drain(..cut);
        }
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<u8>> {
        // Bytes are bytes after any panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for RecentLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.keep(bytes);
        io::stderr().write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'w> MakeWriter<'w> for RecentLog {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept_in_whole_lines() {
        let log = RecentLog::default();
        for number in 0..300_000 {
            log.keep(format!("line {number}\n").as_bytes());
        }
        let text = log.text();
        assert!(text.len() <= MOST_BYTES && text.len() > MOST_BYTES - 20);
        assert!(text.starts_with("line "), "{}", &text[..20]);
        assert!(text.ends_with("line 299999\n"));
    }
}

//! stdout and stderr as they are: either may be closed or full while a command works.

use std::io::{self, Write as _};
use std::sync::{Arc, OnceLock};

use crate::error::{Error, Result};

/// The process's stdout. After the first failed write nothing more is written to it, and the command goes on: what it
/// changes in the cloud must reach its end whether or not somebody reads about it.
#[derive(Debug, Clone, Default)]
pub struct Stdout {
    failure: Arc<OnceLock<io::Error>>,
}

impl Stdout {
    /// Writes a line, unless an earlier write failed.
    pub(super) fn line(&self, text: &str) {
        if self.is_closed() {
            return;
        }
        let mut out = io::stdout().lock();
        if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush()) {
            // Only the first failure is kept.
            let _ = self.failure.set(error);
        }
    }

    /// Whether nothing that is printed arrives any more. Commands that only print can end then.
    pub fn is_closed(&self) -> bool {
        self.failure.get().is_some()
    }

    /// # Errors
    /// If data was lost, as on a full disk. A reader that closed the pipe (`muck ls | head -1`) has read what it wanted.
    pub fn check(&self) -> Result<()> {
        match self.failure.get() {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Error::failed("cannot write to stdout").because(io::Error::from(error.kind())))
            }
            _ => Ok(()),
        }
    }
}

/// Writes a line to stderr. Where that is closed there is nobody to report it to.
pub(super) fn stderr_line(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

//! Ctrl-C and its relatives, as a future.

use tokio::signal::unix::{SignalKind, signal};

use crate::error::{Error, Result};

/// Listens for SIGINT, SIGTERM and SIGHUP from the moment it is made.
pub struct Interrupts {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Interrupts {
    pub fn listen() -> Result<Self> {
        let of = |kind| {
            signal(kind).map_err(|error| Error::failed("cannot listen for signals").because(error))
        };
        Ok(Self {
            interrupt: of(SignalKind::interrupt())?,
            terminate: of(SignalKind::terminate())?,
            hangup: of(SignalKind::hangup())?,
        })
    }

    /// Returns when the next signal arrives.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

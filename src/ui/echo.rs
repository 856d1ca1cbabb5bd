//! Keeps a terminal from printing `^C` among the bars.
//!
//! The two characters move the cursor, which a program that draws over its own lines doesn't see: a torn bar would stay.

use std::io::Stderr;

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

/// The terminal of stderr, set back when dropped. If the program is killed, `^C` stays invisible in that terminal: no harm.
pub(super) struct QuietControls {
    terminal: Stderr,
    before: Termios,
}

impl QuietControls {
    /// `None` if stderr is no terminal, or if it prints no control characters anyway.
    pub(super) fn begin() -> Option<Self> {
        let terminal = std::io::stderr();
        let before = tcgetattr(&terminal).ok()?;
        if !before.local_flags.contains(LocalFlags::ECHOCTL) {
            return None;
        }
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHOCTL);
        tcsetattr(&terminal, SetArg::TCSANOW, &quiet).ok()?;
        Some(Self { terminal, before })
    }
}

impl Drop for QuietControls {
    fn drop(&mut self) {
        // The terminal may be gone.
        let _ = tcsetattr(&self.terminal, SetArg::TCSANOW, &self.before);
    }
}

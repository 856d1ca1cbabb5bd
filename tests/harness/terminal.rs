//! A command on a terminal of its own: it asks questions, and it can be interrupted there.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a command may take to print what a story waits for, and to end.
const LIMIT: Duration = Duration::from_mins(2);

/// A running command whose three streams are one terminal.
pub struct OnTerminal {
    child: Child,
    terminal: File,
    printed: String,
}

impl OnTerminal {
    pub fn start(mut command: Command) -> Self {
        let pair = openpty(None, None).expect("a terminal");
        let stream = |fd: &OwnedFd| Stdio::from(fd.try_clone().expect("a descriptor"));
        let child = command
            .env("TERM", "xterm")
            .stdin(stream(&pair.slave))
            .stdout(stream(&pair.slave))
            .stderr(stream(&pair.slave))
            .spawn()
            .expect("muck starts");
        Self {
            child,
            terminal: pair.master.into(),
            printed: String::new(),
        }
    }

    /// Waits until the terminal shows `text`.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        let started = Instant::now();
        while !self.printed.contains(text) {
            assert!(
                started.elapsed() < LIMIT && self.read(),
                "no {text:?} in:\n{}",
                self.printed
            );
        }
    }

    pub fn write(&mut self, text: &str) {
        self.terminal.write_all(text.as_bytes()).expect("written");
    }

    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"));
        kill(id, signal).expect("signal");
    }

    /// Returns the exit code and all that was printed.
    #[track_caller]
    pub fn ends(mut self) -> (Option<i32>, String) {
        let started = Instant::now();
        loop {
            let more = self.read();
            if let Some(status) = self.child.try_wait().expect("waits")
                && !more
            {
                return (status.code(), std::mem::take(&mut self.printed));
            }
            assert!(
                started.elapsed() < LIMIT,
                "the command goes on after:\n{}",
                self.printed
            );
        }
    }

    /// Whether anything came within a moment, or may still come.
    fn read(&mut self) -> bool {
        let mut ready = [PollFd::new(self.terminal.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, PollTimeout::from(100_u8)) {
            Ok(0) => return self.child.try_wait().expect("waits").is_none(),
            Ok(_) => {}
            Err(error) => panic!("poll: {error}"),
        }
        let mut buffer = [0; 4096];
        // EIO: the last descriptor of the other side was closed.
        let Ok(count @ 1..) = self.terminal.read(&mut buffer) else {
            return false;
        };
        self.printed
            .push_str(&String::from_utf8_lossy(&buffer[..count]));
        true
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        // A story that failed must not leave it behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! A command that is followed by what it prints on stderr, and interrupted there.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStderr, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A command whose stderr is read line by line.
pub struct Talking {
    child: Child,
    stderr: BufReader<ChildStderr>,
    talk: String,
}

impl Talking {
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("muck starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        Self {
            child,
            stderr,
            talk: String::new(),
        }
    }

    /// Reads until stderr has shown `text`.
    #[track_caller]
    pub fn until(&mut self, text: &str) {
        while !self.talk.contains(text) {
            let read = self.stderr.read_line(&mut self.talk).expect("stderr");
            assert_ne!(read, 0, "no {text:?} in:\n{}", self.talk);
        }
    }

    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"));
        kill(id, signal).expect("signal");
    }

    /// The exit code (`None`: killed) and all of stderr.
    pub fn ends(mut self) -> (Option<i32>, String) {
        self.stderr.read_to_string(&mut self.talk).expect("stderr");
        (self.child.wait().expect("ends").code(), self.talk)
    }
}

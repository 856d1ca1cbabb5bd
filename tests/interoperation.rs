//! Programs of others: what boto 2.49 has of the 2007 service, and the client that `docs/messages.md` shows.

mod boto;
mod client;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::machine::Access;
use crate::harness::{World, python};

/// Conversions of some seconds each, on a busy machine.
const LIMIT: Duration = Duration::from_mins(3);

/// A program that has ended.
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Said {
    #[track_caller]
    fn exits(self, code: i32) -> Self {
        let Self { stdout, stderr, .. } = &self;
        assert_eq!(
            self.code,
            Some(code),
            "--- stdout\n{stdout}\n--- stderr\n{stderr}"
        );
        self
    }
}

/// Somebody's machine, which has Python and knows the cloud by its endpoint and keys.
struct Somewhere {
    access: Access,
    stack: &'static str,
    /// boto3 carries the texts of boto's messages.
    carried: bool,
    folder: tempfile::TempDir,
}

impl Somewhere {
    fn new(access: &Access, stack: &'static str, carried: bool) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("muck-python-")
            .tempdir()
            .expect("temporary folder");
        // What the 2007 program is told of the service.
        let config = format!(
            "[Pyami]\nscripts = boto.services.sonofmmm.SonOfMMM\n\n[SonOfMMM]\ninput_bucket = {}\noutput_bucket = {}\n\
             input_queue = muck-{stack}-input\noutput_queue = muck-{stack}-output\n",
            access.bucket(stack, "input"),
            access.bucket(stack, "output"),
        );
        std::fs::write(folder.path().join("service.cfg"), config).expect("writes");
        Self {
            access: access.clone(),
            stack,
            carried,
            folder,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("below")).expect("folder");
        std::fs::write(path, content).expect("writes");
    }

    /// Runs a Python program in a folder of this machine.
    fn python(&self, folder: &str, program: &Path, arguments: &[&str]) -> Said {
        let mut command = Command::new(python::interpreter());
        command
            .arg("-B")
            .arg(program)
            .args(arguments)
            .current_dir(self.path(folder))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").expect("PATH"))
            .env("HOME", self.folder.path())
            .env("LANG", "C.UTF-8")
            // Nothing of this machine's own settings for boto.
            .env("BOTO_CONFIG", self.path("none"))
            .stdin(Stdio::null());
        if self.carried {
            command.env("QUEUES", "boto3");
        }
        self.access.pass_to(&mut command);
        let output = command.output().expect("Python starts");
        Said {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

fn sample(name: &str) -> Vec<u8> {
    std::fs::read(World::sample(name)).expect("a sample")
}

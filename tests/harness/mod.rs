//! A world of its own for each story: an empty home, a cleared environment, its own local cloud.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

pub mod account;
pub mod call;
pub mod faults;
pub mod judge;
pub mod lane;
pub mod linter;
pub mod machine;
pub mod media;
pub mod memory;
pub mod moto;
pub mod policy;
pub mod proxy;
pub mod python;
pub mod sdk;
pub mod sweep;
pub mod talking;
pub mod terminal;
pub mod yard;

/// Longest that one command of a story may take; a bake with a cold cache is the longest.
const COMMAND_LIMIT: Duration = Duration::from_mins(15);

/// A home and a working folder that are gone when dropped, with the local cloud in them.
pub struct World {
    home: tempfile::TempDir,
    driver: Option<&'static str>,
}

impl World {
    pub fn new() -> Self {
        let home = tempfile::Builder::new()
            .prefix("muck-story-")
            .tempdir()
            .expect("temporary folder");
        std::fs::create_dir(home.path().join("work")).expect("working folder");
        Self { home, driver: None }
    }

    /// The same where instances are staged folders: for stories in which booting is beside the point.
    pub fn without_booting() -> Self {
        let mut world = Self::new();
        world.driver = Some("process");
        world
    }

    /// A sample clip.
    pub fn sample(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("samples")
            .join(name)
    }

    /// The folder in which commands run.
    pub fn work(&self) -> PathBuf {
        self.home.path().join("work")
    }

    /// muck's own folder.
    pub fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    /// `muck` with `arguments`, nothing of the caller's environment but PATH.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muck"));
        command
            .args(arguments)
            .current_dir(self.work())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").expect("PATH"))
            .env("HOME", self.home.path())
            .env("MUCK_STATE_DIR", self.home.path().join("state"))
            // Shared by all tests: making a Debian root takes most of a minute.
            .env("MUCK_CACHE_DIR", test_cache())
            // No metadata service here: do not wait for one.
            .env("AWS_EC2_METADATA_DISABLED", "true");
        for passed_on in ["MUCK_LOCAL_DRIVER", "MUCK_DEBIAN_MIRROR", "MUCK_LOG"] {
            if let Some(value) = std::env::var_os(passed_on) {
                command.env(passed_on, value);
            }
        }
        if let Some(driver) = self.driver {
            command.env("MUCK_LOCAL_DRIVER", driver);
        }
        command
    }

    /// Runs `muck` to its end.
    pub fn muck(&self, arguments: &[&str]) -> Ended {
        let started = std::time::Instant::now();
        let output = self.command(arguments).output().expect("muck starts");
        assert!(
            started.elapsed() < COMMAND_LIMIT,
            "muck {arguments:?} took too long"
        );
        Ended::new(arguments, &output)
    }

    /// Writes a file into the working folder.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.work().join(name);
        std::fs::create_dir_all(path.parent().expect("below the working folder")).expect("folder");
        std::fs::write(&path, content).expect("file");
        path
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Whatever the story left running ends with it; a world without a cloud has nothing to reset.
        let ended = self.muck(&["local", "reset", "--yes"]);
        assert!(
            ended.code == 0 || std::thread::panicking(),
            "the story's local cloud cannot be removed: {}",
            ended.stderr
        );
    }
}

/// The cache of Debian roots that all tests share: `<target>/test-cache`.
pub fn test_cache() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("target folder");
    target.join("test-cache")
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ended {
    arguments: String,
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn new(arguments: &[&str], output: &Output) -> Self {
        Self {
            arguments: arguments.join(" "),
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout.clone()).expect("stdout is UTF-8"),
            stderr: String::from_utf8(output.stderr.clone()).expect("stderr is UTF-8"),
        }
    }

    /// Asserts the exit code, showing all output if it is another.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "muck {}\n--- stdout\n{}\n--- stderr\n{}",
            self.arguments, self.stdout, self.stderr
        );
        self
    }

    /// stdout as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("muck {}: {error}: {}", self.arguments, self.stdout))
    }

    /// Asserts that stderr contains each text.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(
                self.stderr.contains(text),
                "muck {}: no {text:?} in\n{}",
                self.arguments,
                self.stderr
            );
        }
        self
    }
}

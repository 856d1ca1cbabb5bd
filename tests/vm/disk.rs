//! What is in a disk that no machine uses, read with `debugfs`: no mount, no rights.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::driver::VmDriver;

/// Where the root file system begins, as `scripts/vm-base.sh` lays it out. Growing a partition leaves its begin.
const OFFSET: u64 = 1024 * 1024;

pub struct Disk(PathBuf);

impl Disk {
    /// The disk of a snapshot.
    pub fn of(driver: &VmDriver, snapshot: &str) -> Self {
        Self(driver.disk(snapshot))
    }

    fn ask(&self, request: &str) -> String {
        let device = format!("{}?offset={OFFSET}", self.0.display());
        let output = Command::new("debugfs")
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .args(["-R", request, &device])
            .stdin(Stdio::null())
            .output()
            .expect("debugfs is installed with mke2fs");
        assert!(output.status.success(), "debugfs {request}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A file's text.
    pub fn read(&self, path: &str) -> String {
        self.ask(&format!("cat {path}"))
    }

    /// Permission bits of a path that is there.
    pub fn mode(&self, path: &str) -> Option<u32> {
        let told = self.ask(&format!("stat {path}"));
        let (_, rest) = told.split_once("Mode:")?;
        u32::from_str_radix(rest.split_whitespace().next()?, 8).ok()
    }

    pub fn exists(&self, path: &str) -> bool {
        self.mode(path).is_some()
    }

    /// What is in a folder; nothing if there is no such one.
    pub fn names(&self, folder: &str) -> Vec<String> {
        // /inode/mode/owner/group/name/size/
        self.ask(&format!("ls -p {folder}"))
            .lines()
            .filter_map(|line| line.split('/').nth(5))
            .filter(|name| !["", ".", ".."].contains(name))
            .map(str::to_owned)
            .collect()
    }

    /// Size of the file system.
    pub fn gibibytes(&self) -> f64 {
        let told = self.ask("stats -h");
        let number = |name: &str| -> f64 {
            let line = told.lines().find_map(|line| line.strip_prefix(name));
            let line = line.unwrap_or_else(|| panic!("no {name} in {told}"));
            line.trim().parse().expect("a number")
        };
        number("Block count:") * number("Block size:") / f64::from(1 << 30)
    }
}

//! Where volumes, snapshots and instances lie in the server's folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::driver::{DriverError, DriverResult};

/// The part of the server's folder that drivers own: `<dir>/ec2/`.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Makes what is missing.
    pub(super) fn open(dir: &Path) -> DriverResult<Self> {
        let root = dir.join("ec2");
        for part in ["volumes", "snapshots", "instances"] {
            make_folder(&root.join(part))?;
        }
        // Absolute, because guests are put together from another working folder.
        let root = root
            .canonicalize()
            .map_err(|error| failure("open", &root, &error))?;
        Ok(Self { root })
    }

    /// A volume's folder; `upper/` in it is its own layer.
    pub(super) fn volume(&self, id: &str) -> PathBuf {
        self.root.join("volumes").join(id)
    }

    pub(super) fn upper(&self, volume: &str) -> PathBuf {
        self.volume(volume).join("upper")
    }

    /// A snapshot's folder; `layer` in it is the frozen layer (for a base image a link to the cache).
    pub(super) fn snapshot(&self, id: &str) -> PathBuf {
        self.root.join("snapshots").join(id)
    }

    pub(super) fn layer(&self, snapshot: &str) -> PathBuf {
        self.snapshot(snapshot).join("layer")
    }

    /// Says that a snapshot is a base image, which any driver can make again.
    pub(super) fn base_mark(&self, snapshot: &str) -> PathBuf {
        self.snapshot(snapshot).join("base")
    }

    pub(super) fn instance(&self, id: &str) -> PathBuf {
        self.root.join("instances").join(id)
    }

    pub(super) fn console(&self, instance: &str) -> PathBuf {
        self.instance(instance).join("console.log")
    }

    /// A scratch folder name of this process, for probing.
    pub(super) fn probe(&self) -> PathBuf {
        self.root.join(format!("probe.{}", std::process::id()))
    }

    /// Which driver (and with whose rights) made the layers here.
    pub(super) fn recorded_driver(&self) -> Option<String> {
        let text = fs::read_to_string(self.root.join("driver")).ok()?;
        Some(text.trim().to_owned())
    }

    pub(super) fn record_driver(&self, label: &str) -> DriverResult<()> {
        let path = self.root.join("driver");
        fs::write(&path, format!("{label}\n")).map_err(|error| failure("write", &path, &error))
    }

    /// Whether there is a layer that can't be made again by another driver.
    pub(super) fn holds_layers(&self) -> bool {
        let names = |part: &str| -> Vec<String> {
            fs::read_dir(self.root.join(part))
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect()
        };
        !names("volumes").is_empty()
            || names("snapshots")
                .iter()
                .any(|snapshot| !self.base_mark(snapshot).exists())
    }
}

/// Makes a folder and its parents.
pub(super) fn make_folder(path: &Path) -> DriverResult<()> {
    fs::create_dir_all(path).map_err(|error| failure("make the folder", path, &error))
}

/// The sentence for a failed file operation.
pub(super) fn failure(what: &str, path: &Path, error: &io::Error) -> DriverError {
    DriverError(format!("can't {what} {}: {error}", path.display()))
}

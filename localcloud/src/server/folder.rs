//! A server's folder: locked while it runs, and the small files in it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::{ServerError, ServerInfo};

const LOCK: &str = "server.lock";
const INFO: &str = "server.json";
const PORT: &str = "port";
/// See [`crate::state::Store::open`]; it holds the account's secret key.
const DATABASE: &str = "cloud.sqlite";

/// What a locked folder holds until it is dropped or the process ends.
pub(super) struct Folder {
    path: PathBuf,
    lock: File,
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> ServerError {
    let path = path.to_owned();
    move |source| ServerError::File { what, path, source }
}

/// For the owner's eyes only (mode 0600).
fn private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

impl Folder {
    /// Makes the folder if need be and takes it for this process.
    pub(super) fn open(dir: &Path) -> Result<Self, ServerError> {
        std::fs::create_dir_all(dir).map_err(failed("make", dir))?;
        let path = dir.canonicalize().map_err(failed("find", dir))?;
        let lock_path = path.join(LOCK);
        let lock = private(&lock_path).map_err(failed("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(ServerError::InUse {
                    pid: read_info(&path).map(|info| info.pid),
                    dir: path,
                });
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock", &lock_path)(error)),
        }
        // Made before SQLite does, which gives its other files the same mode.
        let database = path.join(DATABASE);
        private(&database).map_err(failed("make", &database))?;
        Ok(Self { path, lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The port that the last server here had.
    pub(super) fn last_port(&self) -> Option<u16> {
        std::fs::read_to_string(self.path.join(PORT))
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    pub(super) fn remember_port(&self, port: u16) -> Result<(), ServerError> {
        let path = self.path.join(PORT);
        std::fs::write(&path, format!("{port}\n")).map_err(failed("write", &path))
    }

    /// Writes `server.json`, whole or not at all.
    pub(super) fn write_info(&self, info: &ServerInfo) -> Result<(), ServerError> {
        let path = self.path.join(INFO);
        let new = self.path.join("server.json.new");
        let write = || {
            let mut file = private(&new)?;
            file.set_len(0)?;
            serde_json::to_writer_pretty(&mut file, info)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            std::fs::rename(&new, &path)
        };
        write().map_err(failed("write", &path))
    }

    /// Says that nobody serves here any more.
    pub(super) fn close(self) {
        // Absent is as good as removed.
        let _ = std::fs::remove_file(self.path.join(INFO));
        let _ = self.lock.unlock();
    }
}

/// What `server.json` says, if there is one that can be read.
pub(super) fn read_info(dir: &Path) -> Option<ServerInfo> {
    let text = std::fs::read(dir.join(INFO)).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Whether a server (of any process) holds the folder.
pub(super) fn in_use(dir: &Path) -> bool {
    // A folder or lock that isn't there is held by nobody.
    OpenOptions::new()
        .write(true)
        .open(dir.join(LOCK))
        .is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn one_server_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!in_use(dir.path()));
        let first = Folder::open(dir.path()).unwrap();
        assert!(in_use(dir.path()));
        assert!(matches!(
            Folder::open(dir.path()),
            Err(ServerError::InUse { .. })
        ));
        first.close();
        Folder::open(dir.path()).unwrap();
    }

    #[test]
    fn secrets_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let info = ServerInfo {
            endpoint: String::new(),
            region: String::new(),
            account: String::new(),
            access_key_id: String::new(),
            secret_access_key: "secret".into(),
            driver: String::new(),
            driver_reason: String::new(),
            pid: 1,
            dir: PathBuf::new(),
            started: jiff::Timestamp::UNIX_EPOCH,
        };
        folder.write_info(&info).unwrap();
        folder.remember_port(4566).unwrap();
        for name in [INFO, DATABASE] {
            let mode = folder.path().join(name).metadata().unwrap().permissions();
            assert_eq!(mode.mode() & 0o777, 0o600, "{name}");
        }
        assert_eq!(read_info(dir.path()), Some(info));
        assert_eq!(folder.last_port(), Some(4566));
        assert!(folder.path().join(PORT).exists());
        folder.close();
        assert_eq!(read_info(dir.path()), None);
    }
}

//! The folder of a job: gone with the job, or by the next worker on this disk if this one is killed.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

const PREFIX: &str = "muck-job-";

/// Whoever has made a folder has locked it long before it is so old.
const YOUNG: Duration = Duration::from_secs(10);

/// A folder, locked as long as its job goes on. The kernel unlocks it when this process ends, however that ends.
#[derive(Debug)]
pub(super) struct JobFolder {
    folder: TempDir,
    _lock: File,
}

impl JobFolder {
    /// A new one in `root`.
    pub(super) fn new_in(root: &Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(root)?;
        let lock = File::open(folder.path())?;
        // Where the file system knows no locks, nothing is swept either.
        let _ = lock.try_lock();
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes the folders in `root` whose workers have been killed; how many there were. Blocking.
pub(super) fn sweep(root: &Path) -> usize {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    entries
        .filter(|entry| {
            let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
            ours && is_abandoned(&entry.path()) && std::fs::remove_dir_all(entry.path()).is_ok()
        })
        .count()
}

fn is_abandoned(folder: &Path) -> bool {
    // No link: it would lead elsewhere.
    let Ok(facts) = std::fs::symlink_metadata(folder) else {
        return false;
    };
    let old = facts.modified().is_ok_and(|at| {
        SystemTime::now()
            .duration_since(at)
            .is_ok_and(|age| age >= YOUNG)
    });
    facts.is_dir() && old && File::open(folder).is_ok_and(|lock| lock.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use std::fs::FileTimes;

    use super::*;

    #[test]
    fn what_a_killed_worker_left_is_removed_and_nothing_else() {
        let root = tempfile::tempdir().expect("a folder");
        let age = |folder: &Path| {
            let long_ago = SystemTime::now() - 6 * YOUNG;
            let times = FileTimes::new().set_modified(long_ago);
            let folder = File::open(folder).expect("opens");
            folder.set_times(times).expect("sets");
        };
        let at_work = JobFolder::new_in(root.path()).expect("made");
        age(at_work.path());
        let [killed, young, other] =
            ["muck-job-1", "muck-job-2", "mine"].map(|name| root.path().join(name));
        for folder in [&killed, &young, &other] {
            std::fs::create_dir(folder).expect("made");
            std::fs::write(folder.join("input"), "film").expect("written");
        }
        age(&killed);
        age(&other);
        assert_eq!(sweep(root.path()), 1);
        assert!(!killed.exists());
        assert!(at_work.path().exists() && young.exists() && other.exists());
        assert_eq!(sweep(&root.path().join("nowhere")), 0);
        let path = at_work.path().to_owned();
        drop(at_work);
        assert!(!path.exists());
    }
}

//! The files that hold bodies, by opaque id: no key ever becomes a file name.
//!
//! `<dir>/incoming/<id>` while a body comes in, `<dir>/bodies/<xx>/<id>` once it is whole. A file
//! counts only when the state refers to it; what a crash left behind is swept at the next start.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(super) struct Bodies {
    incoming: PathBuf,
    whole: PathBuf,
    /// Files that are being read, and whether they are to go when the last reader is done.
    pins: Mutex<HashMap<String, Pinned>>,
}

#[derive(Default)]
struct Pinned {
    readers: usize,
    doomed: bool,
}

impl Bodies {
    /// Makes the folders and empties `incoming`.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let incoming = dir.join("incoming");
        let bodies = dir.join("bodies");
        if incoming.exists() {
            std::fs::remove_dir_all(&incoming)?;
        }
        std::fs::create_dir_all(&incoming)?;
        // 256 folders, so that none grows past what tools list with ease.
        for shard in 0..=u8::MAX {
            std::fs::create_dir_all(bodies.join(format!("{shard:02x}")))?;
        }
        Ok(Self {
            incoming,
            whole: bodies,
            pins: Mutex::default(),
        })
    }

    /// Removes the files that nothing refers to. For the start only: a file that has just come in
    /// is not referred to yet.
    pub(super) fn sweep(&self, referenced: &HashSet<String>) -> io::Result<u64> {
        let mut swept = 0;
        for shard in std::fs::read_dir(&self.whole)? {
            for file in std::fs::read_dir(shard?.path())? {
                let file = file?;
                let known = file
                    .file_name()
                    .to_str()
                    .is_some_and(|name| referenced.contains(name));
                if !known {
                    std::fs::remove_file(file.path())?;
                    swept += 1;
                }
            }
        }
        Ok(swept)
    }

    pub(super) fn path(&self, id: &str) -> PathBuf {
        self.whole.join(id.get(..2).unwrap_or("00")).join(id)
    }

    /// A new file to write into; removed when dropped, unless published and kept.
    pub(super) fn create(self: &Arc<Self>) -> io::Result<(NewFile, std::fs::File)> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let path = self.incoming.join(&id);
        let file = std::fs::File::create_new(&path)?;
        let new = NewFile {
            id: Some(id),
            path,
            bodies: Arc::clone(self),
        };
        Ok((new, file))
    }

    /// A second file with the bytes of another, without copying them (a hard link).
    pub(super) fn link(self: &Arc<Self>, of: &str) -> io::Result<NewFile> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let path = self.path(&id);
        std::fs::hard_link(self.path(of), &path)?;
        Ok(NewFile {
            id: Some(id),
            path,
            bodies: Arc::clone(self),
        })
    }

    /// Keeps files from being removed while they are read. Must be taken within the transaction
    /// that found them: whoever deletes them does so after a later transaction.
    pub(super) fn pin(self: &Arc<Self>, ids: Vec<String>) -> Pin {
        let mut pins = self.pins();
        for id in &ids {
            pins.entry(id.clone()).or_default().readers += 1;
        }
        drop(pins);
        Pin {
            ids,
            bodies: Arc::clone(self),
        }
    }

    /// Removes files that nothing refers to any more; those being read go with their last reader.
    /// A file that can't be removed stays for the next start's sweep.
    pub(super) fn remove(&self, ids: Vec<String>) {
        let free: Vec<String> = {
            let mut pins = self.pins();
            ids.into_iter()
                .filter(|id| match pins.get_mut(id) {
                    Some(pinned) => {
                        pinned.doomed = true;
                        false
                    }
                    None => true,
                })
                .collect()
        };
        for id in free {
            self.unlink(&id);
        }
    }

    fn unlink(&self, id: &str) {
        if let Err(error) = std::fs::remove_file(self.path(id)) {
            tracing::warn!(%id, %error, "body file not removed; the next start sweeps it");
        }
    }

    fn pins(&self) -> MutexGuard<'_, HashMap<String, Pinned>> {
        // The map is whole between any two statements, so a panic elsewhere does not spoil it.
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that no state refers to yet.
pub(super) struct NewFile {
    id: Option<String>,
    path: PathBuf,
    bodies: Arc<Bodies>,
}

impl NewFile {
    /// Moves it among the bodies; still removed if dropped.
    pub(super) fn publish(&mut self) -> io::Result<String> {
        let id = self.id.clone().unwrap_or_default();
        let target = self.bodies.path(&id);
        if self.path != target {
            std::fs::rename(&self.path, &target)?;
            self.path = target;
        }
        Ok(id)
    }

    /// The state refers to it now: it stays.
    pub(super) fn keep(mut self) {
        self.id = None;
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if self.id.is_some()
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "half-written body not removed");
        }
    }
}

/// Files that stay while this lives.
pub(super) struct Pin {
    ids: Vec<String>,
    bodies: Arc<Bodies>,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut free = Vec::new();
        {
            let mut pins = self.bodies.pins();
            for id in self.ids.drain(..) {
                if let Some(pinned) = pins.get_mut(&id) {
                    pinned.readers -= 1;
                    if pinned.readers == 0 {
                        if pinned.doomed {
                            free.push(id.clone());
                        }
                        pins.remove(&id);
                    }
                }
            }
        }
        for id in free {
            self.bodies.unlink(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn stored(bodies: &Arc<Bodies>, text: &str) -> String {
        let (mut new, mut file) = bodies.create().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let id = new.publish().unwrap();
        new.keep();
        id
    }

    #[test]
    fn a_pinned_file_goes_with_its_last_reader() {
        let dir = tempfile::tempdir().unwrap();
        let bodies = Arc::new(Bodies::open(dir.path()).unwrap());
        let id = stored(&bodies, "film");
        let first = bodies.pin(vec![id.clone()]);
        let second = bodies.pin(vec![id.clone()]);
        bodies.remove(vec![id.clone()]);
        drop(first);
        assert_eq!(std::fs::read_to_string(bodies.path(&id)).unwrap(), "film");
        drop(second);
        assert!(!bodies.path(&id).exists());
    }

    #[test]
    fn what_was_not_kept_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let bodies = Arc::new(Bodies::open(dir.path()).unwrap());
        let (mut new, _) = bodies.create().unwrap();
        let id = new.publish().unwrap();
        drop(new);
        assert!(!bodies.path(&id).exists());
    }

    #[test]
    fn a_start_sweeps_what_a_crash_left() {
        let dir = tempfile::tempdir().unwrap();
        let bodies = Arc::new(Bodies::open(dir.path()).unwrap());
        let kept = stored(&bodies, "kept");
        let lost = stored(&bodies, "lost");
        let (half, _) = bodies.create().unwrap();
        std::mem::forget(half);
        let again = Bodies::open(dir.path()).unwrap();
        assert_eq!(again.sweep(&HashSet::from([kept.clone()])).unwrap(), 1);
        assert!(again.path(&kept).exists() && !again.path(&lost).exists());
        assert_eq!(
            std::fs::read_dir(dir.path().join("incoming"))
                .unwrap()
                .count(),
            0
        );
    }
}

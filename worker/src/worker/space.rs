//! The disk that several jobs share: each says first what it may need.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::job_folder;

/// Free space that must be left beside inputs and outputs, in bytes: for logs and the system.
const SPARE_BYTES: u64 = 64 << 20;

/// One part in so many of a disk is never free: the system, and what the file system keeps for itself. A baked image of
/// 16 GiB takes less.
const TAKEN_PART: u64 = 8;

const GIB: u64 = 1 << 30;

/// What is promised of a folder's disk.
#[derive(Debug)]
pub struct Space {
    root: PathBuf,
    promised: Mutex<u64>,
    freed: Notify,
}

/// Why a job gets no room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoRoom {
    /// Whatever is removed: the disk is too small for it.
    #[error(
        "it needs {needed} bytes of disk while it is worked on, and the machine's disk has {all} in all"
    )]
    Never { needed: u64, all: u64 },
    /// What is on the disk is in the way, or it can't be looked at.
    #[error("{0}")]
    Now(String),
}

/// Bytes that are promised to a job; given back when dropped.
#[derive(Debug)]
pub(super) struct Share<'a> {
    space: &'a Space,
    bytes: u64,
}

impl Space {
    /// The disk of the folder `root`.
    pub fn of(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            promised: Mutex::default(),
            freed: Notify::new(),
        }
    }

    /// Removes the folders of jobs whose workers have been killed on this disk; how many there were. Blocking.
    pub fn clear(&self) -> usize {
        job_folder::sweep(&self.root)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Has so many bytes promised. Waits for other jobs to end if it is they who take the room.
    ///
    /// # Errors
    /// [`NoRoom`], if that many would not fit even alone.
    pub(super) async fn take(&self, bytes: u64) -> Result<Share<'_>, NoRoom> {
        loop {
            // Listening before looking: a job that ends in between is not missed.
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            let (free, all) = self.bytes().map_err(NoRoom::Now)?;
            let alone = bytes.saturating_add(SPARE_BYTES);
            if is_beyond(alone, all) {
                return Err(NoRoom::Never { needed: alone, all });
            }
            {
                let mut promised = self.promised.lock().unwrap_or_else(PoisonError::into_inner);
                // Part of what was promised is on the disk by now and so counted twice: better a
                // little late than full.
                let needed = promised.saturating_add(alone);
                if free >= needed {
                    *promised += bytes;
                    return Ok(Share { space: self, bytes });
                }
                if *promised == 0 {
                    return Err(NoRoom::Now(format!(
                        "{}: the disk is full: {free} bytes free, {needed} needed",
                        self.root.display()
                    )));
                }
            }
            freed.await;
        }
    }

    /// Of the disk: how many are free, and how many there are.
    fn bytes(&self) -> Result<(u64, u64), String> {
        let stat = nix::sys::statvfs::statvfs(&self.root)
            .map_err(|error| format!("{}: {error}", self.root.display()))?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.fragment_size());
        Ok((bytes(stat.blocks_available()), bytes(stat.blocks())))
    }
}

/// Whether so many bytes fit no disk of that size, however empty.
fn is_beyond(bytes: u64, all: u64) -> bool {
    bytes > all - all / TAKEN_PART
}

/// Bytes that a job needs while an input of so many bytes is worked on: for the input, and for results that are as large.
pub fn job_bytes(input: u64) -> u64 {
    input.saturating_mul(2)
}

/// Whether an input of so many bytes can't be worked on with a disk of so many GiB, however empty.
pub fn is_too_large_for(input: u64, disk_gib: u32) -> bool {
    let needed = job_bytes(input).saturating_add(SPARE_BYTES);
    is_beyond(needed, u64::from(disk_gib) * GIB)
}

/// A disk, in whole GiB, that an input of so many bytes surely fits: boot partition and file system take their part of it.
pub fn disk_for(input: u64) -> u64 {
    let needed = job_bytes(input).saturating_add(SPARE_BYTES);
    let least = needed.div_ceil(TAKEN_PART - 1).saturating_mul(TAKEN_PART);
    least.saturating_add(least / 16).div_ceil(GIB)
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut promised = (self.space.promised.lock()).unwrap_or_else(PoisonError::into_inner);
        *promised = promised.saturating_sub(self.bytes);
        self.space.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_does_not_fit_beside_others_waits_and_who_does_not_fit_alone_fails() {
        let folder = tempfile::tempdir().expect("a folder");
        let space = Space::of(folder.path());
        let (free, all) = space.bytes().expect("a disk");
        let most = free / 2;
        let first = space.take(most).await.expect("fits");
        let second = async { space.take(most).await.map(drop) };
        tokio::pin!(second);
        tokio::select! {
            biased;
            _ = &mut second => panic!("there is no room for both"),
            () = tokio::task::yield_now() => {}
        }
        drop(first);
        second.await.expect("fits now");
        for bytes in [all, u64::MAX] {
            let error = space.take(bytes).await.expect_err("never fits");
            assert!(matches!(error, NoRoom::Never { .. }), "{error}");
        }
    }

    #[test]
    fn a_disk_that_is_full_of_other_things_is_the_machine_s_fault() {
        assert!(!is_beyond(14 * GIB, 16 * GIB));
        assert!(is_beyond(14 * GIB + 1, 16 * GIB));
    }

    #[test]
    fn an_input_takes_twice_its_size_of_a_disk() {
        assert!(!is_too_large_for(6 * GIB, 16));
        assert!(is_too_large_for(7 * GIB, 16));
        for input in [1, GIB, 100 * GIB] {
            let disk = disk_for(input);
            assert!(!is_too_large_for(input, u32::try_from(disk).expect("fits")));
        }
        assert_eq!(disk_for(100 * GIB), 243);
    }
}

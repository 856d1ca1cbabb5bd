//! The disk that several jobs share: each says first what it may need.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// Free space that must be left beside inputs and outputs, in bytes: for logs and the system.
const SPARE_BYTES: u64 = 64 << 20;

/// What is promised of a folder's disk.
#[derive(Debug)]
pub struct Space {
    root: PathBuf,
    promised: Mutex<u64>,
    freed: Notify,
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

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Has so many bytes promised. Waits for other jobs to end if it is they who take the room.
    ///
    /// # Errors
    /// Says that the disk is full, if that many would not fit even alone.
    pub(super) async fn take(&self, bytes: u64) -> Result<Share<'_>, String> {
        loop {
            // Listening before looking: a job that ends in between is not missed.
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            let free = self.free()?;
            {
                let mut promised = self.promised.lock().unwrap_or_else(PoisonError::into_inner);
                // Part of what was promised is on the disk by now and so counted twice: better a
                // little late than full.
                let needed = promised.saturating_add(bytes).saturating_add(SPARE_BYTES);
                if free >= needed {
                    *promised += bytes;
                    return Ok(Share { space: self, bytes });
                }
                if *promised == 0 {
                    return Err(format!(
                        "{}: the disk is full: {free} bytes free, {needed} needed",
                        self.root.display()
                    ));
                }
            }
            freed.await;
        }
    }

    fn free(&self) -> Result<u64, String> {
        let stat = nix::sys::statvfs::statvfs(&self.root)
            .map_err(|error| format!("{}: {error}", self.root.display()))?;
        Ok(stat.blocks_available().saturating_mul(stat.fragment_size()))
    }
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
        let most = space.free().expect("free space") / 2;
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
        let error = space.take(u64::MAX / 2).await.expect_err("never fits");
        assert!(error.contains("the disk is full"), "{error}");
    }
}

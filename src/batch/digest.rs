//! MD5 and SHA-256 of a content in one pass, and whether a file stayed the same meanwhile.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, mpsc};

use md5::Md5;
use sha2::{Digest as _, Sha256};

/// Large enough that the calls cost nothing, small enough for the processor's cache.
pub(super) const BUFFER: usize = 256 * 1024;

/// Pieces of [`BUFFER`] that one digest may be behind the other.
const PIECES: usize = 8;

/// Both digests at once.
#[derive(Default)]
pub struct Digests {
    md5: Md5,
    sha256: Sha256,
    bytes: u64,
}

/// Both digests in lower-case hex, and the length of what they are of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digested {
    pub md5: String,
    pub sha256: String,
    pub bytes: u64,
}

impl Digests {
    pub fn update(&mut self, data: &[u8]) {
        self.md5.update(data);
        self.sha256.update(data);
        self.bytes += data.len() as u64;
    }

    pub fn finish(self) -> Digested {
        Digested {
            md5: hex::encode(self.md5.finalize()),
            sha256: hex::encode(self.sha256.finalize()),
            bytes: self.bytes,
        }
    }
}

/// Digests all of `reader` (blocking).
pub fn digest(reader: &mut impl Read) -> io::Result<Digested> {
    let mut digests = Digests::default();
    let mut buffer = vec![0; BUFFER];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(digests.finish()),
            Ok(count) => digests.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The same by two threads, a digest each (blocking): it takes as long as the slower alone.
pub fn digest_large(reader: &mut impl Read) -> io::Result<Digested> {
    std::thread::scope(|scope| {
        let (send, pieces) = mpsc::sync_channel::<Arc<[u8]>>(PIECES);
        let sha256 = scope.spawn(move || {
            let mut sha256 = Sha256::new();
            for piece in pieces {
                sha256.update(&piece);
            }
            hex::encode(sha256.finalize())
        });
        let (mut md5, mut bytes) = (Md5::new(), 0);
        loop {
            let mut piece = Vec::with_capacity(BUFFER);
            reader.take(BUFFER as u64).read_to_end(&mut piece)?;
            if piece.is_empty() {
                break;
            }
            let piece: Arc<[u8]> = piece.into();
            // The other end is gone only after a panic, which `join` tells.
            let _ = send.send(Arc::clone(&piece));
            md5.update(&piece);
            bytes += piece.len() as u64;
        }
        drop(send);
        Ok(Digested {
            md5: hex::encode(md5.finalize()),
            sha256: sha256
                .join()
                .map_err(|_| io::Error::other("the digest broke"))?,
            bytes,
        })
    })
}

/// What changes when a file is written to or replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    pub bytes: u64,
    device: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Fingerprint {
    pub fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(|facts| Self::from(&facts))
    }
}

impl From<&Metadata> for Fingerprint {
    fn from(facts: &Metadata) -> Self {
        Self {
            bytes: facts.len(),
            device: facts.dev(),
            inode: facts.ino(),
            modified: (facts.mtime(), facts.mtime_nsec()),
            changed: (facts.ctime(), facts.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_digests() {
        let digested = digest(&mut io::Cursor::new(b"abc")).expect("reads");
        assert_eq!(digested.md5, "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(
            digested.sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(digested.bytes, 3);
    }

    #[test]
    fn two_threads_come_to_the_same() {
        for length in [0, 1, BUFFER, 3 * BUFFER + 5, 20 * BUFFER] {
            let content: Vec<u8> = (0..=250).cycle().take(length).collect();
            assert_eq!(
                digest_large(&mut content.as_slice()).expect("reads"),
                digest(&mut content.as_slice()).expect("reads")
            );
        }
    }

    #[test]
    fn a_write_of_the_same_length_changes_the_fingerprint() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("f");
        std::fs::write(&path, "one").expect("writes");
        let before = Fingerprint::from(&std::fs::metadata(&path).expect("is there"));
        let times = std::fs::FileTimes::new().set_modified(std::time::SystemTime::UNIX_EPOCH);
        let file = File::options().write(true).open(&path).expect("opens");
        file.set_times(times).expect("sets");
        let after = Fingerprint::from(&std::fs::metadata(&path).expect("is there"));
        assert_ne!(before, after);
    }
}

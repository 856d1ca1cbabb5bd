//! MD5 and SHA-256 of a content in one pass, and whether a file stayed the same meanwhile.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, mpsc};

use md5::Md5;
use sha2::{Digest as _, Sha256};

use crate::resources::multipart::Crc64;

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

/// The MD5 of all of `reader` in lower-case hex, and its length (blocking).
pub fn md5_of(reader: &mut impl Read) -> io::Result<(String, u64)> {
    let mut md5 = Md5::new();
    let mut bytes = 0;
    let mut buffer = vec![0; BUFFER];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok((hex::encode(md5.finalize()), bytes)),
            Ok(count) => {
                md5.update(&buffer[..count]);
                bytes += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Both digests of all of `reader`, and the CRC of each part of `part` bytes, whole pieces of [`BUFFER`] (blocking). Two
/// threads: it takes as long as MD5, the slowest, alone.
pub fn digest_large(reader: &mut impl Read, part: u64) -> io::Result<(Digested, Vec<Crc64>)> {
    std::thread::scope(|scope| {
        let (send, pieces) = mpsc::sync_channel::<Arc<Vec<u8>>>(PIECES);
        let others = scope.spawn(move || {
            let (mut sha256, mut parts, mut bytes) = (Sha256::new(), Vec::<Crc64>::new(), 0_u64);
            for piece in pieces {
                sha256.update(piece.as_slice());
                let (crc, length) = (Crc64::of(&piece), piece.len() as u64);
                match parts.last_mut() {
                    Some(last) if bytes % part != 0 => {
                        *last = last.followed_by(crc, length);
                    }
                    _ => parts.push(crc),
                }
                bytes += length;
            }
            (hex::encode(sha256.finalize()), parts)
        });
        let (mut md5, mut bytes) = (Md5::new(), 0);
        loop {
            let mut piece = Vec::with_capacity(BUFFER);
            reader.take(BUFFER as u64).read_to_end(&mut piece)?;
            if piece.is_empty() {
                break;
            }
            let piece = Arc::new(piece);
            // The other end is gone only after a panic, which `join` tells.
            let _ = send.send(Arc::clone(&piece));
            md5.update(piece.as_slice());
            bytes += piece.len() as u64;
        }
        drop(send);
        let (sha256, parts) = others
            .join()
            .map_err(|_| io::Error::other("the digest broke"))?;
        let md5 = hex::encode(md5.finalize());
        Ok((Digested { md5, sha256, bytes }, parts))
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
        let mut digests = Digests::default();
        digests.update(b"abc");
        let digested = digests.finish();
        assert_eq!(digested.md5, "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(
            digested.sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(digested.bytes, 3);
        let md5 = md5_of(&mut io::Cursor::new(b"abc")).expect("reads");
        assert_eq!(md5, (digested.md5, 3));
    }

    #[test]
    fn two_threads_come_to_the_same() {
        let part = 2 * BUFFER;
        for length in [0, 1, BUFFER, 2 * BUFFER, 3 * BUFFER + 5, 20 * BUFFER] {
            let content: Vec<u8> = (0..=250).cycle().take(length).collect();
            let mut digests = Digests::default();
            digests.update(&content);
            let parts = content.chunks(part).map(Crc64::of).collect();
            assert_eq!(
                digest_large(&mut content.as_slice(), part as u64).expect("reads"),
                (digests.finish(), parts)
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

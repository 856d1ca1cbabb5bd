//! MD5 and SHA-256 of a file's content, in one reading.

use std::path::Path;

use md5::{Digest as _, Md5};
use sha2::Sha256;
use tokio::io::AsyncReadExt as _;

/// One read from a disk; larger ones gain nothing.
const CHUNK_BYTES: usize = 256 * 1024;

/// A content's length and sums.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sums {
    /// Bytes.
    pub size: u64,
    pub md5: [u8; 16],
    pub sha256: [u8; 32],
}

/// Takes a content in piece by piece.
#[derive(Debug, Default)]
pub struct Summer {
    size: u64,
    md5: Md5,
    sha256: Sha256,
}

impl Summer {
    /// Takes in the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.size += piece.len() as u64;
        self.md5.update(piece);
        self.sha256.update(piece);
    }

    /// How many bytes were taken in.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The sums of all that was taken in.
    pub fn finish(self) -> Sums {
        Sums {
            size: self.size,
            md5: self.md5.finalize().into(),
            sha256: self.sha256.finalize().into(),
        }
    }
}

impl Sums {
    /// Reads a file.
    ///
    /// # Errors
    /// If it can't be read.
    pub async fn of_file(path: &Path) -> std::io::Result<Self> {
        let mut file = tokio::fs::File::open(path).await?;
        let mut summer = Summer::default();
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match file.read(&mut chunk).await? {
                0 => return Ok(summer.finish()),
                n => summer.update(&chunk[..n]),
            }
        }
    }

    /// Lower-case hex.
    pub fn md5_hex(&self) -> String {
        hex::encode(self.md5)
    }

    /// Lower-case hex.
    pub fn sha256_hex(&self) -> String {
        hex::encode(self.sha256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn known_sums() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), b"abc").expect("written");
        let sums = Sums::of_file(file.path()).await.expect("read");
        // The test vectors of RFC 1321 and FIPS 180-2.
        assert_eq!(sums.md5_hex(), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(
            sums.sha256_hex(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(sums.size, 3);
    }
}

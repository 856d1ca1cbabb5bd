//! What is sent and fetched: many small files and a large one, of bytes that nothing can pack.

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::harness::lane::noise;
use crate::harness::sweep::number;

/// Small files, and the bytes of the first; each has one more than the one before.
const FILES: u64 = 2000;
const SMALL: usize = 40_000;
/// Mebibytes of the large one.
const LARGE: u64 = 2048;

/// The files; gone when dropped.
pub struct Files {
    /// The folder of the small ones.
    pub small: PathBuf,
    /// The folder of the large one.
    pub large: PathBuf,
    pub count: u64,
    pub mebibytes: u64,
    _folder: TempDir,
}

impl Files {
    /// As many and as large as `FILES` and `LARGE` say.
    pub fn write() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let files = Self {
            small: folder.path().join("small"),
            large: folder.path().join("large"),
            count: number("FILES").unwrap_or(FILES),
            mebibytes: number("LARGE").unwrap_or(LARGE),
            _folder: folder,
        };
        std::fs::create_dir(&files.small).expect("makes it");
        for index in 0..files.count {
            let bytes = SMALL + usize::try_from(index).expect("fits");
            let path = files.small.join(format!("{index:05}.avi"));
            std::fs::write(path, noise(bytes)).expect("writes");
        }
        std::fs::create_dir(&files.large).expect("makes it");
        write_large(&files.large.join("film.avi"), files.mebibytes);
        files
    }

    pub fn small_ones(&self) -> String {
        format!("{} files of about {} kB", self.count, SMALL / 1000)
    }

    pub fn large_one(&self) -> String {
        format!("one file of {} MiB", self.mebibytes)
    }
}

/// What `noise` makes, with the number of each mebibyte in front.
fn write_large(path: &Path, mebibytes: u64) {
    let mut file = BufWriter::new(std::fs::File::create(path).expect("a file"));
    let piece = noise((1 << 20) - 8);
    for index in 0..mebibytes {
        file.write_all(&index.to_le_bytes()).expect("writes");
        file.write_all(&piece).expect("writes");
    }
    file.flush().expect("writes");
}

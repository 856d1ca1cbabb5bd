//! An instance's console: everything that the guest prints, in a file of bounded size.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// How much of the end is kept and told: what EC2 keeps (`GetConsoleOutput`).
pub(super) const KEPT: usize = 64 * 1024;

/// The file may grow to this before it is cut to its end, so that not every line rewrites it.
const FILE_LIMIT: u64 = 1024 * 1024;

/// The writer of one boot's console.
pub(super) struct Console {
    path: PathBuf,
    file: File,
    size: u64,
}

impl Console {
    /// Begins anew, as EC2's console does with each boot.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = File::create(path)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            size: 0,
        })
    }

    /// Goes on with the console of before, for a guest that rebooted itself.
    pub(super) fn append(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let size = file.metadata()?.len();
        Ok(Self {
            path: path.to_owned(),
            file,
            size,
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.size + bytes.len() as u64 > FILE_LIMIT {
            let end = tail(&self.path)?;
            // In place, so that who follows the file keeps on seeing it.
            self.file.set_len(0)?;
            self.file.seek(SeekFrom::Start(0))?;
            self.file.write_all(&end)?;
            self.size = end.len() as u64;
        }
        self.file.write_all(bytes)?;
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Copies until the guest's last process has closed its end. A full disk loses output but never
    /// blocks the guest.
    pub(super) fn pump(mut self, mut guest: impl Read) {
        let mut buffer = vec![0; KEPT];
        loop {
            match guest.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => {
                    if let Err(error) = self.write(&buffer[..count]) {
                        tracing::warn!(path = %self.path.display(), %error, "console output lost");
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}

/// The last [`KEPT`] bytes of a console; nothing if there was no boot.
pub(super) fn tail(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let size = fs::metadata(path)?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(KEPT as u64)))?;
    let mut end = Vec::new();
    // The guest may be writing meanwhile.
    file.take(KEPT as u64).read_to_end(&mut end)?;
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_end_and_a_bounded_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        let mut console = Console::create(&path).unwrap();
        let line = [b'x'; 4096];
        for _ in 0..1000 {
            console.write(&line).unwrap();
            assert!(fs::metadata(&path).unwrap().len() <= FILE_LIMIT);
        }
        console.write(b"the end\n").unwrap();
        let end = tail(&path).unwrap();
        assert_eq!(end.len(), KEPT);
        assert!(end.ends_with(b"the end\n"));
    }

    #[test]
    fn pump_copies_until_the_end_and_append_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        assert_eq!(tail(&path).unwrap(), b"");
        Console::create(&path).unwrap().pump(&b"first boot\n"[..]);
        Console::append(&path).unwrap().pump(&b"second\n"[..]);
        assert_eq!(tail(&path).unwrap(), b"first boot\nsecond\n");
    }
}

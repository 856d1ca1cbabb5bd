//! Where a result goes on this disk: never outside the folder, never over another file.
//!
//! Names come from messages, and so from strangers. Folders are entered by their open handles and
//! never through a link, so that no name and no race leads out of the folder.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use muck_worker::message::is_output_name;
use muck_worker::text::printable;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, linkat, syncfs, unlinkat};

/// Longest name of a file or folder on the usual file systems, in bytes.
const NAME_MAX: usize = 255;
/// Bytes of ` (12345)`.
const NUMBERED: usize = 8;
/// Room in that for a number, and for a dot and the name of an output of up to 64 bytes.
const STEM_MAX: usize = NAME_MAX - NUMBERED - 72;
/// Deepest sub-folder; what lies deeper goes there. Real submissions have a few levels.
const DEEPEST: usize = 32;
/// Bytes of the names of all sub-folders; what lies deeper goes into the last that fits. Linux opens no path of more than
/// 4096 bytes (`PATH_MAX`): half of it is left to the folder of the results, and to the file's own name.
const LOCATION_MAX: usize = 2048;
/// Tries to find a free name.
const NUMBERS: u32 = 100_000;

/// The name of a file without its extension.
pub fn stem(original: &str) -> &str {
    let last = original.rsplit(['/', '\\']).next().unwrap_or_default();
    match last.rsplit_once('.') {
        Some((stem, _)) if !stem.trim_matches('.').is_empty() => stem,
        _ => last,
    }
}

/// What two names have in common that would be one in a folder: file systems of Windows and macOS hold `A` and `a` for one.
pub fn taken_for(stem: &str) -> String {
    component(stem).to_lowercase()
}

/// The name of a result that is called `stem`, with the extension of what it was converted to, or with the name of one of
/// several outputs.
pub fn named(stem: &str, extension: &str) -> Wanted {
    let (mut stem, extension) = (component(stem), component(extension));
    // `log.csv` and `log (2).csv` are ours: a result that looked like an earlier log would be gone on with.
    let is_log = stem.get(..3).is_some_and(|s| s.eq_ignore_ascii_case("log"));
    if is_log && extension.eq_ignore_ascii_case("csv") {
        stem.insert(0, '_');
    }
    Wanted {
        stem,
        extension: format!(".{extension}"),
        exact: false,
    }
}

/// The name of a file that others in its folder refer to: it is this one, without a number. It has the form of one part
/// of [`is_output_name`].
pub fn exactly(name: &str) -> Wanted {
    let is_part = is_output_name(name) && !name.contains('/');
    Wanted {
        stem: if is_part {
            name.to_owned()
        } else {
            component(name)
        },
        extension: String::new(),
        exact: true,
    }
}

/// The sub-folder of a result, as parts that are each safe.
pub fn folder_parts(location: &str) -> Vec<String> {
    location
        .split(['/', '\\'])
        .filter(|part| !matches!(*part, "" | "."))
        .take(DEEPEST)
        .map(component)
        .scan(0, |bytes, part| {
            *bytes += part.len() + NUMBERED + "/".len();
            (*bytes <= LOCATION_MAX).then_some(part)
        })
        .collect()
}

/// Names of devices on Windows, whatever follows after a dot: files of such a name can't be opened there.
const DEVICES: [&str; 4] = ["CON", "PRN", "AUX", "NUL"];
/// The same before one digit.
const NUMBERED_DEVICES: [&str; 2] = ["COM", "LPT"];

/// A name that is one component on any usual file system, visible, and harmless to show: what acts
/// on a terminal, separates folders or is reserved on memory sticks becomes `_`, so does a dot at
/// the front; spaces and dots at the end go; a device's name gets a `_` in front.
fn component(name: &str) -> String {
    let mut safe: String = name
        .chars()
        .map(|c| if is_plain(c) { c } else { '_' })
        .scan(0, |bytes, c| {
            *bytes += c.len_utf8();
            (*bytes <= STEM_MAX).then_some(c)
        })
        .collect();
    safe.truncate(safe.trim_end_matches(['.', ' ']).len());
    if safe.starts_with('.') {
        safe.replace_range(..1, "_");
    }
    if safe.is_empty() || is_device(&safe) {
        safe.insert(0, '_');
    }
    safe
}

fn is_device(name: &str) -> bool {
    let base = name.split('.').next().unwrap_or_default().trim_end();
    let numbered = base.split_at_checked(3).is_some_and(|(word, number)| {
        let digit = number.len() == 1 && number.bytes().all(|b| b.is_ascii_digit());
        digit
            && NUMBERED_DEVICES
                .iter()
                .any(|d| d.eq_ignore_ascii_case(word))
    });
    numbered || DEVICES.iter().any(|d| d.eq_ignore_ascii_case(base))
}

fn is_plain(c: char) -> bool {
    let mut buffer = [0; 4];
    let text: &str = c.encode_utf8(&mut buffer);
    !"/\\:*?\"<>|".contains(c) && printable(text) == text
}

/// A name that may turn out to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    stem: String,
    /// With its dot; empty where there is none.
    extension: String,
    exact: bool,
}

impl Wanted {
    /// `name.mov`, then `name (2).mov` …; `None` if it must be the first.
    fn numbered(&self, number: u32) -> Option<String> {
        match number {
            1 => Some(format!("{}{}", self.stem, self.extension)),
            _ if self.exact => None,
            _ => Some(format!("{} ({number}){}", self.stem, self.extension)),
        }
    }

    /// Whether it can have this name only.
    pub fn is_exact(&self) -> bool {
        self.exact
    }
}

/// A folder that is open.
#[derive(Debug, Clone)]
pub struct Folder {
    handle: Arc<OwnedFd>,
    /// Below the results' folder, for people and for the ledger; empty for that folder itself.
    below: String,
}

impl Folder {
    /// Opens the folder of the results, made if it isn't there, and tells its absolute path.
    pub fn open(path: &Path) -> io::Result<(Self, PathBuf)> {
        std::fs::create_dir_all(path)?;
        let absolute = path.canonicalize()?;
        let handle = File::open(&absolute)?;
        if !handle.metadata()?.is_dir() {
            return Err(io::Error::from(io::ErrorKind::NotADirectory));
        }
        Ok((
            Self {
                handle: Arc::new(handle.into()),
                below: String::new(),
            },
            absolute,
        ))
    }

    /// Opens the sub-folder, made where it is missing. A link or a file in the way is not followed:
    /// the part gets a number.
    pub fn sub(&self, parts: &[String]) -> io::Result<Self> {
        let mut folder = self.clone();
        for part in parts {
            folder = folder.enter(part)?;
        }
        Ok(folder)
    }

    fn enter(&self, part: &str) -> io::Result<Self> {
        for number in 1..=NUMBERS {
            let name = if number == 1 {
                part.to_owned()
            } else {
                format!("{part} ({number})")
            };
            match mkdirat(
                self.handle.as_fd(),
                name.as_str(),
                Mode::from_bits_truncate(0o777),
            ) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(error) => return Err(error.into()),
            }
            if let Some(folder) = self.open_folder(&name)? {
                return Ok(folder);
            }
        }
        Err(io::Error::from(io::ErrorKind::AlreadyExists))
    }

    /// Opens the folder of a result that is a folder, made where it is missing: the first of the
    /// names that `wanted` can have which is no file, no link, and for which `suits` is true.
    pub fn of_result(
        &self,
        wanted: &Wanted,
        mut suits: impl FnMut(&Self) -> io::Result<bool>,
    ) -> io::Result<Self> {
        for number in 1..=NUMBERS {
            let Some(name) = wanted.numbered(number) else {
                break;
            };
            let mode = Mode::from_bits_truncate(0o777);
            match mkdirat(self.handle.as_fd(), name.as_str(), mode) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(error) => return Err(error.into()),
            }
            if let Some(folder) = self.open_folder(&name)?
                && suits(&folder)?
            {
                return Ok(folder);
            }
        }
        Err(io::Error::from(io::ErrorKind::AlreadyExists))
    }

    /// Opens a folder in this one; `None` if it is something else.
    fn open_folder(&self, name: &str) -> io::Result<Option<Self>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(self.handle.as_fd(), name, flags, Mode::empty()) {
            Ok(handle) => Ok(Some(Self {
                handle: Arc::new(handle),
                below: self.join(name),
            })),
            Err(Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Below the results' folder, for people; empty for that folder itself.
    pub fn below(&self) -> &str {
        &self.below
    }

    /// Whether a file may be put under that name, or is there with the content that `same` knows.
    pub fn has_room_for(
        &self,
        wanted: &Wanted,
        same: impl FnOnce(&File) -> io::Result<bool>,
    ) -> io::Result<bool> {
        match self.open_file(&wanted.numbered(1).unwrap_or_default())? {
            Existing::Nothing => Ok(true),
            Existing::File(file) => same(&file),
            Existing::Other => Ok(false),
        }
    }

    fn join(&self, name: &str) -> String {
        if self.below.is_empty() {
            name.to_owned()
        } else {
            format!("{}/{name}", self.below)
        }
    }

    /// Takes the names in it to the disk. Blocking.
    pub fn harden(&self) -> io::Result<()> {
        File::from(self.handle.try_clone()?).sync_all()
    }

    /// A new file with a name of its own, to be published or removed.
    pub fn temporary(&self) -> io::Result<Temporary> {
        loop {
            let name = format!(".muck-{:016x}.part", rand::random::<u64>());
            let flags = OFlag::O_RDWR
                | OFlag::O_CREAT
                | OFlag::O_EXCL
                | OFlag::O_NOFOLLOW
                | OFlag::O_CLOEXEC;
            match openat(
                self.handle.as_fd(),
                name.as_str(),
                flags,
                Mode::from_bits_truncate(0o666),
            ) {
                Ok(handle) => {
                    let file = Arc::new(File::from(handle));
                    return Ok(Temporary {
                        folder: self.clone(),
                        name,
                        file,
                        published: false,
                    });
                }
                Err(Errno::EEXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Looks for a file under one of the names that `wanted` can have for which `same` is true;
    /// stops at the first free name.
    pub fn find(
        &self,
        wanted: &Wanted,
        mut same: impl FnMut(&File) -> io::Result<bool>,
    ) -> io::Result<Option<String>> {
        for number in 1..=NUMBERS {
            let Some(name) = wanted.numbered(number) else {
                return Ok(None);
            };
            match self.open_file(&name)? {
                Existing::Nothing => return Ok(None),
                Existing::File(file) if same(&file)? => return Ok(Some(self.join(&name))),
                Existing::File(_) | Existing::Other => {}
            }
        }
        Ok(None)
    }

    fn open_file(&self, name: &str) -> io::Result<Existing> {
        // Without O_NONBLOCK the opening of a pipe would wait for a writer.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        match openat(self.handle.as_fd(), name, flags, Mode::empty()) {
            Ok(handle) => {
                let file = File::from(handle);
                let is_file = file.metadata()?.is_file();
                Ok(if is_file {
                    Existing::File(file)
                } else {
                    Existing::Other
                })
            }
            Err(Errno::ENOENT) => Ok(Existing::Nothing),
            Err(Errno::ELOOP | Errno::EACCES | Errno::ENXIO) => Ok(Existing::Other),
            Err(error) => Err(error.into()),
        }
    }
}

enum Existing {
    Nothing,
    File(File),
    /// A link, a folder, a pipe, or a file that can't be read.
    Other,
}

/// So many files are taken to the disk one by one.
const FEW: usize = 4;

/// Takes the contents of files to the disk (blocking). Many together with whatever else their file systems have to write: a
/// disk that turns waits ten milliseconds for each file, and hardly longer for all. (`syncfs` tells of failures since Linux 5.8.)
pub fn harden_all(files: &[Arc<File>]) -> io::Result<()> {
    if files.len() <= FEW {
        return files.iter().try_for_each(|file| file.sync_all());
    }
    let mut devices = HashSet::new();
    for file in files {
        if devices.insert(file.metadata()?.dev()) {
            syncfs(&**file)?;
        }
    }
    Ok(())
}

/// A file that has no lasting name yet; removed when dropped.
#[derive(Debug)]
pub struct Temporary {
    folder: Folder,
    name: String,
    pub file: Arc<File>,
    published: bool,
}

impl Temporary {
    /// Gives the file its lasting name, the first free one, and returns it (below the results'
    /// folder). Blocking. The content must be on the disk already, by [`harden_all`]; the name is there after [`Folder::harden`].
    pub fn publish(mut self, wanted: &Wanted) -> io::Result<String> {
        let folder = self.folder.handle.as_fd();
        for number in 1..=NUMBERS {
            let Some(name) = wanted.numbered(number) else {
                break;
            };
            // A link never replaces, a rename would.
            match linkat(
                folder,
                self.name.as_str(),
                folder,
                name.as_str(),
                AtFlags::empty(),
            ) {
                Ok(()) => {}
                Err(Errno::EEXIST) => continue,
                Err(Errno::EPERM | Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EMLINK) => {
                    if !self.rename_over_own(&name)? {
                        continue;
                    }
                    self.published = true;
                }
                Err(error) => return Err(error.into()),
            }
            return Ok(self.folder.join(&name));
        }
        Err(io::Error::from(io::ErrorKind::AlreadyExists))
    }

    /// For file systems without links (memory sticks): the name is taken with an empty file of our
    /// own, which is then replaced. False if the name was taken.
    fn rename_over_own(&self, name: &str) -> io::Result<bool> {
        let folder = self.folder.handle.as_fd();
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(folder, name, flags, Mode::from_bits_truncate(0o666)) {
            Ok(_) => {
                renameat(folder, self.name.as_str(), folder, name)?;
                Ok(true)
            }
            Err(Errno::EEXIST) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.published {
            // What can't be removed stays as a hidden `.muck-….part`; there is no one to tell here.
            let _ = unlinkat(
                self.folder.handle.as_fd(),
                self.name.as_str(),
                UnlinkatFlags::NoRemoveDir,
            );
        }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
pub(in crate::batch) use properties::quick_folder;
#[cfg(test)]
mod tests;

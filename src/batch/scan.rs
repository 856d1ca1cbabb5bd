//! Which files a submission has: folders walked, media told from the rest by content and name.

mod media_kind;
mod result_names;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use muck_worker::text::quantity_of;
use serde::Serialize;
use walkdir::WalkDir;

use crate::error::{Error, Result};
use media_kind::{HEAD, MediaKind, media_kind};

/// What is taken of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accept {
    /// Files with moving pictures.
    Video,
    /// Also sound alone: for presets that make no pictures.
    Audio,
    /// Everything.
    All,
}

/// A file to submit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    pub path: PathBuf,
    /// The folder below the submitted root, `/` between parts; empty at the root.
    pub location: String,
    /// The file's own name. Bytes that are not UTF-8 are replaced.
    pub name: String,
    /// What its results are to be called, without an extension, where its own name is not enough to tell them apart.
    pub result_name: Option<String>,
    /// Bytes when it was looked at.
    pub bytes: u64,
    /// When its content was last changed, where the file system tells.
    pub modified: Option<SystemTime>,
    pub mime: String,
}

/// A file that was left out, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    pub path: String,
    pub reason: String,
}

impl LeftOut {
    pub fn new(path: &Path, reason: impl Into<String>) -> Self {
        Self {
            path: path.display().to_string(),
            reason: reason.into(),
        }
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Scan {
    pub files: Vec<FoundFile>,
    /// Not meant to be submitted.
    pub skipped: Vec<LeftOut>,
    /// Should have been submitted, but can't be read.
    pub failures: Vec<LeftOut>,
}

/// Walks `paths` (blocking). Except with [`Accept::All`], what the worker can't convert and what is hidden (a name that begins
/// with a dot, as the `._` files of memory cards) below a folder is skipped; a hidden file that is
/// named itself is taken. Links are followed; a link back to a folder above is skipped.
///
/// # Errors
/// A path that does not exist; nothing to submit at all; results that would go into one of `paths` itself.
///
/// `results`: the folder of the results, which are never converted again; it is canonical and is left out where it lies below
/// one of `paths`.
pub fn scan(paths: &[PathBuf], accept: Accept, results: Option<&Path>) -> Result<Scan> {
    let mut scan = Scan::default();
    let mut roots = result_names::roots(paths).into_iter();
    for path in paths {
        let above = roots.next().unwrap_or_default();
        let facts = std::fs::metadata(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                Error::failed(format!("there is no file or folder {}", path.display()))
            }
            _ => Error::failed(format!("cannot read {}", path.display())).because(error),
        })?;
        if facts.is_dir() {
            if results.is_some_and(|results| is_same(path, results)) {
                return Err(Error::usage(format!(
                    "the results would go into the input folder {}: the next run would convert them again",
                    path.display()
                ))
                .hint("give the results a folder of their own"));
            }
            walk(path, &above, accept, results, &mut scan);
        } else {
            let name = path.file_name().unwrap_or(path.as_os_str());
            look(path, name, String::new(), accept, &mut scan);
        }
    }
    // The order of folders differs between machines; a submission should not.
    scan.files
        .sort_by(|a, b| (&a.location, &a.name, &a.path).cmp(&(&b.location, &b.name, &b.path)));
    result_names::tell_apart(&mut scan.files);
    if scan.files.is_empty() && scan.failures.is_empty() {
        let places = paths
            .iter()
            .map(|path| path.display().to_string())
            .collect::<Vec<_>>()
            .join(", ");
        return Err(match scan.skipped.as_slice() {
            [] => Error::failed(format!("there are no files in {places}")),
            [one] => Error::failed(format!(
                "nothing to submit in {places}: {} {}",
                one.path, one.reason
            ))
            .hint("add --all to submit it all the same"),
            many => Error::failed(format!(
                "nothing to submit in {places}: none of {} is a video (the first, {}, {})",
                quantity_of(many, "file"),
                many[0].path,
                many[0].reason
            ))
            .hint("add --all to submit them all the same"),
        });
    }
    Ok(scan)
}

fn walk(root: &Path, above: &str, accept: Accept, results: Option<&Path>, scan: &mut Scan) {
    let mut entries = WalkDir::new(root)
        .follow_links(true)
        .sort_by_file_name()
        .into_iter();
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let path = error.path().unwrap_or(root).to_owned();
                if error.loop_ancestor().is_some() {
                    scan.skipped
                        .push(LeftOut::new(&path, "is a link to a folder above it"));
                } else {
                    let why = error.io_error().map_or_else(|| error.to_string(), plain);
                    scan.failures
                        .push(LeftOut::new(&path, format!("cannot be read: {why}")));
                }
                continue;
            }
        };
        if entry.depth() > 0 && accept != Accept::All && is_hidden(entry.file_name()) {
            scan.skipped.push(LeftOut::new(entry.path(), "is hidden"));
            if entry.file_type().is_dir() {
                entries.skip_current_dir();
            }
            continue;
        }
        if entry.file_type().is_dir() {
            if results.is_some_and(|results| is_same(entry.path(), results)) {
                scan.skipped
                    .push(LeftOut::new(entry.path(), "is the folder of the results"));
                entries.skip_current_dir();
            }
            continue;
        }
        let location = entry
            .path()
            .parent()
            .and_then(|folder| folder.strip_prefix(root).ok())
            .map(slashed)
            .unwrap_or_default();
        let location = [above, &location]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("/");
        look(entry.path(), entry.file_name(), location, accept, scan);
    }
}

/// Whether a path leads to that canonical one.
fn is_same(path: &Path, canonical: &Path) -> bool {
    path.canonicalize().is_ok_and(|path| path == canonical)
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// The parts of a relative folder with `/` between.
fn slashed(folder: &Path) -> String {
    folder
        .iter()
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join("/")
}

/// Looks at one file and files it under taken, skipped or failed.
fn look(path: &Path, name: &OsStr, location: String, accept: Accept, scan: &mut Scan) {
    let facts = match std::fs::metadata(path) {
        Ok(facts) => facts,
        Err(error) => {
            scan.failures.push(LeftOut::new(
                path,
                format!("cannot be read: {}", plain(&error)),
            ));
            return;
        }
    };
    // Never opened: a pipe would block, a device could do anything.
    if !facts.is_file() {
        scan.skipped
            .push(LeftOut::new(path, "is not a regular file"));
        return;
    }
    let head = match read_head(path) {
        Ok(head) => head,
        Err(error) => {
            scan.failures.push(LeftOut::new(
                path,
                format!("cannot be read: {}", plain(&error)),
            ));
            return;
        }
    };
    let mime = match media_kind(path, &head) {
        MediaKind::Video(mime) => mime,
        MediaKind::Audio(mime) if accept != Accept::Video => mime,
        MediaKind::Other(_) if accept == Accept::All => "application/octet-stream".to_owned(),
        MediaKind::Audio(mime) => {
            let reason = format!("is {mime}, sound alone");
            scan.skipped.push(LeftOut::new(path, reason));
            return;
        }
        MediaKind::Other(reason) => {
            scan.skipped.push(LeftOut::new(path, reason));
            return;
        }
    };
    scan.files.push(FoundFile {
        path: path.to_owned(),
        location,
        name: name.to_string_lossy().into_owned(),
        result_name: None,
        bytes: facts.len(),
        modified: facts.modified().ok(),
        mime,
    });
}

/// An I/O error without the number that Rust adds.
pub fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

fn read_head(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD).read_to_end(&mut head)?;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    const AVI: &[u8] = b"RIFF\x10\0\0\0AVI LIST\0\0\0\0hdrl";

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("temp dir");
        for (name, content) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("has one")).expect("makes");
            std::fs::write(path, content).expect("writes");
        }
        dir
    }

    fn names(scan: &Scan) -> Vec<String> {
        scan.files
            .iter()
            .map(|file| format!("{}|{}", file.location, file.name))
            .collect()
    }

    #[test]
    fn folders_are_walked_and_the_rest_is_named() {
        let dir = folder(&[
            ("MVI_1.AVI", AVI),
            ("trip/day 1/MVI_2.AVI", AVI),
            ("no-extension", AVI),
            ("photo.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF\0"),
            ("lie.avi", b"\xff\xd8\xff\xe0\0\x10JFIF\0"),
            ("notes.txt", b"hello"),
            ("code.ts", b"export const x = 1;\n"),
            ("raw.ts", b"G@\0\x10\0\0\xb0\r\0\x01\xc1\0\0"),
            ("empty.avi", b""),
            ("._MVI_1.AVI", b"\0\x05\x16\x07"),
            (".cache/MVI_9.AVI", AVI),
        ]);
        let scan = scan(&[dir.path().to_owned()], Accept::Video, None).expect("scans");
        assert_eq!(
            names(&scan),
            [
                "|MVI_1.AVI",
                "|no-extension",
                "|raw.ts",
                "trip/day 1|MVI_2.AVI"
            ]
        );
        let mut skipped: Vec<String> = scan
            .skipped
            .iter()
            .map(|one| {
                format!(
                    "{} {}",
                    one.path.rsplit('/').next().expect("a name"),
                    one.reason
                )
            })
            .collect();
        skipped.sort();
        assert_eq!(
            skipped,
            [
                "._MVI_1.AVI is hidden",
                ".cache is hidden",
                "code.ts is text, not video",
                "empty.avi is empty",
                "lie.avi is image/jpeg, not video",
                "notes.txt is not known as video",
                "photo.jpg is image/jpeg, not video",
            ]
        );
    }

    #[test]
    fn sound_alone_is_taken_where_no_pictures_are_made() {
        let dir = folder(&[
            ("podcast.mp3", b"ID3\x03\0\0\0\0\0\x21TSSE"),
            ("MVI_1.AVI", AVI),
            ("notes.txt", b"hello"),
        ]);
        let of = |accept| scan(&[dir.path().to_owned()], accept, None).expect("scans");
        assert_eq!(names(&of(Accept::Audio)), ["|MVI_1.AVI", "|podcast.mp3"]);
        let video = of(Accept::Video);
        assert_eq!(names(&video), ["|MVI_1.AVI"]);
        let reasons: Vec<&str> = video
            .skipped
            .iter()
            .map(|one| one.reason.as_str())
            .collect();
        assert_eq!(
            reasons,
            ["is not known as video", "is audio/mpeg, sound alone"]
        );
    }

    #[test]
    fn all_takes_all_but_what_is_no_file() {
        let dir = folder(&[("notes.txt", b"hello"), (".hidden", b"x"), ("empty", b"")]);
        nix::unistd::mkfifo(&dir.path().join("pipe"), nix::sys::stat::Mode::S_IRUSR)
            .expect("makes");
        let scan = scan(&[dir.path().to_owned()], Accept::All, None).expect("scans");
        assert_eq!(names(&scan), ["|.hidden", "|empty", "|notes.txt"]);
        assert_eq!(scan.skipped.len(), 1);
    }

    #[test]
    fn results_are_never_taken_again() {
        let dir = folder(&[
            ("MVI_1.AVI", AVI),
            ("done/MVI_0.AVI", AVI),
            ("also/MVI_2.AVI", AVI),
        ]);
        let results = dir.path().canonicalize().expect("there").join("done");
        let paths = [dir.path().to_owned()];
        let scan_into = |results: &Path| scan(&paths, Accept::All, Some(results));
        let scanned = scan_into(&results).expect("scans");
        assert_eq!(names(&scanned), ["|MVI_1.AVI", "also|MVI_2.AVI"]);
        assert_eq!(scanned.skipped[0].reason, "is the folder of the results");
        let root = dir.path().canonicalize().expect("there");
        let error = scan_into(&root).expect_err("the input folder itself");
        assert_eq!(error.kind(), crate::error::Kind::Usage);
    }

    #[test]
    fn loops_of_links_end_and_dead_links_are_named() {
        let dir = folder(&[("sub/MVI_1.AVI", AVI)]);
        std::os::unix::fs::symlink("..", dir.path().join("sub/up")).expect("links");
        std::os::unix::fs::symlink("nowhere", dir.path().join("dead.avi")).expect("links");
        std::os::unix::fs::symlink("sub/MVI_1.AVI", dir.path().join("again.avi")).expect("links");
        let scan = scan(&[dir.path().to_owned()], Accept::Video, None).expect("scans");
        assert_eq!(names(&scan), ["|again.avi", "sub|MVI_1.AVI"]);
        assert_eq!(scan.skipped[0].reason, "is a link to a folder above it");
        assert!(
            scan.failures[0].path.ends_with("dead.avi"),
            "{:?}",
            scan.failures
        );
    }

    #[test]
    fn names_that_are_not_utf8_are_taken() {
        let dir = folder(&[]);
        let name = OsStr::from_bytes(b"caf\xe9.avi");
        std::fs::write(dir.path().join(name), AVI).expect("writes");
        let scan = scan(&[dir.path().to_owned()], Accept::Video, None).expect("scans");
        assert_eq!(names(&scan), ["|caf\u{fffd}.avi"]);
    }

    #[test]
    fn nothing_to_do_is_an_error_that_says_why() {
        let dir = folder(&[]);
        let error = |paths: &[PathBuf]| {
            scan(paths, Accept::Video, None)
                .expect_err("nothing")
                .to_string()
        };
        assert!(error(&[dir.path().to_owned()]).starts_with("there are no files in "));
        let missing = dir.path().join("missing");
        assert_eq!(
            error(std::slice::from_ref(&missing)),
            format!("there is no file or folder {}", missing.display())
        );
        std::fs::write(dir.path().join("a.txt"), "x").expect("writes");
        assert!(error(&[dir.path().to_owned()]).ends_with("a.txt is not known as video"));
    }
}

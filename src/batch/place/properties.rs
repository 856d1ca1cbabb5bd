//! What holds for any names that a status message brings: `make fuzz` tries it with many.

use std::collections::HashSet;
use std::os::unix::fs::symlink;

use proptest::prelude::*;

use super::tests::put;
use super::*;
use crate::mutation::foreign;

/// What paths, and file systems' own names, are made of.
const WORDS: &[&str] = &[
    "../",
    "..\\",
    "/",
    "\\",
    "./",
    ".",
    "..",
    "...",
    "~",
    "a",
    "A",
    "a.avi",
    "trip",
    "day 1",
    "CON",
    "con.avi",
    "nul",
    "COM1",
    "lpt9.x",
    "aux ",
    "log.csv",
    "log",
    "log (2).csv",
    ".bashrc",
    "-rf",
    "a (2)",
    "a (2).mov",
    "/etc/passwd",
    "C:\\x",
    "link",
    "dangling",
    "fifo",
    "folder",
    "file",
    ".muck-0.part",
    "a.hls",
    "master.m3u8",
];

/// Names that outputs have: a part, or a folder and a part.
const OUTPUTS: &[&str] = &[
    "poster.jpg",
    "sheet.jpg",
    "a",
    "a.",
    "a._",
    "a..b",
    "csv",
    "hls/master.m3u8",
    "hls/360p.mp4",
    "hls/a",
    "hls/a.",
    "hls/a._",
    "hls/con",
    "hls/log.csv",
];

/// One result to put: its content is its number.
#[derive(Debug, Clone)]
struct Result {
    location: String,
    original: String,
    /// The extension of a job's one output, or the name of one of several.
    output: std::result::Result<&'static str, &'static str>,
}

fn result() -> impl Strategy<Value = Result> {
    let output = prop_oneof![
        prop::sample::select(vec!["mov", "mp4", "csv", "bin"]).prop_map(Ok),
        prop::sample::select(OUTPUTS).prop_map(Err),
    ];
    let location = prop_oneof![3 => Just(String::new()), 4 => foreign(WORDS), 1 => prop::sample::select(WORDS).prop_map(str::to_owned)];
    let original =
        prop_oneof![2 => foreign(WORDS), 2 => prop::sample::select(WORDS).prop_map(str::to_owned)];
    (location, original, output).prop_map(|(location, original, output)| Result {
        location,
        original,
        output,
    })
}

/// Puts a result as `muck results` does.
fn put_one(root: &Folder, result: &Result, content: &[u8]) -> String {
    let folder = root.sub(&folder_parts(&result.location)).expect("enters");
    let (folder, wanted) = match result.output {
        Ok(extension) => (folder, named(stem(&result.original), extension)),
        Err(name) => match name.split_once('/') {
            None => (folder, named(stem(&result.original), name)),
            Some((group, file)) => {
                let exact = exactly(file);
                assert_eq!(
                    exact.numbered(1).as_deref(),
                    Some(file),
                    "others refer to it by this name"
                );
                let folder = folder.of_result(&named(stem(&result.original), group), |folder| {
                    folder.has_room_for(&exact, |file| {
                        Ok(io::read_to_string(file)?.as_bytes() == content)
                    })
                });
                (folder.expect("there is one"), exact)
            }
        },
    };
    let found = folder.find(&wanted, |file| {
        Ok(io::read_to_string(file)?.as_bytes() == content)
    });
    found
        .expect("looks")
        .unwrap_or_else(|| put(&folder, &wanted, content))
}

/// What stands in the way, made by whoever: links out, a pipe, a file, a folder.
fn obstacles(inside: &Path, outside: &Path) {
    for (name, target) in [
        ("link", outside),
        ("a.mov", outside),
        ("trip", outside),
        ("dangling", &outside.join("none")),
    ] {
        symlink(target, inside.join(name)).expect("links");
    }
    symlink(outside.join("marker"), inside.join("file.mov")).expect("links");
    symlink(outside.join("marker"), inside.join("log.mov")).expect("links");
    nix::unistd::mkfifo(&inside.join("fifo.mov"), Mode::from_bits_truncate(0o600))
        .expect("makes a pipe");
    std::fs::write(inside.join("a.hls"), "mine").expect("writes");
    std::fs::create_dir(inside.join("folder")).expect("makes");
    symlink(outside, inside.join("folder/day 1")).expect("links");
}

/// A folder in memory, where there is such a place: each file that is put is synced, which on a disk takes longer than
/// all else.
pub(in crate::batch) fn quick_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().expect("temp dir"))
}

proptest! {
    #[test]
    fn nothing_is_written_but_new_files_inside(results in prop::collection::vec(result(), 1..6)) {
        let dir = quick_folder();
        let (inside, outside) = (dir.path().join("inside"), dir.path().join("outside"));
        std::fs::create_dir(&outside).expect("makes");
        std::fs::write(outside.join("marker"), "as it was").expect("writes");
        let (folder, root) = Folder::open(&inside).expect("opens");
        obstacles(&inside, &outside);
        let mut taken = HashSet::new();
        for (number, result) in results.iter().enumerate() {
            let content = number.to_string();
            let below = put_one(&folder, result, content.as_bytes());
            prop_assert!(taken.insert(below.clone()), "{} is written twice", below);
            for part in below.split('/') {
                prop_assert!(part.len() <= NAME_MAX, "{} bytes in {}", part.len(), part);
                prop_assert!(!part.is_empty() && !part.starts_with('.'), "{}", below);
                prop_assert!(!part.contains(['\\', '\0', ':', '*', '?', '"', '<', '>', '|']), "{}", below);
                // Others' references to it are worth more than a memory stick's rules.
                let exact = matches!(result.output, Err(name) if name.contains('/'));
                let base = part.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
                let device = ["CON", "PRN", "AUX", "NUL", "COM1", "LPT9"].contains(&base.as_str());
                prop_assert!(exact || !device, "{}", below);
                prop_assert!(exact || !part.ends_with(['.', ' ']), "{}", below);
            }
            prop_assert!(below.len() < 2800, "{} bytes", below.len());
            prop_assert_eq!(printable(&below), below.clone());
            let ours = below.to_ascii_lowercase();
            let of_logs = ours.starts_with("log") && ours.split('.').next_back() == Some("csv");
            prop_assert!(!of_logs || ours.contains('/'), "{}", below);
            let file = root.join(&below);
            prop_assert!(file.canonicalize().expect("is there").starts_with(&root), "{:?}", file);
            prop_assert!(file.symlink_metadata().expect("is there").is_file(), "{:?}", file);
        }
        // Nothing else was touched: no file outside, no earlier file, and no temporary file is left.
        let here = |path: &Path| std::fs::read_dir(path).expect("lists").count();
        prop_assert_eq!((here(dir.path()), here(&outside)), (2, 1));
        prop_assert_eq!(std::fs::read_to_string(outside.join("marker")).expect("reads"), "as it was");
        prop_assert_eq!(std::fs::read_to_string(inside.join("a.hls")).expect("reads"), "mine");
        let hidden = walkdir::WalkDir::new(&inside)
            .into_iter()
            .filter(|entry| entry.as_ref().expect("reads").file_name().to_string_lossy().starts_with(".muck-"));
        prop_assert_eq!(hidden.count(), 0);
    }

    /// The same result again is the same file: another run, or the same status told twice.
    #[test]
    fn the_same_content_is_found_again(result in result()) {
        let dir = quick_folder();
        let (folder, _) = Folder::open(dir.path()).expect("opens");
        let first = put_one(&folder, &result, b"same");
        prop_assert_eq!(put_one(&folder, &result, b"same"), first.clone());
        prop_assert_ne!(put_one(&folder, &result, b"other"), first);
    }
}

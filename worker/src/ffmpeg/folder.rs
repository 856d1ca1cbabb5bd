//! What programs leave in a job's folder, where they may have done anything.

use std::path::Path;

/// Folders in folders deeper than this are not gone into: no preset makes any.
const MOST_LEVELS: usize = 8;

/// More files and folders than this are too much, however small: presets make some ten.
const MOST_ENTRIES: u32 = 10_000;

/// Bytes of all files in a folder (blocking); files that go meanwhile count nothing. What is too deep or too many to be counted is
/// as many bytes as there can be.
pub(super) fn size(folder: &Path) -> u64 {
    let (mut sum, mut entries) = (0, 0);
    let counted = walk(folder, MOST_LEVELS, &mut |path| {
        sum += std::fs::symlink_metadata(path).map_or(0, |facts| facts.len());
        entries += 1;
        if entries > MOST_ENTRIES {
            return Err(name(path));
        }
        Ok(())
    });
    counted.map_or(u64::MAX, |()| sum)
}

/// Whether all in a folder is files and folders. A link would lead whoever opens it, with the worker's rights, to any
/// file of the machine; a pipe would let him wait for ever.
///
/// # Errors
/// The name of what is something else.
pub(super) fn only_files(folder: &Path) -> Result<(), String> {
    walk(
        folder,
        MOST_LEVELS,
        &mut |path| match std::fs::symlink_metadata(path) {
            Ok(facts) if !facts.is_file() && !facts.is_dir() => Err(name(path)),
            _ => Ok(()),
        },
    )
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    crate::text::printable_short(&name, 60)
}

/// Calls for each thing below a folder, links not followed.
fn walk(
    folder: &Path,
    levels: usize,
    each: &mut dyn FnMut(&Path) -> Result<(), String>,
) -> Result<(), String> {
    if levels == 0 {
        return Err(name(folder));
    }
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        each(&path)?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&path, levels - 1, each)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_count_and_all_else_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("hls")).expect("made");
        std::fs::write(at("hls/1.ts"), [0; 700]).expect("written");
        std::fs::write(at("output.mov"), [0; 300]).expect("written");
        assert_eq!(only_files(folder.path()), Ok(()));
        assert!((1000..1_000_000).contains(&size(folder.path())));
        let deep = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(deep.path().join("1/2/3/4/5/6/7/8")).expect("made");
        assert_eq!(size(deep.path()), u64::MAX);
        std::os::unix::fs::symlink("/etc/passwd", at("hls/2\u{1b}.ts")).expect("linked");
        assert_eq!(only_files(folder.path()), Err("2\\u{1b}.ts".to_owned()));
    }
}

//! What results are called where the names of their originals are not enough: decided before anything is sent, so that it
//! doesn't depend on which result comes first.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::FoundFile;
use crate::batch::place;

/// For each of these paths the folder that its files' results go into: of several folders each has its own, called as it is
/// called, with as many folders above it as tell them apart. Empty for a single folder and for files.
pub(super) fn roots(paths: &[PathBuf]) -> Vec<String> {
    let folders: Vec<Option<PathBuf>> = paths
        .iter()
        .map(|path| path.canonicalize().ok().filter(|path| path.is_dir()))
        .collect();
    let different: BTreeSet<&PathBuf> = folders.iter().flatten().collect();
    if different.len() < 2 {
        return vec![String::new(); paths.len()];
    }
    let deepest = different.iter().map(|one| one.iter().count()).max();
    let depth = (1..=deepest.unwrap_or(1))
        .find(|depth| {
            let names: BTreeSet<String> = different.iter().map(|one| ending(one, *depth)).collect();
            names.len() == different.len()
        })
        .unwrap_or(1);
    folders
        .iter()
        .map(|one| {
            one.as_deref()
                .map(|one| ending(one, depth))
                .unwrap_or_default()
        })
        .collect()
}

/// The last parts of a path with `/` between.
fn ending(path: &Path, parts: usize) -> String {
    let names: Vec<_> = path
        .iter()
        .map(|part| part.to_string_lossy())
        .filter(|part| part != "/")
        .collect();
    names[names.len().saturating_sub(parts)..].join("/")
}

/// Gives files whose results would have one name in one folder (`a.avi` and `a.mkv`) names of their own: with the original's
/// extension (`a.avi.mp4`) and, if that is not enough, a number in the order of the files.
pub(super) fn tell_apart(files: &mut [FoundFile]) {
    let place = |file: &FoundFile| {
        let name = file.result_name.as_deref();
        let stem = name.unwrap_or_else(|| place::stem(&file.name));
        (file.location.clone(), place::taken_for(stem))
    };
    for index in alike(files, place) {
        files[index].result_name = Some(files[index].name.clone());
    }
    let mut taken: BTreeSet<_> = files.iter().map(place).collect();
    let mut seen = BTreeSet::new();
    let count = files.len();
    for file in files.iter_mut() {
        let (location, _) = place(file);
        if seen.insert(place(file)) {
            continue;
        }
        let name = file.result_name.clone();
        let name = name.unwrap_or_else(|| place::stem(&file.name).to_owned());
        // No more names can be taken than there are files.
        let free = (2..=count + 1)
            .map(|number| format!("{name} ({number})"))
            .find(|name| !taken.contains(&(location.clone(), place::taken_for(name))));
        if let Some(free) = free {
            taken.insert((location, place::taken_for(&free)));
            file.result_name = Some(free);
        }
    }
}

/// The files that share their place with another.
fn alike<K: Ord>(files: &[FoundFile], place: impl Fn(&FoundFile) -> K) -> Vec<usize> {
    let mut places: BTreeMap<K, Vec<usize>> = BTreeMap::new();
    for (index, file) in files.iter().enumerate() {
        places.entry(place(file)).or_default().push(index);
    }
    places
        .into_values()
        .filter(|indexes| indexes.len() > 1)
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(location: &str, name: &str) -> FoundFile {
        FoundFile {
            path: PathBuf::from(location).join(name),
            location: location.to_owned(),
            name: name.to_owned(),
            result_name: None,
            bytes: 1,
            modified: None,
            mime: String::new(),
        }
    }

    fn names(files: &[(&str, &str)]) -> Vec<String> {
        let mut files: Vec<FoundFile> = files.iter().map(|(l, n)| file(l, n)).collect();
        tell_apart(&mut files);
        files
            .into_iter()
            .map(|file| {
                let own = place::stem(&file.name).to_owned();
                file.result_name.unwrap_or(own)
            })
            .collect()
    }

    #[test]
    fn originals_of_one_name_have_results_of_two() {
        assert_eq!(names(&[("", "a.avi"), ("", "b.avi")]), ["a", "b"]);
        assert_eq!(names(&[("", "a.avi"), ("", "a.mkv")]), ["a.avi", "a.mkv"]);
        assert_eq!(names(&[("x", "a.avi"), ("y", "a.mkv")]), ["a", "a"]);
        assert_eq!(names(&[("", "A.avi"), ("", "a.mkv")]), ["A.avi", "a.mkv"]);
        assert_eq!(
            names(&[("", "a.avi"), ("", "a.avi")]),
            ["a.avi", "a.avi (2)"],
            "of two folders whose files were named one by one"
        );
        assert_eq!(
            names(&[("", "a.avi"), ("", "a.avi.mp4"), ("", "a.mkv")]),
            ["a.avi", "a.avi (2)", "a.mkv"]
        );
        assert_eq!(
            names(&[("", "a"), ("", "a.b"), ("", "a.c")]),
            ["a", "a.b", "a.c"]
        );
    }

    #[test]
    fn several_folders_keep_their_names() {
        let dir = tempfile::tempdir().expect("a folder");
        let make = |name: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(&path).expect("made");
            path
        };
        let (ada, bob, other) = (make("ada"), make("bob"), make("x/ada"));
        let clip = dir.path().join("clip.avi");
        std::fs::write(&clip, "film").expect("written");
        let of =
            |paths: &[&PathBuf]| roots(&paths.iter().map(|p| (*p).clone()).collect::<Vec<_>>());
        assert_eq!(of(&[&ada]), [""]);
        assert_eq!(of(&[&ada, &clip]), ["", ""]);
        assert_eq!(of(&[&ada, &ada.join(".")]), ["", ""]);
        assert_eq!(of(&[&ada, &bob, &clip]), ["ada", "bob", ""]);
        let above = dir.path().canonicalize().expect("is there");
        let above = above
            .file_name()
            .expect("has one")
            .to_string_lossy()
            .into_owned();
        assert_eq!(
            of(&[&ada, &other]),
            [format!("{above}/ada"), "x/ada".to_owned()]
        );
    }
}

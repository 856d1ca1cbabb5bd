//! The virtual environments that `scripts/python-tools.sh` makes.

use std::path::{Path, PathBuf};

/// Its Python.
///
/// # Panics
/// If it is not there or was made from another list: a test that skips says nothing.
pub fn interpreter() -> PathBuf {
    let hint = "`make test` makes it, as does scripts/python-tools.sh alone";
    made("python", "requirements.txt", hint).join("bin/python")
}

/// A program of the one that `scripts/python-tools.sh bench` makes.
///
/// # Panics
/// As [`interpreter`].
pub fn bench_tool(name: &str) -> PathBuf {
    let hint = "`make bench` makes it, as does `scripts/python-tools.sh bench`";
    made("python-bench", "bench.txt", hint)
        .join("bin")
        .join(name)
}

fn made(folder: &str, list: &str, hint: &str) -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("target folder")
        .join(folder);
    let stamp = std::fs::read_to_string(place.join("made-from")).unwrap_or_default();
    let list = std::fs::read(script(list)).expect("the list of packages");
    assert!(
        stamp.trim_end().ends_with(&sha256(&list)),
        "{} is not there or is out of date: {hint}",
        place.display()
    );
    place
}

/// A file of `tests/python/`.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/python")
        .join(name)
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest as _, Sha256};
    hex::encode(Sha256::digest(bytes))
}

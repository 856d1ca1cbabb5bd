//! What packages are made of: programs that need no library of the machine, completions, manual pages.

use std::path::Path;
use std::process::Command;

use crate::harness::World;

/// Type of an ELF program header that names a loader (`PT_INTERP` of the ELF specification).
const INTERPRETER: u32 = 3;

/// The program header types of a 64-bit little-endian ELF file.
fn program_headers(path: &Path) -> Vec<u32> {
    let bytes = std::fs::read(path).expect("the program");
    assert!(bytes.starts_with(b"\x7fELF\x02\x01"), "{}", path.display());
    let number = |at: usize, length: usize| {
        let mut value = [0; 8];
        value[..length].copy_from_slice(&bytes[at..at + length]);
        usize::try_from(u64::from_le_bytes(value)).expect("fits")
    };
    let (offset, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    (0..count)
        .map(|index| u32::try_from(number(offset + index * size, 4)).expect("fits"))
        .collect()
}

#[test]
fn both_programs_are_linked_statically() {
    let muck = Path::new(env!("CARGO_BIN_EXE_muck"));
    for program in [muck.to_owned(), muck.with_file_name("muck-worker")] {
        let headers = program_headers(&program);
        assert!(!headers.is_empty());
        assert!(
            !headers.contains(&INTERPRETER),
            "{} needs a dynamic loader",
            program.display()
        );
    }
    // What the check looks for is there in a program that is linked otherwise.
    assert!(program_headers(Path::new("/bin/sh")).contains(&INTERPRETER));
}

#[test]
fn completions_are_scripts_of_their_shells() {
    let world = World::new();
    let script = world.muck(&["completions", "bash"]).exits(0).stdout;
    let file = world.file("muck.bash", &script);
    let words = format!(
        "source {}; COMP_WORDS=(muck ru); COMP_CWORD=1; _muck muck ru muck; echo \"${{COMPREPLY[@]}}\"",
        file.display()
    );
    let answer = Command::new("bash")
        .args(["-c", &words])
        .output()
        .expect("bash");
    assert_eq!(String::from_utf8_lossy(&answer.stdout), "run\n");
    for (shell, text) in [("zsh", "#compdef muck"), ("fish", "complete -c muck")] {
        let script = world.muck(&["completions", shell]).exits(0).stdout;
        assert!(script.contains(text), "{shell}: {script}");
    }
}

#[test]
fn each_subcommand_has_a_manual_page() {
    let world = World::new();
    let folder = world.work().join("man");
    world
        .muck(&["man-pages", &folder.display().to_string()])
        .exits(0);
    for name in ["muck.1", "muck-run.1", "muck-local-serve.1"] {
        let page = std::fs::read_to_string(folder.join(name)).expect(name);
        assert!(page.contains(".SH SYNOPSIS"), "{name}: {page}");
    }
}

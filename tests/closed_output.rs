//! Where what is printed goes nowhere: a command still does its work to the end.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::harness::World;
use crate::harness::account::Account;

/// Runs until stdout (and stderr, if that goes the same way) has shown a line, closes it, and returns the exit code.
fn closed_after_a_line(mut command: Command, stderr_too: bool) -> Option<i32> {
    let (read, write) = std::io::pipe().expect("a pipe");
    if stderr_too {
        command.stderr(write.try_clone().expect("a descriptor"));
    } else {
        command.stderr(Stdio::null());
    }
    let mut child = command.stdout(write).spawn().expect("muck starts");
    // It holds copies of the writing end.
    drop(command);
    let mut line = String::new();
    BufReader::new(read).read_line(&mut line).expect("a line");
    assert!(!line.is_empty());
    child.wait().expect("ends").code()
}

fn full() -> File {
    OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("/dev/full")
}

#[test]
fn a_run_whose_output_is_closed_converts_and_tears_down() {
    let world = World::without_booting();
    let clip = World::sample("MVI_3113.AVI");
    let run = |results: &str| {
        world.command(&[
            "run",
            "--local",
            clip.to_str().expect("UTF-8"),
            "-o",
            results,
        ])
    };
    for (results, stderr_too) in [("head", false), ("both", true)] {
        assert_eq!(
            closed_after_a_line(run(results), stderr_too),
            Some(0),
            "{results}"
        );
        let converted = world.work().join(results).join("MVI_3113.mp4");
        assert!(converted.is_file(), "{results}");
        world.muck(&["plan", "--local"]).exits(3);
        assert_eq!(
            Account::of(&world).left_overs(),
            Vec::<String>::new(),
            "{results}"
        );
    }

    // Data that is lost is a failure, after everything else was done.
    let output = run("full").stdout(full()).output().expect("muck starts");
    let printed = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(printed.contains("cannot write to stdout"), "{printed}");
    assert!(world.work().join("full/MVI_3113.mp4").is_file());
    world.muck(&["plan", "--local"]).exits(3);
    assert_eq!(Account::of(&world).left_overs(), Vec::<String>::new());
}

#[test]
fn what_only_prints_ends_when_its_reader_does() {
    let world = World::without_booting();
    world.muck(&["up", "--local"]).exits(0);
    let clip = World::sample("MVI_3113.AVI");
    world
        .muck(&["submit", "--local", clip.to_str().expect("UTF-8")])
        .exits(0);
    for arguments in [
        &["status", "--local", "--watch"] as &[&str],
        &["ls", "--local", "--json"],
        &["presets"],
    ] {
        let code = closed_after_a_line(world.command(arguments), false);
        assert_eq!(code, Some(0), "{arguments:?}");
    }
}

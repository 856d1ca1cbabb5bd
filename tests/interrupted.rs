//! Ctrl-C: whatever `run` was doing, nothing is left.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::World;
use crate::harness::account::Account;

/// Starts `run`, sends SIGINT when stderr shows `line`, and returns the exit code with the talk.
fn interrupt_at(world: &World, line: &str) -> (Option<i32>, String) {
    let clip = World::sample("MVI_3113.AVI");
    let mut child = world
        .command(&["run", "--local", clip.to_str().expect("UTF-8"), "-o", "out"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("muck starts");
    let mut talk = String::new();
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    while !talk.contains(line) {
        assert_ne!(
            stderr.read_line(&mut talk).expect("stderr"),
            0,
            "no {line:?} in:\n{talk}"
        );
    }
    let id = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
    kill(id, Signal::SIGINT).expect("signal");
    stderr.read_to_string(&mut talk).expect("stderr");
    (child.wait().expect("ends").code(), talk)
}

#[test]
fn an_interrupted_run_leaves_nothing() {
    let world = World::without_booting();
    // While the stack is made, while the builder runs, and while instances convert.
    for line in ["created", "launch the builder", "Instances"] {
        let (code, talk) = interrupt_at(&world, line);
        assert_eq!(code, Some(130), "{line}: {talk}");
        world.muck(&["plan", "--local"]).exits(3);
        assert_eq!(
            Account::of(&world).left_overs(),
            Vec::<String>::new(),
            "{line}: {talk}"
        );
        world.muck(&["local", "stop"]).exits(0);
    }
}

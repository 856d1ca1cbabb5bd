//! How much memory a worker has over the files that `transfer` sends: it fetches each, stores as much again, and tells it.
//!
//! ffmpeg's memory is not in it: that is bounded for each of its runs, see docs/jail.md.

use std::fmt::Write as _;

use super::files::Files;
use super::loops::{Waiting, go, wait_empty};
use crate::harness::memory::high_water;
use crate::harness::sweep::keep_table;
use crate::harness::yard::{STACK, Yard};

/// What src/slots.rs of the worker leaves for it beside a Debian without a desktop, in MiB.
const MOST: u64 = 512 - 150;

#[test]
#[ignore = "takes many minutes: run it by `make bench`"]
fn a_worker_needs_little_memory_whatever_the_file() {
    let files = Files::write();
    let mut text = String::from("a worker that stores what it fetches, one after the other\n");
    let mut most = 0;
    for (what, folder, count) in [
        (files.small_ones(), &files.small, files.count),
        (files.large_one(), &files.large, 1),
    ] {
        let yard = Yard::open();
        let from = folder.to_str().expect("UTF-8");
        let submitted = yard
            .world
            .muck(&["submit", "--local", "--stack", STACK, "--all", from]);
        submitted.exits(0);
        let ready = tempfile::tempdir().expect("a folder");
        let worker = Waiting::start(&yard, ready.path(), 0);
        go(ready.path(), 1);
        wait_empty(&yard);
        assert_eq!(yard.written("verdicts/").len() as u64, count, "{what}");
        let mebibytes = high_water(worker.id()).expect("it runs").div_ceil(1024);
        writeln!(text, "  {what:<32} at most {mebibytes} MiB resident").expect("writes");
        most = mebibytes.max(most);
    }
    keep_table("bench-memory.txt", &text);
    assert!(most < MOST, "{most} MiB");
}

//! The jail of ffmpeg: a worker that can't make it doesn't work, unless told by name; and its limits bind.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::harness::World;

fn worker() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_muck")).with_file_name("muck-worker")
}

/// A search path on which everything is but `bwrap`.
fn path_without_bwrap(world: &World) -> PathBuf {
    let farm = world.work().join("programs");
    std::fs::create_dir(&farm).expect("folder");
    let path = std::env::var_os("PATH").expect("PATH");
    for folder in std::env::split_paths(&path) {
        for program in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = program.file_name();
            if name != "bwrap" && !farm.join(&name).exists() {
                // The first of a name counts, as on a search path.
                let _ = symlink(program.path(), farm.join(&name));
            }
        }
    }
    farm
}

fn check(world: &World, path: &Path, options: &[&str]) -> (bool, String) {
    let output = Command::new(worker())
        .args(["--check-jail", "--work-dir"])
        .arg(world.work().join("jobs"))
        .args(options)
        .env_clear()
        .env("PATH", path)
        .output()
        .expect("muck-worker starts");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn a_worker_without_its_jail_works_only_if_told_by_name() {
    let world = World::without_booting();
    let usual = PathBuf::from(std::env::var_os("PATH").expect("PATH"));
    let (good, said) = check(&world, &usual, &[]);
    assert!(
        good && said.contains("it doesn't reach the metadata service"),
        "{said}"
    );

    let without = path_without_bwrap(&world);
    let (good, said) = check(&world, &without, &[]);
    assert!(!good, "{said}");
    assert!(
        said.contains("bubblewrap") && said.contains("--unjailed"),
        "{said}"
    );
    let (good, said) = check(&world, &without, &["--unjailed"]);
    assert!(good && said.contains("UNJAILED"), "{said}");
}

/// Where the host has no `bwrap` the process driver's guests are told to do without, aloud.
#[test]
fn a_host_that_cannot_jail_says_so_and_converts() {
    let world = World::without_booting();
    let clip = std::fs::read(World::sample("MVI_3121.AVI")).expect("sample");
    world.file("films/clip.avi", clip);
    let output = world
        .command(&["run", "--local", "films", "-o", "out"])
        .env("PATH", path_without_bwrap(&world))
        .output()
        .expect("muck starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("UNJAILED"), "{said}");
    assert!(world.work().join("out/clip.mp4").exists());
}

/// ffmpeg under the limits alone, as the worker runs it inside the walls.
fn limited(memory: u64, output: u64, wall: u64, args: &[&str]) -> (Output, Value) {
    let limits = serde_json::json!({
        "memory": memory, "processes": 500, "processors": 1, "wall": wall, "output": output,
    });
    let output = Command::new(worker())
        .arg("jail:run")
        .arg(limits.to_string())
        .arg("/usr/bin/ffmpeg")
        .args([
            "-v",
            "error",
            "-nostdin",
            "-y",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=1920x1080",
        ])
        .args(args)
        .output()
        .expect("muck-worker starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = said.lines().last().expect("a report");
    let json = last.strip_prefix("muck-jail ").expect("a report");
    let report = serde_json::from_str(json).expect("JSON");
    (output, report)
}

#[test]
fn limits_of_memory_output_and_processor_time_bind() {
    let (gib, minute) = (1 << 30, 60);
    let null = ["-f", "null", "-"];
    let some = ["-frames:v", "5"];
    let (_, report) = limited(gib, gib, minute, &[&some[..], &null].concat());
    assert_eq!(report["code"], 0, "{report}");
    assert!(report["cpu_us"].as_u64() > Some(1000), "{report}");
    let peak = report["peak_bytes"].as_u64().expect("a number");
    assert!((10 << 20..gib).contains(&peak), "{report}");

    let encode = ["-c:v", "libx264", "-preset", "slow"];
    let (output, report) = limited(64 << 20, gib, minute, &[&some[..], &encode, &null].concat());
    assert_ne!(report["code"], 0, "{report}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("Cannot allocate memory") || said.contains("malloc"),
        "{said}"
    );

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("out.avi");
    let file = file.to_str().expect("UTF-8");
    let raw = ["-c:v", "rawvideo", file];
    let (_, report) = limited(gib, 100_000, minute, &raw);
    assert!(
        report["signal"] == 25 || report["code"] == 229,
        "SIGXFSZ or EFBIG: {report}"
    );
    assert!(std::fs::metadata(file).expect("begun").len() <= 100_000);

    let (_, report) = limited(gib, gib, 3, &null);
    assert_ne!(report["code"], 0, "{report}");
    let seconds = report["cpu_us"].as_u64().expect("a number") as f64 / 1e6;
    // The kernel counts ticks for the limit, and exact times for its report: they differ by some tenths of a second.
    assert!((2.5..14.0).contains(&seconds), "{report}");
}

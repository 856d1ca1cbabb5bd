//! Bakes that go wrong: one image or none, never a builder or a piece of an image left over.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::harness::World;
use crate::harness::account::Account;
use crate::harness::faults::Faults;

/// A terminated builder is gone within seconds here.
const GONE: Duration = Duration::from_secs(30);

/// A stack that is up, with a recipe that is the shipped one but for two things: it installs no packages,
/// which would take a minute and the network each time, and its check is `check`.
fn world_with(check: &str) -> (World, Account) {
    let world = World::new();
    write_recipe(&world, check);
    world.file("muck.toml", "image = \"recipe\"\n");
    world.muck(&["up", "--local"]).exits(0);
    let account = Account::of(&world);
    (world, account)
}

fn write_recipe(world: &World, check: &str) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("images/converter");
    let read =
        |name: &str| std::fs::read_to_string(shipped.join(name)).expect("the shipped recipe");
    let script = read("provision.sh.hbs");
    let without_apt = script.replace("    apt-get -q -y", "    : apt-get -q -y");
    assert_ne!(
        script, without_apt,
        "the script's way of calling apt-get has changed: change this test too"
    );
    world.file("recipe/image.toml", read("image.toml"));
    world.file("recipe/provision.sh.hbs", without_apt);
    world.file("recipe/check.sh", check);
}

/// What baking makes and must remove or keep: sorted kinds, e.g. `["image", "snapshot"]`.
fn pieces(account: &Account) -> Vec<String> {
    let mut kinds: Vec<String> = account
        .left_overs()
        .iter()
        .filter_map(|thing| thing.split(' ').next())
        .filter(|kind| ["instance", "volume", "image", "snapshot"].contains(kind))
        .map(str::to_owned)
        .collect();
    kinds.sort();
    kinds
}

/// Waits until just these are there: a builder needs a moment to be gone.
#[track_caller]
fn assert_pieces(account: &Account, images: usize, after: &str) {
    let mut expected = vec!["image".to_owned(); images];
    expected.extend(vec!["snapshot".to_owned(); images]);
    let start = Instant::now();
    loop {
        let there = pieces(account);
        if there == expected {
            return;
        }
        assert!(
            start.elapsed() < GONE,
            "after {after}: {there:?}, expected {images} image(s)"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_call_that_fails_once_makes_just_one_image() {
    let (world, account) = world_with("exit 0\n");
    let faults = Faults::of(&world);
    let mut images = 0;
    for (action, fault) in [
        ("RunInstances", json!({"kind": "reset_mid_body"})),
        (
            "RunInstances",
            json!({"kind": "error", "code": "InsufficientInstanceCapacity", "status": 500}),
        ),
        ("CreateSnapshot", json!({"kind": "reset_mid_body"})),
        ("CreateSnapshot", json!({"kind": "throttle"})),
        ("RegisterImage", json!({"kind": "reset_mid_body"})),
        ("RegisterImage", json!({"kind": "internal_error"})),
        (
            "TerminateInstances",
            json!({"kind": "error", "code": "InvalidInstanceID.NotFound"}),
        ),
        ("DescribeInstances", json!({"kind": "unavailable"})),
        (
            "GetConsoleOutput",
            json!({"kind": "error", "code": "UnauthorizedOperation"}),
        ),
    ] {
        faults.set(
            &json!([{"service": "ec2", "action": action, "nth": 1, "times": 1, "fault": fault}]),
        );
        let baked = world
            .muck(&["bake", "--local", "--force", "--json"])
            .exits(0)
            .json();
        assert_eq!(baked["reused"], false, "{baked}");
        images += 1;
        assert_pieces(&account, images, &format!("{action} {fault}"));
    }
}

#[test]
fn a_call_that_is_refused_is_named_and_nothing_is_left() {
    let (world, account) = world_with("exit 0\n");
    let faults = Faults::of(&world);
    for action in [
        "RunInstances",
        "DescribeInstances",
        "CreateSnapshot",
        "DescribeSnapshots",
        "RegisterImage",
    ] {
        let refused = json!({"kind": "error", "code": "UnauthorizedOperation", "status": 403});
        faults.set(&json!([{"service": "ec2", "action": action, "fault": refused}]));
        let ended = world
            .muck(&["bake", "--local", "--force"])
            .exits(1)
            .says(&["UnauthorizedOperation"]);
        assert!(ended.stdout.is_empty(), "{}", ended.stdout);
        faults.set(&json!([]));
        assert_pieces(&account, 0, action);
    }
}

/// The file that a bake says its builder's whole console is in.
fn console_file(stderr: &str) -> String {
    let path = stderr
        .lines()
        .find_map(|line| line.strip_prefix("  console in "))
        .expect("the file is named");
    std::fs::read_to_string(path).expect("the console's file")
}

#[test]
fn a_bake_prints_its_steps_and_keeps_the_console() {
    let (world, _account) = world_with("printf 'fit \\033[2J to convert\\n'\n");
    let bake = |arguments: &[&str]| {
        let ended = world.muck(&[&["bake", "--local", "--force"], arguments].concat());
        ended.exits(0).stderr
    };
    let stderr = bake(&[]);
    for step in ["boot the builder", "install packages", "check", "power off"] {
        let line = stderr
            .lines()
            .find(|line| line.trim_start().starts_with(&format!("{step}  ")))
            .unwrap_or_else(|| panic!("no step {step} in\n{stderr}"));
        assert!(line.ends_with(" s"), "a step with its time: {line}");
    }
    // Steps of the bake and of the script, and some notes: not the console.
    assert!(stderr.lines().count() < 30, "{stderr}");
    assert!(!stderr.contains("to convert"), "{stderr}");
    let console = console_file(&stderr);
    assert!(
        console.contains("\n== check\nfit \\u{1b}[2J to convert\n"),
        "{console}"
    );

    let stderr = bake(&["--console"]);
    assert!(
        stderr.contains(" | fit \\u{1b}[2J to convert\n"),
        "{stderr}"
    );
    assert!(console_file(&stderr).contains("to convert"));
}

#[test]
fn a_failing_script_says_its_step_and_last_words() {
    let (world, account) = world_with("echo 'no encoder of that name' >&2\nexit 3\n");
    let failed = world.muck(&["bake", "--local"]).exits(1).says(&[
        "failed in the step \"check\" (exit code 3)",
        "    no encoder of that name",
        "→ the whole console is in /",
    ]);
    assert!(console_file(&failed.stderr).contains("-- failed: check (exit code 3)"));
    let step = failed
        .stderr
        .lines()
        .find(|line| line.starts_with("  check  "));
    assert!(
        step.is_some_and(|line| line.ends_with(" s  failed")),
        "{step:?}"
    );
    assert_pieces(&account, 0, "a failed check");

    // Once mended, the same command makes it, and then finds it.
    write_recipe(&world, "exit 0\n");
    let made = world.muck(&["bake", "--local", "--json"]).exits(0).json();
    let found = world.muck(&["bake", "--local", "--json"]).exits(0).json();
    assert_eq!(
        (&made["reused"], &found["reused"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(made["image_id"], found["image_id"]);
    assert_pieces(&account, 1, "the mended recipe");
}

/// The part of the shipped `check.sh` that stands for the power-off of a boot that hangs.
fn shipped_check_of_the_timer() -> String {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("images/converter/check.sh");
    let check = std::fs::read_to_string(shipped).expect("the shipped check");
    let (before, rest) = check
        .split_once("# As Debian runs")
        .expect("the begin of the check");
    let (_, rest) = rest.split_once("# The power-off").expect("the part");
    let (part, _) = rest.split_once("# ffmpeg will run").expect("its end");
    format!("{before}# The power-off{part}")
}

#[test]
fn the_image_powers_off_a_boot_that_hangs() {
    let (world, _account) = world_with(&shipped_check_of_the_timer());
    let baked = world.muck(&["bake", "--local", "--json"]).exits(0).json();
    let image = baked["image_id"].as_str().expect("an id");
    let manifest = world
        .muck(&["images", "show", image, "--manifest", "--local"])
        .exits(0)
        .stdout;
    for line in [
        " /etc/systemd/system/muck-time-to-live.timer",
        " /etc/systemd/system/muck-power-off.service",
        " /etc/systemd/system/sysinit.target.wants/muck-time-to-live.timer => ../muck-time-to-live.timer",
    ] {
        assert!(
            manifest.lines().any(|one| one.ends_with(line)),
            "no {line:?} in\n{manifest}"
        );
    }
}

#[test]
fn an_image_whose_power_off_is_not_enabled_or_not_valid_is_refused() {
    let unit = "/etc/systemd/system/muck-power-off.service";
    for (spoil, says) in [
        (
            "rm /etc/systemd/system/sysinit.target.wants/muck-time-to-live.timer".to_owned(),
            "muck-time-to-live.timer is not enabled",
        ),
        (
            format!("sed -i s/poweroff-force/later/ {unit}"),
            "systemd refuses muck-time-to-live.timer or its service",
        ),
    ] {
        let check = format!("{spoil}\n{}", shipped_check_of_the_timer());
        let (world, account) = world_with(&check);
        world.muck(&["bake", "--local"]).exits(1).says(&[says]);
        assert_pieces(&account, 0, &spoil);
    }
}

#[test]
fn an_interrupted_bake_removes_its_builder() {
    let (world, account) = world_with("sleep 600\n");
    let mut muck = world
        .command(&["bake", "--local", "--console"])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("muck starts");
    let mut lines = BufReader::new(muck.stderr.take().expect("piped")).lines();
    let reached = lines
        .by_ref()
        .map_while(Result::ok)
        .any(|line| line.ends_with("== check"));
    assert!(reached, "muck ended before its builder reached the check");
    kill(Pid::from_raw(muck.id().cast_signed()), Signal::SIGINT).expect("signalled");
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    let status = muck.wait().expect("ends");
    assert_eq!(status.code(), Some(130), "{rest:?}");
    assert_pieces(&account, 0, "an interrupted bake");
}

#[test]
fn a_worker_that_arrives_changed_is_refused() {
    let (world, account) = world_with("exit 0\n");
    let path = world.work().join("recipe/provision.sh.hbs");
    let script = std::fs::read_to_string(&path).expect("the recipe");
    let changed = script.replace(
        "echo \"{{worker_sha256}}  $work/muck-worker\"",
        "echo x >>\"$work/muck-worker\"\necho \"{{worker_sha256}}  $work/muck-worker\"",
    );
    assert_ne!(
        script, changed,
        "the script's way of checking the worker has changed"
    );
    world.file("recipe/provision.sh.hbs", changed);
    world.muck(&["bake", "--local"]).exits(1).says(&[
        "failed in the step \"download worker\" (exit code 1)",
        "muck-worker: FAILED",
    ]);
    assert_pieces(&account, 0, "a changed worker");
}

#[test]
fn a_script_that_hangs_ends_at_its_deadline() {
    let (world, account) = world_with("echo 'and now nothing more'\nsleep 600\n");
    let path = world.work().join("recipe/image.toml");
    let settings = std::fs::read_to_string(&path).expect("the recipe");
    let shorter = settings.replace(
        "[builder]\ndeadline = \"30m\"",
        "[builder]\ndeadline = \"2m\"",
    );
    assert_ne!(settings, shorter, "the recipe's deadline has changed");
    world.file("recipe/image.toml", shorter);
    world.muck(&["bake", "--local"]).exits(1).says(&[
        "failed in the step \"check\" (exit code 143)",
        "    and now nothing more",
        "deadline of 2 min",
    ]);
    assert_pieces(&account, 0, "a hanging script");
}

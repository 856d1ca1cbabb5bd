//! Runs that are cut short: what was converted is fetched or kept, nothing computes on, and `muck resume` ends it.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::harness::World;
use crate::harness::account::Account;
use crate::harness::faults::Faults;
use crate::harness::sdk::Sdk;
use crate::harness::talking::Talking;
use crate::harness::terminal::OnTerminal;

const CLIPS: [&str; 2] = ["MVI_3113.AVI", "MVI_3114.AVI"];
/// The SDK's application id of the run: faults strike it and no other.
const CLIENT: &str = "cut-short";

/// A local cloud that runs already, so that faults can be set before the run.
fn world() -> World {
    let world = World::without_booting();
    world.file("muck.toml", "slots = \"1\"\n");
    world.muck(&["plan", "--local"]).exits(3);
    world
}

fn run(world: &World) -> Command {
    let clips = CLIPS.map(World::sample);
    let mut arguments = vec!["run", "--local"];
    arguments.extend(clips.iter().map(|clip| clip.to_str().expect("UTF-8")));
    arguments.extend(["-o", "out"]);
    let mut command = world.command(&arguments);
    command.env("AWS_SDK_UA_APP_ID", CLIENT);
    command
}

/// `run-1a2b3c4d`, which stderr names first.
#[track_caller]
fn stack_of(talk: &str) -> String {
    let line = talk.lines().find_map(|line| line.strip_prefix("Stack "));
    let name = line.and_then(|line| line.split_whitespace().next());
    name.unwrap_or_else(|| panic!("no stack in {talk}"))
        .to_owned()
}

fn results(world: &World) -> Vec<PathBuf> {
    CLIPS
        .iter()
        .map(|clip| world.work().join("out").join(clip).with_extension("mp4"))
        .filter(|path| path.is_file())
        .collect()
}

/// Only what has a fixed name is there: it stores, and does not compute.
#[track_caller]
fn assert_kept_without_compute(world: &World) {
    let left = Account::of(world).left_overs();
    assert!(
        left.iter().any(|line| line.starts_with("bucket ")),
        "{left:?}"
    );
    for compute in ["instance i-", "volume ", "image ", "snapshot "] {
        let found = left.iter().find(|line| line.starts_with(compute));
        assert_eq!(found, None, "{left:?}");
    }
}

#[track_caller]
fn assert_resumes_to_the_end(world: &World) {
    let resumed = world.muck(&["resume", "--local"]).exits(0);
    assert_eq!(results(world).len(), CLIPS.len(), "{resumed:?}");
    assert_eq!(Account::of(world).left_overs(), Vec::<String>::new());
    world
        .muck(&["resume", "--local"])
        .exits(1)
        .says(&["there is no unfinished run"]);
}

#[test]
fn results_that_do_not_fit_on_the_disk_are_kept_until_they_do() {
    let world = world();
    let out = world.work().join("out");
    std::fs::create_dir(&out).expect("folder");
    let inner = run(&world);
    let mut full = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        full.arg("--map-root-user");
    }
    full.args(["--mount", "sh", "-c"])
        .arg(format!(
            "mount -t tmpfs -o size=16k tmpfs {} && exec \"$@\"",
            out.display()
        ))
        .arg("sh")
        .arg(inner.get_program())
        .args(inner.get_args())
        .current_dir(world.work())
        .env_clear();
    full.envs(
        inner
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let (code, talk) = Talking::start(full).ends();
    assert_eq!(code, Some(1), "{talk}");
    let stack = stack_of(&talk);
    for text in [
        "there is no room left for the results".to_owned(),
        format!("kept in stack {stack}"),
        "a day".to_owned(),
        format!("muck resume --stack {stack} --local"),
        format!("muck down --stack {stack} --local"),
    ] {
        assert!(talk.contains(&text), "no {text:?} in:\n{talk}");
    }
    assert_kept_without_compute(&world);
    world
        .muck(&["ls", "--local"])
        .exits(0)
        .says(&["was cut short", &format!("muck resume --stack {stack}")]);
    assert_resumes_to_the_end(&world);
}

#[test]
fn results_that_may_not_be_fetched_are_kept_until_they_may() {
    let world = world();
    let faults = Faults::of(&world);
    let denied = json!({"kind": "error", "code": "AccessDenied", "status": 403});
    let rule = json!({"client": CLIENT, "service": "s3", "action": "GetObject", "fault": denied});
    let mut talking = Talking::start(run(&world));
    talking.until("Instances");
    faults.set(&json!([rule]));
    let (code, talk) = talking.ends();
    assert_eq!(code, Some(1), "{talk}");
    assert!(talk.contains("AccessDenied"), "{talk}");
    assert_kept_without_compute(&world);
    faults.set(&json!([]));
    assert_resumes_to_the_end(&world);
}

#[test]
fn with_expired_credentials_it_says_what_may_go_on_and_a_later_resume_ends_it() {
    let world = world();
    let faults = Faults::of(&world);
    let rule = json!({"client": CLIENT, "service": "sqs", "action": "DeleteMessageBatch",
        "fault": {"kind": "expire"}});
    faults.set(&json!([rule]));
    let (code, talk) = Talking::start(run(&world)).ends();
    assert_eq!(code, Some(5), "{talk}");
    let stack = stack_of(&talk);
    for text in ["may still run", &format!("muck resume --stack {stack}")] {
        assert!(talk.contains(text), "no {text:?} in:\n{talk}");
    }
    faults.set(&json!([]));
    assert_resumes_to_the_end(&world);
}

#[test]
fn an_interrupted_run_brings_home_what_is_converted() {
    let world = world();
    let mut talking = Talking::start(run(&world));
    talking.until("  converted ");
    talking.signal(Signal::SIGINT);
    let (code, talk) = talking.ends();
    assert_eq!(code, Some(130), "{talk}");
    let home = results(&world).len();
    assert!(home > 0, "{talk}");
    let told = format!("interrupted: {home} of 2 files converted and fetched");
    assert!(talk.contains(&told), "no {told:?} in:\n{talk}");
    assert_eq!(Account::of(&world).left_overs(), Vec::<String>::new());
}

#[test]
fn a_second_signal_leaves_what_is_converted_in_a_stack_without_instances() {
    let world = world();
    let faults = Faults::of(&world);
    let mut talking = Talking::start(run(&world));
    let slow = json!({"kind": "delay", "ms": 120_000});
    let rule = json!({"client": CLIENT, "service": "s3", "action": "GetObject", "fault": slow});
    talking.until("Instances");
    faults.set(&json!([rule]));
    talking.until("  converted ");
    talking.signal(Signal::SIGINT);
    talking.until("Fetching what is converted");
    talking.signal(Signal::SIGTERM);
    let (code, talk) = talking.ends();
    assert_eq!(code, Some(130), "{talk}");
    assert!(talk.contains("muck resume"), "{talk}");
    assert_kept_without_compute(&world);
    faults.set(&json!([]));
    assert_resumes_to_the_end(&world);
}

#[test]
fn the_same_run_again_goes_on_with_one_that_was_killed() {
    let world = world();
    let mut talking = Talking::start(run(&world));
    talking.until("  converted ");
    talking.signal(Signal::SIGKILL);
    let (_, talk) = talking.ends();
    let stack = stack_of(&talk);

    // On a terminal it asks.
    let mut asked = OnTerminal::start(run(&world));
    asked.wait_for("Go on with it, instead of beginning anew? [Y/n]");
    asked.signal(Signal::SIGINT);
    let (code, printed) = asked.ends();
    assert_eq!(code, Some(130), "{printed}");
    assert!(printed.contains(&stack), "{printed}");

    let (code, talk) = Talking::start(run(&world)).ends();
    assert_eq!(code, Some(0), "{talk}");
    assert!(talk.contains("This goes on with it"), "{talk}");
    assert_eq!(stack_of(&talk), stack);
    assert_eq!(results(&world).len(), CLIPS.len(), "{talk}");
    assert_eq!(Account::of(&world).left_overs(), Vec::<String>::new());
}

#[test]
fn a_message_with_no_instance_left_gets_one() {
    let world = world();
    let mut talking = Talking::start(run(&world));
    talking.until("Instances");
    let sdk = Sdk::of(&world);
    let instance = loop {
        let listed = sdk.run(sdk.ec2.describe_instances().send()).expect("lists");
        let mut all = listed
            .reservations()
            .iter()
            .flat_map(aws_sdk_ec2::types::Reservation::instances);
        let worker = all.find(|one| {
            let tags = one.tags();
            tags.iter().any(|tag| tag.value() == Some("worker"))
        });
        if let Some(id) = worker.and_then(|one| one.instance_id()) {
            break id.to_owned();
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let end = sdk.ec2.terminate_instances().instance_ids(instance).send();
    sdk.run(end).expect("ends");
    let (code, talk) = talking.ends();
    assert_eq!(code, Some(0), "{talk}");
    assert!(talk.contains("no instance left"), "{talk}");
    assert_eq!(results(&world).len(), CLIPS.len(), "{talk}");
    assert_eq!(Account::of(&world).left_overs(), Vec::<String>::new());
}

#[test]
fn a_run_whose_originals_vanished_before_they_were_submitted_says_so() {
    let world = world();
    let clip = std::fs::read(World::sample(CLIPS[0])).expect("a clip");
    let original = world.file("in/a.avi", clip);
    let mut command = world.command(&["run", "--local", "in", "-o", "out"]);
    command.env("AWS_SDK_UA_APP_ID", CLIENT);
    let mut talking = Talking::start(command);
    talking.until("Image");
    talking.signal(Signal::SIGKILL);
    talking.ends();
    std::fs::remove_dir_all(original.parent().expect("a folder")).expect("removed");
    world
        .muck(&["resume", "--local"])
        .exits(1)
        .says(&["nothing of this run was submitted, and the originals can't be found"]);
    assert_eq!(Account::of(&world).left_overs(), Vec::<String>::new());
}

#[test]
fn a_disk_that_no_image_fits_is_refused_before_anything_is_created() {
    let world = world();
    let clip = World::sample(CLIPS[0]);
    let clip = clip.to_str().expect("UTF-8");
    world
        .muck(&["run", "--local", clip, "-o", "out", "--disk", "1"])
        .exits(2)
        .says(&["a disk of 1 GiB is too small", "--disk 16"]);
    assert_eq!(Account::of(&world).left_overs(), Vec::<String>::new());
}

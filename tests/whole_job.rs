//! The main job: what `make demo` does, then the same by single steps, then nothing left.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::harness::World;
use crate::harness::account::Account;
use crate::harness::media::{Audio, Media, probe};
use crate::harness::sdk::Sdk;

/// The conversion of all samples by one instance takes a fraction of this.
const CONVERSION_LIMIT: Duration = Duration::from_mins(5);

#[test]
fn demo_then_single_steps_then_nothing_left() {
    let world = World::new();

    let demo = world
        .muck(&["demo"])
        .exits(0)
        .says(&["nothing is left of stack demo-"]);
    check_outputs(&world.work().join("demo-results"));
    for line in [
        "5 files successfully submitted.",
        "5 results successfully retrieved.",
        "Total:",
    ] {
        assert!(demo.stdout.contains(line), "no {line:?} in {demo:?}");
    }

    // The demo stops the cloud that it started; any command starts it again with all its state.
    world.muck(&["plan", "--local", "--stack", "demo"]).exits(3);
    let account = Account::of(&world);
    for left in account.left_overs() {
        assert!(
            left.starts_with("image ") || left.starts_with("snapshot "),
            "left by the demo beside the image that it keeps: {left}"
        );
    }

    single_steps(&world, &account);

    world
        .muck(&["down", "--local", "--stack", "demo", "--yes"])
        .exits(0);
    // The image belongs to the stack of the demo that baked it, which said how to remove it.
    let baked_by = stack_of(&demo.stderr);
    world
        .muck(&["down", "--local", "--stack", &baked_by, "--yes"])
        .exits(0);
    assert_eq!(account.left_overs(), Vec::<String>::new());
    world
        .muck(&["down", "--local", "--stack", "demo", "--yes"])
        .exits(0);
}

/// `demo-1a2b3c4d` from the line `Stack demo-1a2b3c4d in us-local-1 …`.
fn stack_of(stderr: &str) -> String {
    let line = stderr
        .lines()
        .find_map(|line| line.strip_prefix("Stack "))
        .expect("names its stack");
    line.split_whitespace().next().expect("a name").to_owned()
}

/// Every step by itself, each typed twice where that must change nothing.
fn single_steps(world: &World, account: &Account) {
    let muck = |arguments: &[&str]| {
        let mut all = arguments.to_vec();
        all.extend(["--local", "--stack", "demo"]);
        world.muck(&all)
    };
    let samples = samples();
    let files = sample_files(&samples);

    muck(&["up"]).exits(0).says(&["created"]);
    let again = muck(&["up"]).exits(0);
    assert!(
        !again.stderr.contains("created") && !again.stdout.contains("created"),
        "{again:?}"
    );
    muck(&["plan"]).exits(0);
    // The recipe is the demo's, so the image is there.
    let baked = muck(&["bake", "--json"]).exits(0).json();
    assert_eq!(baked["reused"], true, "{baked}");

    let samples_argument = samples.to_str().expect("UTF-8");
    let submitted = muck(&[
        "submit",
        samples_argument,
        "--batch",
        "story",
        "--preset",
        "ipod",
    ])
    .exits(0);
    assert!(
        submitted
            .stdout
            .contains(&format!("{} files successfully submitted.", files.len())),
        "{submitted:?}"
    );
    let bodies = account.peek("muck-demo-input", files.len(), Duration::from_secs(10));
    assert!(!bodies.is_empty());
    for body in &bodies {
        check_input_message(body, &files);
    }

    world.file("muck.toml", "idle = \"2s\"\n");
    let launched = muck(&["launch", "-n", "1", "--json"]).exits(0).json();
    let instance = launched["reservations"][0]["instances"][0]["id"].as_str();
    let instance = instance.expect("an id");
    let bodies = account.peek("muck-demo-output", files.len(), CONVERSION_LIMIT);
    for body in &bodies {
        check_status_message(body);
    }

    let results = muck(&["results", "back", "--batch", "story"]).exits(0);
    for line in [
        &format!("{} results successfully retrieved.", files.len()) as &str,
        "Minimum Processing Time: ",
        "Maximum Processing Time: ",
        "Average Processing Time: ",
        "Elapsed Time: ",
        "transactions / minute",
    ] {
        assert!(results.stdout.contains(line), "no {line:?} in {results:?}");
    }
    check_outputs(&world.work().join("back"));
    check_log(&world.work().join("back/log.csv"), &files);

    let bill = muck(&["bill"]).exits(0);
    for line in ["Storage", "Transfer", "Messages", "Compute", "Total"] {
        assert!(bill.stdout.contains(line), "no {line} in {bill:?}");
    }
    // Of an instance that powered itself off EC2 tells no time, but its log does.
    Sdk::of(world).wait_for_state(instance, "terminated", CONVERSION_LIMIT);
    let bill = muck(&["bill"]).exits(0);
    assert!(!bill.stdout.contains("end time unknown"), "{bill:?}");
}

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples")
}

/// Size by file name of each clip.
fn sample_files(folder: &Path) -> BTreeMap<String, u64> {
    clips(folder)
        .into_iter()
        .map(|clip| {
            let name = clip
                .file_name()
                .expect("a file")
                .to_str()
                .expect("UTF-8")
                .to_owned();
            (name, clip.metadata().expect("readable").len())
        })
        .collect()
}

/// All `.AVI` files below `folder`, relative paths made absolute.
fn clips(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("samples") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            found.extend(clips(&path));
        } else if path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("avi"))
        {
            found.push(path);
        }
    }
    found
}

/// Every clip has come back as the article's QuickTime, under the same sub-folder.
fn check_outputs(folder: &Path) {
    let samples = samples();
    let clips = clips(&samples);
    assert!(clips.len() >= 4, "too few samples to show anything");
    for clip in clips {
        let relative = clip
            .strip_prefix(&samples)
            .expect("below")
            .with_extension("mov");
        let media = probe(&folder.join(relative));
        let source = probe(&clip);
        let expected = Media {
            container: "mov,mp4,m4a,3gp,3g2,mj2".into(),
            major_brand: "qt".into(),
            video_codec: "mpeg4".into(),
            width: 320,
            height: 240,
            frame_rate: "30000/1001".into(),
            audio: source.audio.is_some().then(|| Audio {
                codec: "aac".into(),
                sample_rate: "48000".into(),
            }),
            duration: media.duration,
        };
        assert_eq!(media, expected, "{}", clip.display());
        // A frame at the start and one at the end may be rounded, and AAC adds a block.
        assert!(
            (media.duration - source.duration).abs() < 0.15,
            "{}: {} s became {} s",
            clip.display(),
            source.duration,
            media.duration
        );
    }
}

/// Headers in order.
fn headers(body: &str) -> Vec<(&str, &str)> {
    body.lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            line.split_once(": ")
                .unwrap_or_else(|| panic!("not a header: {line:?}"))
        })
        .collect()
}

/// The article's five headers, in the article's order and form.
fn check_input_message(body: &str, files: &BTreeMap<String, u64>) {
    let headers = headers(body);
    let names: Vec<&str> = headers.iter().take(5).map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        ["Bucket", "InputKey", "Date", "OriginalFileName", "Size"],
        "{body}"
    );
    let value = |name: &str| {
        headers
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, v)| *v)
            .expect("there")
    };
    assert_eq!(
        value("Bucket"),
        "muck-demo-input-000000000000-us-local-1-an"
    );
    let md5 = value("InputKey").strip_prefix("media/").expect("media/");
    assert!(
        md5.len() == 32 && md5.chars().all(|c| c.is_ascii_hexdigit()),
        "{md5}"
    );
    assert!(value("Date").ends_with(" GMT"), "{body}");
    let size = files.get(value("OriginalFileName")).expect("a sample");
    assert_eq!(value("Size"), size.to_string());
}

/// The article's status message: the input's headers, then the service's.
fn check_status_message(body: &str) {
    let headers = headers(body);
    let has = |name: &str| headers.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
    for name in [
        "Bucket",
        "InputKey",
        "Date",
        "OriginalFileName",
        "Size",
        "Host",
        "Instance-ID",
    ] {
        assert!(has(name).is_some(), "no {name} in {body}");
    }
    assert_eq!(has("Server"), Some("ConvertVideo"));
    assert_eq!(has("Status"), Some("converted"));
    let output = has("OutputKey").expect("OutputKey");
    assert!(output.ends_with(";type=video/quicktime"), "{output}");
    for date in ["Service-Read", "Service-Write"] {
        assert!(
            has(date).is_some_and(|date| date.ends_with(" GMT")),
            "{body}"
        );
    }
}

/// One row a file, with the columns that the article's spreadsheet needs.
fn check_log(path: &Path, files: &BTreeMap<String, u64>) {
    let mut reader = csv::Reader::from_path(path).expect("log.csv");
    let columns: Vec<String> = reader
        .headers()
        .expect("headers")
        .iter()
        .map(ToOwned::to_owned)
        .collect();
    for column in [
        "Bucket",
        "InputKey",
        "OriginalFileName",
        "OutputKey",
        "Host",
        "Service-Read",
        "Service-Write",
    ] {
        assert!(
            columns.iter().any(|c| c == column),
            "no {column} in {columns:?}"
        );
    }
    let name = columns
        .iter()
        .position(|c| c == "OriginalFileName")
        .expect("there");
    let mut logged: Vec<String> = reader
        .records()
        .map(|row| row.expect("row")[name].to_owned())
        .collect();
    logged.sort();
    assert_eq!(logged, files.keys().cloned().collect::<Vec<_>>());
}

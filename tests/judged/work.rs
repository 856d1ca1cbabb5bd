//! Files in, messages, instances, results, a bill, and nothing left.

use std::time::Duration;

use serde_json::Value;

use crate::harness::World;
use crate::harness::judge::{Judge, judged};
use crate::harness::lane::noise;
use crate::harness::media::probe;

/// A worker waits as long for more to do.
const SETTINGS: &str = "idle = \"2s\"\n";
/// Messages are there as soon as `submit` has ended.
const MESSAGES: Duration = Duration::from_mins(2);
/// Larger than one part of an upload (8 MiB), and no video.
const TWO_PARTS: usize = 9 << 20;

judged!(files_are_converted_fetched_and_billed by local_cloud, moto);

fn files_are_converted_fetched_and_billed(judge: &dyn Judge) {
    let (machine, account) = (judge.machine(), judge.account());
    machine.file("muck.toml", SETTINGS);
    machine.muck(&["up"]).exits(0);
    for name in ["MVI_3113.AVI", "MVI_3121.AVI"] {
        let clip = std::fs::read(World::sample(name)).expect("a sample");
        machine.file(name, clip);
    }
    // In several parts.
    machine.file("big.avi", noise(TWO_PARTS));
    let submit = [
        "submit",
        "MVI_3113.AVI",
        "MVI_3121.AVI",
        "big.avi",
        "--batch",
        "story",
        "--preset",
        "ipod",
    ];
    let submitted = machine.muck(&submit).exits(0);
    assert!(
        submitted.stdout.contains("3 files successfully submitted."),
        "{submitted:?}"
    );
    let messages = account.peek("muck-muck-input", 3, MESSAGES);
    let bucket = judge.access().bucket("muck", "input");
    for message in &messages {
        let header = |name: &str| {
            message
                .lines()
                .find_map(|line| line.strip_prefix(&format!("{name}: ")))
        };
        assert_eq!(header("Bucket"), Some(&*bucket), "{message}");
        assert_eq!(header("Batch"), Some("story"), "{message}");
        assert!(
            header("InputKey").is_some_and(|key| key.starts_with("media/")),
            "{message}"
        );
        assert!(header("OriginalFileName").is_some(), "{message}");
    }
    let status = machine.muck(&["status", "--json"]).exits(0).json();
    assert_eq!(status["queues"]["input"]["visible"], 3, "{status}");

    let mut launch = vec![
        "launch", "-n", "2", "--batch", "story", "--ttl", "1h", "--json",
    ];
    match judge.image_to_launch() {
        Some(image) => launch.extend(["--image", image]),
        None => {
            judge.bake(&machine, &[]).exits(0);
        }
    }
    let launched = machine.muck(&launch).exits(0).json();
    let zones: Vec<&Value> = launched["reservations"]
        .as_array()
        .expect("a list")
        .iter()
        .flat_map(|reservation| reservation["instances"].as_array().expect("a list"))
        .map(|instance| &instance["zone"])
        .collect();
    assert_eq!(zones.len(), 2, "{launched}");
    assert_ne!(zones[0], zones[1], "they are spread");
    let ends: jiff::Timestamp = launched["expires"]
        .as_str()
        .expect("a time")
        .parse()
        .expect("a time");
    let in_an_hour = ends - jiff::Timestamp::now();
    assert!(
        in_an_hour.total(jiff::Unit::Second).expect("seconds") <= 3600.0,
        "{launched}"
    );
    let tagged = judge.sdk().tags_of_instances("worker");
    assert_eq!(tagged.len(), 2);
    for tags in tagged {
        let tag = |key: &str| {
            tags.iter()
                .find(|(name, _)| name == key)
                .map(|(_, value)| value.as_str())
        };
        assert_eq!(
            (tag("muck:stack"), tag("muck:batch")),
            (Some("muck"), Some("story"))
        );
        assert_eq!(tag("muck:expires"), launched["expires"].as_str());
    }

    judge.work();
    // One of three is no video.
    let results = machine
        .muck(&["results", "back", "--batch", "story"])
        .exits(4);
    assert!(
        results.stdout.contains("2 results successfully retrieved."),
        "{results:?}"
    );
    for name in ["MVI_3113.mov", "MVI_3121.mov"] {
        assert_eq!(
            probe(&machine.work().join("back").join(name)).video_codec,
            "mpeg4"
        );
    }
    let log = std::fs::read_to_string(machine.work().join("back/log.csv")).expect("log.csv");
    assert_eq!(log.lines().count(), 4, "{log}");
    let bill = machine.muck(&["bill", "--json"]).exits(0).json();
    assert!(bill.to_string().contains("c7i.large"), "{bill}");
    let status = machine.muck(&["status", "--json"]).exits(0).json();
    assert_eq!(status["batch"]["totals"]["converted"], 2, "{status}");
    assert_eq!(status["batch"]["totals"]["failed"], 1, "{status}");

    // Converted already: no instance is needed for these.
    let again = machine
        .muck(&[
            "submit",
            "MVI_3113.AVI",
            "--batch",
            "again",
            "--preset",
            "ipod",
        ])
        .exits(0);
    assert!(
        again.stdout.contains("1 file successfully submitted."),
        "{again:?}"
    );

    machine
        .muck(&["down", "--yes"])
        .exits(0)
        .says(&["nothing is left of stack muck"]);
    assert_eq!(account.left_overs(), Vec::<String>::new());
    judge.machine().muck(&["down", "--yes"]).exits(0);
}

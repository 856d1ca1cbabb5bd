//! What is past its time: swept by any command on any machine, or told.

use std::time::Duration;

use serde_json::json;

use crate::harness::judge::{Judge, judged};

const LONG_PAST: &str = "2026-01-02T03:04:05Z";
const FAR_AWAY: &str = "2999-01-02T03:04:05Z";
const SOON: Duration = Duration::from_mins(2);

/// Tags of a piece of the stack `stack` that ends at `end`.
fn piece<'a>(stack: &'a str, kind: &'a str, end: &'a str) -> [(&'a str, &'a str); 3] {
    [
        ("muck:stack", stack),
        ("muck:kind", kind),
        ("muck:expires", end),
    ]
}

judged!(forgotten_pieces_go_with_the_next_command_on_any_machine by local_cloud, moto);

fn forgotten_pieces_go_with_the_next_command_on_any_machine(judge: &dyn Judge) {
    let sdk = judge.sdk();
    judge.machine().muck(&["up", "--stack", "own"]).exits(0);
    // A builder that is still stopped, a worker that never went off, and what must stay.
    let (builder, disk) = sdk.start_instance(&piece("crashed", "builder", LONG_PAST), true);
    sdk.run(sdk.ec2.stop_instances().instance_ids(&builder).send())
        .expect("stops");
    sdk.wait_for_state(&builder, "stopped", SOON);
    let (worker, _) = sdk.start_instance(&piece("own", "worker", LONG_PAST), true);
    let (busy, _) = sdk.start_instance(&piece("own", "worker", FAR_AWAY), true);
    let (foreign, _) = sdk.start_instance(&[("Name", "database")], true);
    // A volume whose instance went without it, and a snapshot from which no image was made.
    let (gone, volume) = sdk.start_instance(&piece("crashed", "volume", LONG_PAST), false);
    sdk.run(sdk.ec2.terminate_instances().instance_ids(&gone).send())
        .expect("ends");
    sdk.wait_for_state(&gone, "terminated", SOON);
    let tags = aws_sdk_ec2::types::TagSpecification::builder()
        .resource_type(aws_sdk_ec2::types::ResourceType::Snapshot)
        .set_tags(Some(
            piece("crashed", "snapshot", LONG_PAST)
                .iter()
                .map(|(key, value)| {
                    aws_sdk_ec2::types::Tag::builder()
                        .key(*key)
                        .value(*value)
                        .build()
                })
                .collect(),
        ));
    let call = sdk.ec2.create_snapshot().volume_id(&disk);
    let snapshot = sdk
        .run(call.tag_specifications(tags.build()).send())
        .expect("snapshot");
    let snapshot = snapshot.snapshot_id().expect("an id");

    // Nothing is swept where that is not wanted, nor where it is not allowed; nobody hears of it.
    let quiet = sdk
        .muck_elsewhere(&["plan", "--stack", "own", "--no-sweep"])
        .exits(0);
    assert!(!quiet.stderr.contains("swept"), "{}", quiet.stderr);
    if let Some(faults) = judge.faults() {
        let denied = json!({"kind": "error", "code": "UnauthorizedOperation", "status": 403});
        faults.set(&json!([{"service": "ec2", "fault": denied}]));
        let denied = sdk.muck_elsewhere(&["plan", "--stack", "own"]).exits(0);
        assert_eq!(denied.stderr, "");
        faults.set(&json!([]));
    }
    assert_eq!(sdk.instance_state(&worker), "running");

    // `up` works on its own stack, so only the other's pieces go.
    sdk.muck_elsewhere(&["up", "--stack", "own"])
        .exits(0)
        .says(&[
            &format!("swept: builder c7i.large {builder} of stack crashed, expired"),
            &format!("swept: volume of 8 GiB {volume} of stack crashed, expired"),
            &format!("swept: snapshot without an image {snapshot} of stack crashed, expired"),
        ]);
    assert_eq!(sdk.instance_state(&worker), "running");
    sdk.muck_elsewhere(&["plan", "--stack", "own"])
        .exits(0)
        .says(&[&format!(
            "swept: worker c7i.large {worker} of stack own, expired"
        )]);
    for id in [&builder, &worker] {
        sdk.wait_for_state(id, "terminated", SOON);
    }
    assert!(!sdk.has_volume(&volume));
    let left = judge.account().left_overs();
    assert!(!left.iter().any(|line| line.contains(snapshot)), "{left:?}");
    for id in [&busy, &foreign] {
        assert_eq!(sdk.instance_state(id), "running", "{id}");
    }
}

judged!(a_stack_of_one_run_goes_and_one_that_is_kept_is_told by local_cloud, moto);

fn a_stack_of_one_run_goes_and_one_that_is_kept_is_told(judge: &dyn Judge) {
    let machine = judge.machine();
    for stack in ["kept", "once", "half", "young"] {
        machine.muck(&["up", "--stack", stack]).exits(0);
    }
    let sdk = judge.sdk();
    let body = aws_sdk_s3::primitives::ByteStream::from_static(b"film");
    let call = sdk
        .s3
        .put_object()
        .bucket(judge.access().bucket("kept", "output"));
    sdk.run(call.key("media/a").body(body).send())
        .expect("puts");
    sdk.tag_stack("kept", &[("muck:expires", LONG_PAST)]);
    for stack in ["once", "half"] {
        let end = ("muck:expires", LONG_PAST);
        sdk.tag_stack(stack, &[end, ("muck:on-expiry", "delete")]);
    }
    sdk.tag_stack("young", &[("muck:on-expiry", "delete")]);
    // Of this one somebody said that one thing is to be kept.
    let url = sdk.queue_url("half", "failed");
    let call = sdk
        .sqs
        .tag_queue()
        .queue_url(url)
        .tags("muck:on-expiry", "keep");
    sdk.run(call.send()).expect("tags");

    let list = sdk
        .muck_elsewhere(&["ls", "--json", "--no-sweep"])
        .exits(0)
        .json();
    let states = |list: &serde_json::Value| -> Vec<String> {
        let rows = list["stacks"].as_array().expect("a list");
        rows.iter()
            .map(|row| {
                format!(
                    "{} {} {} {}",
                    row["stack"].as_str().expect("name"),
                    row["state"].as_str().expect("state"),
                    row["expired"],
                    row["on_expiry"].as_str().expect("tag")
                )
            })
            .collect()
    };
    assert_eq!(
        states(&list),
        [
            "half up true keep",
            "kept up true keep",
            "once up true delete",
            "young up false delete"
        ]
    );
    assert_eq!(list["stacks"][1]["stored"]["objects"], 1);

    let command = sdk.muck_elsewhere(&["status", "--stack", "young"]).exits(0);
    let told = command.says(&[
        "sweeping stack once, which a run left behind",
        "swept: stack once, 7 resources deleted, nothing is left",
        "stack kept expired",
        "muck down --stack kept",
        "muck down --stack half",
    ]);
    assert!(
        !told.stderr.contains("stack young expired"),
        "{}",
        told.stderr
    );
    let list = sdk.muck_elsewhere(&["ls", "--json"]).exits(0).json();
    assert_eq!(
        states(&list),
        [
            "half up true keep",
            "kept up true keep",
            "young up false delete"
        ]
    );

    // Using it again gives it more time, and nobody speaks of it any more.
    sdk.muck_elsewhere(&["up", "--stack", "kept"]).exits(0);
    let quiet = sdk.muck_elsewhere(&["plan", "--stack", "kept"]).exits(0);
    assert!(!quiet.stderr.contains("stack kept"), "{}", quiet.stderr);

    // All that has expired, at once; not without being asked.
    sdk.tag_stack("kept", &[("muck:expires", LONG_PAST)]);
    sdk.muck_elsewhere(&["down", "--all-expired"])
        .exits(2)
        .says(&["stack half", "stack kept", "1 object", "--yes"]);
    sdk.muck_elsewhere(&["down", "--all-expired", "--yes"])
        .exits(0)
        .says(&[
            "nothing is left of stack half",
            "nothing is left of stack kept",
        ]);
    sdk.muck_elsewhere(&["down", "--all-expired", "--yes"])
        .exits(0)
        .says(&["no stack"]);
    let list = sdk.muck_elsewhere(&["ls", "--json"]).exits(0).json();
    assert_eq!(states(&list), ["young up false delete"]);
}

/// `days` ago, as the tag `muck:expires` has it.
fn days_ago(days: i64) -> String {
    let time = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * days);
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

judged!(a_run_that_left_converted_files_is_kept_for_three_days_without_compute by local_cloud, moto);

fn a_run_that_left_converted_files_is_kept_for_three_days_without_compute(judge: &dyn Judge) {
    let sdk = judge.sdk();
    judge.machine().muck(&["up", "--stack", "left"]).exits(0);
    let body = aws_sdk_s3::primitives::ByteStream::from_static(b"film");
    let call = sdk
        .s3
        .put_object()
        .bucket(judge.access().bucket("left", "output"));
    sdk.run(call.key("media/a").body(body).send())
        .expect("puts");
    let yesterday = days_ago(1);
    let (worker, _) = sdk.start_instance(&piece("left", "worker", &yesterday), true);
    let end = |end: &str| {
        let tags = [("muck:expires", end), ("muck:on-expiry", "delete")];
        sdk.tag_stack("left", &tags);
    };
    end(&yesterday);
    sdk.muck_elsewhere(&["plan", "--stack", "other"])
        .exits(3)
        .says(&[
            "stack left, which a run left behind, has expired and holds converted files",
            "muck resume --stack left",
            "muck down --stack left",
        ]);
    sdk.wait_for_state(&worker, "terminated", SOON);
    let listed = || sdk.muck_elsewhere(&["ls", "--json", "--no-sweep"]).exits(0);
    let list = listed().json();
    assert_eq!(list["stacks"][0]["stack"], "left");
    assert_eq!(list["stacks"][0]["expired"], false);
    sdk.muck_elsewhere(&["down", "--all-expired", "--all-regions", "--yes"])
        .exits(0)
        .says(&["has expired"]);
    assert_eq!(listed().json()["stacks"][0]["stored"]["objects"], 1);

    end(&days_ago(4));
    let list = sdk.muck_elsewhere(&["ls", "--all-regions", "--json", "--no-sweep"]);
    let list = list.exits(0).json();
    let regions = list["regions"].as_array().expect("a list");
    let expired: Vec<_> = regions
        .iter()
        .flat_map(|region| region["stacks"].as_array().expect("a list"))
        .map(|stack| (stack["stack"].as_str(), stack["expired"].as_bool()))
        .collect();
    assert_eq!(expired, [(Some("left"), Some(true))]);
    sdk.muck_elsewhere(&[
        "down",
        "--all-expired",
        "--all-regions",
        "--yes",
        "--no-sweep",
    ])
    .exits(0)
    .says(&["nothing is left of stack left"]);
}

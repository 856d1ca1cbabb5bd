//! A stack from nothing to nothing.

use serde_json::Value;

use crate::harness::judge::{Judge, judged};

/// The steps of a plan that have this action.
fn count(plan: &Value, action: &str) -> usize {
    let steps = plan["steps"].as_array().expect("steps");
    steps.iter().filter(|step| step["action"] == action).count()
}

judged!(a_stack_comes_up_stays_and_goes by local_cloud, moto, moto_over_tls);

fn a_stack_comes_up_stays_and_goes(judge: &dyn Judge) {
    let (machine, account) = (judge.machine(), judge.account());
    assert_eq!(
        account.left_overs(),
        Vec::<String>::new(),
        "it is not ours alone"
    );
    let plan = machine.muck(&["plan", "--json"]).exits(3).json();
    assert_eq!(count(&plan, "create"), 7, "{plan}");
    assert_eq!(
        account.left_overs(),
        Vec::<String>::new(),
        "a plan made something"
    );
    machine
        .muck(&["status"])
        .exits(1)
        .says(&["stack muck is not up", "muck up"]);

    machine.muck(&["up"]).exits(0).says(&["created"]);
    let access = judge.access();
    let mut expected = vec![
        format!("bucket {}", access.bucket("muck", "input")),
        format!("bucket {}", access.bucket("muck", "output")),
        "role muck-muck-worker".to_owned(),
        "policy worker of role muck-muck-worker".to_owned(),
        "profile muck-muck-worker".to_owned(),
    ];
    expected.extend(
        ["input", "output", "failed"]
            .map(|one| format!("queue {}", judge.sdk().queue_url("muck", one))),
    );
    let mut made = account.left_overs();
    expected.sort();
    made.sort();
    assert_eq!(made, expected);

    // Once more from a machine that knows nothing, and nothing changes.
    let again = judge.machine().muck(&["up"]).exits(0);
    assert!(
        !again.stderr.contains("created") && !again.stderr.contains("changed"),
        "{again:?}"
    );
    let plan = machine.muck(&["plan", "--json"]).exits(0).json();
    assert_eq!(count(&plan, "keep"), 7, "{plan}");
    let list = machine.muck(&["ls", "--json"]).exits(0).json();
    let row = &list["stacks"][0];
    assert_eq!(
        (&row["stack"], &row["state"]),
        (&"muck".into(), &"up".into()),
        "{list}"
    );

    judge
        .machine()
        .muck(&["down", "--yes"])
        .exits(0)
        .says(&["nothing is left of stack muck"]);
    assert_eq!(account.left_overs(), Vec::<String>::new());
    machine
        .muck(&["down", "--yes"])
        .exits(0)
        .says(&["there was nothing to delete"]);
}

judged!(objects_versions_markers_and_uploads_go_too by local_cloud, moto);

fn objects_versions_markers_and_uploads_go_too(judge: &dyn Judge) {
    use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};

    let (machine, sdk) = (judge.machine(), judge.sdk());
    machine.muck(&["up"]).exits(0);
    let (input, output) = (
        judge.access().bucket("muck", "input"),
        judge.access().bucket("muck", "output"),
    );
    let put = |bucket: &str, key: &str| {
        let body = aws_sdk_s3::primitives::ByteStream::from_static(b"film");
        let call = sdk.s3.put_object().bucket(bucket).key(key).body(body);
        sdk.run(call.send()).expect("puts");
    };
    put(&input, "media/a");
    put(&input, "media/space and ünïcode & <xml>");
    let call = sdk
        .s3
        .create_multipart_upload()
        .bucket(&input)
        .key("media/b");
    sdk.run(call.send()).expect("begins");
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled);
    let call = sdk.s3.put_bucket_versioning().bucket(&output);
    sdk.run(call.versioning_configuration(enabled.build()).send())
        .expect("sets");
    put(&output, "media/c");
    put(&output, "media/c");
    let call = sdk.s3.delete_object().bucket(&output).key("media/c");
    sdk.run(call.send()).expect("marks");

    machine.muck(&["down"]).exits(2).says(&[
        "2 objects, 8 B, 1 unfinished upload",
        "2 objects, 8 B, 1 delete marker",
        "--yes",
    ]);
    machine
        .muck(&["down", "--yes", "--keep-data"])
        .exits(0)
        .says(&[
            "nothing is left of stack muck but what was to be kept",
            &input,
            &output,
        ]);
    let kept = judge.account().left_overs();
    assert_eq!(
        kept.iter()
            .filter(|line| line.starts_with("bucket "))
            .count(),
        2,
        "{kept:?}"
    );
    machine
        .muck(&["down", "--yes"])
        .exits(0)
        .says(&["nothing is left of stack muck."]);
    assert_eq!(judge.account().left_overs(), Vec::<String>::new());
}

judged!(an_address_makes_a_topic_which_goes_with_the_stack by local_cloud, moto, moto_over_tls);

fn an_address_makes_a_topic_which_goes_with_the_stack(judge: &dyn Judge) {
    let machine = judge.machine();
    machine.file("muck.toml", "email = \"you@example.org\"\n");
    machine.muck(&["up"]).exits(0);
    machine.muck(&["plan"]).exits(0);
    let left = judge.account().left_overs();
    assert!(
        left.iter().any(|line| line.ends_with(":muck-muck-notify")),
        "{left:?}"
    );
    // Without the address it stays as it is.
    judge.machine().muck(&["plan"]).exits(0);
    machine.muck(&["down", "--yes"]).exits(0);
    assert_eq!(judge.account().left_overs(), Vec::<String>::new());
}

//! `muck plan` tells what somebody changed behind its back, and `muck up` mends it.

use serde_json::Value;

use crate::harness::World;
use crate::harness::sdk::Sdk;

/// The changes that `plan` tells: `kind: attribute`, in its order.
fn changes(plan: &Value) -> Vec<String> {
    let steps = plan["steps"].as_array().expect("steps");
    let drifted = steps.iter().filter(|step| step["action"] == "change");
    drifted
        .flat_map(|step| {
            let changes = step["changes"].as_array().expect("changes");
            changes.iter().map(move |change| {
                let text = |value: &Value| value.as_str().expect("text").to_owned();
                format!("{}: {}", text(&step["kind"]), text(&change["attribute"]))
            })
        })
        .collect()
}

#[test]
fn every_drift_is_told_and_mended() {
    let world = World::without_booting();
    let plan = world.muck(&["plan", "--local", "--json"]).exits(3).json();
    let steps = plan["steps"].as_array().expect("steps");
    assert_eq!(steps.len(), 7);
    assert!(
        steps.iter().all(|step| step["action"] == "create"),
        "{plan}"
    );
    world.muck(&["up", "--local"]).exits(0);
    world.muck(&["plan", "--local"]).exits(0);

    let sdk = Sdk::of(&world);
    let (input, output) = (Sdk::bucket("muck", "input"), Sdk::bucket("muck", "output"));
    let drifts: [(&str, &dyn Fn()); 7] = [
        ("input-queue: VisibilityTimeout", &|| {
            let call = sdk.sqs.set_queue_attributes();
            let call = call.queue_url(sdk.queue_url("muck", "input")).attributes(
                aws_sdk_sqs::types::QueueAttributeName::VisibilityTimeout,
                "30",
            );
            sdk.run(call.send()).expect("sets");
        }),
        ("role: policy", &|| {
            let all = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
            let call = sdk.iam.put_role_policy().role_name("muck-muck-worker");
            sdk.run(call.policy_name("worker").policy_document(all).send())
                .expect("puts");
        }),
        ("output-bucket: public-access-block", &|| {
            let call = sdk.s3.delete_public_access_block().bucket(&output);
            sdk.run(call.send()).expect("deletes");
        }),
        ("output-queue: SqsManagedSseEnabled", &|| {
            let call = sdk.sqs.set_queue_attributes();
            let call = call.queue_url(sdk.queue_url("muck", "output")).attributes(
                aws_sdk_sqs::types::QueueAttributeName::SqsManagedSseEnabled,
                "false",
            );
            sdk.run(call.send()).expect("sets");
        }),
        ("input-bucket: lifecycle", &|| {
            let call = sdk.s3.delete_bucket_lifecycle().bucket(&input);
            sdk.run(call.send()).expect("deletes");
        }),
        ("failed-queue: tag muck:kind", &|| {
            let url = sdk.queue_url("muck", "failed");
            let call = sdk.sqs.untag_queue().queue_url(url).tag_keys("muck:kind");
            sdk.run(call.send()).expect("untags");
        }),
        ("role: tag muck:expires", &|| {
            let call = sdk.iam.untag_role().role_name("muck-muck-worker");
            sdk.run(call.tag_keys("muck:expires").send())
                .expect("untags");
        }),
    ];
    for (expected, change) in drifts {
        change();
        let plan = world.muck(&["plan", "--local", "--json"]).exits(3).json();
        assert_eq!(changes(&plan), [expected]);
        world.muck(&["up", "--local"]).exits(0).says(&["changed"]);
        world.muck(&["plan", "--local"]).exits(0);
    }

    // All together.
    for (_, change) in drifts {
        change();
    }
    let read = world.muck(&["plan", "--local"]).exits(3);
    assert!(
        read.stdout
            .contains("    VisibilityTimeout\n      - 30\n      + 120\n"),
        "{}",
        read.stdout
    );
    let plan = world.muck(&["plan", "--local", "--json"]).exits(3).json();
    assert_eq!(changes(&plan).len(), drifts.len());
    world.muck(&["up", "--local"]).exits(0);
    world.muck(&["plan", "--local"]).exits(0);
}

/// Has the stack's name but not its tag: never touched, and told so.
#[test]
fn what_is_not_ours_is_left_as_it_is() {
    let world = World::without_booting();
    world.muck(&["plan", "--local"]).exits(3);
    let sdk = Sdk::of(&world);
    let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
    let call = sdk.iam.create_role().role_name("muck-muck-worker");
    sdk.run(call.assume_role_policy_document(trust).send())
        .expect("creates");
    let call = sdk.sqs.create_queue().queue_name("muck-muck-input");
    sdk.run(call.tags("muck:stack", "other").send())
        .expect("creates");
    for command in ["plan", "up"] {
        world.muck(&[command, "--local"]).exits(1).says(&[
            "role muck-muck-worker exists but does not carry the tag muck:stack = muck: it is not touched",
            "input queue muck-muck-input exists but does not carry the tag",
            "choose another stack name (--stack)",
        ]);
    }
    world
        .muck(&["down", "--local", "--yes"])
        .exits(0)
        .says(&["does not carry this stack's tag: not touched"]);
    let call = sdk.iam.get_role().role_name("muck-muck-worker");
    let role = sdk
        .run(call.send())
        .expect("is there")
        .role
        .expect("a role");
    assert!(role.tags().is_empty());
    sdk.queue_url("muck", "input");
}

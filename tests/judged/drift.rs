//! `muck plan` tells what somebody changed behind its back, and `muck up` mends it.

use serde_json::Value;

use crate::harness::judge::{Judge, judged};

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

judged!(every_drift_is_told_and_mended by local_cloud, moto, moto_over_tls);

fn every_drift_is_told_and_mended(judge: &dyn Judge) {
    let machine = judge.machine();
    let plan = machine.muck(&["plan", "--json"]).exits(3).json();
    let steps = plan["steps"].as_array().expect("steps");
    assert_eq!(steps.len(), 7);
    assert!(
        steps.iter().all(|step| step["action"] == "create"),
        "{plan}"
    );
    machine.muck(&["up"]).exits(0);
    machine.muck(&["plan"]).exits(0);

    let (sdk, access) = (judge.sdk(), judge.access());
    let (input, output) = (
        access.bucket("muck", "input"),
        access.bucket("muck", "output"),
    );
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
    let policies = || {
        let call = sdk.s3.delete_bucket_policy().bucket(&input);
        sdk.run(call.send()).expect("deletes");
    };
    let open = || {
        let all = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"sqs:*","Resource":"*"}]}"#;
        let call = sdk.sqs.set_queue_attributes();
        let call = call
            .queue_url(sdk.queue_url("muck", "input"))
            .attributes(aws_sdk_sqs::types::QueueAttributeName::Policy, all);
        sdk.run(call.send()).expect("sets");
    };
    let mut drifts = drifts.to_vec();
    if judge.is_encrypted() {
        drifts.extend([
            ("input-bucket: policy", &policies as &dyn Fn()),
            ("input-queue: Policy", &open),
        ]);
    }
    for (expected, change) in &drifts {
        change();
        let plan = machine.muck(&["plan", "--json"]).exits(3).json();
        let mut told = changes(&plan);
        if !judge.keeps_policies_of_queues() && told.len() > 1 {
            told.retain(|change| !change.ends_with("-queue: Policy"));
        }
        assert_eq!(told, [*expected]);
        machine.muck(&["up"]).exits(0).says(&["changed"]);
        machine.muck(&["plan"]).exits(0);
    }

    // All together.
    for (_, change) in &drifts {
        change();
    }
    let read = machine.muck(&["plan"]).exits(3);
    assert!(
        read.stdout
            .contains("    VisibilityTimeout\n      - 30\n      + 120\n"),
        "{}",
        read.stdout
    );
    let plan = machine.muck(&["plan", "--json"]).exits(3).json();
    let told = changes(&plan);
    for (expected, _) in &drifts {
        assert!(told.iter().any(|change| change == expected), "{told:?}");
    }
    if judge.keeps_policies_of_queues() {
        assert_eq!(told.len(), drifts.len(), "{told:?}");
    }
    machine.muck(&["up"]).exits(0);
    machine.muck(&["plan"]).exits(0);
}

judged!(what_is_not_ours_is_left_as_it_is by local_cloud, moto, moto_over_tls);

/// Has the stack's name but not its tag: never touched, and told so.
fn what_is_not_ours_is_left_as_it_is(judge: &dyn Judge) {
    let (machine, sdk) = (judge.machine(), judge.sdk());
    let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
    let call = sdk.iam.create_role().role_name("muck-muck-worker");
    sdk.run(call.assume_role_policy_document(trust).send())
        .expect("creates");
    let call = sdk.sqs.create_queue().queue_name("muck-muck-input");
    sdk.run(call.tags("muck:stack", "other").send())
        .expect("creates");
    for command in ["plan", "up"] {
        machine.muck(&[command]).exits(1).says(&[
            "role muck-muck-worker exists but does not carry the tag muck:stack = muck: it is not touched",
            "input queue muck-muck-input exists but does not carry the tag",
            "choose another stack name (--stack)",
        ]);
    }
    machine
        .muck(&["down", "--yes"])
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

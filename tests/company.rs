//! A company's account: tags that it demands, and calls that it denies.

use serde_json::json;

use crate::harness::World;
use crate::harness::faults::Faults;
use crate::harness::machine::{Access, Machine};
use crate::harness::sdk::{BASE, Sdk};

const TAGS: &str = "[tags]\ncost-center = \"4711\"\nOwner = \"ann@example.org\"\n";

/// `KEY=VALUE` of the two tags in [`TAGS`], as far as they are there.
fn own(tags: impl IntoIterator<Item = (String, String)>) -> Vec<String> {
    let mut own: Vec<String> = tags
        .into_iter()
        .filter(|(key, _)| !key.starts_with("muck:") && key != "Name")
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    own.sort();
    own
}

#[test]
fn a_companys_tags_are_on_everything_and_converge() {
    let world = World::without_booting();
    world.file("muck.toml", TAGS);
    world.muck(&["up", "--local"]).exits(0);
    world.muck(&["launch", "--local", "--image", BASE]).exits(0);
    let wanted = ["Owner=ann@example.org", "cost-center=4711"];
    let sdk = Sdk::of(&world);
    for kind in ["instance", "volume"] {
        let filter = aws_sdk_ec2::types::Filter::builder()
            .name("resource-type")
            .values(kind)
            .build();
        let found = sdk
            .run(sdk.ec2.describe_tags().filters(filter).send())
            .expect("tags");
        let tags = found.tags().iter().map(|tag| {
            let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
            (text(tag.key()), text(tag.value()))
        });
        assert_eq!(own(tags), wanted, "{kind}");
    }
    let bucket = |purpose: &str| {
        let bucket = Sdk::bucket("muck", purpose);
        let found = sdk
            .run(sdk.s3.get_bucket_tagging().bucket(bucket).send())
            .expect("tags");
        own(found
            .tag_set()
            .iter()
            .map(|tag| (tag.key.clone(), tag.value.clone())))
    };
    let queue = |purpose: &str| {
        let url = sdk.queue_url("muck", purpose);
        let found = sdk
            .run(sdk.sqs.list_queue_tags().queue_url(url).send())
            .expect("tags");
        own(found.tags.unwrap_or_default())
    };
    let role = || {
        let found = sdk
            .run(sdk.iam.get_role().role_name("muck-muck-worker").send())
            .expect("the role");
        let role = found.role.expect("the role");
        own(role
            .tags()
            .iter()
            .map(|tag| (tag.key.clone(), tag.value.clone())))
    };
    let profile = || {
        let call = sdk.iam.get_instance_profile();
        let found = sdk
            .run(call.instance_profile_name("muck-muck-worker").send())
            .expect("the profile");
        let profile = found.instance_profile.expect("the profile");
        own(profile
            .tags()
            .iter()
            .map(|tag| (tag.key.clone(), tag.value.clone())))
    };
    let all = || {
        let mut all = vec![role(), profile()];
        all.extend(["input", "output"].map(bucket));
        all.extend(["input", "output", "failed"].map(queue));
        all
    };
    assert_eq!(all(), vec![wanted; 7]);

    world.file("muck.toml", TAGS.replace("4711", "4712"));
    let plan = world.muck(&["plan", "--local"]).exits(3);
    assert!(
        plan.stdout.contains("+ cost-center=4712"),
        "{}",
        plan.stdout
    );
    world.muck(&["up", "--local"]).exits(0);
    world.muck(&["plan", "--local"]).exits(0);
    assert_eq!(
        all(),
        vec![["Owner=ann@example.org", "cost-center=4712"]; 7]
    );
}

#[test]
fn reserved_tags_are_refused_before_anything_is_asked() {
    let world = World::without_booting();
    world.file("muck.toml", "[tags]\n\"muck:stack\" = \"films\"\n");
    world
        .muck(&["up", "--local"])
        .exits(2)
        .says(&["muck:stack", "reserved"]);
}

/// Somebody who may do all that the organization does not deny.
fn denied(world: &World, actions: &[&str]) -> Machine {
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": actions, "Resource": "*"},
    ]});
    let keys = Faults::of(world).user("ann", &policy);
    Machine::new(&Access::of(world).with_keys(&keys), "ann").patient()
}

#[test]
fn an_organization_that_denies_bucket_settings_does_no_harm() {
    let world = World::without_booting();
    world.muck(&["plan", "--local"]).exits(3);
    let machine = denied(
        &world,
        &[
            "s3:PutBucketOwnershipControls",
            "s3:PutBucketPublicAccessBlock",
            "s3:PutEncryptionConfiguration",
        ],
    );
    machine.muck(&["up"]).exits(0);
    machine.muck(&["plan"]).exits(0);
}

#[test]
fn without_mail_an_organization_may_deny_sns() {
    let world = World::without_booting();
    world.muck(&["plan", "--local"]).exits(3);
    let machine = denied(&world, &["sns:*"]);
    for line in ["up", "plan", "ls", "launch --image", "down --yes"] {
        let mut words: Vec<&str> = line.split(' ').collect();
        if line.starts_with("launch") {
            words.push(BASE);
        }
        machine.muck(&words).exits(0);
    }
    // Another stack: SQS refuses names of queues that were just deleted.
    machine.file(
        "muck.toml",
        "stack = \"mail\"\nemail = \"ann@example.org\"\n",
    );
    machine.muck(&["up"]).exits(1).says(&["AuthorizationError"]);
}

//! IAM and STS through the real SDK clients.

use aws_sdk_iam::types::Tag;

use crate::harness::{Cloud, code};

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
    "Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
const POLICY: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sqs:*","Resource":"*"}]}"#;

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build().unwrap()
}

#[tokio::test]
async fn a_role_and_its_profile_from_create_to_delete() {
    let cloud = Cloud::start().await;
    let iam = cloud.iam();
    let create = || {
        iam.create_role()
            .role_name("muck-a-worker")
            .path("/muck/a/")
            .assume_role_policy_document(TRUST)
            .tags(tag("muck:stack", "a"))
            .send()
    };
    let role = create().await.unwrap().role.unwrap();
    assert_eq!(
        role.arn(),
        "arn:aws:iam::000000000000:role/muck/a/muck-a-worker"
    );
    assert!(role.role_id().starts_with("AROA"));
    assert_eq!(role.tags(), [tag("muck:stack", "a")]);
    assert_eq!(code(create().await), "EntityAlreadyExists");

    iam.put_role_policy()
        .role_name("muck-a-worker")
        .policy_name("worker")
        .policy_document(POLICY)
        .send()
        .await
        .unwrap();
    let policy = iam
        .get_role_policy()
        .role_name("muck-a-worker")
        .policy_name("worker")
        .send()
        .await
        .unwrap();
    // Percent-encoded, as IAM returns documents.
    assert!(policy.policy_document().starts_with("%7B%22Version%22"));
    let names = iam
        .list_role_policies()
        .role_name("muck-a-worker")
        .send()
        .await
        .unwrap();
    assert_eq!(names.policy_names(), ["worker"]);

    iam.create_instance_profile()
        .instance_profile_name("muck-a-worker")
        .path("/muck/a/")
        .tags(tag("muck:stack", "a"))
        .send()
        .await
        .unwrap();
    let add = || {
        iam.add_role_to_instance_profile()
            .instance_profile_name("muck-a-worker")
            .role_name("muck-a-worker")
            .send()
    };
    add().await.unwrap();
    assert_eq!(code(add().await), "LimitExceeded");
    let profile = iam
        .get_instance_profile()
        .instance_profile_name("muck-a-worker")
        .send()
        .await
        .unwrap()
        .instance_profile
        .unwrap();
    assert_eq!(
        profile.arn(),
        "arn:aws:iam::000000000000:instance-profile/muck/a/muck-a-worker"
    );
    assert_eq!(profile.roles()[0].role_name(), "muck-a-worker");

    // The safe order, and what stands in the way of any other.
    let delete_role = || iam.delete_role().role_name("muck-a-worker").send();
    let delete_profile = || {
        iam.delete_instance_profile()
            .instance_profile_name("muck-a-worker")
            .send()
    };
    assert_eq!(code(delete_role().await), "DeleteConflict");
    assert_eq!(code(delete_profile().await), "DeleteConflict");
    iam.remove_role_from_instance_profile()
        .instance_profile_name("muck-a-worker")
        .role_name("muck-a-worker")
        .send()
        .await
        .unwrap();
    delete_profile().await.unwrap();
    assert_eq!(code(delete_profile().await), "NoSuchEntity");
    assert_eq!(code(delete_role().await), "DeleteConflict");
    iam.delete_role_policy()
        .role_name("muck-a-worker")
        .policy_name("worker")
        .send()
        .await
        .unwrap();
    delete_role().await.unwrap();
    assert_eq!(code(delete_role().await), "NoSuchEntity");
    cloud.shutdown().await;
}

#[tokio::test]
async fn lists_by_path_in_pages() {
    let cloud = Cloud::start().await;
    let iam = cloud.iam();
    for (name, path) in [
        ("b", "/muck/x/"),
        ("A", "/muck/x/"),
        ("c", "/muck/y/"),
        ("d", "/muck/x/"),
    ] {
        iam.create_role()
            .role_name(name)
            .path(path)
            .assume_role_policy_document(TRUST)
            .send()
            .await
            .unwrap();
        iam.create_instance_profile()
            .instance_profile_name(name)
            .path(path)
            .send()
            .await
            .unwrap();
    }
    let roles: Vec<String> = iam
        .list_roles()
        .path_prefix("/muck/x/")
        .max_items(2)
        .into_paginator()
        .items()
        .send()
        .collect::<Result<Vec<_>, _>>()
        .await
        .unwrap()
        .iter()
        .map(|role| role.role_name().to_owned())
        .collect();
    assert_eq!(roles, ["A", "b", "d"]);
    let profiles = iam
        .list_instance_profiles()
        .path_prefix("/muck/y/")
        .send()
        .await
        .unwrap();
    assert_eq!(profiles.instance_profiles()[0].instance_profile_name(), "c");
    assert_eq!(profiles.instance_profiles().len(), 1);
    cloud.shutdown().await;
}

#[tokio::test]
async fn tags_and_trust_can_be_changed() {
    let cloud = Cloud::start().await;
    let iam = cloud.iam();
    iam.create_role()
        .role_name("r")
        .assume_role_policy_document(TRUST)
        .send()
        .await
        .unwrap();
    iam.tag_role()
        .role_name("r")
        .tags(tag("a", "1"))
        .tags(tag("b", "2"))
        .send()
        .await
        .unwrap();
    iam.untag_role()
        .role_name("r")
        .tag_keys("a")
        .send()
        .await
        .unwrap();
    let tags = iam.list_role_tags().role_name("r").send().await.unwrap();
    assert_eq!(tags.tags(), [tag("b", "2")]);
    let other = TRUST.replace("ec2.", "lambda.");
    iam.update_assume_role_policy()
        .role_name("r")
        .policy_document(&other)
        .send()
        .await
        .unwrap();
    let role = iam
        .get_role()
        .role_name("r")
        .send()
        .await
        .unwrap()
        .role
        .unwrap();
    assert!(
        role.assume_role_policy_document()
            .unwrap()
            .contains("lambda.amazonaws.com")
    );
    assert_eq!(
        code(
            iam.update_assume_role_policy()
                .role_name("r")
                .policy_document("{")
                .send()
                .await
        ),
        "MalformedPolicyDocument"
    );
    let attached = iam
        .list_attached_role_policies()
        .role_name("r")
        .send()
        .await
        .unwrap();
    assert!(attached.attached_policies().is_empty());
    cloud.shutdown().await;
}

#[tokio::test]
async fn what_is_not_known_is_named() {
    let cloud = Cloud::start().await;
    let iam = cloud.iam();
    let with_boundary = iam
        .create_role()
        .role_name("r")
        .assume_role_policy_document(TRUST)
        .permissions_boundary("arn:aws:iam::aws:policy/x")
        .send()
        .await;
    assert_eq!(code(with_boundary), "UnknownParameter");
    assert_eq!(
        code(iam.get_role().role_name("r").send().await),
        "NoSuchEntity"
    );
    assert_eq!(code(iam.list_users().send().await), "InvalidAction");
    assert_eq!(
        code(iam.get_role().role_name("no/slash").send().await),
        "ValidationError"
    );
    cloud.shutdown().await;
}

#[tokio::test]
async fn sts_says_who_calls() {
    let cloud = Cloud::start().await;
    let identity = cloud.sts().get_caller_identity().send().await.unwrap();
    assert_eq!(identity.account(), Some("000000000000"));
    assert_eq!(identity.arn(), Some("arn:aws:iam::000000000000:root"));
    assert_eq!(identity.user_id(), Some("000000000000"));
    cloud.shutdown().await;
}

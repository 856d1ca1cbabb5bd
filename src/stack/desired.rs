//! What a stack shall be, from its settings and names. Pure. Every constant says why.

use serde::Serialize;
use serde_json::json;

use super::inventory::Inventory;
use crate::config::Config;
use crate::error::Result;
use crate::lifetime::{self, Lifetime, OnExpiry};
use crate::names::{Names, ResourceKind, ec2_service};
use crate::resources::policy::canonical;
use crate::resources::{Attributes, Tags, bucket, instance_profile, queue, role, topic};
use crate::template::render;

/// A worker extends the visibility of what it works on, so this is not the longest conversion: it
/// is how long the work of a worker that died waits for another. Four missed heartbeats of 30 s.
const INPUT_VISIBILITY_SECONDS: u32 = 120;
/// Between reading a result and deleting it lie one download and one row in the ledger; the reader
/// extends it for long downloads.
const OUTPUT_VISIBILITY_SECONDS: u32 = 120;
/// SQS's longest: fewest empty answers, and an answer at once when a message comes.
const LONG_POLL_SECONDS: u32 = 20;
/// Dead workers cost a file two tries; a file that kills three workers is not tried on a fourth.
pub(crate) const MAX_RECEIVES: u32 = 3;
/// SQS's default: what is not converted in 4 days was forgotten.
const INPUT_RETENTION_SECONDS: u32 = 4 * 24 * 3600;
/// SQS's longest. A result not fetched is work lost.
const OUTPUT_RETENTION_SECONDS: u32 = 14 * 24 * 3600;
/// SQS's longest, and it must be longer than the input queue's: a dead letter keeps the age it had
/// there, so with equal retention one that died on its last day would vanish at once.
const FAILED_RETENTION_SECONDS: u32 = 14 * 24 * 3600;

const WORKER_POLICY: &str = include_str!("../../templates/worker-policy.json.hbs");
const ASSUME_ROLE: &str = include_str!("../../templates/assume-role.json.hbs");

/// One thing as it shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    pub kind: ResourceKind,
    pub name: String,
    pub attributes: Attributes,
    pub tags: Tags,
}

/// The whole stack as it shall be.
///
/// The topic is wanted if a mail address is set, or if it is there: a `launch --email` may have
/// made it, and an `up` without that address must not silence it. Subscribers are only ever added.
///
/// `encrypted`: whether this cloud is reached over TLS. Buckets and queues of one that is not (an
/// endpoint on this machine) get no policy that demands TLS, which would lock us out ourselves.
pub fn desired(
    config: &Config,
    names: &Names,
    inventory: &Inventory,
    lifetime: Lifetime,
    encrypted: bool,
) -> Result<Vec<Desired>> {
    let subscribers = subscribers(config, inventory);
    ResourceKind::STACK
        .into_iter()
        .filter(|kind| *kind != ResourceKind::Topic || subscribers.is_some())
        .map(|kind| {
            let name = names.of(kind);
            let mut attributes = match kind {
                ResourceKind::InputBucket | ResourceKind::OutputBucket => {
                    bucket(names, &name, object_days(config, inventory, kind))
                }
                ResourceKind::InputQueue => input_queue(names, &name),
                ResourceKind::OutputQueue => queue(
                    names,
                    &name,
                    OUTPUT_VISIBILITY_SECONDS,
                    OUTPUT_RETENTION_SECONDS,
                ),
                ResourceKind::FailedQueue => queue(
                    names,
                    &name,
                    INPUT_VISIBILITY_SECONDS,
                    FAILED_RETENTION_SECONDS,
                ),
                ResourceKind::Role => worker_role(names, subscribers.is_some())?,
                ResourceKind::InstanceProfile => {
                    Attributes::from([(instance_profile::ROLE, names.worker_role())])
                }
                _ => topic_attributes(subscribers.as_deref().unwrap_or_default()),
            };
            if !encrypted && kind != ResourceKind::Role {
                attributes.remove(bucket::POLICY);
                attributes.remove(queue::POLICY);
            }
            let tags = names.tags(kind).into_iter().chain(lifetime.tags());
            Ok(Desired {
                kind,
                name,
                attributes,
                tags: tags.collect(),
            })
        })
        .collect()
}

/// Who shall be told; `None`: there is no topic.
fn subscribers(config: &Config, inventory: &Inventory) -> Option<Vec<String>> {
    let existing = inventory.0.get(&ResourceKind::Topic);
    if existing.is_none() && config.email.is_none() {
        return None;
    }
    let mut all: Vec<String> = existing
        .and_then(|topic| topic.attributes.get(topic::SUBSCRIBERS))
        .map(|text| text.split(',').map(str::to_owned).collect())
        .unwrap_or_default();
    all.extend(config.email.clone());
    all.sort();
    all.dedup();
    Some(all)
}

fn topic_attributes(subscribers: &[String]) -> Attributes {
    if subscribers.is_empty() {
        return Attributes::new();
    }
    Attributes::from([(topic::SUBSCRIBERS, subscribers.join(","))])
}

/// After how many days S3 deletes the bucket's objects: a run's, which may die with nobody to clean up. Never sooner than
/// was set before, for objects that are there by then.
fn object_days(config: &Config, inventory: &Inventory, kind: ResourceKind) -> Option<u32> {
    if config.on_expiry == OnExpiry::Keep {
        return None;
    }
    let existing = inventory.0.get(&kind);
    let existing = existing.and_then(|found| found.attributes.get(bucket::LIFECYCLE));
    let before = existing.and_then(|lifecycle| bucket::object_days(lifecycle));
    Some(lifetime::object_days(config.ttl)).max(before)
}

fn bucket(names: &Names, name: &str, object_days: Option<u32>) -> Attributes {
    let arn = names.bucket_arn(name);
    let resources = [arn.clone(), format!("{arn}/*")];
    Attributes::from([
        (
            bucket::PUBLIC_ACCESS_BLOCK,
            bucket::ALL_PUBLIC_ACCESS_BLOCKED.to_owned(),
        ),
        (bucket::OWNERSHIP, "BucketOwnerEnforced".to_owned()),
        (bucket::ENCRYPTION, "AES256".to_owned()),
        (bucket::LIFECYCLE, bucket::lifecycle_after(object_days)),
        (bucket::POLICY, tls_only("s3:*", &json!(resources))),
    ])
}

fn queue(names: &Names, name: &str, visibility: u32, retention: u32) -> Attributes {
    Attributes::from([
        (queue::VISIBILITY_TIMEOUT, visibility.to_string()),
        (queue::MESSAGE_RETENTION, retention.to_string()),
        (queue::RECEIVE_WAIT, LONG_POLL_SECONDS.to_string()),
        (queue::ENCRYPTION, "true".to_owned()),
        (
            queue::POLICY,
            tls_only("sqs:*", &json!(names.queue_arn(name))),
        ),
    ])
}

fn input_queue(names: &Names, name: &str) -> Attributes {
    let mut attributes = queue(
        names,
        name,
        INPUT_VISIBILITY_SECONDS,
        INPUT_RETENTION_SECONDS,
    );
    let redrive = json!({
        "deadLetterTargetArn": names.queue_arn(&names.failed_queue()),
        "maxReceiveCount": MAX_RECEIVES,
    });
    attributes.insert(queue::REDRIVE, canonical(&redrive.to_string()));
    attributes
}

/// A resource policy that grants nothing and denies all that comes unencrypted.
fn tls_only(action: &str, resource: &serde_json::Value) -> String {
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": action,
            "Resource": resource,
            "Condition": { "Bool": { "aws:SecureTransport": "false" } },
        }],
    });
    canonical(&policy.to_string())
}

/// What the worker's policy template is rendered with.
#[derive(Serialize)]
struct PolicyData {
    account: String,
    input_bucket_arn: String,
    output_bucket_arn: String,
    input_queue_arn: String,
    output_queue_arn: String,
    failed_queue_arn: String,
    topic_arn: Option<String>,
}

fn worker_role(names: &Names, mails: bool) -> Result<Attributes> {
    Ok(Attributes::from([
        (role::TRUST, canonical(&worker_trust(names)?)),
        (role::POLICY, canonical(&worker_policy(names, mails)?)),
    ]))
}

/// Who may take the worker's role: the policy as JSON.
pub fn worker_trust(names: &Names) -> Result<String> {
    let ec2_service = ec2_service(&names.region);
    let data = json!({ "ec2_service": ec2_service });
    render("assume-role.json.hbs", ASSUME_ROLE, &data)
}

/// What the worker's role may do: the policy as JSON. `mails`: also tell a topic.
pub fn worker_policy(names: &Names, mails: bool) -> Result<String> {
    let data = PolicyData {
        account: names.account.clone(),
        input_bucket_arn: names.bucket_arn(&names.input_bucket()),
        output_bucket_arn: names.bucket_arn(&names.output_bucket()),
        input_queue_arn: names.queue_arn(&names.input_queue()),
        output_queue_arn: names.queue_arn(&names.output_queue()),
        failed_queue_arn: names.queue_arn(&names.failed_queue()),
        topic_arn: mails.then(|| names.topic_arn()),
    };
    render("worker-policy.json.hbs", WORKER_POLICY, &data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role_in(region: &str, mails: bool) -> Attributes {
        let names = Names {
            stack: "demo".parse().expect("valid"),
            account: "123456789012".into(),
            region: region.into(),
            extra_tags: std::collections::BTreeMap::new(),
        };
        worker_role(&names, mails).expect("renders")
    }

    fn pretty(text: &str) -> String {
        let value: serde_json::Value = serde_json::from_str(text).expect("valid JSON");
        serde_json::to_string_pretty(&value).expect("writes")
    }

    #[test]
    fn the_worker_may_do_this_and_no_more() {
        insta::assert_snapshot!(pretty(&role_in("eu-west-1", true)[role::POLICY]));
    }

    #[test]
    fn only_instances_may_take_the_role() {
        insta::assert_snapshot!(pretty(&role_in("eu-west-1", false)[role::TRUST]));
        assert!(role_in("cn-north-1", false)[role::TRUST].contains("ec2.amazonaws.com.cn"));
        assert!(role_in("cn-north-1", false)[role::POLICY].contains("arn:aws-cn:sqs:cn-north-1:"));
    }

    /// Every statement is bound to TLS, to our own account and to IMDSv2; without a topic none
    /// speaks of SNS.
    #[test]
    fn every_statement_carries_the_conditions() {
        for mails in [false, true] {
            let policy: serde_json::Value =
                serde_json::from_str(&role_in("eu-west-1", mails)[role::POLICY]).expect("JSON");
            let statements = policy["Statement"].as_array().expect("a list");
            assert_eq!(statements.len(), 8 + usize::from(mails));
            for statement in statements {
                let condition = &statement["Condition"];
                assert_eq!(
                    condition["Bool"]["aws:SecureTransport"], "true",
                    "{statement}"
                );
                assert_eq!(
                    condition["StringEquals"]["aws:ResourceAccount"],
                    "123456789012"
                );
                assert_eq!(
                    condition["NumericGreaterThanEquals"]["ec2:RoleDelivery"],
                    "2.0"
                );
                assert!(
                    !statement["Resource"].to_string().contains("\"*\""),
                    "{statement}"
                );
            }
        }
    }

    #[test]
    fn dead_letters_outlive_what_dies_on_its_last_day() {
        const { assert!(FAILED_RETENTION_SECONDS > INPUT_RETENTION_SECONDS) };
    }
}

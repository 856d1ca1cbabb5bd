//! Every policy that muck writes or prints passes two public linters. A further one of a stack is added to
//! [`rendered`], a further one for people to [`printed`].

use clap::ValueEnum as _;
use muck::config::{Config, Overrides};
use muck::lifetime::{Lifetime, OnExpiry};
use muck::names::{Names, ResourceKind};
use muck::permissions::{Command, Scope, policy};
use muck::resources::{bucket, queue, role};
use muck::stack::desired::{Desired, desired};
use muck::stack::inventory::Inventory;

use crate::harness::linter::{Kind, Policy, findings};

/// One region of each of AWS's partitions that stacks can be in.
const REGIONS: [&str; 3] = ["eu-west-1", "cn-north-1", "us-gov-west-1"];

/// The stack of `region` as it shall be, over TLS as with AWS.
fn stack(region: &str, mails: bool) -> Vec<Desired> {
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = folder.path().join("muck.toml");
    let email = if mails {
        "email = \"you@example.org\"\n"
    } else {
        ""
    };
    std::fs::write(&file, format!("stack = \"demo\"\n{email}")).expect("settings");
    let overrides = Overrides {
        file: Some(file),
        ..Overrides::default()
    };
    let config = Config::load(&overrides).expect("valid settings");
    let names = Names {
        stack: config.stack.clone(),
        account: "123456789012".into(),
        region: region.into(),
        extra_tags: std::collections::BTreeMap::new(),
    };
    let lifetime = Lifetime {
        expires: "2026-01-02T03:04:05Z".parse().expect("a time"),
        on_expiry: OnExpiry::Keep,
    };
    desired(&config, &names, &Inventory::default(), lifetime, true).expect("renders")
}

/// All policies of a stack.
fn rendered(region: &str, mails: bool) -> Vec<Policy> {
    let mut policies = Vec::new();
    for thing in stack(region, mails) {
        let attributes: &[(&str, Kind)] = match thing.kind {
            ResourceKind::InputBucket | ResourceKind::OutputBucket => {
                &[(bucket::POLICY, Kind::Bucket)]
            }
            ResourceKind::InputQueue | ResourceKind::OutputQueue | ResourceKind::FailedQueue => {
                &[(queue::POLICY, Kind::Queue)]
            }
            ResourceKind::Role => &[(role::POLICY, Kind::Identity), (role::TRUST, Kind::Trust)],
            _ => &[],
        };
        for (attribute, kind) in attributes {
            policies.push(Policy {
                name: format!(
                    "{region}, {}: {attribute}{}",
                    thing.kind,
                    if mails { ", with mails" } else { "" }
                ),
                kind: *kind,
                document: thing.attributes[attribute].clone(),
            });
        }
    }
    policies
}

/// What `muck permissions` prints: for each command and for all of them, open and for one stack.
fn printed() -> Vec<Policy> {
    let debian = || vec!["136693071363".to_owned()];
    let open = Scope {
        base_owners: debian(),
        ..Scope::default()
    };
    let one_stack = Scope {
        stack: Some("demo".parse().expect("a stack's name")),
        account: Some("123456789012".into()),
        region: Some("eu-west-1".into()),
        base_owners: debian(),
    };
    let commands = Command::value_variants();
    let mut policies = Vec::new();
    for (place, scope) in [("anywhere", &open), ("one stack", &one_stack)] {
        let each = commands
            .iter()
            .map(|command| (command.name(), std::slice::from_ref(command)));
        for (name, commands) in each.chain([("all commands".to_owned(), commands)]) {
            policies.push(Policy {
                name: format!("muck permissions: {name}, {place}"),
                kind: Kind::Identity,
                document: serde_json::to_string(&policy(scope, commands)).expect("JSON"),
            });
        }
    }
    policies
}

#[test]
fn linters_find_nothing_in_them() {
    let mut policies: Vec<Policy> = REGIONS
        .iter()
        .flat_map(|region| [rendered(region, false), rendered(region, true)].concat())
        .collect();
    // Two buckets, three queues, the role's two.
    assert_eq!(policies.len(), REGIONS.len() * 2 * 7);
    policies.extend(printed());
    let found = findings(&policies);
    assert!(found.is_empty(), "{found:#?}");
}

/// What the test above would say if it were not so: each of these is one slip in an otherwise right policy.
#[test]
fn linters_find_slips() {
    let right = rendered("eu-west-1", true);
    let spoilt = |kind: Kind, from: &str, to: &str| {
        let policy = right.iter().find(|policy| policy.kind == kind);
        let mut policy = policy.expect("there is one").clone();
        let changed = policy.document.replacen(from, to, 1);
        assert_ne!(policy.document, changed, "no {from}: change this test too");
        policy.document = changed;
        policy.name = format!("{from} → {to}");
        policy
    };
    let slips = [
        // A misspelt action.
        (
            Kind::Identity,
            "sqs:DeleteMessage",
            "sqs:DeleteMesage",
            &["parliament", "cfn-lint"][..],
        ),
        (
            Kind::Trust,
            "sts:AssumeRole",
            "sts:AssumRole",
            &["cfn-lint"],
        ),
        // An action on objects, on a topic.
        (
            Kind::Identity,
            "sns:Publish",
            "s3:PutObject",
            &["parliament"],
        ),
        // A condition key that the action has not, and an operator that there is not.
        (
            Kind::Identity,
            "ec2:RoleDelivery",
            "ec2:SourceInstance",
            &["parliament"],
        ),
        (
            Kind::Identity,
            "NumericGreaterThanEquals",
            "NumericGreaterEquals",
            &["parliament", "cfn-lint"],
        ),
        (
            Kind::Bucket,
            "\"Deny\"",
            "\"Denied\"",
            &["parliament", "cfn-lint"],
        ),
        (
            Kind::Queue,
            "\"Principal\"",
            "\"Principle\"",
            &["parliament", "cfn-lint"],
        ),
        (
            Kind::Bucket,
            "2012-10-17",
            "2012-10-71",
            &["parliament", "cfn-lint"],
        ),
    ];
    let policies = slips.map(|(kind, from, to, _)| spoilt(kind, from, to));
    let found = findings(&policies);
    for (policy, (_, _, _, linters)) in policies.iter().zip(slips) {
        for linter in linters {
            assert!(
                found
                    .iter()
                    .any(|finding| finding.name == policy.name && finding.linter == *linter),
                "{linter} does not see {}: {found:?}",
                policy.name
            );
        }
    }
}

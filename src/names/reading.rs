//! The way back: whose a thing is, by its name alone. What a name says is a guess until the
//! thing's tags confirm it.

use super::{ResourceKind, StackName};

/// Every name of ours begins so.
pub const PREFIX: &str = "muck-";
/// The IAM path below which all our roles and instance profiles are.
pub const IAM_ROOT: &str = "/muck/";

/// Of a bucket of this account and region.
pub fn bucket_owner(name: &str, account: &str, region: &str) -> Option<(StackName, ResourceKind)> {
    let place = format!("-{account}-{region}-an");
    let name = name.strip_prefix(PREFIX)?.strip_suffix(&place)?;
    by_suffix(
        name,
        &[
            ("-input", ResourceKind::InputBucket),
            ("-output", ResourceKind::OutputBucket),
        ],
    )
}

pub fn queue_owner(name: &str) -> Option<(StackName, ResourceKind)> {
    by_suffix(
        name.strip_prefix(PREFIX)?,
        &[
            ("-input", ResourceKind::InputQueue),
            ("-output", ResourceKind::OutputQueue),
            ("-failed", ResourceKind::FailedQueue),
        ],
    )
}

/// Of a role or instance profile.
pub fn iam_owner(path: &str, name: &str) -> Option<StackName> {
    let (stack, _) = by_suffix(
        name.strip_prefix(PREFIX)?,
        &[("-worker", ResourceKind::Role)],
    )?;
    (path == format!("{IAM_ROOT}{stack}/")).then_some(stack)
}

/// Of a topic with this ARN.
pub fn topic_owner(arn: &str) -> Option<StackName> {
    let (_, name) = arn.rsplit_once(':')?;
    let (stack, _) = by_suffix(
        name.strip_prefix(PREFIX)?,
        &[("-notify", ResourceKind::Topic)],
    )?;
    Some(stack)
}

fn by_suffix(name: &str, suffixes: &[(&str, ResourceKind)]) -> Option<(StackName, ResourceKind)> {
    suffixes.iter().find_map(|(suffix, kind)| {
        let stack = name.strip_suffix(suffix)?.parse().ok()?;
        Some((stack, *kind))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::names::Names;

    proptest! {
        #[test]
        fn every_name_leads_back_to_its_stack(stack in "[a-z]([a-z0-9-]{0,14}[a-z0-9])?") {
            let names = Names {
                stack: stack.parse().expect("valid"),
                account: "123456789012".into(),
                region: "eu-west-1".into(),
                extra_tags: std::collections::BTreeMap::new(),
            };
            for kind in ResourceKind::STACK {
                let name = names.of(kind);
                let found = match kind {
                    ResourceKind::InputBucket | ResourceKind::OutputBucket => {
                        bucket_owner(&name, &names.account, &names.region)
                    }
                    ResourceKind::Role | ResourceKind::InstanceProfile => {
                        iam_owner(&names.iam_path(), &name).map(|stack| (stack, kind))
                    }
                    ResourceKind::Topic => {
                        topic_owner(&names.topic_arn()).map(|stack| (stack, kind))
                    }
                    _ => queue_owner(&name),
                };
                prop_assert_eq!(found, Some((names.stack.clone(), kind)), "{}", name);
            }
        }

        #[test]
        fn no_name_panics(name in any::<String>()) {
            let _ = (bucket_owner(&name, "1", "r"), queue_owner(&name), topic_owner(&name));
        }
    }

    #[test]
    fn other_names_are_nobodys() {
        let bucket = |name| bucket_owner(name, "123456789012", "eu-west-1");
        assert_eq!(bucket("muck-demo-input-123456789012-us-east-1-an"), None);
        assert_eq!(bucket("muck-demo-logs-123456789012-eu-west-1-an"), None);
        assert_eq!(bucket("films"), None);
        assert_eq!(queue_owner("muck--input"), None);
        assert_eq!(queue_owner("muck-input"), None);
        assert_eq!(iam_owner("/", "muck-demo-worker"), None);
        assert_eq!(iam_owner("/muck/other/", "muck-demo-worker"), None);
    }
}

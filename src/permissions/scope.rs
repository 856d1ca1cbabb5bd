//! What a permission is on and under which conditions, written out for a stack, an account and a region.
//!
//! Resource types and condition keys are those of the Service Authorization Reference; where a service
//! knows no narrower resource than `*` for an action, the table says [`On::Everything`].

use std::collections::BTreeMap;

use crate::names::{self, StackName, TAG_KIND, TAG_STACK};

/// A part of an ARN that may be left open.
const ANY: &str = "*";

/// For whom a policy is written. What is `None` is left open.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    pub stack: Option<StackName>,
    /// 12 digits.
    pub account: Option<String>,
    pub region: Option<String>,
    /// Accounts that own the images that builders may start from.
    pub base_owners: Vec<String>,
}

/// One of the things that a stack has by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    Input,
    Output,
    Failed,
}

impl Slot {
    fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::Failed => "failed",
        }
    }
}

/// What a permission is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// The action knows no resource, or lists all of them.
    Everything,
    Buckets(&'static [Slot]),
    /// Objects of a bucket whose keys begin so.
    Objects(Slot, &'static str),
    Queues(&'static [Slot]),
    Topic,
    /// The worker's role.
    Role,
    /// The same, to ask whether it is there: of a role that is not, IAM does not know the path.
    RoleIfAny,
    Profile,
    ProfileIfAny,
    /// A resource type of EC2, e.g. `instance`.
    Ec2(&'static str),
    /// The same in all regions: copies go from one to another.
    Ec2Anywhere(&'static str),
}

/// Under which conditions, beside those that follow from what it is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Always,
    /// In the region, where it is known.
    InRegion,
    /// The thing carries the stack's tag.
    OfStack,
    /// The thing that is made gets the stack's tag.
    TaggedNew,
    /// The same for an instance of this kind, which must also be one with IMDSv2 only.
    NewInstance(&'static str),
    /// The same for a volume, which must also be encrypted.
    NewVolume,
    /// Tagged by the call that makes it.
    AtCreation(&'static [&'static str]),
    /// An image that a bake made, of whichever stack: what a recipe makes does not depend on it.
    BakedImage,
    /// An image of those that builders start from.
    BaseImage,
    /// Handed to EC2 and nobody else.
    PassedToEc2,
}

/// Condition operators, each with its keys and their values.
pub type Conditions = BTreeMap<&'static str, BTreeMap<String, Vec<String>>>;

impl Scope {
    fn stack(&self) -> &str {
        self.stack.as_ref().map_or(ANY, StackName::as_str)
    }

    fn account(&self) -> &str {
        self.account.as_deref().unwrap_or(ANY)
    }

    fn region(&self) -> &str {
        self.region.as_deref().unwrap_or(ANY)
    }

    fn partition(&self) -> &'static str {
        names::partition(self.region())
    }

    fn bucket(&self, slot: Slot) -> String {
        let (stack, purpose) = (self.stack(), slot.as_str());
        let (account, region) = (self.account(), self.region());
        format!("muck-{stack}-{purpose}-{account}-{region}-an")
    }

    /// `place` is what stands between the service and the resource.
    fn arn(&self, service: &str, place: &str, resource: &str) -> String {
        format!("arn:{}:{service}:{place}:{resource}", self.partition())
    }

    fn here(&self) -> String {
        format!("{}:{}", self.region(), self.account())
    }

    fn iam(&self, kind: &str, path: &str) -> String {
        let resource = format!("{kind}{path}muck-{}-worker", self.stack());
        self.arn("iam", &format!(":{}", self.account()), &resource)
    }

    fn ec2(&self, kind: &str, region: &str) -> String {
        // The ARNs of these two name no account: anybody's may be used if shared.
        let account = match kind {
            "image" | "snapshot" => "",
            // That of a shared VPC's subnet names the account that owns the VPC.
            "subnet" => ANY,
            _ => self.account(),
        };
        self.arn("ec2", &format!("{region}:{account}"), &format!("{kind}/*"))
    }

    /// The resources, as they stand in a policy.
    pub fn resources(&self, on: On) -> Vec<String> {
        let path = format!("/muck/{}/", self.stack());
        match on {
            On::Everything => vec![ANY.to_owned()],
            On::Buckets(slots) => slots
                .iter()
                .map(|slot| self.arn("s3", ":", &self.bucket(*slot)))
                .collect(),
            On::Objects(slot, prefix) => {
                let object = format!("{}/{prefix}*", self.bucket(slot));
                vec![self.arn("s3", ":", &object)]
            }
            On::Queues(slots) => slots
                .iter()
                .map(|slot| {
                    let queue = format!("muck-{}-{}", self.stack(), slot.as_str());
                    self.arn("sqs", &self.here(), &queue)
                })
                .collect(),
            On::Topic => {
                let topic = format!("muck-{}-notify", self.stack());
                vec![self.arn("sns", &self.here(), &topic)]
            }
            On::Role => vec![self.iam("role", &path)],
            On::RoleIfAny => vec![self.iam("role", &path), self.iam("role", "/")],
            On::Profile => vec![self.iam("instance-profile", &path)],
            On::ProfileIfAny => vec![
                self.iam("instance-profile", &path),
                self.iam("instance-profile", "/"),
            ],
            On::Ec2(kind) => vec![self.ec2(kind, self.region())],
            On::Ec2Anywhere(kind) => vec![self.ec2(kind, ANY)],
        }
    }

    /// The conditions, as they stand in a policy.
    pub fn conditions(&self, on: On, when: When) -> Conditions {
        let mut all = Conditions::new();
        let mut add = |operator: &'static str, key: String, values: Vec<String>| {
            all.entry(operator).or_default().insert(key, values);
        };
        if matches!(on, On::Buckets(_) | On::Objects(..)) {
            // ARNs of S3 name no account. Where ours is not known, it is that of whoever calls.
            let own = "${aws:PrincipalAccount}";
            let account = self.account.as_deref().unwrap_or(own);
            let key = "aws:ResourceAccount".to_owned();
            add("StringEquals", key, vec![account.to_owned()]);
        }
        let stack = vec![self.stack().to_owned()];
        let new = format!("aws:RequestTag/{TAG_STACK}");
        match when {
            When::Always => {}
            When::InRegion => {
                if let Some(region) = &self.region {
                    let key = "aws:RequestedRegion".to_owned();
                    add("StringEquals", key, vec![region.clone()]);
                }
            }
            When::OfStack => add("StringLike", format!("aws:ResourceTag/{TAG_STACK}"), stack),
            When::TaggedNew => add("StringLike", new, stack),
            When::NewInstance(kind) => {
                add("StringLike", new, stack);
                let tag = format!("aws:RequestTag/{TAG_KIND}");
                add("StringEquals", tag, vec![kind.to_owned()]);
                let tokens = "ec2:MetadataHttpTokens".to_owned();
                add("StringEquals", tokens, vec!["required".to_owned()]);
            }
            When::NewVolume => {
                add("StringLike", new, stack);
                add("Bool", "ec2:Encrypted".to_owned(), vec!["true".to_owned()]);
            }
            When::AtCreation(calls) => {
                add("StringLike", new, stack);
                let calls = calls.iter().map(|call| (*call).to_owned()).collect();
                add("StringEquals", "ec2:CreateAction".to_owned(), calls);
            }
            When::BakedImage => {
                let tag = format!("aws:ResourceTag/{TAG_KIND}");
                add("StringEquals", tag, vec!["image".to_owned()]);
            }
            When::BaseImage => {
                let owners = self.base_owners.clone();
                add("StringEquals", "ec2:Owner".to_owned(), owners);
            }
            When::PassedToEc2 => {
                let service = names::ec2_service(self.region());
                let key = "iam:PassedToService".to_owned();
                add("StringEquals", key, vec![service.to_owned()]);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Names;

    fn narrow() -> (Scope, Names) {
        let names = Names {
            stack: "demo".parse().expect("valid"),
            account: "123456789012".into(),
            region: "eu-west-1".into(),
            extra_tags: std::collections::BTreeMap::new(),
        };
        let scope = Scope {
            stack: Some(names.stack.clone()),
            account: Some(names.account.clone()),
            region: Some(names.region.clone()),
            base_owners: vec!["136693071363".into()],
        };
        (scope, names)
    }

    #[test]
    fn a_stacks_resources_are_those_of_its_names() {
        const ALL: &[Slot] = &[Slot::Input, Slot::Output, Slot::Failed];
        let (scope, names) = narrow();
        assert_eq!(
            scope.resources(On::Buckets(&[Slot::Input, Slot::Output])),
            [names.input_bucket(), names.output_bucket()].map(|name| names.bucket_arn(&name))
        );
        assert_eq!(
            scope.resources(On::Objects(Slot::Input, "media/")),
            [names.bucket_arn(&names.input_bucket()) + "/media/*"]
        );
        assert_eq!(
            scope.resources(On::Queues(ALL)),
            [
                names.input_queue(),
                names.output_queue(),
                names.failed_queue()
            ]
            .map(|name| names.queue_arn(&name))
        );
        assert_eq!(scope.resources(On::Topic), [names.topic_arn()]);
        let path = names.iam_path();
        let role = names.worker_role();
        assert_eq!(
            scope.resources(On::RoleIfAny),
            [
                format!("arn:aws:iam::123456789012:role{path}{role}"),
                format!("arn:aws:iam::123456789012:role/{role}"),
            ]
        );
        assert_eq!(
            scope.resources(On::Profile),
            [format!(
                "arn:aws:iam::123456789012:instance-profile{path}{role}"
            )]
        );
        assert_eq!(
            scope.resources(On::Ec2("instance")),
            ["arn:aws:ec2:eu-west-1:123456789012:instance/*"]
        );
        assert_eq!(
            scope.resources(On::Ec2("subnet")),
            ["arn:aws:ec2:eu-west-1:*:subnet/*"]
        );
        assert_eq!(
            scope.resources(On::Ec2Anywhere("image")),
            ["arn:aws:ec2:*::image/*"]
        );
    }

    #[test]
    fn what_is_not_said_is_open_but_not_to_other_accounts() {
        let scope = Scope::default();
        let buckets = On::Buckets(&[Slot::Output]);
        assert_eq!(
            scope.resources(buckets),
            ["arn:aws:s3:::muck-*-output-*-*-an"]
        );
        assert_eq!(
            scope.resources(On::Role),
            ["arn:aws:iam::*:role/muck/*/muck-*-worker"]
        );
        let conditions = scope.conditions(buckets, When::Always);
        assert_eq!(
            conditions["StringEquals"]["aws:ResourceAccount"],
            ["${aws:PrincipalAccount}"]
        );
        assert!(scope.conditions(On::Everything, When::InRegion).is_empty());
    }

    #[test]
    fn other_partitions_have_names_of_their_own() {
        let scope = Scope {
            region: Some("cn-north-1".into()),
            ..Scope::default()
        };
        assert_eq!(
            scope.resources(On::Topic),
            ["arn:aws-cn:sns:cn-north-1:*:muck-*-notify"]
        );
        let passed = scope.conditions(On::Role, When::PassedToEc2);
        assert_eq!(
            passed["StringEquals"]["iam:PassedToService"],
            ["ec2.amazonaws.com.cn"]
        );
    }
}

//! Every name and tag, derived from stack, account and region. There is no state file: whoever
//! knows these three finds everything.

pub mod reading;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Tag keys. Every taggable thing gets them in its create call.
pub const TAG_STACK: &str = "muck:stack";
pub const TAG_KIND: &str = "muck:kind";
pub const TAG_RECIPE: &str = "muck:recipe";
pub const TAG_BATCH: &str = "muck:batch";
/// Hex SHA-256 of an image's manifest.
pub const TAG_MANIFEST: &str = "muck:manifest";
/// Program and version that baked, e.g. `muck 0.1.0`.
pub const TAG_TOOL: &str = "muck:tool";
/// RFC 3339 time in UTC after which any `muck` may remove the thing.
pub const TAG_EXPIRES: &str = "muck:expires";
/// Of a stack's own things: whether `muck` may remove them unasked once they have expired.
pub const TAG_ON_EXPIRY: &str = "muck:on-expiry";
/// Of roles and instance profiles, which an account has once for all regions: the stack's region.
pub const TAG_REGION: &str = "muck:region";

/// Longest stack name: `muck-<stack>-output-<account>-<region>-an` must fit S3's 63 characters
/// with a 12-digit account and the longest region name (`ap-southeast-1`, 14).
const STACK_NAME_MAX: usize = 16;

/// A valid stack name: `[a-z][a-z0-9-]{0,15}`, not ending in a hyphen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StackName(String);

impl StackName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StackName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let valid = name.len() <= STACK_NAME_MAX
            && name.starts_with(|first: char| first.is_ascii_lowercase())
            && !name.ends_with('-')
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if valid {
            Ok(Self(name.to_owned()))
        } else {
            Err(format!(
                "{name:?} is not a stack name: use 1 to {STACK_NAME_MAX} lower-case letters, digits and \
                 hyphens, beginning with a letter and not ending with a hyphen"
            ))
        }
    }
}

impl TryFrom<String> for StackName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

impl From<StackName> for String {
    fn from(name: StackName) -> Self {
        name.0
    }
}

impl fmt::Display for StackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The value of the tag `muck:kind`: what a thing is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceKind {
    InputBucket,
    OutputBucket,
    InputQueue,
    OutputQueue,
    FailedQueue,
    Role,
    InstanceProfile,
    Topic,
    /// The instance that bakes an image.
    Builder,
    Image,
    Snapshot,
    Volume,
    /// An instance that converts.
    Worker,
}

impl ResourceKind {
    /// What a stack consists of, in the order in which it is shown. The rest comes and goes with
    /// images and batches.
    pub const STACK: [Self; 8] = [
        Self::InputBucket,
        Self::OutputBucket,
        Self::InputQueue,
        Self::OutputQueue,
        Self::FailedQueue,
        Self::Role,
        Self::InstanceProfile,
        Self::Topic,
    ];

    /// The tag's value, e.g. `input-bucket`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InputBucket => "input-bucket",
            Self::OutputBucket => "output-bucket",
            Self::InputQueue => "input-queue",
            Self::OutputQueue => "output-queue",
            Self::FailedQueue => "failed-queue",
            Self::Role => "role",
            Self::InstanceProfile => "instance-profile",
            Self::Topic => "topic",
            Self::Builder => "builder",
            Self::Image => "image",
            Self::Snapshot => "snapshot",
            Self::Volume => "volume",
            Self::Worker => "worker",
        }
    }
}

impl fmt::Display for ResourceKind {
    /// For people: `input bucket`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.as_str().replace('-', " "))
    }
}

/// Which AWS a region is of: the second part of every ARN.
pub fn partition(region: &str) -> &'static str {
    let of = |(prefix, _, _): &&(&str, &str, &str)| region.starts_with(prefix);
    PARTITIONS
        .iter()
        .find(of)
        .map_or("aws", |(_, name, _)| name)
}

/// Region prefixes of the partitions beside AWS's own, with the domain of their services. A test compares them with the
/// endpoint rules of the SDK, whose partition data is not public.
const PARTITIONS: [(&str, &str, &str); 7] = [
    ("cn-", "aws-cn", "amazonaws.com.cn"),
    ("us-gov-", "aws-us-gov", "amazonaws.com"),
    ("us-iso-", "aws-iso", "c2s.ic.gov"),
    ("us-isob-", "aws-iso-b", "sc2s.sgov.gov"),
    ("eu-isoe-", "aws-iso-e", "cloud.adc-e.uk"),
    ("us-isof-", "aws-iso-f", "csp.hci.ic.gov"),
    ("eusc-", "aws-eusc", "amazonaws.eu"),
];

/// The name under which EC2 takes roles. In China it has China's domain.
pub fn ec2_service(region: &str) -> &'static str {
    match partition(region) {
        "aws-cn" => "ec2.amazonaws.com.cn",
        _ => "ec2.amazonaws.com",
    }
}

/// All names of one stack.
#[derive(Debug, Clone)]
pub struct Names {
    pub stack: StackName,
    /// 12 digits.
    pub account: String,
    pub region: String,
    /// The company's tags: what is created gets them too.
    pub extra_tags: BTreeMap<String, String>,
}

impl Names {
    /// Buckets live in the account-regional namespace, whose names end `-<account>-<region>-an`.
    fn bucket(&self, purpose: &str) -> String {
        format!(
            "muck-{}-{purpose}-{}-{}-an",
            self.stack, self.account, self.region
        )
    }

    pub fn input_bucket(&self) -> String {
        self.bucket("input")
    }

    pub fn output_bucket(&self) -> String {
        self.bucket("output")
    }

    pub fn input_queue(&self) -> String {
        format!("muck-{}-input", self.stack)
    }

    pub fn output_queue(&self) -> String {
        format!("muck-{}-output", self.stack)
    }

    /// Dead letters of the input queue.
    pub fn failed_queue(&self) -> String {
        format!("muck-{}-failed", self.stack)
    }

    /// Role and instance profile share this name.
    pub fn worker_role(&self) -> String {
        format!("muck-{}-worker", self.stack)
    }

    /// IAM path of the role and the instance profile.
    pub fn iam_path(&self) -> String {
        format!("/muck/{}/", self.stack)
    }

    /// SNS topic for start and stop mails.
    pub fn topic(&self) -> String {
        format!("muck-{}-notify", self.stack)
    }

    /// Name of a thing of the stack. What has no fixed name (instances, images …) answers with
    /// the stack's.
    pub fn of(&self, kind: ResourceKind) -> String {
        match kind {
            ResourceKind::InputBucket => self.input_bucket(),
            ResourceKind::OutputBucket => self.output_bucket(),
            ResourceKind::InputQueue => self.input_queue(),
            ResourceKind::OutputQueue => self.output_queue(),
            ResourceKind::FailedQueue => self.failed_queue(),
            ResourceKind::Role | ResourceKind::InstanceProfile => self.worker_role(),
            ResourceKind::Topic => self.topic(),
            ResourceKind::Builder
            | ResourceKind::Image
            | ResourceKind::Snapshot
            | ResourceKind::Volume
            | ResourceKind::Worker => self.stack.to_string(),
        }
    }

    /// Which AWS it is: the second part of every ARN.
    pub fn partition(&self) -> &'static str {
        partition(&self.region)
    }

    /// ARN of a queue of this account and region.
    pub fn queue_arn(&self, queue: &str) -> String {
        format!(
            "arn:{}:sqs:{}:{}:{queue}",
            self.partition(),
            self.region,
            self.account
        )
    }

    pub fn bucket_arn(&self, bucket: &str) -> String {
        format!("arn:{}:s3:::{bucket}", self.partition())
    }

    pub fn topic_arn(&self) -> String {
        format!(
            "arn:{}:sns:{}:{}:{}",
            self.partition(),
            self.region,
            self.account,
            self.topic()
        )
    }

    /// AMI and snapshot name. `time` is UTC in the form `20260102T030405Z`.
    pub fn image(&self, recipe_digest: &str, time: &str) -> String {
        let short: String = recipe_digest.chars().take(12).collect();
        format!("muck-{}-{short}-{time}", self.stack)
    }

    /// The tags that everything of this stack carries; those of IAM also name the region.
    pub fn tags(&self, kind: ResourceKind) -> Vec<(String, String)> {
        let mut tags = vec![
            (TAG_STACK.to_owned(), self.stack.to_string()),
            (TAG_KIND.to_owned(), kind.as_str().to_owned()),
        ];
        if matches!(kind, ResourceKind::Role | ResourceKind::InstanceProfile) {
            tags.push((TAG_REGION.to_owned(), self.region.clone()));
        }
        tags.extend(
            self.extra_tags
                .iter()
                .map(|(key, value)| (key.clone(), value.clone())),
        );
        tags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(stack: &str, region: &str) -> Names {
        Names {
            stack: stack.parse().expect("valid"),
            account: "123456789012".into(),
            region: region.into(),
            extra_tags: BTreeMap::new(),
        }
    }

    /// Of the SDK only the endpoint rules are public, and they use its list of partitions.
    #[tokio::test]
    async fn partitions_are_the_sdks() {
        use aws_sdk_sts::config::endpoint::{DefaultResolver, Params, ResolveEndpoint as _};
        let mut regions = vec![
            ("eu-central-1", "aws", "amazonaws.com"),
            ("ap-southeast-7", "aws", "amazonaws.com"),
        ];
        let others = [
            "cn-north-1",
            "us-gov-west-1",
            "us-iso-east-1",
            "us-isob-east-1",
            "eu-isoe-west-1",
            "us-isof-south-1",
            "eusc-de-east-1",
        ];
        regions.extend(
            others
                .into_iter()
                .zip(PARTITIONS)
                .map(|(region, (_, name, domain))| (region, name, domain)),
        );
        for (region, name, domain) in regions {
            assert_eq!(partition(region), name, "{region}");
            let params = Params::builder()
                .region(region)
                .build()
                .expect("parameters");
            let endpoint = DefaultResolver::new()
                .resolve_endpoint(&params)
                .await
                .expect("an endpoint");
            let host = endpoint.url().trim_start_matches("https://");
            assert_eq!(host, format!("sts.{region}.{domain}"));
        }
    }

    #[test]
    fn longest_bucket_name_fits_s3() {
        let names = names("a234567890123456", "ap-southeast-1");
        assert!(
            names.output_bucket().len() <= 63,
            "{}",
            names.output_bucket().len()
        );
    }

    #[test]
    fn stack_names_are_checked() {
        for good in ["a", "demo", "my-stack-2"] {
            assert!(good.parse::<StackName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "Demo",
            "2x",
            "a_b",
            "a-",
            "a2345678901234567",
            "ä",
            "a b",
        ] {
            assert!(bad.parse::<StackName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_those_of_the_design() {
        let names = names("demo", "eu-west-1");
        assert_eq!(
            names.input_bucket(),
            "muck-demo-input-123456789012-eu-west-1-an"
        );
        assert_eq!(names.failed_queue(), "muck-demo-failed");
        assert_eq!(names.worker_role(), "muck-demo-worker");
        assert_eq!(names.iam_path(), "/muck/demo/");
        assert_eq!(
            names.topic_arn(),
            "arn:aws:sns:eu-west-1:123456789012:muck-demo-notify"
        );
        assert_eq!(
            names.image("0123456789abcdef", "20260102T030405Z"),
            "muck-demo-0123456789ab-20260102T030405Z"
        );
    }
}

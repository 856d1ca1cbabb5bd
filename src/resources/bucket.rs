//! S3 buckets: what they are set to, their creation and their end. Contents: `bucket_contents`.

use std::time::Duration;

use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, BucketLocationConstraint,
    BucketNamespace, CreateBucketConfiguration, ExpirationStatus, LifecycleRule,
    LifecycleRuleFilter, ObjectOwnership, OwnershipControls, OwnershipControlsRule,
    PublicAccessBlockConfiguration, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule, Tag, Tagging,
};

use super::policy::canonical;
use super::{Attributes, Found, Presence, Tags, ours};
use crate::aws::{Aws, Cause};
use crate::error::{Error, Result};
use crate::names::StackName;
use crate::wait::{self, Look};

/// Which of the four switches are on, comma-separated.
pub const PUBLIC_ACCESS_BLOCK: &str = "public-access-block";
/// All four switches.
pub const ALL_PUBLIC_ACCESS_BLOCKED: &str = "public-acls,ignored-acls,public-policy,restricted";
/// Who owns objects, in S3's words.
pub const OWNERSHIP: &str = "ownership";
/// Default encryption algorithm in S3's words.
pub const ENCRYPTION: &str = "encryption";
/// What is removed by itself.
pub const LIFECYCLE: &str = "lifecycle";
/// Bucket policy in canonical JSON.
pub const POLICY: &str = "policy";

/// The lifecycle we set: see [`abort_uploads`].
pub const UPLOADS_END_AFTER_A_DAY: &str = "unfinished uploads end after 1 d";
/// The longest single upload takes hours; parts of a dead one cost money and no listing shows
/// them. A day is S3's shortest.
const UPLOAD_DAYS: i32 = 1;

/// S3 refuses changes to a bucket while another change or a deletion of the same name is under
/// way. Changes take seconds. A deletion can block a name for an hour, and nobody waits that long
/// at a prompt: the error tells.
const BUSY_LIMIT: Duration = Duration::from_mins(1);

/// What passes: another change is under way; a bucket just created is not yet known everywhere.
const PASSING: [&str; 2] = ["OperationAborted", "NoSuchBucket"];

/// Tags tell in one call whether a bucket exists and whose it is.
pub async fn look(aws: &Aws, name: &str) -> Result<Option<Presence>> {
    let answer = aws
        .s3
        .get_bucket_tagging()
        .bucket(name)
        .expected_bucket_owner(&aws.account)
        .send()
        .await
        .map_err(Cause::from);
    let tags = match answer {
        Ok(answer) => answer
            .tag_set
            .into_iter()
            .map(|tag| (tag.key, tag.value))
            .collect(),
        Err(cause) if cause.is("NoSuchTagSet") => Tags::new(),
        Err(cause) if cause.is("NoSuchBucket") => return Ok(None),
        Err(cause) => return Err(cannot("look at", name, cause)),
    };
    Ok(Some(Presence {
        id: name.to_owned(),
        tags,
    }))
}

/// The bucket with its settings, or `None`.
pub async fn find(aws: &Aws, name: &str) -> Result<Option<Found>> {
    let (presence, public, ownership, encryption, lifecycle, policy) = tokio::join!(
        look(aws, name),
        public_access_block(aws, name),
        ownership(aws, name),
        encryption(aws, name),
        lifecycle(aws, name),
        policy(aws, name),
    );
    let Some(presence) = presence? else {
        return Ok(None);
    };
    let mut attributes = Attributes::new();
    for (attribute, value) in [
        (PUBLIC_ACCESS_BLOCK, public),
        (OWNERSHIP, ownership),
        (ENCRYPTION, encryption),
        (LIFECYCLE, lifecycle),
        (POLICY, policy),
    ] {
        let value =
            value.map_err(|cause| cannot(&format!("read the {attribute} of"), name, cause))?;
        if let Some(value) = value {
            attributes.insert(attribute, value);
        }
    }
    Ok(Some(Found {
        presence,
        attributes,
    }))
}

/// An error that only means: this was never set.
fn unset<T>(cause: Cause, codes: &[&str]) -> Result<Option<T>, Cause> {
    if cause.is_any(codes) || cause.is("NoSuchBucket") {
        Ok(None)
    } else {
        Err(cause)
    }
}

async fn public_access_block(aws: &Aws, name: &str) -> Result<Option<String>, Cause> {
    let call = aws
        .s3
        .get_public_access_block()
        .bucket(name)
        .expected_bucket_owner(&aws.account);
    let answer = match call.send().await.map_err(Cause::from) {
        Ok(answer) => answer,
        Err(cause) => return unset(cause, &["NoSuchPublicAccessBlockConfiguration"]),
    };
    Ok(answer.public_access_block_configuration.map(|block| {
        [
            (block.block_public_acls, "public-acls"),
            (block.ignore_public_acls, "ignored-acls"),
            (block.block_public_policy, "public-policy"),
            (block.restrict_public_buckets, "restricted"),
        ]
        .into_iter()
        .filter_map(|(on, word)| on.unwrap_or(false).then_some(word))
        .collect::<Vec<_>>()
        .join(",")
    }))
}

async fn ownership(aws: &Aws, name: &str) -> Result<Option<String>, Cause> {
    let call = aws
        .s3
        .get_bucket_ownership_controls()
        .bucket(name)
        .expected_bucket_owner(&aws.account);
    match call.send().await.map_err(Cause::from) {
        Ok(answer) => Ok(answer
            .ownership_controls
            .and_then(|controls| controls.rules.into_iter().next())
            .map(|rule| rule.object_ownership.as_str().to_owned())),
        Err(cause) => unset(cause, &["OwnershipControlsNotFoundError"]),
    }
}

async fn encryption(aws: &Aws, name: &str) -> Result<Option<String>, Cause> {
    let call = aws
        .s3
        .get_bucket_encryption()
        .bucket(name)
        .expected_bucket_owner(&aws.account);
    match call.send().await.map_err(Cause::from) {
        Ok(answer) => Ok(answer
            .server_side_encryption_configuration
            .and_then(|encryption| encryption.rules.into_iter().next())
            .and_then(|rule| rule.apply_server_side_encryption_by_default)
            .map(|default| default.sse_algorithm.as_str().to_owned())),
        Err(cause) => unset(cause, &["ServerSideEncryptionConfigurationNotFoundError"]),
    }
}

async fn lifecycle(aws: &Aws, name: &str) -> Result<Option<String>, Cause> {
    let call = aws
        .s3
        .get_bucket_lifecycle_configuration()
        .bucket(name)
        .expected_bucket_owner(&aws.account);
    match call.send().await.map_err(Cause::from) {
        Ok(answer) => Ok(Some(lifecycle_text(answer.rules()))),
        Err(cause) => unset(cause, &["NoSuchLifecycleConfiguration"]),
    }
}

/// Only a configuration of exactly our one rule reads as ours: any other rule may delete videos.
fn lifecycle_text(rules: &[LifecycleRule]) -> String {
    if let [rule] = rules
        && rule.status == ExpirationStatus::Enabled
        && rule.expiration.is_none()
        && rule.transitions().is_empty()
        && rule.noncurrent_version_expiration.is_none()
        && rule.filter.as_ref().is_none_or(whole_bucket)
        && let Some(days) = rule
            .abort_incomplete_multipart_upload
            .as_ref()
            .and_then(|abort| abort.days_after_initiation)
    {
        return format!("unfinished uploads end after {days} d");
    }
    let ids: Vec<&str> = rules
        .iter()
        .map(|rule| rule.id().unwrap_or("(no id)"))
        .collect();
    format!("other rules: {}", ids.join(", "))
}

fn whole_bucket(filter: &LifecycleRuleFilter) -> bool {
    filter.prefix.as_deref().unwrap_or_default().is_empty()
        && filter.tag.is_none()
        && filter.and.is_none()
}

async fn policy(aws: &Aws, name: &str) -> Result<Option<String>, Cause> {
    let call = aws
        .s3
        .get_bucket_policy()
        .bucket(name)
        .expected_bucket_owner(&aws.account);
    match call.send().await.map_err(Cause::from) {
        Ok(answer) => Ok(answer.policy.as_deref().map(canonical)),
        Err(cause) => unset(cause, &["NoSuchBucketPolicy"]),
    }
}

/// Creates the bucket with its tags, then its settings, all at once. A bucket of ours that is
/// already there is adopted.
///
/// # Errors
/// If the name is taken by a bucket without the stack's tag.
pub async fn create(
    aws: &Aws,
    name: &str,
    stack: &StackName,
    tags: &[(String, String)],
    attributes: &Attributes,
) -> Result<()> {
    let made = wait::until(
        &format!("the name of bucket {name}"),
        BUSY_LIMIT,
        || async {
            match create_once(aws, name, tags).await {
                Ok(()) => Ok(Look::Done(true)),
                Err(cause) if cause.is("BucketAlreadyOwnedByYou") => Ok(Look::Done(false)),
                Err(cause) if cause.is("OperationAborted") => Ok(Look::NotYet(cause.to_string())),
                Err(cause) => Err(cannot("create", name, cause)),
            }
        },
    )
    .await?;
    if !made && let Some(presence) = look(aws, name).await? {
        ours("bucket", name, stack, &aws.region, presence)?;
    }
    let tagged = async {
        // S3 look-alikes that are older than tags in CreateBucket drop them without a word.
        if aws.endpoint.is_some() {
            put_tags(aws, name, tags).await
        } else {
            Ok(())
        }
    };
    let (tagged, set) = tokio::join!(tagged, set(aws, name, attributes));
    tagged.and(set)
}

async fn create_once(aws: &Aws, name: &str, tags: &[(String, String)]) -> Result<(), Cause> {
    let mut configuration = CreateBucketConfiguration::builder().set_tags(Some(sdk_tags(tags)));
    // us-east-1 is S3's unnamed default and must not be named.
    if aws.region != "us-east-1" {
        configuration =
            configuration.location_constraint(BucketLocationConstraint::from(aws.region.as_str()));
    }
    aws.s3
        .create_bucket()
        .bucket(name)
        .bucket_namespace(BucketNamespace::AccountRegional)
        .object_ownership(ObjectOwnership::BucketOwnerEnforced)
        .create_bucket_configuration(configuration.build())
        .send()
        .await?;
    Ok(())
}

fn sdk_tags(tags: &[(String, String)]) -> Vec<Tag> {
    // `build` fails only where key or value is missing.
    tags.iter()
        .filter_map(|(key, value)| Tag::builder().key(key).value(value).build().ok())
        .collect()
}

/// Puts these tags in the place of all that the bucket has.
pub async fn put_tags(aws: &Aws, name: &str, tags: &[(String, String)]) -> Result<()> {
    let tagging = Tagging::builder()
        .set_tag_set(Some(sdk_tags(tags)))
        .build()
        .map_err(|error| cannot("tag", name, error))?;
    wait::until(
        &format!("bucket {name} to take tags"),
        BUSY_LIMIT,
        || async {
            let call = aws.s3.put_bucket_tagging().bucket(name);
            let call = call
                .expected_bucket_owner(&aws.account)
                .tagging(tagging.clone());
            match call.send().await.map_err(Cause::from) {
                Ok(_) => Ok(Look::Done(())),
                Err(cause) if cause.is_any(&PASSING) => Ok(Look::NotYet(cause.to_string())),
                Err(cause) => Err(cannot("tag", name, cause)),
            }
        },
    )
    .await
}

/// Sets the given attributes, all at once.
pub async fn set(aws: &Aws, name: &str, attributes: &Attributes) -> Result<()> {
    let settings = attributes.iter().map(|(attribute, value)| async move {
        let what = format!("the {attribute} of bucket {name}");
        wait::until(&what, BUSY_LIMIT, || async {
            match set_one(aws, name, attribute, value).await {
                Ok(()) => Ok(Look::Done(())),
                Err(cause) if cause.is_any(&PASSING) => Ok(Look::NotYet(cause.to_string())),
                Err(cause) => Err(cannot(&format!("set the {attribute} of"), name, cause)),
            }
        })
        .await
    });
    futures::future::join_all(settings)
        .await
        .into_iter()
        .collect()
}

async fn set_one(aws: &Aws, name: &str, attribute: &str, value: &str) -> Result<(), Cause> {
    let invalid = |why: String| Cause {
        code: None,
        message: why,
        request_id: None,
        uncertain: false,
    };
    let owner = &aws.account;
    match attribute {
        PUBLIC_ACCESS_BLOCK => {
            let on = |word: &str| Some(value.split(',').any(|each| each == word));
            let block = PublicAccessBlockConfiguration::builder()
                .set_block_public_acls(on("public-acls"))
                .set_ignore_public_acls(on("ignored-acls"))
                .set_block_public_policy(on("public-policy"))
                .set_restrict_public_buckets(on("restricted"))
                .build();
            let call = aws
                .s3
                .put_public_access_block()
                .bucket(name)
                .expected_bucket_owner(owner);
            call.public_access_block_configuration(block).send().await?;
        }
        OWNERSHIP => {
            let controls = OwnershipControlsRule::builder()
                .object_ownership(ObjectOwnership::from(value))
                .build()
                .and_then(|rule| OwnershipControls::builder().rules(rule).build())
                .map_err(|error| invalid(error.to_string()))?;
            let call = aws
                .s3
                .put_bucket_ownership_controls()
                .bucket(name)
                .expected_bucket_owner(owner);
            call.ownership_controls(controls).send().await?;
        }
        ENCRYPTION => {
            let encryption = ServerSideEncryptionByDefault::builder()
                .sse_algorithm(ServerSideEncryption::from(value))
                .build()
                .and_then(|default| {
                    let rule = ServerSideEncryptionRule::builder()
                        .apply_server_side_encryption_by_default(default)
                        .build();
                    ServerSideEncryptionConfiguration::builder()
                        .rules(rule)
                        .build()
                })
                .map_err(|error| invalid(error.to_string()))?;
            let call = aws
                .s3
                .put_bucket_encryption()
                .bucket(name)
                .expected_bucket_owner(owner);
            call.server_side_encryption_configuration(encryption)
                .send()
                .await?;
        }
        LIFECYCLE => {
            let call = aws
                .s3
                .put_bucket_lifecycle_configuration()
                .bucket(name)
                .expected_bucket_owner(owner);
            let rules = abort_uploads().map_err(|error| invalid(error.to_string()))?;
            call.lifecycle_configuration(rules).send().await?;
        }
        POLICY => {
            let call = aws
                .s3
                .put_bucket_policy()
                .bucket(name)
                .expected_bucket_owner(owner);
            call.policy(value).send().await?;
        }
        other => return Err(invalid(format!("a bucket has no attribute {other}"))),
    }
    Ok(())
}

/// One rule over the whole bucket: uploads that were begun and not finished end after a day.
fn abort_uploads()
-> Result<BucketLifecycleConfiguration, aws_smithy_types::error::operation::BuildError> {
    let rule = LifecycleRule::builder()
        .id("muck-unfinished-uploads")
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("").build())
        .abort_incomplete_multipart_upload(
            AbortIncompleteMultipartUpload::builder()
                .days_after_initiation(UPLOAD_DAYS)
                .build(),
        )
        .build()?;
    BucketLifecycleConfiguration::builder().rules(rule).build()
}

/// What became of a request to delete a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// Deleted, or it was not there.
    Gone,
    /// Something is in it (again).
    NotEmpty,
}

/// Deletes an empty bucket.
pub async fn delete(aws: &Aws, name: &str) -> Result<Deletion> {
    let call = aws
        .s3
        .delete_bucket()
        .bucket(name)
        .expected_bucket_owner(&aws.account);
    match call.send().await.map_err(Cause::from) {
        Ok(_) => Ok(Deletion::Gone),
        Err(cause) if cause.is("NoSuchBucket") => Ok(Deletion::Gone),
        Err(cause) if cause.is("BucketNotEmpty") => Ok(Deletion::NotEmpty),
        Err(cause) => Err(cannot("delete", name, cause)),
    }
}

fn cannot(
    verb: &str,
    name: &str,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::failed(format!("cannot {verb} bucket {name}")).because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_lifecycle_reads_as_ours_and_no_other_does() {
        let ours = abort_uploads().expect("builds");
        assert_eq!(lifecycle_text(ours.rules()), UPLOADS_END_AFTER_A_DAY);
        let doubled = [ours.rules(), ours.rules()].concat();
        assert!(
            lifecycle_text(&doubled).starts_with("other rules"),
            "{doubled:?}"
        );
        let mut narrow = ours.rules()[0].clone();
        narrow.filter = Some(LifecycleRuleFilter::builder().prefix("media/").build());
        assert!(lifecycle_text(&[narrow]).starts_with("other rules"));
        let mut off = ours.rules()[0].clone();
        off.status = ExpirationStatus::Disabled;
        assert!(lifecycle_text(&[off]).starts_with("other rules"));
    }
}

//! What a bucket is set to: reading it in a normal form, and setting it.

use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, ExpirationStatus,
    LifecycleExpiration, LifecycleRule, LifecycleRuleFilter, ObjectOwnership, OwnershipControls,
    OwnershipControlsRule, PublicAccessBlockConfiguration, ServerSideEncryption,
    ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
};

use super::{BUSY_LIMIT, PASSING, cannot};
use crate::aws::{Aws, Cause};
use crate::error::Result;
use crate::resources::Attributes;
use crate::resources::policy::canonical;
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

/// The lifecycle we set: see [`rules`]. `object_days`: objects are deleted so many days after they were stored.
pub fn lifecycle_after(object_days: Option<u32>) -> String {
    let uploads = format!("unfinished uploads end after {UPLOAD_DAYS} d");
    match object_days {
        None => uploads,
        Some(days) => format!("{uploads}{AND_OBJECTS}{days} d"),
    }
}

/// After how many days a lifecycle of ours deletes objects; `None`: never, or it is another's.
pub fn object_days(lifecycle: &str) -> Option<u32> {
    let (_, days) = lifecycle.split_once(AND_OBJECTS)?;
    days.strip_suffix(" d")?.parse().ok()
}

const AND_OBJECTS: &str = ", objects after ";
/// The longest single upload takes hours; parts of a dead one cost money and no listing shows
/// them. A day is S3's shortest.
const UPLOAD_DAYS: i32 = 1;

/// All settings, asked for at once; nothing for a bucket that is not there.
pub(super) async fn read(aws: &Aws, name: &str) -> Result<Attributes> {
    let (public, ownership, encryption, lifecycle, policy) = tokio::join!(
        public_access_block(aws, name),
        ownership(aws, name),
        encryption(aws, name),
        lifecycle(aws, name),
        policy(aws, name),
    );
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
    Ok(attributes)
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
        && rule.transitions().is_empty()
        && rule.noncurrent_version_expiration.is_none()
        && rule.filter.as_ref().is_none_or(whole_bucket)
        && let Some(days) = rule
            .abort_incomplete_multipart_upload
            .as_ref()
            .and_then(|abort| abort.days_after_initiation)
        && days == UPLOAD_DAYS
    {
        match &rule.expiration {
            None => return lifecycle_after(None),
            Some(end) if end.date.is_none() && end.expired_object_delete_marker != Some(true) => {
                if let Some(days) = end.days.and_then(|days| u32::try_from(days).ok()) {
                    return lifecycle_after(Some(days));
                }
            }
            Some(_) => {}
        }
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
            let rules = rules(object_days(value)).map_err(|error| invalid(error.to_string()))?;
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

/// One rule over the whole bucket: uploads that were begun and not finished end after a day, and objects, where that is
/// wanted, after `object_days`.
fn rules(
    object_days: Option<u32>,
) -> Result<BucketLifecycleConfiguration, aws_smithy_types::error::operation::BuildError> {
    let end = object_days
        .and_then(|days| i32::try_from(days).ok())
        .map(|days| LifecycleExpiration::builder().days(days).build());
    let rule = LifecycleRule::builder()
        .id("muck-unfinished-uploads")
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("").build())
        .abort_incomplete_multipart_upload(
            AbortIncompleteMultipartUpload::builder()
                .days_after_initiation(UPLOAD_DAYS)
                .build(),
        )
        .set_expiration(end)
        .build()?;
    BucketLifecycleConfiguration::builder().rules(rule).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_lifecycle_reads_as_ours_and_no_other_does() {
        for days in [None, Some(1), Some(400)] {
            let ours = rules(days).expect("builds");
            let text = lifecycle_text(ours.rules());
            assert_eq!(text, lifecycle_after(days));
            assert_eq!(object_days(&text), days);
        }
        let ours = rules(Some(4)).expect("builds");
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
        let mut dated = ours.rules()[0].clone();
        let date = aws_smithy_types::DateTime::from_secs(0);
        dated.expiration = Some(LifecycleExpiration::builder().date(date).build());
        assert!(lifecycle_text(&[dated]).starts_with("other rules"));
    }
}

//! S3 buckets: what they are set to, their creation and their end. Contents: `bucket_contents`.

mod settings;

use std::time::Duration;

use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketNamespace, CreateBucketConfiguration, Tag, Tagging,
};
use jiff::Timestamp;

use super::{Attributes, Found, Presence, Tags, ours};
use crate::aws::{Aws, Cause};
use crate::error::{Error, Result};
use crate::names::StackName;
use crate::wait::{self, Look};

pub use settings::{
    ALL_PUBLIC_ACCESS_BLOCKED, ENCRYPTION, LIFECYCLE, OWNERSHIP, POLICY, PUBLIC_ACCESS_BLOCK,
    lifecycle_after, object_days, set,
};

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
    let (presence, attributes) = tokio::join!(look(aws, name), settings::read(aws, name));
    let Some(presence) = presence? else {
        return Ok(None);
    };
    Ok(Some(Found {
        presence,
        attributes: attributes?,
    }))
}

/// A bucket as the account's list has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    pub created: Option<Timestamp>,
}

/// All buckets of the account whose names begin with `prefix`, in this region.
pub async fn list(aws: &Aws, prefix: &str) -> Result<Vec<Listed>> {
    let mut pages = aws
        .s3
        .list_buckets()
        .prefix(prefix)
        .bucket_region(&aws.region)
        .into_paginator()
        .send();
    let mut buckets = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| {
            Error::failed("cannot list the buckets").because(Cause::from(error))
        })?;
        for bucket in page.buckets.unwrap_or_default() {
            let created = bucket.creation_date;
            buckets.extend(bucket.name.map(|name| Listed {
                name,
                created: created.and_then(|time| Timestamp::from_second(time.secs()).ok()),
            }));
        }
    }
    Ok(buckets)
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
    let (tagged, set) = tokio::join!(tagged, set_what_differs(aws, name, attributes));
    tagged.and(set)
}

/// A new bucket blocks public access, enforces its owner and encrypts by itself (S3, since 2023). Companies deny the calls that
/// set these.
async fn set_what_differs(aws: &Aws, name: &str, attributes: &Attributes) -> Result<()> {
    let found = settings::read(aws, name).await?;
    let mut differing = attributes.clone();
    differing.retain(|attribute, value| found.get(attribute) != Some(value));
    set(aws, name, &differing).await
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

/// What became of a request to delete a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// Deleted, or it was not there.
    Gone,
    /// Something is in it (again).
    NotEmpty,
}

/// Deletes an empty bucket. Waits while another change of it is under way.
pub async fn delete(aws: &Aws, name: &str) -> Result<Deletion> {
    let what = format!("bucket {name} to be free for deletion");
    wait::until(&what, BUSY_LIMIT, || async {
        let call = aws.s3.delete_bucket().bucket(name);
        let call = call.expected_bucket_owner(&aws.account);
        match call.send().await.map_err(Cause::from) {
            Ok(_) => Ok(Look::Done(Deletion::Gone)),
            Err(cause) if cause.is("NoSuchBucket") => Ok(Look::Done(Deletion::Gone)),
            Err(cause) if cause.is("BucketNotEmpty") => Ok(Look::Done(Deletion::NotEmpty)),
            Err(cause) if cause.is("OperationAborted") => Ok(Look::NotYet(cause.to_string())),
            Err(cause) => Err(cannot("delete", name, cause)),
        }
    })
    .await
}

fn cannot(
    verb: &str,
    name: &str,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::failed(format!("cannot {verb} bucket {name}")).because(cause)
}

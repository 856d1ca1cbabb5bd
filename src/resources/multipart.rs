//! S3 objects that are put in parts.
//!
//! Every call carries `ExpectedBucketOwner`: a bucket of our name in another's hands is refused.

use std::time::Duration;

use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;

use super::object::{Content, META_SHA256, Place, failure, head};
use crate::aws::Cause;
use crate::cloud::Cloud;
use crate::error::Result;

/// S3's limits for an object that is put in parts: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>
pub const MOST_PARTS: u64 = 10_000;

/// Attempts to begin an upload; the faults that pass do so in a few.
const ATTEMPTS: u32 = 4;
/// Refusals to even look at the call.
const THROTTLED: [&str; 3] = ["SlowDown", "Throttling", "RequestTimeout"];

/// An upload in parts that is under way. Complete or abort it: unfinished ones cost storage.
#[derive(Debug, Clone)]
pub struct Multipart {
    bucket: String,
    key: String,
    id: String,
}

/// A part that S3 has.
#[derive(Debug, Clone)]
pub struct Part {
    /// From 1.
    number: i32,
    etag: Option<String>,
    crc32: Option<String>,
}

impl Multipart {
    /// Begins an upload. The call has no client token, so after a lost answer the upload is looked for by its key and
    /// adopted: a second one would lie beside it unfinished. Whoever adopts another's upload of the same key sends
    /// the same content, since keys are made of it.
    pub async fn begin(cloud: &Cloud, place: Place<'_>, content: &Content) -> Result<Self> {
        let mut attempt = 0;
        let id = loop {
            attempt += 1;
            let cause = match begin_call(cloud, place, content).await {
                Ok(id) => break id,
                Err(cause) => cause,
            };
            if cause.uncertain
                && let Some(id) = find_begun(cloud, place).await
            {
                break id;
            }
            if attempt >= ATTEMPTS || !(cause.uncertain || cause.is_any(&THROTTLED)) {
                return Err(failure(cloud, "store", place, cause));
            }
            tokio::time::sleep(Duration::from_secs(1 << attempt)).await;
        };
        Ok(Self {
            bucket: place.bucket.to_owned(),
            key: place.key.to_owned(),
            id,
        })
    }

    fn place(&self) -> Place<'_> {
        Place {
            bucket: &self.bucket,
            key: &self.key,
        }
    }

    /// Sends part `number` (from 1).
    pub async fn part(&self, cloud: &Cloud, number: i32, body: Bytes) -> Result<Part> {
        let answer = cloud
            .aws
            .s3
            .upload_part()
            .bucket(&self.bucket)
            .key(&self.key)
            .expected_bucket_owner(&cloud.aws.account)
            .upload_id(&self.id)
            .part_number(number)
            .body(ByteStream::from(body))
            .send()
            .await
            .map_err(|error| failure(cloud, "store a part of", self.place(), Cause::from(error)))?;
        Ok(Part {
            number,
            etag: answer.e_tag,
            crc32: answer.checksum_crc32,
        })
    }

    /// Makes the object of its parts, in any order given, which are `content`.
    ///
    /// An upload that is no longer there may be one whose completion was answered, but not to us: then the
    /// object is.
    pub async fn complete(
        &self,
        cloud: &Cloud,
        mut parts: Vec<Part>,
        content: &Content,
    ) -> Result<()> {
        parts.sort_by_key(|part| part.number);
        let parts = parts
            .into_iter()
            .map(|part| {
                CompletedPart::builder()
                    .part_number(part.number)
                    .set_e_tag(part.etag)
                    .set_checksum_crc32(part.crc32)
                    .build()
            })
            .collect();
        let outcome = cloud
            .aws
            .s3
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(&self.key)
            .expected_bucket_owner(&cloud.aws.account)
            .upload_id(&self.id)
            .multipart_upload(
                CompletedMultipartUpload::builder()
                    .set_parts(Some(parts))
                    .build(),
            )
            .send()
            .await
            .map_err(Cause::from);
        let Err(cause) = outcome else {
            return Ok(());
        };
        if cause.is("NoSuchUpload") && content.is(head(cloud, self.place()).await?.as_ref()) {
            return Ok(());
        }
        Err(failure(cloud, "complete", self.place(), cause))
    }

    /// Throws the parts away.
    pub async fn abort(&self, cloud: &Cloud) -> Result<()> {
        cloud
            .aws
            .s3
            .abort_multipart_upload()
            .bucket(&self.bucket)
            .key(&self.key)
            .expected_bucket_owner(&cloud.aws.account)
            .upload_id(&self.id)
            .send()
            .await
            .map(|_| ())
            .map_err(|error| {
                failure(
                    cloud,
                    "abort the upload of",
                    self.place(),
                    Cause::from(error),
                )
            })
    }
}

/// Without a retry, which would begin a second one. Returns the upload's id.
async fn begin_call(cloud: &Cloud, place: Place<'_>, content: &Content) -> Result<String, Cause> {
    let once = aws_sdk_s3::config::Builder::new().retry_config(RetryConfig::disabled());
    let answer = cloud
        .aws
        .s3
        .create_multipart_upload()
        .bucket(place.bucket)
        .key(place.key)
        .expected_bucket_owner(&cloud.aws.account)
        .content_type(&content.mime)
        .metadata(META_SHA256, &content.sha256)
        .customize()
        .config_override(once)
        .send()
        .await?;
    answer
        .upload_id
        .ok_or_else(|| "S3 named no id for the upload in parts".into())
}

/// The id of an unfinished upload of just this key, if there is one and it can be seen.
async fn find_begun(cloud: &Cloud, place: Place<'_>) -> Option<String> {
    let answer = cloud
        .aws
        .s3
        .list_multipart_uploads()
        .bucket(place.bucket)
        .prefix(place.key)
        .expected_bucket_owner(&cloud.aws.account)
        .send()
        .await
        .inspect_err(|error| tracing::debug!(%error, key = place.key, "cannot list uploads"))
        .ok()?;
    answer
        .uploads
        .unwrap_or_default()
        .into_iter()
        .find(|upload| upload.key.as_deref() == Some(place.key))
        .and_then(|upload| upload.upload_id)
}

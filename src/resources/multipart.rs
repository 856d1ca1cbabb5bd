//! S3 objects that are put in parts.
//!
//! Every call carries `ExpectedBucketOwner`: a bucket of our name in another's hands is refused.

use std::time::Duration;

use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use crc_fast::CrcAlgorithm::Crc64Nvme;

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

/// A CRC-64/NVME, the one checksum that S3 has over the whole of any object. It guards against accidents, not against malice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crc64(u64);

impl Crc64 {
    pub fn of(data: &[u8]) -> Self {
        Self(crc_fast::checksum(Crc64Nvme, data))
    }

    /// Of what this one is of, followed by `length` bytes that `next` is of.
    #[must_use]
    pub fn followed_by(self, next: Self, length: u64) -> Self {
        Self(crc_fast::checksum_combine(
            Crc64Nvme, self.0, next.0, length,
        ))
    }

    /// As S3 writes it: base64 of the big-endian bytes.
    fn base64(self) -> String {
        BASE64.encode(self.0.to_be_bytes())
    }
}

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
    pub bytes: u64,
    etag: Option<String>,
    crc64: Crc64,
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

    /// Sends part `number` (from 1); S3 checks the CRC of what arrives. That is in a header that is signed, so the payload
    /// needs no signature of its own.
    pub async fn part(
        &self,
        cloud: &Cloud,
        number: i32,
        body: Bytes,
        crc64: Crc64,
    ) -> Result<Part> {
        let bytes = body.len() as u64;
        let answer = cloud
            .aws
            .s3_sending
            .upload_part()
            .bucket(&self.bucket)
            .key(&self.key)
            .expected_bucket_owner(&cloud.aws.account)
            .upload_id(&self.id)
            .part_number(number)
            .checksum_crc64_nvme(crc64.base64())
            .body(ByteStream::from(body))
            .customize()
            .disable_payload_signing()
            .send()
            .await
            .map_err(|error| failure(cloud, "store a part of", self.place(), Cause::from(error)))?;
        Ok(Part {
            number,
            bytes,
            etag: answer.e_tag,
            crc64,
        })
    }

    /// Makes the object of its parts, in any order given, which are `content`; S3 checks the CRC of the whole.
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
        let whole = parts.iter().map(|part| (part.crc64, part.bytes)).reduce(
            |(begin, before), (next, bytes)| (begin.followed_by(next, bytes), before + bytes),
        );
        let parts = parts
            .into_iter()
            .map(|part| {
                CompletedPart::builder()
                    .part_number(part.number)
                    .set_e_tag(part.etag)
                    .checksum_crc64_nvme(part.crc64.base64())
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
            .set_checksum_crc64_nvme(whole.map(|(crc64, _)| crc64.base64()))
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
        .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
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
        .find(|upload| {
            // One that was begun with another checksum would refuse our parts.
            upload.key.as_deref() == Some(place.key)
                && upload.checksum_algorithm == Some(ChecksumAlgorithm::Crc64Nvme)
        })
        .and_then(|upload| upload.upload_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_s3_and_can_be_put_together() {
        // The check value of the catalogue of parametrised CRC algorithms: ae8b14860a799888.
        let whole = Crc64::of(b"123456789");
        assert_eq!(whole.base64(), "rosUhgp5mIg=");
        let (begin, end) = (Crc64::of(b"1234"), Crc64::of(b"56789"));
        assert_eq!(begin.followed_by(end, 5), whole);
        assert_ne!(end.followed_by(begin, 4), whole);
    }
}

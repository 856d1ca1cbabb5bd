//! S3 objects: look, put, get a range. (The buckets themselves are made elsewhere.)
//!
//! Every call carries `ExpectedBucketOwner`: a bucket of our name in another's hands is refused.

use aws_sdk_s3::primitives::ByteStream;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use jiff::Timestamp;

use super::head::head as head_object;
use crate::aws::Cause;
use crate::cloud::Cloud;
use crate::error::{Error, Result};

/// User metadata that carries the content's SHA-256: S3 itself has no SHA-256 over the whole of an
/// object that was put in parts.
pub(super) const META_SHA256: &str = "sha256";
/// Where an object is.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub bucket: &'a str,
    pub key: &'a str,
}

/// What is known of a content before it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub bytes: u64,
    /// Lower-case hex.
    pub md5: String,
    /// Lower-case hex.
    pub sha256: String,
    /// MIME type.
    pub mime: String,
}

impl Content {
    /// Whether just this is stored.
    pub fn is(&self, stored: Option<&Stored>) -> bool {
        stored.is_some_and(|stored| {
            stored.bytes == self.bytes && stored.sha256.as_deref() == Some(&self.sha256)
        })
    }
}

/// What S3 says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub bytes: u64,
    /// Lower-case hex, if whoever stored it said so.
    pub sha256: Option<String>,
}

/// Looks at an object; `None` if there is none.
pub async fn head(cloud: &Cloud, place: Place<'_>) -> Result<Option<Stored>> {
    let answer = head_object(&cloud.aws, place.bucket, place.key)
        .await
        .map_err(|cause| failure(cloud, "look at", place, cause))?;
    Ok(answer.map(|answer| {
        let named = answer
            .metadata()
            .and_then(|all| all.get(META_SHA256))
            .cloned();
        let counted = answer.checksum_sha256().and_then(hex_of_base64);
        Stored {
            bytes: answer
                .content_length()
                .and_then(|n| u64::try_from(n).ok())
                .unwrap_or(0),
            sha256: counted.or(named),
        }
    }))
}

/// Puts a content that is in memory; S3 checks MD5 and SHA-256 of what arrives.
pub async fn put(cloud: &Cloud, place: Place<'_>, content: &Content, body: Bytes) -> Result<()> {
    put_if(cloud, place, content, body, None)
        .await
        .map_err(|cause| failure(cloud, "store", place, cause))
}

/// The same where nothing is yet; `false`: something is there, or is being put at this moment. If the answer to an earlier
/// try was lost, that is our own.
pub async fn put_new(
    cloud: &Cloud,
    place: Place<'_>,
    content: &Content,
    body: Bytes,
) -> Result<bool> {
    match put_if(cloud, place, content, body, Some("*")).await {
        Ok(()) => Ok(true),
        Err(cause) if cause.is_any(&["PreconditionFailed", "ConditionalRequestConflict"]) => {
            Ok(false)
        }
        Err(cause) => Err(failure(cloud, "store", place, cause)),
    }
}

/// Without the payload's own signature: the SHA-256 of the payload is in a header that is signed.
async fn put_if(
    cloud: &Cloud,
    place: Place<'_>,
    content: &Content,
    body: Bytes,
    none_match: Option<&str>,
) -> Result<(), Cause> {
    cloud
        .aws
        .s3_sending
        .put_object()
        .bucket(place.bucket)
        .key(place.key)
        .expected_bucket_owner(&cloud.aws.account)
        .set_if_none_match(none_match.map(ToOwned::to_owned))
        .content_type(&content.mime)
        .set_content_md5(base64_of_hex(&content.md5))
        .set_checksum_sha256(base64_of_hex(&content.sha256))
        .metadata(META_SHA256, &content.sha256)
        .body(ByteStream::from(body))
        .customize()
        .disable_payload_signing()
        .send()
        .await?;
    Ok(())
}

/// A piece of an object on its way here.
#[derive(Debug)]
pub struct Piece {
    /// Bytes of the whole object.
    pub total: u64,
    /// Tells this version of the object from another.
    pub etag: Option<String>,
    body: ByteStream,
}

impl Piece {
    /// The next bytes; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        self.body
            .try_next()
            .await
            .map_err(|error| Error::failed("the connection broke").because(error))
    }
}

/// What a request for a range brought.
#[derive(Debug)]
pub enum Got {
    Piece(Piece),
    /// The object has no such byte; for the first one: it is empty.
    PastTheEnd,
    /// There is no such object.
    Missing,
}

/// Asks for the bytes from `first` to `last`, both included; fewer come at the object's end.
/// With `etag`, only of that version.
pub async fn get(
    cloud: &Cloud,
    place: Place<'_>,
    first: u64,
    last: u64,
    etag: Option<&str>,
) -> Result<Got> {
    let answer = cloud
        .aws
        .s3
        .get_object()
        .bucket(place.bucket)
        .key(place.key)
        .expected_bucket_owner(&cloud.aws.account)
        .range(format!("bytes={first}-{last}"))
        .set_if_match(etag.map(ToOwned::to_owned))
        .send()
        .await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let cause = Cause::from(error);
            if cause.is("InvalidRange") {
                return Ok(Got::PastTheEnd);
            }
            if cause.is("NoSuchKey") {
                return Ok(Got::Missing);
            }
            return Err(failure(cloud, "fetch", place, cause));
        }
    };
    let total = total_of(answer.content_range(), answer.content_length()).ok_or_else(|| {
        failure(
            cloud,
            "fetch",
            place,
            "S3 did not tell the object's size".into(),
        )
    })?;
    Ok(Got::Piece(Piece {
        total,
        etag: answer.e_tag,
        body: answer.body,
    }))
}

/// Reads a small object whole; `None` if there is none.
///
/// # Errors
/// If it has more than `most` bytes, or AWS refuses.
pub async fn read(cloud: &Cloud, place: Place<'_>, most: u64) -> Result<Option<Vec<u8>>> {
    let mut piece = match get(cloud, place, 0, most, None).await? {
        Got::Missing => return Ok(None),
        Got::PastTheEnd => return Ok(Some(Vec::new())),
        Got::Piece(piece) => piece,
    };
    if piece.total > most {
        return Err(failure(
            cloud,
            "read",
            place,
            "it has more bytes than such an object can have".into(),
        ));
    }
    let mut content = Vec::new();
    while let Some(bytes) = piece.next().await? {
        content.extend_from_slice(&bytes);
    }
    Ok(Some(content))
}

/// An object in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub key: String,
    pub bytes: u64,
    /// When it was written.
    pub written: Option<Timestamp>,
}

/// The objects of a bucket whose keys begin with `prefix`.
pub async fn list(cloud: &Cloud, bucket: &str, prefix: &str) -> Result<Vec<Listed>> {
    list_all(cloud, bucket, prefix)
        .await
        .map_err(|cause| not_listed(bucket, prefix, cause))
}

/// The same; none of a bucket that does not exist.
pub async fn list_if_there(cloud: &Cloud, bucket: &str, prefix: &str) -> Result<Vec<Listed>> {
    match list_all(cloud, bucket, prefix).await {
        Err(cause) if cause.is("NoSuchBucket") => Ok(Vec::new()),
        other => other.map_err(|cause| not_listed(bucket, prefix, cause)),
    }
}

fn not_listed(bucket: &str, prefix: &str, cause: Cause) -> Error {
    Error::failed(format!("cannot list s3://{bucket}/{prefix}")).because(cause)
}

async fn list_all(cloud: &Cloud, bucket: &str, prefix: &str) -> Result<Vec<Listed>, Cause> {
    let mut objects = cloud
        .aws
        .s3
        .list_objects_v2()
        .bucket(bucket)
        .prefix(prefix)
        .expected_bucket_owner(&cloud.aws.account)
        .into_paginator()
        .send();
    let mut all = Vec::new();
    while let Some(page) = objects.next().await {
        let page = page.map_err(Cause::from)?;
        all.extend(
            page.contents
                .unwrap_or_default()
                .into_iter()
                .filter_map(|one| {
                    Some(Listed {
                        key: one.key?,
                        bytes: u64::try_from(one.size.unwrap_or(0)).unwrap_or(0),
                        written: one
                            .last_modified
                            .and_then(|time| Timestamp::from_second(time.secs()).ok()),
                    })
                }),
        );
    }
    Ok(all)
}

/// Deletes an object; one that is not there is fine.
pub async fn delete(cloud: &Cloud, place: Place<'_>) -> Result<()> {
    cloud
        .aws
        .s3
        .delete_object()
        .bucket(place.bucket)
        .key(place.key)
        .expected_bucket_owner(&cloud.aws.account)
        .send()
        .await
        .map(|_| ())
        .map_err(|error| failure(cloud, "delete", place, Cause::from(error)))
}

/// The object's size: after the `/` of `bytes 0-9/100`, or the answer's length if it is whole.
fn total_of(range: Option<&str>, length: Option<i64>) -> Option<u64> {
    match range.and_then(|range| range.rsplit_once('/')) {
        Some((_, total)) => total.parse().ok(),
        None => length.and_then(|length| u64::try_from(length).ok()),
    }
}

impl From<&str> for Cause {
    fn from(message: &str) -> Self {
        Self {
            code: None,
            message: message.to_owned(),
            request_id: None,
            uncertain: false,
        }
    }
}

pub(super) fn failure(cloud: &Cloud, verb: &str, place: Place<'_>, cause: Cause) -> Error {
    let missing = cause.is("NoSuchBucket");
    let error = Error::failed(format!(
        "cannot {verb} {} in bucket {}",
        place.key, place.bucket
    ))
    .because(cause);
    if missing {
        return error.hint(format!(
            "stack {} is not up: create it with `muck up`",
            cloud.names.stack
        ));
    }
    error
}

fn base64_of_hex(digest: &str) -> Option<String> {
    hex::decode(digest).ok().map(|bytes| BASE64.encode(bytes))
}

/// `None` for the checksum of checksums (`…-4`) that objects put in parts have.
fn hex_of_base64(digest: &str) -> Option<String> {
    BASE64
        .decode(digest)
        .ok()
        .filter(|bytes| bytes.len() == 32)
        .map(hex::encode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_come_from_the_range_or_the_length() {
        assert_eq!(total_of(Some("bytes 0-9/100"), Some(10)), Some(100));
        assert_eq!(total_of(None, Some(7)), Some(7));
        assert_eq!(total_of(Some("bytes 0-9/*"), Some(10)), None);
        assert_eq!(total_of(None, None), None);
    }

    #[test]
    fn digests_change_their_writing() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let base64 = base64_of_hex(empty).expect("hex");
        assert_eq!(base64, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        assert_eq!(hex_of_base64(&base64).as_deref(), Some(empty));
        assert_eq!(
            hex_of_base64("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=-4"),
            None
        );
    }
}

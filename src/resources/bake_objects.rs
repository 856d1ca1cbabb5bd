//! What a builder and we hand each other through the input bucket: the worker binary, the report. The
//! builder has no role; presigned URLs are all that it may do.

use std::path::Path;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;

use super::head::head;
use crate::aws::{Aws, Cause};
use crate::error::{Error, Result};

/// Uploads a file under a key that is made of its content, unless it is there. Returns whether it was
/// sent.
pub async fn upload_once(
    aws: &Aws,
    bucket: &str,
    key: &str,
    path: &Path,
    bytes: u64,
) -> Result<bool> {
    let place = || format!("{key} in the bucket {bucket}");
    let there = head(aws, bucket, key)
        .await
        .map_err(|cause| Error::failed(format!("cannot look for {}", place())).because(cause))?;
    if there.is_some_and(|object| object.content_length == i64::try_from(bytes).ok()) {
        return Ok(false);
    }
    let body = ByteStream::from_path(path)
        .await
        .map_err(|error| Error::failed(format!("cannot read {}", path.display())).because(error))?;
    aws.s3
        .put_object()
        .bucket(bucket)
        .key(key)
        .expected_bucket_owner(&aws.account)
        .body(body)
        .send()
        .await
        .map_err(|error| {
            Error::failed(format!("cannot upload {}", place())).because(Cause::from(error))
        })?;
    Ok(true)
}

/// A URL by which anyone may get the object until `valid` is over (or `signer` expires).
pub async fn presign_get(
    aws: &Aws,
    signer: &Credentials,
    bucket: &str,
    key: &str,
    valid: Duration,
) -> Result<String> {
    let request = aws
        .s3
        .get_object()
        .bucket(bucket)
        .key(key)
        .customize()
        .config_override(aws_sdk_s3::config::Builder::new().credentials_provider(signer.clone()))
        .presigned(presigning(valid)?)
        .await
        .map_err(|error| cannot_presign(key, error))?;
    Ok(request.uri().to_owned())
}

/// A URL by which anyone may put the object until `valid` is over (or `signer` expires).
pub async fn presign_put(
    aws: &Aws,
    signer: &Credentials,
    bucket: &str,
    key: &str,
    valid: Duration,
) -> Result<String> {
    // Otherwise the signature covers the checksum of an empty body, and only that could be put.
    let plain = aws_sdk_s3::config::Builder::new()
        .request_checksum_calculation(aws_sdk_s3::config::RequestChecksumCalculation::WhenRequired)
        .credentials_provider(signer.clone());
    let request = aws
        .s3
        .put_object()
        .bucket(bucket)
        .key(key)
        .customize()
        .config_override(plain)
        .presigned(presigning(valid)?)
        .await
        .map_err(|error| cannot_presign(key, error))?;
    if let Some((name, _)) = request.headers().next() {
        return Err(Error::failed(format!(
            "the presigned PUT of {key} needs the header {name}, which the builder does not send"
        )));
    }
    Ok(request.uri().to_owned())
}

fn presigning(valid: Duration) -> Result<PresigningConfig> {
    PresigningConfig::expires_in(valid).map_err(|error| {
        Error::failed(format!("no URL can be valid for {} s", valid.as_secs())).because(error)
    })
}

fn cannot_presign(key: &str, error: impl Into<Cause>) -> Error {
    Error::failed(format!("cannot presign a URL for {key}")).because(error.into())
}

/// The object's content as text; `None` if there is none.
pub async fn read_text(aws: &Aws, bucket: &str, key: &str) -> Result<Option<String>> {
    let failed = || Error::failed(format!("cannot read {key} in the bucket {bucket}"));
    let get = aws
        .s3
        .get_object()
        .bucket(bucket)
        .key(key)
        .expected_bucket_owner(&aws.account);
    let object = match get.send().await {
        Ok(object) => object,
        Err(error)
            if error
                .as_service_error()
                .is_some_and(GetObjectError::is_no_such_key) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(failed().because(Cause::from(error))),
    };
    let bytes = object
        .body
        .collect()
        .await
        .map_err(|error| failed().because(error))?
        .into_bytes();
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Deletes the object; no error if there is none.
pub async fn delete(aws: &Aws, bucket: &str, key: &str) -> Result<()> {
    aws.s3
        .delete_object()
        .bucket(bucket)
        .key(key)
        .expected_bucket_owner(&aws.account)
        .send()
        .await
        .map_err(|error| {
            Error::failed(format!("cannot delete {key} in the bucket {bucket}"))
                .because(Cause::from(error))
        })?;
    Ok(())
}

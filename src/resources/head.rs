//! Looks at an S3 object without fetching it.

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::head_object::{HeadObjectError, HeadObjectOutput};
use aws_sdk_s3::types::ChecksumMode;

use crate::aws::{Aws, Cause};

/// What S3 says of the object; `None` if there is none.
///
/// # Errors
/// With S3's reason. An answer to HEAD has no body that could say why it was refused, so that is asked by a
/// GET of one byte, which needs the same permission.
pub(super) async fn head(
    aws: &Aws,
    bucket: &str,
    key: &str,
) -> Result<Option<HeadObjectOutput>, Cause> {
    let answer = aws
        .s3
        .head_object()
        .bucket(bucket)
        .key(key)
        .expected_bucket_owner(&aws.account)
        .checksum_mode(ChecksumMode::Enabled)
        .send()
        .await;
    let error = match answer {
        Ok(answer) => return Ok(Some(answer)),
        Err(error) => error,
    };
    if error
        .as_service_error()
        .is_some_and(HeadObjectError::is_not_found)
    {
        return Ok(None);
    }
    let status = match &error {
        SdkError::ServiceError(service) => Some(service.raw().status().as_u16()),
        _ => None,
    };
    let mut cause = Cause::from(error);
    let Some(status) = status.filter(|_| cause.code.is_none()) else {
        return Err(cause);
    };
    let reason = aws
        .s3
        .get_object()
        .bucket(bucket)
        .key(key)
        .expected_bucket_owner(&aws.account)
        .range("bytes=0-0")
        .send()
        .await
        .map_err(Cause::from)
        .err();
    match reason {
        Some(reason) if reason.is("NoSuchKey") => Ok(None),
        Some(reason) if reason.code.is_some() => Err(reason),
        _ => {
            // "If you don't have the s3:ListBucket permission, Amazon S3 returns an HTTP status code 403 ("access
            // denied") error" (Amazon S3 API Reference, HeadObject).
            cause.code = (status == 403).then(|| "AccessDenied".to_owned());
            cause.message = format!("S3 answered HTTP {status} and no reason");
            Err(cause)
        }
    }
}

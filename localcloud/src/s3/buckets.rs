//! Buckets: finding, listing, deleting. Making one is in `create_bucket`.

use s3s::dto::{
    self, DeleteBucketInput, DeleteBucketOutput, GetBucketLocationInput, GetBucketLocationOutput,
    GetBucketVersioningInput, GetBucketVersioningOutput, HeadBucketInput, HeadBucketOutput,
    ListBucketsInput, ListBucketsOutput, PutBucketVersioningInput, PutBucketVersioningOutput,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::LocalS3;
use super::wire::{owner, time};
use crate::account::REGION;
use crate::state::s3::{self as state, Versioning};

/// The most buckets a page may hold, and what one holds unasked (API reference).
const MAX_BUCKETS: usize = 10_000;

pub(super) async fn list(
    s3: &LocalS3,
    request: S3Request<ListBucketsInput>,
) -> S3Result<S3Response<ListBucketsOutput>> {
    let input = request.input;
    let limit = match input.max_buckets {
        None => MAX_BUCKETS,
        Some(asked) => usize::try_from(asked)
            .ok()
            .filter(|asked| (1..=MAX_BUCKETS).contains(asked))
            .ok_or_else(|| {
                s3_error!(
                    InvalidArgument,
                    "max-buckets is 1 to {}, not {}",
                    MAX_BUCKETS,
                    asked
                )
            })?,
    };
    let elsewhere = input
        .bucket_region
        .as_ref()
        .is_some_and(|region| region.as_str() != REGION);
    let prefix = input.prefix.clone().unwrap_or_default();
    let after = input.continuation_token.unwrap_or_default();
    let mut found = if elsewhere {
        Vec::new()
    } else {
        s3.state(move |tx| state::list_buckets(tx, &prefix, &after, limit + 1))
            .await?
    };
    let more = found.len() > limit;
    found.truncate(limit);
    let continuation_token = found
        .last()
        .filter(|_| more)
        .map(|bucket| bucket.name.clone());
    let buckets = found
        .into_iter()
        .map(|bucket| dto::Bucket {
            bucket_region: Some(REGION.to_owned()),
            creation_date: Some(time(bucket.created)),
            name: Some(bucket.name),
        })
        .collect();
    Ok(S3Response::new(ListBucketsOutput {
        buckets: Some(buckets),
        continuation_token,
        owner: Some(owner()),
        prefix: input.prefix,
    }))
}

pub(super) async fn head(
    s3: &LocalS3,
    request: S3Request<HeadBucketInput>,
) -> S3Result<S3Response<HeadBucketOutput>> {
    let bucket = request.input.bucket;
    s3.state(move |tx| state::find_bucket(tx, &bucket)).await?;
    Ok(S3Response::new(HeadBucketOutput {
        bucket_region: Some(REGION.to_owned()),
        access_point_alias: Some(false),
        ..HeadBucketOutput::default()
    }))
}

pub(super) async fn location(
    s3: &LocalS3,
    request: S3Request<GetBucketLocationInput>,
) -> S3Result<S3Response<GetBucketLocationOutput>> {
    let bucket = request.input.bucket;
    s3.state(move |tx| state::find_bucket(tx, &bucket)).await?;
    Ok(S3Response::new(GetBucketLocationOutput {
        location_constraint: Some(REGION.to_owned().into()),
    }))
}

pub(super) async fn delete(
    s3: &LocalS3,
    request: S3Request<DeleteBucketInput>,
) -> S3Result<S3Response<DeleteBucketOutput>> {
    let bucket = request.input.bucket;
    let files = s3
        .state(move |tx| state::delete_bucket(tx, &bucket))
        .await?;
    s3.discard(files);
    Ok(S3Response::new(DeleteBucketOutput::default()))
}

pub(super) async fn versioning(
    s3: &LocalS3,
    request: S3Request<GetBucketVersioningInput>,
) -> S3Result<S3Response<GetBucketVersioningOutput>> {
    let bucket = request.input.bucket;
    let bucket = s3.state(move |tx| state::find_bucket(tx, &bucket)).await?;
    Ok(S3Response::new(GetBucketVersioningOutput {
        status: bucket
            .versioning
            .map(|versioning| versioning.as_str().to_owned().into()),
        ..GetBucketVersioningOutput::default()
    }))
}

pub(super) async fn set_versioning(
    s3: &LocalS3,
    request: S3Request<PutBucketVersioningInput>,
) -> S3Result<S3Response<PutBucketVersioningOutput>> {
    let bucket = request.input.bucket;
    let configuration = request.input.versioning_configuration;
    if configuration.mfa_delete.is_some() {
        return Err(s3_error!(NotImplemented, "MFADelete is not implemented"));
    }
    let status = configuration.status;
    let versioning = match status.as_ref().map(dto::BucketVersioningStatus::as_str) {
        Some("Enabled") => Versioning::Enabled,
        Some("Suspended") => Versioning::Suspended,
        _ => {
            return Err(s3_error!(
                IllegalVersioningConfigurationException,
                "The versioning configuration specified in the request is invalid: \
                 Status is Enabled or Suspended"
            ));
        }
    };
    s3.state(move |tx| state::set_versioning(tx, &bucket, versioning))
        .await?;
    Ok(S3Response::new(PutBucketVersioningOutput::default()))
}

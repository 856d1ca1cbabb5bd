//! Tags: their rules, and those of objects.

use s3s::dto::{
    self, DeleteObjectTaggingInput, DeleteObjectTaggingOutput, GetObjectTaggingInput,
    GetObjectTaggingOutput, PutObjectTaggingInput, PutObjectTaggingOutput,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::LocalS3;
use super::read::find;
use crate::state::s3::{self as state, Tags};

/// How many tags an object may have (S3 User Guide, "Categorizing your objects using tags").
const MAX_OBJECT_TAGS: usize = 10;

pub(super) fn from_set(set: dto::TagSet) -> S3Result<Tags> {
    set.into_iter()
        .map(|tag| match (tag.key, tag.value) {
            (Some(key), Some(value)) => Ok((key, value)),
            _ => Err(s3_error!(MalformedXML, "a tag has a key and a value")),
        })
        .collect()
}

pub(super) fn to_set(tags: Tags) -> dto::TagSet {
    tags.into_iter()
        .map(|(key, value)| dto::Tag {
            key: Some(key),
            value: Some(value),
        })
        .collect()
}

/// # Errors
/// `InvalidTag` for a key or value that is too long, reserved or given twice; `BadRequest` for too
/// many.
pub(super) fn check_tags(tags: &Tags, most: usize) -> S3Result<()> {
    if tags.len() > most {
        return Err(s3_error!(
            InvalidTag,
            "there can't be more than {} tags",
            most
        ));
    }
    for (place, (key, value)) in tags.iter().enumerate() {
        if key.is_empty() || key.chars().count() > 128 {
            return Err(s3_error!(
                InvalidTag,
                "The TagKey you have provided is invalid: 1 to 128 characters"
            ));
        }
        if value.chars().count() > 256 {
            return Err(s3_error!(
                InvalidTag,
                "The TagValue you have provided is invalid: at most 256 characters"
            ));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(s3_error!(
                InvalidTag,
                "System tags cannot be added/updated by requester"
            ));
        }
        if tags[..place].iter().any(|(other, _)| other == key) {
            return Err(s3_error!(
                InvalidTag,
                "Cannot provide multiple Tags with the same key"
            ));
        }
    }
    Ok(())
}

/// Reads `x-amz-tagging: a=b&c=d`.
pub(super) fn from_header(header: Option<&String>) -> S3Result<Tags> {
    let tags: Tags = header
        .map(|text| {
            url::form_urlencoded::parse(text.as_bytes())
                .into_owned()
                .collect()
        })
        .unwrap_or_default();
    check_tags(&tags, MAX_OBJECT_TAGS)?;
    Ok(tags)
}

pub(super) async fn get(
    s3: &LocalS3,
    request: S3Request<GetObjectTaggingInput>,
) -> S3Result<S3Response<GetObjectTaggingOutput>> {
    let input = request.input;
    let (version, shown) = s3
        .state(move |tx| find(tx, &input.bucket, &input.key, input.version_id.as_deref()))
        .await?
        .into_object()?;
    Ok(S3Response::new(GetObjectTaggingOutput {
        tag_set: to_set(version.tags),
        version_id: shown,
    }))
}

pub(super) async fn put(
    s3: &LocalS3,
    request: S3Request<PutObjectTaggingInput>,
) -> S3Result<S3Response<PutObjectTaggingOutput>> {
    let input = request.input;
    let tags = from_set(input.tagging.tag_set)?;
    check_tags(&tags, MAX_OBJECT_TAGS)?;
    let version_id = replace(s3, input.bucket, input.key, input.version_id, tags).await?;
    Ok(S3Response::new(PutObjectTaggingOutput { version_id }))
}

pub(super) async fn delete(
    s3: &LocalS3,
    request: S3Request<DeleteObjectTaggingInput>,
) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
    let input = request.input;
    let version_id = replace(s3, input.bucket, input.key, input.version_id, Tags::new()).await?;
    Ok(S3Response::new(DeleteObjectTaggingOutput { version_id }))
}

async fn replace(
    s3: &LocalS3,
    bucket: String,
    key: String,
    version_id: Option<String>,
    tags: Tags,
) -> S3Result<Option<String>> {
    let found = s3
        .state(move |tx| {
            let found = find(tx, &bucket, &key, version_id.as_deref())?;
            if let Some(version) = found.object() {
                state::set_tags(tx, version.seq, &tags)?;
            }
            Ok(found)
        })
        .await?;
    Ok(found.into_object()?.1)
}

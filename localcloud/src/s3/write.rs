//! `PutObject` and `CopyObject`.

use s3s::dto::{
    self, CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, PutObjectInput,
    PutObjectOutput,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::LocalS3;
use super::access::object_arn;
use super::bodies::NewFile;
use super::checksums::{Algorithm, Declared, Digests};
use super::read::{Conditions, Verdict, failed, open};
use super::receive::{Received, receive};
use super::send::send;
use super::tagging;
use super::wire::{self, ChecksumFields, etag, internal, length, time};
use crate::state::s3::{self as state, Condition, NewObject, Put, Segment};

/// The most that `CopyObject` copies at once (API reference: 5 GiB).
const MAX_COPY: u64 = 5 * 1024 * 1024 * 1024;

pub(super) async fn put(
    s3: &LocalS3,
    request: S3Request<PutObjectInput>,
) -> S3Result<S3Response<PutObjectOutput>> {
    let input = request.input;
    check_encryption(input.server_side_encryption.as_ref())?;
    check_acl(input.acl.as_ref())?;
    let tags = tagging::from_header(input.tagging.as_ref())?;
    let attributes = wire::attributes!(input);
    let condition = condition(input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let declared = Declared::of(&request.headers)?;
    let watch = s3.watch(&input.bucket, &input.key, &condition);
    {
        let (bucket, key, condition) = (input.bucket.clone(), input.key.clone(), condition.clone());
        s3.state(move |tx| {
            state::find_bucket(tx, &bucket)?;
            state::check_condition(tx, &bucket, &key, &condition)
        })
        .await?;
    }
    // Where the caller names no checksum S3 takes this one by itself.
    let algorithm = declared.algorithm().unwrap_or(Algorithm::Crc64Nvme);
    let received = receive(&s3.bodies, input.body, Digests::new(algorithm)).await?;
    declared.verify(&received.digested, request.trailing_headers.as_ref())?;
    let Received {
        file,
        size,
        digested,
    } = received;
    let object = NewObject {
        key: input.key,
        size,
        etag: hex::encode(digested.md5),
        attributes,
        checksum: Some(digested.checksum),
        tags,
        segments: Vec::new(),
        parts: None,
    };
    let checksum = ChecksumFields::of(object.checksum.as_ref());
    let tag = object.etag.clone();
    let put = store(
        s3,
        input.bucket,
        object,
        file.into_iter().map(|file| (file, size)).collect(),
        condition,
        watch,
    )
    .await?;
    Ok(S3Response::new(PutObjectOutput {
        checksum_crc32: checksum.crc32,
        checksum_crc32c: checksum.crc32c,
        checksum_crc64nvme: checksum.crc64nvme,
        checksum_sha1: checksum.sha1,
        checksum_sha256: checksum.sha256,
        checksum_type: checksum.kind,
        e_tag: Some(etag(&tag)),
        server_side_encryption: Some(aes256()),
        size: Some(length(size)),
        version_id: put.version_id,
        ..PutObjectOutput::default()
    }))
}

/// Moves the files among the bodies and commits the object; whatever fails, nothing is left.
async fn store(
    s3: &LocalS3,
    bucket: String,
    mut object: NewObject,
    files: Vec<(NewFile, u64)>,
    condition: Condition,
    watch: super::conflicts::Watch,
) -> S3Result<Put> {
    let now = s3.clock.now();
    let put = s3
        .state(move |tx| {
            let mut kept = Vec::new();
            for (number, (mut file, size)) in (1..).zip(files) {
                let id = file.publish().map_err(crate::error::ApiError::internal)?;
                object.segments.push(Segment {
                    number,
                    file: id,
                    size,
                    checksum: None,
                });
                kept.push(file);
            }
            watch.check()?;
            let bucket = state::find_bucket(tx, &bucket)?;
            let put = state::put_object(tx, &bucket, &object, &condition, now)?;
            Ok((put, kept))
        })
        .await?;
    let (put, kept) = put;
    kept.into_iter().for_each(NewFile::keep);
    s3.discard(put.doomed.clone());
    Ok(put)
}

pub(super) fn condition(
    if_match: Option<&dto::ETagCondition>,
    if_none_match: Option<&dto::ETagCondition>,
) -> S3Result<Condition> {
    match (if_match, if_none_match) {
        (None, None) => Ok(Condition::None),
        (None, Some(dto::ETagCondition::Any)) => Ok(Condition::Absent),
        (Some(dto::ETagCondition::ETag(tag)), None) => {
            Ok(Condition::Matches(tag.value().to_owned()))
        }
        // S3 takes no other conditions on writes.
        _ => Err(s3_error!(
            NotImplemented,
            "A header you provided implies functionality that is not implemented: \
             writes take If-None-Match: * or If-Match with an ETag, and not both"
        )),
    }
}

pub(super) fn check_encryption(algorithm: Option<&dto::ServerSideEncryption>) -> S3Result<()> {
    match algorithm.map(dto::ServerSideEncryption::as_str) {
        None | Some(dto::ServerSideEncryption::AES256) => Ok(()),
        Some(other) => Err(s3_error!(
            NotImplemented,
            "server-side encryption {} is not implemented; only AES256 is",
            other
        )),
    }
}

pub(super) fn check_acl(acl: Option<&dto::ObjectCannedACL>) -> S3Result<()> {
    match acl.map(dto::ObjectCannedACL::as_str) {
        None | Some("private" | "bucket-owner-full-control") => Ok(()),
        Some(_) => Err(s3_error!(
            AccessControlListNotSupported,
            "The bucket does not allow ACLs"
        )),
    }
}

pub(super) fn aes256() -> dto::ServerSideEncryption {
    dto::ServerSideEncryption::from_static(dto::ServerSideEncryption::AES256)
}

pub(super) async fn copy(
    s3: &LocalS3,
    request: S3Request<CopyObjectInput>,
) -> S3Result<S3Response<CopyObjectOutput>> {
    let input = request.input;
    check_encryption(input.server_side_encryption.as_ref())?;
    check_acl(input.acl.as_ref())?;
    let condition = condition_of_copy(&request.headers)?;
    let CopySource::Bucket {
        bucket: source_bucket,
        key: source_key,
        version_id,
    } = &input.copy_source
    else {
        return Err(s3_error!(
            NotImplemented,
            "x-amz-copy-source through an access point"
        ));
    };
    let caller: Option<&crate::caller::Caller> = request.extensions.get();
    if let Some(caller) = caller {
        let action = if version_id.is_some() {
            "s3:GetObjectVersion"
        } else {
            "s3:GetObject"
        };
        s3.gate
            .demand(caller, action, &object_arn(source_bucket, source_key), &[])
            .await?;
    }
    let replace = directive(
        input
            .metadata_directive
            .as_ref()
            .map(dto::MetadataDirective::as_str),
        "x-amz-metadata-directive",
    )?;
    let retag = directive(
        input
            .tagging_directive
            .as_ref()
            .map(dto::TaggingDirective::as_str),
        "x-amz-tagging-directive",
    )?;
    let itself = **source_bucket == *input.bucket && **source_key == *input.key;
    if itself && !replace && version_id.is_none() && input.storage_class.is_none() {
        return Err(s3_error!(
            InvalidRequest,
            "This copy request is illegal because it is trying to copy an object to itself without changing \
             the object's metadata, storage class, website redirect location or encryption attributes."
        ));
    }
    let source = open(
        s3,
        caller,
        source_bucket.to_string(),
        source_key.to_string(),
        version_id.as_deref().map(str::to_owned),
    )
    .await?;
    let conditions = Conditions {
        matches: input.copy_source_if_match.as_ref(),
        none_matches: input.copy_source_if_none_match.as_ref(),
        modified_since: input.copy_source_if_modified_since.as_ref(),
        unmodified_since: input.copy_source_if_unmodified_since.as_ref(),
    };
    if conditions.judge(&source.version) != Verdict::Go {
        return Err(failed());
    }
    if source.version.size > MAX_COPY {
        return Err(s3_error!(
            InvalidRequest,
            "The specified copy source is larger than the maximum allowable size for a copy source: {}",
            MAX_COPY
        ));
    }
    let mut attributes = if replace {
        wire::attributes!(input)
    } else {
        source.version.attributes.clone()
    };
    attributes.storage_class = input
        .storage_class
        .as_ref()
        .map(|class| class.as_str().to_owned())
        .filter(|class| class != dto::StorageClass::STANDARD);
    let tags = if retag {
        tagging::from_header(input.tagging.as_ref())?
    } else {
        source.version.tags.clone()
    };
    let watch = s3.watch(&input.bucket, &input.key, &condition);
    let algorithm = match &input.checksum_algorithm {
        Some(name) => Some(Algorithm::parse(name.as_str())?),
        None => None,
    };
    let same_checksum = algorithm.is_none_or(|algorithm| {
        source
            .version
            .checksum
            .as_ref()
            .is_some_and(|kept| kept.algorithm == algorithm.name())
    });
    let copied_version = source.shown.clone();
    let size = source.version.size;
    let (files, tag, checksum) = if source.version.parts.is_none() && same_checksum {
        // A simple object keeps its ETag and checksum, so a second link to its bytes is a copy.
        let bodies = s3.bodies.clone();
        let (segments, pin) = (source.segments, source.pin);
        let files = tokio::task::spawn_blocking(move || {
            let _pin = pin;
            segments
                .iter()
                .map(|segment| Ok((bodies.link(&segment.file)?, segment.size)))
                .collect::<std::io::Result<Vec<_>>>()
        })
        .await
        .map_err(internal)?
        .map_err(internal)?;
        (files, source.version.etag, source.version.checksum)
    } else {
        let body = send(&s3.bodies, source.segments, 0..size, source.pin);
        let algorithm = algorithm.unwrap_or(Algorithm::Crc64Nvme);
        let received = receive(&s3.bodies, Some(body), Digests::new(algorithm)).await?;
        let files = received.file.into_iter().map(|file| (file, size)).collect();
        (
            files,
            hex::encode(received.digested.md5),
            Some(received.digested.checksum),
        )
    };
    let object = NewObject {
        key: input.key,
        size,
        etag: tag.clone(),
        attributes,
        checksum,
        tags,
        segments: Vec::new(),
        parts: None,
    };
    let shown = ChecksumFields::of(object.checksum.as_ref());
    let modified = s3.clock.now();
    let put = store(s3, input.bucket, object, files, condition, watch).await?;
    Ok(S3Response::new(CopyObjectOutput {
        copy_object_result: Some(CopyObjectResult {
            checksum_crc32: shown.crc32,
            checksum_crc32c: shown.crc32c,
            checksum_crc64nvme: shown.crc64nvme,
            checksum_sha1: shown.sha1,
            checksum_sha256: shown.sha256,
            checksum_type: shown.kind,
            e_tag: Some(etag(&tag)),
            last_modified: Some(time(modified)),
        }),
        copy_source_version_id: copied_version,
        server_side_encryption: Some(aes256()),
        version_id: put.version_id,
        ..CopyObjectOutput::default()
    }))
}

/// The model behind `s3s` does not know these two headers on a copy yet.
fn condition_of_copy(headers: &http::HeaderMap) -> S3Result<Condition> {
    let read = |name: http::HeaderName| {
        headers
            .get(&name)
            .map(|value| {
                dto::ETagCondition::parse_http_header(value.as_bytes())
                    .map_err(|_| s3_error!(InvalidArgument, "invalid header: {}", name))
            })
            .transpose()
    };
    condition(
        read(http::header::IF_MATCH)?.as_ref(),
        read(http::header::IF_NONE_MATCH)?.as_ref(),
    )
}

/// Whether a directive says to replace.
fn directive(value: Option<&str>, name: &str) -> S3Result<bool> {
    match value {
        None | Some("COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(other) => Err(s3_error!(
            InvalidArgument,
            "{} is COPY or REPLACE, not {}",
            name,
            other
        )),
    }
}

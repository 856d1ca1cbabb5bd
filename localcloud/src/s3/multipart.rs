//! Multipart uploads: beginning, parts, aborting, listing. How one becomes an object is in
//! `completion`.

use s3s::dto::{
    self, AbortMultipartUploadInput, AbortMultipartUploadOutput, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, Initiator, ListMultipartUploadsInput, ListMultipartUploadsOutput,
    ListPartsInput, ListPartsOutput, MultipartUpload, UploadPartInput, UploadPartOutput,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::LocalS3;
use super::checksums::{Algorithm, Declared, Digests};
use super::listing::{page_size, shown_size};
use super::receive::receive;
use super::tagging;
use super::wire::{self, ChecksumFields, canonical_id, etag, kind, length, owner, time};
use super::write::{aes256, check_acl, check_encryption};
use crate::state::s3::{self as state, ChecksumKind, NewPart, NewUpload, Upload};

/// Part numbers go from 1 to this (S3 User Guide, "Amazon S3 multipart upload limits").
const MAX_PART_NUMBER: u32 = 10_000;

fn initiator() -> Initiator {
    Initiator {
        display_name: None,
        id: Some(canonical_id()),
    }
}

pub(super) async fn create(
    s3: &LocalS3,
    request: S3Request<CreateMultipartUploadInput>,
) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
    let input = request.input;
    check_encryption(input.server_side_encryption.as_ref())?;
    check_acl(input.acl.as_ref())?;
    let checksum = chosen_checksum(
        input.checksum_algorithm.as_ref(),
        input.checksum_type.as_ref(),
    )?;
    let new = NewUpload {
        attributes: wire::attributes!(input),
        tags: tagging::from_header(input.tagging.as_ref())?,
        bucket: input.bucket.clone(),
        key: input.key.clone(),
        checksum: checksum.map(|(algorithm, kind)| (algorithm.name().to_owned(), kind)),
    };
    let now = s3.clock.now();
    let id = s3
        .state(move |tx| {
            state::find_bucket(tx, &new.bucket)?;
            state::create_upload(tx, &new, now)
        })
        .await?;
    Ok(S3Response::new(CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        checksum_algorithm: input.checksum_algorithm,
        checksum_type: checksum.map(|(_, of)| kind(of)),
        key: Some(input.key),
        server_side_encryption: Some(aes256()),
        upload_id: Some(id),
        ..CreateMultipartUploadOutput::default()
    }))
}

fn chosen_checksum(
    algorithm: Option<&dto::ChecksumAlgorithm>,
    of: Option<&dto::ChecksumType>,
) -> S3Result<Option<(Algorithm, ChecksumKind)>> {
    let Some(algorithm) = algorithm else {
        return match of {
            None => Ok(None),
            Some(_) => Err(s3_error!(
                InvalidRequest,
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
            )),
        };
    };
    let algorithm = Algorithm::parse(algorithm.as_str())?;
    let of = match of.map(dto::ChecksumType::as_str) {
        None => algorithm.default_kind(),
        Some(dto::ChecksumType::FULL_OBJECT) => ChecksumKind::FullObject,
        Some(dto::ChecksumType::COMPOSITE) => ChecksumKind::Composite,
        Some(other) => {
            return Err(s3_error!(
                InvalidArgument,
                "x-amz-checksum-type is FULL_OBJECT or COMPOSITE, not {}",
                other
            ));
        }
    };
    let sha = matches!(algorithm, Algorithm::Sha1 | Algorithm::Sha256);
    let crc64 = algorithm == Algorithm::Crc64Nvme;
    if (sha && of == ChecksumKind::FullObject) || (crc64 && of == ChecksumKind::Composite) {
        return Err(s3_error!(
            InvalidRequest,
            "The {} checksum type cannot be used with the {} checksum algorithm.",
            kind(of).as_str(),
            algorithm.name().to_lowercase()
        ));
    }
    Ok(Some((algorithm, of)))
}

pub(super) async fn upload_part(
    s3: &LocalS3,
    request: S3Request<UploadPartInput>,
) -> S3Result<S3Response<UploadPartOutput>> {
    let input = request.input;
    let number = u32::try_from(input.part_number)
        .ok()
        .filter(|number| (1..=MAX_PART_NUMBER).contains(number))
        .ok_or_else(|| {
            s3_error!(
                InvalidArgument,
                "Part number must be an integer between 1 and {}, inclusive",
                MAX_PART_NUMBER
            )
        })?;
    let declared = Declared::of(&request.headers)?;
    let upload = find(s3, &input.bucket, &input.key, &input.upload_id).await?;
    let chosen = upload
        .checksum
        .as_ref()
        .map(|(name, _)| Algorithm::parse(name))
        .transpose()?;
    let algorithm = match (chosen, declared.algorithm()) {
        (Some(chosen), Some(sent)) if chosen != sent => {
            return Err(s3_error!(
                InvalidRequest,
                "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
                chosen.name().to_lowercase(),
                sent.name().to_lowercase()
            ));
        }
        (Some(chosen), _) => chosen,
        (None, Some(sent)) => sent,
        (None, None) => Algorithm::Crc64Nvme,
    };
    let received = receive(&s3.bodies, input.body, Digests::new(algorithm)).await?;
    declared.verify(&received.digested, request.trailing_headers.as_ref())?;
    let md5 = hex::encode(received.digested.md5);
    let checksum = received.digested.checksum;
    let mut part = NewPart {
        number,
        file: None,
        size: received.size,
        md5: md5.clone(),
        algorithm: checksum.algorithm.clone(),
        checksum: checksum.value.clone(),
    };
    let mut file = received.file;
    let now = s3.clock.now();
    let (replaced, file) = s3
        .state(move |tx| {
            if let Some(new) = &mut file {
                part.file = Some(new.publish().map_err(crate::error::ApiError::internal)?);
            }
            let replaced =
                state::put_part(tx, &input.bucket, &input.key, &input.upload_id, &part, now)?;
            Ok((replaced, file))
        })
        .await?;
    if let Some(file) = file {
        file.keep();
    }
    s3.discard(replaced.into_iter().collect());
    // A part's checksum is shown only to a caller who asked for one.
    let shown = if chosen.is_some() || declared.algorithm().is_some() {
        ChecksumFields::of(Some(&checksum))
    } else {
        ChecksumFields::default()
    };
    Ok(S3Response::new(UploadPartOutput {
        checksum_crc32: shown.crc32,
        checksum_crc32c: shown.crc32c,
        checksum_crc64nvme: shown.crc64nvme,
        checksum_sha1: shown.sha1,
        checksum_sha256: shown.sha256,
        e_tag: Some(etag(&md5)),
        server_side_encryption: Some(aes256()),
        ..UploadPartOutput::default()
    }))
}

async fn find(s3: &LocalS3, bucket: &str, key: &str, id: &str) -> S3Result<Upload> {
    let (bucket, key, id) = (bucket.to_owned(), key.to_owned(), id.to_owned());
    s3.state(move |tx| {
        state::find_bucket(tx, &bucket)?;
        state::find_upload(tx, &bucket, &key, &id)
    })
    .await
}

pub(super) async fn abort(
    s3: &LocalS3,
    request: S3Request<AbortMultipartUploadInput>,
) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
    let input = request.input;
    if input.if_match_initiated_time.is_some() {
        return Err(s3_error!(
            NotImplemented,
            "x-amz-if-match-initiated-time is for directory buckets"
        ));
    }
    let files = s3
        .state(move |tx| {
            state::find_bucket(tx, &input.bucket)?;
            state::abort_upload(tx, &input.bucket, &input.key, &input.upload_id)
        })
        .await?;
    s3.discard(files);
    Ok(S3Response::new(AbortMultipartUploadOutput::default()))
}

pub(super) async fn parts(
    s3: &LocalS3,
    request: S3Request<ListPartsInput>,
) -> S3Result<S3Response<ListPartsOutput>> {
    let input = request.input;
    let limit = page_size(input.max_parts)?;
    let marker = input.part_number_marker.unwrap_or(0);
    let after = u32::try_from(marker).map_err(|_| {
        s3_error!(
            InvalidArgument,
            "part-number-marker is 0 or more, not {}",
            marker
        )
    })?;
    let (bucket, key, id) = (
        input.bucket.clone(),
        input.key.clone(),
        input.upload_id.clone(),
    );
    let (upload, mut found) = s3
        .state(move |tx| {
            state::find_bucket(tx, &bucket)?;
            let upload = state::find_upload(tx, &bucket, &key, &id)?;
            let found = state::list_parts(tx, &upload.id, after, limit + 1)?;
            Ok((upload, found))
        })
        .await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found
        .last()
        .filter(|_| more)
        .and_then(|part| i32::try_from(part.number).ok());
    let shown = upload.checksum.is_some();
    let list = found
        .into_iter()
        .map(|part| {
            let sums = if shown {
                ChecksumFields::value(&part.algorithm, &part.checksum)
            } else {
                ChecksumFields::default()
            };
            dto::Part {
                checksum_crc32: sums.crc32,
                checksum_crc32c: sums.crc32c,
                checksum_crc64nvme: sums.crc64nvme,
                checksum_sha1: sums.sha1,
                checksum_sha256: sums.sha256,
                e_tag: Some(etag(&part.md5)),
                last_modified: Some(time(part.modified)),
                part_number: i32::try_from(part.number).ok(),
                size: Some(length(part.size)),
            }
        })
        .collect();
    Ok(S3Response::new(ListPartsOutput {
        bucket: Some(input.bucket),
        checksum_algorithm: upload
            .checksum
            .as_ref()
            .map(|(algorithm, _)| algorithm.clone().into()),
        checksum_type: upload.checksum.as_ref().map(|(_, of)| kind(*of)),
        initiator: Some(initiator()),
        is_truncated: Some(more),
        key: Some(input.key),
        max_parts: shown_size(limit),
        next_part_number_marker: next,
        owner: Some(owner()),
        part_number_marker: Some(marker),
        parts: Some(list),
        storage_class: Some(storage_class(&upload)),
        upload_id: Some(upload.id),
        ..ListPartsOutput::default()
    }))
}

fn storage_class(upload: &Upload) -> dto::StorageClass {
    upload
        .attributes
        .storage_class
        .clone()
        .unwrap_or_else(|| dto::StorageClass::STANDARD.to_owned())
        .into()
}

pub(super) async fn uploads(
    s3: &LocalS3,
    request: S3Request<ListMultipartUploadsInput>,
) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
    let input = request.input;
    if input.delimiter.is_some() || input.encoding_type.is_some() {
        return Err(s3_error!(
            NotImplemented,
            "delimiter and encoding-type are not implemented for ListMultipartUploads"
        ));
    }
    let limit = page_size(input.max_uploads)?;
    let (bucket, prefix) = (
        input.bucket.clone(),
        input.prefix.clone().unwrap_or_default(),
    );
    let key_marker = input.key_marker.clone().unwrap_or_default();
    // The API says that an upload id without a key is not looked at.
    let id_marker = input
        .upload_id_marker
        .clone()
        .filter(|id| !id.is_empty() && !key_marker.is_empty());
    let page = s3
        .state(move |tx| {
            state::find_bucket(tx, &bucket)?;
            state::list_uploads(
                tx,
                &bucket,
                &prefix,
                (&key_marker, id_marker.as_deref()),
                limit,
            )
        })
        .await?;
    let next = page.uploads.last().filter(|_| page.truncated).cloned();
    let shown = page
        .uploads
        .into_iter()
        .map(|upload| MultipartUpload {
            checksum_algorithm: upload
                .checksum
                .as_ref()
                .map(|(algorithm, _)| algorithm.clone().into()),
            checksum_type: upload.checksum.as_ref().map(|(_, of)| kind(*of)),
            initiated: Some(time(upload.initiated)),
            initiator: Some(initiator()),
            owner: Some(owner()),
            storage_class: Some(storage_class(&upload)),
            key: Some(upload.key),
            upload_id: Some(upload.id),
        })
        .collect();
    Ok(S3Response::new(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        is_truncated: Some(page.truncated),
        key_marker: Some(input.key_marker.unwrap_or_default()),
        max_uploads: shown_size(limit),
        next_key_marker: next.as_ref().map(|upload| upload.key.clone()),
        next_upload_id_marker: next.map(|upload| upload.id),
        prefix: input.prefix,
        upload_id_marker: Some(input.upload_id_marker.unwrap_or_default()),
        uploads: Some(shown),
        ..ListMultipartUploadsOutput::default()
    }))
}

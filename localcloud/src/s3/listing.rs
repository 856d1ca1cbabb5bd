//! `ListObjectsV2` and `ListObjectVersions`.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::{
    self, CommonPrefix, DeleteMarkerEntry, ListObjectVersionsInput, ListObjectVersionsOutput,
    ListObjectsV2Input, ListObjectsV2Output, Object, ObjectVersion,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::LocalS3;
use super::wire::{etag, kind, length, owner, time};
use crate::state::s3::{self as state, PageEntry, PageRequest, Version, VersionMarker};

/// What a page holds at most, and without being asked for less (API reference).
const MAX_PAGE: usize = 1000;

/// What stays as it is under `encoding-type=url`.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'*');

pub(super) fn page_size(asked: Option<i32>) -> S3Result<usize> {
    match asked {
        None => Ok(MAX_PAGE),
        Some(asked) => usize::try_from(asked)
            .map(|asked| asked.min(MAX_PAGE))
            .map_err(|_| {
                s3_error!(
                    InvalidArgument,
                    "the size of a page is 0 or more, not {}",
                    asked
                )
            }),
    }
}

pub(super) fn shown_size(limit: usize) -> Option<i32> {
    i32::try_from(limit).ok()
}

/// Writes keys as the caller asked for them.
struct Names {
    encode: bool,
}

impl Names {
    fn new(encoding: Option<&dto::EncodingType>) -> S3Result<Self> {
        match encoding.map(dto::EncodingType::as_str) {
            None => Ok(Self { encode: false }),
            Some("url") => Ok(Self { encode: true }),
            Some(other) => Err(s3_error!(
                InvalidArgument,
                "Invalid Encoding Method specified in Request: {}",
                other
            )),
        }
    }

    fn write(&self, name: String) -> String {
        if self.encode {
            utf8_percent_encode(&name, KEPT).to_string()
        } else {
            name
        }
    }
}

pub(super) async fn objects(
    s3: &LocalS3,
    request: S3Request<ListObjectsV2Input>,
) -> S3Result<S3Response<ListObjectsV2Output>> {
    let input = request.input;
    let names = Names::new(input.encoding_type.as_ref())?;
    let limit = page_size(input.max_keys)?;
    let after = match &input.continuation_token {
        Some(token) => Some(
            BASE64_URL_SAFE_NO_PAD
                .decode(token)
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(|| {
                    s3_error!(
                        InvalidArgument,
                        "The continuation token provided is incorrect"
                    )
                })?,
        ),
        None => input.start_after.clone(),
    };
    let (bucket, prefix) = (
        input.bucket.clone(),
        input.prefix.clone().unwrap_or_default(),
    );
    let delimiter = input.delimiter.clone().filter(|text| !text.is_empty());
    let page = s3
        .state(move |tx| {
            state::find_bucket(tx, &bucket)?;
            state::list_objects(
                tx,
                &PageRequest {
                    bucket: &bucket,
                    prefix: &prefix,
                    delimiter: delimiter.as_deref(),
                    after: after.as_deref(),
                    limit,
                },
            )
        })
        .await?;
    let next = page
        .entries
        .last()
        .filter(|_| page.truncated)
        .map(|entry| BASE64_URL_SAFE_NO_PAD.encode(entry.name()));
    let count = page.entries.len();
    let with_owner = input.fetch_owner.unwrap_or(false);
    let (mut contents, mut prefixes) = (Vec::new(), Vec::new());
    for entry in page.entries {
        match entry {
            PageEntry::Prefix(prefix) => prefixes.push(CommonPrefix {
                prefix: Some(names.write(prefix)),
            }),
            PageEntry::Version(version) => contents.push(object(*version, &names, with_owner)),
        }
    }
    Ok(S3Response::new(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(names.write(input.prefix.unwrap_or_default())),
        max_keys: shown_size(limit),
        key_count: shown_size(count),
        continuation_token: input.continuation_token,
        is_truncated: Some(page.truncated),
        next_continuation_token: next,
        contents: Some(contents),
        common_prefixes: Some(prefixes),
        delimiter: input.delimiter.map(|text| names.write(text)),
        encoding_type: input.encoding_type,
        start_after: input.start_after.map(|text| names.write(text)),
        ..ListObjectsV2Output::default()
    }))
}

fn class(version: &Version) -> String {
    version
        .attributes
        .storage_class
        .clone()
        .unwrap_or_else(|| "STANDARD".to_owned())
}

fn algorithms(version: &Version) -> Option<Vec<dto::ChecksumAlgorithm>> {
    version
        .checksum
        .as_ref()
        .map(|checksum| vec![dto::ChecksumAlgorithm::from(checksum.algorithm.clone())])
}

fn object(version: Version, names: &Names, with_owner: bool) -> Object {
    Object {
        checksum_algorithm: algorithms(&version),
        checksum_type: version.checksum.as_ref().map(|sum| kind(sum.kind)),
        e_tag: Some(etag(&version.etag)),
        last_modified: Some(time(version.modified)),
        owner: with_owner.then(owner),
        size: Some(length(version.size)),
        storage_class: Some(class(&version).into()),
        key: Some(names.write(version.key)),
        ..Object::default()
    }
}

pub(super) async fn versions(
    s3: &LocalS3,
    request: S3Request<ListObjectVersionsInput>,
) -> S3Result<S3Response<ListObjectVersionsOutput>> {
    let input = request.input;
    let names = Names::new(input.encoding_type.as_ref())?;
    let limit = page_size(input.max_keys)?;
    let key_marker = input.key_marker.clone().filter(|text| !text.is_empty());
    let version_marker = input
        .version_id_marker
        .clone()
        .filter(|text| !text.is_empty());
    if version_marker.is_some() && key_marker.is_none() {
        return Err(s3_error!(
            InvalidArgument,
            "A version-id marker cannot be specified without a key marker."
        ));
    }
    let (bucket, prefix) = (
        input.bucket.clone(),
        input.prefix.clone().unwrap_or_default(),
    );
    let delimiter = input.delimiter.clone().filter(|text| !text.is_empty());
    let page = s3
        .state(move |tx| {
            state::find_bucket(tx, &bucket)?;
            let marker = match (&key_marker, &version_marker) {
                (Some(key), Some(version_id)) => Some(VersionMarker { key, version_id }),
                _ => None,
            };
            state::list_versions(
                tx,
                &PageRequest {
                    bucket: &bucket,
                    prefix: &prefix,
                    delimiter: delimiter.as_deref(),
                    after: key_marker.as_deref(),
                    limit,
                },
                marker,
            )
        })
        .await?;
    let (mut next_key, mut next_version) = (None, None);
    if page.truncated {
        next_key = page
            .entries
            .last()
            .map(|entry| names.write(entry.name().to_owned()));
        if let Some(PageEntry::Version(version)) = page.entries.last() {
            next_version = Some(version.version_id.clone());
        }
    }
    let (mut versions, mut markers, mut prefixes) = (Vec::new(), Vec::new(), Vec::new());
    for entry in page.entries {
        match entry {
            PageEntry::Prefix(prefix) => prefixes.push(CommonPrefix {
                prefix: Some(names.write(prefix)),
            }),
            PageEntry::Version(version) if version.marker => markers.push(DeleteMarkerEntry {
                is_latest: Some(version.latest),
                key: Some(names.write(version.key)),
                last_modified: Some(time(version.modified)),
                owner: Some(owner()),
                version_id: Some(version.version_id),
            }),
            PageEntry::Version(version) => versions.push(ObjectVersion {
                checksum_algorithm: algorithms(&version),
                checksum_type: version.checksum.as_ref().map(|sum| kind(sum.kind)),
                e_tag: Some(etag(&version.etag)),
                is_latest: Some(version.latest),
                last_modified: Some(time(version.modified)),
                owner: Some(owner()),
                size: Some(length(version.size)),
                storage_class: Some(class(&version).into()),
                version_id: Some(version.version_id),
                key: Some(names.write(version.key)),
                ..ObjectVersion::default()
            }),
        }
    }
    Ok(S3Response::new(ListObjectVersionsOutput {
        common_prefixes: Some(prefixes),
        delete_markers: Some(markers),
        delimiter: input.delimiter.map(|text| names.write(text)),
        encoding_type: input.encoding_type,
        is_truncated: Some(page.truncated),
        key_marker: Some(names.write(input.key_marker.unwrap_or_default())),
        max_keys: shown_size(limit),
        name: Some(input.bucket),
        next_key_marker: next_key,
        next_version_id_marker: next_version,
        prefix: Some(names.write(input.prefix.unwrap_or_default())),
        version_id_marker: Some(input.version_id_marker.unwrap_or_default()),
        versions: Some(versions),
        ..ListObjectVersionsOutput::default()
    }))
}

//! `GetObject` and `HeadObject`: which version, under which conditions, which bytes.

use std::ops::Range;

use http::{HeaderMap, HeaderValue};
use rusqlite::Transaction;
use s3s::dto::{self, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use super::LocalS3;
use super::access::{bucket_arn, denied, object_arn};
use super::bodies::Pin;
use super::send::send;
use super::wire::{self, ChecksumFields, etag, length, time};
use crate::caller::Caller;
use crate::error::ApiResult;
use crate::state::s3::{self as state, Segment, Version};

/// What a key and a version id lead to.
pub(super) enum Found {
    /// With the version id as the caller sees it: none in a bucket that never had versioning.
    Object(Box<Version>, Option<String>),
    /// A delete marker; `true` where it was asked for by its id.
    Marker(String, bool),
    NoKey(String),
    NoVersion,
}

impl Found {
    pub(super) fn object(&self) -> Option<&Version> {
        match self {
            Self::Object(version, _) => Some(version),
            _ => None,
        }
    }

    /// # Errors
    /// `NoSuchKey`, `NoSuchVersion`, or `MethodNotAllowed` for a delete marker asked for by id.
    pub(super) fn into_object(self) -> S3Result<(Version, Option<String>)> {
        match self {
            Self::Object(version, shown) => Ok((*version, shown)),
            Self::NoKey(key) => Err(no_key(&key)),
            Self::NoVersion => Err(s3_error!(
                NoSuchVersion,
                "The specified version does not exist."
            )),
            Self::Marker(key, by_id) => {
                let mut error = if by_id {
                    s3_error!(
                        MethodNotAllowed,
                        "The specified method is not allowed against a delete marker."
                    )
                } else {
                    no_key(&key)
                };
                let mut headers = HeaderMap::new();
                headers.insert("x-amz-delete-marker", HeaderValue::from_static("true"));
                error.set_headers(headers);
                Err(error)
            }
        }
    }
}

fn no_key(key: &str) -> S3Error {
    s3_error!(NoSuchKey, "The specified key does not exist: {}", key)
}

/// # Errors
/// `NoSuchBucket`.
pub(super) fn find(
    tx: &Transaction<'_>,
    bucket: &str,
    key: &str,
    version_id: Option<&str>,
) -> ApiResult<Found> {
    let bucket = state::find_bucket(tx, bucket)?;
    let version = match version_id {
        Some(id) => state::find_version(tx, &bucket.name, key, id)?,
        None => state::current_version(tx, &bucket.name, key)?,
    };
    Ok(match version {
        Some(version) if version.marker => Found::Marker(key.to_owned(), version_id.is_some()),
        Some(version) => {
            let shown = bucket.versioning.map(|_| version.version_id.clone());
            Found::Object(Box::new(version), shown)
        }
        None if version_id.is_some() => Found::NoVersion,
        None => Found::NoKey(key.to_owned()),
    })
}

/// A version with its files, which stay until the pin is dropped.
pub(super) struct Opened {
    pub(super) version: Version,
    pub(super) shown: Option<String>,
    pub(super) segments: Vec<Segment>,
    pub(super) pin: Pin,
}

/// # Errors
/// As `Found::into_object`; `AccessDenied` in place of `NoSuchKey` where the caller may not list
/// the bucket, so that it does not learn what exists.
pub(super) async fn open(
    s3: &LocalS3,
    caller: Option<&Caller>,
    bucket: String,
    key: String,
    version_id: Option<String>,
) -> S3Result<Opened> {
    let bodies = s3.bodies.clone();
    let (in_bucket, of_key) = (bucket.clone(), key.clone());
    let (found, segments, pin) = s3
        .state(move |tx| {
            let found = find(tx, &in_bucket, &of_key, version_id.as_deref())?;
            let segments = match found.object() {
                Some(version) => state::segments(tx, version.seq)?,
                None => Vec::new(),
            };
            let files = segments.iter().map(|part| part.file.clone()).collect();
            Ok((found, segments, bodies.pin(files)))
        })
        .await?;
    if let (Found::NoKey(_) | Found::Marker(_, false), Some(caller)) = (&found, caller)
        && !s3
            .gate
            .allows(caller, "s3:ListBucket", &bucket_arn(&bucket))
            .await?
    {
        return Err(denied(caller, "s3:ListBucket", &object_arn(&bucket, &key)));
    }
    let (version, shown) = found.into_object()?;
    Ok(Opened {
        version,
        shown,
        segments,
        pin,
    })
}

/// The conditions of a read.
#[derive(Debug, Default)]
pub(super) struct Conditions<'a> {
    pub(super) matches: Option<&'a dto::ETagCondition>,
    pub(super) none_matches: Option<&'a dto::ETagCondition>,
    pub(super) modified_since: Option<&'a dto::Timestamp>,
    pub(super) unmodified_since: Option<&'a dto::Timestamp>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Go,
    NotModified,
    Failed,
}

impl Conditions<'_> {
    /// An `ETag` condition outranks the date beside it (RFC 9110, section 13.2.2).
    pub(super) fn judge(&self, version: &Version) -> Verdict {
        let same = |condition: &dto::ETagCondition| {
            condition
                .as_etag()
                .is_none_or(|tag| tag.value() == version.etag)
        };
        let modified = time(version.modified);
        let failed = match (self.matches, self.unmodified_since) {
            (Some(condition), _) => !same(condition),
            (None, Some(since)) => modified > *since,
            (None, None) => false,
        };
        if failed {
            return Verdict::Failed;
        }
        let unchanged = match (self.none_matches, self.modified_since) {
            (Some(condition), _) => same(condition),
            (None, Some(since)) => modified <= *since,
            (None, None) => false,
        };
        if unchanged {
            Verdict::NotModified
        } else {
            Verdict::Go
        }
    }

    fn check(&self, version: &Version) -> S3Result<()> {
        match self.judge(version) {
            Verdict::Go => Ok(()),
            Verdict::Failed => Err(failed()),
            Verdict::NotModified => {
                let mut error = S3Error::with_message(S3ErrorCode::NotModified, "Not Modified");
                let mut headers = HeaderMap::new();
                if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", version.etag)) {
                    headers.insert(http::header::ETAG, tag);
                }
                error.set_headers(headers);
                Err(error)
            }
        }
    }
}

pub(super) fn failed() -> S3Error {
    s3_error!(
        PreconditionFailed,
        "At least one of the pre-conditions you specified did not hold"
    )
}

/// Which bytes are asked for.
struct Slice {
    range: Range<u64>,
    /// `None` for the whole.
    content_range: Option<String>,
    /// The number of parts, where a part was asked for.
    parts: Option<i32>,
}

fn slice(
    version: &Version,
    segments: &[Segment],
    range: Option<dto::Range>,
    part: Option<i32>,
) -> S3Result<Slice> {
    let size = version.size;
    let unsatisfiable = || {
        let mut error = s3_error!(InvalidRange, "The requested range is not satisfiable");
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(&format!("bytes */{size}")) {
            headers.insert(http::header::CONTENT_RANGE, value);
        }
        error.set_headers(headers);
        error
    };
    let (range, parts) = match (range, part) {
        (Some(_), Some(_)) => {
            return Err(s3_error!(
                InvalidRequest,
                "Cannot specify both Range header and partNumber query parameter"
            ));
        }
        (None, None) => {
            return Ok(Slice {
                range: 0..size,
                content_range: None,
                parts: None,
            });
        }
        (Some(range), None) => (range.check(size).map_err(|_| unsatisfiable())?, None),
        (None, Some(number)) => {
            let count = version.parts.unwrap_or(1);
            let number = u32::try_from(number)
                .ok()
                .filter(|number| (1..=count).contains(number))
                .ok_or_else(|| {
                    wire::named(
                        "InvalidPartNumber",
                        http::StatusCode::RANGE_NOT_SATISFIABLE,
                        "The requested partnumber is not satisfiable".into(),
                    )
                })?;
            let size_of = |part: &Segment| part.size;
            let start: u64 = segments
                .iter()
                .filter(|part| part.number < number)
                .map(size_of)
                .sum();
            let own: u64 = segments
                .iter()
                .filter(|part| part.number == number)
                .map(size_of)
                .sum();
            let parts = version.parts.and_then(|count| i32::try_from(count).ok());
            (start..start + own, parts)
        }
    };
    let content_range =
        (!range.is_empty()).then(|| format!("bytes {}-{}/{size}", range.start, range.end - 1));
    Ok(Slice {
        range,
        content_range,
        parts,
    })
}

/// The checksum to show: of the whole, where it was asked for.
fn shown_checksum(
    version: &Version,
    slice: &Slice,
    mode: Option<&dto::ChecksumMode>,
) -> ChecksumFields {
    let whole = slice.range == (0..version.size);
    let asked = mode.is_some_and(|mode| mode.as_str() == dto::ChecksumMode::ENABLED);
    ChecksumFields::of(version.checksum.as_ref().filter(|_| whole && asked))
}

/// Both answers have the same fields; only a macro can fill both from one list.
macro_rules! describe {
    ($output:ident, $opened:expr, $slice:expr, $checksum:expr) => {{
        let (version, slice, checksum) = (&$opened.version, &$slice, $checksum);
        let stored = version.attributes.clone();
        $output {
            accept_ranges: Some("bytes".to_owned()),
            cache_control: stored.cache_control,
            checksum_crc32: checksum.crc32,
            checksum_crc32c: checksum.crc32c,
            checksum_crc64nvme: checksum.crc64nvme,
            checksum_sha1: checksum.sha1,
            checksum_sha256: checksum.sha256,
            checksum_type: checksum.kind,
            content_disposition: stored.content_disposition,
            content_encoding: stored.content_encoding,
            content_language: stored.content_language,
            content_length: Some(length(slice.range.end - slice.range.start)),
            content_range: slice.content_range.clone(),
            // What S3 calls a body of which it was told nothing.
            content_type: Some(
                stored
                    .content_type
                    .unwrap_or_else(|| "binary/octet-stream".to_owned()),
            ),
            e_tag: Some(etag(&version.etag)),
            expires: stored.expires.as_deref().and_then(wire::parse_time),
            last_modified: Some(time(version.modified)),
            metadata: Some(stored.metadata.into_iter().collect()),
            parts_count: slice.parts,
            server_side_encryption: Some(dto::ServerSideEncryption::from_static(
                dto::ServerSideEncryption::AES256,
            )),
            storage_class: stored.storage_class.map(dto::StorageClass::from),
            version_id: $opened.shown.clone(),
            ..$output::default()
        }
    }};
}

pub(super) async fn get(
    s3: &LocalS3,
    request: S3Request<GetObjectInput>,
) -> S3Result<S3Response<GetObjectOutput>> {
    let input = request.input;
    let opened = open(
        s3,
        request.extensions.get(),
        input.bucket,
        input.key,
        input.version_id,
    )
    .await?;
    Conditions {
        matches: input.if_match.as_ref(),
        none_matches: input.if_none_match.as_ref(),
        modified_since: input.if_modified_since.as_ref(),
        unmodified_since: input.if_unmodified_since.as_ref(),
    }
    .check(&opened.version)?;
    let slice = slice(
        &opened.version,
        &opened.segments,
        input.range,
        input.part_number,
    )?;
    let checksum = shown_checksum(&opened.version, &slice, input.checksum_mode.as_ref());
    let mut output = describe!(GetObjectOutput, opened, slice, checksum);
    output.tag_count = i32::try_from(opened.version.tags.len())
        .ok()
        .filter(|count| *count > 0);
    output.body = Some(send(&s3.bodies, opened.segments, slice.range, opened.pin));
    Ok(S3Response::new(output))
}

pub(super) async fn head(
    s3: &LocalS3,
    request: S3Request<HeadObjectInput>,
) -> S3Result<S3Response<HeadObjectOutput>> {
    let input = request.input;
    let opened = open(
        s3,
        request.extensions.get(),
        input.bucket,
        input.key,
        input.version_id,
    )
    .await?;
    Conditions {
        matches: input.if_match.as_ref(),
        none_matches: input.if_none_match.as_ref(),
        modified_since: input.if_modified_since.as_ref(),
        unmodified_since: input.if_unmodified_since.as_ref(),
    }
    .check(&opened.version)?;
    let slice = slice(
        &opened.version,
        &opened.segments,
        input.range,
        input.part_number,
    )?;
    let checksum = shown_checksum(&opened.version, &slice, input.checksum_mode.as_ref());
    Ok(S3Response::new(describe!(
        HeadObjectOutput,
        opened,
        slice,
        checksum
    )))
}

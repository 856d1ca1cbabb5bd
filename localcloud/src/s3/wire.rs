//! Between the state's types and those of the wire.

use jiff::Timestamp;
use s3s::dto;
use s3s::{S3Error, S3ErrorCode, s3_error};

use crate::error::ApiError;
use crate::state::s3::{Attributes, Checksum, ChecksumKind};

/// An error of the state as S3 answers it.
pub(super) fn error(error: ApiError) -> S3Error {
    let code = error
        .code
        .parse()
        .unwrap_or_else(|never: std::convert::Infallible| match never {});
    let mut answer = S3Error::with_message(code, error.message);
    if let Ok(status) = http::StatusCode::from_u16(error.status) {
        answer.set_status_code(status);
    }
    answer
}

/// Something in the local cloud itself went wrong.
pub(super) fn internal(error: impl std::fmt::Display) -> S3Error {
    s3_error!(InternalError, "{}", error)
}

/// An error whose code the API knows under a name of its own.
pub(super) fn named(code: &'static str, status: http::StatusCode, message: String) -> S3Error {
    let mut answer = S3Error::with_message(S3ErrorCode::Custom(code.into()), message);
    answer.set_status_code(status);
    answer
}

pub(super) fn time(moment: Timestamp) -> dto::Timestamp {
    std::time::SystemTime::from(moment).into()
}

pub(super) fn etag(value: &str) -> dto::ETag {
    dto::ETag::Strong(value.to_owned())
}

/// The API's model knows signed numbers only.
pub(super) fn length(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

pub(super) fn kind(kind: ChecksumKind) -> dto::ChecksumType {
    dto::ChecksumType::from_static(match kind {
        ChecksumKind::FullObject => dto::ChecksumType::FULL_OBJECT,
        ChecksumKind::Composite => dto::ChecksumType::COMPOSITE,
    })
}

/// A checksum as five optional fields, of which one is set.
#[derive(Debug, Default)]
pub(super) struct ChecksumFields {
    pub(super) crc32: Option<String>,
    pub(super) crc32c: Option<String>,
    pub(super) crc64nvme: Option<String>,
    pub(super) sha1: Option<String>,
    pub(super) sha256: Option<String>,
    pub(super) kind: Option<dto::ChecksumType>,
}

impl ChecksumFields {
    pub(super) fn of(checksum: Option<&Checksum>) -> Self {
        checksum.map_or_else(Self::default, |checksum| {
            let mut fields = Self::value(&checksum.algorithm, &checksum.value);
            fields.kind = Some(kind(checksum.kind));
            fields
        })
    }

    pub(super) fn value(algorithm: &str, value: &str) -> Self {
        let mut fields = Self::default();
        let field = match algorithm {
            "CRC32" => &mut fields.crc32,
            "CRC32C" => &mut fields.crc32c,
            "CRC64NVME" => &mut fields.crc64nvme,
            "SHA1" => &mut fields.sha1,
            "SHA256" => &mut fields.sha256,
            _ => return fields,
        };
        *field = Some(value.to_owned());
        fields
    }
}

/// The headers that a caller stores with an object, as they stand in three kinds of request.
macro_rules! attributes {
    ($input:expr) => {
        $crate::s3::wire::stored_attributes(
            [
                &$input.content_type,
                &$input.content_encoding,
                &$input.content_disposition,
                &$input.content_language,
                &$input.cache_control,
            ],
            $input.expires.as_ref(),
            $input.storage_class.as_ref(),
            $input.metadata.as_ref(),
        )
    };
}
pub(super) use attributes;

pub(super) fn stored_attributes(
    headers: [&Option<String>; 5],
    expires: Option<&dto::Timestamp>,
    storage_class: Option<&dto::StorageClass>,
    metadata: Option<&dto::Metadata>,
) -> Attributes {
    let [
        content_type,
        content_encoding,
        content_disposition,
        content_language,
        cache_control,
    ] = headers.map(Clone::clone);
    Attributes {
        content_type,
        // The transfer's own coding is none of the object's.
        content_encoding: content_encoding.and_then(|value| {
            let kept: Vec<&str> = value
                .split(',')
                .map(str::trim)
                .filter(|coding| !coding.is_empty() && *coding != "aws-chunked")
                .collect();
            (!kept.is_empty()).then(|| kept.join(","))
        }),
        content_disposition,
        content_language,
        cache_control,
        expires: expires.and_then(format_time),
        storage_class: storage_class
            .map(|class| class.as_str().to_owned())
            .filter(|class| class != dto::StorageClass::STANDARD),
        metadata: metadata
            .map(|map| map.clone().into_iter().collect())
            .unwrap_or_default(),
    }
}

fn format_time(moment: &dto::Timestamp) -> Option<String> {
    let mut text = Vec::new();
    moment
        .format(dto::TimestampFormat::DateTime, &mut text)
        .ok()?;
    String::from_utf8(text).ok()
}

pub(super) fn parse_time(text: &str) -> Option<dto::Timestamp> {
    dto::Timestamp::parse(dto::TimestampFormat::DateTime, text).ok()
}

pub(super) fn owner() -> dto::Owner {
    dto::Owner {
        display_name: None,
        id: Some(canonical_id()),
    }
}

/// The account's canonical user id: 64 hexadecimal digits on AWS, zeros here.
pub(super) fn canonical_id() -> String {
    "0".repeat(64)
}

//! What is kept beside a body: headers, the caller's own metadata, tags and checksums.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Tags as key and value, in the order given.
pub type Tags = Vec<(String, String)>;

/// Headers that a caller stored with an object and gets back with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attributes {
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    pub content_disposition: Option<String>,
    pub content_language: Option<String>,
    pub cache_control: Option<String>,
    /// As an RFC 3339 time.
    pub expires: Option<String>,
    /// `None` is `STANDARD`.
    pub storage_class: Option<String>,
    /// `x-amz-meta-…`, names in lower case and without that prefix.
    pub metadata: BTreeMap<String, String>,
}

/// Of what a checksum was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChecksumKind {
    /// Of all bytes.
    FullObject,
    /// Of the checksums of the parts.
    Composite,
}

/// A checksum of a body, as S3 shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    /// As in the API: `CRC32`, `CRC32C`, `CRC64NVME`, `SHA1`, `SHA256`.
    pub algorithm: String,
    /// Base64 of the big-endian bytes; a composite one ends in `-` and the number of parts.
    pub value: String,
    pub kind: ChecksumKind,
}

//! The buckets: inputs, outputs and verdicts. S3, behind a trait.
//!
//! Content streams: no file is ever in memory as a whole.

mod s3;

use std::path::Path;

use async_trait::async_trait;

use crate::sums::Sums;

pub use s3::S3Store;

/// What was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Of the bytes that came.
    pub sums: Sums,
    /// Hex SHA-256 that was stored beside the object, if there is one.
    pub stored_sha256: Option<String>,
}

/// Why an object can't be had or stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There is no such object or bucket.
    #[error("{what} is not there")]
    Absent { what: String },
    /// S3 refuses. Without the right to list, an object that isn't there looks the same.
    #[error("{what} is not there or must not be read: {why}")]
    Denied { what: String, why: String },
    /// The object has another length than the message says.
    #[error("{what} has {actual} bytes, but the message says {expected}")]
    Size {
        what: String,
        expected: u64,
        actual: u64,
    },
    /// The disk, the network, S3 or the credentials.
    #[error("can't {action} {what}: {why}")]
    Machine {
        action: &'static str,
        what: String,
        why: String,
    },
}

/// A short text that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub text: String,
    /// Its entity tag, which changes with each write.
    pub tag: String,
}

/// What a write under a condition expects to replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected<'a> {
    /// Nothing.
    Absent,
    /// What has this entity tag.
    Tag(&'a str),
}

/// Where content lies.
#[async_trait]
pub trait Store: Send + Sync {
    /// Fetches an object into a new file, if it has `size` bytes.
    async fn fetch(
        &self,
        bucket: &str,
        key: &str,
        size: u64,
        to: &Path,
    ) -> Result<Fetched, StoreError>;
    /// Stores a file, whose sums are known, under a key.
    async fn put(
        &self,
        bucket: &str,
        key: &str,
        from: &Path,
        sums: &Sums,
        mime: &str,
    ) -> Result<(), StoreError>;
    /// Stores a short text, in the place of any before: a log, a report.
    async fn put_note(
        &self,
        bucket: &str,
        key: &str,
        text: &str,
        mime: &str,
    ) -> Result<(), StoreError>;
    /// Reads a short text. `None`: there is none, or the role must not read it.
    async fn read_note(&self, bucket: &str, key: &str) -> Result<Option<Note>, StoreError>;
    /// Writes a short text in the place of what is expected there. Returns its entity tag; `None` if something else is
    /// there, or another writes at this moment.
    async fn replace_note(
        &self,
        bucket: &str,
        key: &str,
        text: &str,
        expected: Expected<'_>,
    ) -> Result<Option<String>, StoreError>;
    /// Reads a verdict, if there is one.
    async fn verdict(&self, bucket: &str, key: &str) -> Result<Option<String>, StoreError>;
    /// Writes a verdict if there is none yet; tells whether this one was the first.
    async fn put_verdict(&self, bucket: &str, key: &str, text: &str) -> Result<bool, StoreError>;
}

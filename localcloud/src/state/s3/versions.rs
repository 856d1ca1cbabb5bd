//! Rows of `s3_versions`: how one is read and found.

use std::collections::HashSet;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::attributes::{Attributes, Checksum, Tags};
use crate::error::{ApiError, ApiResult};

/// An object, an old version of one, or a delete marker.
#[derive(Debug, Clone)]
pub struct Version {
    pub seq: i64,
    pub key: String,
    /// `null` for what was written while versioning was not enabled.
    pub version_id: String,
    pub latest: bool,
    /// A delete marker: no body, no attributes.
    pub marker: bool,
    /// Bytes.
    pub size: u64,
    /// Without quotes.
    pub etag: String,
    /// In whole seconds, as `Last-Modified` shows it.
    pub modified: Timestamp,
    pub attributes: Attributes,
    pub checksum: Option<Checksum>,
    pub tags: Tags,
    /// How many parts it was uploaded in; `None` for a simple put.
    pub parts: Option<u32>,
}

/// One file of a body. An empty body has none; a multipart one has one for each part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Counted from 1, without gaps.
    pub number: u32,
    pub file: String,
    /// Bytes.
    pub size: u64,
    /// Of this part alone, by the algorithm of the whole.
    pub checksum: Option<String>,
}

pub(super) const COLUMNS: &str =
    "seq, key, version_id, latest, marker, size, etag, modified, attributes, checksum, tags, parts";

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Version> {
    let size: i64 = row.get(5)?;
    let checksum: Option<String> = row.get(9)?;
    Ok(Version {
        seq: row.get(0)?,
        key: row.get(1)?,
        version_id: row.get(2)?,
        latest: row.get(3)?,
        marker: row.get(4)?,
        size: unsigned(size),
        etag: row.get(6)?,
        modified: timestamp(row.get(7)?),
        attributes: from_json(8, &row.get::<_, String>(8)?)?,
        checksum: checksum.map(|text| from_json(9, &text)).transpose()?,
        tags: from_json(10, &row.get::<_, String>(10)?)?,
        parts: row.get(11)?,
    })
}

/// The current version of a key, which may be a delete marker.
pub fn current_version(
    tx: &Transaction<'_>,
    bucket: &str,
    key: &str,
) -> ApiResult<Option<Version>> {
    Ok(tx
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM s3_versions WHERE bucket = ?1 AND key = ?2 AND latest = 1"
        ))?
        .query_row([bucket, key], read)
        .optional()?)
}

/// A version by its id, which may be a delete marker.
pub fn find_version(
    tx: &Transaction<'_>,
    bucket: &str,
    key: &str,
    version_id: &str,
) -> ApiResult<Option<Version>> {
    Ok(tx
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM s3_versions WHERE bucket = ?1 AND key = ?2 AND version_id = ?3"
        ))?
        .query_row([bucket, key, version_id], read)
        .optional()?)
}

/// The files of a version's body, in their order.
pub fn segments(tx: &Transaction<'_>, seq: i64) -> ApiResult<Vec<Segment>> {
    let mut statement = tx.prepare_cached(
        "SELECT number, file, size, checksum FROM s3_segments WHERE version = ?1 ORDER BY number",
    )?;
    let rows = statement.query_map([seq], |row| {
        Ok(Segment {
            number: row.get(0)?,
            file: row.get(1)?,
            size: unsigned(row.get(2)?),
            checksum: row.get(3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Replaces the tags of a version.
pub fn set_tags(tx: &Transaction<'_>, seq: i64, tags: &Tags) -> ApiResult<()> {
    tx.execute(
        "UPDATE s3_versions SET tags = ?2 WHERE seq = ?1",
        params![seq, to_json(tags)?],
    )?;
    Ok(())
}

/// All files that anything stored still needs; everything else in the folder is a left-over.
pub fn referenced_files(tx: &Transaction<'_>) -> ApiResult<HashSet<String>> {
    let mut statement = tx.prepare(
        "SELECT file FROM s3_segments UNION ALL SELECT file FROM s3_parts WHERE file IS NOT NULL",
    )?;
    let rows = statement.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The moment as it is stored: whole seconds, because HTTP dates know no finer ones and a caller
/// must be able to send back what it was shown.
pub(super) fn seconds(moment: Timestamp) -> i64 {
    moment.as_second() * 1000
}

pub(super) fn timestamp(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or_default()
}

/// The database knows signed numbers only; no size here comes near the sign.
pub(super) fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(size: i64) -> u64 {
    u64::try_from(size).unwrap_or(0)
}

pub(super) fn to_json(value: &impl serde::Serialize) -> ApiResult<String> {
    serde_json::to_string(value).map_err(ApiError::internal)
}

pub(super) fn from_json<T: serde::de::DeserializeOwned>(
    column: usize,
    text: &str,
) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(
            column,
            rusqlite::types::Type::Text,
            Box::new(error),
        )
    })
}

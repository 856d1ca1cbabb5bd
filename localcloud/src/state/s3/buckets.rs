//! Buckets.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use crate::error::{ApiError, ApiResult};

/// Whether a bucket keeps what is overwritten. A bucket that never had versioning has none of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versioning {
    Enabled,
    Suspended,
}

impl Versioning {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "Enabled",
            Self::Suspended => "Suspended",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "Enabled" => Some(Self::Enabled),
            "Suspended" => Some(Self::Suspended),
            _ => None,
        }
    }
}

#[derive(Debug, Clone)]
pub struct Bucket {
    pub name: String,
    pub created: Timestamp,
    pub versioning: Option<Versioning>,
}

const COLUMNS: &str = "name, created, versioning";

fn read(row: &Row<'_>) -> rusqlite::Result<Bucket> {
    let versioning: Option<String> = row.get(2)?;
    Ok(Bucket {
        name: row.get(0)?,
        created: super::versions::timestamp(row.get(1)?),
        versioning: versioning.as_deref().and_then(Versioning::parse),
    })
}

/// # Errors
/// `BucketAlreadyOwnedByYou` if it exists: all buckets here belong to the one account.
pub fn create_bucket(tx: &Transaction<'_>, name: &str, now: Timestamp) -> ApiResult<()> {
    let made = tx.execute(
        "INSERT OR IGNORE INTO s3_buckets (name, created) VALUES (?1, ?2)",
        params![name, super::versions::seconds(now)],
    )?;
    if made == 0 {
        return Err(ApiError::new(
            "BucketAlreadyOwnedByYou",
            "Your previous request to create the named bucket succeeded and you already own it.",
        )
        .with_status(409));
    }
    Ok(())
}

/// # Errors
/// `NoSuchBucket`.
pub fn find_bucket(tx: &Transaction<'_>, name: &str) -> ApiResult<Bucket> {
    tx.prepare_cached(&format!("SELECT {COLUMNS} FROM s3_buckets WHERE name = ?1"))?
        .query_row([name], read)
        .optional()?
        .ok_or_else(|| {
            ApiError::new(
                "NoSuchBucket",
                format!("The specified bucket does not exist: {name}"),
            )
            .with_status(404)
        })
}

/// Buckets after the name `after`, in the order of their names, at most `limit`.
pub fn list_buckets(
    tx: &Transaction<'_>,
    prefix: &str,
    after: &str,
    limit: usize,
) -> ApiResult<Vec<Bucket>> {
    let mut statement = tx.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM s3_buckets WHERE name > ?1 ORDER BY name"
    ))?;
    let rows = statement.query_map([after], read)?;
    let mut found = Vec::new();
    for row in rows {
        let bucket = row?;
        if bucket.name.starts_with(prefix) {
            found.push(bucket);
            if found.len() == limit {
                break;
            }
        }
    }
    Ok(found)
}

/// Removes an empty bucket with its settings and unfinished uploads, which do not keep it.
/// Returns the files of those uploads.
///
/// # Errors
/// `NoSuchBucket`; `BucketNotEmpty` while an object, an old version or a delete marker is left.
pub fn delete_bucket(tx: &Transaction<'_>, name: &str) -> ApiResult<Vec<String>> {
    find_bucket(tx, name)?;
    let occupied: bool = tx.query_row(
        "SELECT EXISTS (SELECT 1 FROM s3_versions WHERE bucket = ?1)",
        [name],
        |row| row.get(0),
    )?;
    if occupied {
        let versions: bool = tx.query_row(
            "SELECT NOT EXISTS (SELECT 1 FROM s3_versions
                                WHERE bucket = ?1 AND latest = 1 AND marker = 0)",
            [name],
            |row| row.get(0),
        )?;
        let message = if versions {
            "The bucket you tried to delete is not empty. You must delete all versions in the bucket."
        } else {
            "The bucket you tried to delete is not empty"
        };
        return Err(ApiError::new("BucketNotEmpty", message).with_status(409));
    }
    let files = tx
        .prepare_cached(
            "SELECT p.file FROM s3_parts p JOIN s3_uploads u ON u.id = p.upload
             WHERE u.bucket = ?1 AND p.file IS NOT NULL",
        )?
        .query_map([name], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    tx.execute("DELETE FROM s3_buckets WHERE name = ?1", [name])?;
    Ok(files)
}

/// Turns versioning on or suspends it; it can never be taken away again.
pub fn set_versioning(tx: &Transaction<'_>, name: &str, versioning: Versioning) -> ApiResult<()> {
    find_bucket(tx, name)?;
    tx.execute(
        "UPDATE s3_buckets SET versioning = ?2 WHERE name = ?1",
        [name, versioning.as_str()],
    )?;
    Ok(())
}

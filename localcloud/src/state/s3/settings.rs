//! Settings of a bucket: each a text that the API layer writes and reads again.

use rusqlite::{OptionalExtension, Transaction, params};

use super::buckets::find_bucket;
use crate::error::ApiResult;

/// The settings that a bucket can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    Tagging,
    Policy,
    PublicAccessBlock,
    Encryption,
    Ownership,
    Lifecycle,
}

impl Setting {
    fn name(self) -> &'static str {
        match self {
            Self::Tagging => "tagging",
            Self::Policy => "policy",
            Self::PublicAccessBlock => "public-access-block",
            Self::Encryption => "encryption",
            Self::Ownership => "ownership",
            Self::Lifecycle => "lifecycle",
        }
    }
}

/// # Errors
/// `NoSuchBucket`.
pub fn get_setting(
    tx: &Transaction<'_>,
    bucket: &str,
    setting: Setting,
) -> ApiResult<Option<String>> {
    find_bucket(tx, bucket)?;
    Ok(tx
        .prepare_cached("SELECT value FROM s3_settings WHERE bucket = ?1 AND name = ?2")?
        .query_row([bucket, setting.name()], |row| row.get(0))
        .optional()?)
}

/// # Errors
/// `NoSuchBucket`.
pub fn put_setting(
    tx: &Transaction<'_>,
    bucket: &str,
    setting: Setting,
    value: &str,
) -> ApiResult<()> {
    find_bucket(tx, bucket)?;
    tx.execute(
        "INSERT OR REPLACE INTO s3_settings (bucket, name, value) VALUES (?1, ?2, ?3)",
        params![bucket, setting.name(), value],
    )?;
    Ok(())
}

/// No error if it was not set.
///
/// # Errors
/// `NoSuchBucket`.
pub fn clear_setting(tx: &Transaction<'_>, bucket: &str, setting: Setting) -> ApiResult<()> {
    find_bucket(tx, bucket)?;
    tx.execute(
        "DELETE FROM s3_settings WHERE bucket = ?1 AND name = ?2",
        [bucket, setting.name()],
    )?;
    Ok(())
}

//! Tags of EC2 resources.

use rusqlite::{Transaction, params};

use crate::error::ApiResult;

/// A tag as listed over all resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagRow {
    pub resource: String,
    /// Resource type, e.g. `instance`.
    pub kind: String,
    pub key: String,
    pub value: String,
}

/// Tags of one resource, by key.
pub fn of(tx: &Transaction<'_>, resource: &str) -> ApiResult<Vec<(String, String)>> {
    let mut statement =
        tx.prepare_cached("SELECT key, value FROM ec2_tags WHERE resource = ?1 ORDER BY key")?;
    let rows = statement.query_map([resource], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Sets one tag, new or over an old value.
pub fn set(
    tx: &Transaction<'_>,
    resource: &str,
    kind: &str,
    key: &str,
    value: &str,
) -> ApiResult<()> {
    tx.prepare_cached(
        "INSERT INTO ec2_tags (resource, kind, key, value) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (resource, key) DO UPDATE SET value = excluded.value",
    )?
    .execute(params![resource, kind, key, value])?;
    Ok(())
}

/// Removes one tag; with `value`, only if it has that value. No error if absent.
pub fn unset(
    tx: &Transaction<'_>,
    resource: &str,
    key: &str,
    value: Option<&str>,
) -> ApiResult<()> {
    tx.prepare_cached(
        "DELETE FROM ec2_tags WHERE resource = ?1 AND key = ?2 AND (?3 IS NULL OR value = ?3)",
    )?
    .execute(params![resource, key, value])?;
    Ok(())
}

/// Removes all tags of a resource that is no more.
pub fn forget(tx: &Transaction<'_>, resource: &str) -> ApiResult<()> {
    tx.prepare_cached("DELETE FROM ec2_tags WHERE resource = ?1")?
        .execute([resource])?;
    Ok(())
}

/// All tags, by resource and key.
pub fn all(tx: &Transaction<'_>) -> ApiResult<Vec<TagRow>> {
    let mut statement = tx
        .prepare_cached("SELECT resource, kind, key, value FROM ec2_tags ORDER BY resource, key")?;
    let rows = statement.query_map([], |row| {
        Ok(TagRow {
            resource: row.get(0)?,
            kind: row.get(1)?,
            key: row.get(2)?,
            value: row.get(3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

//! Tags of roles and instance profiles.

use rusqlite::{Connection, params};

use super::limit_exceeded;
use crate::error::{ApiError, ApiResult};

/// Tags that one thing may have (IAM quotas).
const MOST: usize = 50;

/// What a tag hangs on; its existence is the caller's to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagOwner {
    Role(String),
    Profile(String),
}

impl TagOwner {
    fn columns(&self) -> (&'static str, &str) {
        match self {
            Self::Role(name) => ("role", name),
            Self::Profile(name) => ("profile", name),
        }
    }
}

/// Adds or replaces tags. Keys differ by more than case (as IAM has it).
///
/// # Errors
/// `InvalidInput` for a key given twice, an `aws:` key or one too long; `LimitExceeded` past 50.
pub fn tag(db: &Connection, owner: &TagOwner, new: &[(String, String)]) -> ApiResult<()> {
    let (kind, name) = owner.columns();
    for (index, (key, value)) in new.iter().enumerate() {
        check(key, value)?;
        if new[..index]
            .iter()
            .any(|(other, _)| other.eq_ignore_ascii_case(key))
        {
            return Err(ApiError::new(
                "InvalidInput",
                format!(
                    "Duplicate tag keys found: {key}. Please note that Tag keys are case insensitive."
                ),
            ));
        }
        db.execute(
            "INSERT INTO iam_tags (owner_kind, owner, key, value) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (owner_kind, owner, key) DO UPDATE SET key = excluded.key, value = excluded.value",
            params![kind, name, key, value],
        )?;
    }
    if tags(db, owner)?.len() > MOST {
        return Err(limit_exceeded("TagsPerResource", MOST));
    }
    Ok(())
}

fn check(key: &str, value: &str) -> ApiResult<()> {
    let allowed = |c: char| c.is_alphanumeric() || c.is_whitespace() || "_.:/=+-@".contains(c);
    // Lengths and characters as in IAM's `Tag` type.
    if key.is_empty() || key.chars().count() > 128 || !key.chars().all(allowed) {
        return Err(ApiError::new(
            "ValidationError",
            format!(
                "Value {key} at 'tags.member.key' failed to satisfy constraint: 1 to 128 letters, digits, spaces and _.:/=+-@"
            ),
        ));
    }
    if value.chars().count() > 256 || !value.chars().all(allowed) {
        return Err(ApiError::new(
            "ValidationError",
            format!(
                "Value {value} at 'tags.member.value' failed to satisfy constraint: at most 256 letters, digits, spaces and _.:/=+-@"
            ),
        ));
    }
    if key.to_ascii_lowercase().starts_with("aws:") {
        return Err(ApiError::new(
            "InvalidInput",
            format!("{key}: tag keys that begin with aws: are reserved"),
        ));
    }
    Ok(())
}

/// Tags in key order.
pub fn tags(db: &Connection, owner: &TagOwner) -> ApiResult<Vec<(String, String)>> {
    let (kind, name) = owner.columns();
    let tags = db
        .prepare_cached(
            "SELECT key, value FROM iam_tags WHERE owner_kind = ?1 AND owner = ?2 ORDER BY key",
        )?
        .query_map([kind, name], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    Ok(tags)
}

/// Removes the tags with these keys; those absent are no error.
pub fn untag(db: &Connection, owner: &TagOwner, keys: &[String]) -> ApiResult<()> {
    let (kind, name) = owner.columns();
    for key in keys {
        db.execute(
            "DELETE FROM iam_tags WHERE owner_kind = ?1 AND owner = ?2 AND key = ?3",
            [kind, name, key],
        )?;
    }
    Ok(())
}

pub(super) fn drop_all(db: &Connection, owner: &TagOwner) -> ApiResult<()> {
    let (kind, name) = owner.columns();
    db.execute(
        "DELETE FROM iam_tags WHERE owner_kind = ?1 AND owner = ?2",
        [kind, name],
    )?;
    Ok(())
}

//! Writing and deleting objects, with and without versioning.

use jiff::Timestamp;
use rusqlite::{Transaction, params};

use super::attributes::{Attributes, Checksum, Tags};
use super::buckets::{Bucket, Versioning};
use super::versions::{
    Segment, Version, current_version, find_version, seconds, segments, signed, to_json,
};
use crate::error::{ApiError, ApiResult};

/// The id of what is written while versioning is not enabled.
const NULL_VERSION: &str = "null";

/// What a write demands of the object that is there now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Condition {
    #[default]
    None,
    /// `If-None-Match: *`: nothing there.
    Absent,
    /// `If-Match`: this entity tag (without quotes).
    Matches(String),
}

#[derive(Debug, Clone)]
pub struct NewObject {
    pub key: String,
    pub size: u64,
    pub etag: String,
    pub attributes: Attributes,
    pub checksum: Option<Checksum>,
    pub tags: Tags,
    pub segments: Vec<Segment>,
    pub parts: Option<u32>,
}

/// What a write did.
#[derive(Debug, Clone, Default)]
pub struct Put {
    /// `None` in a bucket that never had versioning.
    pub version_id: Option<String>,
    /// Files of what was overwritten.
    pub doomed: Vec<String>,
}

/// What to delete.
#[derive(Debug, Clone, Default)]
pub struct Deletion {
    pub key: String,
    pub version_id: Option<String>,
    /// `If-Match`: only an object with this entity tag (`*`: any).
    pub etag: Option<String>,
}

/// What a delete did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deleted {
    /// The version that was removed, or the delete marker that was made.
    pub version_id: Option<String>,
    /// Whether a delete marker was made or removed.
    pub marker: bool,
    pub doomed: Vec<String>,
}

/// Whether a write under `condition` may go on.
///
/// # Errors
/// `PreconditionFailed`; `NoSuchKey` where an entity tag is demanded of nothing.
pub fn check_condition(
    tx: &Transaction<'_>,
    bucket: &str,
    key: &str,
    condition: &Condition,
) -> ApiResult<()> {
    if *condition == Condition::None {
        return Ok(());
    }
    let current = current_version(tx, bucket, key)?.filter(|version| !version.marker);
    match (condition, current) {
        (Condition::None, _) | (Condition::Absent, None) => Ok(()),
        (Condition::Matches(etag), Some(version)) if version.etag == *etag => Ok(()),
        (Condition::Matches(_), None) => Err(no_such_key(key)),
        _ => Err(precondition_failed()),
    }
}

/// Stores an object whose files are in place.
///
/// # Errors
/// As `check_condition`.
pub fn put_object(
    tx: &Transaction<'_>,
    bucket: &Bucket,
    object: &NewObject,
    condition: &Condition,
    now: Timestamp,
) -> ApiResult<Put> {
    check_condition(tx, &bucket.name, &object.key, condition)?;
    let (version_id, doomed) = make_room(tx, bucket, &object.key)?;
    tx.prepare_cached(
        "INSERT INTO s3_versions (bucket, key, version_id, latest, marker, size, etag, modified,
                                  attributes, checksum, tags, parts)
         VALUES (?1, ?2, ?3, 1, 0, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        bucket.name,
        object.key,
        version_id,
        signed(object.size),
        object.etag,
        seconds(now),
        to_json(&object.attributes)?,
        object.checksum.as_ref().map(to_json).transpose()?,
        to_json(&object.tags)?,
        object.parts,
    ])?;
    let seq = tx.last_insert_rowid();
    let mut insert = tx.prepare_cached(
        "INSERT INTO s3_segments (version, number, file, size, checksum)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for segment in &object.segments {
        insert.execute(params![
            seq,
            segment.number,
            segment.file,
            signed(segment.size),
            segment.checksum
        ])?;
    }
    Ok(Put {
        version_id: bucket.versioning.map(|_| version_id),
        doomed,
    })
}

/// Deletes an object (or, with versioning, puts a delete marker over it), or one version for good.
/// What is not there is deleted with success, as on S3.
///
/// # Errors
/// `PreconditionFailed` where an entity tag is demanded and differs; `NoSuchKey` where it is demanded of
/// nothing.
pub fn delete_object(
    tx: &Transaction<'_>,
    bucket: &Bucket,
    deletion: &Deletion,
    now: Timestamp,
) -> ApiResult<Deleted> {
    let Deletion {
        key,
        version_id,
        etag,
    } = deletion;
    if let Some(wanted) = etag {
        let target = match version_id {
            Some(id) => find_version(tx, &bucket.name, key, id)?,
            None => current_version(tx, &bucket.name, key)?,
        };
        match target.filter(|version| !version.marker) {
            None => return Err(no_such_key(key)),
            Some(version) if wanted != "*" && version.etag != *wanted => {
                return Err(precondition_failed());
            }
            Some(_) => {}
        }
    }
    if let Some(id) = version_id {
        let Some(version) = find_version(tx, &bucket.name, key, id)? else {
            return Ok(Deleted {
                version_id: Some(id.clone()),
                ..Deleted::default()
            });
        };
        let doomed = remove(tx, &version)?;
        if version.latest {
            promote(tx, &bucket.name, key)?;
        }
        return Ok(Deleted {
            version_id: Some(version.version_id),
            marker: version.marker,
            doomed,
        });
    }
    if bucket.versioning.is_none() {
        let doomed = match current_version(tx, &bucket.name, key)? {
            Some(version) => remove(tx, &version)?,
            None => Vec::new(),
        };
        return Ok(Deleted {
            doomed,
            ..Deleted::default()
        });
    }
    let (id, doomed) = make_room(tx, bucket, key)?;
    tx.prepare_cached(
        "INSERT INTO s3_versions (bucket, key, version_id, latest, marker, size, etag, modified,
                                  attributes, tags)
         VALUES (?1, ?2, ?3, 1, 1, 0, '', ?4, '{}', '[]')",
    )?
    .execute(params![bucket.name, key, id, seconds(now)])?;
    Ok(Deleted {
        version_id: Some(id),
        marker: true,
        doomed,
    })
}

/// Makes way for a new current version of `key`: the old one is removed, or stays as an old one.
/// Returns the new one's id and the files no longer needed.
fn make_room(tx: &Transaction<'_>, bucket: &Bucket, key: &str) -> ApiResult<(String, Vec<String>)> {
    let enabled = bucket.versioning == Some(Versioning::Enabled);
    let mut doomed = Vec::new();
    if !enabled && let Some(old) = find_version(tx, &bucket.name, key, NULL_VERSION)? {
        doomed = remove(tx, &old)?;
    }
    if bucket.versioning.is_some() {
        tx.prepare_cached(
            "UPDATE s3_versions SET latest = 0 WHERE bucket = ?1 AND key = ?2 AND latest = 1",
        )?
        .execute([&bucket.name, key])?;
    }
    let id = if enabled {
        uuid::Uuid::new_v4().simple().to_string()
    } else {
        NULL_VERSION.to_owned()
    };
    Ok((id, doomed))
}

fn remove(tx: &Transaction<'_>, version: &Version) -> ApiResult<Vec<String>> {
    let files = segments(tx, version.seq)?
        .into_iter()
        .map(|segment| segment.file)
        .collect();
    tx.prepare_cached("DELETE FROM s3_versions WHERE seq = ?1")?
        .execute([version.seq])?;
    Ok(files)
}

/// Makes the newest version that is left the current one.
fn promote(tx: &Transaction<'_>, bucket: &str, key: &str) -> ApiResult<()> {
    tx.prepare_cached(
        "UPDATE s3_versions SET latest = 1 WHERE seq =
             (SELECT max(seq) FROM s3_versions WHERE bucket = ?1 AND key = ?2)",
    )?
    .execute([bucket, key])?;
    Ok(())
}

pub(super) fn no_such_key(key: &str) -> ApiError {
    ApiError::new(
        "NoSuchKey",
        format!("The specified key does not exist: {key}"),
    )
    .with_status(404)
}

fn precondition_failed() -> ApiError {
    ApiError::new(
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold",
    )
    .with_status(412)
}

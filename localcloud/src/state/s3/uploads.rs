//! Multipart uploads that are not finished: their parts, and how they become an object.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::attributes::{Attributes, Checksum, ChecksumKind, Tags};
use super::buckets::Bucket;
use super::objects::{Condition, NewObject, Put, put_object};
use super::versions::{Segment, from_json, seconds, signed, timestamp, to_json, unsigned};
use crate::error::{ApiError, ApiResult};

/// 5 MiB: the least size of every part but the last
/// (Amazon S3 multipart upload limits in the S3 User Guide).
pub const MIN_PART_SIZE: u64 = 5 * 1024 * 1024;

#[derive(Debug, Clone)]
pub struct NewUpload {
    pub bucket: String,
    pub key: String,
    pub attributes: Attributes,
    pub tags: Tags,
    /// The checksum algorithm that the caller chose, and of what it is to be taken.
    pub checksum: Option<(String, ChecksumKind)>,
}

#[derive(Debug, Clone)]
pub struct Upload {
    pub id: String,
    pub key: String,
    pub initiated: Timestamp,
    pub attributes: Attributes,
    pub tags: Tags,
    pub checksum: Option<(String, ChecksumKind)>,
}

#[derive(Debug, Clone)]
pub struct NewPart {
    /// 1 to 10,000.
    pub number: u32,
    /// `None` for an empty part.
    pub file: Option<String>,
    pub size: u64,
    /// Hex.
    pub md5: String,
    pub algorithm: String,
    /// Base64.
    pub checksum: String,
}

#[derive(Debug, Clone)]
pub struct Part {
    pub number: u32,
    pub file: Option<String>,
    pub size: u64,
    pub md5: String,
    pub algorithm: String,
    pub checksum: String,
    pub modified: Timestamp,
}

/// A part as the caller names it when completing.
#[derive(Debug, Clone)]
pub struct CompletedPart {
    pub number: u32,
    /// Without quotes.
    pub etag: String,
    /// Algorithm and value, where the caller gives one.
    pub checksum: Option<(String, String)>,
}

/// What the caller of a completion gets, and what is to be cleaned away.
#[derive(Debug, Clone)]
pub struct Completed {
    pub put: Put,
    pub etag: String,
    pub size: u64,
    /// Files of parts that were uploaded but not named.
    pub unused: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct UploadPage {
    pub uploads: Vec<Upload>,
    pub truncated: bool,
}

/// Hexadecimal digits of the time at the head of an upload's id: enough until the year 10889.
const STAMP_DIGITS: usize = 12;

/// Begins an upload. Its id sorts by time, so that uploads of one key list in the order in which
/// they were begun.
///
/// # Errors
/// None of S3's: the caller has looked the bucket up.
pub fn create_upload(tx: &Transaction<'_>, new: &NewUpload, now: Timestamp) -> ApiResult<String> {
    let id = format!(
        "{:0STAMP_DIGITS$x}{}",
        next_stamp(tx, now)?,
        uuid::Uuid::new_v4().simple()
    );
    let (algorithm, kind) = match &new.checksum {
        Some((algorithm, kind)) => (Some(algorithm), Some(to_json(kind)?)),
        None => (None, None),
    };
    tx.execute(
        "INSERT INTO s3_uploads (id, bucket, key, initiated, attributes, tags, algorithm, kind)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            id,
            new.bucket,
            new.key,
            seconds(now),
            to_json(&new.attributes)?,
            to_json(&new.tags)?,
            algorithm,
            kind
        ],
    )?;
    Ok(id)
}

/// Milliseconds since 1970, or one more than those of the last upload's id: two uploads of the same
/// millisecond are in order too, and a clock that is set back changes no order.
fn next_stamp(tx: &Transaction<'_>, now: Timestamp) -> ApiResult<i64> {
    let last: Option<String> =
        tx.query_row("SELECT max(id) FROM s3_uploads", [], |row| row.get(0))?;
    let last = last.and_then(|id| i64::from_str_radix(id.get(..STAMP_DIGITS)?, 16).ok());
    Ok(last.map_or(now.as_millisecond(), |last| {
        now.as_millisecond().max(last + 1)
    }))
}

const UPLOAD: &str = "id, key, initiated, attributes, tags, algorithm, kind";

fn read_upload(row: &Row<'_>) -> rusqlite::Result<Upload> {
    let algorithm: Option<String> = row.get(5)?;
    let kind: Option<String> = row.get(6)?;
    let checksum = match (algorithm, kind) {
        (Some(algorithm), Some(kind)) => Some((algorithm, from_json(6, &kind)?)),
        _ => None,
    };
    Ok(Upload {
        id: row.get(0)?,
        key: row.get(1)?,
        initiated: timestamp(row.get(2)?),
        attributes: from_json(3, &row.get::<_, String>(3)?)?,
        tags: from_json(4, &row.get::<_, String>(4)?)?,
        checksum,
    })
}

/// # Errors
/// `NoSuchUpload`, also where the id belongs to another key or bucket.
pub fn find_upload(tx: &Transaction<'_>, bucket: &str, key: &str, id: &str) -> ApiResult<Upload> {
    tx.prepare_cached(&format!(
        "SELECT {UPLOAD} FROM s3_uploads WHERE id = ?1 AND bucket = ?2 AND key = ?3"
    ))?
    .query_row([id, bucket, key], read_upload)
    .optional()?
    .ok_or_else(|| {
        ApiError::new(
            "NoSuchUpload",
            "The specified multipart upload does not exist. The upload ID may be invalid, \
                 or the upload may have been aborted or completed.",
        )
        .with_status(404)
    })
}

/// Stores a part, in place of an earlier one of the same number. Returns the file of that one.
///
/// # Errors
/// `NoSuchUpload` if it was completed or aborted meanwhile.
pub fn put_part(
    tx: &Transaction<'_>,
    bucket: &str,
    key: &str,
    upload: &str,
    part: &NewPart,
    now: Timestamp,
) -> ApiResult<Option<String>> {
    find_upload(tx, bucket, key, upload)?;
    let old: Option<Option<String>> = tx
        .prepare_cached("SELECT file FROM s3_parts WHERE upload = ?1 AND number = ?2")?
        .query_row(params![upload, part.number], |row| row.get(0))
        .optional()?;
    tx.prepare_cached(
        "INSERT OR REPLACE INTO s3_parts (upload, number, file, size, md5, algorithm, checksum, modified)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        upload,
        part.number,
        part.file,
        signed(part.size),
        part.md5,
        part.algorithm,
        part.checksum,
        seconds(now)
    ])?;
    Ok(old.flatten())
}

/// Parts with a number greater than `after`, in order, at most `limit`.
pub fn list_parts(
    tx: &Transaction<'_>,
    upload: &str,
    after: u32,
    limit: usize,
) -> ApiResult<Vec<Part>> {
    let mut statement = tx.prepare_cached(
        "SELECT number, file, size, md5, algorithm, checksum, modified FROM s3_parts
         WHERE upload = ?1 AND number > ?2 ORDER BY number LIMIT ?3",
    )?;
    let rows = statement.query_map(
        params![upload, after, i64::try_from(limit).unwrap_or(i64::MAX)],
        |row| {
            Ok(Part {
                number: row.get(0)?,
                file: row.get(1)?,
                size: unsigned(row.get(2)?),
                md5: row.get(3)?,
                algorithm: row.get(4)?,
                checksum: row.get(5)?,
                modified: timestamp(row.get(6)?),
            })
        },
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Unfinished uploads in the order of key and time of beginning, after the given key and id.
pub fn list_uploads(
    tx: &Transaction<'_>,
    bucket: &str,
    prefix: &str,
    after: (&str, Option<&str>),
    limit: usize,
) -> ApiResult<UploadPage> {
    let mut page = UploadPage {
        uploads: Vec::new(),
        truncated: false,
    };
    // Without an id, all uploads of the marker's own key are behind it.
    let (key, id) = (after.0, after.1.unwrap_or("\u{10FFFF}"));
    let mut statement = tx.prepare_cached(&format!(
        "SELECT {UPLOAD} FROM s3_uploads WHERE bucket = ?1 AND (key, id) > (?2, ?3)
         ORDER BY key, id"
    ))?;
    let mut rows = statement.query([bucket, key, id])?;
    while let Some(row) = rows.next()? {
        let upload = read_upload(row)?;
        if !upload.key.starts_with(prefix) {
            continue;
        }
        if page.uploads.len() == limit {
            page.truncated = limit > 0;
            break;
        }
        page.uploads.push(upload);
    }
    Ok(page)
}

/// Ends an upload without an object. Returns the files of its parts.
///
/// # Errors
/// `NoSuchUpload`.
pub fn abort_upload(
    tx: &Transaction<'_>,
    bucket: &str,
    key: &str,
    id: &str,
) -> ApiResult<Vec<String>> {
    find_upload(tx, bucket, key, id)?;
    let files = list_parts(tx, id, 0, usize::MAX)?
        .into_iter()
        .filter_map(|part| part.file)
        .collect();
    forget(tx, id)?;
    Ok(files)
}

/// The parts that make the object, in order, once checked against what the caller names.
///
/// # Errors
/// `InvalidPartOrder`, `InvalidPart`, `EntityTooSmall`, `MalformedXML` for no parts at all.
pub fn chosen_parts(
    tx: &Transaction<'_>,
    upload: &Upload,
    named: &[CompletedPart],
) -> ApiResult<Vec<Part>> {
    if named.is_empty() {
        return Err(ApiError::new(
            "MalformedXML",
            "The XML you provided was not well-formed or did not validate against our published schema: \
             a completed upload has at least one part",
        ));
    }
    if named
        .windows(2)
        .any(|pair| pair[0].number >= pair[1].number)
    {
        return Err(ApiError::new(
            "InvalidPartOrder",
            "The list of parts was not in ascending order. The parts list must be specified in order by part number.",
        ));
    }
    let mut stored: std::collections::HashMap<u32, Part> =
        list_parts(tx, &upload.id, 0, usize::MAX)?
            .into_iter()
            .map(|part| (part.number, part))
            .collect();
    let mut chosen = Vec::with_capacity(named.len());
    for name in named {
        let part = stored
            .remove(&name.number)
            .filter(|part| part.md5 == name.etag)
            .ok_or_else(|| invalid_part(name.number))?;
        if let Some((algorithm, value)) = &name.checksum {
            let same = part.algorithm == *algorithm && part.checksum == *value;
            if !same {
                return Err(invalid_part(name.number));
            }
        } else if let Some((algorithm, ChecksumKind::Composite)) = &upload.checksum {
            return Err(ApiError::new(
                "InvalidRequest",
                format!(
                    "The upload was created using a {} checksum. The complete request must include the checksum \
                     for each part. It was missing for part {} in the request.",
                    algorithm.to_lowercase(),
                    name.number
                ),
            ));
        }
        chosen.push(part);
    }
    let last = chosen.len() - 1;
    if let Some(small) = chosen[..last].iter().find(|part| part.size < MIN_PART_SIZE) {
        return Err(ApiError::new(
            "EntityTooSmall",
            format!(
                "Your proposed upload is smaller than the minimum allowed size: part {} has {} bytes, \
                 every part but the last needs {MIN_PART_SIZE}",
                small.number, small.size
            ),
        ));
    }
    Ok(chosen)
}

/// Makes the object of the parts that `chosen_parts` gave; the upload is gone then.
///
/// # Errors
/// As `put_object`.
pub fn complete_upload(
    tx: &Transaction<'_>,
    bucket: &Bucket,
    upload: &Upload,
    parts: &[Part],
    (etag, checksum): (String, Option<Checksum>),
    condition: &Condition,
    now: Timestamp,
) -> ApiResult<Completed> {
    let size = parts.iter().map(|part| part.size).sum();
    let mut unused: Vec<String> = list_parts(tx, &upload.id, 0, usize::MAX)?
        .into_iter()
        .filter_map(|part| part.file)
        .collect();
    let chosen: std::collections::HashSet<&str> = parts
        .iter()
        .filter_map(|part| part.file.as_deref())
        .collect();
    unused.retain(|file| !chosen.contains(file.as_str()));
    let segments = (1..)
        .zip(parts)
        .filter_map(|(number, part)| {
            Some(Segment {
                number,
                file: part.file.clone()?,
                size: part.size,
                checksum: Some(part.checksum.clone()),
            })
        })
        .collect();
    let object = NewObject {
        key: upload.key.clone(),
        size,
        etag: etag.clone(),
        attributes: upload.attributes.clone(),
        checksum,
        tags: upload.tags.clone(),
        segments,
        parts: u32::try_from(parts.len()).ok(),
    };
    let put = put_object(tx, bucket, &object, condition, now)?;
    forget(tx, &upload.id)?;
    Ok(Completed {
        put,
        etag,
        size,
        unused,
    })
}

fn forget(tx: &Transaction<'_>, id: &str) -> ApiResult<()> {
    tx.execute("DELETE FROM s3_uploads WHERE id = ?1", [id])?;
    Ok(())
}

fn invalid_part(number: u32) -> ApiError {
    ApiError::new(
        "InvalidPart",
        format!(
            "One or more of the specified parts could not be found. The part may not have been uploaded, \
             or the specified entity tag may not match the part's entity tag: part {number}"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, SystemClock};
    use crate::state::Store;
    use crate::state::s3::create_bucket;

    #[test]
    fn uploads_of_one_moment_keep_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let now = SystemClock.now();
        let new = NewUpload {
            bucket: "films".into(),
            key: "k".into(),
            attributes: Attributes::default(),
            tags: vec![],
            checksum: None,
        };
        store
            .transaction(|tx| {
                create_bucket(tx, "films", now)?;
                // The last is of a clock that was set back.
                let moments = [now; 20].into_iter().chain([Timestamp::UNIX_EPOCH]);
                let begun: Vec<String> = moments
                    .map(|moment| create_upload(tx, &new, moment))
                    .collect::<ApiResult<_>>()?;
                let page = list_uploads(tx, "films", "", ("", None), 1000)?;
                let listed: Vec<String> = page.uploads.into_iter().map(|up| up.id).collect();
                assert_eq!(listed, begun);
                Ok(())
            })
            .unwrap();
    }
}

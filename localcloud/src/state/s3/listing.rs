//! Listing keys in order, with prefix, delimiter and continuation.
//!
//! A common prefix costs one index seek however many keys lie below it: after it is found, the
//! scan starts again behind it.

use rusqlite::{Transaction, params};

use super::versions::{COLUMNS, Version, find_version, read};
use crate::error::{ApiError, ApiResult};

/// Which keys to list.
#[derive(Debug, Clone, Default)]
pub struct PageRequest<'a> {
    pub bucket: &'a str,
    pub prefix: &'a str,
    /// Keys that have this after the prefix are rolled up to one common prefix. Never empty.
    pub delimiter: Option<&'a str>,
    /// Only what comes after this key or common prefix.
    pub after: Option<&'a str>,
    /// How many entries at most, common prefixes counted.
    pub limit: usize,
}

#[derive(Debug, Clone)]
pub enum PageEntry {
    Version(Box<Version>),
    Prefix(String),
}

impl PageEntry {
    /// The key or the common prefix: where a next page goes on.
    pub fn name(&self) -> &str {
        match self {
            Self::Version(version) => &version.key,
            Self::Prefix(prefix) => prefix,
        }
    }
}

#[derive(Debug, Clone, Default)]
pub struct Page {
    pub entries: Vec<PageEntry>,
    /// Whether there is more after the last entry.
    pub truncated: bool,
}

/// Where a listing of versions goes on inside a key.
#[derive(Debug, Clone, Copy)]
pub struct VersionMarker<'a> {
    pub key: &'a str,
    pub version_id: &'a str,
}

/// Current objects in the order of their keys.
pub fn list_objects(tx: &Transaction<'_>, request: &PageRequest<'_>) -> ApiResult<Page> {
    let mut page = Page::default();
    scan(
        tx,
        request,
        "latest = 1 AND marker = 0 AND",
        "key",
        &mut page,
    )?;
    Ok(page)
}

/// All versions and delete markers, in the order of their keys and the newest of a key first.
///
/// # Errors
/// `InvalidArgument` if the marker names a version that is not there.
pub fn list_versions(
    tx: &Transaction<'_>,
    request: &PageRequest<'_>,
    marker: Option<VersionMarker<'_>>,
) -> ApiResult<Page> {
    let mut page = Page::default();
    if let Some(VersionMarker { key, version_id }) = marker
        && request.limit > 0
        && key.starts_with(request.prefix)
    {
        let last = find_version(tx, request.bucket, key, version_id)?.ok_or_else(|| {
            ApiError::new("InvalidArgument", "Invalid version id marker specified")
        })?;
        let mut statement = tx.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM s3_versions
             WHERE bucket = ?1 AND key = ?2 AND seq < ?3 ORDER BY seq DESC"
        ))?;
        let mut rows = statement.query(params![request.bucket, key, last.seq])?;
        while let Some(row) = rows.next()? {
            if !add(
                &mut page,
                request.limit,
                PageEntry::Version(Box::new(read(row)?)),
            ) {
                return Ok(page);
            }
        }
    }
    scan(tx, request, "", "key, seq DESC", &mut page)?;
    Ok(page)
}

fn scan(
    tx: &Transaction<'_>,
    request: &PageRequest<'_>,
    filter: &str,
    order: &str,
    page: &mut Page,
) -> ApiResult<()> {
    if request.limit == 0 {
        return Ok(());
    }
    let end = successor(request.prefix);
    let Some((mut from, mut inclusive)) = start(request) else {
        return Ok(());
    };
    'seek: loop {
        let compare = if inclusive { ">=" } else { ">" };
        // No key is longer than 1024 bytes, so comparing with an absent end costs nothing.
        let mut statement = tx.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM s3_versions
             WHERE {filter} bucket = ?1 AND key {compare} ?2 AND (?3 IS NULL OR key < ?3)
             ORDER BY {order}"
        ))?;
        let mut rows = statement.query(params![request.bucket, from, end])?;
        while let Some(row) = rows.next()? {
            let key: &str = row.get_ref(1)?.as_str().map_err(ApiError::internal)?;
            if let Some(common) = common_prefix(key, request.prefix, request.delimiter) {
                let common = common.to_owned();
                let next = successor(&common);
                if !add(page, request.limit, PageEntry::Prefix(common)) {
                    return Ok(());
                }
                match next {
                    Some(next) => {
                        from = next;
                        inclusive = true;
                        continue 'seek;
                    }
                    None => return Ok(()),
                }
            }
            if !add(
                page,
                request.limit,
                PageEntry::Version(Box::new(read(row)?)),
            ) {
                return Ok(());
            }
        }
        return Ok(());
    }
}

/// Adds an entry, or notes that there is one too many. Returns whether to go on.
fn add(page: &mut Page, limit: usize, entry: PageEntry) -> bool {
    if page.entries.len() == limit {
        page.truncated = true;
        return false;
    }
    page.entries.push(entry);
    true
}

/// The first key to look at and whether it counts itself; `None` if nothing can come after.
fn start(request: &PageRequest<'_>) -> Option<(String, bool)> {
    match request.after {
        Some(after) if after >= request.prefix => {
            if common_prefix(after, request.prefix, request.delimiter) == Some(after) {
                Some((successor(after)?, true))
            } else {
                Some((after.to_owned(), false))
            }
        }
        _ => Some((request.prefix.to_owned(), true)),
    }
}

/// What `key` is rolled up to: everything to the first delimiter after the prefix.
fn common_prefix<'k>(key: &'k str, prefix: &str, delimiter: Option<&str>) -> Option<&'k str> {
    let delimiter = delimiter?;
    let rest = key.strip_prefix(prefix)?;
    let at = rest.find(delimiter)?;
    Some(&key[..prefix.len() + at + delimiter.len()])
}

/// The least text that is greater than every text beginning with `prefix`; `None` if there is
/// none (an empty prefix, or the highest characters only). UTF-8 sorts as its code points do.
fn successor(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        let next = match last {
            // The code points between are surrogates, which are no characters.
            '\u{D7FF}' => Some('\u{E000}'),
            _ => char::from_u32(last as u32 + 1),
        };
        if let Some(next) = next {
            text.push(next);
            return Some(text);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn successor_of_ends() {
        assert_eq!(successor(""), None);
        assert_eq!(successor("a/"), Some("a0".to_owned()));
        assert_eq!(successor("\u{D7FF}"), Some("\u{E000}".to_owned()));
        assert_eq!(successor("a\u{10FFFF}"), Some("b".to_owned()));
        assert_eq!(successor("\u{10FFFF}"), None);
    }

    proptest! {
        #[test]
        fn successor_is_a_tight_bound(prefix in "\\PC{1,4}", rest in "\\PC{0,4}", other in "\\PC{0,6}") {
            if let Some(next) = successor(&prefix) {
                let longer = prefix.clone() + &rest;
                prop_assert!(longer < next);
                prop_assert!(other.starts_with(&prefix) || other < prefix || other >= next);
            }
        }
    }
}

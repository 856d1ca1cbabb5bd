//! What is in a bucket: counting it and deleting it, versions, delete markers and unfinished
//! uploads included. Memory is bounded however much there is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use futures::stream::{self, StreamExt, TryStreamExt};
use muck_worker::text::quantity;
use serde::Serialize;

use super::bucket;
use crate::aws::{Aws, Cause};
use crate::error::{Error, Result};
use crate::event::{Event, Events};

/// Requests to delete under way at a time, 1,000 keys each (S3's most): 8 is well under the
/// 3,500 writes a second that S3 takes for one prefix, and holds at most 16 pages in memory.
const PARALLEL_DELETES: usize = 8;

/// How often a bucket is emptied again because something was still written to it.
const ROUNDS: u32 = 5;

/// What a bucket holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Contents {
    /// Objects; where there are versions, all of them.
    pub objects: u64,
    pub bytes: u64,
    pub delete_markers: u64,
    pub unfinished_uploads: u64,
}

impl Contents {
    fn of(page: &Versions) -> Self {
        let sizes = page.versions().iter();
        Self {
            objects: page.versions().len() as u64,
            bytes: sizes
                .map(|version| u64::try_from(version.size().unwrap_or(0)).unwrap_or(0))
                .sum(),
            delete_markers: page.delete_markers().len() as u64,
            unfinished_uploads: 0,
        }
    }
}

/// Counts what is in a bucket; nothing for one that is not there.
pub async fn count(aws: &Aws, name: &str) -> Result<Contents> {
    let (objects, uploads) = tokio::join!(count_objects(aws, name), count_uploads(aws, name));
    let mut contents = objects?;
    contents.unfinished_uploads = uploads?;
    Ok(contents)
}

/// The first page only: at most 1,000 versions, one call. Also says whether there is more.
pub async fn glance(aws: &Aws, name: &str) -> Result<(Contents, bool)> {
    match versions(aws, name, &Marker::default()).await {
        Ok(page) => Ok((Contents::of(&page), page.is_truncated.unwrap_or(false))),
        Err(cause) if cause.is("NoSuchBucket") => Ok((Contents::default(), false)),
        Err(cause) => Err(cannot("list the objects of", name, cause)),
    }
}

/// Whether the bucket holds an object whose key begins with `prefix`; false for a bucket that does not exist.
pub async fn holds(aws: &Aws, name: &str, prefix: &str) -> Result<bool> {
    let call = aws
        .s3
        .list_object_versions()
        .bucket(name)
        .expected_bucket_owner(&aws.account)
        .prefix(prefix)
        .max_keys(1);
    match call.send().await.map_err(Cause::from) {
        Ok(page) => Ok(!page.versions().is_empty()),
        Err(cause) if cause.is("NoSuchBucket") => Ok(false),
        Err(cause) => Err(cannot("list the objects of", name, cause)),
    }
}

async fn count_objects(aws: &Aws, name: &str) -> Result<Contents> {
    let mut contents = Contents::default();
    let mut from = Marker::default();
    loop {
        let page = match versions(aws, name, &from).await {
            Ok(page) => page,
            Err(cause) if cause.is("NoSuchBucket") => return Ok(Contents::default()),
            Err(cause) => return Err(cannot("list the objects of", name, cause)),
        };
        let more = Contents::of(&page);
        contents.objects += more.objects;
        contents.bytes += more.bytes;
        contents.delete_markers += more.delete_markers;
        match Marker::after(page) {
            Some(next) => from = next,
            None => return Ok(contents),
        }
    }
}

async fn count_uploads(aws: &Aws, name: &str) -> Result<u64> {
    let mut count = 0;
    let mut from = Marker::default();
    loop {
        let page = match uploads(aws, name, &from).await {
            Ok(page) => page,
            Err(cause) if cause.is("NoSuchBucket") => return Ok(0),
            Err(cause) => return Err(cannot("list the uploads to", name, cause)),
        };
        count += page.uploads().len() as u64;
        match Marker::after_uploads(page) {
            Some(next) => from = next,
            None => return Ok(count),
        }
    }
}

type Versions = aws_sdk_s3::operation::list_object_versions::ListObjectVersionsOutput;
type Uploads = aws_sdk_s3::operation::list_multipart_uploads::ListMultipartUploadsOutput;

/// Where a listing goes on (the SDK has no paginator for these two).
#[derive(Debug, Clone, Default)]
struct Marker {
    key: Option<String>,
    id: Option<String>,
}

impl Marker {
    fn after(page: Versions) -> Option<Self> {
        page.is_truncated.unwrap_or(false).then_some(Self {
            key: page.next_key_marker,
            id: page.next_version_id_marker,
        })
    }

    fn after_uploads(page: Uploads) -> Option<Self> {
        page.is_truncated.unwrap_or(false).then_some(Self {
            key: page.next_key_marker,
            id: page.next_upload_id_marker,
        })
    }
}

async fn versions(aws: &Aws, name: &str, from: &Marker) -> Result<Versions, Cause> {
    aws.s3
        .list_object_versions()
        .bucket(name)
        .expected_bucket_owner(&aws.account)
        .set_key_marker(from.key.clone())
        .set_version_id_marker(from.id.clone())
        .send()
        .await
        .map_err(Cause::from)
}

async fn uploads(aws: &Aws, name: &str, from: &Marker) -> Result<Uploads, Cause> {
    aws.s3
        .list_multipart_uploads()
        .bucket(name)
        .expected_bucket_owner(&aws.account)
        .set_key_marker(from.key.clone())
        .set_upload_id_marker(from.id.clone())
        .send()
        .await
        .map_err(Cause::from)
}

/// How far the deletion of objects is, over all buckets that share it.
#[derive(Debug)]
pub struct Deletion<'a> {
    events: &'a Events,
    done: AtomicU64,
    total: Option<u64>,
}

impl<'a> Deletion<'a> {
    /// `total`: objects and delete markers, if they were counted.
    pub fn new(events: &'a Events, total: Option<u64>) -> Self {
        Self {
            events,
            done: AtomicU64::new(0),
            total,
        }
    }

    fn more(&self, count: u64) {
        let done = self.done.fetch_add(count, Ordering::Relaxed) + count;
        self.events.emit(Event::Deletion(Some((done, self.total))));
    }
}

impl Drop for Deletion<'_> {
    fn drop(&mut self) {
        self.events.emit(Event::Deletion(None));
    }
}

/// Failures of deletions in one bucket: the first of them, and how many there were.
#[derive(Debug, Default)]
struct Failures(Mutex<(Option<Error>, u64)>);

impl Failures {
    fn add(&self, error: Error) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.0.get_or_insert(error);
        all.1 += 1;
    }

    fn into_result(self) -> Result<()> {
        match self.0.into_inner().unwrap_or_else(PoisonError::into_inner) {
            (None, _) => Ok(()),
            (Some(error), 1) => Err(error),
            (Some(error), count) => Err(Error::failed(format!(
                "{} to empty a bucket failed; the first",
                quantity(count, "request")
            ))
            .because(error)),
        }
    }
}

/// Empties a bucket and deletes it. Returns the number of objects and markers deleted. A request that
/// fails does not keep the others from being made.
///
/// # Errors
/// What could not be deleted, and if something keeps being written to it.
pub async fn empty_and_delete(aws: &Aws, name: &str, progress: &Deletion<'_>) -> Result<u64> {
    let deleted = AtomicU64::new(0);
    for _ in 0..ROUNDS {
        let failures = Failures::default();
        // An upload that completes meanwhile is an object again: then the bucket is not empty, and the
        // next round deletes it.
        let (aborted, ()) = tokio::join!(
            abort_uploads(aws, name),
            delete_objects(aws, name, progress, &deleted, &failures)
        );
        failures.into_result()?;
        aborted?;
        if bucket::delete(aws, name).await? == bucket::Deletion::Gone {
            return Ok(deleted.into_inner());
        }
    }
    Err(
        Error::failed(format!("bucket {name} fills again while it is emptied"))
            .hint("stop what writes to it, then run `muck down` again"),
    )
}

async fn delete_objects(
    aws: &Aws,
    name: &str,
    progress: &Deletion<'_>,
    deleted: &AtomicU64,
    failures: &Failures,
) {
    // Pages are listed one after another (each says where the next begins) while those before are
    // being deleted.
    let pages = stream::unfold(Some(Marker::default()), |from| async move {
        let page = match versions(aws, name, &from?).await {
            Ok(page) => page,
            Err(cause) if cause.is("NoSuchBucket") => return None,
            Err(cause) => {
                failures.add(cannot("list the objects of", name, cause));
                return None;
            }
        };
        let identifiers = identifiers(&page);
        Some((identifiers, Marker::after(page)))
    });
    pages
        .for_each_concurrent(PARALLEL_DELETES, |identifiers| async move {
            let count = identifiers.len() as u64;
            if count == 0 {
                return;
            }
            match delete_page(aws, name, identifiers).await {
                Ok(()) => {
                    deleted.fetch_add(count, Ordering::Relaxed);
                    progress.more(count);
                }
                Err(error) => failures.add(error),
            }
        })
        .await;
}

fn identifiers(page: &Versions) -> Vec<ObjectIdentifier> {
    let versions = page
        .versions()
        .iter()
        .map(|version| (version.key(), version.version_id()));
    let markers = page
        .delete_markers()
        .iter()
        .map(|marker| (marker.key(), marker.version_id()));
    versions
        .chain(markers)
        .filter_map(|(key, version)| {
            let version = version.map(ToOwned::to_owned);
            ObjectIdentifier::builder()
                .key(key?)
                .set_version_id(version)
                .build()
                .ok()
        })
        .collect()
}

async fn delete_page(aws: &Aws, name: &str, identifiers: Vec<ObjectIdentifier>) -> Result<()> {
    let delete = Delete::builder()
        .set_objects(Some(identifiers))
        .quiet(true)
        .build()
        .map_err(|error| cannot("delete objects of", name, error))?;
    let call = aws
        .s3
        .delete_objects()
        .bucket(name)
        .expected_bucket_owner(&aws.account);
    let answer = match call.delete(delete).send().await.map_err(Cause::from) {
        Ok(answer) => answer,
        Err(cause) if cause.is("NoSuchBucket") => return Ok(()),
        Err(cause) => return Err(cannot("delete objects of", name, cause)),
    };
    // A call that succeeds may still have failed for single keys.
    match answer.errors() {
        [] => Ok(()),
        [first, rest @ ..] => Err(Error::failed(format!(
            "cannot delete {} and {} of bucket {name}: {}: {}",
            first.key().unwrap_or("(no key)"),
            quantity(rest.len(), "more object"),
            first.code().unwrap_or("(no code)"),
            first.message().unwrap_or("(no message)"),
        ))),
    }
}

async fn abort_uploads(aws: &Aws, name: &str) -> Result<()> {
    let mut from = Marker::default();
    loop {
        let page = match uploads(aws, name, &from).await {
            Ok(page) => page,
            Err(cause) if cause.is("NoSuchBucket") => return Ok(()),
            Err(cause) => return Err(cannot("list the uploads to", name, cause)),
        };
        stream::iter(page.uploads())
            .map(Ok)
            .try_for_each_concurrent(PARALLEL_DELETES, |upload| {
                let call = aws
                    .s3
                    .abort_multipart_upload()
                    .bucket(name)
                    .expected_bucket_owner(&aws.account)
                    .set_key(upload.key.clone())
                    .set_upload_id(upload.upload_id.clone());
                async move {
                    match call.send().await.map_err(Cause::from) {
                        Ok(_) => Ok(()),
                        Err(cause) if cause.is_any(&["NoSuchUpload", "NoSuchBucket"]) => Ok(()),
                        Err(cause) => Err(cannot("abort an upload to", name, cause)),
                    }
                }
            })
            .await?;
        match Marker::after_uploads(page) {
            Some(next) => from = next,
            None => return Ok(()),
        }
    }
}

fn cannot(
    verb: &str,
    name: &str,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::failed(format!("cannot {verb} bucket {name}")).because(cause)
}

//! One file into the input bucket, with bounded memory, and sure to be what was digested.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use muck_worker::MEDIA_PREFIX;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::digest::{Digested, Digests, Fingerprint, digest_large};
use super::ledger::{Batch, Counter, Ledger};
use super::scan::plain;
use super::submit::{blocking, broken};
use super::uplink::Uplink;
use crate::cloud::Cloud;
use crate::error::{Error, Result};
use crate::resources::multipart::{Crc64, MOST_PARTS, Multipart};
use crate::resources::object::{self, Content, Place};

const MIB: u64 = 1 << 20;
/// Up to here a file is read into memory once, digested and sent from there.
const SMALL: u64 = 8 * MIB;
/// Up to here a content is sent without asking whether it is there: that takes no longer than to ask (100 ms at 20 Mbit/s)
/// and costs less where it is new.
const UNASKED: u64 = 256 * 1024;
/// S3 takes parts from 5 MiB; 8 MiB is what AWS's own tools use.
const PART: u64 = 8 * MIB;
/// MiB of parts in memory at once, over all files.
const BUDGET_MIB: u64 = 64;
const CHANGED: &str = "changed while it was read";

/// What all files of a submission share.
pub struct Budget {
    /// For contents that are in memory; one permit a MiB.
    memory: Arc<Semaphore>,
    uplink: Arc<Uplink>,
}

impl Default for Budget {
    fn default() -> Self {
        let mib = usize::try_from(BUDGET_MIB).unwrap_or(usize::MAX);
        Self {
            memory: Arc::new(Semaphore::new(mib)),
            uplink: Arc::default(),
        }
    }
}

/// A file that was digested.
#[derive(Debug)]
pub struct Prepared {
    pub content: Content,
    path: PathBuf,
    fingerprint: Fingerprint,
    body: Body,
    _memory: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
enum Body {
    /// The whole content, of a small file.
    Here(Bytes),
    /// It is read again, in parts of [`part_size`], each of which must have this CRC.
    InParts(Vec<Crc64>),
}

/// Whether the content had to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uploaded {
    Sent,
    WasThere,
}

/// Reads and digests a file that had so many bytes when it was found.
///
/// # Errors
/// Why it can't be taken, to follow the file's name.
pub async fn prepare(
    budget: &Budget,
    path: &Path,
    mime: &str,
    bytes: u64,
) -> Result<Prepared, String> {
    let broken = |error: Error| format!("was not read: {}", error.chain());
    // A larger one is not kept in memory.
    let memory = match bytes {
        ..=SMALL => Some(budget.of(bytes).await.map_err(broken)?),
        _ => None,
    };
    let (path, mime) = (path.to_owned(), mime.to_owned());
    blocking(move || prepare_blocking(path, mime, bytes, memory))
        .await
        .map_err(broken)?
}

fn prepare_blocking(
    path: PathBuf,
    mime: String,
    bytes: u64,
    memory: Option<OwnedSemaphorePermit>,
) -> Result<Prepared, String> {
    let mut file = File::open(&path).map_err(|error| cannot(&error))?;
    let fingerprint = Fingerprint::of(&file).map_err(|error| cannot(&error))?;
    if fingerprint.bytes != bytes {
        return Err(CHANGED.to_owned());
    }
    let (digested, body) = if fingerprint.bytes <= SMALL {
        let mut body = Vec::with_capacity(usize::try_from(fingerprint.bytes).unwrap_or(0));
        // One byte more than there should be shows growth without reading on for ever.
        (&mut file)
            .take(SMALL + 1)
            .read_to_end(&mut body)
            .map_err(|error| cannot(&error))?;
        let mut digests = Digests::default();
        digests.update(&body);
        (digests.finish(), Body::Here(Bytes::from(body)))
    } else {
        let mut content = (&mut file).take(fingerprint.bytes + 1);
        let part = part_size(fingerprint.bytes);
        let (digested, parts) = digest_large(&mut content, part).map_err(|error| cannot(&error))?;
        (digested, Body::InParts(parts))
    };
    if digested.bytes != fingerprint.bytes || !unchanged(&path, &file, &fingerprint) {
        return Err(CHANGED.to_owned());
    }
    let Digested { md5, sha256, bytes } = digested;
    Ok(Prepared {
        content: Content {
            bytes,
            md5,
            sha256,
            mime,
        },
        path,
        fingerprint,
        body,
        _memory: memory,
    })
}

/// Neither the open file nor what now has its name differs from the first look.
fn unchanged(path: &Path, file: &File, fingerprint: &Fingerprint) -> bool {
    let open = Fingerprint::of(file).is_ok_and(|now| now == *fingerprint);
    let named =
        std::fs::metadata(path).is_ok_and(|facts| Fingerprint::from(&facts) == *fingerprint);
    open && named
}

/// Stores a content under its MD5, unless it is there already. `progress` is told the bytes of each
/// part that arrived.
///
/// # Errors
/// The outer one is the cloud's or the ledger's; the inner one is the file's, a reason to follow
/// its name.
pub async fn store(
    cloud: &Cloud,
    budget: &Budget,
    prepared: &Prepared,
    ledger: &Ledger,
    batch: &Batch,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Result<Uploaded, String>> {
    let bucket = cloud.names.input_bucket();
    let content = &prepared.content;
    let key = format!("{MEDIA_PREFIX}{}", content.md5);
    let place = Place {
        bucket: &bucket,
        key: &key,
    };
    if let Body::Here(body) = &prepared.body
        && content.bytes <= UNASKED
    {
        let turn = budget.uplink.turn(content.bytes).await?;
        let is_new = object::put_new(cloud, place, content, body.clone()).await?;
        turn.done();
        ledger.count(batch, Counter::Puts, 1)?;
        if is_new {
            return Ok(Ok(Uploaded::Sent));
        }
    }
    let stored = object::head(cloud, place).await?;
    ledger.count(batch, Counter::Gets, 1)?;
    if let Some(stored) = stored {
        match &stored.sha256 {
            Some(sha256) if *sha256 != content.sha256 => {
                return Ok(Err(format!(
                    "has the same MD5 as another file that is stored, {key}, but is not that file"
                )));
            }
            Some(_) if stored.bytes == content.bytes => return Ok(Ok(Uploaded::WasThere)),
            // Somebody else's way of storing, or a torn one: stored again.
            _ => {}
        }
    }
    let crcs = match &prepared.body {
        Body::Here(body) => {
            let turn = budget.uplink.turn(content.bytes).await?;
            object::put(cloud, place, content, body.clone()).await?;
            turn.done();
            ledger.count(batch, Counter::Puts, 1)?;
            return Ok(Ok(Uploaded::Sent));
        }
        Body::InParts(crcs) => crcs,
    };
    let upload = Multipart::begin(cloud, place, content).await?;
    match in_parts(cloud, budget, prepared, crcs, &upload, progress).await {
        Ok(Ok(parts)) => {
            ledger.count(batch, Counter::Puts, parts + 2)?;
            Ok(Ok(Uploaded::Sent))
        }
        // The first error is what the user sees; an upload left behind is told and found by `down`.
        failure => {
            if let Err(error) = upload.abort(cloud).await {
                cloud.events.warn(error.chain());
            }
            failure.map(|outcome| outcome.map(|_| Uploaded::Sent))
        }
    }
}

impl Budget {
    async fn of(&self, bytes: u64) -> Result<OwnedSemaphorePermit> {
        let mib = bytes.div_ceil(MIB).clamp(1, BUDGET_MIB);
        Arc::clone(&self.memory)
            .acquire_many_owned(u32::try_from(mib).unwrap_or(u32::MAX))
            .await
            .map_err(|error| Error::failed("the upload was stopped").because(error))
    }
}

/// Whole MiB, so that at most 10,000 parts make the file.
fn part_size(bytes: u64) -> u64 {
    bytes
        .div_ceil(MOST_PARTS)
        .div_ceil(MIB)
        .saturating_mul(MIB)
        .max(PART)
}

/// Reads the file a second time, part by part, and sends the parts beside each other. Only what was digested is sent: each
/// part has its CRC. Returns how many parts there were.
async fn in_parts(
    cloud: &Cloud,
    budget: &Budget,
    prepared: &Prepared,
    crcs: &[Crc64],
    upload: &Multipart,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Result<u64, String>> {
    let size = part_size(prepared.content.bytes);
    let file = match File::open(&prepared.path) {
        Ok(file) => Arc::new(file),
        Err(error) => return Ok(Err(cannot(&error))),
    };
    let mut sending = JoinSet::new();
    let mut parts = Vec::new();
    let mut begin = 0;
    for (number, &crc) in (1_i32..).zip(crcs) {
        let length = (prepared.content.bytes - begin).min(size);
        let permit = budget.of(length).await?;
        let reading = Arc::clone(&file);
        let read = blocking(move || read_part(&reading, begin, length, crc)).await?;
        let body = match read {
            Ok(body) => body,
            Err(reason) => return Ok(Err(reason)),
        };
        begin += length;
        let (cloud, upload, uplink) = (cloud.clone(), upload.clone(), Arc::clone(&budget.uplink));
        sending.spawn(async move {
            let turn = uplink.turn(length).await?;
            let part = upload.part(&cloud, number, body, crc).await;
            turn.done();
            drop(permit);
            part
        });
        while let Some(part) = sending.try_join_next() {
            let part = part.map_err(broken)??;
            progress(part.bytes);
            parts.push(part);
        }
    }
    while let Some(part) = sending.join_next().await {
        let part = part.map_err(broken)??;
        progress(part.bytes);
        parts.push(part);
    }
    if !unchanged(&prepared.path, &file, &prepared.fingerprint) {
        return Ok(Err(CHANGED.to_owned()));
    }
    let count = parts.len() as u64;
    upload.complete(cloud, parts, &prepared.content).await?;
    Ok(Ok(count))
}

/// The reason that follows the name of a file.
fn cannot(error: &std::io::Error) -> String {
    format!("cannot be read: {}", plain(error))
}

/// The bytes from `begin`, which must have that CRC (blocking). The error is a reason to follow the file's name.
fn read_part(file: &File, begin: u64, length: u64, crc: Crc64) -> Result<Bytes, String> {
    let mut body = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    match file.read_exact_at(&mut body, begin) {
        Ok(()) if Crc64::of(&body) == crc => Ok(Bytes::from(body)),
        Ok(()) => Err(CHANGED.to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(CHANGED.to_owned()),
        Err(error) => Err(cannot(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_few_enough_for_any_file() {
        assert_eq!(part_size(9 * MIB), 8 * MIB);
        assert_eq!(part_size(80_000 * MIB), 8 * MIB);
        assert_eq!(part_size(80_000 * MIB + 1), 9 * MIB);
        for bytes in [1, 5 << 40, 50 << 40] {
            assert!(
                u64::div_ceil(bytes, part_size(bytes)) <= MOST_PARTS,
                "{bytes}"
            );
        }
    }

    #[tokio::test]
    async fn a_file_is_digested_with_its_content() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("a.avi");
        std::fs::write(&path, "abc").expect("writes");
        let budget = Budget::default();
        let prepared = prepare(&budget, &path, "video/x-msvideo", 3)
            .await
            .expect("reads");
        assert_eq!(prepared.content.md5, "900150983cd24fb0d6963f7d28e17f72");
        assert!(matches!(prepared.body, Body::Here(body) if body[..] == *b"abc"));
        let missing = prepare(&budget, &dir.path().join("b.avi"), "", 3)
            .await
            .expect_err("is not there");
        assert_eq!(missing, "cannot be read: No such file or directory");
    }

    #[test]
    fn only_what_was_digested_is_sent() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("a.avi");
        std::fs::write(&path, "abcdef").expect("writes");
        let file = File::open(&path).expect("opens");
        let part = |begin, length| read_part(&file, begin, length, Crc64::of(b"def"));
        assert_eq!(part(3, 3).expect("the same")[..], *b"def");
        assert_eq!(part(2, 3).expect_err("another"), CHANGED);
        assert_eq!(part(4, 3).expect_err("too short"), CHANGED);
    }

    #[test]
    fn a_file_that_is_replaced_is_noticed() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("a.avi");
        std::fs::write(&path, "abc").expect("writes");
        let file = File::open(&path).expect("opens");
        let fingerprint = Fingerprint::of(&file).expect("has one");
        assert!(unchanged(&path, &file, &fingerprint));
        std::fs::write(dir.path().join("b.avi"), "abc").expect("writes");
        std::fs::rename(dir.path().join("b.avi"), &path).expect("renames");
        assert!(!unchanged(&path, &file, &fingerprint));
    }
}

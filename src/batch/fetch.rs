//! One output from the output bucket into a folder: by parallel ranges, checked, on the disk, named.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, mpsc};

use futures::{StreamExt as _, TryStreamExt as _};
use md5::{Digest as _, Md5};
use muck_worker::MEDIA_PREFIX;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;

use super::digest::{BUFFER, digest};
use super::place::{Folder, Temporary, Wanted};
use super::scan::plain;
use super::submit::blocking;
use crate::cloud::Cloud;
use crate::error::{Error, Result};
use crate::resources::object::{self, Piece, Place};

/// One request's range. Large enough that a round trip costs little, small enough that a few
/// beside each other hold little memory.
const RANGE: u64 = 8 << 20;
/// Ranges of one file beside each other.
const RANGES_AT_ONCE: usize = 4;
/// Ranges of all files beside each other. Each holds about [`WRITE`] bytes, and what its connection buffers.
const RANGES_IN_ALL: usize = 24;
/// Bytes gathered before they are written: one turn of a blocking thread a MiB.
const WRITE: usize = 1 << 20;
/// Attempts for a range whose connection breaks midway; each goes on where the last one ended.
const ATTEMPTS: u32 = 5;

/// Ranges that may be under way, over all files.
pub struct Lanes(Semaphore);

impl Default for Lanes {
    fn default() -> Self {
        Self(Semaphore::new(RANGES_IN_ALL))
    }
}

impl Lanes {
    async fn one(&self) -> Result<SemaphorePermit<'_>> {
        self.0
            .acquire()
            .await
            .map_err(|error| Error::failed("the fetching was stopped").because(error))
    }
}

/// What to fetch, and as what.
#[derive(Debug, Clone)]
pub struct Order {
    pub bucket: String,
    pub key: String,
    /// The sub-folder that it belongs to.
    pub folder: Folder,
    pub wanted: Wanted,
}

/// What arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// Below the results' folder.
    pub file: String,
    pub bytes: u64,
    /// Requests and bytes that it took; none if the file was there already.
    pub requests: u64,
    pub bytes_fetched: u64,
}

/// Fetches one output.
///
/// # Errors
/// The outer error ends the whole run (a full disk, no access); the inner one is of this output, a
/// reason to follow its name.
pub async fn fetch(cloud: &Cloud, lanes: &Lanes, order: Order) -> Result<Result<Arrived, String>> {
    let Some(md5) = md5_of_key(&order.key) else {
        return Ok(Err(
            "has an output whose key is no MD5, so it can't be checked".to_owned(),
        ));
    };
    if let Some(arrived) = find_here(&order, &md5).await? {
        return Ok(Ok(arrived));
    }
    let folder = order.folder.clone();
    let temporary = blocking(move || folder.temporary()).await?.map_err(disk)?;
    let place = Place {
        bucket: &order.bucket,
        key: &order.key,
    };
    let follower = Follower::start(&temporary.file);
    let requests = match download(cloud, lanes, place, &temporary.file, &follower).await {
        Ok(requests) => requests,
        Err(Failure::Missing) => {
            return Ok(Err("has an output that is not in the bucket".to_owned()));
        }
        Err(Failure::Run(error)) => return Err(error),
    };
    let (arrived_md5, bytes) = follower.finish().await?.map_err(disk)?;
    if arrived_md5 != md5 {
        return Ok(Err(format!(
            "has an output that is damaged: its MD5 is {arrived_md5}, not {md5}"
        )));
    }
    let published = blocking(move || publish(temporary, &order.wanted)).await?;
    Ok(published?.map(|file| Arrived {
        file,
        bytes,
        requests,
        bytes_fetched: bytes,
    }))
}

/// Digests a file while it is written from its beginning.
struct Follower {
    /// Up to where it is written.
    written: mpsc::Sender<u64>,
    task: JoinHandle<io::Result<(String, u64)>>,
}

impl Follower {
    fn start(file: &Arc<File>) -> Self {
        let (written, ends) = mpsc::channel::<u64>();
        let file = Arc::clone(file);
        let task = tokio::task::spawn_blocking(move || {
            let mut digest = Md5::new();
            let mut at = 0;
            let mut buffer = vec![0; BUFFER];
            for end in ends {
                while at < end {
                    let length = usize::try_from(end - at).map_or(BUFFER, |left| left.min(BUFFER));
                    file.read_exact_at(&mut buffer[..length], at)?;
                    digest.update(&buffer[..length]);
                    at += length as u64;
                }
            }
            Ok((hex::encode(digest.finalize()), at))
        });
        Self { written, task }
    }

    fn written_to(&self, end: u64) {
        // It has ended early only if the file can't be read, which `finish` tells.
        let _ = self.written.send(end);
    }

    /// The MD5 in lower-case hex, and how many bytes it is of.
    async fn finish(self) -> Result<io::Result<(String, u64)>> {
        drop(self.written);
        self.task
            .await
            .map_err(|error| Error::failed("a task of this program broke").because(error))
    }
}

/// The MD5 that an output's key names: `media/<md5>` or, as in 2007, the MD5 alone.
pub fn md5_of_key(key: &str) -> Option<String> {
    let name = key.strip_prefix(MEDIA_PREFIX).unwrap_or(key);
    (name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit()))
        .then(|| name.to_ascii_lowercase())
}

/// The same content under a name that it may have: an earlier run put it there.
async fn find_here(order: &Order, md5: &str) -> Result<Option<Arrived>> {
    let (folder, wanted, md5) = (order.folder.clone(), order.wanted.clone(), md5.to_owned());
    blocking(move || {
        let mut bytes = 0;
        let found = folder.find(&wanted, |mut file| {
            let digested = digest(&mut file)?;
            bytes = digested.bytes;
            Ok(digested.md5 == md5)
        });
        found
            .map(|file| {
                file.map(|file| Arrived {
                    file,
                    bytes,
                    requests: 0,
                    bytes_fetched: 0,
                })
            })
            .map_err(disk)
    })
    .await?
}

/// Gives the file its name, which it returns.
fn publish(temporary: Temporary, wanted: &Wanted) -> Result<Result<String, String>> {
    match temporary.publish(wanted) {
        Ok(file) => Ok(Ok(file)),
        // Found free when it was ordered; another job's file has taken it since.
        Err(error) if wanted.is_exact() && error.kind() == io::ErrorKind::AlreadyExists => Ok(Err(
            "has an output whose name another file has taken; the same command finds another folder for it"
                .to_owned(),
        )),
        Err(error) => Err(disk(error)),
    }
}

/// A failure of this machine's disk.
pub fn disk(error: io::Error) -> Error {
    let full = matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    );
    if full {
        return Error::failed("there is no room left for the results")
            .because(plain(&error))
            .hint("free some space and run the same command again: nothing is lost, and what is here isn't fetched twice");
    }
    Error::failed("cannot write the results").because(error)
}

enum Failure {
    Missing,
    Run(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Run(error)
    }
}

/// Fetches the object into the file and returns the number of requests.
async fn download(
    cloud: &Cloud,
    lanes: &Lanes,
    place: Place<'_>,
    file: &Arc<File>,
    follower: &Follower,
) -> Result<u64, Failure> {
    let lane = lanes.one().await?;
    let Some(first) = start(cloud, place, 0, RANGE - 1, None).await? else {
        return Ok(1);
    };
    let (total, etag) = (first.total, first.etag.clone());
    let etag = etag.as_deref();
    let end = RANGE.min(total);
    let mut requests = write(cloud, place, file, 0, end, etag, Some(first)).await?;
    drop(lane);
    follower.written_to(end);
    let starts = (RANGE..total).step_by(usize::try_from(RANGE).unwrap_or(usize::MAX));
    // In their order, so that the digest can follow.
    let mut ranges = std::pin::pin!(
        futures::stream::iter(starts)
            .map(async |begin| {
                let _lane = lanes.one().await?;
                let end = (begin + RANGE).min(total);
                let requests = write(cloud, place, file, begin, end, etag, None).await?;
                Ok::<_, Failure>((end, requests))
            })
            .buffered(RANGES_AT_ONCE)
    );
    while let Some((end, more)) = ranges.try_next().await? {
        follower.written_to(end);
        requests += more;
    }
    Ok(requests)
}

async fn start(
    cloud: &Cloud,
    place: Place<'_>,
    first: u64,
    last: u64,
    etag: Option<&str>,
) -> Result<Option<Piece>, Failure> {
    match object::get(cloud, place, first, last, etag).await {
        Ok(object::Got::Piece(piece)) => Ok(Some(piece)),
        Ok(object::Got::PastTheEnd) => Ok(None),
        Ok(object::Got::Missing) => Err(Failure::Missing),
        Err(error) => Err(Failure::Run(error)),
    }
}

/// Fetches the bytes from `begin` to before `end` into their place in the file; returns the requests.
async fn write(
    cloud: &Cloud,
    place: Place<'_>,
    file: &Arc<File>,
    begin: u64,
    end: u64,
    etag: Option<&str>,
    mut piece: Option<Piece>,
) -> Result<u64, Failure> {
    let mut at = begin;
    let mut requests = 0;
    loop {
        requests += 1;
        let mut body = match piece.take() {
            Some(piece) => piece,
            None => match start(cloud, place, at, end - 1, etag).await? {
                Some(piece) => piece,
                None => {
                    return Err(Error::failed(format!(
                        "{} became shorter while it was fetched",
                        place.key
                    ))
                    .into());
                }
            },
        };
        let broken = loop {
            let (data, gathered) = gather(&mut body).await;
            let length = data.len() as u64;
            if at + length > end {
                let much =
                    Error::failed(format!("{} came with more bytes than asked for", place.key));
                return Err(much.into());
            }
            if length > 0 {
                let file = Arc::clone(file);
                let offset = at;
                blocking(move || file.write_all_at(&data, offset))
                    .await?
                    .map_err(disk)?;
                at += length;
            }
            match gathered {
                Gathered::More => {}
                Gathered::End => break None,
                Gathered::Broken(error) => break Some(error),
            }
        };
        if at == end {
            return Ok(requests);
        }
        if requests >= u64::from(ATTEMPTS) {
            let error = Error::failed(format!("cannot fetch {} whole", place.key));
            return Err(Failure::Run(match broken {
                Some(cause) => error.because(cause),
                None => error.because("the answers ended too early"),
            }));
        }
    }
}

enum Gathered {
    More,
    End,
    Broken(Error),
}

/// Reads about a MiB of the body.
async fn gather(body: &mut Piece) -> (Vec<u8>, Gathered) {
    let mut data = Vec::new();
    loop {
        match body.next().await {
            Ok(Some(more)) => data.extend_from_slice(&more),
            Ok(None) => return (data, Gathered::End),
            Err(error) => return (data, Gathered::Broken(error)),
        }
        if data.len() >= WRITE {
            return (data, Gathered::More);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_that_name_a_digest_are_fetched() {
        let md5 = "e69e376be5af6f88f81d3e31adf27988";
        assert_eq!(md5_of_key(md5).as_deref(), Some(md5));
        assert_eq!(
            md5_of_key(&format!("media/{}", md5.to_uppercase())).as_deref(),
            Some(md5)
        );
        for bad in [
            "",
            "media/",
            "media/x",
            "verdicts/e69e376be5af6f88f81d3e31adf27988",
            "../media/x",
        ] {
            assert_eq!(md5_of_key(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_full_disk_says_what_to_do() {
        let error = disk(io::Error::from_raw_os_error(28));
        assert_eq!(error.to_string(), "there is no room left for the results");
        assert!(error.hints()[0].contains("run the same command again"));
    }
}

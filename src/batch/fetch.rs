//! One output from the output bucket into a folder: by parallel ranges, checked, on the disk, named.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use muck_worker::MEDIA_PREFIX;

use super::digest::digest;
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
/// Bytes gathered before they are written: one turn of a blocking thread a MiB.
const WRITE: usize = 1 << 20;
/// Attempts for a range whose connection breaks midway; each goes on where the last one ended.
const ATTEMPTS: u32 = 5;

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
pub async fn fetch(cloud: &Cloud, order: Order) -> Result<Result<Arrived, String>> {
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
    let requests = match download(cloud, place, &temporary.file).await {
        Ok(requests) => requests,
        Err(Failure::Missing) => {
            return Ok(Err("has an output that is not in the bucket".to_owned()));
        }
        Err(Failure::Run(error)) => return Err(error),
    };
    blocking(move || finish(temporary, &order.wanted, &md5, requests)).await?
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

fn finish(
    temporary: Temporary,
    wanted: &Wanted,
    md5: &str,
    requests: u64,
) -> Result<Result<Arrived, String>> {
    let mut file: &File = &temporary.file;
    file.seek(SeekFrom::Start(0)).map_err(disk)?;
    let digested = digest(&mut file).map_err(disk)?;
    if digested.md5 != md5 {
        return Ok(Err(format!(
            "has an output that is damaged: its MD5 is {}, not {md5}",
            digested.md5
        )));
    }
    let bytes = digested.bytes;
    let file = match temporary.publish(wanted) {
        Ok(file) => file,
        // Found free when it was ordered; another job's file has taken it since.
        Err(error) if wanted.is_exact() && error.kind() == io::ErrorKind::AlreadyExists => {
            return Ok(Err(
                "has an output whose name another file has taken; the same command finds another folder for it"
                    .to_owned(),
            ));
        }
        Err(error) => return Err(disk(error)),
    };
    Ok(Ok(Arrived {
        file,
        bytes,
        requests,
        bytes_fetched: bytes,
    }))
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
async fn download(cloud: &Cloud, place: Place<'_>, file: &Arc<File>) -> Result<u64, Failure> {
    let Some(first) = start(cloud, place, 0, RANGE - 1, None).await? else {
        return Ok(1);
    };
    let (total, etag) = (first.total, first.etag.clone());
    let mut requests = write(
        cloud,
        place,
        file,
        0,
        RANGE.min(total),
        etag.as_deref(),
        Some(first),
    )
    .await?;
    let etag = etag.as_deref();
    let starts = (RANGE..total).step_by(usize::try_from(RANGE).unwrap_or(usize::MAX));
    requests += futures::stream::iter(starts)
        .map(|begin| {
            write(
                cloud,
                place,
                file,
                begin,
                (begin + RANGE).min(total),
                etag,
                None,
            )
        })
        .buffer_unordered(RANGES_AT_ONCE)
        .try_fold(0, async |sum, more| Ok(sum + more))
        .await?;
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

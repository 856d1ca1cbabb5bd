//! One output from the output bucket into a folder: by parallel ranges, checked, on the disk, named.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, mpsc};
use std::time::SystemTime;

use futures::{StreamExt as _, TryStreamExt as _};
use md5::{Digest as _, Md5};
use muck_worker::MEDIA_PREFIX;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;

use super::digest::{BUFFER, md5_of};
use super::place::{Folder, Temporary, Wanted, harden_all};
use super::scan::plain;
use super::submit::{blocking, broken};
use crate::cloud::Cloud;
use crate::error::{Error, Result};
use crate::resources::object::{self, Piece, Place};

/// One request's range. Large enough that a round trip costs little, small enough that a few
/// beside each other hold little memory.
const RANGE: u64 = 8 << 20;
/// Ranges of one file beside each other.
const RANGES_AT_ONCE: usize = 4;
/// Ranges of all files beside each other. Each holds about [`WRITE`] bytes, and what its connection buffers.
const RANGES_IN_ALL: usize = 64;
/// Bytes gathered before they are written: one turn of a blocking thread a MiB.
const WRITE: usize = 1 << 20;
/// Up to here an object is held in memory until it is checked.
const IN_MEMORY: u64 = 1 << 20;
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
    /// When its original was last changed, which it is to have too.
    pub modified: Option<SystemTime>,
}

/// What arrived.
pub enum Arrived {
    /// It is there from an earlier run, under that name below the results' folder, with so many bytes.
    Before(String, u64),
    New(Box<Unnamed>),
}

/// An output that is here, but not checked and without a lasting name.
pub struct Unnamed {
    order: Order,
    /// What its content must have.
    md5: String,
    content: Content,
    pub bytes: u64,
    /// Requests that it took.
    pub requests: u64,
}

enum Content {
    Memory(Vec<u8>),
    /// With its MD5.
    File(Temporary, String),
}

/// Fetches one output, to be published.
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
    if let Some((file, bytes)) = find_here(&order, &md5).await? {
        return Ok(Ok(Arrived::Before(file, bytes)));
    }
    let download = Download {
        cloud,
        lanes,
        order: &order,
    };
    match download.run().await {
        Ok((content, bytes, requests)) => Ok(Ok(Arrived::New(Box::new(Unnamed {
            order,
            md5,
            content,
            bytes,
            requests,
        })))),
        Err(Failure::Missing) => Ok(Err("has an output that is not in the bucket".to_owned())),
        Err(Failure::Run(error)) => Err(error),
    }
}

/// Checks outputs, takes them to the disk and gives them their names (blocking). For each its name below the results' folder,
/// or a reason why there is none, to follow its name; and what ends the whole run, if anything does. It keeps no other from
/// its name: what is here needs not be fetched again.
pub fn publish(outputs: Vec<Unnamed>) -> (Vec<Option<Result<String, String>>>, Option<Error>) {
    let mut failure = None;
    let mut keep = |error| {
        failure.get_or_insert(error);
    };
    let (mut written_long_ago, mut written_now) = (Vec::new(), Vec::new());
    let mut checked = Vec::new();
    for output in outputs {
        let files = match output.content {
            Content::Memory(_) => &mut written_now,
            Content::File(..) => &mut written_long_ago,
        };
        checked.push(match output.check() {
            Ok(one) => {
                files.extend(one.iter().map(|(temporary, _)| Arc::clone(&temporary.file)));
                Some(one)
            }
            Err(error) => {
                keep(error);
                None
            }
        });
    }
    let long_ago = written_long_ago.iter().try_for_each(|file| file.sync_all());
    if let Err(error) = long_ago.and_then(|()| harden_all(&written_now)) {
        keep(disk(error));
        return (checked.iter().map(|_| None).collect(), failure);
    }
    let names = checked
        .into_iter()
        .map(|one| match one? {
            Ok((temporary, wanted)) => name(temporary, &wanted).map_err(&mut keep).ok(),
            Err(reason) => Some(Err(reason)),
        })
        .collect();
    (names, failure)
}

impl Unnamed {
    /// The content as a file, and the name that it shall have; or why it can't be published.
    fn check(self) -> Result<Result<(Temporary, Wanted), String>> {
        let (own, temporary) = match self.content {
            Content::Memory(content) => {
                let own = hex::encode(Md5::digest(&content));
                let temporary = self.order.folder.temporary().map_err(disk)?;
                temporary.file.write_all_at(&content, 0).map_err(disk)?;
                (own, temporary)
            }
            Content::File(temporary, own) => (own, temporary),
        };
        if let Some(time) = self.order.modified {
            // A time that the file system can't hold is no reason to lose the result.
            let _ = temporary.file.set_modified(time);
        }
        Ok(if own == self.md5 {
            Ok((temporary, self.order.wanted))
        } else {
            Err(format!(
                "has an output that is damaged: its MD5 is {own}, not {}",
                self.md5
            ))
        })
    }
}

fn name(temporary: Temporary, wanted: &Wanted) -> Result<Result<String, String>> {
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
        self.task.await.map_err(broken)
    }
}

/// Takes a file to the disk while it is written, so that little is left to wait for at its end.
struct Hardening {
    file: Arc<File>,
    task: Option<JoinHandle<io::Result<()>>>,
}

impl Hardening {
    fn new(file: &Arc<File>) -> Self {
        Self {
            file: Arc::clone(file),
            task: None,
        }
    }

    /// Takes what is written by now, unless that is being done.
    async fn go_on(&mut self) -> Result<()> {
        if self.task.as_ref().is_none_or(JoinHandle::is_finished) {
            self.finish().await?;
            let file = Arc::clone(&self.file);
            self.task = Some(tokio::task::spawn_blocking(move || file.sync_data()));
        }
        Ok(())
    }

    /// Waits for what was begun. A failure is told once, by whichever call meets it: none may be lost.
    async fn finish(&mut self) -> Result<()> {
        match self.task.take() {
            Some(task) => task.await.map_err(broken)?.map_err(disk),
            None => Ok(()),
        }
    }
}

/// The MD5 that an output's key names: `media/<md5>` or, as in 2007, the MD5 alone.
pub fn md5_of_key(key: &str) -> Option<String> {
    let name = key.strip_prefix(MEDIA_PREFIX).unwrap_or(key);
    (name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit()))
        .then(|| name.to_ascii_lowercase())
}

/// The same content under a name that it may have: an earlier run put it there. Its name and its bytes.
async fn find_here(order: &Order, md5: &str) -> Result<Option<(String, u64)>> {
    let (folder, wanted, md5) = (order.folder.clone(), order.wanted.clone(), md5.to_owned());
    blocking(move || {
        let mut bytes = 0;
        let found = folder.find(&wanted, |mut file| {
            let (own, length) = md5_of(&mut file)?;
            bytes = length;
            Ok(own == md5)
        });
        found.map(|file| file.map(|file| (file, bytes)))
    })
    .await?
    .map_err(disk)
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

/// An object on its way here.
struct Download<'a> {
    cloud: &'a Cloud,
    lanes: &'a Lanes,
    order: &'a Order,
}

/// Where the bytes of a range go.
enum Sink<'a> {
    /// To the end of it, the range being all of the object.
    Memory(&'a mut Vec<u8>),
    /// To their place in it.
    File(&'a Arc<File>),
}

impl Sink<'_> {
    async fn put(&mut self, data: Vec<u8>, at: u64) -> Result<()> {
        match self {
            Self::Memory(content) => content.extend_from_slice(&data),
            Self::File(file) => {
                let file = Arc::clone(file);
                blocking(move || file.write_all_at(&data, at))
                    .await?
                    .map_err(disk)?;
            }
        }
        Ok(())
    }
}

impl Download<'_> {
    /// The content, its bytes, and the requests that it took.
    async fn run(&self) -> Result<(Content, u64, u64), Failure> {
        let lane = self.lanes.one().await?;
        let Some(first) = self.start(0, RANGE - 1, None).await? else {
            return Ok((Content::Memory(Vec::new()), 0, 1));
        };
        let total = first.total;
        if total > IN_MEMORY {
            return self.in_ranges(first, lane).await;
        }
        let mut content = Vec::new();
        let etag = first.etag.clone();
        let mut sink = Sink::Memory(&mut content);
        let requests = self
            .range(0, total, etag.as_deref(), Some(first), &mut sink)
            .await?;
        Ok((Content::Memory(content), total, requests))
    }

    /// Into a file, a few ranges beside each other.
    async fn in_ranges(
        &self,
        first: Piece,
        lane: SemaphorePermit<'_>,
    ) -> Result<(Content, u64, u64), Failure> {
        let folder = self.order.folder.clone();
        let temporary = blocking(move || folder.temporary()).await?.map_err(disk)?;
        let file = &Arc::clone(&temporary.file);
        let follower = Follower::start(file);
        let mut hardening = Hardening::new(file);
        let (total, etag) = (first.total, first.etag.clone());
        let etag = etag.as_deref();
        let end = RANGE.min(total);
        let mut requests = self
            .range(0, end, etag, Some(first), &mut Sink::File(file))
            .await?;
        drop(lane);
        follower.written_to(end);
        let starts = (RANGE..total).step_by(usize::try_from(RANGE).unwrap_or(usize::MAX));
        // In their order, so that the digest can follow.
        let mut ranges = std::pin::pin!(
            futures::stream::iter(starts)
                .map(async |begin| {
                    let _lane = self.lanes.one().await?;
                    let end = (begin + RANGE).min(total);
                    let mut sink = Sink::File(file);
                    let requests = self.range(begin, end, etag, None, &mut sink).await?;
                    Ok::<_, Failure>((end, requests))
                })
                .buffered(RANGES_AT_ONCE)
        );
        while let Some((end, more)) = ranges.try_next().await? {
            follower.written_to(end);
            hardening.go_on().await?;
            requests += more;
        }
        let (md5, bytes) = follower.finish().await?.map_err(disk)?;
        hardening.finish().await?;
        Ok((Content::File(temporary, md5), bytes, requests))
    }

    async fn start(
        &self,
        first: u64,
        last: u64,
        etag: Option<&str>,
    ) -> Result<Option<Piece>, Failure> {
        let place = Place {
            bucket: &self.order.bucket,
            key: &self.order.key,
        };
        match object::get(self.cloud, place, first, last, etag).await {
            Ok(object::Got::Piece(piece)) => Ok(Some(piece)),
            Ok(object::Got::PastTheEnd) => Ok(None),
            Ok(object::Got::Missing) => Err(Failure::Missing),
            Err(error) => Err(Failure::Run(error)),
        }
    }

    /// Fetches the bytes from `begin` to before `end`; returns the requests.
    async fn range(
        &self,
        begin: u64,
        end: u64,
        etag: Option<&str>,
        mut piece: Option<Piece>,
        sink: &mut Sink<'_>,
    ) -> Result<u64, Failure> {
        let key = &self.order.key;
        let mut at = begin;
        let mut requests = 0;
        loop {
            requests += 1;
            let mut body = match piece.take() {
                Some(piece) => piece,
                None => self.start(at, end - 1, etag).await?.ok_or_else(|| {
                    Error::failed(format!("{key} became shorter while it was fetched"))
                })?,
            };
            let broken = loop {
                let (data, gathered) = gather(&mut body).await;
                let length = data.len() as u64;
                if at + length > end {
                    let much = Error::failed(format!("{key} came with more bytes than asked for"));
                    return Err(much.into());
                }
                if length > 0 {
                    sink.put(data, at).await?;
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
                let error = Error::failed(format!("cannot fetch {key} whole"));
                return Err(Failure::Run(match broken {
                    Some(cause) => error.because(cause),
                    None => error.because("the answers ended too early"),
                }));
            }
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

//! The outputs of jobs, into the folder of the results.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::StreamExt as _;
use jiff::Timestamp;
use muck_worker::message::Message;
use muck_worker::preset::{Preset, Presets};

use super::publisher::{Published, Publisher};
use crate::batch::digest::md5_of;
use crate::batch::fetch::{self, Arrived, Lanes, Order};
use crate::batch::ledger::{Batch, Counter, Fetched, Job, JobStatus, Ledger, Output};
use crate::batch::place::{self, Folder, Wanted};
use crate::batch::submit::{MODIFIED, RESULT_NAME, blocking};
use crate::cloud::Cloud;
use crate::error::{Error, Result};
use crate::task;

/// Jobs whose outputs are looked for together, at the most.
const JOBS_AT_ONCE: usize = 1000;
/// Folders that these jobs' outputs go to, at the most: they are open meanwhile, and 1,024 open files are the usual limit.
const FOLDERS_AT_ONCE: usize = 100;
/// When so long none has come, those that have are published: they wait for no slower one.
const QUIET: Duration = Duration::from_secs(1);
/// Outputs under way beside each other: enough to hide a round trip of 100 ms on a line of 500 Mbit/s at a hundred kB an output.
const OUTPUTS_AT_ONCE: usize = 64;

/// Folders that are open while a round goes on: every output that belongs into one shares its handle.
#[derive(Default)]
struct Open {
    /// By the location of jobs.
    locations: HashMap<String, Folder>,
    /// Of results that are folders, by job and name.
    groups: HashMap<(i64, String), Folder>,
}

/// What is fetched of a batch into one folder.
pub(super) struct Fetcher<'a> {
    cloud: Arc<Cloud>,
    ledger: &'a Ledger,
    batch: &'a Batch,
    folder: Folder,
    /// Its absolute path.
    pub root: PathBuf,
    /// Outputs that are in the folder: job and ordinal to the file below it.
    pub here: HashMap<(i64, u32), String>,
    /// Results that are folders: job and name to the folder below this one.
    folders: HashMap<(i64, String), String>,
    /// Jobs whose outputs can't be fetched, and why.
    pub unfetchable: HashMap<i64, String>,
    pub bytes_fetched: u64,
    /// Results get the times of their originals.
    keeps_times: bool,
}

/// What the submitter wants of a job's results.
struct Naming {
    /// Without an extension.
    name: String,
    modified: Option<SystemTime>,
}

impl Naming {
    fn of(job: &Job) -> Self {
        let message = job.message.as_deref();
        let message = message.and_then(|text| Message::parse(text).ok());
        let header = |name| message.as_ref()?.get(name).map(str::to_owned);
        let modified = header(MODIFIED).and_then(|text| text.parse::<Timestamp>().ok());
        Self {
            name: header(RESULT_NAME).unwrap_or_else(|| place::stem(&job.name).to_owned()),
            modified: modified.map(SystemTime::from),
        }
    }
}

impl<'a> Fetcher<'a> {
    /// Into that folder, made if it isn't there.
    pub(super) async fn open(
        cloud: &Cloud,
        ledger: &'a Ledger,
        batch: &'a Batch,
        path: PathBuf,
        keeps_times: bool,
    ) -> Result<Self> {
        let shown = path.display().to_string();
        let (folder, root) = blocking(move || Folder::open(&path))
            .await?
            .map_err(|error| {
                Error::failed(format!("cannot use the folder {shown}")).because(error)
            })?;
        Ok(Self {
            cloud: Arc::new(cloud.clone()),
            ledger,
            batch,
            folder,
            root,
            here: HashMap::new(),
            folders: HashMap::new(),
            unfetchable: HashMap::new(),
            bytes_fetched: 0,
            keeps_times,
        })
    }

    /// Fetches the outputs of these jobs that are not here.
    pub(super) async fn fetch_missing(&mut self, jobs: Vec<Job>) -> Result<()> {
        for some in rounds(&jobs) {
            self.fetch_round(some).await?;
        }
        Ok(())
    }

    async fn fetch_round(&mut self, jobs: &[Job]) -> Result<()> {
        let converted = jobs.iter().filter(|job| job.status == JobStatus::Converted);
        let mut wanted = Vec::new();
        let mut open = Open::default();
        for job in converted {
            if self.unfetchable.contains_key(&job.id) {
                continue;
            }
            let mut missing = Vec::new();
            for output in &job.outputs {
                if self.here.contains_key(&(job.id, output.ordinal)) {
                    continue;
                }
                match self.fetched_before(job.id, output)? {
                    Some(file) => {
                        self.here.insert((job.id, output.ordinal), file);
                    }
                    None => missing.push(output),
                }
            }
            // What belongs together is together, or is put together anew.
            let groups: HashSet<&str> = missing.iter().filter_map(|one| group(one)).collect();
            for output in &job.outputs {
                if let Some(group) = group(output).filter(|group| groups.contains(group))
                    && !self.folders.contains_key(&(job.id, group.to_owned()))
                {
                    self.here.remove(&(job.id, output.ordinal));
                }
            }
            let is_here = |one: &&Output| self.here.contains_key(&(job.id, one.ordinal));
            let missing: Vec<&Output> = job.outputs.iter().filter(|one| !is_here(one)).collect();
            if missing.is_empty() {
                continue;
            }
            let naming = Naming::of(job);
            for output in missing {
                let order = self.order(job, &naming, output, &mut open).await?;
                wanted.push((job.id, output.ordinal, order));
            }
        }
        let mut folders: HashMap<String, Folder> = HashMap::new();
        for (_, _, order) in &wanted {
            folders
                .entry(order.folder.below().to_owned())
                .or_insert_with(|| order.folder.clone());
        }
        let (cloud, lanes) = (Arc::clone(&self.cloud), Arc::new(Lanes::default()));
        // Tasks, so that all processors take part.
        let arriving = futures::stream::iter(wanted)
            .map(|(job, ordinal, order)| {
                let (cloud, lanes) = (Arc::clone(&cloud), Arc::clone(&lanes));
                let task = task::start(async move { fetch::fetch(&cloud, &lanes, order).await });
                async move { (job, ordinal, task.await) }
            })
            .buffer_unordered(OUTPUTS_AT_ONCE);
        let mut arriving = std::pin::pin!(arriving);
        let mut publisher = Publisher::default();
        let mut failure = None;
        while failure.is_none() {
            match tokio::time::timeout(QUIET, arriving.next()).await {
                Ok(None) => break,
                Ok(Some((job, ordinal, Ok(Ok(Arrived::New(output)))))) => {
                    publisher.add(job, ordinal, output);
                    if !publisher.is_full() {
                        continue;
                    }
                }
                Ok(Some((job, ordinal, Ok(Ok(Arrived::Before(file, bytes)))))) => {
                    self.note(vec![Fetched {
                        job,
                        ordinal,
                        file,
                        bytes,
                    }])?;
                    continue;
                }
                Ok(Some((job, _, Ok(Err(reason))))) => {
                    self.unfetchable.insert(job, reason);
                    continue;
                }
                Ok(Some((_, _, Err(error)))) => {
                    failure = Some(error);
                    continue;
                }
                Err(_quiet) if publisher.is_empty() => continue,
                Err(_quiet) => {}
            }
            failure = self.publish(&mut publisher).await.err();
        }
        // What has come is not lost by a failure of another; the first is what the user sees.
        while !publisher.is_empty() {
            let result = self.publish(&mut publisher).await;
            failure = failure.or(result.err());
        }
        let hardened = blocking(move || folders.values().try_for_each(Folder::harden)).await;
        let hardened = hardened.and_then(|result| result.map_err(fetch::disk));
        failure.or(hardened.err()).map_or(Ok(()), Err)
    }

    /// Begins to publish what has come, and notes what was published before.
    async fn publish(&mut self, publisher: &mut Publisher) -> Result<()> {
        let (outputs, failure) = publisher.turn().await?;
        self.published(outputs)?;
        failure.map_or(Ok(()), Err)
    }

    fn published(&mut self, outputs: Vec<Published>) -> Result<()> {
        let requests = outputs.iter().map(|one| one.requests).sum();
        let bytes = outputs.iter().map(|one| one.bytes).sum();
        let mut fetched = Vec::new();
        for one in outputs {
            match one.name {
                Some(Ok(file)) => fetched.push(Fetched {
                    job: one.job,
                    ordinal: one.ordinal,
                    file,
                    bytes: one.bytes,
                }),
                Some(Err(reason)) => {
                    self.unfetchable.insert(one.job, reason);
                }
                None => {}
            }
        }
        self.note(fetched)?;
        self.ledger.count(self.batch, Counter::Gets, requests)?;
        self.ledger.count(self.batch, Counter::BytesOut, bytes)?;
        self.bytes_fetched += bytes;
        Ok(())
    }

    /// Writes down what is in the folder.
    fn note(&mut self, outputs: Vec<Fetched>) -> Result<()> {
        self.ledger
            .mark_fetched(&self.root.to_string_lossy(), &outputs)?;
        for one in outputs {
            self.here.insert((one.job, one.ordinal), one.file);
        }
        Ok(())
    }

    /// The file that an earlier run put into this folder, if it is still there with its size.
    fn fetched_before(&self, job: i64, output: &Output) -> Result<Option<String>> {
        let root = self.root.to_string_lossy();
        let Some(fetched) = self.ledger.fetched(job, output.ordinal, &root)? else {
            return Ok(None);
        };
        let there = self.root.join(&fetched).symlink_metadata();
        let same = there.is_ok_and(|facts| facts.is_file() && Some(facts.len()) == output.size);
        Ok(same.then_some(fetched))
    }

    async fn order(
        &mut self,
        job: &Job,
        naming: &Naming,
        output: &Output,
        open: &mut Open,
    ) -> Result<Order> {
        let folder = if let Some(folder) = open.locations.get(&job.location) {
            folder.clone()
        } else {
            let parts = place::folder_parts(&job.location);
            let folder = self.folder.sub(&parts).map_err(fetch::disk)?;
            open.locations.insert(job.location.clone(), folder.clone());
            folder
        };
        let (folder, wanted) = match &output.name {
            None => (folder, place::named(&naming.name, &extension(job, output))),
            Some(name) => match name.split_once('/') {
                None => (folder, place::named(&naming.name, name)),
                Some((group, file)) => (
                    self.folder_of(job, &naming.name, folder, group, open)
                        .await?,
                    place::exactly(file),
                ),
            },
        };
        Ok(Order {
            bucket: output.bucket.clone(),
            key: output.key.clone(),
            folder,
            wanted,
            modified: naming.modified.filter(|_| self.keeps_times),
        })
    }

    /// The folder of those outputs of a job that must be together, as a playlist and what it names.
    /// No other job's, and none in which another file has one of their names.
    async fn folder_of(
        &mut self,
        job: &Job,
        name: &str,
        parent: Folder,
        group: &str,
        open: &mut Open,
    ) -> Result<Folder> {
        let key = (job.id, group.to_owned());
        if let Some(folder) = open.groups.get(&key) {
            return Ok(folder.clone());
        }
        if let Some(below) = self.folders.get(&key) {
            let parts: Vec<String> = below.split('/').map(str::to_owned).collect();
            let folder = self.folder.sub(&parts).map_err(fetch::disk)?;
            open.groups.insert(key, folder.clone());
            return Ok(folder);
        }
        let files: Vec<(Wanted, Option<String>)> = job
            .outputs
            .iter()
            .filter_map(|output| {
                let (other, file) = output.name.as_deref()?.split_once('/')?;
                (other == group).then(|| (place::exactly(file), fetch::md5_of_key(&output.key)))
            })
            .collect();
        let taken: HashSet<String> = self.folders.values().cloned().collect();
        let wanted = place::named(name, group);
        let folder = blocking(move || {
            parent.of_result(&wanted, |folder| {
                if taken.contains(folder.below()) {
                    return Ok(false);
                }
                for (name, md5) in &files {
                    let same = |mut file: &File| {
                        let (own, _) = md5_of(&mut file)?;
                        Ok(Some(own) == *md5)
                    };
                    if !folder.has_room_for(name, same)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            })
        })
        .await?
        .map_err(fetch::disk)?;
        open.groups.insert(key.clone(), folder.clone());
        self.folders.insert(key, folder.below().to_owned());
        Ok(folder)
    }
}

/// Jobs in their order, in pieces of at most [`JOBS_AT_ONCE`] and [`FOLDERS_AT_ONCE`].
fn rounds(jobs: &[Job]) -> impl Iterator<Item = &[Job]> {
    let mut left = jobs;
    std::iter::from_fn(move || {
        let mut locations = HashSet::new();
        let mut of_results = 0;
        let end = left.iter().take(JOBS_AT_ONCE).position(|job| {
            locations.insert(job.location.as_str());
            let groups: HashSet<&str> = job.outputs.iter().filter_map(group).collect();
            of_results += groups.len();
            locations.len() + of_results > FOLDERS_AT_ONCE
        });
        // One job alone may have more: no preset has so many.
        let end = end.unwrap_or(JOBS_AT_ONCE).clamp(1, left.len().max(1));
        let (round, rest) = left.split_at_checked(end)?;
        left = rest;
        Some(round)
    })
}

/// The folder that an output belongs into with others, if it does.
fn group(output: &Output) -> Option<&str> {
    Some(output.name.as_deref()?.split_once('/')?.0)
}

/// Of a result's file name: the preset's for its one output, else what the type is usually called.
pub(super) fn extension(job: &Job, output: &Output) -> String {
    let brought = job.message.as_deref().and_then(|text| {
        let message = Message::parse(text).ok()?;
        let definition = message.get("Preset-Definition")?;
        Preset::from_definition(&job.preset, definition).ok()
    });
    let preset = Presets::builtin().get(&job.preset).or(brought.as_ref());
    if let Some(made) = preset
        .into_iter()
        .flat_map(|preset| &preset.outputs)
        .find(|made| made.mime == output.mime)
    {
        return made.extension.clone();
    }
    match output.mime.as_str() {
        // The guess's first is alphabetical, not usual.
        "video/quicktime" => "mov",
        "video/mp4" => "mp4",
        "audio/mp4" => "m4a",
        "image/jpeg" => "jpg",
        mime => mime_guess::get_mime_extensions_str(mime)
            .and_then(|all| all.first())
            .copied()
            .unwrap_or("bin"),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{job, output};
    use super::*;

    #[test]
    fn rounds_have_few_folders_and_leave_nothing_out() {
        let many = |count: usize, location: &dyn Fn(usize) -> String, name: Option<&str>| {
            (0..count)
                .map(|index| {
                    let mut job = job("ipod", None);
                    job.location = location(index);
                    let mut made = output("video/mp4");
                    made.name = name.map(str::to_owned);
                    job.outputs = vec![made];
                    job
                })
                .collect::<Vec<_>>()
        };
        let sizes = |jobs: &[Job]| rounds(jobs).map(<[Job]>::len).collect::<Vec<_>>();
        let same = |_: usize| "a".to_owned();
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&many(2500, &same, None)), [1000, 1000, 500]);
        assert_eq!(sizes(&many(250, &|n| n.to_string(), None)), [100, 100, 50]);
        // The folder that they lie in, and one of each.
        assert_eq!(sizes(&many(250, &same, Some("hls/x.ts"))), [99, 99, 52]);
    }

    #[test]
    fn extensions_come_from_the_preset_or_the_type() {
        let of = |preset: &str, mime: &str, message: Option<String>| {
            extension(&job(preset, message), &output(mime))
        };
        assert_eq!(of("ipod", "video/quicktime", None), "mov");
        assert_eq!(of("remux", "video/matroska", None), "mkv");
        assert_eq!(of("", "video/mp4", None), "mp4");
        assert_eq!(of("ipod", "image/png", None), "png");
        assert_eq!(of("ipod", "application/json", None), "json");
        assert_eq!(of("ipod", "no/such", None), "bin");
        // A preset of the submitter's own comes with the message.
        let mut own = Presets::builtin().get("web").expect("exists").clone();
        own.name = "own".to_owned();
        own.outputs[0].extension = "m4v".to_owned();
        let message = format!("Preset-Definition: {}\n", own.definition());
        assert_eq!(of("own", "video/mp4", Some(message)), "m4v");
    }
}

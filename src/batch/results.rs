//! `muck results`: waits for a batch, fetches its outputs into a folder, tells the statistics.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use jiff::Timestamp;
use muck_worker::message::Message;
use muck_worker::preset::{Preset, Presets};

use super::check_batch_name;
use super::collect::{Came, Collector, Depths, is_failure};
use super::digest::digest;
use super::fetch::{self, Order};
use super::fleet;
use super::ledger::{Batch, Counter, Job, JobStatus, Ledger, Output};
use super::log_csv;
use super::place::{self, Folder, Wanted};
use super::report::{JobFailure, Report};
use super::stall::{Look, Stalled, Watch};
use super::statistics::{JobTimes, Statistics};
use super::submit::blocking;
use crate::cloud::Cloud;
use crate::error::{Error, Result};
use crate::event::{BatchProgress, Event};

/// How long SQS holds a request for a message: also how often the screen and the counts are renewed.
const POLL: Duration = Duration::from_secs(2);
/// EC2 is asked this often: its requests are limited by the minute.
const FLEET_EVERY: Duration = Duration::from_secs(5);
/// How long a dead silence is borne: SQS's counts settle within a minute, and an instance that was
/// just launched is listed within seconds.
const PATIENCE: Duration = Duration::from_mins(2);
/// Jobs whose outputs are looked for together: each holds its folder open, and 1,024 open files are the usual limit.
const JOBS_AT_ONCE: usize = 100;
/// Outputs under way beside each other: enough to hide a round trip of 100 ms at a hundred kB an output.
const OUTPUTS_AT_ONCE: usize = 16;

/// What to get.
#[derive(Debug, Clone)]
pub struct ResultsOptions {
    /// Where to; made if it isn't there.
    pub folder: PathBuf,
    /// `None`: the batch that was last submitted from here.
    pub batch: Option<String>,
    /// Wait until all of the batch are in; otherwise get what is there.
    pub wait: bool,
    /// How long nothing may move, with no instance alive, before waiting is given up.
    pub patience: Duration,
}

impl ResultsOptions {
    /// Into `folder`, the newest batch, waiting.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            batch: None,
            wait: true,
            patience: PATIENCE,
        }
    }
}

/// Gets the results of a batch.
///
/// Messages go into the ledger before they leave the queue, and those of other batches are kept
/// there for their own `results`; so it can be broken off and repeated at any time.
///
/// # Errors
/// No batch known, a stack that isn't up, a full disk, no ledger, or AWS refusing. Failed jobs and
/// waiting in vain are no error here but in [`Report::failure`].
pub async fn results(cloud: &Cloud, options: &ResultsOptions) -> Result<Report> {
    results_by(cloud, &Ledger::open(cloud)?, options).await
}

/// The same with the ledger given.
pub(super) async fn results_by(
    cloud: &Cloud,
    ledger: &Ledger,
    options: &ResultsOptions,
) -> Result<Report> {
    let batch = choose(ledger, options.batch.as_deref())?;
    let path = options.folder.clone();
    let (folder, root) = blocking(move || Folder::open(&path))
        .await?
        .map_err(|error| {
            Error::failed(format!(
                "cannot use the folder {}",
                options.folder.display()
            ))
            .because(error)
        })?;
    let mut getting = Getting {
        cloud,
        ledger,
        batch: &batch,
        collector: Collector::open(cloud, ledger, &batch).await?,
        folder,
        root,
        here: HashMap::new(),
        folders: HashMap::new(),
        unfetchable: HashMap::new(),
        bytes_fetched: 0,
    };
    let given_up = getting.run(options).await;
    // Whatever ended it, what has come is logged.
    let log = getting.log().await;
    let given_up = given_up?;
    getting.report(given_up, log?)
}

/// The batch that is meant. One that was submitted elsewhere is not in the ledger yet.
fn choose(ledger: &Ledger, name: Option<&str>) -> Result<Batch> {
    if let Some(name) = name {
        check_batch_name(name)?;
        return match ledger.batch(name)? {
            Some(batch) => Ok(batch),
            None => ledger.seen_batch(name, Timestamp::now()),
        };
    }
    ledger.newest_batch()?.ok_or_else(|| {
        Error::failed("no batch of this stack was submitted from here")
            .hint("submit files with `muck submit`, or name a batch that was submitted elsewhere with --batch")
    })
}

/// A run under way.
struct Getting<'a> {
    cloud: &'a Cloud,
    ledger: &'a Ledger,
    batch: &'a Batch,
    collector: Collector<'a>,
    folder: Folder,
    root: PathBuf,
    /// Outputs that are in the folder: job and ordinal to the file below it.
    here: HashMap<(i64, u32), String>,
    /// Results that are folders: job and name to the folder.
    folders: HashMap<(i64, String), Folder>,
    /// Jobs whose outputs can't be fetched, and why.
    unfetchable: HashMap<i64, String>,
    bytes_fetched: u64,
}

impl Getting<'_> {
    /// Returns why waiting was given up, if it was.
    async fn run(&mut self, options: &ResultsOptions) -> Result<Option<String>> {
        let started = Instant::now();
        let mut watch = Watch::new(options.patience);
        let mut fleet_seen: Option<(Instant, u64)> = None;
        let mut quiet_looks = 0;
        loop {
            let poll = if self.batch.ours && self.ledger.totals(self.batch)?.outstanding == 0 {
                // All are here: what still comes are repetitions, which wait for nobody.
                Duration::ZERO
            } else if options.wait {
                POLL
            } else {
                Duration::from_secs(1)
            };
            let (messages, came) = self.collector.reports(poll).await?;
            self.tell(&came);
            if messages > 0 {
                // One may have come twice: first its failure, then its success.
                let jobs: BTreeSet<i64> = came
                    .iter()
                    .filter(|one| one.batch == self.batch.name)
                    .filter_map(|one| one.job)
                    .collect();
                self.fetch_missing(self.ledger.jobs_of(&jobs)?).await?;
                continue;
            }
            // Also what another `results` took out of the queue.
            self.fetch_missing(self.ledger.jobs(self.batch)?).await?;
            let totals = self.ledger.totals(self.batch)?;
            if self.batch.ours && totals.outstanding == 0 {
                return Ok(None);
            }
            let depths = self.collector.depths().await?;
            if depths.failed.visible > 0 && depths.output.visible + depths.output.in_flight == 0 {
                let dead = self.collector.dead_letters().await?;
                self.tell(&dead);
                if !dead.is_empty() {
                    continue;
                }
            }
            if !options.wait {
                return Ok(None);
            }
            let instances = match fleet_seen {
                Some((when, count)) if when.elapsed() < FLEET_EVERY => count,
                _ => {
                    let instances = fleet::observe(self.cloud, self.ledger).await?;
                    let count = instances
                        .iter()
                        .filter(|one| fleet::is_working(one))
                        .count() as u64;
                    fleet_seen = Some((Instant::now(), count));
                    count
                }
            };
            self.progress(depths, instances)?;
            if !self.batch.ours {
                // How many jobs it has is not known here: it is over when nothing is left to do.
                let empty = depths.input.visible + depths.input.in_flight == 0
                    && depths.output.visible + depths.output.in_flight == 0;
                quiet_looks = if empty { quiet_looks + 1 } else { 0 };
                if quiet_looks >= 3 {
                    return Ok(None);
                }
                continue;
            }
            let look = Look {
                outstanding: totals.outstanding,
                waiting: depths.input.visible,
                in_work: depths.input.in_flight,
                reports: depths.output.visible + depths.output.in_flight,
                instances,
            };
            if totals.unsent > 0 && totals.unsent == totals.outstanding {
                return Ok(Some(
                    "their messages were never sent, because a submit was cut short".to_owned(),
                ));
            }
            if let Some(stalled) = watch.look(look, started.elapsed()) {
                return Ok(Some(self.why(stalled, options.patience)));
            }
        }
    }

    fn why(&self, stalled: Stalled, patience: Duration) -> String {
        let seconds = patience.as_secs();
        match stalled {
            Stalled::NoInstances => format!(
                "messages wait in queue {}, but for {seconds} s no instance has run and none has been worked on",
                self.collector.input.name
            ),
            Stalled::NothingLeft => {
                format!("for {seconds} s all queues have been empty and no instance has run")
            }
        }
    }

    /// Tells of the jobs of this batch that came back.
    fn tell(&self, came: &[Came]) {
        for one in came.iter().filter(|one| one.batch == self.batch.name) {
            self.cloud.events.emit(Event::Result {
                file: one.file.clone(),
                seconds: one.seconds as f64,
                failure: one.failure.clone(),
            });
        }
    }

    fn progress(&self, depths: Depths, instances: u64) -> Result<()> {
        let totals = self.ledger.totals(self.batch)?;
        self.cloud.events.emit(Event::Batch(BatchProgress {
            jobs_done: totals.converted,
            jobs_failed: totals.failed,
            jobs_total: totals.jobs,
            visible: depths.input.visible,
            in_flight: depths.input.in_flight,
            instances_running: instances,
            eta: eta(&self.ledger.jobs(self.batch)?, Timestamp::now()),
        }));
        Ok(())
    }

    /// Fetches the outputs of these jobs that are not here.
    async fn fetch_missing(&mut self, jobs: Vec<Job>) -> Result<()> {
        for some in jobs.chunks(JOBS_AT_ONCE) {
            self.fetch_round(some).await?;
        }
        Ok(())
    }

    async fn fetch_round(&mut self, jobs: &[Job]) -> Result<()> {
        let converted = jobs.iter().filter(|job| job.status == JobStatus::Converted);
        let mut wanted = Vec::new();
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
            for output in &job.outputs {
                if !self.here.contains_key(&(job.id, output.ordinal)) {
                    wanted.push((job.id, output.clone(), self.order(job, output).await?));
                }
            }
        }
        let (cloud, lanes) = (self.cloud, fetch::Lanes::default());
        let mut folders: HashMap<String, Folder> = HashMap::new();
        for (_, _, order) in &wanted {
            folders
                .entry(order.folder.below().to_owned())
                .or_insert_with(|| order.folder.clone());
        }
        let mut arriving = futures::stream::iter(wanted)
            .map(async |(job, output, order)| {
                (job, output, fetch::fetch(cloud, &lanes, order).await)
            })
            .buffer_unordered(OUTPUTS_AT_ONCE);
        while let Some((job, output, arrived)) = arriving.next().await {
            match arrived? {
                Ok(arrived) => {
                    let root = self.root.to_string_lossy();
                    self.ledger.mark_fetched(
                        job,
                        output.ordinal,
                        &root,
                        &arrived.file,
                        arrived.bytes,
                    )?;
                    self.ledger
                        .count(self.batch, Counter::Gets, arrived.requests)?;
                    self.ledger
                        .count(self.batch, Counter::BytesOut, arrived.bytes_fetched)?;
                    self.bytes_fetched += arrived.bytes_fetched;
                    self.here.insert((job, output.ordinal), arrived.file);
                }
                Err(reason) => {
                    self.unfetchable.insert(job, reason);
                }
            }
        }
        blocking(move || folders.values().try_for_each(Folder::harden))
            .await?
            .map_err(fetch::disk)
    }

    /// The file that an earlier run put into this folder, if it is still there with its size.
    fn fetched_before(&self, job: i64, output: &Output) -> Result<Option<String>> {
        let root = self.root.to_string_lossy();
        let Some(fetched) = self.ledger.fetched(job, output.ordinal, &root)? else {
            return Ok(None);
        };
        let there = self.root.join(&fetched.file).symlink_metadata();
        let same = there.is_ok_and(|facts| facts.is_file() && Some(facts.len()) == output.size);
        Ok(same.then_some(fetched.file))
    }

    async fn order(&mut self, job: &Job, output: &Output) -> Result<Order> {
        let folder = self
            .folder
            .sub(&place::folder_parts(&job.location))
            .map_err(fetch::disk)?;
        let (folder, wanted) = match &output.name {
            None => (folder, place::file_name(&job.name, &extension(job, output))),
            Some(name) => match name.split_once('/') {
                None => (folder, place::file_name(&job.name, name)),
                Some((group, file)) => (
                    self.folder_of(job, folder, group).await?,
                    place::exactly(file),
                ),
            },
        };
        Ok(Order {
            bucket: output.bucket.clone(),
            key: output.key.clone(),
            folder,
            wanted,
        })
    }

    /// The folder of those outputs of a job that must be together, as a playlist and what it names.
    /// No other job's, and none in which another file has one of their names.
    async fn folder_of(&mut self, job: &Job, parent: Folder, group: &str) -> Result<Folder> {
        let key = (job.id, group.to_owned());
        if let Some(folder) = self.folders.get(&key) {
            return Ok(folder.clone());
        }
        let files: Vec<(Wanted, Option<String>)> = job
            .outputs
            .iter()
            .filter_map(|output| {
                let (other, file) = output.name.as_deref()?.split_once('/')?;
                (other == group).then(|| (place::exactly(file), fetch::md5_of_key(&output.key)))
            })
            .collect();
        let taken: HashSet<String> = self
            .folders
            .values()
            .map(|folder| folder.below().to_owned())
            .collect();
        let wanted = place::file_name(&job.name, group);
        let folder = blocking(move || {
            parent.of_result(&wanted, |folder| {
                if taken.contains(folder.below()) {
                    return Ok(false);
                }
                for (name, md5) in &files {
                    let same = |mut file: &File| {
                        let digested = digest(&mut file)?;
                        Ok(Some(digested.md5) == *md5)
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
        self.folders.insert(key, folder.clone());
        Ok(folder)
    }

    /// Writes `log.csv`.
    async fn log(&self) -> Result<PathBuf> {
        let jobs: Vec<(Job, Vec<String>)> = self
            .ledger
            .jobs(self.batch)?
            .into_iter()
            .map(|job| {
                let files = job
                    .outputs
                    .iter()
                    .filter_map(|output| self.here.get(&(job.id, output.ordinal)).cloned())
                    .collect();
                (job, files)
            })
            .collect();
        let (root, batch) = (self.root.clone(), self.batch.name.clone());
        blocking(move || log_csv::write(&root, &batch, &jobs))
            .await?
            .map_err(fetch::disk)
    }

    fn report(self, given_up: Option<String>, log: PathBuf) -> Result<Report> {
        let jobs = self.ledger.jobs(self.batch)?;
        let converted = || jobs.iter().filter(|job| job.status == JobStatus::Converted);
        let is_here = |job: &Job| {
            job.outputs
                .iter()
                .all(|one| self.here.contains_key(&(job.id, one.ordinal)))
        };
        let times: Vec<JobTimes> = converted().filter_map(|job| job.times).collect();
        let failures = jobs
            .iter()
            .filter_map(|job| {
                let reason = match self.unfetchable.get(&job.id) {
                    Some(reason) => reason.clone(),
                    None if is_failure(job.status) => job
                        .error
                        .clone()
                        .unwrap_or_else(|| "the worker gave no reason".to_owned()),
                    None => return None,
                };
                Some(JobFailure {
                    file: job.shown(),
                    reason,
                })
            })
            .collect();
        let mut seen = HashSet::new();
        let files = converted()
            .flat_map(|job| {
                job.outputs
                    .iter()
                    .filter_map(|one| self.here.get(&(job.id, one.ordinal)))
            })
            .filter(|file| seen.insert(file.as_str()))
            .cloned()
            .collect();
        Ok(Report {
            batch: self.batch.name.clone(),
            retrieved: converted().filter(|job| is_here(job)).count() as u64,
            totals: self.ledger.totals(self.batch)?,
            statistics: Statistics::of(&times),
            folder: self.root,
            log,
            bytes_fetched: self.bytes_fetched,
            files,
            failures,
            given_up,
        })
    }
}

/// The folder that an output belongs into with others, if it does.
fn group(output: &Output) -> Option<&str> {
    Some(output.name.as_deref()?.split_once('/')?.0)
}

/// Of a result's file name: the preset's for its one output, else what the type is usually called.
fn extension(job: &Job, output: &Output) -> String {
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

/// The time that the outstanding jobs take at the pace since the first one was begun; `None`
/// until one is done. Pure.
pub(super) fn eta(jobs: &[Job], now: Timestamp) -> Option<Duration> {
    let first = jobs
        .iter()
        .filter_map(|job| job.times)
        .map(|times| times.read)
        .min()?;
    let done = jobs.iter().filter(|job| job.times.is_some()).count() as f64;
    let left = jobs
        .iter()
        .filter(|job| job.status == JobStatus::Outstanding)
        .count() as f64;
    let passed = now.duration_since(first).as_secs_f64().max(0.0);
    Some(Duration::from_secs_f64((passed / done * left).min(1e9)))
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn output(mime: &str) -> Output {
        Output {
            ordinal: 0,
            bucket: String::new(),
            key: String::new(),
            mime: mime.into(),
            name: None,
            size: None,
        }
    }

    pub(super) fn job(preset: &str, message: Option<String>) -> Job {
        Job {
            id: 1,
            input_key: String::new(),
            name: String::new(),
            location: String::new(),
            preset: preset.into(),
            size: 0,
            sent: None,
            status: JobStatus::Converted,
            error: None,
            instance: None,
            times: None,
            message,
            outputs: Vec::new(),
        }
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

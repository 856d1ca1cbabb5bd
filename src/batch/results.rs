//! `muck results`: waits for a batch, fetches its outputs into a folder, tells the statistics.

mod fetcher;
mod publisher;

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fetcher::Fetcher;
use jiff::Timestamp;
use muck_worker::message::Message;
use muck_worker::text::quantity;

use super::bill::none_submitted;
use super::check_batch_name;
use super::collect::{Came, Collector, Depths, is_failure};
use super::early_ends::EarlyEnds;
use super::estimate::Estimate;
use super::fetch::disk;
use super::fleet;
use super::launch::{self, LaunchOptions};
use super::ledger::{Batch, Job, JobStatus, Ledger};
use super::log_csv;
use super::outage::Outage;
use super::place::Folder;
use super::progress::{AtWork, Reports};
use super::relaunch::Relaunch;
use super::report::{JobFailure, Remark, Report};
use super::stall::{Look, Stalled, Watch};
use super::statistics::{JobTimes, Statistics};
use super::submit::blocking;
use crate::cloud::Cloud;
use crate::error::{Error, Result};
use crate::event::{BatchProgress, Event};
use crate::resources::instance::Instance;

/// How long SQS holds a request for a message: also how often the screen and the counts are renewed.
const POLL: Duration = Duration::from_secs(2);
/// EC2 is asked this often: its requests are limited by the minute.
const FLEET_EVERY: Duration = Duration::from_secs(5);
/// SQS's counts "may not achieve consistency until at least 1 minute after the producers stop sending messages".
const SETTLED: Duration = Duration::from_mins(1);
/// How long a dead silence is borne: SQS's counts settle within a minute, and an instance that was
/// just launched is listed within seconds.
const PATIENCE: Duration = Duration::from_mins(2);

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
    /// Results get the modification times of their originals.
    pub keep_times: bool,
    /// Report how far each file is: a list and a request for each worker every five seconds.
    pub follow_files: bool,
    /// What is launched if messages wait and no instance is left to take them, and until when: the instances of a run end
    /// themselves at that time.
    pub relaunch: Option<(LaunchOptions, Timestamp)>,
}

impl ResultsOptions {
    /// Into `folder`, the newest batch, waiting.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            batch: None,
            wait: true,
            patience: PATIENCE,
            keep_times: true,
            follow_files: false,
            relaunch: None,
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
    let fetcher = Fetcher::open(
        cloud,
        ledger,
        &batch,
        options.folder.clone(),
        options.keep_times,
    )
    .await?;
    let mut getting = Getting {
        cloud,
        ledger,
        batch: &batch,
        collector: Collector::open(cloud, ledger, &batch).await?,
        fetcher,
        reports: options.follow_files.then(Reports::default),
        outage: Outage::default(),
        early_ends: EarlyEnds::default(),
        last_look: None,
        last_estimate: None,
    };
    let watched = Watched(cloud);
    let given_up = getting.run_through_outages(options).await;
    drop(watched);
    // Whatever ended it, what has come is logged.
    let log = getting.log().await;
    let given_up = given_up?;
    getting.report(given_up, log?)
}

/// Opens the folder of the results, created if absent, and returns its absolute path: for commands that create other things
/// first.
///
/// # Errors
/// A file in its place; a folder that can't be written.
pub async fn check_output(folder: PathBuf) -> Result<PathBuf> {
    let shown = folder.display().to_string();
    if folder.is_file() {
        return Err(
            Error::failed(format!("{shown} is a file, and results need a folder"))
                .hint("name another: -o DIR"),
        );
    }
    let opened = blocking(move || {
        let (folder, path) = Folder::open(&folder)?;
        // Removed when dropped.
        folder.temporary().map(|_| path)
    });
    opened.await?.map_err(|error| {
        Error::failed(format!("cannot write results into {shown}"))
            .because(error)
            .hint("name a folder that can be written: -o DIR")
    })
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
        none_submitted().hint("submit files with `muck submit`, or name a batch that was submitted elsewhere with --batch")
    })
}

/// A run under way.
struct Getting<'a> {
    cloud: &'a Cloud,
    ledger: &'a Ledger,
    batch: &'a Batch,
    collector: Collector<'a>,
    fetcher: Fetcher<'a>,
    /// `None`: they are not shown.
    reports: Option<Reports>,
    outage: Outage,
    early_ends: EarlyEnds,
    /// How full the queues were and how many instances worked when that was last counted.
    last_look: Option<(Depths, u64)>,
    last_estimate: Option<Estimated>,
}

/// An estimate, with the time and the facts that it was computed from: until these change, time only passes.
struct Estimated {
    estimate: Estimate,
    at: Instant,
    outstanding: u64,
    at_work: Vec<AtWork>,
}

/// However the waiting ends, the bars of the batch do.
struct Watched<'a>(&'a Cloud);

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.0.events.emit(Event::Batch(None));
    }
}

impl Getting<'_> {
    /// Like `run`, but a network that is away for some minutes does not end it.
    async fn run_through_outages(&mut self, options: &ResultsOptions) -> Result<Option<String>> {
        loop {
            let error = match self.run(options).await {
                Err(error) if options.wait => error,
                ended => return ended,
            };
            let known = self.outage.is_known();
            let Some(pause) = self.outage.pause(&error) else {
                return Err(error);
            };
            if !known {
                let why = error.chain();
                self.cloud
                    .events
                    .warn(format!("{why}. It is tried again for half an hour"));
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Returns why waiting was given up, if it was.
    async fn run(&mut self, options: &ResultsOptions) -> Result<Option<String>> {
        let started = Instant::now();
        let mut watch = Watch::new(options.patience);
        let mut relaunch = Relaunch::default();
        let mut fleet_seen: Option<(Instant, u64)> = None;
        let mut empty_since: Option<Instant> = None;
        // Of the messages that came last: fetched while the next ones come.
        let mut came_last = BTreeSet::new();
        loop {
            let poll = if self.batch.ours && self.ledger.totals(self.batch)?.outstanding == 0 {
                // All are here: what still comes are repetitions, which wait for nobody.
                Duration::ZERO
            } else if options.wait {
                POLL
            } else {
                Duration::from_secs(1)
            };
            let jobs = self.ledger.jobs_of(&came_last)?;
            // Neither is cut short by a failure of the other.
            let (collected, fetched) = tokio::join!(
                self.collector.reports(poll),
                self.fetcher.fetch_missing(jobs)
            );
            if let Ok((_, came)) = &collected {
                self.tell(came);
            }
            fetched?;
            let (messages, came) = collected?;
            self.outage.is_over();
            if let Some((depths, instances)) = self.last_look.filter(|_| !came.is_empty()) {
                self.progress(depths, instances).await?;
            }
            // One may have come twice: first its failure, then its success.
            came_last = came
                .iter()
                .filter(|one| one.batch == self.batch.name)
                .filter_map(|one| one.job)
                .collect();
            if messages > 0 {
                continue;
            }
            // Also what another `results` took out of the queue.
            self.fetcher
                .fetch_missing(self.ledger.jobs(self.batch)?)
                .await?;
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
                    self.report_early_ends(&instances)?;
                    let count = instances
                        .iter()
                        .filter(|one| fleet::is_working(one))
                        .count() as u64;
                    fleet_seen = Some((Instant::now(), count));
                    count
                }
            };
            self.last_look = Some((depths, instances));
            self.progress(depths, instances).await?;
            if !self.batch.ours {
                // How many jobs it has is not known here: it is over when nothing is left to do.
                let empty = depths.input.visible + depths.input.in_flight == 0
                    && depths.output.visible + depths.output.in_flight == 0;
                let since = empty_since.get_or_insert_with(Instant::now);
                if !empty {
                    empty_since = None;
                } else if since.elapsed() >= SETTLED.min(options.patience) {
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
            if let Some((launch, until)) = &options.relaunch
                && Timestamp::now() < *until
                && relaunch.is_due(look, started.elapsed())
            {
                self.cloud.events.note(format!(
                    "{} back in the queue with no instance left to take it: starting another",
                    quantity(look.waiting, "message")
                ));
                launch::launch(self.cloud, launch).await?;
                fleet_seen = None;
                continue;
            }
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

    /// Says which instances never came to work, and why.
    fn report_early_ends(&mut self, instances: &[Instance]) -> Result<()> {
        if self.early_ends.unusual(instances).next().is_none() {
            return Ok(());
        }
        let jobs = self.ledger.jobs(self.batch)?;
        let worked = |id: &str| jobs.iter().any(|job| job.instance.as_deref() == Some(id));
        for text in self.early_ends.report(instances, worked) {
            self.cloud.events.warn(text);
        }
        Ok(())
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

    async fn progress(&mut self, depths: Depths, instances: u64) -> Result<()> {
        let mut at_work = match &mut self.reports {
            Some(reports) if depths.input.in_flight > 0 => {
                reports
                    .of_batch(self.cloud, self.ledger, self.batch)
                    .await?
            }
            _ => Vec::new(),
        };
        let totals = self.ledger.totals(self.batch)?;
        let jobs = self.ledger.jobs(self.batch)?;
        at_work.retain(|one| one.is_of(&jobs));
        let (fraction, eta) = self.estimate(&jobs, totals.outstanding, &at_work);
        self.cloud.events.emit(Event::Batch(Some(BatchProgress {
            jobs_done: totals.converted,
            jobs_failed: totals.failed,
            jobs_total: totals.jobs,
            visible: depths.input.visible,
            in_flight: depths.input.in_flight,
            instances_running: instances,
            fraction,
            eta,
            at_work: at_work.into_iter().map(AtWork::into_event).collect(),
        })));
        Ok(())
    }

    /// How much is converted, and how long the rest takes from now on.
    fn estimate(
        &mut self,
        jobs: &[Job],
        outstanding: u64,
        at_work: &[AtWork],
    ) -> (f64, Option<Duration>) {
        let known = self
            .last_estimate
            .take()
            .filter(|last| last.outstanding == outstanding && last.at_work == at_work);
        let last = self
            .last_estimate
            .insert(known.unwrap_or_else(|| Estimated {
                estimate: Estimate::of(jobs, at_work, Timestamp::now()),
                at: Instant::now(),
                outstanding,
                at_work: at_work.to_vec(),
            }));
        let eta = last.estimate.eta;
        (
            last.estimate.fraction,
            eta.map(|eta| eta.saturating_sub(last.at.elapsed())),
        )
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
                    .filter_map(|output| self.fetcher.here.get(&(job.id, output.ordinal)).cloned())
                    .collect();
                (job, files)
            })
            .collect();
        let (root, batch) = (self.fetcher.root.clone(), self.batch.name.clone());
        blocking(move || log_csv::write(&root, &batch, &jobs))
            .await?
            .map_err(disk)
    }

    fn report(self, given_up: Option<String>, log: PathBuf) -> Result<Report> {
        let jobs = self.ledger.jobs(self.batch)?;
        let converted = || jobs.iter().filter(|job| job.status == JobStatus::Converted);
        let is_here = |job: &Job| {
            job.outputs
                .iter()
                .all(|one| self.fetcher.here.contains_key(&(job.id, one.ordinal)))
        };
        let times: Vec<JobTimes> = converted().filter_map(|job| job.times).collect();
        let failures = jobs
            .iter()
            .filter_map(|job| {
                let reason = match self.fetcher.unfetchable.get(&job.id) {
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
        let remarks = converted().filter_map(remark).collect();
        let mut seen = HashSet::new();
        let files = converted()
            .flat_map(|job| {
                job.outputs
                    .iter()
                    .filter_map(|one| self.fetcher.here.get(&(job.id, one.ordinal)))
            })
            .filter(|file| seen.insert(file.as_str()))
            .cloned()
            .collect();
        Ok(Report {
            batch: self.batch.name.clone(),
            retrieved: converted().filter(|job| is_here(job)).count() as u64,
            totals: self.ledger.totals(self.batch)?,
            statistics: Statistics::of(&times),
            folder: self.fetcher.root,
            log,
            bytes_fetched: self.fetcher.bytes_fetched,
            files,
            failures,
            remarks,
            given_up,
        })
    }
}

/// The parts of the original that a job's results lack, if its status message lists any.
fn remark(job: &Job) -> Option<Remark> {
    let message = Message::parse(job.message.as_deref()?).ok()?;
    let header = |name| message.get(name).map(str::to_owned);
    let remark = Remark {
        file: job.shown(),
        left_out: header("Left-Out"),
        warning: header("Warning"),
    };
    (remark.left_out.is_some() || remark.warning.is_some()).then_some(remark)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::batch::ledger::Output;

    pub(in crate::batch) fn output(mime: &str) -> Output {
        Output {
            ordinal: 0,
            bucket: String::new(),
            key: String::new(),
            mime: mime.into(),
            name: None,
            size: None,
        }
    }

    pub(in crate::batch) fn job(preset: &str, message: Option<String>) -> Job {
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
}

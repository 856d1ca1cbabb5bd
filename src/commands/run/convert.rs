//! From the stack to the results: all of a run but its end.

use muck_worker::text::{quantity, quantity_of};
use muck_worker::worker::INTERRUPTED;
use serde::Serialize;

use super::job::Job;
use super::kept::Kept;
use super::record::Record;
use crate::batch::failed;
use crate::batch::launch::{self, LaunchOptions};
use crate::batch::launched::Launch;
use crate::batch::{self, Bill, LOST, Report, ResultsOptions, Submission, SubmitOptions, fleet};
use crate::cloud::Cloud;
use crate::error::{Error, Result};
use crate::image::bake::{self, BakeOptions};
use crate::session::Session;
use crate::stack::{self, Renewal, TeardownReport};

/// A run under way.
pub struct Run<'a> {
    pub cloud: &'a Cloud,
    pub job: &'a Job,
    pub session: &'a Session,
    pub record: Record,
    /// Its stack was there, and may hold converted files.
    pub resumed: bool,
}

/// What `--json` prints at the end: as far as the job came.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    pub stack: String,
    /// The image is whole, and so may be kept.
    #[serde(skip)]
    pub baked: bool,
    /// Instances were asked for.
    #[serde(skip)]
    pub launching: bool,
    /// Keeps the stack from expiring while it is used.
    #[serde(skip)]
    pub renewal: Option<Renewal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submission: Option<Submission>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch: Option<Launch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<Kept>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teardown: Option<TeardownReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bill: Option<Bill>,
}

impl Run<'_> {
    /// Prints a part of the report, unless all of it comes as JSON.
    pub fn say(&self, text: String) {
        if !self.session.ui.json {
            self.session.ui.line(text);
        }
    }

    /// Converts what is not converted yet and fetches all.
    ///
    /// # Errors
    /// The first failure; kind `SomeJobsFailed` for files that could not be converted or submitted.
    pub async fn convert(&self, summary: &mut Summary) -> Result<()> {
        let (cloud, events) = (self.cloud, &self.cloud.events);
        events.note(format!(
            "Stack {} in {} (to clean up from another machine: {} --yes)",
            cloud.names.stack,
            cloud.names.region,
            cloud.down_command()
        ));
        stack::up(cloud).await?;
        summary.renewal = Some(Renewal::start(cloud, self.record.started));
        if self.resumed {
            self.redrive_interrupted().await?;
            if self.fetch_before(summary).await? {
                return self.finish(summary);
            }
        }

        events.note("Image");
        // Not cancelled from inside: when this future is dropped, the teardown that follows removes the
        // builder and, as there is no image yet to keep, its snapshot.
        let baked = bake::bake(cloud, BakeOptions::default(), std::future::pending()).await?;
        events.note(baked.text());
        summary.baked = true;

        self.submit(summary).await?;
        self.launch(summary).await?;
        self.fetch(summary, true).await?;
        self.finish(summary)
    }

    /// Fetches what an earlier process left converted; whether nothing else is to be done.
    async fn fetch_before(&self, summary: &mut Summary) -> Result<bool> {
        let report = self.fetch(summary, false).await?;
        Ok(report.totals.jobs > 0 && report.totals.outstanding == 0)
    }

    /// Queues files again that were given up because their instances were ended, as an earlier process of this run does.
    async fn redrive_interrupted(&self) -> Result<()> {
        if batch::dead_letters(self.cloud).await? == 0 {
            return Ok(());
        }
        for reason in [INTERRUPTED, LOST] {
            let again = failed::redrive(self.cloud, Some(reason)).await?;
            if !again.redriven.is_empty() {
                self.cloud.events.note(format!(
                    "{} given up when instances ended: queued again",
                    quantity_of(&again.redriven, "file")
                ));
            }
        }
        Ok(())
    }

    async fn submit(&self, summary: &mut Summary) -> Result<()> {
        self.cloud.events.note("Files");
        let paths = self.job.paths();
        if self.resumed && !paths.iter().any(|path| path.exists()) {
            let known = summary
                .report
                .as_ref()
                .map_or(0, |report| report.totals.jobs);
            if known == 0 {
                return Err(Error::failed(
                    "nothing of this run was submitted, and the originals can't be found",
                ));
            }
            self.cloud
                .events
                .warn("the originals can't be found: only what was submitted before is converted");
            return Ok(());
        }
        let options = SubmitOptions {
            paths,
            preset: Some(self.job.preset.clone()),
            batch: Some(self.record.batch.clone()),
            all: self.job.all,
            salvage: self.job.salvage,
            results: self.job.output().canonicalize().ok(),
        };
        let submission = batch::submit(self.cloud, &options).await?;
        self.say(submission.text());
        summary.submission = Some(submission);
        Ok(())
    }

    fn launch_options(&self, count: u32) -> Result<LaunchOptions> {
        Ok(LaunchOptions {
            count,
            instance_type: self.job.instance_type.clone(),
            batch: Some(self.record.batch.clone()),
            service: self.job.service()?,
            ..LaunchOptions::default()
        })
    }

    async fn launch(&self, summary: &mut Summary) -> Result<()> {
        let events = &self.cloud.events;
        events.note("Instances");
        if self.resumed {
            let instances = batch::observe_instances(self.cloud).await?;
            let working = instances
                .iter()
                .filter(|one| fleet::is_working(one))
                .count();
            if working > 0 {
                let instances = quantity(working as u64, "instance");
                events.note(format!("{instances} of the earlier run still at work"));
                summary.launching = true;
                return Ok(());
            }
        }
        let count = self.job.instances.unwrap_or(self.cloud.config.instances);
        let options = self.launch_options(count)?;
        summary.launching = true;
        let launch = summary
            .launch
            .insert(launch::launch(self.cloud, &options).await?);
        self.say(launch.text());
        if let Some(fewer) = launch.failure() {
            events.warn(fewer.to_string());
        }
        Ok(())
    }

    /// Fetches what is converted; `wait`: until all is.
    pub async fn fetch<'s>(&self, summary: &'s mut Summary, wait: bool) -> Result<&'s Report> {
        // What an earlier call fetched says nothing of this one if it fails.
        summary.report = None;
        let options = ResultsOptions {
            batch: Some(self.record.batch.clone()),
            wait,
            keep_times: self.job.keep_times,
            follow_files: self.session.ui.draws_bars(),
            relaunch: match (&summary.launch, wait) {
                (Some(launch), true) => Some((self.launch_options(1)?, launch.expires)),
                _ => None,
            },
            ..ResultsOptions::new(self.job.output())
        };
        let report = batch::results(self.cloud, &options).await?;
        Ok(summary.report.insert(report))
    }

    /// Prints the report, and says what did not succeed. Files that could not be submitted and jobs that failed do not stop
    /// the batch; they are its end.
    pub fn finish(&self, summary: &Summary) -> Result<()> {
        let report = summary.report.as_ref();
        if let Some(report) = report {
            self.say(report.text());
        }
        let submission = summary.submission.as_ref();
        submission
            .and_then(Submission::failure)
            .or_else(|| report.and_then(Report::failure))
            .map_or(Ok(()), Err)
    }
}

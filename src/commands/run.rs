//! `muck run`: all of it in one command, with teardown however it ends.

use std::path::PathBuf;

use jiff::SignedDuration;
use serde::Serialize;

use crate::batch::launch::{self, LaunchOptions};
use crate::batch::launched::Launch;
use crate::batch::{self, Bill, Report, ResultsOptions, Submission, SubmitOptions};
use crate::cli::ConsoleArgs;
use crate::cloud::Cloud;
use crate::commands::{down, local};
use crate::config::{self, Config};
use crate::error::{Error, Kind, Result};
use crate::image::bake::{self, BakeOptions};
use crate::interrupt::Interrupts;
use crate::lifetime::OnExpiry;
use crate::names::{ResourceKind, StackName};
use crate::session::Session;
use crate::stack::survey::{Depths, Survey};
use crate::stack::{self, Confirmed, DownOptions, TeardownReport};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files and folders (folders with all below them)
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Folder for the results; made if absent
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
    /// How many instances convert [default: from muck.toml, else 1]
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    instances: Option<u32>,
    /// Instance type [default: from muck.toml, else c7i.large]
    #[arg(long = "type", value_name = "TYPE")]
    instance_type: Option<String>,
    /// How to convert [default: from muck.toml, else "web"]
    #[arg(long, short)]
    preset: Option<String>,
    /// What is done with each file: ConvertVideo, or Probe: media facts as JSON, nothing is converted [default: ConvertVideo]
    #[arg(long, value_name = "NAME", value_parser = config::service)]
    service: Option<&'static str>,
    /// Also files that are not video, and hidden ones
    #[arg(long, short)]
    all: bool,
    /// Convert damaged and truncated files as far as they decode, with a warning
    #[arg(long)]
    salvage: bool,
    /// Leave the results the time at which they came, not their originals' modification time
    #[arg(long)]
    no_times: bool,
    /// Keep the AMI for the next run; its snapshot's storage goes on costing
    #[arg(long)]
    keep_image: bool,
    /// After this long instances end themselves and the stack expires [default: from muck.toml, else 12h]
    #[arg(long, value_name = "TIME", value_parser = config::parse_ttl)]
    ttl: Option<SignedDuration>,
    #[command(flatten)]
    pub console: ConsoleArgs,
}

pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let job = Job {
        paths: args.paths.clone(),
        output: args.output.clone(),
        instances: args.instances,
        instance_type: args.instance_type.clone(),
        preset: args.preset.clone(),
        service: args.service,
        all: args.all,
        salvage: args.salvage,
        keep_times: !args.no_times,
        keep_image: args.keep_image,
        ttl: args.ttl,
    };
    // Nothing is created, not even a local cloud, for input that cannot be converted.
    let config = session.config()?;
    let preset = job.preset.as_ref().unwrap_or(&config.preset);
    // A folder that isn't there yet holds no results.
    let results = job.output.canonicalize().ok();
    batch::check_input(&job.paths, &config.presets, preset, job.all, results).await?;
    batch::check_output(job.output.clone()).await?;
    let local = if session.global.local {
        Some(local::ensure(&session.events).await?)
    } else {
        None
    };
    let outcome = in_own_stack(session, &job).await;
    if let Some(local) = local {
        session.sweep_done().await;
        local.stop_if_started().await?;
    }
    outcome
}

async fn in_own_stack(session: &Session, job: &Job) -> Result<()> {
    let mut config = session.config()?;
    if session.global.stack.is_none() {
        config.stack = own_stack("run")?;
    }
    job.mark(&mut config);
    let cloud = session.connect(config).await?;
    whole_job(&cloud, job, session).await
}

/// A stack name that nobody else has: runs may go on beside each other, and none waits the minute
/// for which SQS refuses the names of queues that were just deleted.
pub(super) fn own_stack(prefix: &str) -> Result<StackName> {
    let random: u32 = rand::random();
    format!("{prefix}-{random:08x}")
        .parse()
        .map_err(Error::failed)
}

/// One batch from files to results.
#[derive(Debug)]
pub struct Job {
    pub paths: Vec<PathBuf>,
    pub output: PathBuf,
    /// `None`: as configured. So are the next two.
    pub instances: Option<u32>,
    pub instance_type: Option<String>,
    pub preset: Option<String>,
    pub service: Option<&'static str>,
    pub all: bool,
    /// Damaged files are converted as far as they decode.
    pub salvage: bool,
    /// Results get the modification times of their originals.
    pub keep_times: bool,
    pub keep_image: bool,
    /// `None`: as configured.
    pub ttl: Option<SignedDuration>,
}

impl Job {
    /// The stack is made for this job alone: when its time is over, any `muck` may remove it.
    pub fn mark(&self, config: &mut Config) {
        config.override_ttl(self.ttl);
        config.on_expiry = if self.keep_image {
            OnExpiry::DeleteButImage
        } else {
            OnExpiry::Delete
        };
    }
}

/// What `--json` prints at the end: as far as the job came.
#[derive(Debug, Default, Serialize)]
struct Summary {
    stack: String,
    /// The image is whole, and so may be kept.
    #[serde(skip)]
    baked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    submission: Option<Submission>,
    #[serde(skip_serializing_if = "Option::is_none")]
    launch: Option<Launch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<Report>,
    #[serde(skip_serializing_if = "Option::is_none")]
    teardown: Option<TeardownReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bill: Option<Bill>,
}

/// Converts, and tears down however that ends: success, failure, or a signal.
pub async fn whole_job(cloud: &Cloud, job: &Job, session: &Session) -> Result<()> {
    let mut interrupts = Interrupts::listen()?;
    refuse_a_stack_in_use(cloud).await?;
    let mut summary = Summary {
        stack: cloud.names.stack.to_string(),
        ..Summary::default()
    };
    let outcome = tokio::select! {
        outcome = convert(cloud, job, session, &mut summary) => outcome,
        () = interrupts.next() => {
            cloud.events.warn("interrupted: tearing down; Ctrl-C again leaves things as they are");
            Err(Error::new(Kind::Interrupted, "interrupted"))
        }
    };
    let torn_down = tokio::select! {
        torn_down = tear_down(cloud, job.keep_image && summary.baked) => torn_down,
        () = interrupts.next() => Err(still_there(cloud).await),
    };
    let torn_down = torn_down.and_then(|report| {
        let report = summary.teardown.insert(report);
        down::verdict(cloud, report, session)
    });
    settle_up(cloud, session, &mut summary).await?;
    if summary.report.is_some() && !session.ui.json {
        session
            .ui
            .line(format!("The results are in {}", job.output.display()));
    }
    match (outcome, torn_down) {
        (outcome, Ok(())) => outcome,
        (Ok(()), Err(left)) => Err(left),
        // The first error is the cause; what is left is what costs money. Both must be told.
        (Err(first), Err(left)) => {
            cloud.events.warn(first.chain());
            Err(left)
        }
    }
}

/// The bill comes last: only now is it known when the instances ended.
async fn settle_up(cloud: &Cloud, session: &Session, summary: &mut Summary) -> Result<()> {
    if let Some(submission) = &summary.submission {
        match batch::bill(cloud, Some(&submission.batch)).await {
            Ok(bill) => summary.bill = Some(bill),
            Err(error) => cloud.events.warn(error.chain()),
        }
    }
    if session.ui.json {
        return session.ui.json(summary);
    }
    if let Some(bill) = &summary.bill {
        session.ui.line(format!("\n{}\n", bill.text()));
    }
    Ok(())
}

/// `run` deletes its stack at the end, so it must not begin in one that holds something.
async fn refuse_a_stack_in_use(cloud: &Cloud) -> Result<()> {
    // Its images do not stand in the way: they are kept on purpose.
    let there = remaining(cloud, |kind| {
        !matches!(kind, ResourceKind::Image | ResourceKind::Snapshot)
    })
    .await;
    if there.is_empty() {
        return Ok(());
    }
    let name = &cloud.names.stack;
    Err(Error::failed(format!(
        "stack {name} is there already, and `muck run` would delete it at its end:\n{}",
        there.join("\n")
    ))
    .hint("give this run a stack of its own: --stack NAME")
    .hint(format!("or remove what is there: {}", cloud.down_command())))
}

/// What exists of the stack and is of a kind that counts, one line each.
async fn remaining(cloud: &Cloud, counts: impl Fn(ResourceKind) -> bool) -> Vec<String> {
    let survey = Survey::take(cloud, Depths::Bare).await;
    let things = survey
        .things(cloud)
        .into_iter()
        .filter(|thing| counts(thing.kind));
    let unknown = survey
        .errors
        .iter()
        .map(|error| format!("  unknown: {}", error.chain()));
    things
        .map(|thing| format!("  {}", down::line(&thing)))
        .chain(unknown)
        .collect()
}

async fn convert(cloud: &Cloud, job: &Job, session: &Session, summary: &mut Summary) -> Result<()> {
    let say = |text: String| {
        if !session.ui.json {
            session.ui.line(text);
        }
    };
    let events = &cloud.events;
    events.note(format!(
        "Stack {} in {} (to clean up from another machine: {} --yes)",
        cloud.names.stack,
        cloud.names.region,
        cloud.down_command()
    ));
    stack::up(cloud).await?;

    events.note("Image");
    // Not cancelled from inside: when this future is dropped, the teardown that follows removes the
    // builder and, as there is no image yet to keep, its snapshot.
    let baked = bake::bake(cloud, BakeOptions::default(), std::future::pending()).await?;
    events.note(baked.text());
    summary.baked = true;

    events.note("Files");
    let submit = SubmitOptions {
        paths: job.paths.clone(),
        preset: job.preset.clone(),
        batch: None,
        all: job.all,
        salvage: job.salvage,
        results: job.output.canonicalize().ok(),
    };
    let submission = summary
        .submission
        .insert(batch::submit(cloud, &submit).await?);
    say(submission.text());

    events.note("Instances");
    let options = LaunchOptions {
        count: job.instances.unwrap_or(cloud.config.instances),
        instance_type: job.instance_type.clone(),
        batch: Some(submission.batch.clone()),
        service: job.service,
        ..LaunchOptions::default()
    };
    let launch = summary
        .launch
        .insert(launch::launch(cloud, &options).await?);
    say(launch.text());
    if let Some(fewer) = launch.failure() {
        events.warn(fewer.to_string());
    }

    let options = ResultsOptions {
        batch: Some(submission.batch.clone()),
        keep_times: job.keep_times,
        follow_files: session.ui.draws_bars(),
        ..ResultsOptions::new(&job.output)
    };
    let report = summary
        .report
        .insert(batch::results(cloud, &options).await?);
    say(report.text());
    // Files that could not be submitted and jobs that failed do not stop the batch; they are its end.
    submission
        .failure()
        .or_else(|| report.failure())
        .map_or(Ok(()), Err)
}

async fn tear_down(cloud: &Cloud, keep_image: bool) -> Result<TeardownReport> {
    cloud.events.note("Teardown");
    // Instances that have ended are forgotten within the hour; their times are on the bill.
    if let Err(error) = batch::observe_instances(cloud).await {
        cloud.events.warn(error.chain());
    }
    let survey = Survey::take(cloud, Depths::Bare).await;
    let options = DownOptions {
        keep_data: false,
        keep_image,
    };
    down::delete(cloud, &survey, options, Confirmed::for_own_stack()).await
}

/// What a second Ctrl-C leaves, and how to remove it.
async fn still_there(cloud: &Cloud) -> Error {
    let name = &cloud.names.stack;
    let left = match remaining(cloud, |_| true).await.as_slice() {
        [] => "nothing is left of it".to_owned(),
        left => format!("still there:\n{}", left.join("\n")),
    };
    Error::new(
        Kind::Interrupted,
        format!("interrupted while stack {name} was torn down; {left}"),
    )
    .hint(format!("remove it: {} --yes", cloud.down_command()))
}

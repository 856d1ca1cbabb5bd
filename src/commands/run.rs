//! `muck run`: all of it in one command, with teardown however it ends.

use std::path::PathBuf;

use crate::batch::launch::{self, LaunchOptions};
use crate::batch::{self, ResultsOptions, SubmitOptions};
use crate::cloud::Cloud;
use crate::commands::{down, local};
use crate::error::{Error, Kind, Result};
use crate::image::bake::{self, BakeOptions};
use crate::interrupt::Interrupts;
use crate::names::ResourceKind;
use crate::session::Session;
use crate::stack::survey::{Depths, Survey};
use crate::stack::{self, Confirmed, DownOptions};

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
    /// How to convert [default: from muck.toml, else "ipod"]
    #[arg(long, short)]
    preset: Option<String>,
    /// Also files that are not video, and hidden ones
    #[arg(long, short)]
    all: bool,
    /// Keep the AMI for the next run; its snapshot's storage goes on costing
    #[arg(long)]
    keep_image: bool,
}

pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let job = Job {
        paths: args.paths.clone(),
        output: args.output.clone(),
        instances: args.instances,
        instance_type: args.instance_type.clone(),
        preset: args.preset.clone(),
        all: args.all,
        keep_image: args.keep_image,
        take_over: false,
    };
    // Nothing is created, not even a local cloud, for input that cannot be converted.
    let preset = job.preset.clone().unwrap_or(session.config()?.preset);
    batch::check_input(&job.paths, &preset, job.all).await?;
    let local = if session.global.local {
        Some(local::ensure(&session.events).await?)
    } else {
        None
    };
    let outcome = match session.cloud().await {
        Ok(cloud) => whole_job(&cloud, &job, session).await,
        Err(error) => Err(error),
    };
    if let Some(local) = local {
        local.stop_if_started().await?;
    }
    outcome
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
    pub all: bool,
    pub keep_image: bool,
    /// Use (and tear down) a stack of this name that is there already. Only for a stack that
    /// nobody else keeps anything in.
    pub take_over: bool,
}

/// Converts, and tears down however that ends: success, failure, or a signal.
pub async fn whole_job(cloud: &Cloud, job: &Job, session: &Session) -> Result<()> {
    let mut interrupts = Interrupts::listen()?;
    if !job.take_over {
        refuse_a_stack_in_use(cloud).await?;
    }
    let outcome = tokio::select! {
        outcome = convert(cloud, job, session) => outcome,
        () = interrupts.next() => {
            cloud.events.warn("interrupted: tearing down; again Ctrl-C leaves things as they are");
            Err(Error::new(Kind::Interrupted, "interrupted"))
        }
    };
    let torn_down = tokio::select! {
        torn_down = tear_down(cloud, job, session) => torn_down,
        () = interrupts.next() => Err(still_there(cloud).await),
    };
    match (outcome, torn_down) {
        (Ok(()), Ok(())) => {
            session
                .ui
                .line(format!("The results are in {}", job.output.display()));
            Ok(())
        }
        (Ok(()), Err(left)) => Err(left),
        (Err(first), Ok(())) => Err(first),
        // The first error is the cause; what is left is what costs money. Both must be told.
        (Err(first), Err(left)) => {
            cloud.events.warn(first.chain());
            Err(left)
        }
    }
}

/// `run` deletes its stack at the end, so it must not begin in one that holds something.
async fn refuse_a_stack_in_use(cloud: &Cloud) -> Result<()> {
    let there = remaining(cloud).await;
    if there.is_empty() {
        return Ok(());
    }
    let name = &cloud.names.stack;
    Err(Error::failed(format!(
        "stack {name} is there already, and `muck run` would delete it at its end:\n{}",
        there.join("\n")
    ))
    .hint("give this run a stack of its own: --stack NAME")
    .hint(format!("or remove what is there: muck down --stack {name}")))
}

/// What exists of the stack, one line each, but its images: those are kept on purpose.
async fn remaining(cloud: &Cloud) -> Vec<String> {
    let survey = Survey::take(cloud, Depths::Bare).await;
    let things = survey
        .things(cloud)
        .into_iter()
        .filter(|thing| !matches!(thing.kind, ResourceKind::Image | ResourceKind::Snapshot));
    let unknown = survey
        .errors
        .iter()
        .map(|error| format!("  unknown: {}", error.chain()));
    things
        .map(|thing| format!("  {}", down::line(&thing)))
        .chain(unknown)
        .collect()
}

async fn convert(cloud: &Cloud, job: &Job, session: &Session) -> Result<()> {
    let events = &cloud.events;
    events.note(format!(
        "Stack {} in {}",
        cloud.names.stack, cloud.names.region
    ));
    stack::up(cloud).await?;

    events.note("Image");
    // Not cancelled from inside: when this future is dropped, the teardown that follows removes the builder.
    bake::bake(cloud, BakeOptions { force: false }, std::future::pending()).await?;

    events.note("Files");
    let submission = batch::submit(
        cloud,
        &SubmitOptions {
            paths: job.paths.clone(),
            preset: job.preset.clone(),
            batch: None,
            all: job.all,
        },
    )
    .await?;
    session.ui.line(submission.text());

    events.note("Instances");
    let launch = launch::launch(
        cloud,
        &LaunchOptions {
            count: job.instances.unwrap_or(cloud.config.instances),
            instance_type: job.instance_type.clone(),
            batch: Some(submission.batch.clone()),
            ..LaunchOptions::default()
        },
    )
    .await?;
    session.ui.line(launch.text());

    let options = ResultsOptions {
        batch: Some(submission.batch.clone()),
        ..ResultsOptions::new(&job.output)
    };
    let report = batch::results(cloud, &options).await?;
    session.ui.line(report.text());
    // Files that could not be submitted and jobs that failed do not stop the batch; they are its end.
    submission
        .failure()
        .or_else(|| report.failure())
        .map_or(Ok(()), Err)
}

async fn tear_down(cloud: &Cloud, job: &Job, session: &Session) -> Result<()> {
    cloud.events.note("Teardown");
    // Instances that have ended are forgotten within the hour; their times are on the bill.
    if let Err(error) = batch::observe_instances(cloud).await {
        cloud.events.warn(error.chain());
    }
    let survey = Survey::take(cloud, Depths::Bare).await;
    let options = DownOptions {
        keep_data: false,
        keep_image: job.keep_image,
    };
    down::delete_and_tell(cloud, &survey, options, Confirmed::for_own_stack(), session).await
}

/// What a second Ctrl-C leaves, and how to remove it.
async fn still_there(cloud: &Cloud) -> Error {
    let name = &cloud.names.stack;
    let left = match remaining(cloud).await.as_slice() {
        [] => "nothing is left of it".to_owned(),
        left => format!("still there:\n{}", left.join("\n")),
    };
    let local = if cloud.aws.endpoint.is_some() {
        " --local"
    } else {
        ""
    };
    Error::new(
        Kind::Interrupted,
        format!("interrupted while stack {name} was torn down; {left}"),
    )
    .hint(format!("remove it: muck down --stack {name}{local} --yes"))
}

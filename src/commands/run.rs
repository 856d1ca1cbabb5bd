//! `muck run`: all of it in one command, with teardown however it ends.

mod convert;
mod ending;
pub mod job;
mod kept;
pub mod record;

use std::path::{Path, PathBuf};

use jiff::SignedDuration;

use convert::{Run, Summary};
use job::{Job, absolute};
use record::{Record, Unfinished, existing, recorded};

use crate::account::{between, roughly};
use crate::batch;
use crate::batch::ledger::RunRecord;
use crate::cli::ConsoleArgs;
use crate::cloud::Cloud;
use crate::commands::{down, local};
use crate::config;
use crate::error::{Error, Kind, Result};
use crate::interrupt::Interrupts;
use crate::names::{ResourceKind, StackName};
use crate::session::Session;
use crate::stack::survey::{Depths, Survey};

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
    /// Disk of each instance in GiB; a film takes twice its size [default: from muck.toml, else the image's]
    #[arg(long, value_name = "GIB", value_parser = config::disk)]
    disk: Option<u32>,
    /// What is done with each file: ConvertVideo, or Probe: media facts as JSON, nothing is converted [default: ConvertVideo]
    #[arg(long, value_name = "NAME", value_parser = config::service)]
    service: Option<&'static str>,
    /// Also files that are not video, and hidden ones
    #[arg(long, short)]
    all: bool,
    /// Convert damaged and truncated files as far as they decode, with a warning
    #[arg(long)]
    salvage: bool,
    /// Begin anew, in a stack of its own, even if an earlier run of the same files was not finished
    #[arg(long)]
    new: bool,
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
    // Nothing is created, not even a local cloud, for input that cannot be converted.
    let mut config = session.config()?;
    config.override_disk(args.disk);
    let preset = args.preset.as_ref().unwrap_or(&config.preset);
    // A folder that isn't there yet holds no results.
    let results = args.output.canonicalize().ok();
    batch::check_input(&args.paths, &config.presets, preset, args.all, results).await?;
    batch::disk::check(&config)?;
    let output = batch::check_output(args.output.clone()).await?;
    let job = Job {
        paths: absolute(&args.paths)?,
        output: output.into_os_string(),
        instances: args.instances,
        instance_type: args.instance_type.clone(),
        disk: args.disk,
        preset: preset.clone(),
        service: args.service.map(str::to_owned),
        all: args.all,
        salvage: args.salvage,
        keep_times: !args.no_times,
        keep_image: args.keep_image,
        ttl_seconds: args.ttl.unwrap_or(config.ttl).as_secs(),
    };
    with_local_cloud(session, async || begin(args, session, &job).await).await
}

/// Runs `work` with the local cloud that it needs, if the options say so; stops one that was started for it.
pub(super) async fn with_local_cloud(
    session: &Session,
    work: impl AsyncFnOnce() -> Result<()>,
) -> Result<()> {
    let local = if session.global.local {
        Some(local::ensure(&session.events).await?)
    } else {
        None
    };
    let outcome = work().await;
    if let Some(local) = local {
        session.sweep_done().await;
        local.stop_if_started().await?;
    }
    outcome
}

async fn begin(args: &Args, session: &Session, job: &Job) -> Result<()> {
    let mut config = session.config()?;
    if session.global.stack.is_none() {
        config.stack = own_stack("run")?;
    }
    job.mark(&mut config);
    let cloud = session.connect(config).await?;
    // It removes its stack at its end, which may be as late as its time to live.
    cloud.require_credentials(cloud.config.ttl, "`muck run`")?;
    if !args.new
        && let Some(earlier) = earlier_run(&cloud, job, session).await?
    {
        return whole_job(&earlier.cloud, job, session, Some(&earlier.record)).await;
    }
    refuse_a_stack_in_use(&cloud).await?;
    whole_job(&cloud, job, session, None).await
}

/// The run of the same files that was cut short, if it is to be gone on with.
async fn earlier_run(cloud: &Cloud, job: &Job, session: &Session) -> Result<Option<Unfinished>> {
    let named = session.global.stack.is_some();
    let is_it = |one: &Unfinished| {
        one.job.is_same_work(job) && (!named || one.cloud.names.stack == cloud.names.stack)
    };
    let mut known = recorded(cloud)?;
    known.retain(is_it);
    if known.is_empty() {
        return Ok(None);
    }
    // The sweep may be deleting it: its time may be over.
    session.sweep_done().await;
    let Some(earlier) = existing(known).await?.into_iter().next() else {
        return Ok(None);
    };
    let stack = &earlier.cloud.names.stack;
    let since = roughly(between(earlier.record.started, jiff::Timestamp::now()));
    if earlier.is_live {
        session.events.warn(format!(
            "another muck converts the same files, in stack {stack}, since {since}: this run converts them too"
        ));
        return Ok(None);
    }
    let found = format!(
        "A run of the same files, begun {since} ago, was cut short: stack {stack} is still there."
    );
    if session.ui.can_ask() {
        let question = format!("{found}\nGo on with it, instead of beginning anew?");
        return Ok(session.ui.ask(&question).await?.then_some(earlier));
    }
    session
        .events
        .note(format!("{found} This goes on with it; --new begins anew."));
    Ok(Some(earlier))
}

/// A stack name that nobody else has: runs may go on beside each other, and none waits the minute
/// for which SQS refuses the names of queues that were just deleted.
pub(super) fn own_stack(prefix: &str) -> Result<StackName> {
    let random: u32 = rand::random();
    format!("{prefix}-{random:08x}")
        .parse()
        .map_err(Error::failed)
}

/// Converts, and ends what it began however that goes: success, failure, or a signal. `known`: the run that it goes on with.
pub(super) async fn whole_job(
    cloud: &Cloud,
    job: &Job,
    session: &Session,
    known: Option<&RunRecord>,
) -> Result<()> {
    let mut interrupts = Interrupts::listen()?;
    let run = Run {
        cloud,
        job,
        session,
        record: Record::begin(cloud, job, known)?,
        resumed: known.is_some(),
    };
    let mut summary = Summary {
        stack: cloud.names.stack.to_string(),
        ..Summary::default()
    };
    let outcome = tokio::select! {
        outcome = run.convert(&mut summary) => outcome,
        () = interrupts.next() => Err(Error::new(Kind::Interrupted, "interrupted")),
    };
    if matches!(&outcome, Err(error) if error.kind() == Kind::Interrupted) {
        cloud.events.warn(if summary.launching || run.resumed {
            "interrupted: ending the run; Ctrl-C again ends it sooner, and keeps what is converted"
        } else {
            "interrupted: tearing down; Ctrl-C again leaves things as they are"
        });
    }
    let ended = run.end(outcome, &mut summary, &mut interrupts).await;
    settle_up(cloud, session, &mut summary, &run.record.batch).await?;
    if summary.report.is_some() && !session.ui.json {
        let folder = Path::new(&job.output);
        session
            .ui
            .line(format!("The results are in {}", folder.display()));
    }
    ended
}

/// The bill comes last: only now is it known when the instances ended.
async fn settle_up(
    cloud: &Cloud,
    session: &Session,
    summary: &mut Summary,
    batch: &str,
) -> Result<()> {
    if summary.submission.is_some() || summary.report.is_some() {
        match batch::bill(cloud, Some(batch)).await {
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

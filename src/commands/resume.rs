//! `muck resume`: goes on with a run that was cut short.

use std::path::PathBuf;

use crate::batch;
use crate::cli::ConsoleArgs;
use crate::cloud::Cloud;
use crate::commands::run::job::Job;
use crate::commands::run::record::{Unfinished, existing, recorded};
use crate::commands::run::{whole_job, with_local_cloud};
use crate::error::{Error, Result};
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Stack of the run [default: the one unfinished run of this machine]
    #[arg(value_name = "STACK")]
    run: Option<String>,
    /// Folder for the results [default: the one that the run was given]
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    /// How many instances convert what is left [default: as many as the run was given]
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    instances: Option<u32>,
    #[command(flatten)]
    pub console: ConsoleArgs,
}

pub async fn run(args: &Args, session: &Session) -> Result<()> {
    with_local_cloud(session, async || go_on(args, session).await).await
}

async fn go_on(args: &Args, session: &Session) -> Result<()> {
    let mut config = session.config()?;
    if let Some(stack) = &args.run {
        config.stack = stack.parse().map_err(Error::usage)?;
    }
    let is_named = args.run.is_some() || session.global.stack.is_some();
    let cloud = session.connect(config).await?;
    if !is_named {
        // The sweep spares the stack that is named; another's time may be over.
        session.sweep_done().await;
    }
    let earlier = choose(&cloud, is_named).await?;
    let mut job: Job = earlier.job;
    if let Some(output) = &args.output {
        job.output = batch::check_output(output.clone()).await?.into_os_string();
    }
    job.instances = args.instances.or(job.instances);
    let mut cloud = earlier.cloud;
    job.mark(&mut cloud.config);
    cloud.require_credentials(cloud.config.ttl, "`muck resume`")?;
    whole_job(&cloud, &job, session, Some(&earlier.record)).await
}

/// The run that is meant.
async fn choose(cloud: &Cloud, is_named: bool) -> Result<Unfinished> {
    let stack = &cloud.names.stack;
    let mut known = recorded(cloud)?;
    if is_named {
        known.retain(|one| one.cloud.names.stack == *stack);
    }
    let mut all = existing(known).await?;
    let here = format!("in {} from this machine", cloud.names.region);
    match all.len() {
        0 if is_named => Err(Error::failed(format!(
            "no unfinished run was begun in stack {stack} {here}"
        ))
        .hint(format!(
            "fetch what is converted there: {}",
            cloud.command("results DIR --no-wait")
        ))),
        0 => Err(Error::failed(format!("there is no unfinished run {here}"))
            .hint("`muck ls` lists all stacks; `muck run` begins a run")),
        1 => Ok(all.swap_remove(0)),
        _ => {
            let names: Vec<String> = all
                .iter()
                .map(|one| one.cloud.names.stack.to_string())
                .collect();
            Err(
                Error::usage(format!("several runs are unfinished: {}", names.join(", ")))
                    .hint("name one: muck resume STACK"),
            )
        }
    }
}

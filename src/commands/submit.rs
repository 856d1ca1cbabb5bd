//! `muck submit`.

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};

use crate::batch::{self, SubmitOptions};
use crate::cloud::SHORT_COMMAND;
use crate::config;
use crate::error::Result;
use crate::session::Session;
use crate::stack::Renewal;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files and folders; folders are walked with all below them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How to convert [default: from muck.toml, else "web"]
    #[arg(long, short)]
    preset: Option<String>,
    /// Name of the batch [default: a new one from the time]; the name of an earlier batch continues that one
    #[arg(long, short)]
    batch: Option<String>,
    /// Also files that are not video, and hidden ones
    #[arg(long, short)]
    all: bool,
    /// Convert damaged and truncated files as far as they decode, with a warning
    #[arg(long)]
    salvage: bool,
    /// Disk in GiB that the instances will have: a film takes twice its size [default: from muck.toml, else the image's]
    #[arg(long, value_name = "GIB", value_parser = config::disk)]
    disk: Option<u32>,
    /// The stack shall not expire before this long has passed [default: from muck.toml, else 12h]
    #[arg(long, value_name = "TIME", value_parser = config::parse_ttl)]
    ttl: Option<SignedDuration>,
}

pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let mut cloud = session.cloud().await?;
    cloud.require_credentials(SHORT_COMMAND, "`muck submit`")?;
    cloud.config.override_ttl(args.ttl);
    cloud.config.override_disk(args.disk);
    let options = SubmitOptions {
        results: None,
        paths: args.paths.clone(),
        preset: args.preset.clone(),
        batch: args.batch.clone(),
        all: args.all,
        salvage: args.salvage,
    };
    let _renewal = Renewal::start(&cloud, Timestamp::now());
    let submission = batch::submit(&cloud, &options).await?;
    session.ui.data(&submission, batch::Submission::text)?;
    submission.failure().map_or(Ok(()), Err)
}

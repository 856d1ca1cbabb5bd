//! `muck submit`.

use std::path::PathBuf;

use crate::batch::{self, SubmitOptions};
use crate::error::Result;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files and folders; folders are walked with all below them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How to convert [default: from muck.toml, else "ipod"]
    #[arg(long, short)]
    preset: Option<String>,
    /// Name of the batch [default: a new one from the time]; the name of an earlier batch continues that one
    #[arg(long, short)]
    batch: Option<String>,
    /// Also files that are not video, and hidden ones
    #[arg(long, short)]
    all: bool,
}

pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let cloud = session.cloud().await?;
    let options = SubmitOptions {
        paths: args.paths.clone(),
        preset: args.preset.clone(),
        batch: args.batch.clone(),
        all: args.all,
    };
    let submission = batch::submit(&cloud, &options).await?;
    session.ui.data(&submission, batch::Submission::text)?;
    submission.failure().map_or(Ok(()), Err)
}

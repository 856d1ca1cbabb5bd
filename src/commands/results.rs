//! `muck results`.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::batch::{self, Report, ResultsOptions};
use crate::error::Result;
use crate::session::Session;
use crate::stack::Renewal;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder for the results and log.csv; made if it isn't there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Which batch [default: the one last submitted from here]
    #[arg(long, short)]
    batch: Option<String>,
    /// Leave the results the time at which they came, not their originals' modification time
    #[arg(long)]
    no_times: bool,
    /// Get what is there instead of waiting for the whole batch
    #[arg(long)]
    no_wait: bool,
}

pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let cloud = session.cloud().await?;
    let options = ResultsOptions {
        batch: args.batch.clone(),
        wait: !args.no_wait,
        keep_times: !args.no_times,
        follow_files: session.ui.draws_bars(),
        ..ResultsOptions::new(&args.folder)
    };
    let _renewal = Renewal::start(&cloud, Timestamp::now());
    let report = batch::results(&cloud, &options).await?;
    session.ui.data(&report, Report::text)?;
    report.failure().map_or(Ok(()), Err)
}

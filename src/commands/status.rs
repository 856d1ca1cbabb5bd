//! `muck status`.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use crate::batch::progress::{self, AtWork};
use crate::batch::{self, Status};
use crate::error::Result;
use crate::session::Session;

/// How often `--watch` looks again.
const EVERY: Duration = Duration::from_secs(2);
/// How often the workers' reports are read: they are not written oftener.
const REPORTS_EVERY: Duration = muck_worker::progress::EVERY;
/// Clears the terminal and goes to its upper left corner (ECMA-48).
const CLEAR: &str = "\x1b[2J\x1b[H";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which batch [default: the one last submitted from here]
    #[arg(long, short)]
    batch: Option<String>,
    /// Look again every 2 seconds until Ctrl-C
    #[arg(long, short)]
    watch: bool,
}

pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let cloud = session.cloud().await?;
    let on_terminal = !session.ui.json && std::io::stdout().is_terminal();
    let mut reports: Option<(Instant, Vec<AtWork>)> = None;
    loop {
        let mut status = batch::status(&cloud, args.batch.as_deref()).await?;
        if status.queues.input.in_flight > 0 {
            let (read, at_work) = match reports.take() {
                Some((read, at_work)) if read.elapsed() < REPORTS_EVERY => (read, at_work),
                _ => (Instant::now(), progress::at_work(&cloud).await?),
            };
            status.at_work.clone_from(&at_work);
            reports = Some((read, at_work));
        }
        let clear = if args.watch && on_terminal { CLEAR } else { "" };
        session.ui.data(&status, |status: &Status| {
            format!("{clear}{}", status.text())
        })?;
        if !args.watch {
            return Ok(());
        }
        tokio::time::sleep(EVERY).await;
    }
}

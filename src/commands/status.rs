//! `muck status`.

use std::io::IsTerminal as _;
use std::time::Duration;

use crate::batch::progress::Reports;
use crate::batch::{self, Status};
use crate::error::Result;
use crate::session::Session;
use crate::ui::fitted;

/// How often `--watch` looks again.
const EVERY: Duration = Duration::from_secs(2);
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
    let mut reports = Reports::default();
    loop {
        let status = batch::status(&cloud, args.batch.as_deref(), &mut reports).await?;
        session.ui.data(&status, |status: &Status| {
            if args.watch && on_terminal {
                format!("{CLEAR}{}", fitted(&status.text()))
            } else {
                status.text()
            }
        })?;
        if !args.watch || session.ui.stdout.is_closed() {
            return Ok(());
        }
        tokio::time::sleep(EVERY).await;
    }
}

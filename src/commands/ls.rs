//! `muck ls`: all stacks of the account in the region.

use crate::account::{Overview, overview};
use crate::error::Result;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub struct Args {}

pub async fn run(_: &Args, session: &Session) -> Result<()> {
    let cloud = session.cloud().await?;
    // What is swept need not be shown as running.
    session.sweep_done().await;
    let overview = overview(&cloud).await;
    session.ui.data(&overview, Overview::text)?;
    let unknown = overview
        .unknown
        .iter()
        .chain(overview.stacks.iter().flat_map(|row| &row.unknown));
    for what in unknown {
        session.events.warn(what);
    }
    for row in overview.stacks.iter().filter(|row| row.expired) {
        let command = cloud.of_stack(&row.stack).down_command();
        session.events.note(format!(
            "{} has expired; to delete it: {command}",
            row.stack
        ));
    }
    Ok(())
}

//! `muck ls`: all stacks of the account in the region, or in all.

use futures::stream::{self, StreamExt as _};
use serde_json::json;

use crate::account::{Overview, between, overview, roughly};
use crate::cloud::Cloud;
use crate::commands::run::record::recorded;
use crate::error::Result;
use crate::session::{REGIONS_AT_ONCE, Session};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// In all regions that are enabled for the account
    #[arg(long, conflicts_with = "region")]
    all_regions: bool,
}

pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let cloud = session.cloud().await?;
    // What is swept need not be shown as running.
    session.sweep_done().await;
    if !args.all_regions {
        let overview = overview(&cloud).await;
        session.ui.data(&overview, Overview::text)?;
        return remarks(&cloud, &overview, session);
    }
    let regions = session.all_regions(&cloud).await?;
    let all: Vec<(&Cloud, Overview)> = stream::iter(&regions)
        .map(|cloud| async move { (cloud, overview(cloud).await) })
        .buffered(REGIONS_AT_ONCE)
        .collect()
        .await;
    if session.ui.json {
        let regions: Vec<&Overview> = all.iter().map(|(_, overview)| overview).collect();
        session.ui.json(&json!({ "regions": regions }))?;
    } else {
        session.ui.line(all_text(&all));
    }
    for (cloud, overview) in &all {
        remarks(cloud, overview, session)?;
    }
    Ok(())
}

/// The regions that have stacks.
fn all_text(all: &[(&Cloud, Overview)]) -> String {
    let used: Vec<String> = all
        .iter()
        .filter(|(_, overview)| !overview.stacks.is_empty())
        .map(|(_, overview)| format!("{}:\n{}", overview.region, overview.text()))
        .collect();
    if used.is_empty() {
        return format!("no stacks in {} regions", all.len());
    }
    used.join("\n\n")
}

/// What can't be seen, and what can be done about runs that were cut short and stacks that have expired.
fn remarks(cloud: &Cloud, overview: &Overview, session: &Session) -> Result<()> {
    let unknown = overview
        .unknown
        .iter()
        .chain(overview.stacks.iter().flat_map(|row| &row.unknown));
    for what in unknown {
        session.events.warn(what);
    }
    for run in recorded(cloud)?.iter().filter(|run| !run.is_live) {
        let stack = &run.cloud.names.stack;
        if overview.stacks.iter().any(|row| row.stack == *stack) {
            let ago = roughly(between(run.record.started, overview.taken));
            session.events.note(format!(
                "{stack} is a run, begun {ago} ago, that was cut short; to go on with it: {}",
                cloud.of_stack(stack).command("resume")
            ));
        }
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

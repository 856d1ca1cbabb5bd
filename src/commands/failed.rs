//! `muck failed`: the dead letters.

use crate::batch::failed::{self, Redriven};
use crate::error::Result;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the dead letters: file, reason, how often it was tried, when it was given up
    Ls,
    /// Send dead letters to the input queue again; a verdict that says "failed" is deleted first
    Redrive(RedriveArgs),
}

#[derive(Debug, clap::Args)]
struct RedriveArgs {
    /// Only those whose reason contains this, in any letter case
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let cloud = session.cloud().await?;
    match &args.action {
        Action::Ls => {
            let letters = failed::list(&cloud).await?;
            session.ui.data(&letters, |letters| failed::text(letters))
        }
        Action::Redrive(args) => {
            let reason = args.reason.as_deref();
            if !args.yes {
                let mut letters = failed::list(&cloud).await?;
                letters.retain(|one| failed::is_meant(one, reason));
                if letters.is_empty() {
                    session.events.note("No dead letter is meant");
                    return session.ui.data(&Redriven::default(), Redriven::text);
                }
                let question = format!(
                    "These are sent to the input queue again:\n{}\nSend them?",
                    failed::text(&letters)
                );
                session.ui.confirm(&question).await?;
            }
            let redriven = failed::redrive(&cloud, reason).await?;
            session.ui.data(&redriven, Redriven::text)
        }
    }
}

//! `muck logs`.

use crate::batch::logs::{self, Shown};
use crate::error::Result;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show this instance's log: as it was stored at its end, else its console [default: list all]
    #[arg(value_name = "INSTANCE")]
    instance: Option<String>,
}

pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let cloud = session.cloud().await?;
    match &args.instance {
        None => {
            let logs = logs::list(&cloud).await?;
            session.ui.data(&logs, |logs| logs::text(logs))
        }
        Some(instance) => {
            let shown = logs::show(&cloud, instance).await?;
            session.ui.data(&shown, Shown::text)
        }
    }
}

//! `muck bill`.

use crate::batch::{self, Bill};
use crate::error::Result;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which batch [default: the one last submitted from here]
    #[arg(long, short)]
    batch: Option<String>,
}

pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let cloud = session.cloud().await?;
    let bill = batch::bill(&cloud, args.batch.as_deref()).await?;
    session.ui.data(&bill, Bill::text)
}

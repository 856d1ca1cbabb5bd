//! `muck up`: makes or mends the stack.

use crate::error::Result;
use crate::session::Session;
use crate::stack::apply;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Tell this address when instances start and stop (AWS asks it to confirm once)
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
}

pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let mut cloud = session.cloud().await?;
    if args.email.is_some() {
        cloud.config.email.clone_from(&args.email);
    }
    let up = Box::pin(apply::up(&cloud)).await?;
    if session.ui.json {
        session.ui.json(&up)?;
    }
    Ok(())
}

//! `muck up`: makes or mends the stack.

use jiff::SignedDuration;

use crate::cloud::SHORT_COMMAND;
use crate::config;
use crate::error::Result;
use crate::session::Session;
use crate::stack::apply;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Tell this address when instances start and stop (AWS asks it to confirm once)
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// The stack expires after this long; an earlier `up` may have given it longer [default: from
    /// muck.toml, else 12h]
    #[arg(long, value_name = "TIME", value_parser = config::parse_ttl)]
    ttl: Option<SignedDuration>,
}

pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let mut cloud = session.cloud().await?;
    cloud.require_credentials(SHORT_COMMAND, "`muck up`")?;
    if args.email.is_some() {
        cloud.config.email.clone_from(&args.email);
    }
    cloud.config.override_ttl(args.ttl);
    let up = Box::pin(apply::up(&cloud)).await?;
    if session.ui.json {
        session.ui.json(&up)?;
    }
    Ok(())
}

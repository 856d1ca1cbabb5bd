//! `muck init`: writes a commented `muck.toml`.

use std::io::Write;

use crate::config;
use crate::error::{Error, Result};
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Overwrite a muck.toml that is there
    #[arg(long)]
    force: bool,
}

pub fn run(args: &Args, session: &Session) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true);
    if args.force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let cannot = |error: std::io::Error| {
        let exists = error.kind() == std::io::ErrorKind::AlreadyExists;
        let failure = Error::failed(format!("cannot write {}", config::FILE_NAME)).because(error);
        if exists {
            failure.hint("use --force to overwrite it")
        } else {
            failure
        }
    };
    let mut file = options.open(config::FILE_NAME).map_err(cannot)?;
    file.write_all(config::COMMENTED.as_bytes())
        .map_err(cannot)?;
    session.events.note(format!(
        "wrote {}: every key in it is optional",
        config::FILE_NAME
    ));
    Ok(())
}

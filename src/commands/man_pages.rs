//! `muck man-pages`: a manual page for each subcommand, for packages.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder for the pages, `muck.1`, `muck-run.1` …; created if absent
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// `command`: the whole command line, from its root.
pub fn run(args: &Args, command: clap::Command, session: &Session) -> Result<()> {
    let folder = &args.folder;
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command, folder))
        .map_err(|error| {
            Error::failed(format!(
                "cannot write manual pages into {}",
                folder.display()
            ))
            .because(error)
        })?;
    session
        .events
        .note(format!("wrote manual pages into {}", folder.display()));
    Ok(())
}

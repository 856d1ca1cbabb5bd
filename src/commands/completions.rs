//! `muck completions`: a shell's completion script, on stdout.

use clap_complete::Shell;

use crate::error::{Error, Result};
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// `command`: the whole command line, from its root.
pub fn run(args: &Args, mut command: clap::Command, session: &Session) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "muck", &mut script);
    let script = String::from_utf8(script)
        .map_err(|error| Error::failed("cannot write the completions").because(error))?;
    session.ui.line(script.trim_end());
    Ok(())
}

//! The command line's root: global options and the list of subcommands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::account::sweep::Own;
use crate::commands;
use crate::config::Overrides;
use crate::names::StackName;

/// Converts many videos on AWS, and leaves nothing behind that costs money.
///
/// One command does it all:  muck run VIDEOS -o RESULTS   (add --local to try it without AWS)
#[derive(Debug, Parser)]
#[command(
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(flatten)]
    pub global: GlobalArgs,
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every subcommand takes.
#[derive(Debug, Clone, Args)]
pub struct GlobalArgs {
    /// Use the local cloud on this machine instead of AWS (started if it is not running)
    #[arg(long, global = true, env = "MUCK_LOCAL", value_parser = clap::builder::FalseyValueParser::new())]
    pub local: bool,
    /// Name of the stack [default: from muck.toml, else "muck"]
    #[arg(long, short = 's', global = true, env = "MUCK_STACK")]
    pub stack: Option<StackName>,
    /// AWS region [default: from muck.toml, AWS_REGION or the profile]
    #[arg(long, global = true)]
    pub region: Option<String>,
    /// Settings file [default: muck.toml in this folder, if there]
    #[arg(long, global = true, value_name = "FILE", env = "MUCK_CONFIG")]
    pub config: Option<PathBuf>,
    /// Print data as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Do not look for what has expired beside the command
    #[arg(long, global = true, env = "MUCK_NO_SWEEP", value_parser = clap::builder::FalseyValueParser::new())]
    pub no_sweep: bool,
    /// Say nothing but data, warnings and errors
    #[arg(long, short = 'q', global = true)]
    pub quiet: bool,
}

impl GlobalArgs {
    pub fn overrides(&self) -> Overrides {
        Overrides {
            file: self.config.clone(),
            stack: self.stack.clone(),
            region: self.region.clone(),
        }
    }
}

/// Of commands that may bake.
#[derive(Debug, Clone, Copy, Args)]
pub struct ConsoleArgs {
    /// Show every line of the builder's console, not only its steps; the file with all of it is named either way
    #[arg(long)]
    pub console: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Convert files: everything below in one go, with teardown however it ends
    Run(commands::run::Args),
    /// Go on with a run that was cut short: fetch, convert what is left, tear down
    Resume(commands::resume::Args),
    /// Convert the built-in sample clips on the local cloud
    Demo(commands::demo::Args),
    /// Write a commented muck.toml
    Init(commands::init::Args),
    /// Make or mend the stack: buckets, queues, role
    Up(commands::up::Args),
    /// Show what `up` would do; exit code 3 if anything
    Plan(commands::plan::Args),
    /// Make the image (AMI) that converts, or find it made
    Bake(commands::bake::Args),
    /// The images that were baked: ls, show, prune, copy
    Images(commands::images::Args),
    /// The conversions that there are; one whole with its command line
    Presets(commands::presets::Args),
    /// Store videos and queue one message for each
    Submit(commands::submit::Args),
    /// Start instances that convert until the queue is empty
    Launch(commands::launch::Args),
    /// Show queues, instances, jobs done, throughput and what was spent
    Status(commands::status::Args),
    /// Wait for a batch, fetch its results, print the statistics
    Results(commands::results::Args),
    /// The dead letters, what could not be converted: ls, redrive
    Failed(commands::failed::Args),
    /// The workers' logs: a list, or one instance's
    Logs(commands::logs::Args),
    /// What a batch cost, from what it really used
    Bill(commands::bill::Args),
    /// List all stacks of the account in the region: age, end, what runs, what it costs an hour
    Ls(commands::ls::Args),
    /// Delete the stack and all that is in it, and show what is left
    Down(commands::down::Args),
    /// Print the least IAM policy for whoever runs these commands; asks no cloud
    Permissions(commands::permissions::Args),
    /// The local cloud: serve, status, stop, reset
    Local(commands::local::Args),
    /// Print the completion script of a shell
    Completions(commands::completions::Args),
    /// Write the manual pages into a folder
    ManPages(commands::man_pages::Args),
}

impl Command {
    /// What the command does with the stack that it is given, for the sweep beside it.
    pub fn own_stack(&self) -> Own {
        match self {
            Self::Plan(_)
            | Self::Status(_)
            | Self::Results(_)
            | Self::Bill(_)
            | Self::Ls(_)
            | Self::Logs(_) => Own::LookedAt,
            _ => Own::Changed,
        }
    }

    /// Whether all of a builder's console is printed.
    pub fn shows_console(&self) -> bool {
        match self {
            Self::Run(args) => args.console.console,
            Self::Resume(args) => args.console.console,
            Self::Demo(args) => args.console.console,
            Self::Bake(args) => args.console.console,
            _ => false,
        }
    }

    /// Commands that answer signals by cleaning up, rather than by stopping where they are.
    pub fn tears_down_itself(&self) -> bool {
        matches!(
            self,
            Self::Run(_)
                | Self::Resume(_)
                | Self::Demo(_)
                | Self::Bake(_)
                | Self::Images(_)
                | Self::Local(_)
        )
    }
}

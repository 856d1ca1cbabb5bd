//! `muck`: everything but start-up. Data flows one way:
//!
//! cli → config → inventory → plan → apply → resources → AWS; events flow back to `ui`.
//! Nothing lower imports anything higher.

pub mod account;
pub mod aws;
pub mod batch;
pub mod cli;
pub mod cloud;
pub mod commands;
pub mod config;
pub mod error;
pub mod event;
pub mod folders;
pub mod image;
pub mod interrupt;
pub mod lifetime;
#[cfg(test)]
#[path = "../worker/src/mutation.rs"]
mod mutation;
pub mod names;
pub mod permissions;
pub mod resources;
pub mod session;
pub mod stack;
mod task;
pub mod template;
pub mod ui;
pub mod wait;

use std::sync::Arc;

use clap::CommandFactory as _;
use cli::{Cli, Command};
use error::{Kind, Result};
use event::Events;
use session::Session;
use ui::{DrawOptions, Stdout, Ui};

/// Runs one command line to its end and returns the process's exit code.
pub async fn run(cli: Cli) -> u8 {
    let (events, received) = Events::channel();
    let stdout = Stdout::default();
    let drawing = Ui::draw(
        DrawOptions {
            quiet: cli.global.quiet,
            console: cli.command.shows_console(),
        },
        stdout.clone(),
        received,
    );
    let ui = Ui {
        json: cli.global.json,
        quiet: cli.global.quiet,
        events: events.clone(),
        stdout: stdout.clone(),
        asking: Arc::default(),
    };
    let session = Session {
        own: cli.command.own_stack(),
        global: cli.global,
        ui,
        events,
        sweep: std::sync::Mutex::default(),
        removing: std::sync::Arc::default(),
    };
    let outcome = if cli.command.tears_down_itself() {
        Box::pin(dispatch(&cli.command, &session)).await
    } else {
        until_interrupted(Box::pin(dispatch(&cli.command, &session)), &session.ui).await
    };
    match &outcome {
        // Whoever reads an error need not wait for this.
        Err(error) if matches!(error.kind(), Kind::Interrupted | Kind::Failed | Kind::Usage) => {
            session.sweep_ends();
        }
        _ => session.sweep_done().await,
    }
    // All senders must be gone before the drawing can end.
    drop(session);
    if tokio::time::timeout(std::time::Duration::from_secs(2), drawing)
        .await
        .is_err()
    {
        tracing::debug!("a task still holds the event channel");
    }
    match outcome.and_then(|()| stdout.check()) {
        Ok(()) => 0,
        Err(error) => {
            Ui::error(&error);
            error.kind().exit_code()
        }
    }
}

/// Runs `work` until it ends or a signal comes.
async fn until_interrupted(work: impl Future<Output = Result<()>>, ui: &Ui) -> Result<()> {
    let mut interrupts = interrupt::Interrupts::listen()?;
    tokio::select! {
        outcome = work => outcome,
        () = interrupts.next() => Err(ui.interrupted()),
    }
}

async fn dispatch(command: &Command, session: &Session) -> Result<()> {
    match command {
        Command::Run(args) => Box::pin(commands::run::run(args, session)).await,
        Command::Resume(args) => Box::pin(commands::resume::run(args, session)).await,
        Command::Demo(args) => Box::pin(commands::demo::run(args, session)).await,
        Command::Init(args) => commands::init::run(args, session),
        Command::Up(args) => commands::up::run(args, session).await,
        Command::Plan(args) => commands::plan::run(args, session).await,
        Command::Ls(args) => Box::pin(commands::ls::run(args, session)).await,
        Command::Down(args) => commands::down::run(args, session).await,
        Command::Bake(args) => Box::pin(commands::bake::run(args, session)).await,
        Command::Images(args) => Box::pin(commands::images::run(args, session)).await,
        Command::Launch(args) => Box::pin(commands::launch::run(args, session)).await,
        Command::Local(args) => commands::local::run(args, session).await,
        Command::Submit(args) => commands::submit::run(args, session).await,
        Command::Results(args) => commands::results::run(args, session).await,
        Command::Status(args) => commands::status::run(args, session).await,
        Command::Failed(args) => commands::failed::run(args, session).await,
        Command::Logs(args) => commands::logs::run(args, session).await,
        Command::Presets(args) => commands::presets::run(args, session),
        Command::Bill(args) => commands::bill::run(args, session).await,
        Command::Permissions(args) => commands::permissions::run(args, session),
        Command::Completions(args) => commands::completions::run(args, Cli::command(), session),
        Command::ManPages(args) => commands::man_pages::run(args, Cli::command(), session),
    }
}

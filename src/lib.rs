//! `muck`: everything but start-up. Data flows one way:
//!
//! cli → config → inventory → plan → apply → resources → AWS; events flow back to `ui`.
//! Nothing lower imports anything higher.

pub mod aws;
pub mod batch;
pub mod cli;
pub mod cloud;
pub mod commands;
pub mod config;
pub mod error;
pub mod event;
pub mod image;
pub mod names;
pub mod resources;
pub mod session;
pub mod stack;
pub mod template;
pub mod ui;
pub mod wait;

use cli::{Cli, Command};
use error::Result;
use event::Events;
use session::Session;
use ui::Ui;

/// Runs one command line to its end and returns the process's exit code.
pub async fn run(cli: Cli) -> u8 {
    let ui = Ui {
        json: cli.global.json,
        quiet: cli.global.quiet,
    };
    let (events, received) = Events::channel();
    let drawing = ui.draw(received);
    let session = Session {
        global: cli.global,
        ui,
        events,
    };
    let outcome = dispatch(&cli.command, &session).await;
    // All senders must be gone before the drawing can end.
    drop(session);
    if tokio::time::timeout(std::time::Duration::from_secs(2), drawing)
        .await
        .is_err()
    {
        tracing::debug!("a task still holds the event channel");
    }
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            ui.error(&error);
            error.kind().exit_code()
        }
    }
}

async fn dispatch(command: &Command, session: &Session) -> Result<()> {
    match command {
        Command::Init(args) => commands::init::run(args, session),
        Command::Submit(args) => commands::submit::run(args, session).await,
    }
}

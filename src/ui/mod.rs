//! The only printer. stdout is data, stderr is for people; bars only on a terminal.

mod batch_bars;
mod echo;
#[cfg(test)]
mod fake_terminal;
mod format;
mod output;
mod screen;

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use muck_worker::text::{is_active, printable};
use serde::Serialize;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::error::{Error, Kind};
use crate::event::{Event, Events};
use crate::interrupt::Interrupts;
pub use format::{seconds, speed};
pub use output::Stdout;
use output::stderr_line;
use screen::Screen;

/// How to print.
#[derive(Debug, Clone)]
pub struct Ui {
    /// `--json`: data is one JSON document on stdout.
    pub json: bool,
    /// `--quiet`: errors, warnings and data only.
    pub quiet: bool,
    /// Data goes through the same channel as events, so that a terminal shows both in order.
    pub events: Events,
    pub stdout: Stdout,
    /// A question waits for its answer.
    pub asking: Arc<AtomicBool>,
}

/// What [`Ui::draw`] leaves out and adds.
#[derive(Debug, Clone, Copy, Default)]
pub struct DrawOptions {
    /// `--quiet`: warnings and data only.
    pub quiet: bool,
    /// `--console`: every line of a builder's console, not only the last one where stderr is a terminal.
    pub console: bool,
}

impl Ui {
    /// Prints data: one line of text.
    pub fn line(&self, text: impl AsRef<str>) {
        self.events.emit(Event::Data(text.as_ref().to_owned()));
    }

    /// Prints data as JSON, indented where a person reads it.
    pub fn json(&self, value: &impl Serialize) -> Result<(), Error> {
        let text = if std::io::stdout().is_terminal() {
            serde_json::to_string_pretty(value)
        } else {
            serde_json::to_string(value)
        }
        .map_err(|error| Error::failed("cannot write JSON").because(error))?;
        self.line(json_printable(&text));
        Ok(())
    }

    /// Prints data in the form asked for: `value` as JSON, or what `text` makes of it.
    pub fn data<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Error> {
        if self.json {
            return self.json(value);
        }
        self.line(text(value));
        Ok(())
    }

    /// Whether bars are drawn. Asking the workers how far each file is costs requests: callers skip that where this is
    /// false.
    pub fn draws_bars(&self) -> bool {
        !self.quiet && std::io::stderr().is_terminal()
    }

    /// Whether there is a terminal to ask on.
    pub fn can_ask(&self) -> bool {
        std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// Asks for leave to do something on the terminal.
    ///
    /// # Errors
    /// Kind `Usage` where there is no terminal to ask on; kind `Failed` if the answer is not yes; kind `Interrupted` at a
    /// signal.
    pub async fn confirm(&self, question: &str) -> Result<(), Error> {
        if !self.can_ask() {
            return Err(
                Error::usage(format!("{question} There is no terminal to ask on"))
                    .hint("add --yes to do it without asking"),
            );
        }
        if self.answer(question, "[y/N]").await? == Some(true) {
            return Ok(());
        }
        Err(Error::failed("not confirmed: nothing was done"))
    }

    /// Asks a question whose usual answer is yes on the terminal, which must be there.
    ///
    /// # Errors
    /// Kind `Interrupted` at a signal.
    pub async fn ask(&self, question: &str) -> Result<bool, Error> {
        Ok(self.answer(question, "[Y/n]").await?.unwrap_or(true))
    }

    /// Yes or no; `None` for an empty line. Everything else is asked again.
    async fn answer(&self, question: &str, choices: &str) -> Result<Option<bool>, Error> {
        self.events.drawn().await;
        let mut interrupts = Interrupts::listen()?;
        self.asking.store(true, Ordering::Relaxed);
        let answer = loop {
            // A terminal that is gone can't answer either.
            let _ = write!(
                std::io::stderr(),
                "{} {choices} ",
                multi_line_printable(question)
            );
            let line = tokio::select! {
                line = read_line() => line?,
                () = interrupts.next() => return Err(self.interrupted()),
            };
            if line.is_empty() {
                // The end of the input (Ctrl-D), which agrees to nothing.
                stderr_line("");
                return Err(Error::failed("no answer: nothing was done"));
            }
            match line.trim().to_lowercase().as_str() {
                "y" | "yes" => break Some(true),
                "n" | "no" => break Some(false),
                "" => break None,
                _ => {}
            }
        };
        self.asking.store(false, Ordering::Relaxed);
        Ok(answer)
    }

    /// What a command that was interrupted ends with, whichever part of it sees the signal first.
    pub fn interrupted(&self) -> Error {
        if self.asking.load(Ordering::Relaxed) {
            // The question's line has no end yet.
            stderr_line("");
            return Error::new(Kind::Interrupted, "interrupted: nothing was done");
        }
        Error::new(Kind::Interrupted, "interrupted")
            .hint("the same command again goes on from here; `muck down` removes what there is")
    }

    /// Prints an error with its causes and hints to stderr.
    pub fn error(error: &Error) {
        stderr_line(&format!("muck: {}", multi_line_printable(&error.chain())));
        for hint in error.hints() {
            stderr_line(&format!("  → {}", multi_line_printable(hint)));
        }
    }

    /// Draws events until all senders are gone.
    pub fn draw(
        options: DrawOptions,
        stdout: Stdout,
        mut events: UnboundedReceiver<Event>,
    ) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut screen = Screen::new(options, stdout);
            while let Some(event) = events.recv().await {
                screen.show(event);
            }
            screen.finish();
        })
    }
}

/// The next line of stdin; empty at its end. It is read on a thread of its own, which nobody waits for: a read from a
/// terminal can't be broken off.
async fn read_line() -> Result<String, Error> {
    let (give, take) = oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = std::io::stdin().read_line(&mut line).map(|_| line);
        // The question may have been given up.
        let _ = give.send(read);
    });
    let cannot = || Error::failed("cannot read the answer");
    take.await
        .map_err(|error| cannot().because(error))?
        .map_err(|error| cannot().because(error))
}

/// Lines as a terminal of this size shows them without folding or scrolling: cut at the right, and in the middle where they
/// are too many.
pub fn fitted(text: &str) -> String {
    let (rows, columns) = console::Term::stdout().size();
    format::fitted(text, rows.into(), columns.into())
}

fn multi_line_printable(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

/// The same JSON with what acts on a terminal escaped: JSON itself lets all pass but the controls below U+0020.
fn json_printable(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if is_active(c) && c != '\n' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String can't fail.
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_holds_nothing_that_acts_on_a_terminal() {
        let text = "a\u{9b}2J\u{202e}\u{e0041}\u{7f}é";
        let json = json_printable(&serde_json::to_string_pretty(&[text]).expect("writes"));
        assert_eq!(json, "[\n  \"a\\u009b2J\\u202e\\udb40\\udc41\\u007fé\"\n]");
        let back: Vec<String> = serde_json::from_str(&json).expect("reads");
        assert_eq!(back, [text]);
    }
}

//! The only printer. stdout is data, stderr is talk; bars only on a terminal.
#![allow(clippy::print_stdout, clippy::print_stderr)] // the one owner of both

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use muck_worker::text::{is_active, printable, printable_short};
use serde::Serialize;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;

use crate::error::Error;
use crate::event::{BatchProgress, Event, Events, Outcome, TransferProgress};

/// Characters of a name or a reason that somebody else wrote, in one line: a file system's longest name has 255.
const FOREIGN_MAX: usize = 300;

/// How to print.
#[derive(Debug, Clone)]
pub struct Ui {
    /// `--json`: data is one JSON document on stdout.
    pub json: bool,
    /// `--quiet`: errors, warnings and data only.
    pub quiet: bool,
    /// Data goes through the same channel as talk, so that a terminal shows both in order.
    pub events: Events,
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

    /// Asks a yes/no question on the terminal.
    ///
    /// # Errors
    /// Kind `Usage` where there is no terminal to ask on; kind `Failed` if the answer is not yes.
    pub async fn confirm(&self, question: &str) -> Result<(), Error> {
        if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            return Err(
                Error::usage(format!("{question} There is no terminal to ask on"))
                    .hint("add --yes to do it without asking"),
            );
        }
        self.events.drawn().await;
        eprint!("{} [y/N] ", multi_line_printable(question));
        let mut answer = String::new();
        std::io::stdin()
            .read_line(&mut answer)
            .map_err(|error| Error::failed("cannot read the answer").because(error))?;
        if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
            return Ok(());
        }
        Err(Error::failed("not confirmed: nothing was done"))
    }

    /// Prints an error with its causes and hints to stderr.
    pub fn error(error: &Error) {
        eprintln!("muck: {}", multi_line_printable(&error.chain()));
        for hint in error.hints() {
            eprintln!("  → {}", multi_line_printable(hint));
        }
    }

    /// Draws events until all senders are gone.
    pub fn draw(quiet: bool, mut events: UnboundedReceiver<Event>) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut screen = Screen::new(quiet);
            while let Some(event) = events.recv().await {
                screen.show(event);
            }
            screen.finish();
        })
    }
}

/// A closed pipe (`muck ls | head`) is the reader's right, not our failure.
fn write_stdout(text: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
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

/// What is on the terminal: lines that stay, and at most one bar below them.
struct Screen {
    quiet: bool,
    bar: Option<Bar>,
    terminal: bool,
    /// Waits told where there is no terminal; each is told once.
    waits_told: HashSet<String>,
}

struct Bar {
    kind: BarKind,
    bar: ProgressBar,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum BarKind {
    Step,
    Deletion,
    Upload,
    Download,
    Batch,
}

impl Screen {
    fn new(quiet: bool) -> Self {
        Self {
            quiet,
            bar: None,
            terminal: std::io::stderr().is_terminal(),
            waits_told: HashSet::new(),
        }
    }

    fn show(&mut self, event: Event) {
        if self.quiet
            && !matches!(
                event,
                Event::Warning(_) | Event::Data(_) | Event::Barrier(_)
            )
        {
            return;
        }
        match event {
            Event::Resource {
                kind,
                name,
                outcome,
                detail,
            } => {
                let outcome = match outcome {
                    Outcome::Created => "created",
                    Outcome::Kept => "kept",
                    Outcome::Changed => "changed",
                    Outcome::Deleted => "deleted",
                };
                let detail = detail
                    .map(|detail| format!("  ({detail})"))
                    .unwrap_or_default();
                self.say(&format!("  {outcome:<8} {kind:<17} {name}{detail}"));
            }
            Event::StepStarted { step } => self.step_started(&step),
            Event::StepDone { step, elapsed } => {
                self.drop_bar(BarKind::Step);
                self.say(&format!("  {step}  {}", seconds(elapsed)));
            }
            Event::Waiting { what, last_seen } => self.waiting(&what, &last_seen),
            Event::Console { instance, line } => {
                self.say(&format!(
                    "  {} | {}",
                    printable(&instance),
                    printable(&line)
                ));
            }
            Event::Skipped { path, reason } => {
                self.say(&format!(
                    "  skipped {}: {}",
                    printable(&path),
                    printable(&reason)
                ));
            }
            Event::Deletion(progress) => self.deletion(progress),
            Event::Upload(progress) => self.transfer(BarKind::Upload, "uploading", progress),
            Event::Download(progress) => self.transfer(BarKind::Download, "fetching", progress),
            Event::Batch(progress) => self.batch(&progress),
            Event::Result {
                file,
                seconds,
                failure,
            } => {
                let file = printable_short(&file, FOREIGN_MAX);
                self.say(&match failure {
                    None => format!("  converted {file}  {seconds:.1} s"),
                    Some(reason) => {
                        format!(
                            "  FAILED    {file}: {}",
                            printable_short(&reason, FOREIGN_MAX)
                        )
                    }
                });
            }
            Event::Note(text) => self.say(&multi_line_printable(&text)),
            Event::Data(text) => match &self.bar {
                Some(bar) => bar.bar.suspend(|| write_stdout(&text)),
                None => write_stdout(&text),
            },
            Event::Barrier(barrier) => barrier.notify_one(),
            Event::Warning(text) => self.say(&format!("warning: {}", multi_line_printable(&text))),
        }
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    fn step_started(&mut self, step: &str) {
        let bar = self.bar(BarKind::Step, "  {spinner} {msg} {elapsed}");
        if let Some(bar) = bar {
            bar.set_message(printable(step));
            bar.enable_steady_tick(Duration::from_millis(120));
        }
    }

    fn waiting(&mut self, what: &str, last_seen: &str) {
        let text = format!("waiting for {}: {}", printable(what), printable(last_seen));
        if let Some(bar) = self.bar(BarKind::Step, "  {spinner} {msg} {elapsed}") {
            bar.set_message(text);
        } else if !self.waits_told.contains(&text) {
            self.say(&format!("  {text}"));
            self.waits_told.insert(text);
        }
    }

    fn deletion(&mut self, progress: Option<(u64, Option<u64>)>) {
        let Some((done, total)) = progress else {
            self.drop_bar(BarKind::Deletion);
            return;
        };
        let template = match total {
            Some(_) => "  deleting [{bar:24}] {pos}/{len} objects  {per_sec}  ETA {eta}",
            None => "  {spinner} deleting: {pos} objects so far  {per_sec}",
        };
        if let Some(bar) = self.bar(BarKind::Deletion, template) {
            if let Some(total) = total {
                // More may have come since they were counted.
                bar.set_length(total.max(done));
            }
            bar.set_position(done);
        }
    }

    fn transfer(&mut self, kind: BarKind, verb: &str, progress: TransferProgress) {
        let template = "  {msg} [{bar:24}] {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  ETA {eta}";
        if let Some(bar) = self.bar(kind, template) {
            bar.set_length(progress.bytes_total);
            bar.set_position(progress.bytes_done);
            bar.set_message(format!(
                "{verb} {}/{} files",
                progress.files_done, progress.files_total
            ));
        }
        if progress.files_done == progress.files_total {
            self.drop_bar(kind);
        }
    }

    fn batch(&mut self, progress: &BatchProgress) {
        if let Some(bar) = self.bar(BarKind::Batch, "  converting [{bar:24}] {pos}/{len}  {msg}") {
            bar.set_length(progress.jobs_total);
            bar.set_position(progress.jobs_done + progress.jobs_failed);
            let eta = progress
                .eta
                .map(|eta| format!("  ETA {}", seconds(eta)))
                .unwrap_or_default();
            let failed = match progress.jobs_failed {
                0 => String::new(),
                count => format!("  {count} failed"),
            };
            bar.set_message(format!(
                "{} waiting, {} in work, {} instances{failed}{eta}",
                progress.visible, progress.in_flight, progress.instances_running
            ));
        }
        if progress.jobs_done + progress.jobs_failed == progress.jobs_total {
            self.drop_bar(BarKind::Batch);
        }
    }

    /// The bar of this kind, made if needed; `None` where stderr is no terminal.
    fn bar(&mut self, kind: BarKind, template: &str) -> Option<&ProgressBar> {
        if !self.terminal || self.quiet {
            return None;
        }
        if self.bar.as_ref().is_none_or(|bar| bar.kind != kind) {
            self.finish();
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            // A template that does not parse falls back to indicatif's own style.
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("=> "));
            }
            self.bar = Some(Bar { kind, bar });
        }
        self.bar.as_ref().map(|bar| &bar.bar)
    }

    fn drop_bar(&mut self, kind: BarKind) {
        if self.bar.as_ref().is_some_and(|bar| bar.kind == kind) {
            self.finish();
        }
    }

    fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.bar.finish_and_clear();
        }
    }
}

/// `0.3 s`, `42 s`, `3 min 20 s`, `2 h 05 min`.
pub fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    match whole {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
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

    #[test]
    fn durations_read_well() {
        let shown = [0.25, 42.0, 200.0, 7500.0].map(|s| seconds(Duration::from_secs_f64(s)));
        assert_eq!(shown, ["0.2 s", "42 s", "3 min 20 s", "2 h 05 min"]);
    }
}

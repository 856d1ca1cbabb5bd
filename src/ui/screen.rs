//! Draws events on stderr: lines that stay, and on a terminal the bars below them.

use std::collections::HashSet;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};
use muck_worker::text::{printable, printable_short};

use super::batch_bars::{BatchBars, style};
use super::format::seconds;
use super::{DrawOptions, multi_line_printable, write_stdout};
use crate::event::{BatchProgress, Event, Outcome, TransferProgress};

/// Characters of an untrusted name or reason in one line: a file system's longest name has 255.
const UNTRUSTED_MAX: usize = 300;
/// Columns of a step's name, so that the times stand below each other.
const STEP_WIDTH: usize = 28;
/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(120);

/// Bars that are there at most once each.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BarKind {
    Step,
    /// The last line of a builder's console, below its step.
    Console,
    Deletion,
    Upload,
    Download,
}

pub(super) struct Screen {
    options: DrawOptions,
    /// `None` where stderr is no terminal, or with `--quiet`.
    multi: Option<MultiProgress>,
    bars: Vec<(BarKind, ProgressBar)>,
    batch: Option<BatchBars>,
    /// Waits printed where there is no terminal; each is printed once.
    waits_printed: HashSet<String>,
}

impl Screen {
    pub(super) fn new(options: DrawOptions) -> Self {
        let terminal = std::io::stderr().is_terminal() && !options.quiet;
        Self {
            options,
            multi: terminal.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr())),
            bars: Vec::new(),
            batch: None,
            waits_printed: HashSet::new(),
        }
    }

    pub(super) fn show(&mut self, event: Event) {
        if self.options.quiet
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
                self.drop_bar(BarKind::Console);
                self.drop_bar(BarKind::Step);
                let step = printable(&step);
                self.say(&format!("  {step:<STEP_WIDTH$}  {:>9}", seconds(elapsed)));
            }
            Event::Waiting { what, last_seen } => self.waiting(&what, &last_seen),
            Event::Console { instance, line } => self.console(&instance, &line),
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
                let file = printable_short(&file, UNTRUSTED_MAX);
                self.say(&match failure {
                    None => format!("  converted {file}  {seconds:.1} s"),
                    Some(reason) => {
                        format!(
                            "  FAILED    {file}: {}",
                            printable_short(&reason, UNTRUSTED_MAX)
                        )
                    }
                });
            }
            Event::Note(text) => self.say(&multi_line_printable(&text)),
            Event::Data(text) => self.above_bars(|| write_stdout(&text)),
            Event::Barrier(barrier) => {
                // A question may follow: nothing must draw over it.
                self.finish();
                barrier.notify_one();
            }
            Event::Warning(text) => self.say(&format!("warning: {}", multi_line_printable(&text))),
        }
    }

    /// Prints a line above the bars.
    fn say(&self, text: &str) {
        self.above_bars(|| eprintln!("{text}"));
    }

    fn above_bars(&self, print: impl FnOnce()) {
        match &self.multi {
            Some(multi) => multi.suspend(print),
            None => print(),
        }
    }

    fn step_started(&mut self, step: &str) {
        let step = printable(step);
        if let Some(bar) = self.bar(BarKind::Step, "  {msg}  {spinner} {elapsed}") {
            bar.reset_elapsed();
            bar.set_message(format!("{step:<STEP_WIDTH$}"));
            bar.enable_steady_tick(TICK);
        }
    }

    fn waiting(&mut self, what: &str, last_seen: &str) {
        let text = format!("waiting for {}: {}", printable(what), printable(last_seen));
        if let Some(bar) = self.bar(BarKind::Step, "  {msg}  {spinner} {elapsed}") {
            bar.set_message(text);
            bar.enable_steady_tick(TICK);
        } else if !self.waits_printed.contains(&text) {
            self.say(&format!("  {text}"));
            self.waits_printed.insert(text);
        }
    }

    fn console(&mut self, instance: &str, line: &str) {
        let line = printable(line);
        if self.options.console {
            self.say(&format!("  {} | {line}", printable(instance)));
        } else if let Some(bar) = self.bar(BarKind::Console, "    {wide_msg:.dim}") {
            bar.set_message(line);
        }
    }

    fn deletion(&mut self, progress: Option<(u64, Option<u64>)>) {
        let Some((done, total)) = progress else {
            self.drop_bar(BarKind::Deletion);
            return;
        };
        let template = match total {
            Some(_) => "  deleting [{wide_bar}] {pos}/{len} objects  {per_sec}  ETA {eta}",
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
        let template = "  {msg} [{wide_bar}] {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  ETA {eta}";
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
        let Some(multi) = &self.multi else {
            return;
        };
        if progress.jobs_done + progress.jobs_failed == progress.jobs_total {
            self.batch = None;
            return;
        }
        // Asked each time: people resize their terminals.
        let (rows, columns) = console::Term::stderr().size();
        self.batch
            .get_or_insert_with(|| BatchBars::new(multi))
            .show(progress, rows, columns);
    }

    /// The bar of this kind, added if absent; `None` where no bars are drawn.
    fn bar(&mut self, kind: BarKind, template: &str) -> Option<&ProgressBar> {
        let multi = self.multi.as_ref()?;
        let known = self.bars.iter().position(|(its, _)| *its == kind);
        let index = known.unwrap_or(self.bars.len());
        if known.is_none() {
            let bar = ProgressBar::hidden().with_style(style(template));
            self.bars.push((kind, multi.add(bar)));
        }
        Some(&self.bars[index].1)
    }

    fn drop_bar(&mut self, kind: BarKind) {
        if let Some(index) = self.bars.iter().position(|(its, _)| *its == kind) {
            self.remove(index);
        }
    }

    fn remove(&mut self, index: usize) {
        let (_, bar) = self.bars.remove(index);
        bar.finish_and_clear();
        if let Some(multi) = &self.multi {
            multi.remove(&bar);
        }
    }

    /// Takes all bars away.
    pub(super) fn finish(&mut self) {
        self.batch = None;
        while !self.bars.is_empty() {
            self.remove(0);
        }
    }
}

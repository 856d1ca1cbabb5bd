//! Draws events on stderr: lines that stay, and on a terminal the bars below them.

use std::collections::HashSet;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};
use muck_worker::text::{printable, printable_short, quantity};

use super::batch_bars::{BAR_COLUMNS, BatchBars, style};
use super::echo::QuietControls;
use super::format::seconds;
use super::output::{Stdout, stderr_line};
use super::{DrawOptions, multi_line_printable};
use crate::event::{BatchProgress, Event, Outcome, StepEnd, TransferProgress};

/// Characters of an untrusted name or reason in one line: a file system's longest name has 255.
const UNTRUSTED_MAX: usize = 300;
/// Columns of a step's name, so that the times stand below each other.
const STEP_WIDTH: usize = 28;
/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(120);

// Each fits one line of any width: a bar that a wider terminal unfolds would be taken off with lines above it.
const STEP: &str = "  {spinner} {elapsed:>4}  {wide_msg}";
const CONSOLE: &str = "    {wide_msg:.dim}";
const DELETION: &str = "  deleting [{wide_bar}] {pos}/{len} objects  {per_sec}  ETA {eta}";
const DELETION_NARROW: &str = "  {spinner} {wide_msg}";
const TRANSFER: &str =
    "  {msg} [{wide_bar}] {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  ETA {eta}";
const TRANSFER_NARROW: &str = "  {percent:>3} %  {wide_msg}";

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
    stdout: Stdout,
    /// `None` where stderr is no terminal, or with `--quiet`.
    multi: Option<MultiProgress>,
    bars: Vec<(BarKind, ProgressBar)>,
    batch: Option<BatchBars>,
    /// Waits printed where there is no terminal; each is printed once.
    waits_printed: HashSet<String>,
    /// While there are bars.
    controls: Option<QuietControls>,
}

impl Screen {
    pub(super) fn new(options: DrawOptions, stdout: Stdout) -> Self {
        let terminal = std::io::stderr().is_terminal() && !options.quiet;
        Self {
            options,
            stdout,
            multi: terminal.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr())),
            bars: Vec::new(),
            batch: None,
            waits_printed: HashSet::new(),
            controls: None,
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
            Event::StepEnded { step, elapsed, end } => {
                self.drop_bar(BarKind::Console);
                self.drop_bar(BarKind::Step);
                let how = match end {
                    StepEnd::Done => "",
                    StepEnd::Failed => "  failed",
                    StepEnd::Interrupted => "  interrupted",
                };
                let (step, time) = (printable(&step), seconds(elapsed));
                self.say(&format!("  {step:<STEP_WIDTH$}  {time:>9}{how}"));
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
            Event::Batch(progress) => self.batch(progress.as_ref()),
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
            Event::Data(text) => self.above_bars(|| self.stdout.line(&text)),
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
        self.above_bars(|| stderr_line(text));
    }

    fn above_bars(&self, print: impl FnOnce()) {
        match &self.multi {
            Some(multi) => multi.suspend(print),
            None => print(),
        }
    }

    fn step_started(&mut self, step: &str) {
        let step = printable(step);
        if let Some(bar) = self.bar(BarKind::Step, STEP) {
            bar.reset();
            bar.set_message(step);
            bar.enable_steady_tick(TICK);
        }
    }

    fn waiting(&mut self, what: &str, last_seen: &str) {
        let text = format!("waiting for {}: {}", printable(what), printable(last_seen));
        if let Some(bar) = self.bar(BarKind::Step, STEP) {
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
        } else if let Some(bar) = self.bar(BarKind::Console, CONSOLE) {
            bar.set_message(line);
        }
    }

    fn deletion(&mut self, progress: Option<(u64, Option<u64>)>) {
        let Some((done, total)) = progress else {
            self.drop_bar(BarKind::Deletion);
            return;
        };
        let template = match total {
            Some(_) if !is_narrow() => DELETION,
            _ => DELETION_NARROW,
        };
        if let Some(bar) = self.bar(BarKind::Deletion, template) {
            bar.set_message(format!("deleting: {} so far", quantity(done, "object")));
            if let Some(total) = total {
                // More may have come since they were counted.
                bar.set_length(total.max(done));
            }
            bar.set_position(done);
        }
    }

    fn transfer(&mut self, kind: BarKind, verb: &str, progress: TransferProgress) {
        let template = if is_narrow() {
            TRANSFER_NARROW
        } else {
            TRANSFER
        };
        if let Some(bar) = self.bar(kind, template) {
            bar.set_length(progress.bytes_total);
            bar.set_position(progress.bytes_done);
            bar.set_message(format!(
                "{verb} {}/{}",
                progress.files_done,
                quantity(progress.files_total, "file")
            ));
        }
        if progress.files_done == progress.files_total {
            self.drop_bar(kind);
        }
    }

    fn batch(&mut self, progress: Option<&BatchProgress>) {
        let (Some(multi), Some(progress)) = (&self.multi, progress) else {
            self.batch = None;
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
        self.controls = self.controls.take().or_else(QuietControls::begin);
    }

    /// The bar of this kind, added if absent; `None` where no bars are drawn.
    fn bar(&mut self, kind: BarKind, template: &str) -> Option<&ProgressBar> {
        let multi = self.multi.as_ref()?;
        // A style of its own each time: the terminal may have been resized.
        let known = self.bars.iter().position(|(its, _)| *its == kind);
        let index = known.unwrap_or(self.bars.len());
        if known.is_none() {
            self.bars.push((kind, multi.add(ProgressBar::hidden())));
            self.controls = self.controls.take().or_else(QuietControls::begin);
        }
        self.bars[index].1.set_style(style(template));
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
        self.controls = None;
    }
}

/// Whether the terminal has no room for bars with figures now.
fn is_narrow() -> bool {
    console::Term::stderr().size().1 < BAR_COLUMNS
}

//! The bars of a batch that is being converted: one for the batch, one for each file in work.

use std::time::Duration;

use console::measure_text_width;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use muck_worker::text::{printable, printable_short, quantity};

use super::format::{seconds, speed};
use crate::event::{BatchProgress, FileProgress};

/// Files in work that get a bar of their own where the terminal is high enough.
const MAX_FILES: usize = 12;
/// Lines of the terminal that are left to what scrolls above the bars, and to the batch's own two.
const OTHER_LINES: u16 = 8;
/// Columns of a file's name; the bar and its figures take the rest of 80.
const NAME_COLUMNS: usize = 26;
/// On narrower terminals there is no room for bars: figures alone.
pub(super) const BAR_COLUMNS: u16 = 70;
/// Positions of a file's bar: whole percents.
const PERCENTS: u64 = 100;
/// Positions of the batch's bar: a file in work counts in part, so these are thousandths of the whole.
const THOUSANDTHS: u32 = 1000;

const BATCH: &str = "  converting [{wide_bar}] {msg}";
const BATCH_NARROW: &str = "  {wide_msg}";
const COUNTS: &str = "             {wide_msg}";
const COUNTS_NARROW: &str = "  {wide_msg}";
const FILE: &str = "    {prefix:26!} [{wide_bar}] {msg:31}";
const FILE_NARROW: &str = "    {prefix:12!} {wide_msg}";
const MORE: &str = "    {wide_msg}";

/// Bars below the lines of `multi`. Dropped, they leave the terminal.
pub(super) struct BatchBars {
    multi: MultiProgress,
    batch: ProgressBar,
    counts: ProgressBar,
    files: Vec<ProgressBar>,
    /// `… and 3 more in work`.
    more: Option<ProgressBar>,
}

impl BatchBars {
    pub(super) fn new(multi: &MultiProgress) -> Self {
        let batch = multi.add(bar(THOUSANDTHS.into(), BATCH));
        let counts = multi.add(bar(1, COUNTS));
        Self {
            multi: multi.clone(),
            batch,
            counts,
            files: Vec::new(),
            more: None,
        }
    }

    /// Draws `progress` on a terminal that is now of this size.
    pub(super) fn show(&mut self, progress: &BatchProgress, rows: u16, columns: u16) {
        let (batch_template, counts_template, file_template) = if columns < BAR_COLUMNS {
            (BATCH_NARROW, COUNTS_NARROW, FILE_NARROW)
        } else {
            (BATCH, COUNTS, FILE)
        };
        self.batch.set_style(style(batch_template));
        self.counts.set_style(style(counts_template));
        let done = progress.jobs_done + progress.jobs_failed;
        let fraction = progress.fraction.clamp(0.0, 1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to 0 to 1"
        )]
        self.batch
            .set_position((fraction * f64::from(THOUSANDTHS)) as u64);
        self.batch.set_message(format!(
            "{done}/{}  {:>3.0} %{}",
            progress.jobs_total,
            // Not rounded up to 100 % while something is left.
            (fraction * 100.0).floor(),
            eta(progress.eta)
        ));
        self.counts.set_message(counts(progress));
        let room = usize::from(rows.saturating_sub(OTHER_LINES)).clamp(1, MAX_FILES);
        let shown = &progress.at_work[..progress.at_work.len().min(room)];
        while self.files.len() > shown.len() {
            if let Some(bar) = self.files.pop() {
                bar.finish_and_clear();
                self.multi.remove(&bar);
            }
        }
        while self.files.len() < shown.len() {
            let last = self.files.last().unwrap_or(&self.counts);
            let bar = self.multi.insert_after(last, bar(PERCENTS, FILE));
            self.files.push(bar);
        }
        for (bar, file) in self.files.iter().zip(shown) {
            bar.set_style(style(file_template));
            bar.set_prefix(shortened(&file.file, NAME_COLUMNS));
            bar.set_position(file.percent.unwrap_or(0).min(100).into());
            bar.set_message(file_text(file));
        }
        self.show_more(progress.at_work.len() - shown.len());
    }

    fn show_more(&mut self, count: usize) {
        if count == 0 {
            if let Some(more) = self.more.take() {
                more.finish_and_clear();
                self.multi.remove(&more);
            }
            return;
        }
        let more = self
            .more
            .get_or_insert_with(|| self.multi.add(bar(1, MORE)));
        more.set_message(format!("… and {count} more in work"));
    }
}

impl Drop for BatchBars {
    fn drop(&mut self) {
        let bars = [&self.batch, &self.counts]
            .into_iter()
            .chain(&self.files)
            .chain(&self.more);
        for bar in bars {
            bar.finish_and_clear();
            self.multi.remove(bar);
        }
    }
}

fn bar(length: u64, template: &str) -> ProgressBar {
    ProgressBar::with_draw_target(Some(length), indicatif::ProgressDrawTarget::hidden())
        .with_style(style(template))
}

/// A template that can't be parsed falls back to indicatif's own style; the tests draw each of ours.
pub(super) fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

/// An untrusted name, escaped and cut to that many columns, never within an escape.
fn shortened(name: &str, columns: usize) -> String {
    let mut text = String::new();
    for c in name.chars() {
        let piece = printable(c.encode_utf8(&mut [0; 4]));
        if measure_text_width(&text) + measure_text_width(&piece) > columns - 1 {
            return text + "…";
        }
        text.push_str(&piece);
    }
    text
}

fn eta(eta: Option<Duration>) -> String {
    eta.map(|eta| format!("  ETA {}", seconds(eta)))
        .unwrap_or_default()
}

/// `4 waiting, 3 in work, 2 instances, 1 failed`.
fn counts(progress: &BatchProgress) -> String {
    let mut parts = vec![
        format!("{} waiting", progress.visible),
        format!("{} in work", progress.in_flight),
        quantity(progress.instances_running, "instance"),
    ];
    if progress.jobs_failed > 0 {
        parts.push(format!("{} failed", progress.jobs_failed));
    }
    parts.join(", ")
}

/// `converting  42 %  1.9×  ETA 31 s`, or the stage alone where nothing is measured.
fn file_text(file: &FileProgress) -> String {
    let mut text = printable_short(&file.stage, 10);
    if let Some(percent) = file.percent {
        text = format!("{:>3} %", percent.min(100));
    }
    if let Some(value) = file.speed {
        text = format!("{text}  {}", speed(value));
    }
    text + &eta(file.eta)
}

#[cfg(test)]
mod tests {
    use indicatif::ProgressDrawTarget;

    use super::super::fake_terminal::FakeTerminal;
    use super::*;

    fn file(name: &str, percent: Option<u32>) -> FileProgress {
        FileProgress {
            file: name.to_owned(),
            stage: if percent.is_some() {
                "working"
            } else {
                "fetching"
            }
            .to_owned(),
            percent,
            speed: percent.map(|_| 1.9),
            eta: percent.map(|percent| Duration::from_secs(u64::from(100 - percent) * 30)),
        }
    }

    fn progress(files: Vec<FileProgress>) -> BatchProgress {
        BatchProgress {
            jobs_done: 2,
            jobs_failed: 1,
            jobs_total: 10,
            visible: 4,
            in_flight: files.len() as u64,
            instances_running: 1,
            fraction: 0.415,
            eta: Some(Duration::from_secs(130)),
            at_work: files,
        }
    }

    /// What a terminal of this size shows after `all` were drawn in turn.
    fn drawn(columns: u16, rows: u16, all: &[BatchProgress]) -> String {
        let terminal = FakeTerminal::new(columns, rows);
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        let multi = MultiProgress::with_draw_target(target);
        let mut bars = BatchBars::new(&multi);
        for progress in all {
            bars.show(progress, rows, columns);
        }
        let text = terminal.contents();
        drop(bars);
        assert_eq!(terminal.contents(), "", "the bars leave the terminal");
        text
    }

    fn three() -> Vec<FileProgress> {
        vec![
            file("MVI_3113.AVI", Some(42)),
            file("a very long name of a film that was never cut.avi", Some(7)),
            file("evil\x1b[2J\u{202e}.avi", None),
        ]
    }

    #[test]
    fn a_batch_at_80_columns() {
        insta::assert_snapshot!(drawn(80, 24, &[progress(three())]));
    }

    #[test]
    fn a_batch_at_120_columns() {
        insta::assert_snapshot!(drawn(120, 24, &[progress(three())]));
    }

    #[test]
    fn a_name_is_cut_between_characters() {
        assert_eq!(shortened("MVI_3113.AVI", 12), "MVI_3113.AV…");
        assert_eq!(shortened("MVI_3113.AVI", 13), "MVI_3113.AVI");
        assert_eq!(shortened("東京物語.mov", 7), "東京物…");
        assert_eq!(shortened("a\u{202e}bcdefgh", 10), "a\\u{202e}…");
    }

    #[test]
    fn files_come_and_go() {
        let many = (0..30)
            .map(|n| file(&format!("{n}.avi"), Some(n)))
            .collect();
        let text = drawn(80, 14, &[progress(many), progress(three())]);
        assert_eq!(text.lines().count(), 5, "{text}");
        let many = (0..30)
            .map(|n| file(&format!("{n}.avi"), Some(n)))
            .collect();
        let text = drawn(80, 14, &[progress(three()), progress(many)]);
        assert!(text.contains("… and 24 more in work"), "{text}");
        assert!(text.lines().count() <= 14, "{text}");
    }

    #[test]
    fn nothing_is_wider_than_the_terminal() {
        for columns in [40, 60, 80, 120, 200] {
            let text = drawn(columns, 24, &[progress(three())]);
            assert_eq!(text.lines().count(), 5, "at {columns} columns: {text}");
        }
    }
}

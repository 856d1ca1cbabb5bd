//! What a builder prints while it provisions: its steps as events, all of it in a file, and the last lines for an
//! error.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use muck_worker::text::printable;

use super::console::Follower;
use crate::cloud::Cloud;
use crate::error::Result;
use crate::event::{Event, RunningStep, StepEnd};
use crate::folders;
use crate::resources::instance;

/// Lines that an error shows when no report came.
const LAST_LINES: usize = 15;
/// Before the name of a step in what the provision script prints …
const HEADING: &str = "== ";
/// … and before that of one that failed.
const FAILED: &str = "-- failed: ";
/// From the launch to the script's first step.
const BOOT: &str = "boot the builder";
/// Files of earlier bakes that are kept: a few hundred kB each.
const KEPT_FILES: usize = 20;

/// The console of one builder.
pub(super) struct BuilderConsole<'a> {
    cloud: &'a Cloud,
    /// The builder's instance id.
    id: &'a str,
    /// Where all of it is written.
    pub path: PathBuf,
    state: Mutex<State>,
}

struct State {
    follower: Follower,
    last: VecDeque<String>,
    /// The step that goes on since its heading was read.
    step: Option<RunningStep>,
    /// `None` once it can't be written.
    file: Option<File>,
}

impl<'a> BuilderConsole<'a> {
    /// `name`: the bake's, which names the file.
    ///
    /// # Errors
    /// If the file can't be created.
    pub(super) fn open(cloud: &'a Cloud, id: &'a str, name: &str) -> Result<Self> {
        let folder = folders::state()?.join("consoles");
        let path = folder.join(format!("{name}.log"));
        let create = || {
            std::fs::create_dir_all(&folder)?;
            remove_old(&folder)?;
            File::create(&path)
        };
        let file = create().map_err(|error| {
            crate::error::Error::failed(format!("cannot write {}", path.display()))
                .because(error)
                .hint("set MUCK_STATE_DIR to a folder that can be written")
        })?;
        Ok(Self {
            cloud,
            id,
            path,
            state: Mutex::new(State {
                follower: Follower::default(),
                last: VecDeque::new(),
                step: Some(RunningStep::begin(&cloud.events, BOOT)),
                file: Some(file),
            }),
        })
    }

    /// Reads what is new. A console that can't be read now may be at the next look.
    pub(super) async fn look(&self) {
        match instance::console(&self.cloud.aws, self.id).await {
            Ok(text) => {
                let mut state = self.state();
                let lines = state.follower.new_lines(&text);
                self.report(&mut state, lines);
            }
            Err(cause) => tracing::debug!(%cause, id = self.id, "cannot read the console"),
        }
    }

    /// Nothing more will come. `well`: the builder has powered itself off.
    pub(super) fn end(&self, well: bool) {
        let mut state = self.state();
        let rest = state.follower.rest();
        self.report(&mut state, rest);
        if let Some(step) = state.step.take() {
            step.end(if well { StepEnd::Done } else { StepEnd::Failed });
        }
    }

    pub(super) fn last_lines(&self) -> Vec<String> {
        self.state().last.iter().cloned().collect()
    }

    fn report(&self, state: &mut State, lines: impl IntoIterator<Item = String>) {
        for line in lines {
            self.write(state, &line);
            if state.last.len() == LAST_LINES {
                state.last.pop_front();
            }
            state.last.push_back(line.clone());
            let step = after(HEADING, &line).map(ToOwned::to_owned);
            let has_failed = after(FAILED, &line).is_some();
            self.cloud.events.emit(Event::Console {
                instance: self.id.to_owned(),
                line,
            });
            if has_failed && let Some(step) = state.step.take() {
                step.end(StepEnd::Failed);
            }
            if let Some(step) = step {
                if let Some(before) = state.step.take() {
                    before.end(StepEnd::Done);
                }
                state.step = Some(RunningStep::begin(&self.cloud.events, step));
            }
        }
    }

    /// Escaped, because people look at the file on a terminal. A full disk doesn't end a bake.
    fn write(&self, state: &mut State, line: &str) {
        let Some(file) = &mut state.file else {
            return;
        };
        if let Err(error) = writeln!(file, "{}", printable(line)) {
            state.file = None;
            self.cloud.events.warn(format!(
                "the rest of the builder's console is not kept: cannot write {}: {error}",
                self.path.display()
            ));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What follows `mark` at the beginning of a line that the script printed. On a real console cloud-init puts the time and its
/// name before it: `[   31.4] cloud-init[701]: == check`.
fn after<'a>(mark: &str, line: &'a str) -> Option<&'a str> {
    line.strip_prefix(mark).or_else(|| {
        let (prefix, text) = line.split_once("]: ")?;
        prefix
            .contains("cloud-init[")
            .then(|| text.strip_prefix(mark))?
    })
}

/// Removes all but the newest files, so that there is room for one more.
fn remove_old(folder: &Path) -> std::io::Result<()> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        files.push((entry.metadata()?.modified()?, entry.path()));
    }
    files.sort_unstable();
    let surplus = (files.len() + 1).saturating_sub(KEPT_FILES);
    for (_, path) in &files[..surplus] {
        match std::fs::remove_file(path) {
            // Another bake removes them too.
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_name_steps() {
        assert_eq!(
            after(HEADING, "== install packages"),
            Some("install packages")
        );
        let real = "[   31.402718] cloud-init[701]: == install packages";
        assert_eq!(after(HEADING, real), Some("install packages"));
        for other in [
            "Setting up x (1) ...",
            "a == b",
            "x[1]: == y",
            "-- failed: check",
        ] {
            assert_eq!(after(HEADING, other), None, "{other}");
        }
    }

    #[test]
    fn the_newest_files_are_kept() {
        let folder = tempfile::tempdir().expect("folder");
        for number in 0..KEPT_FILES + 3 {
            let file = File::create(folder.path().join(format!("{number}.log"))).expect("file");
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(number as u64);
            file.set_modified(time).expect("time");
        }
        remove_old(folder.path()).expect("removes");
        let left = || std::fs::read_dir(folder.path()).expect("reads").count();
        assert_eq!(left(), KEPT_FILES - 1);
        assert!(!folder.path().join("3.log").exists());
        assert!(folder.path().join("4.log").exists());
        remove_old(folder.path()).expect("removes");
        assert_eq!(left(), KEPT_FILES - 1);
    }
}

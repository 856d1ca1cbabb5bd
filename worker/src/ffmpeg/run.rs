//! The one place that starts a program on a stranger's file.
//!
//! The program stands in the [jail](crate::jail), in its own process group, with an empty environment, no input, and
//! limits of wall time and of what it writes. All of it is killed when a limit passes and when the caller stops
//! waiting.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, BufReader};

use super::folder;
use crate::jail::{Access, Bounds, Jail, Report};
use crate::spent::Spent;

/// How a program ended.
#[derive(Debug, Default)]
pub(super) struct Exit {
    /// The exit code, if it ended by itself.
    pub(super) code: Option<i32>,
    /// The signal, if it was killed by one.
    pub(super) signal: Option<i32>,
    /// The last line that isn't blank of its standard error.
    pub(super) last_line: String,
    /// The first one that names a stream, an option, a filter, a layout: the last tells only that it has failed.
    pub(super) telling: Option<String>,
    /// The first one that is about what was read; see [`is_of_output`].
    pub(super) first_fault: Option<String>,
    /// What it took.
    pub(super) spent: Spent,
}

/// Why a program didn't end by itself.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    #[error("can't start {}: {why}", program.display())]
    Start { program: PathBuf, why: String },
    #[error("lost sight of {}: {why}", program.display())]
    Watch { program: PathBuf, why: String },
    #[error("not done after {} s", .0.as_secs())]
    TimedOut(Duration),
    #[error("wrote more than {0} bytes")]
    WroteTooMuch(u64),
    /// It left something in its folder that isn't a file: whoever opened that would be led elsewhere.
    #[error("made what is no file: {0}")]
    NoFile(String),
}

/// Lines longer than this are cut: what ffmpeg prints of itself is far shorter, and what a file
/// makes it print may have no end.
const MAX_LINE_BYTES: usize = 16 * 1024;

/// What ffmpeg adds to a line that says more: that it would be printed again, and that a thread of its own ends by it.
const ADDED: [&str; 3] = [
    "Last message repeated",
    "Terminating thread with return code",
    "Task finished with error code",
];

/// Who speaks in lines about what is written: the muxer and its streams. Where that is thrown away, they say nothing about the
/// file: two pictures that round to one time are an error to the muxer, and none to a player.
const WRITERS: [&str; 4] = ["[null @ ", "[out#", "[vost#", "[aost#"];

/// Whether a line of standard error is about the output of a decoding.
fn is_of_output(line: &str) -> bool {
    WRITERS.iter().any(|writer| line.starts_with(writer))
}

/// What a line is about that tells why ffmpeg gave up.
const SUBJECTS: [&str; 12] = [
    "stream",
    "option",
    "layout",
    "encoder",
    "decoder",
    "codec",
    "filter",
    "muxer",
    "tag for",
    "header",
    "pixel format",
    "subtitle",
];

/// What it says at every end, and what encoders say of themselves.
const PHRASES: [&str; 9] = [
    "Conversion failed",
    "Error opening output file",
    "Error initializing output stream",
    "Error while opening encoder",
    "Nothing was written into output file",
    "Could not open encoder before EOF",
    "Error sending frames to consumers",
    "Svt[info]",
    "[info]",
];

/// Whether a line tells why it failed.
fn is_telling(line: &str) -> bool {
    let words = line.to_lowercase();
    SUBJECTS.iter().any(|subject| words.contains(subject))
        && !PHRASES.iter().any(|phrase| line.contains(phrase))
}

/// How often it is looked how much has been written. Disks take some hundred MB meanwhile, but no
/// single file grows past its limit, which the kernel keeps.
const LOOK: Duration = Duration::from_secs(1);

/// How long a killed program may take to be gone. The kernel does it at once, unless it waits for a disk.
const DYING: Duration = Duration::from_secs(10);

/// A program and what it is to do.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) program: &'a Path,
    pub(super) args: &'a [OsString],
    /// The job's folder, in which it runs.
    pub(super) folder: &'a Path,
    /// The file in it that must stay as it is.
    pub(super) input: &'a str,
    pub(super) bounds: Bounds,
}

/// Runs a program to its end and gives each line of its standard output to `on_line`.
///
/// # Errors
/// [`RunError`]; all processes are dead by then.
pub(super) async fn run(
    jail: &Jail,
    call: &Call<'_>,
    on_line: &mut (dyn FnMut(&str) + Send),
) -> Result<Exit, RunError> {
    let watch_error = |why: String| RunError::Watch {
        program: call.program.to_owned(),
        why,
    };
    let began = Instant::now();
    let written_before = folder::size(call.folder);
    let mut child = jail
        .command(
            call.program,
            call.args,
            call.folder,
            call.input,
            call.bounds,
        )
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| RunError::Start {
            program: call.program.to_owned(),
            why: source.to_string(),
        })?;
    let mut group = Group::of(child.id());
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(watch_error("its output isn't piped".to_owned()));
    };
    let mut last_line = String::new();
    let mut telling: Option<String> = None;
    let mut first_fault: Option<String> = None;
    let mut report = None;
    let mut watching = Box::pin(async {
        let (out, err, status) = tokio::join!(
            lines(BufReader::new(stdout), on_line),
            lines(BufReader::new(stderr), |line| {
                if line.trim().is_empty() || ADDED.iter().any(|words| line.contains(words)) {
                    return;
                }
                // The last line decides, so that the program can't report of itself.
                report = Report::read(line);
                if report.is_none() {
                    line.trim().clone_into(&mut last_line);
                    if telling.is_none() && is_telling(&last_line) {
                        telling = Some(last_line.clone());
                    }
                    if first_fault.is_none() && !is_of_output(&last_line) {
                        first_fault = Some(last_line.clone());
                    }
                }
            }),
            child.wait(),
        );
        out.and(err).and(status)
    });
    let limits = async {
        let wall = tokio::time::sleep(call.bounds.wall);
        let too_much = async {
            if call.bounds.access == Access::Read {
                return std::future::pending().await;
            }
            loop {
                tokio::time::sleep(LOOK).await;
                let written = folder::size(call.folder).saturating_sub(written_before);
                if written > call.bounds.output {
                    return;
                }
            }
        };
        tokio::select! {
            () = wall => RunError::TimedOut(call.bounds.wall),
            () = too_much => RunError::WroteTooMuch(call.bounds.output),
        }
    };
    let status = tokio::select! {
        ended = &mut watching => ended.map_err(|error| watch_error(error.to_string()))?,
        passed = limits => {
            group.kill();
            // Its output ends when the last of its processes is gone, and the folder is ours again.
            let _ = tokio::time::timeout(DYING, watching).await;
            return Err(passed);
        }
    };
    drop(watching);
    group.0 = None;
    let written = folder::size(call.folder).saturating_sub(written_before);
    if call.bounds.access == Access::Write && written > call.bounds.output {
        return Err(RunError::WroteTooMuch(call.bounds.output));
    }
    let mut exit = Exit {
        code: status.code(),
        signal: status.signal(),
        last_line,
        telling,
        first_fault,
        spent: Spent {
            wall_seconds: began.elapsed().as_secs_f64(),
            written_bytes: written,
            ..Spent::default()
        },
    };
    if jail.reports() {
        // Without a report the jail itself has ended: it wasn't made, or was killed from outside.
        let Some(report) = report else {
            return Err(watch_error(
                match (status.signal(), exit.last_line.as_str()) {
                    (Some(signal), _) => format!("its jail was killed by signal {signal}"),
                    (None, "") => format!("its jail ended ({status})"),
                    (None, words) => words.to_owned(),
                },
            ));
        };
        if let Some(why) = report.unstarted {
            return Err(RunError::Start {
                program: call.program.to_owned(),
                why,
            });
        }
        exit.spent.cpu_seconds = report.cpu().as_secs_f64();
        exit.spent.peak_memory_bytes = report.peak_bytes;
        (exit.code, exit.signal) = (report.code, report.signal);
    }
    if call.bounds.access == Access::Write {
        folder::only_files(call.folder).map_err(RunError::NoFile)?;
    }
    Ok(exit)
}

/// Whether a signal is what a program does to itself by a fault: SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE,
/// SIGSEGV, and SIGXCPU and SIGXFSZ for going past its limits.
pub(super) fn is_crash(signal: i32) -> bool {
    use Signal::{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP, SIGXCPU, SIGXFSZ};
    [
        SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGXCPU, SIGXFSZ,
    ]
    .iter()
    .any(|s| *s as i32 == signal)
}

/// A process group that is killed when this is dropped; what stands in a jail dies with the jail, which is in
/// the group. Not SIGTERM: ffmpeg may take a minute to obey it.
struct Group(Option<Pid>);

impl Group {
    fn of(leader: Option<u32>) -> Self {
        Self(
            leader
                .and_then(|id| i32::try_from(id).ok())
                .map(Pid::from_raw),
        )
    }
}

impl Group {
    fn kill(&mut self) {
        if let Some(group) = self.0.take() {
            // It may be gone already; there is nothing more to do then.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reads to the end, line by line, in bounded memory. Lines end with LF or, as ffmpeg's own
/// progress does, CR. Bytes that aren't UTF-8 are replaced.
async fn lines(
    mut reader: impl AsyncBufRead + Unpin,
    mut on_line: impl FnMut(&str),
) -> std::io::Result<()> {
    let mut line: Vec<u8> = Vec::new();
    loop {
        let chunk = reader.fill_buf().await?;
        if chunk.is_empty() {
            break;
        }
        for &byte in chunk {
            if byte == b'\n' || byte == b'\r' {
                on_line(&String::from_utf8_lossy(&line));
                line.clear();
            } else if line.len() < MAX_LINE_BYTES {
                line.push(byte);
            }
        }
        let used = chunk.len();
        reader.consume(used);
    }
    if !line.is_empty() {
        on_line(&String::from_utf8_lossy(&line));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sh(script: &str, limit: Duration) -> (Result<Exit, RunError>, Vec<String>) {
        let mut seen = Vec::new();
        let args = ["-c".into(), script.into()];
        let folder = tempfile::tempdir().expect("a folder");
        let call = Call {
            program: Path::new("/bin/sh"),
            args: &args,
            folder: folder.path(),
            input: "input",
            bounds: Bounds::writing(limit, 1 << 20),
        };
        let result = run(&Jail::bare(), &call, &mut |line| seen.push(line.to_owned())).await;
        (result, seen)
    }

    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn output_code_and_last_error_line_are_kept() {
        let script = "echo one; printf 'two\\rthree'; echo first >&2; echo last >&2; \
             echo '    Last message repeated 2 times' >&2; echo >&2; exit 3";
        let (result, seen) = sh(script, LONG).await;
        let exit = result.expect("ran");
        assert_eq!((exit.code, exit.signal), (Some(3), None));
        assert_eq!(exit.last_line, "last");
        assert_eq!(seen, ["one", "two", "three"]);
    }

    #[tokio::test]
    async fn the_environment_is_empty() {
        let (result, seen) = sh("echo \"[$HOME$AWS_REGION]\"", LONG).await;
        assert!(result.is_ok());
        assert_eq!(seen, ["[]"]);
    }

    #[tokio::test]
    async fn endless_lines_take_bounded_memory() {
        let (result, seen) = sh("head -c 1000000 /dev/zero", LONG).await;
        assert!(result.is_ok());
        assert_eq!(seen[0].len(), MAX_LINE_BYTES);
    }

    #[tokio::test]
    async fn past_its_time_the_whole_group_is_killed() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("pid");
        // The child of the shell would outlive a kill of the shell alone.
        let script = format!("sleep 600 & echo $! > {}; wait", file.display());
        let (result, _) = sh(&script, Duration::from_millis(500)).await;
        assert!(matches!(result, Err(RunError::TimedOut(_))));
        let pid: i32 = std::fs::read_to_string(&file)
            .expect("pid")
            .trim()
            .parse()
            .expect("a pid");
        let dead = || match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
            // A zombie is dead; whoever is process 1 here may not collect it.
            Ok(stat) => stat.contains(") Z"),
            Err(_) => true,
        };
        for _ in 0..100 {
            if dead() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the grandchild {pid} still runs");
    }

    #[tokio::test]
    async fn a_missing_program_is_told() {
        let call = Call {
            program: Path::new("/nonexistent"),
            args: &[],
            folder: Path::new("/"),
            input: "input",
            bounds: Bounds::reading(LONG),
        };
        let result = run(&Jail::bare(), &call, &mut |_| {}).await;
        assert!(matches!(result, Err(RunError::Start { .. })));
    }

    #[tokio::test]
    async fn who_writes_too_much_is_killed() {
        let (result, _) = sh("head -c 2000000 /dev/zero >out; exec sleep 600", LONG).await;
        assert!(
            matches!(result, Err(RunError::WroteTooMuch(_))),
            "{result:?}"
        );
    }

    #[tokio::test]
    async fn a_link_in_the_folder_is_no_output() {
        let (result, _) = sh("ln -s /etc/passwd output.mov", LONG).await;
        let error = result.expect_err("is a link").to_string();
        assert!(error.contains("output.mov"), "{error}");
    }

    #[tokio::test]
    async fn signals_are_told() {
        let (result, _) = sh("kill -KILL $$", LONG).await;
        assert_eq!(result.expect("ran").signal, Some(9));
        assert!(!is_crash(9));
        assert!(is_crash(11));
    }
}

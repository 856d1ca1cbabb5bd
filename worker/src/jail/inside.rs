//! The part inside the walls: sets the limits, runs the program, reports. Standard output and error are the program's
//! own; the [report](super::report) is the last line of the latter.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeValLike as _;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::limits::{Bounds, Limits};
use super::report::Report;

pub(super) const NAME: &str = "run";

/// [`Limits`] and [`Bounds`] as one argument.
#[derive(Serialize, Deserialize)]
struct Argument {
    memory: u64,
    processes: u64,
    processors: u64,
    wall: u64,
    output: u64,
}

/// The limits as [`main`] reads them.
pub(super) fn argument(limits: Limits, bounds: Bounds) -> String {
    serde_json::to_string(&Argument {
        memory: limits.memory,
        processes: limits.processes,
        processors: limits.processors,
        wall: bounds.wall.as_secs(),
        output: bounds.output,
    })
    .unwrap_or_default()
}

/// The inverse of [`argument`]. What a program may do to its folder isn't in it: that is the walls' part.
pub(super) fn read(argument: &str) -> Option<(Limits, Bounds)> {
    let argument: Argument = serde_json::from_str(argument).ok()?;
    let limits = Limits {
        memory: argument.memory,
        processes: argument.processes,
        processors: argument.processors,
    };
    let wall = Duration::from_secs(argument.wall);
    Some((limits, Bounds::writing(wall, argument.output)))
}

/// `jail:run LIMITS PROGRAM ARGUMENT…`
pub(super) fn main(words: &[OsString]) -> ExitCode {
    let report = run(words).unwrap_or_else(|why| Report {
        unstarted: Some(why),
        ..Report::default()
    });
    // Nothing that the program started may write after us, or into the job's folder. Where there are walls
    // we see our own processes only, beside bwrap's init, which no signal of ours ends.
    if is_walled() {
        let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
    }
    // The program's own last line may have no end.
    let line = format!("\n{}\n", report.line());
    match std::io::stderr().write_all(line.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Whether we stand where [`super::Jail::command`] puts this program.
fn is_walled() -> bool {
    std::env::args_os()
        .next()
        .is_some_and(|own| own == super::OWN)
}

fn run(words: &[OsString]) -> Result<Report, String> {
    let [limits, program, args @ ..] = words else {
        return Err("limits and a program are needed".to_owned());
    };
    let (limits, bounds) = read(&limits.to_string_lossy()).ok_or("the limits can't be read")?;
    for (resource, soft, hard) in bounds.resources(limits) {
        setrlimit(resource, soft, hard)
            .map_err(|error| format!("can't set {resource:?}: {error}"))?;
    }
    let status = Command::new(program)
        .args(args)
        .env_clear()
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("{error}"))?;
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|error| error.to_string())?;
    let cpu = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Report {
        code: status.code(),
        signal: status.signal(),
        unstarted: None,
        cpu_us: u64::try_from(cpu).unwrap_or_default(),
        // In KiB (getrusage(2)).
        peak_bytes: u64::try_from(usage.max_rss()).unwrap_or_default() << 10,
    })
}

//! The one place that starts a program on a stranger's file.
//!
//! The program has its own process group, an empty environment, no input, and a limit of wall
//! time. Its group is killed when the limit passes and when the caller stops waiting. A jail
//! (other user, no network, limits of memory) belongs here too, around the same call.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

/// How a program ended.
#[derive(Debug)]
pub(super) struct Exit {
    /// The exit code, if it ended by itself.
    pub(super) code: Option<i32>,
    /// The signal, if it was killed by one.
    pub(super) signal: Option<i32>,
    /// The last line that isn't blank of its standard error.
    pub(super) last_line: String,
}

/// Why a program didn't end by itself.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    #[error("can't start {}", program.display())]
    Start {
        program: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("lost sight of {}", program.display())]
    Watch {
        program: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("not done after {} s", .0.as_secs())]
    TimedOut(Duration),
}

/// Lines longer than this are cut: what ffmpeg prints of itself is far shorter, and what a file
/// makes it print may have no end.
const MAX_LINE_BYTES: usize = 16 * 1024;

/// Runs a program to its end and gives each line of its standard output to `on_line`.
///
/// # Errors
/// [`RunError`]; the process group is dead by then.
pub(super) async fn run(
    program: &Path,
    args: &[OsString],
    folder: &Path,
    limit: Duration,
    on_line: &mut (dyn FnMut(&str) + Send),
) -> Result<Exit, RunError> {
    let mut child = Command::new(program)
        .args(args)
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| RunError::Start {
            program: program.to_owned(),
            source,
        })?;
    let mut group = Group::of(child.id());
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        let source = std::io::Error::other("its output isn't piped");
        return Err(RunError::Watch {
            program: program.to_owned(),
            source,
        });
    };
    let mut last_line = String::new();
    let watching = async {
        let (out, err, status) = tokio::join!(
            lines(BufReader::new(stdout), on_line),
            lines(BufReader::new(stderr), |line| {
                if !line.trim().is_empty() {
                    line.trim().clone_into(&mut last_line);
                }
            }),
            child.wait(),
        );
        out.and(err).and(status)
    };
    let status = match tokio::time::timeout(limit, watching).await {
        Ok(Ok(status)) => status,
        Ok(Err(source)) => {
            return Err(RunError::Watch {
                program: program.to_owned(),
                source,
            });
        }
        Err(_) => return Err(RunError::TimedOut(limit)),
    };
    group.0 = None;
    Ok(Exit {
        code: status.code(),
        signal: status.signal(),
        last_line,
    })
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

/// A process group that is killed when this is dropped. Not SIGTERM: ffmpeg may take a minute to
/// obey it.
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

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may be gone already; there is nothing more to do then.
            let _ = killpg(group, Signal::SIGKILL);
        }
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
        let result = run(
            Path::new("/bin/sh"),
            &args,
            Path::new("/"),
            limit,
            &mut |line| {
                seen.push(line.to_owned());
            },
        )
        .await;
        (result, seen)
    }

    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn output_code_and_last_error_line_are_kept() {
        let script =
            "echo one; printf 'two\\rthree'; echo first >&2; echo last >&2; echo >&2; exit 3";
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
        let result = run(
            Path::new("/nonexistent"),
            &[],
            Path::new("/"),
            LONG,
            &mut |_| {},
        )
        .await;
        assert!(matches!(result, Err(RunError::Start { .. })));
    }

    #[tokio::test]
    async fn signals_are_told() {
        let (result, _) = sh("kill -KILL $$", LONG).await;
        assert_eq!(result.expect("ran").signal, Some(9));
        assert!(!is_crash(9));
        assert!(is_crash(11));
    }
}

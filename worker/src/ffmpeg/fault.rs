//! What an end of ffmpeg or ffprobe means: whether the file is at fault or the machine, and in which words.

use nix::sys::signal::Signal;

use super::run::{self, Exit, RunError};
use crate::jail::{Bounds, Limits};
use crate::text::printable_short;

/// Exit codes of ffmpeg are the negative errno in 8 bits; these mean that the machine is at its
/// end, not that the file is bad: ENOSPC (28), EDQUOT (122).
const MACHINE_CODES: [i32; 2] = [256 - 28, 256 - 122];

/// EFBIG (27): an output has reached the limit that the job has, since no file system of ours has a lower one.
const TOO_LARGE: i32 = 256 - 27;

/// ENOMEM (12): the job has all the memory that it may have. The machine itself refuses none (Linux promises more
/// than it has); when it has no more it kills.
const NO_MEMORY: i32 = 256 - 12;

/// Why a file can't be probed or converted.
#[derive(Debug, thiserror::Error)]
pub enum FfmpegError {
    /// The file's fault: it will fail on any machine.
    #[error("{0}")]
    File(String),
    /// The machine's fault: another one may do it.
    #[error("{0}")]
    Machine(String),
}

/// Tells whose fault a failure is.
///
/// The file's, if it makes the program fail, crash or pass a limit of its job: it would do so again. The machine's, if a
/// disk is full, or something from outside ended the program, e.g. the kernel when memory ran out.
pub(super) fn judge(
    name: &str,
    result: Result<Exit, RunError>,
    limits: Limits,
    bounds: Bounds,
) -> Result<Exit, FfmpegError> {
    let exit = result.map_err(|error| not_ended(name, &error))?;
    if exit.code == Some(0) {
        return Ok(exit);
    }
    let last = match (&exit.telling, exit.last_line.as_str()) {
        (Some(line), _) => told(line),
        (None, "") => format!("{name} failed without saying why"),
        (None, line) => told(line),
    };
    let cpu = bounds.cpu_seconds(limits);
    // The kernel counts ticks for the limit, and exact times for its report: up to 7 % fewer were seen.
    let spent_all_cpu = exit.spent.cpu_seconds >= cpu as f64 * 0.9;
    Err(match (exit.code, exit.signal) {
        // ffmpeg itself takes SIGXCPU for a wish to end.
        _ if spent_all_cpu => FfmpegError::File(format!(
            "{name} was not done with it after {cpu} seconds of processor time, all that a job may take"
        )),
        (Some(code), _) if MACHINE_CODES.contains(&code) => {
            FfmpegError::Machine(format!("{name} ended with code {code}: {last}"))
        }
        (Some(TOO_LARGE), _) => too_large(name, bounds.output),
        (None, Some(signal)) if signal == Signal::SIGXFSZ as i32 => too_large(name, bounds.output),
        (Some(NO_MEMORY), _) => no_memory(name, limits),
        (Some(_), _) if exit.last_line.contains("Cannot allocate memory") => {
            no_memory(name, limits)
        }
        (Some(_), _) => FfmpegError::File(last),
        // A crash of the decoder is what a broken file does.
        (None, Some(signal)) if run::is_crash(signal) => {
            FfmpegError::File(format!("{name} crashed on it (signal {signal})"))
        }
        (None, signal) => FfmpegError::Machine(format!(
            "{name} was killed by signal {} from outside",
            signal.unwrap_or_default()
        )),
    })
}

/// What ffmpeg says, without what means nothing to whoever reads it: our own name for the file, and where in memory
/// speakers lie (`[mjpeg @ 0x55d1e2a0] …`). 300 characters hold any line of its own.
pub(super) fn told(line: &str) -> String {
    const AT: &str = " @ 0x";
    let mut rest = line.strip_prefix("file:input: ").unwrap_or(line);
    let mut text = String::new();
    while rest.starts_with('[')
        && let Some((speaker, after)) = rest.split_once(AT)
        && let Some((_, after)) = after.split_once(']')
    {
        text += speaker;
        text.push(']');
        // Speakers stand in a row, from the stream to its decoder.
        let next = after.trim_start();
        text += &after[..after.len() - next.len()];
        rest = next;
    }
    printable_short(&(text + rest), 300)
}

fn too_large(name: &str, limit: u64) -> FfmpegError {
    FfmpegError::File(format!(
        "{name} made more than {limit} bytes of it, all that a job may write"
    ))
}

fn no_memory(name: &str, limits: Limits) -> FfmpegError {
    FfmpegError::File(format!(
        "{name} needs more memory for it than the {} MiB that a job has",
        limits.memory >> 20
    ))
}

fn not_ended(name: &str, error: &RunError) -> FfmpegError {
    match error {
        RunError::TimedOut(limit) => FfmpegError::File(format!(
            "{name} was not done with it after {} seconds, all that a job may take",
            limit.as_secs()
        )),
        RunError::WroteTooMuch(limit) => too_large(name, *limit),
        RunError::NoFile(what) => FfmpegError::File(format!(
            "{name} was made to make `{what}`, which is no file"
        )),
        RunError::Start { .. } | RunError::Watch { .. } => FfmpegError::Machine(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::jail::Jail;
    use crate::spent::Spent;

    #[test]
    fn what_ffmpeg_says_is_told_without_addresses() {
        assert_eq!(
            told("[mjpeg @ 0x5586f9a0] error y=0 x=17"),
            "[mjpeg] error y=0 x=17"
        );
        assert_eq!(
            told("[vist#0:0/h264 @ 0x55e0] [dec:h264 @ 0x55e1] Error @ 0x1"),
            "[vist#0:0/h264] [dec:h264] Error @ 0x1"
        );
        assert_eq!(told("[out#0] no address"), "[out#0] no address");
        assert_eq!(told("file:input: End of file"), "End of file");
        assert_eq!(told("mail me @ 0xdead"), "mail me @ 0xdead");
    }

    #[test]
    fn faults_are_told_apart() {
        let limits = Jail::bare().limits();
        let bounds = Bounds::writing(Duration::from_secs(100), 5000);
        let cpu = bounds.cpu_seconds(limits) as f64;
        let judged = |code, signal, last_line: &str, cpu| {
            let exit = Exit {
                code,
                signal,
                last_line: last_line.to_owned(),
                telling: None,
                first_fault: None,
                spent: Spent {
                    cpu_seconds: cpu,
                    ..Spent::default()
                },
            };
            judge("ffmpeg", Ok(exit), limits, bounds)
        };
        let zero = 0.0;
        assert!(judged(Some(0), None, "", zero).is_ok());
        let error = judged(Some(1), None, "Invalid \x1b data", zero).expect_err("failed");
        assert_eq!(error.to_string(), "Invalid \\u{1b} data");
        let cases = [
            (judged(Some(1), None, "", zero), true, "without saying why"),
            (judged(Some(228), None, "", zero), false, "code 228"),
            (judged(None, Some(9), "", zero), false, "signal 9"),
            (judged(None, Some(11), "", zero), true, "crashed"),
            (judged(Some(229), None, "", zero), true, "5000 bytes"),
            (judged(None, Some(25), "", zero), true, "5000 bytes"),
            (
                judged(Some(244), None, "", zero),
                true,
                "MiB that a job has",
            ),
            (
                judged(Some(1), None, "x: Cannot allocate memory", zero),
                true,
                "MiB that a job has",
            ),
            (judged(Some(255), None, "", cpu), true, "processor time"),
            (judged(None, Some(9), "", cpu), true, "processor time"),
        ];
        for (result, of_file, words) in cases {
            let error = result.expect_err("failed");
            assert_eq!(matches!(error, FfmpegError::File(_)), of_file, "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
        for (error, of_file) in [
            (RunError::TimedOut(Duration::from_secs(3)), true),
            (RunError::WroteTooMuch(3), true),
            (RunError::NoFile("x".to_owned()), true),
            (
                RunError::Watch {
                    program: "ffmpeg".into(),
                    why: "gone".to_owned(),
                },
                false,
            ),
        ] {
            let error = judge("ffmpeg", Err(error), limits, bounds).expect_err("failed");
            assert_eq!(matches!(error, FfmpegError::File(_)), of_file, "{error}");
        }
    }
}

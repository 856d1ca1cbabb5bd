//! ffmpeg and ffprobe: which command is run, and what its answer means.
//!
//! Everything that reads a stranger's file goes through [`run::run`]: one place to bound it.
//! Arguments are an argv, never a shell line; the input always has the same name; its format and
//! protocol must be on a list, so that no playlist, script or URL in it is followed.

mod run;
mod whitelist;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::media::{Media, Packets};
use crate::text::printable_short;
use run::{Exit, RunError};

/// The name that every input has in its job's folder, whatever it was called.
pub const INPUT_NAME: &str = "input";

/// Pixels of one frame that are still decoded: 8192x4320, the 8K of cinemas. A larger claim is a
/// bomb: each frame would take more memory than a small instance has.
const MAX_PIXELS: u64 = 8192 * 4320;

/// Of all frames, the part that may be unreadable before ffmpeg reports failure. Its own default
/// is two thirds, which would pass ruins as conversions; none at all would refuse camera files
/// with one bad frame.
const MAX_ERROR_RATE: &str = "0.1";

/// ffprobe reads headers (and in a scan the whole file, without decoding); disks do that faster
/// than 10 MB/s, so ten minutes are enough for all but the largest files.
const PROBE_LIMIT: Duration = Duration::from_mins(10);

/// A description of a file by ffprobe that is longer is a bomb: a usual one has 2 KiB.
const MAX_DESCRIPTION_BYTES: usize = 1 << 20;

/// Exit codes of ffmpeg are the negative errno in 8 bits; these mean that the machine is at its
/// end, not that the file is bad: ENOSPC (28), EFBIG (27), ENOMEM (12), EDQUOT (122).
const MACHINE_CODES: [i32; 4] = [256 - 28, 256 - 27, 256 - 12, 256 - 122];

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

/// Where the programs are and what they can do.
#[derive(Debug, Clone)]
pub struct Tools {
    ffmpeg: PathBuf,
    ffprobe: PathBuf,
    version: String,
    limits_pixels: bool,
}

/// How far a conversion is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Video frames written.
    pub frames: u64,
    /// Length of what is written, in microseconds.
    pub out_time_us: u64,
    /// Whether ffmpeg said that it had come to the end.
    pub ended: bool,
}

impl Progress {
    /// Takes in one line of `-progress`.
    ///
    /// `out_time_ms` is ignored: despite its name it is in microseconds too, in some versions.
    pub fn read_line(&mut self, line: &str) {
        match line.trim().split_once('=') {
            Some(("frame", n)) => self.frames = n.trim().parse().unwrap_or(self.frames),
            Some(("out_time_us", n)) => {
                self.out_time_us = n.trim().parse().unwrap_or(self.out_time_us);
            }
            Some(("progress", word)) => self.ended = word == "end",
            _ => {}
        }
    }
}

impl Tools {
    /// Finds both programs on `PATH` and asks for their version and abilities.
    ///
    /// # Errors
    /// [`FfmpegError::Machine`] if one isn't there or doesn't run.
    pub async fn find() -> Result<Self, FfmpegError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let find = |name: &str| {
            std::env::split_paths(&path)
                .map(|folder| folder.join(name))
                .find(|file| file.is_file())
                .ok_or_else(|| {
                    FfmpegError::Machine(format!(
                        "`{name}` is not on PATH; install the package `ffmpeg`"
                    ))
                })
        };
        let mut tools = Self {
            ffmpeg: find("ffmpeg")?,
            ffprobe: find("ffprobe")?,
            version: String::new(),
            limits_pixels: false,
        };
        let folder = std::env::temp_dir();
        let mut text = String::new();
        let arguments = words(&["-version"]);
        tools
            .call(&tools.ffmpeg, &arguments, &folder, &mut |line| {
                if text.is_empty() {
                    line.clone_into(&mut text);
                }
            })
            .await?;
        tools.version = text
            .split_whitespace()
            .nth(2)
            .unwrap_or("unknown")
            .to_owned();
        let mut limits_pixels = false;
        let arguments = words(&["-hide_banner", "-v", "quiet", "-h", "full"]);
        tools
            .call(&tools.ffmpeg, &arguments, &folder, &mut |line| {
                limits_pixels |= line.trim_start().starts_with("-max_pixels");
            })
            .await?;
        tools.limits_pixels = limits_pixels;
        Ok(tools)
    }

    /// ffmpeg's version, e.g. `7.1.1-1+b1`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Reads what a file in `folder` says of itself.
    ///
    /// # Errors
    /// [`FfmpegError::File`] with ffprobe's last line if it can't read the file.
    pub async fn probe(&self, folder: &Path, name: &str) -> Result<Media, FfmpegError> {
        let mut args = words(&[
            "-v",
            "error",
            "-of",
            "json",
            "-show_entries",
            Media::ENTRIES,
        ]);
        args.extend(self.input(name));
        let mut text = String::new();
        self.call(&self.ffprobe, &args, folder, &mut |line| {
            if text.len() < MAX_DESCRIPTION_BYTES {
                text.push_str(line);
                text.push('\n');
            }
        })
        .await?;
        if text.len() >= MAX_DESCRIPTION_BYTES {
            return Err(FfmpegError::File(
                "the file has too many streams".to_owned(),
            ));
        }
        Media::parse(&text).map_err(|error| {
            FfmpegError::Machine(format!("ffprobe's answer can't be read: {error}"))
        })
    }

    /// Reads through all packets of a file in `folder` without decoding them: what is in the
    /// file, whatever its header says.
    ///
    /// # Errors
    /// As [`Tools::probe`].
    pub async fn scan(&self, folder: &Path, name: &str) -> Result<Packets, FfmpegError> {
        let mut args = words(&[
            "-v",
            "error",
            "-of",
            "csv=p=0",
            "-show_entries",
            Packets::ENTRIES,
        ]);
        args.extend(self.input(name));
        let mut packets = Packets::default();
        self.call(&self.ffprobe, &args, folder, &mut |line| {
            packets.read_line(line);
        })
        .await?;
        Ok(packets)
    }

    /// Converts `input` to `output`, both names in `folder`, by a preset's arguments, for at most
    /// `limit`. Tells `on_progress` about every half second.
    ///
    /// A good end proves little: check the output.
    ///
    /// # Errors
    /// [`FfmpegError`], with ffmpeg's last line.
    pub async fn convert(
        &self,
        folder: &Path,
        output: &str,
        preset_args: &[String],
        limit: Duration,
        on_progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Progress, FfmpegError> {
        let args = self.conversion(output, preset_args);
        let mut progress = Progress::default();
        let exit = run::run(&self.ffmpeg, &args, folder, limit, &mut |line| {
            progress.read_line(line);
            if line.starts_with("progress=") {
                on_progress(progress);
            }
        })
        .await;
        judge("ffmpeg", exit)?;
        if !progress.ended {
            return Err(FfmpegError::File(
                "ffmpeg stopped before the end".to_owned(),
            ));
        }
        Ok(progress)
    }

    /// The whole argument list of a conversion.
    fn conversion(&self, output: &str, preset_args: &[String]) -> Vec<OsString> {
        let mut args = words(&[
            "-hide_banner",
            "-nostdin",
            "-nostats",
            "-v",
            "error",
            "-y",
            "-max_error_rate",
            MAX_ERROR_RATE,
            "-progress",
            "pipe:1",
        ]);
        args.extend(self.input(INPUT_NAME));
        args.extend(preset_args.iter().map(OsString::from));
        args.push(format!("file:{output}").into());
        args
    }

    /// The options that bound how a file is read, and the file.
    fn input(&self, name: &str) -> Vec<OsString> {
        let formats = whitelist::FORMATS.join(",");
        let mut args = words(&[
            "-protocol_whitelist",
            "file",
            "-format_whitelist",
            formats.as_str(),
        ]);
        if self.limits_pixels {
            args.extend(words(&["-max_pixels", &MAX_PIXELS.to_string()]));
        }
        // `file:` keeps a name from being taken for a URL or an option.
        args.extend(words(&["-i", &format!("file:{name}")]));
        args
    }

    async fn call(
        &self,
        program: &Path,
        args: &[OsString],
        folder: &Path,
        on_line: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), FfmpegError> {
        let name = program
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        judge(
            &name,
            run::run(program, args, folder, PROBE_LIMIT, on_line).await,
        )
    }
}

/// Tells whose fault a failure is.
fn judge(name: &str, result: Result<Exit, RunError>) -> Result<(), FfmpegError> {
    // 300 characters hold any line that ffmpeg prints of itself.
    let last = |exit: &Exit| match exit.last_line.as_str() {
        "" => format!("{name} failed without saying why"),
        // Our own name for the file means nothing to whoever reads this.
        line => printable_short(line.strip_prefix("file:input: ").unwrap_or(line), 300),
    };
    match result {
        Ok(exit) if exit.code == Some(0) => Ok(()),
        Ok(exit) => match (exit.code, exit.signal) {
            (Some(code), _) if MACHINE_CODES.contains(&code) => Err(FfmpegError::Machine(format!(
                "{name} ended with code {code}: {}",
                last(&exit)
            ))),
            (Some(_), _) => Err(FfmpegError::File(last(&exit))),
            // A crash of the decoder is what a broken file does; any other signal came from
            // outside, e.g. from the kernel when memory ran out.
            (None, Some(signal)) if run::is_crash(signal) => Err(FfmpegError::File(format!(
                "{name} crashed on it (signal {signal})"
            ))),
            (None, signal) => Err(FfmpegError::Machine(format!(
                "{name} was killed by signal {}",
                signal.unwrap_or_default()
            ))),
        },
        Err(RunError::TimedOut(limit)) => Err(FfmpegError::File(format!(
            "{name} was not done with it after {} seconds",
            limit.as_secs()
        ))),
        Err(error @ (RunError::Start { .. } | RunError::Watch { .. })) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            Err(FfmpegError::Machine(format!(
                "{error}: {}",
                cause.unwrap_or_default()
            )))
        }
    }
}

fn words(list: &[&str]) -> Vec<OsString> {
    list.iter().map(OsString::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read() {
        let text = "frame=12\nfps=3\nout_time_us=N/A\nout_time_ms=7\nout_time_us=400000\n\
            progress=continue\nframe=60\nout_time_us=2000000\nprogress=end\n";
        let mut progress = Progress::default();
        text.lines().for_each(|line| progress.read_line(line));
        assert_eq!(
            progress,
            Progress {
                frames: 60,
                out_time_us: 2_000_000,
                ended: true
            }
        );
    }

    #[test]
    fn the_program_places_input_and_output() {
        let tools = Tools {
            ffmpeg: "/usr/bin/ffmpeg".into(),
            ffprobe: "/usr/bin/ffprobe".into(),
            version: "7".to_owned(),
            limits_pixels: true,
        };
        let args = tools.conversion("output.mov", &["-an".to_owned()]);
        let line: Vec<&str> = args.iter().map(|a| a.to_str().unwrap()).collect();
        let line = line.join(" ");
        assert!(line.contains("-nostdin"), "{line}");
        assert!(
            line.contains("-protocol_whitelist file -format_whitelist "),
            "{line}"
        );
        assert!(
            line.ends_with("-max_pixels 35389440 -i file:input -an file:output.mov"),
            "{line}"
        );
    }

    #[test]
    fn faults_are_told_apart() {
        let exit = |code, signal| {
            judge(
                "ffmpeg",
                Ok(Exit {
                    code,
                    signal,
                    last_line: "Invalid \x1b data".to_owned(),
                }),
            )
        };
        assert!(exit(Some(0), None).is_ok());
        let error = exit(Some(1), None).expect_err("failed");
        assert_eq!(error.to_string(), "Invalid \\u{1b} data");
        assert!(matches!(error, FfmpegError::File(_)));
        assert!(matches!(
            exit(Some(228), None),
            Err(FfmpegError::Machine(_))
        ));
        assert!(matches!(exit(None, Some(9)), Err(FfmpegError::Machine(_))));
        assert!(matches!(exit(None, Some(11)), Err(FfmpegError::File(_))));
        let late = judge("ffmpeg", Err(RunError::TimedOut(Duration::from_secs(3))));
        assert!(matches!(late, Err(FfmpegError::File(_))));
    }
}

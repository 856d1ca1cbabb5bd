//! ffmpeg and ffprobe: which command is run, and what its answer means.
//!
//! Everything that reads a stranger's file goes through [`run::run`], into the [jail](crate::jail): one place to bound it.
//! Arguments are an argv, never a shell line; the input always has the same name; its format and
//! protocol must be on a list, so that no playlist, script or URL in it is followed.

mod fault;
mod folder;
mod listing;
mod look;
mod run;
mod whitelist;

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::jail::{Bounds, Jail};
use crate::media::Packets;
use crate::preset::{Cover, Plan};
use crate::spent::Spent;
pub use fault::FfmpegError;
use fault::{judge, told};
use listing::Listing;
use run::{Call, Exit};

/// The name that every input has in its job's folder, whatever it was called.
pub const INPUT_NAME: &str = "input";

/// Pixels of one frame that are still decoded: 8192x4320, the 8K of cinemas. A larger claim is a
/// bomb: each frame would take more memory than a small instance has.
pub const MAX_PIXELS: u64 = 8192 * 4320;

/// Of all frames, the part that may be unreadable before ffmpeg reports failure. Its own default
/// is two thirds, which would pass ruins as conversions; none at all would refuse camera files
/// with one bad frame.
const MAX_ERROR_RATE: &str = "0.1";

/// Looking at a file takes programs to start and disks to answer …
const PROBE_LIMIT: Duration = Duration::from_mins(10);

/// … and reading all of it without decoding. The slowest volumes, which many jobs may share, do that faster than so many bytes a second.
const PROBE_SPEED: u64 = 5_000_000;

/// An output may have this many times the bytes of its input …
const OUTPUT_TIMES: u64 = 8;

/// … and so many more: what is well compressed, or is to become a GIF, grows.
const OUTPUT_MORE: u64 = 1 << 30;

/// What ffprobe says at the end of a file that should go on: Matroska's and QuickTime's demuxers.
const CUT: [&str; 2] = ["File ended prematurely", "partial file"];

/// What Matroska's demuxer says where bytes in the middle are no part of a film: it goes on at the next that are.
const TORN: &str = "invalid as first byte of an EBML number";

/// Where the programs are and what they can do.
#[derive(Debug, Clone)]
pub struct Tools {
    ffmpeg: PathBuf,
    ffprobe: PathBuf,
    version: String,
    limits_pixels: bool,
    encoders: BTreeSet<String>,
    /// Names of the codecs that it decodes.
    decoders: BTreeSet<String>,
    jail: Jail,
    /// What has been spent on each job's folder.
    ledger: Arc<Mutex<HashMap<PathBuf, Spent>>>,
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
    /// Finds both programs on `PATH` and asks for their version and abilities. They will run in `jail`.
    ///
    /// # Errors
    /// [`FfmpegError::Machine`] if one isn't there or doesn't run.
    pub async fn find(jail: Jail) -> Result<Self, FfmpegError> {
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
            encoders: BTreeSet::new(),
            decoders: BTreeSet::new(),
            jail,
            ledger: Arc::default(),
        };
        // A folder of its own, for it becomes the jail's.
        let folder = tempfile::tempdir()
            .and_then(|folder| std::fs::write(folder.path().join(INPUT_NAME), "").map(|()| folder))
            .map_err(|error| FfmpegError::Machine(format!("can't make a folder: {error}")))?;
        let folder = folder.path();
        let mut text = String::new();
        let arguments = words(&["-version"]);
        tools
            .call(&tools.ffmpeg, &arguments, folder, INPUT_NAME, &mut |line| {
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
            .call(&tools.ffmpeg, &arguments, folder, INPUT_NAME, &mut |line| {
                limits_pixels |= line.trim_start().starts_with("-max_pixels");
            })
            .await?;
        tools.limits_pixels = limits_pixels;
        tools.encoders = tools.names("-encoders", folder, encoder).await?;
        tools.decoders = tools.names("-codecs", folder, decoded).await?;
        Ok(tools)
    }

    /// The names that ffmpeg lists by an option, as `pick` finds them in its lines.
    async fn names(
        &self,
        option: &str,
        folder: &Path,
        pick: fn(&str) -> Option<&str>,
    ) -> Result<BTreeSet<String>, FfmpegError> {
        let mut names = BTreeSet::new();
        let arguments = words(&["-hide_banner", "-v", "quiet", option]);
        self.call(&self.ffmpeg, &arguments, folder, INPUT_NAME, &mut |line| {
            names.extend(pick(line).map(str::to_owned));
        })
        .await?;
        Ok(names)
    }

    /// Whether this ffmpeg was built with that encoder.
    pub fn has_encoder(&self, name: &str) -> bool {
        self.encoders.contains(name)
    }

    /// Names of the codecs that this ffmpeg decodes.
    pub fn decoders(&self) -> &BTreeSet<String> {
        &self.decoders
    }

    /// As if it had been built without.
    #[cfg(test)]
    pub(crate) fn forget_encoder(&mut self, name: &str) {
        self.encoders.remove(name);
    }

    /// ffmpeg's version, e.g. `7.1.1-1+b1`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Reads what a file in `folder` says of itself, as ffprobe's JSON of those `entries`, and all its packets without decoding
    /// them: what is in it, whatever it says. `format` is the name of its format where its content doesn't tell it, as with
    /// single pictures.
    ///
    /// # Errors
    /// [`FfmpegError::File`] with ffprobe's last line if it can't read the file.
    pub async fn examine(
        &self,
        folder: &Path,
        name: &str,
        format: Option<&str>,
        entries: &str,
    ) -> Result<(String, Packets), FfmpegError> {
        let entries = format!("{}:{entries}", Packets::ENTRIES);
        let mut args = words(&["-v", "error", "-of", "json", "-show_entries"]);
        args.push(entries.into());
        args.extend(self.input(name, format));
        let mut listing = Listing::default();
        let exit = self
            .call(&self.ffprobe, &args, folder, name, &mut |line| {
                listing.read_line(line);
            })
            .await
            .map_err(|error| match error {
                // All that is left of "Format not on whitelist", which lists the whole list.
                FfmpegError::File(why) if why == "Invalid argument" => FfmpegError::File(
                    "the file's format is not among those that are read here".to_owned(),
                ),
                other => other,
            })?;
        if listing.is_too_long {
            return Err(FfmpegError::File(
                "the file has too many streams".to_owned(),
            ));
        }
        let mut packets = listing.packets;
        packets.cut = CUT.iter().any(|words| exit.last_line.contains(words));
        let lines = [Some(&exit.last_line), exit.first_fault.as_ref()];
        packets.torn = lines.into_iter().flatten().any(|line| line.contains(TORN));
        Ok((listing.description, packets))
    }

    /// Decodes all pictures and sounds of a file in `folder`, for at most `limit`, and tells how many pictures there were. The first
    /// fault ends it.
    ///
    /// # Errors
    /// [`FfmpegError::File`] with ffmpeg's last line if anything can't be decoded.
    pub async fn decode(
        &self,
        folder: &Path,
        name: &str,
        format: Option<&str>,
        limit: Duration,
    ) -> Result<u64, FfmpegError> {
        let args = self.decoding(name, format);
        let mut progress = Progress::default();
        let call = Call {
            program: &self.ffmpeg,
            args: &args,
            folder,
            input: name,
            bounds: Bounds::reading(limit),
        };
        let exit = self
            .run("ffmpeg", &call, &mut |line| progress.read_line(line))
            .await?;
        // Some decoders report a fault, hide it and go on.
        match exit.first_fault {
            Some(fault) => Err(FfmpegError::File(told(&fault))),
            None => Ok(progress.frames),
        }
    }

    /// Converts [`INPUT_NAME`] in `folder` by a plan, for at most `limit`. Tells `on_progress` about every half second.
    ///
    /// A good end proves little: check the output.
    ///
    /// # Errors
    /// [`FfmpegError`], with ffmpeg's last line.
    pub async fn convert(
        &self,
        folder: &Path,
        plan: &Plan,
        limit: Duration,
        on_progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Progress, FfmpegError> {
        let input = std::fs::metadata(folder.join(INPUT_NAME)).map_or(0, |facts| facts.len());
        let output_limit = input
            .saturating_mul(OUTPUT_TIMES)
            .saturating_add(OUTPUT_MORE);
        let bounds = Bounds::writing(limit, output_limit);
        let (covers, args) = (self.taking_out(&plan.covers), self.conversion(plan));
        let mut call = Call {
            program: &self.ffmpeg,
            args: &covers,
            folder,
            input: INPUT_NAME,
            bounds,
        };
        if !plan.covers.is_empty() {
            self.run("ffmpeg", &call, &mut |_| {}).await?;
        }
        call.args = &args;
        let mut progress = Progress::default();
        self.run("ffmpeg", &call, &mut |line| {
            progress.read_line(line);
            if line.starts_with("progress=") {
                on_progress(progress);
            }
        })
        .await?;
        if !progress.ended {
            return Err(FfmpegError::File(
                "ffmpeg stopped before the end".to_owned(),
            ));
        }
        Ok(progress)
    }

    /// The whole argument list of a conversion.
    fn conversion(&self, plan: &Plan) -> Vec<OsString> {
        let threads = plan.threads.to_string();
        let mut args = words(&[
            "-hide_banner",
            "-nostdin",
            "-nostats",
            "-v",
            "error",
            "-y",
            "-max_error_rate",
            if plan.salvages { "1" } else { MAX_ERROR_RATE },
            "-progress",
            "pipe:1",
            "-filter_threads",
            &threads,
            "-threads",
            &threads,
        ]);
        args.extend(plan.input.iter().map(OsString::from));
        args.extend(self.input(INPUT_NAME, None));
        args.extend(plan.args.iter().map(OsString::from));
        args
    }

    /// The whole argument list of what writes covers into files, as they are.
    fn taking_out(&self, covers: &[Cover]) -> Vec<OsString> {
        let mut args = words(&["-hide_banner", "-nostdin", "-nostats", "-v", "error", "-y"]);
        args.extend(self.input(INPUT_NAME, None));
        for Cover { stream, file, .. } in covers {
            args.extend(words(&["-map", &format!("0:{stream}"), "-c", "copy"]));
            args.extend(words(&["-frames:v", "1", "-f", "image2", "-update", "1"]));
            args.extend(words(&[&format!("file:{file}")]));
        }
        args
    }

    /// The whole argument list of a decoding.
    fn decoding(&self, name: &str, format: Option<&str>) -> Vec<OsString> {
        let mut args = words(&[
            "-hide_banner",
            "-nostdin",
            "-nostats",
            "-v",
            "error",
            "-xerror",
            "-progress",
            "pipe:1",
            // Frame threads hide faults that a single one tells: of 180 H.264 films damaged on purpose, 13 passed with them
            // and not with one (ffmpeg 5.1). They take more processor time, too.
            "-threads",
            "1",
            // The filter only smooths what has been read: a fifth of the time, and of the same films none passed for its absence.
            "-skip_loop_filter",
            "all",
        ]);
        args.extend(self.input(name, format));
        // As they come: pictures are neither repeated nor dropped to make a steady rate.
        args.extend(words(&[
            // Covers are no film: what reads them reads pictures.
            "-map",
            "0:V?",
            "-map",
            "0:a?",
            "-fps_mode",
            "passthrough",
            // Their own times, not those of a steady rate: two pictures that round to one tick of that are no fault of the film.
            "-enc_time_base:v",
            "-1",
            "-f",
            "null",
            "-",
        ]));
        args
    }

    /// The options that bound how a file is read, and the file.
    fn input(&self, name: &str, format: Option<&str>) -> Vec<OsString> {
        let formats = match format {
            Some(format) => format.to_owned(),
            None => whitelist::FORMATS.join(","),
        };
        let mut args = words(&[
            "-protocol_whitelist",
            "file",
            "-format_whitelist",
            formats.as_str(),
        ]);
        if self.limits_pixels {
            args.extend(words(&["-max_pixels", &MAX_PIXELS.to_string()]));
        }
        if let Some(format) = format {
            args.extend(words(&["-f", format]));
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
        input: &str,
        on_line: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Exit, FfmpegError> {
        let bytes = std::fs::metadata(folder.join(input)).map_or(0, |facts| facts.len());
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let call = Call {
            program,
            args,
            folder,
            input,
            bounds: Bounds::reading(PROBE_LIMIT + Duration::from_secs(bytes / PROBE_SPEED)),
        };
        self.run(&name, &call, on_line).await
    }

    /// Runs a program to its end, and returns what it said if the end is good.
    async fn run(
        &self,
        name: &str,
        call: &Call<'_>,
        on_line: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Exit, FfmpegError> {
        let began = Instant::now();
        let result = run::run(&self.jail, call, on_line).await;
        let spent = match &result {
            Ok(exit) => exit.spent,
            // It was killed; nobody was left to measure.
            Err(_) => Spent {
                wall_seconds: began.elapsed().as_secs_f64(),
                ..Spent::default()
            },
        };
        tracing::debug!("{name}: {spent}");
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = ledger.entry(call.folder.to_owned()).or_default();
        *sum = sum.and(spent);
        drop(ledger);
        judge(name, result, self.jail.limits(), call.bounds)
    }

    /// What was spent on the files of a job's folder since this was last asked.
    pub fn take_spent(&self, folder: &Path) -> Option<Spent> {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.remove(folder)
    }
}

/// The name in a line of `ffmpeg -encoders`: ` V....D libx264  …`. Others have `=` there, or no flags.
fn encoder(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let flags = words.next()?;
    let is_flags = flags.len() == 6
        && flags.starts_with(['V', 'A', 'S'])
        && flags.bytes().all(|b| b == b'.' || b.is_ascii_uppercase());
    words.next().filter(|name| is_flags && *name != "=")
}

/// The codec in a line of `ffmpeg -codecs` that is decoded: ` DEVI.S h264  …`.
fn decoded(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let flags = words.next()?;
    let is_flags = flags.len() == 6
        && flags.starts_with('D')
        && flags.bytes().all(|b| b == b'.' || b.is_ascii_uppercase());
    words.next().filter(|name| is_flags && *name != "=")
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
                ended: true,
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
            encoders: BTreeSet::new(),
            decoders: BTreeSet::new(),
            jail: Jail::bare(),
            ledger: Arc::default(),
        };
        let mut plan = Plan {
            threads: 3,
            args: vec!["-an".to_owned(), "file:output.mov".to_owned()],
            ..Plan::default()
        };
        let args = tools.conversion(&plan);
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
        assert!(line.contains(" -filter_threads 3 -threads 3 "), "{line}");
        assert!(line.contains(" -max_error_rate 0.1 "), "{line}");
        plan.input = vec!["-fflags".to_owned(), "+genpts".to_owned()];
        plan.salvages = true;
        let args = tools.conversion(&plan);
        let line: Vec<&str> = args.iter().map(|a| a.to_str().unwrap()).collect();
        let line = line.join(" ");
        assert!(
            line.contains(" -fflags +genpts -protocol_whitelist "),
            "{line}"
        );
        assert!(line.contains(" -max_error_rate 1 "), "{line}");
        let args = tools.decoding("output.mov", None);
        let line: Vec<&str> = args.iter().map(|a| a.to_str().unwrap()).collect();
        let line = line.join(" ");
        // Each is needed to hear of every fault.
        for options in [
            " -v error -xerror ",
            " -threads 1 ",
            " -fps_mode passthrough -enc_time_base:v -1 ",
        ] {
            assert!(line.contains(options), "{line}");
        }
        assert!(line.contains(" -i file:output.mov "), "{line}");
    }

    #[test]
    fn encoders_are_read() {
        let text = "Encoders:\n V..... = Video\n ------\n V....D libx264              libx264 H.264\n \
            A....D aac                  AAC (Advanced Audio Coding)\n";
        let names: Vec<&str> = text.lines().filter_map(encoder).collect();
        assert_eq!(names, ["libx264", "aac"]);
        let text = "Codecs:\n D..... = Decoding supported\n .E.... = Encoding supported\n -------\n \
            D.VI.S 012v                 Uncompressed 4:2:2 10-bit\n ..AI.S ac4                  AC-4\n \
            DEVILS av1                  Alliance for Open Media AV1\n";
        let names: Vec<&str> = text.lines().filter_map(decoded).collect();
        assert_eq!(names, ["012v", "av1"]);
    }
}

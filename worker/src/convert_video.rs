//! The article's service: converts one video by a preset.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::certificate::{self, Certificate, Examined, playlist};
use crate::ffmpeg::{self, FfmpegError, INPUT_NAME, Tools};
use crate::jail::Jail;
use crate::media::{Media, Span};
use crate::message::InputMessage;
use crate::preset::{self, Check, Facts, Plan, Preset, Presets, Sound, Streams};
use crate::selection;
use crate::service::{OutputFile, Progress, Service, ServiceError, Task};
use crate::spent::Spent;
use crate::text::printable_short;

/// A conversion may take this many times as long as its film: a small instance encodes large
/// pictures at a twentieth of their speed.
const SECONDS_A_SECOND: f64 = 30.0;

/// … and this long in any case, in seconds, for programs to start and disks to answer.
const LEAST_LIMIT: f64 = 600.0;

/// … but never longer, in seconds: SQS takes a message back 12 hours after it was received,
/// whatever the worker asks, and there must be time left to store the output.
const MOST_LIMIT: f64 = 11.0 * 3600.0;

/// Decoding an output may take what is left of its conversion's time, and this long in any case.
const LEAST_DECODING: Duration = Duration::from_mins(10);

/// Converts videos with ffmpeg.
#[derive(Debug)]
pub struct ConvertVideo {
    tools: Tools,
}

impl ConvertVideo {
    /// The article's name for it.
    pub const NAME: &str = "ConvertVideo";

    /// Finds ffmpeg, which will run in `jail`.
    ///
    /// # Errors
    /// [`FfmpegError::Machine`] if it isn't there.
    pub async fn new(jail: Jail) -> Result<Self, FfmpegError> {
        Ok(Self {
            tools: Tools::find(jail).await?,
        })
    }

    async fn examine(
        &self,
        folder: &Path,
        name: &str,
        format: Option<&str>,
    ) -> Result<Examined, FfmpegError> {
        let (text, packets) = self
            .tools
            .examine(folder, name, format, Media::ENTRIES)
            .await?;
        let media = Media::parse(&text).map_err(|error| {
            FfmpegError::Machine(format!("ffprobe's answer can't be read: {error}"))
        })?;
        Ok(Examined {
            media,
            packets,
            decoded: None,
        })
    }

    /// The same of an output, which must decode without a fault.
    async fn examine_output(
        &self,
        folder: &Path,
        name: &str,
        format: Option<&str>,
        limit: Duration,
    ) -> Result<Examined, FfmpegError> {
        let mut examined = self.examine(folder, name, format).await?;
        examined.decoded = Some(self.tools.decode(folder, name, format, limit).await?);
        Ok(examined)
    }

    /// Converts by a plan and checks what came of it.
    async fn carry_out(
        &self,
        plan: &Plan,
        source: &Examined,
        span: Span,
        work: &Path,
        progress: &Progress,
    ) -> Result<Vec<OutputFile>, ServiceError> {
        let (began, limit) = (Instant::now(), time_limit(span.length()));
        let goal = goal(plan, span);
        let mut told = 0;
        let made = self
            .tools
            .convert(work, plan, limit, &mut |made| {
                progress.report(made.out_time_us as f64 / 1e6, goal);
                // A line every ten seconds of film at most: consoles keep 64 KiB.
                let seconds = made.out_time_us / 1_000_000;
                if seconds >= told + 10 {
                    told = seconds;
                    tracing::info!("converted {seconds} s of {goal:.0} s");
                }
            })
            .await?;
        let left = limit.saturating_sub(began.elapsed());
        self.check(source, plan, made, work, left.max(LEAST_DECODING))
            .await
    }

    /// Checks the files that a plan promised, in its order.
    async fn check(
        &self,
        source: &Examined,
        plan: &Plan,
        made: ffmpeg::Progress,
        work: &Path,
        limit: Duration,
    ) -> Result<Vec<OutputFile>, ServiceError> {
        // Only of the first film it is known how many frames were written.
        let mut written = Some(made.frames);
        let mut certificates = BTreeMap::new();
        for planned in &plan.files {
            let Check::Media(expect) = &planned.check else {
                continue;
            };
            let name = planned.file.as_str();
            let format = certificate::format_of_pictures(expect);
            let result = self
                .examine_output(work, name, format, limit)
                .await
                .map_err(|error| match error {
                    FfmpegError::File(why) => {
                        ServiceError::File(format!("the output can't be read: {why}"))
                    }
                    FfmpegError::Machine(why) => ServiceError::Machine(why),
                })?;
            let frames = written.take().filter(|_| expect.video.is_some());
            let version = self.tools.version();
            let certificate = certificate::check_output(source, &result, frames, expect, version)
                .map_err(ServiceError::File)?;
            certificates.insert(name, certificate);
        }
        for planned in &plan.files {
            let certificate = match &planned.check {
                Check::Media(_) => continue,
                Check::Master(playlists) => {
                    let text = read_playlist(&work.join(&planned.file))?;
                    playlist::check_master(&text, playlists).map(|()| Certificate::default())
                }
                Check::Playlist(media) => {
                    let text = read_playlist(&work.join(&planned.file))?;
                    let bytes = std::fs::metadata(work.join(media))
                        .map_err(|e| ServiceError::Machine(format!("can't read {media}: {e}")))?
                        .len();
                    let seconds = certificates
                        .get(media.as_str())
                        .map_or(0.0, |c: &Certificate| c.output_seconds);
                    playlist::check(&text, media, bytes, seconds)
                }
            }
            .map_err(|why| ServiceError::File(format!("the output is not right: {why}")))?;
            certificates.insert(
                planned.file.as_str(),
                Certificate {
                    ffmpeg: self.tools.version().to_owned(),
                    ..certificate
                },
            );
        }
        Ok(plan
            .files
            .iter()
            .map(|planned| OutputFile {
                path: work.join(&planned.file),
                name: planned.name.clone(),
                mime: planned.mime.clone(),
                certificate: certificates.remove(planned.file.as_str()),
            })
            .collect())
    }
}

/// The preset that a message asks for: a built-in one, or the one that it brings along.
fn preset_of(message: &InputMessage) -> Result<Cow<'static, Preset>, ServiceError> {
    let name = message.preset.as_deref().unwrap_or(preset::DEFAULT);
    if let Some(definition) = &message.preset_definition {
        return Preset::from_definition(name, definition)
            .map(Cow::Owned)
            .map_err(|error| ServiceError::File(error.to_string()));
    }
    Presets::builtin()
        .get(name)
        .map(Cow::Borrowed)
        .ok_or_else(|| {
            let known: Vec<&str> = Presets::builtin().names().collect();
            ServiceError::File(format!(
                "there is no preset `{}`; known: {}",
                printable_short(name, 60),
                known.join(", ")
            ))
        })
}

/// What of an input decides how it is converted.
fn facts_of(source: &Examined, span: Span) -> Facts {
    let video = source.media.video();
    Facts {
        width: video.map_or(0, |v| v.width),
        height: video.map_or(0, |v| v.height),
        seconds: span.length(),
        sound: source.media.of_kind("audio").next().is_some(),
        codecs: source
            .media
            .streams
            .iter()
            .filter(|s| !s.cover && ["video", "audio", "subtitle"].contains(&s.kind.as_str()))
            .map(|s| s.codec.clone())
            .collect(),
        streams: Some(Streams {
            videos: source.media.videos().map(|one| one.index).collect(),
            hevc: video.is_some_and(|one| one.codec == "hevc"),
            sounds: source
                .media
                .of_kind("audio")
                .map(|one| Sound {
                    index: one.index,
                    channels: one.channels,
                    default: one.default,
                })
                .collect(),
            subtitles: source
                .media
                .of_kind("subtitle")
                .map(|one| one.index)
                .collect(),
        }),
    }
}

fn read_playlist(path: &Path) -> Result<String, ServiceError> {
    let missing = |why: String| ServiceError::File(format!("the output can't be read: {why}"));
    let bytes = std::fs::metadata(path).map_err(|e| missing(e.to_string()))?;
    if bytes.len() > playlist::MAX_BYTES {
        return Err(missing("the playlist is too long".to_owned()));
    }
    std::fs::read_to_string(path).map_err(|e| missing(e.to_string()))
}

/// Seconds of film after which a plan's longest output is done; 0 where only pictures are made, of which none can tell.
fn goal(plan: &Plan, span: Span) -> f64 {
    let of_output = |check: &Check| match check {
        Check::Media(expect) if expect.pictures.is_none() => Some(
            expect
                .seconds
                .map_or(f64::INFINITY, f64::from)
                .min(span.length()),
        ),
        _ => None,
    };
    let seconds = plan.files.iter().filter_map(|file| of_output(&file.check));
    seconds.fold(0.0, f64::max)
}

/// How long converting a film of that many seconds may take.
fn time_limit(seconds: f64) -> Duration {
    Duration::from_secs_f64((LEAST_LIMIT + seconds.max(0.0) * SECONDS_A_SECOND).min(MOST_LIMIT))
}

#[async_trait]
impl Service for ConvertVideo {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn task(&self, message: &InputMessage) -> Result<Task, ServiceError> {
        let preset = preset_of(message)?;
        if let Some(missing) = preset.encoders().find(|e| !self.tools.has_encoder(e)) {
            return Err(ServiceError::File(format!(
                "the preset `{}` needs the encoder {missing}, which this machine's ffmpeg {} lacks",
                preset.name,
                self.tools.version()
            )));
        }
        Ok(Task {
            digest: preset.digest(),
            preset: Some(preset.name.clone()),
        })
    }

    async fn process_file(
        &self,
        input: &Path,
        message: &InputMessage,
        work: &Path,
        progress: &Progress,
    ) -> Result<Vec<OutputFile>, ServiceError> {
        let preset = preset_of(message)?;
        // ffmpeg sees fixed names only. A hard link costs nothing; the frame's own file has this
        // name already.
        let given = work.join(INPUT_NAME);
        if given != input {
            std::fs::hard_link(input, &given).map_err(|error| {
                ServiceError::Machine(format!("can't link {}: {error}", input.display()))
            })?;
        }
        let mut source = self.examine(work, INPUT_NAME, None).await?;
        let decoders = (!preset.copies()).then(|| self.tools.decoders());
        for one in selection::select(&mut source.media, &source.packets, decoders) {
            tracing::info!(
                "{} is left out: {}",
                printable_short(&one.what, 60),
                printable_short(&one.why, 100)
            );
        }
        let pictures = preset.outputs.iter().any(|o| o.expect.video.is_some());
        let span = if pictures {
            certificate::check_input(&source).map_err(ServiceError::File)?
        } else {
            certificate::check_sound(&source).map_err(ServiceError::File)?
        };
        let facts = facts_of(&source, span);
        let plans = preset.plans(&facts).map_err(ServiceError::File)?;
        let mut failure = None;
        for plan in &plans {
            match self.carry_out(plan, &source, span, work, progress).await {
                // What a container takes is known in full by its writer only.
                Err(ServiceError::File(why)) => failure = Some(why),
                done => return done,
            }
        }
        Err(ServiceError::File(failure.unwrap_or_default()))
    }

    fn spent(&self, work: &Path) -> Option<Spent> {
        self.tools.take_spent(work)
    }
}

impl From<FfmpegError> for ServiceError {
    fn from(error: FfmpegError) -> Self {
        match error {
            FfmpegError::File(why) => Self::File(why),
            FfmpegError::Machine(why) => Self::Machine(why),
        }
    }
}

#[cfg(test)]
mod tests;

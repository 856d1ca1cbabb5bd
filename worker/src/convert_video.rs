//! The article's service: converts one video by a preset.

mod facts;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};

use crate::certificate::{self, Certificate, Examined, Extent, playlist, transport};
use crate::ffmpeg::{self, FfmpegError, INPUT_NAME, Tools};
use crate::jail::Jail;
use crate::media::{Media, Span};
use crate::message::InputMessage;
use crate::picture::{PAUSE_SECONDS, Picture, Scan, Sizes};
use crate::preset::{self, Check, Expectation, Output, Plan, PlannedFile, Preset, Presets, Rate};
use crate::selection;
use crate::service::{Made, OutputFile, Progress, Service, ServiceError, Task};
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
        let mut examined = Examined {
            media,
            packets,
            ..Examined::default()
        };
        if examined.has_jumping_times() {
            examined.packets.mend();
        }
        if let Some(video) = examined.media.video()
            && let Some((n, d)) = [video.mean_rate, video.rate]
                .into_iter()
                .find(|(n, _)| *n > 0)
        {
            let seconds = f64::from(d) / f64::from(n);
            examined.packets.follow_one_another(video.index, seconds);
        }
        if examined.media.is_format("matroska")
            && let Some(video) = examined.media.video()
        {
            for end in [video.end, examined.media.duration].into_iter().flatten() {
                examined.packets.bound(video.index, end);
            }
        }
        Ok(examined)
    }

    /// Looks at some pictures of a film that are to be coded anew, and takes in what they tell that the header doesn't.
    async fn look(
        &self,
        work: &Path,
        source: &mut Examined,
        span: Span,
    ) -> Result<Option<Picture>, FfmpegError> {
        let Some(video) = source.media.video().cloned() else {
            return Ok(None);
        };
        let mut picture = Picture::of(&video);
        if span.length() > 0.0 {
            // Headers of some formats tell another rate than their pictures have.
            picture.rate = span.count as f64 / span.length();
        }
        picture.last = source.packets.last_picture(video.index);
        picture.has_pauses = source.packets.longest_step(video.index) > PAUSE_SECONDS;
        picture.ends_slowly = source.packets.last_steps(video.index) > PAUSE_SECONDS;
        if source.may_change_size() {
            let sizes = of_file(self.tools.sizes(work, video.index).await)?;
            picture.sizes = Sizes::of(sizes.unwrap_or_default());
            if let Some(canvas) = picture.sizes.canvas() {
                picture.size = (canvas.width, canvas.height);
                picture.pixel = canvas.pixel;
                if let Some(video) = source.media.video_mut() {
                    (video.width, video.height) = picture.size;
                    video.pixel = canvas.pixel;
                }
            }
        }
        let look = self
            .tools
            .look(work, video.index, span.start, span.length());
        let Some(mut look) = of_file(look.await)? else {
            // Whatever is wrong with it, the conversion tells.
            return Ok(Some(picture));
        };
        if look.marked > 0 {
            let fields = self.tools.look_at_fields(work, video.index, span.length());
            look.fields = of_file(fields.await)?.unwrap_or_default();
        }
        picture.scan = Scan::of(&look);
        tracing::debug!("{look:?}: {:?}", picture.scan);
        picture.color.complete(&look.color);
        if let Some(video) = source.media.video_mut() {
            video.is_interlaced |= look.marked > 0;
            video.has_captions = look.has_captions;
        }
        Ok(Some(picture))
    }

    /// The same of an output, which must decode without a fault unless it is a copy of what is damaged.
    async fn examine_output(
        &self,
        folder: &Path,
        name: &str,
        format: Option<&str>,
        is_fragmented: bool,
        may_be_damaged: bool,
        limit: Duration,
    ) -> Result<Examined, FfmpegError> {
        let mut examined = self.examine(folder, name, format).await?;
        // The parts of a fragmented MP4 don't say how long the last picture is shown; what ffprobe tells of it comes from the rate.
        for stream in &examined.media.streams {
            if let Some(seconds) = stream.duration {
                examined.packets.close(stream.index, seconds, is_fragmented);
            }
        }
        match self.tools.decode(folder, name, format, limit).await {
            Err(FfmpegError::File(why)) if may_be_damaged => examined.fault = Some(why),
            decoded => examined.decoded = Some(decoded?),
        }
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
        // Of films with all their sounds.
        let mut lengths = BTreeMap::new();
        for planned in &plan.files {
            let Check::Media(expect) = &planned.check else {
                continue;
            };
            let name = planned.file.as_str();
            let format = certificate::format_of_pictures(expect);
            let is_copy = expect.video.as_deref() == Some(Expectation::COPY);
            let may_be_damaged = source.is_salvaged && is_copy;
            let is_fragmented = plan.is_fragmented(name);
            let result = self
                .examine_output(work, name, format, is_fragmented, may_be_damaged, limit)
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
            lengths.insert(name, result.packets.whole().map_or(0.0, |s| s.length()));
        }
        for planned in &plan.files {
            let certificate = match &planned.check {
                Check::Media(_) => continue,
                Check::Master(playlists) => {
                    let path = work.join(&planned.file);
                    let mut text = read_playlist(&path)?;
                    if playlist::is_empty_master(&text) {
                        let variants = variants(plan, work, &certificates, &lengths);
                        text = playlist::write_master(&variants);
                        write_playlist(&path, &text)?;
                    }
                    playlist::check_master(&text, playlists).map(|()| Certificate::default())
                }
                Check::Playlist(media) => {
                    let path = work.join(&planned.file);
                    let mut text = read_playlist(&path)?;
                    let seconds = lengths.get(media.as_str()).copied().unwrap_or_default();
                    if let Some(fitted) = playlist::fitted(&text, seconds) {
                        write_playlist(&path, &fitted)?;
                        text = fitted;
                    }
                    let bytes = std::fs::metadata(work.join(media))
                        .map_err(|e| ServiceError::Machine(format!("can't read {media}: {e}")))?
                        .len();
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

/// What a plan made of each size of a ladder.
fn variants<'a>(
    plan: &'a Plan,
    work: &Path,
    certificates: &BTreeMap<&str, Certificate>,
    lengths: &BTreeMap<&str, f64>,
) -> Vec<playlist::Variant<'a>> {
    let variant = |planned: &'a PlannedFile| {
        let Check::Playlist(media) = &planned.check else {
            return None;
        };
        Some(playlist::Variant {
            playlist: &planned.file,
            bytes: std::fs::metadata(work.join(media)).ok()?.len(),
            seconds: *lengths.get(media.as_str())?,
            size: certificates.get(media.as_str())?.size,
        })
    };
    plan.files.iter().filter_map(variant).collect()
}

/// Identifies the work: what is made of a damaged file differs by whether it is salvaged.
fn digest_of(preset: &Preset, salvage: bool) -> String {
    let digest = preset.digest();
    if salvage {
        hex::encode(Sha256::digest(digest + "\nsalvage"))
    } else {
        digest
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

/// Of the longest of these, of films and sounds.
fn extent(preset: &Preset, outputs: &[OutputFile]) -> Extent {
    let certificates: Vec<&Certificate> = outputs
        .iter()
        .filter_map(|one| one.certificate.as_ref())
        .collect();
    let keeps_all = |output: &Output| {
        output.expect.rate == Some(Rate::Source) && output.expect.seconds.is_none()
    };
    let frames = certificates.iter().map(|one| one.output_frames).max();
    Extent {
        seconds: certificates
            .iter()
            .map(|one| one.output_seconds)
            .fold(0.0, f64::max),
        frames: frames.filter(|_| preset.outputs.iter().any(keeps_all)),
        fault: certificates.iter().find_map(|one| one.fault.clone()),
    }
}

/// Nothing, if the file is at fault.
fn of_file<T>(result: Result<T, FfmpegError>) -> Result<Option<T>, FfmpegError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(FfmpegError::File(_)) => Ok(None),
        Err(machine) => Err(machine),
    }
}

/// Bytes in front of a capture's first whole packet.
fn transport_lead(source: &Examined, input: &Path) -> Result<u64, ServiceError> {
    if !source.media.is_format("mpegts") {
        return Ok(0);
    }
    let mut head = Vec::new();
    std::fs::File::open(input)
        .and_then(|file| file.take(transport::HEAD).read_to_end(&mut head))
        .map_err(|error| ServiceError::Machine(format!("can't read the input: {error}")))?;
    Ok(transport::lead(&head))
}

fn read_playlist(path: &Path) -> Result<String, ServiceError> {
    let missing = |why: String| ServiceError::File(format!("the output can't be read: {why}"));
    let bytes = std::fs::metadata(path).map_err(|e| missing(e.to_string()))?;
    if bytes.len() > playlist::MAX_BYTES {
        return Err(missing("the playlist is too long".to_owned()));
    }
    std::fs::read_to_string(path).map_err(|e| missing(e.to_string()))
}

fn write_playlist(path: &Path, text: &str) -> Result<(), ServiceError> {
    std::fs::write(path, text)
        .map_err(|error| ServiceError::Machine(format!("can't write the playlist: {error}")))
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
            digest: digest_of(&preset, message.salvage),
            preset: Some(preset.name.clone()),
        })
    }

    async fn process_file(
        &self,
        input: &Path,
        message: &InputMessage,
        work: &Path,
        progress: &Progress,
    ) -> Result<Made, ServiceError> {
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
        source.is_salvaged = message.salvage;
        source.lead = transport_lead(&source, input)?;
        let whole = source.media.clone();
        let decoders = (!preset.copies()).then(|| self.tools.decoders());
        let unusable = selection::select(&mut source.media, &source.packets, decoders);
        let pictures = preset.outputs.iter().any(|o| o.expect.video.is_some());
        let span = if pictures {
            certificate::check_input(&source).map_err(ServiceError::File)?
        } else {
            certificate::check_sound(&source).map_err(ServiceError::File)?
        };
        let picture = if preset.recodes_video() {
            self.look(work, &mut source, span).await?
        } else {
            None
        };
        let facts = facts::of(&source, span, picture);
        let plans = preset.plans(&facts).map_err(ServiceError::File)?;
        let mut failure = None;
        for plan in &plans {
            match self.carry_out(plan, &source, span, work, progress).await {
                // What a container takes is known in full by its writer only; what is wrong with a film, the first tells.
                Err(ServiceError::File(why)) => failure = failure.or(Some(why)),
                Err(other) => return Err(other),
                Ok(outputs) => {
                    let left_out = selection::left_out(&whole, unusable, plan, &preset)
                        .into_iter()
                        .chain(facts::lost_in_coding(&source, &preset));
                    return Ok(Made {
                        warning: certificate::damage(&source, extent(&preset, &outputs)),
                        outputs,
                        left_out: left_out.map(|one| one.to_string()).collect(),
                    });
                }
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

//! The check of an output, before it is published.
//!
//! ffmpeg's exit code is not believed: half a file converts with code 0. An output is right if it
//! has the streams, codecs, size and rate that the preset promises, and is as long as the input
//! both declares and holds. What was compared is kept in the verdict.

mod color;
mod film;
mod picture;
pub mod playlist;
mod size;
mod sound;
mod subtitle;
pub mod transport;

use serde::{Deserialize, Serialize};

use crate::ffmpeg::MAX_PIXELS;
use crate::media::{Media, Packets, Span, Stream};
use crate::preset::Expectation;
use crate::text::quantity;

/// Lengths may differ by this many seconds: containers round, sound has padding.
const TOLERANCE_SECONDS: f64 = 0.5;

/// … or by this part of the length, for headers that guess from a bit rate.
const TOLERANCE_PART: f64 = 0.02;

/// The part by which the number of frames may differ where each frame is kept: some formats have
/// packets that show nothing.
const TOLERANCE_FRAMES: f64 = 0.05;

/// A film may be longer than this only if …
const FREE_SECONDS: f64 = 600.0;

/// … its file has so many bytes for each second more. A still picture at one frame a second takes as much in the
/// thriftiest formats; less is a header's lie or a gap between two frames, for which a constant rate would make millions.
const LEAST_BYTES_A_SECOND: f64 = 20.0;

/// A film is not longer than this, in seconds: a day.
const MOST_SECONDS: f64 = 86_400.0;

/// A file has at most so many streams; films with all languages on them have 40.
const MOST_STREAMS: usize = 64;

/// What was measured of an output that passed, and of its input.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// Seconds of video that the input's header declares, if it does. Of sound alone, this and the
    /// next ones are of the first sound.
    pub input_declared_seconds: Option<f64>,
    /// Seconds of video that are in the input.
    pub input_seconds: f64,
    /// Video packets in the input.
    pub input_packets: u64,
    /// Seconds that the output's header declares, if it does.
    pub output_declared_seconds: Option<f64>,
    /// Seconds of video that are in the output.
    pub output_seconds: f64,
    /// Video frames in the output.
    pub output_frames: u64,
    /// Video frames that were decoded of the output, without a fault.
    #[serde(default)]
    pub decoded_frames: Option<u64>,
    /// Width and height of the output.
    pub size: (u32, u32),
    /// Codecs of the output's video and audio streams.
    pub codecs: Vec<String>,
    /// What can't be decoded of the output of a salvaged file, whose streams are copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Segments that a playlist names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segments: Option<u64>,
    /// The version of ffmpeg that converted and checked.
    pub ffmpeg: String,
}

/// A file's description and its packets.
#[derive(Debug, Clone, Default)]
pub struct Examined {
    pub media: Media,
    pub packets: Packets,
    /// Video frames that were decoded, if they were.
    pub decoded: Option<u64>,
    /// What can't be decoded, if that is no reason to refuse it.
    pub fault: Option<String>,
    /// Bytes in front of the first whole packet of a transport stream.
    pub lead: u64,
    /// It is converted as far as it decodes: of what is missing is warned, see [`damage`].
    pub is_salvaged: bool,
}

/// Codecs whose pictures may change their size in the middle, in containers that don't tell it.
const SIZE_CHANGES: [&str; 10] = [
    "h264",
    "hevc",
    "av1",
    "vp8",
    "vp9",
    "mpeg1video",
    "mpeg2video",
    "mpeg4",
    "flv1",
    "vc1",
];

/// Formats of sound whose files begin with the first packet. MP3 may have a header.
const HEADERLESS: [&str; 7] = ["aac", "ac3", "eac3", "dts", "dtshd", "truehd", "mlp"];

impl Examined {
    /// Whether times may begin anew in the middle: in what is received, and in what is joined of that. (Formats with
    /// `AVFMT_TS_DISCONT` in ffmpeg, whose times it mends.)
    pub fn has_jumping_times(&self) -> bool {
        ["mpegts", "mpeg", "ogg"]
            .iter()
            .any(|format| self.media.is_format(format))
    }

    /// Whether a length that ffprobe tells may be its guess, of the size and the first packets' bit rate.
    fn guesses_length(&self) -> bool {
        let has_no_header = HEADERLESS.iter().any(|format| self.media.is_format(format));
        let guess = self
            .media
            .size
            .zip(self.media.sound().and_then(|s| s.bit_rate));
        let guess = guess.map(|(bytes, rate)| bytes as f64 * 8.0 / rate);
        let is_guess = |declared: f64| {
            guess.is_some_and(|guess| (declared / guess - 1.0).abs() < TOLERANCE_PART)
        };
        has_no_header || (self.media.is_format("mp3") && self.media.duration.is_some_and(is_guess))
    }

    /// Whether pictures may have other sizes than the first: not in MP4 and AVI, whose headers say one for all.
    pub fn may_change_size(&self) -> bool {
        let is_fixed = self.media.is_format("mov") || self.media.is_format("avi");
        let codec = self.media.video().map(|video| video.codec.as_str());
        !is_fixed && codec.is_some_and(|codec| SIZE_CHANGES.contains(&codec))
    }
}

/// An input with moving pictures that can be converted: as many as it says.
///
/// # Errors
/// A sentence for a person.
pub fn check_input(input: &Examined) -> Result<Span, String> {
    check_streams(input)?;
    let video = input.media.video().ok_or("the file has no video stream")?;
    // Where the first picture is larger than that ffprobe tells no size at all.
    let pixels = u64::from(video.width) * u64::from(video.height);
    if pixels == 0 || pixels > MAX_PIXELS {
        return Err(format!(
            "its pictures have no size, or more than the {MAX_PIXELS} pixels that are decoded"
        ));
    }
    let span = input
        .packets
        .of(video.index)
        .ok_or("the file's video stream is empty")?;
    if !input.is_salvaged {
        check_whole(input, video, span)?;
    }
    check_length(span.length(), input.media.size)?;
    Ok(span)
}

/// Whether all that a file announces of its film is in it.
fn check_whole(input: &Examined, video: &Stream, span: Span) -> Result<(), String> {
    check_torn(input)?;
    check_declared(input, video, span, 2.0 * frame_seconds(video))?;
    // In an AVI cut short ffprobe corrects the length, but not the number of frames; among which are those that only hold the
    // one before.
    let (n, d) = video.rate;
    let times = span.length() * f64::from(n) / f64::from(d.max(1));
    let held = ((span.count + input.packets.hidden(video.index)) as f64).max(times);
    if let Some(declared) = video.frames
        && held < declared as f64 * (1.0 - TOLERANCE_FRAMES) - 2.0
    {
        return Err(format!(
            "the file is cut short or damaged: its header declares {declared} frames, \
             but {} are in it",
            span.count
        ));
    }
    Ok(())
}

/// What was made of a file: the longest of its outputs.
#[derive(Debug, Clone, Default)]
pub struct Extent {
    pub seconds: f64,
    /// Pictures, where all of the input's are in an output.
    pub frames: Option<u64>,
    /// What can't be decoded of it.
    pub fault: Option<String>,
}

/// From when to when there is nothing in a file that has sound beside its pictures, as one sentence for a person: in those that
/// have only pictures it may be what they show.
fn holes(input: &Examined) -> Option<String> {
    let media = &input.media;
    let (video, sound) = (media.video()?, media.sound()?);
    let holes = input.packets.holes(&[video.index, sound.index]);
    let (from, to) = holes.first()?;
    let more = match holes.len() {
        1 => String::new(),
        count => format!(", and in {} more", quantity(count as u64 - 1, "place")),
    };
    Some(format!(
        "from {from:.1} s to {to:.1} s nothing is in the file{more}"
    ))
}

/// Codecs that have a picture in each packet, or a field.
const PICTURE_A_PACKET: [&str; 4] = ["h264", "hevc", "mpeg2video", "mpeg1video"];

/// How many pictures of a file could not be decoded, as a sentence for a person.
fn lost(input: &Examined, made: &Extent) -> Option<String> {
    let video = input.media.video()?;
    let tells = PICTURE_A_PACKET.contains(&video.codec.as_str()) && !video.is_interlaced;
    let frames = made.frames.filter(|_| tells)?;
    let count = input.packets.of(video.index)?.count;
    let lead = input.packets.undecodable_lead(video.index);
    let lost = count.checked_sub(frames + lead.map_or(0, |(lead, _)| lead))?;
    // The decoder of MPEG-2 loses one where the shape changes.
    (lost > 1).then(|| {
        format!(
            "{lost} of the {} in the file could not be decoded",
            quantity(count, "picture")
        )
    })
}

/// What is missing in the outputs of a file, as one sentence for a person; `None` if nothing is. More can only be missing in
/// those of a salvaged one.
pub fn damage(input: &Examined, made: Extent) -> Option<String> {
    let holes = holes(input);
    if !input.is_salvaged {
        return joined(lost(input, &made).into_iter().chain(holes));
    }
    let stream = input.media.video().or(input.media.sound())?;
    let span = input.packets.of(stream.index)?;
    let whole = if stream.kind == "video" {
        check_whole(input, stream, span)
    } else {
        check_declared(input, stream, span, 0.0)
    };
    let slack = 2.0 * frame_seconds(stream);
    let seconds = made.seconds;
    let lacks = seconds > 0.0 && seconds < span.length() && !agree(seconds, span.length(), slack);
    let lack = lacks.then(|| {
        format!(
            "{seconds:.1} s of the {:.1} s in the file could be converted",
            span.length()
        )
    });
    let lost = lost(input, &made).filter(|_| !lacks);
    let fault = made
        .fault
        .map(|why| format!("what is damaged in the file is so in the result: {why}"));
    let sentences = whole
        .err()
        .into_iter()
        .chain(lack)
        .chain(lost)
        .chain(holes)
        .chain(fault);
    joined(sentences)
}

/// Sentences as one; `None` of none.
fn joined(sentences: impl Iterator<Item = String>) -> Option<String> {
    let sentences: Vec<String> = sentences.collect();
    (!sentences.is_empty()).then(|| sentences.join("; "))
}

fn check_torn(input: &Examined) -> Result<(), String> {
    if input.packets.torn {
        return Err(
            "the file is damaged: bytes in the middle of it are no part of a film".to_owned(),
        );
    }
    Ok(())
}

fn check_streams(input: &Examined) -> Result<(), String> {
    let streams = input.media.streams.len();
    if streams > MOST_STREAMS {
        return Err(format!(
            "the file has {streams} streams, more than the {MOST_STREAMS} that a file may have"
        ));
    }
    Ok(())
}

/// Whether the file ends where more was announced. A Matroska file that declares its length, and has it, has lost a
/// frame or two of its end at most.
fn is_cut(input: &Examined, declares_length: bool) -> bool {
    if input.media.is_format("mpegts") {
        let packets = input.media.size.map(|size| size.saturating_sub(input.lead));
        return packets.is_some_and(transport::is_torn);
    }
    input.packets.cut && !(input.media.is_format("matroska") && declares_length)
}

/// Whether a file of that many bytes may hold a film of so many seconds.
fn check_length(seconds: f64, bytes: Option<u64>) -> Result<(), String> {
    let most = bytes.map_or(MOST_SECONDS, |bytes| {
        (FREE_SECONDS + bytes as f64 / LEAST_BYTES_A_SECOND).min(MOST_SECONDS)
    });
    if seconds > most {
        return Err(format!(
            "the film is {seconds:.0} s long, more than the {most:.0} s that a file of this size may have"
        ));
    }
    Ok(())
}

/// An input with sound that can be converted: as much as it says.
///
/// # Errors
/// A sentence for a person.
pub fn check_sound(input: &Examined) -> Result<Span, String> {
    sound::check_input(input).map(|(_, span)| span)
}

/// The format that a file of still pictures must be read as: its content tells ffprobe of several.
pub fn format_of_pictures(expect: &Expectation) -> Option<&str> {
    expect.pictures.map(|_| expect.container.as_str())
}

/// Whether a file holds as much as its header declares of a stream, or of the whole.
fn check_declared(input: &Examined, stream: &Stream, span: Span, slack: f64) -> Result<(), String> {
    let whole = input.packets.whole().map_or(0.0, |s| s.length().max(s.end));
    // Matroska counts from zero, wherever the film begins.
    let held = [span.length().max(span.end), whole];
    let declared: Vec<(f64, f64)> = [(stream.duration, held[0]), (input.media.duration, held[1])]
        .into_iter()
        .filter_map(|(declared, held)| declared.filter(|d| *d > 0.0).map(|d| (d, held)))
        .collect();
    // Headers of streams and of files are written by different hands; one that is right is enough. In a file cut short both
    // are wrong, and less is in it. Broadcasts have no header: what ffprobe tells of their length it guesses.
    let is_short =
        |(declared, held): &(f64, f64)| held < declared && !agree(*declared, *held, slack);
    if !declared.is_empty()
        && !input.has_jumping_times()
        && !input.guesses_length()
        && declared.iter().all(is_short)
    {
        let (declared, held) = declared[0];
        return Err(format!(
            "the file is cut short or damaged: its header declares {declared:.1} s, \
             but {held:.1} s are in it"
        ));
    }
    if is_cut(input, !declared.is_empty()) {
        return Err(format!(
            "the file is cut short: it ends in the middle, after {:.1} s",
            held[0]
        ));
    }
    Ok(())
}

/// Checks an output against its input and what the preset promises. `written` is how many frames
/// ffmpeg says that it wrote, where it says that of this output.
///
/// # Errors
/// All that is wrong, as one sentence for a person.
pub fn check_output(
    input: &Examined,
    output: &Examined,
    written: Option<u64>,
    expect: &Expectation,
    ffmpeg: &str,
) -> Result<Certificate, String> {
    let mut faults = Vec::new();
    let format = &output.media.format;
    if !format.split(',').any(|name| name == expect.container) {
        faults.push(format!("its format is {format}, not {}", expect.container));
    }
    let certificate = match (&expect.video, expect.pictures) {
        (None, _) => sound::check(input, output, expect, &mut faults),
        (Some(codec), Some(count)) => {
            picture::check(input, output, codec, count, expect, &mut faults)
        }
        (Some(codec), None) => film::check(input, output, written, codec, expect, &mut faults),
    }?;
    if !faults.is_empty() {
        return Err(format!("the output is not right: {}", faults.join("; ")));
    }
    Ok(Certificate {
        decoded_frames: output.decoded,
        fault: output.fault.clone(),
        codecs: output
            .media
            .streams
            .iter()
            .filter(|s| s.kind == "video" || s.kind == "audio")
            .map(|s| s.codec.clone())
            .collect(),
        ffmpeg: ffmpeg.to_owned(),
        ..certificate
    })
}

/// The time of one frame in seconds; 0 if the rate is unknown.
fn frame_seconds(video: &Stream) -> f64 {
    let (n, d) = if video.mean_rate.0 > 0 {
        video.mean_rate
    } else {
        video.rate
    };
    if n == 0 {
        0.0
    } else {
        f64::from(d) / f64::from(n)
    }
}

/// Whether two lengths in seconds are the same within what is tolerated.
fn agree(a: f64, b: f64, slack: f64) -> bool {
    (a - b).abs() <= TOLERANCE_SECONDS.max(a.max(b) * TOLERANCE_PART).max(slack)
}

#[cfg(test)]
mod tests;

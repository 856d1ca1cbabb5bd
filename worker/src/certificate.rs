//! The check of an output, before it is published.
//!
//! ffmpeg's exit code is not believed: half a file converts with code 0. An output is right if it
//! has the streams, codecs, size and rate that the preset promises, and is as long as the input
//! both declares and holds. What was compared is kept in the verdict.

use serde::{Deserialize, Serialize};

use crate::ffmpeg::Progress;
use crate::media::{Media, Packets, Span, Stream};
use crate::preset::{AudioStreams, Expectation, Rate, Size};

/// Lengths may differ by this many seconds: containers round, sound has padding.
const TOLERANCE_SECONDS: f64 = 0.5;

/// … or by this part of the length, for headers that guess from a bit rate.
const TOLERANCE_PART: f64 = 0.02;

/// The part by which the number of frames may differ where each frame is kept: some formats have
/// packets that show nothing.
const TOLERANCE_FRAMES: f64 = 0.05;

/// What was measured of an output that passed, and of its input.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// Seconds of video that the input's header declares, if it does.
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
    /// Width and height of the output.
    pub size: (u32, u32),
    /// Codecs of the output's video and audio streams.
    pub codecs: Vec<String>,
    /// The version of ffmpeg that converted and checked.
    pub ffmpeg: String,
}

/// A file's description and its packets.
#[derive(Debug, Clone, Default)]
pub struct Examined {
    pub media: Media,
    pub packets: Packets,
}

/// An input that can be converted: it has moving pictures, and as many as it says.
///
/// # Errors
/// A sentence for a person.
pub fn check_input(input: &Examined) -> Result<Span, String> {
    let video = input.media.video().ok_or("the file has no video stream")?;
    let span = input
        .packets
        .of(video.index)
        .ok_or("the file's video stream is empty")?;
    let whole = input.packets.whole().map_or(0.0, |s| s.length());
    let held = [span.length(), whole];
    let slack = 2.0 * frame_seconds(video);
    let declared: Vec<(f64, f64)> = [(video.duration, held[0]), (input.media.duration, held[1])]
        .into_iter()
        .filter_map(|(declared, held)| declared.filter(|d| *d > 0.0).map(|d| (d, held)))
        .collect();
    // Headers of streams and of files are written by different hands; one that is right is enough
    // (an edit list, for one, makes the other differ). In a file cut short both are wrong.
    if !declared.is_empty() && !declared.iter().any(|(d, h)| agree(*d, *h, slack)) {
        let (declared, held) = declared[0];
        return Err(format!(
            "the file is cut short or damaged: its header declares {declared:.1} s, \
             but {held:.1} s are in it"
        ));
    }
    // In an AVI cut short ffprobe corrects the length, but not the number of frames.
    if let Some(declared) = video.frames
        && (span.count as f64) < declared as f64 * (1.0 - TOLERANCE_FRAMES) - 2.0
    {
        return Err(format!(
            "the file is cut short or damaged: its header declares {declared} frames, \
             but {} are in it",
            span.count
        ));
    }
    Ok(span)
}

/// Checks an output against its input and what the preset promises.
///
/// # Errors
/// All that is wrong, as one sentence for a person.
pub fn check_output(
    input: &Examined,
    output: &Examined,
    progress: Progress,
    expect: &Expectation,
    ffmpeg: &str,
) -> Result<Certificate, String> {
    let source_span = check_input(input)?;
    let source = input.media.video().ok_or("the file has no video stream")?;
    let mut faults = Vec::new();
    let moving: Vec<&Stream> = output.media.of_kind("video").collect();
    let (Some(&video), Some(span)) = (
        moving.first(),
        moving.first().and_then(|v| output.packets.of(v.index)),
    ) else {
        return Err("the output has no video".to_owned());
    };
    if !output
        .media
        .format
        .split(',')
        .any(|name| name == expect.container)
    {
        faults.push(format!(
            "its format is {}, not {}",
            output.media.format, expect.container
        ));
    }
    if moving.len() != 1 {
        faults.push(format!("it has {} video streams, not one", moving.len()));
    }
    if video.codec != expect.video {
        faults.push(format!(
            "its video is {}, not {}",
            video.codec, expect.video
        ));
    }
    check_audio(input, output, expect, &mut faults);
    check_size(source, video, expect.size, &mut faults);
    check_rate(video, source_span, span, expect.rate, &mut faults);

    // Where pictures begin later than sound, a constant rate fills the gap at the start.
    let start = input.packets.whole().map_or(source_span.start, |s| s.start);
    let lengths = [source_span.length(), source_span.end - start];
    let slack = 2.0 * frame_seconds(source).max(frame_seconds(video));
    if !lengths
        .iter()
        .any(|length| agree(span.length(), *length, slack))
    {
        faults.push(format!(
            "it has {:.1} s of video, not {:.1} s",
            span.length(),
            lengths[0]
        ));
    }
    let declared = video.duration.or(output.media.duration);
    if declared.is_some_and(|d| !agree(d, span.length(), slack)) {
        faults.push(format!(
            "its header declares {:.1} s, but {:.1} s are in it",
            declared.unwrap_or_default(),
            span.length()
        ));
    }
    if progress.frames.abs_diff(span.count) > 1 {
        faults.push(format!(
            "it has {} frames, but {} were written",
            span.count, progress.frames
        ));
    }
    if !faults.is_empty() {
        return Err(format!("the output is not right: {}", faults.join("; ")));
    }
    Ok(Certificate {
        input_declared_seconds: source.duration.or(input.media.duration),
        input_seconds: source_span.length(),
        input_packets: source_span.count,
        output_declared_seconds: declared,
        output_seconds: span.length(),
        output_frames: span.count,
        size: (video.width, video.height),
        codecs: output
            .media
            .streams
            .iter()
            .filter(|s| s.kind == "video" || s.kind == "audio")
            .map(|s| s.codec.clone())
            .collect(),
        ffmpeg: ffmpeg.to_owned(),
    })
}

fn check_audio(
    input: &Examined,
    output: &Examined,
    expect: &Expectation,
    faults: &mut Vec<String>,
) {
    let sources = input.media.of_kind("audio").count();
    let wanted = match expect.audio_streams {
        AudioStreams::All => sources,
        AudioStreams::First => sources.min(1),
    };
    let sounds: Vec<&Stream> = output.media.of_kind("audio").collect();
    if sounds.len() != wanted {
        faults.push(format!(
            "it has {} audio streams, not {wanted}",
            sounds.len()
        ));
    }
    if let Some(other) = sounds.iter().find(|s| s.codec != expect.audio) {
        faults.push(format!(
            "its audio is {}, not {}",
            other.codec, expect.audio
        ));
    }
    // Whether a stream that was announced holds anything is seen in its packets only.
    if sounds.iter().any(|s| output.packets.of(s.index).is_none())
        && input
            .media
            .of_kind("audio")
            .all(|s| input.packets.of(s.index).is_some())
    {
        faults.push("an audio stream of it is empty".to_owned());
    }
}

fn check_size(source: &Stream, video: &Stream, size: Size, faults: &mut Vec<String>) {
    let is = (video.width, video.height);
    let (right, wanted) = match size {
        Size::Exact(width, height) => (is == (width, height), (width, height)),
        Size::Even => {
            let even = |side: u32| side.saturating_add(side % 2);
            let wanted = (even(source.width), even(source.height));
            // A recording on its side is turned when decoded, so its sides change places.
            (is == wanted || is == (wanted.1, wanted.0), wanted)
        }
    };
    if !right {
        faults.push(format!(
            "it is {}x{}, not {}x{}",
            is.0, is.1, wanted.0, wanted.1
        ));
    }
}

fn check_rate(video: &Stream, source: Span, span: Span, rate: Rate, faults: &mut Vec<String>) {
    match rate {
        Rate::Exact(n, d) => {
            let wanted = f64::from(n) / f64::from(d);
            // One part in a hundred, since the mean of a short film has few digits.
            let is_right = |(a, b): (u32, u32)| {
                b > 0 && (f64::from(a) / f64::from(b) - wanted).abs() <= wanted * 0.01
            };
            if !is_right(video.rate) && !is_right(video.mean_rate) {
                let (a, b) = video.rate;
                faults.push(format!("its frame rate is {a}/{b}, not {n}/{d}"));
            }
        }
        Rate::Source => {
            let near = |wanted: f64| {
                (span.count as f64 - wanted).abs() <= (wanted * TOLERANCE_FRAMES).max(2.0)
            };
            let packets = source.count as f64;
            // Interlaced pictures may come as two packets, one a field.
            if !near(packets) && !near(packets / 2.0) {
                faults.push(format!(
                    "it has {} frames, not {}",
                    span.count, source.count
                ));
            }
        }
    }
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
mod tests {
    use super::*;
    use crate::preset::Presets;

    fn file(
        codec: &str,
        size: (u32, u32),
        rate: (u32, u32),
        seconds: f64,
        sound: bool,
    ) -> Examined {
        let mut media = Media {
            format: "mov,mp4,m4a".to_owned(),
            duration: Some(seconds),
            streams: vec![Stream {
                index: 0,
                kind: "video".to_owned(),
                codec: codec.to_owned(),
                width: size.0,
                height: size.1,
                rate,
                mean_rate: rate,
                duration: Some(seconds),
                frames: None,
                cover: false,
            }],
        };
        let step = f64::from(rate.1) / f64::from(rate.0);
        let mut packets = Packets::default();
        let mut at = 0.0;
        while at + step / 2.0 < seconds {
            packets.read_line(&format!("0,{at},{at},{step}"));
            at += step;
        }
        if sound {
            media.streams.push(Stream {
                index: 1,
                kind: "audio".to_owned(),
                codec: "aac".to_owned(),
                ..Stream::default()
            });
            packets.read_line(&format!("1,0.0,0.0,{seconds}"));
        }
        Examined { media, packets }
    }

    fn camera() -> Examined {
        file("mjpeg", (640, 480), (15, 1), 4.0, true)
    }

    fn ipod() -> Examined {
        file("mpeg4", (320, 240), (30_000, 1001), 4.0, true)
    }

    fn check(input: &Examined, output: &Examined, preset: &str) -> Result<Certificate, String> {
        let frames = output.packets.of(0).map_or(0, |s| s.count);
        let progress = Progress {
            frames,
            ended: true,
            ..Progress::default()
        };
        let expect = &Presets::builtin().get(preset).expect("a preset").expect;
        check_output(input, output, progress, expect, "7.1")
    }

    #[test]
    fn a_right_output_gets_its_certificate() {
        let certificate = check(&camera(), &ipod(), "ipod").expect("right");
        assert_eq!(certificate.size, (320, 240));
        assert_eq!(certificate.codecs, ["mpeg4", "aac"]);
        assert_eq!(certificate.output_frames, 120);
        let text = serde_json::to_string(&certificate).expect("json");
        assert_eq!(
            serde_json::from_str::<Certificate>(&text).expect("json"),
            certificate
        );
        let silent = file("mjpeg", (641, 479), (15, 1), 4.0, false);
        let web = file("h264", (642, 480), (15, 1), 4.0, false);
        assert!(check(&silent, &web, "web").is_ok());
        let turned = file("h264", (480, 642), (15, 1), 4.0, false);
        assert!(check(&silent, &turned, "web").is_ok());
    }

    #[test]
    fn each_wrong_thing_is_told() {
        let cases: [(Examined, &str); 7] = [
            (
                file("mpeg4", (320, 240), (30_000, 1001), 2.0, true),
                "2.0 s of video, not 4.0 s",
            ),
            (
                file("h264", (320, 240), (30_000, 1001), 4.0, true),
                "its video is h264",
            ),
            (
                file("mpeg4", (640, 480), (30_000, 1001), 4.0, true),
                "640x480, not 320x240",
            ),
            (
                file("mpeg4", (320, 240), (25, 1), 4.0, true),
                "frame rate is 25/1",
            ),
            (
                file("mpeg4", (320, 240), (30_000, 1001), 4.0, false),
                "0 audio streams, not 1",
            ),
            (Examined::default(), "the output has no video"),
            (
                {
                    let mut lying = ipod();
                    lying.media.streams[0].duration = Some(9.0);
                    lying
                },
                "declares 9.0 s, but 4.0 s",
            ),
        ];
        for (output, words) in cases {
            let error = check(&camera(), &output, "ipod").expect_err("is wrong");
            assert!(error.contains(words), "{error}");
        }
        let progress = Progress {
            frames: 60,
            ended: true,
            ..Progress::default()
        };
        let expect = &Presets::builtin().get("ipod").expect("a preset").expect;
        let error = check_output(&camera(), &ipod(), progress, expect, "7").expect_err("wrong");
        assert!(error.contains("120 frames, but 60 were written"), "{error}");
        let few = file("h264", (640, 480), (5, 1), 4.0, true);
        assert!(
            check(&camera(), &few, "web")
                .expect_err("wrong")
                .contains("20 frames, not 60")
        );
    }

    #[test]
    fn a_file_cut_short_is_seen_before_it_is_converted() {
        let mut half = camera();
        half.media.duration = Some(8.0);
        half.media.streams[0].duration = Some(8.0);
        let error = check_input(&half).expect_err("is cut");
        assert!(
            error.contains("declares 8.0 s, but 4.0 s are in it"),
            "{error}"
        );
        // One of the two headers is right, as with an edit list.
        half.media.duration = Some(4.0);
        assert!(check_input(&half).is_ok());
        half.media.duration = None;
        half.media.streams[0].duration = None;
        assert!(
            check_input(&half).is_ok(),
            "no declaration, as in live recordings"
        );
        half.media.streams[0].frames = Some(120);
        let error = check_input(&half).expect_err("is cut");
        assert!(
            error.contains("declares 120 frames, but 60 are in it"),
            "{error}"
        );
        half.media.streams[0].cover = true;
        assert!(
            check_input(&half)
                .expect_err("no video")
                .contains("no video stream")
        );
    }
}

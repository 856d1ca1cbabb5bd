//! Moving pictures, with their sound: films and GIFs.

use super::size::check_size;
use super::{
    Certificate, Examined, TOLERANCE_FRAMES, agree, check_input, color, frame_seconds, sound,
    subtitle,
};
use crate::media::{Span, Stream};
use crate::preset::{Expectation, Rate};
use crate::text::quantity;

/// Checks a film that must have video of `codec`.
pub(super) fn check(
    input: &Examined,
    output: &Examined,
    written: Option<u64>,
    codec: &str,
    expect: &Expectation,
    faults: &mut Vec<String>,
) -> Result<Certificate, String> {
    let source_span = check_input(input)?;
    let source = input.media.video().ok_or("the file has no video stream")?;
    let copied = codec == Expectation::COPY;
    // Of covers nothing is promised but that they are copied.
    let moving: Vec<&Stream> = output.media.videos().collect();
    let (Some(&video), Some(span)) = (
        moving.first(),
        moving.first().and_then(|v| output.packets.of(v.index)),
    ) else {
        return Err("the output has no video".to_owned());
    };
    let streams = if copied {
        input.media.videos().count()
    } else {
        1
    };
    if moving.len() != streams {
        faults.push(format!(
            "it has {} video streams, not {streams}",
            moving.len()
        ));
    }
    let codec = if copied { &source.codec } else { codec };
    if video.codec != codec {
        faults.push(format!("its video is {}, not {codec}", video.codec));
    }
    sound::check_streams(input, output, expect, faults);
    subtitle::check(input, output, expect, faults);
    color::check(source, video, expect, faults);
    if let Some(size) = expect.size {
        check_size(source, video, size, expect.square, faults);
    }
    // Where pictures begin later than sound, a constant rate fills the gap at the start.
    let source_whole = input.packets.whole().unwrap_or(source_span);
    let start = source_whole.start;
    let most = expect.seconds.map_or(f64::INFINITY, f64::from);
    // Pictures that need one from before the beginning can't be decoded.
    let lead = (!copied).then(|| input.packets.undecodable_lead(source.index));
    let (lead_count, lead_seconds) = lead.flatten().unwrap_or_default();
    let lengths = [
        source_span.length(),
        source_span.end - start,
        source_span.length() - lead_seconds,
    ]
    .map(|length| length.min(most));
    let slack = 2.0 * frame_seconds(source).max(frame_seconds(video));
    if let Some(rate) = expect.rate {
        let is_whole = source_span.length() <= most && !input.is_salvaged;
        let pictures = Pictures {
            most: source_span.count,
            least: source_span.count - lead_count,
            are_fields: source.is_interlaced,
        };
        check_rate(video, is_whole.then_some(pictures), span, rate, faults);
    }
    let is_right = |length: &f64| agree(span.length(), *length, slack);
    let is_salvaged = input.is_salvaged && span.length() < lengths[0];
    // At a constant rate the last picture may be repeated until the sound ends.
    let is_repeated = matches!(expect.rate, Some(Rate::Exact(..)))
        && (lengths[0]..=source_whole.length()).contains(&span.length());
    if !lengths.iter().any(is_right) && !is_repeated && !is_salvaged {
        faults.push(format!(
            "it has {:.1} s of video, not {:.1} s",
            span.length(),
            lengths[0]
        ));
    }
    // Where only the file tells its length, that is of all streams, from zero or from the first packet.
    let whole = output.packets.whole().filter(|_| video.duration.is_none());
    let held = [
        Some(span.length()),
        whole.map(|s| s.length()),
        whole.map(|s| s.end),
    ];
    let is_held = |declared: f64| {
        held.iter()
            .flatten()
            .any(|held| agree(declared, *held, slack))
    };
    let declared = video.duration.or(output.media.duration);
    if declared.is_some_and(|declared| !is_held(declared)) {
        faults.push(format!(
            "its header declares {:.1} s, but {:.1} s are in it",
            declared.unwrap_or_default(),
            span.length()
        ));
    }
    let hidden = output.packets.hidden(video.index);
    if let Some(written) = written
        && written.abs_diff(span.count + hidden) > 1
    {
        faults.push(format!(
            "it has {}, but {written} were written",
            quantity(span.count, "frame")
        ));
    }
    if let Some(decoded) = output.decoded
        && decoded.abs_diff(span.count) > 1
    {
        faults.push(format!(
            "it has {}, but {decoded} can be decoded",
            quantity(span.count, "frame")
        ));
    }
    Ok(Certificate {
        input_declared_seconds: source.duration.or(input.media.duration),
        input_seconds: source_span.length(),
        input_packets: source_span.count,
        output_declared_seconds: declared,
        output_seconds: span.length(),
        output_frames: span.count,
        size: (video.width, video.height),
        ..Certificate::default()
    })
}

/// How many pictures of the input are to be in the output.
#[derive(Clone, Copy)]
struct Pictures {
    most: u64,
    /// Without those that nothing can be decoded of.
    least: u64,
    /// Two may be one: each is a field.
    are_fields: bool,
}

/// `source` is the input's pictures if the output has all of them.
fn check_rate(
    video: &Stream,
    source: Option<Pictures>,
    span: Span,
    rate: Rate,
    faults: &mut Vec<String>,
) {
    match (rate, source) {
        (Rate::Exact(n, d), _) => {
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
        (Rate::Source, Some(source)) => {
            let near = |wanted: f64| {
                (span.count as f64 - wanted).abs() <= (wanted * TOLERANCE_FRAMES).max(2.0)
            };
            let (most, least) = (source.most as f64, source.least as f64);
            let is_between = span.count as f64 <= most && span.count as f64 >= least;
            if !is_between
                && !near(most)
                && !near(least)
                && !(source.are_fields && (near(most / 2.0) || near(least / 2.0)))
            {
                faults.push(format!(
                    "it has {}, not {}",
                    quantity(span.count, "frame"),
                    source.most
                ));
            }
        }
        (Rate::Source, None) => {}
    }
}

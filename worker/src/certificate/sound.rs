//! Sound: that of films, and sound alone.

use super::{Certificate, Examined, agree, check_declared, check_length};
use crate::media::{Span, Stream};
use crate::preset::{AAC_LAYOUTS, AudioStreams, Expectation, recoded};

/// An input with sound: as much as it says.
///
/// # Errors
/// A sentence for a person.
pub(super) fn check_input(input: &Examined) -> Result<(&Stream, Span), String> {
    super::check_streams(input)?;
    let sound = input.media.sound().ok_or("the file has no sound")?;
    let span = input
        .packets
        .of(sound.index)
        .ok_or("the file's sound is empty")?;
    if !input.is_salvaged {
        super::check_torn(input)?;
        check_declared(input, sound, span, 0.0)?;
    }
    check_length(span.length(), input.media.size)?;
    Ok((sound, span))
}

/// Checks an output that is sound alone.
pub(super) fn check(
    input: &Examined,
    output: &Examined,
    expect: &Expectation,
    faults: &mut Vec<String>,
) -> Result<Certificate, String> {
    let (source, source_span) = check_input(input)?;
    if output.media.videos().next().is_some() {
        faults.push("it has pictures".to_owned());
    }
    check_streams(input, output, expect, faults);
    let sound = output.media.of_kind("audio").next();
    let Some((sound, span)) = sound.and_then(|s| Some((s, output.packets.of(s.index)?))) else {
        return Err("the output has no sound".to_owned());
    };
    let wanted = expect
        .seconds
        .map_or(f64::INFINITY, f64::from)
        .min(source_span.length());
    let is_salvaged = input.is_salvaged && span.length() < wanted;
    if !agree(span.length(), wanted, 0.0) && !is_salvaged {
        faults.push(format!(
            "it has {:.1} s of sound, not {wanted:.1} s",
            span.length()
        ));
    }
    let declared = sound.duration.or(output.media.duration);
    if declared.is_some_and(|d| !agree(d, span.length(), 0.0)) {
        faults.push(format!(
            "its header declares {:.1} s, but {:.1} s are in it",
            declared.unwrap_or_default(),
            span.length()
        ));
    }
    Ok(Certificate {
        input_declared_seconds: source.duration.or(input.media.duration),
        input_seconds: source_span.length(),
        input_packets: source_span.count,
        output_declared_seconds: declared,
        output_seconds: span.length(),
        ..Certificate::default()
    })
}

/// Of each stream of sound in a film, this part and a second less may be missing: packets of some formats tell their times badly,
/// and where they do a conversion has them right.
const MISSING_PART: f64 = 0.1;

/// Checks number, codecs and lengths of the streams of sound.
pub(super) fn check_streams(
    input: &Examined,
    output: &Examined,
    expect: &Expectation,
    faults: &mut Vec<String>,
) {
    let mut sources: Vec<&Stream> = match (&expect.audio, expect.audio_streams) {
        (None, _) => Vec::new(),
        (_, AudioStreams::All) => input.media.of_kind("audio").collect(),
        (_, AudioStreams::First) => input.media.sound().into_iter().collect(),
    };
    let sounds: Vec<&Stream> = output.media.of_kind("audio").collect();
    if sounds.len() != sources.len() {
        // Some containers have no place for a stream that was announced and holds nothing.
        sources.retain(|s| input.packets.of(s.index).is_some());
    }
    if sounds.len() != sources.len() {
        faults.push(format!(
            "it has {} audio streams, not {}",
            sounds.len(),
            sources.len()
        ));
        return;
    }
    let length = |of: &Examined, index| of.packets.of(index).map(|span| span.length());
    // Times that jump make a sound seem longer than its film.
    let film = input
        .media
        .video()
        .and_then(|video| length(input, video.index));
    let longest = expect
        .seconds
        .map_or(f64::INFINITY, f64::from)
        .min(film.unwrap_or(f64::INFINITY));
    for (sound, source) in sounds.iter().zip(&sources) {
        let codec = match expect.audio.as_deref() {
            Some(Expectation::COPY) | None => &source.codec,
            Some(codec) => codec,
        };
        // What Matroska has no name for is there in another form.
        let kept = recoded(&expect.container, &source.codec, source.bits);
        if sound.codec != codec && kept != Some(sound.codec.as_str()) {
            faults.push(format!("its audio is {}, not {codec}", sound.codec));
        }
        if sound.codec == "aac"
            && expect.audio.as_deref() != Some(Expectation::COPY)
            && !AAC_LAYOUTS.contains(&sound.layout.as_str())
        {
            faults.push(format!(
                "its sound has the channel layout `{}`, which players refuse",
                sound.layout
            ));
        }
        let wanted = length(input, source.index).map(|whole| whole.min(longest));
        if let (Some(held), Some(wanted)) = (length(output, sound.index), wanted)
            && held + 1.0 < wanted * (1.0 - MISSING_PART)
            && !input.is_salvaged
        {
            faults.push(format!("it has {held:.1} s of sound, not {wanted:.1} s"));
        }
    }
    // Whether a stream that was announced holds anything is seen in its packets only.
    if sounds.iter().any(|s| output.packets.of(s.index).is_none())
        && sources.iter().all(|s| input.packets.of(s.index).is_some())
    {
        faults.push("an audio stream of it is empty".to_owned());
    }
}

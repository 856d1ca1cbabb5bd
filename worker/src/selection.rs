//! Which streams of an input are converted: those that can be, of the programme that holds its film.
//!
//! What a file announces isn't always there: broadcasts name sounds that never come, phones write sounds that only their
//! maker decodes (Apple's `apac`), and a capture of a whole transport stream holds other programmes too. ffmpeg's `-map
//! 0:a?` takes all of them, and fails on the first that it can't decode.

use std::collections::BTreeSet;
use std::fmt;

use crate::media::{Media, Packets, Stream};
use crate::preset::{Expectation, Output, Plan, Preset, is_text};
use crate::text::printable_short;

/// A stream that is in no output, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// E.g. `audio stream 2 (apac)`.
    pub what: String,
    pub why: String,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

/// Characters of a stream's name that are told.
const MOST_NAME: usize = 80;

/// Takes the streams out of `media` that can't be converted, and returns them. `decoders`: names of the codecs that are
/// decoded here; `None` if streams are copied.
pub fn select(
    media: &mut Media,
    packets: &Packets,
    decoders: Option<&BTreeSet<String>>,
) -> Vec<LeftOut> {
    let others = other_programs(media);
    let film = media.video().map(|video| video.index);
    let mut left_out = Vec::new();
    media.streams.retain(|stream| {
        let why = if Some(stream.index) == film {
            // What is wrong with the film itself is the file's fault.
            None
        } else if others.contains(&stream.index) {
            Some("it belongs to another programme".to_owned())
        } else {
            unusable(stream, packets, decoders)
        };
        if let Some(why) = &why {
            left_out.push(LeftOut {
                what: name(stream),
                why: why.clone(),
            });
        }
        why.is_none()
    });
    left_out
}

fn unusable(
    stream: &Stream,
    packets: &Packets,
    decoders: Option<&BTreeSet<String>>,
) -> Option<String> {
    if stream.kind != "audio" && stream.kind != "subtitle" {
        return None;
    }
    if packets.count(stream.index) == 0 {
        return Some("it is empty".to_owned());
    }
    if stream.codec.is_empty() {
        return Some("its codec is unknown here".to_owned());
    }
    if stream.kind == "subtitle" {
        return None;
    }
    if decoders.is_some_and(|known| !known.contains(&stream.codec)) {
        return Some(format!("there is no decoder of {} here", stream.codec));
    }
    (stream.channels == 0).then(|| "it has no channels".to_owned())
}

/// Streams that only belong to programmes without the film.
fn other_programs(media: &Media) -> BTreeSet<usize> {
    let Some(film) = media.video().map(|video| video.index) else {
        return BTreeSet::new();
    };
    let (with, without): (Vec<_>, Vec<_>) = media
        .programs
        .iter()
        .partition(|streams| streams.contains(&film));
    if with.is_empty() {
        return BTreeSet::new();
    }
    let ours: BTreeSet<usize> = with.into_iter().flatten().copied().collect();
    without
        .into_iter()
        .flatten()
        .copied()
        .filter(|index| !ours.contains(index))
        .collect()
}

/// What of a file no output of a plan holds, though the preset deals in such: after what is `unusable`, in the file's order.
pub fn left_out(
    whole: &Media,
    unusable: Vec<LeftOut>,
    plan: &Plan,
    preset: &Preset,
) -> Vec<LeftOut> {
    let taken = plan.taken();
    let told: BTreeSet<String> = unusable.iter().map(|one| one.what.clone()).collect();
    let expects: Vec<&Expectation> = preset.outputs.iter().map(|one| &one.expect).collect();
    let writes_tags = preset.outputs.iter().any(Output::writes_tags_as_tracks);
    let mut left_out = unusable;
    for stream in &whole.streams {
        let what = name(stream);
        let is_written = stream.is_read_into_tags() && writes_tags;
        if taken.contains(&stream.index) || told.contains(&what) || is_written {
            continue;
        }
        if let Some(why) = why_not_taken(stream, &expects) {
            let why = why.to_owned();
            left_out.push(LeftOut { what, why });
        }
    }
    left_out
}

/// Why a stream is not taken; `None` if the preset is not for such: no one misses the pictures in a sound file, or the sound
/// in a poster.
fn why_not_taken(stream: &Stream, expects: &[&Expectation]) -> Option<&'static str> {
    const NO_PLACE: &str = "the result has no place for it";
    let any = |pick: &dyn Fn(&Expectation) -> bool| expects.iter().any(|one| pick(one));
    let has_film = any(&|one| one.video.is_some() && one.pictures.is_none());
    let has_sound = any(&|one| one.audio.is_some());
    match stream.kind.as_str() {
        "video" if stream.cover => has_sound.then_some(NO_PLACE),
        "video" => has_film.then_some("the preset takes one film"),
        "audio" => has_sound.then_some("the preset takes one sound"),
        // What belongs to a film with its sound.
        _ if !has_film || !has_sound => None,
        "subtitle" if any(&|one| one.subtitles.as_deref() == Some(Expectation::COPY)) => {
            Some(NO_PLACE)
        }
        "subtitle" if !any(&|one| one.subtitles.is_some()) => Some("the preset takes no subtitles"),
        "subtitle" if !is_text(&stream.codec) => Some("the result has a place for plain text only"),
        _ => Some(NO_PLACE),
    }
}

/// E.g. `audio stream 2 (apac)`, `data stream 3 (gpmd, GoPro MET)`. Text of a stranger's file.
fn name(stream: &Stream) -> String {
    let mut names = match stream.kind.as_str() {
        "data" => [&stream.tag, &stream.codec],
        _ => [&stream.codec, &stream.tag],
    }
    .into_iter()
    .filter(|name| !name.is_empty())
    .take(1)
    .chain(Some(&stream.title).filter(|title| !title.is_empty()))
    .map(|name| printable_short(name, MOST_NAME))
    .collect::<Vec<_>>()
    .join(", ");
    if !names.is_empty() {
        names = format!(" ({names})");
    }
    let kind = match stream.kind.as_str() {
        "video" if stream.cover => "cover",
        "" => "unknown",
        kind => kind,
    };
    format!("{kind} stream {}{names}", stream.index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Packet;
    use crate::preset::Presets;

    fn stream(index: usize, kind: &str, codec: &str) -> Stream {
        Stream {
            index,
            kind: kind.to_owned(),
            codec: codec.to_owned(),
            channels: 2,
            ..Stream::default()
        }
    }

    fn packets_of(indexes: &[usize]) -> Packets {
        let mut packets = Packets::default();
        for index in indexes {
            packets.add(*index, Packet::shown(0.0, 1.0));
        }
        packets
    }

    fn kept(media: &Media) -> Vec<usize> {
        media.streams.iter().map(|one| one.index).collect()
    }

    #[test]
    fn what_nothing_decodes_is_left_out() {
        let mut media = Media {
            streams: vec![
                stream(0, "video", "h264"),
                stream(1, "audio", "aac"),
                Stream {
                    tag: "apac".to_owned(),
                    ..stream(2, "audio", "")
                },
                stream(3, "audio", "strange"),
                stream(4, "audio", "mp2"),
                Stream {
                    channels: 0,
                    ..stream(5, "audio", "aac")
                },
                stream(6, "subtitle", "subrip"),
            ],
            ..Media::default()
        };
        let copied = media.clone();
        let packets = packets_of(&[0, 1, 2, 3, 5, 6]);
        let decoders = ["h264", "aac", "mp2"].map(str::to_owned).into();
        let left_out = select(&mut media, &packets, Some(&decoders));
        assert_eq!(kept(&media), [0, 1, 6]);
        let told: Vec<String> = left_out
            .iter()
            .map(|one| format!("{}: {}", one.what, one.why))
            .collect();
        assert_eq!(
            told,
            [
                "audio stream 2 (apac): its codec is unknown here",
                "audio stream 3 (strange): there is no decoder of strange here",
                "audio stream 4 (mp2): it is empty",
                "audio stream 5 (aac): it has no channels",
            ]
        );
        let mut media = copied;
        select(&mut media, &packets, None);
        assert_eq!(kept(&media), [0, 1, 3, 6], "a copy needs no decoder");
    }

    #[test]
    fn what_no_output_holds_is_told() {
        let cover = Stream {
            cover: true,
            ..stream(2, "video", "png")
        };
        let telemetry = Stream {
            tag: "gpmd".to_owned(),
            title: "GoPro\x1b MET".to_owned(),
            ..stream(5, "data", "bin_data")
        };
        let whole = Media {
            streams: vec![
                stream(0, "video", "h264"),
                stream(1, "audio", "aac"),
                cover,
                stream(3, "subtitle", "dvd_subtitle"),
                stream(4, "attachment", "ttf"),
                telemetry,
                stream(6, "audio", "aac"),
                stream(7, "subtitle", "subrip"),
                Stream {
                    tag: "tmcd".to_owned(),
                    ..stream(8, "data", "")
                },
                Stream {
                    tag: "text".to_owned(),
                    ..stream(9, "data", "bin_data")
                },
            ],
            ..Media::default()
        };
        let told = |preset: &str, taken: &[usize]| -> Vec<String> {
            let maps = taken
                .iter()
                .flat_map(|n| ["-map".to_owned(), format!("0:{n}")]);
            let plan = Plan {
                args: maps.collect(),
                ..Plan::default()
            };
            let preset = Presets::builtin().get(preset).expect("exists");
            let before = LeftOut {
                what: "audio stream 6 (aac)".to_owned(),
                why: "it is empty".to_owned(),
            };
            let left_out = left_out(&whole, vec![before], &plan, preset);
            left_out.iter().skip(1).map(ToString::to_string).collect()
        };
        assert_eq!(
            told("web", &[0, 1, 7]),
            [
                "cover stream 2 (png): the result has no place for it",
                "subtitle stream 3 (dvd_subtitle): the result has a place for plain text only",
                "attachment stream 4 (ttf): the result has no place for it",
                "data stream 5 (gpmd, GoPro\\u{1b} MET): the result has no place for it",
            ]
        );
        assert_eq!(
            told("ipod", &[0, 1])[3..],
            [
                "data stream 5 (gpmd, GoPro\\u{1b} MET): the result has no place for it",
                "subtitle stream 7 (subrip): the preset takes no subtitles",
            ]
        );
        assert_eq!(
            told("hls", &[0, 1]).last().map(String::as_str),
            Some("data stream 9 (text): the result has no place for it")
        );
        assert_eq!(told("audio", &[1, 2]), [""; 0]);
        assert_eq!(told("gif", &[0]), [""; 0]);
        assert_eq!(told("thumbnails", &[0]), [""; 0]);
        assert_eq!(told("remux", &[0, 1, 2, 3, 4, 5, 7]), [""; 0]);
    }

    #[test]
    fn other_programmes_are_left_out() {
        let mut media = Media {
            streams: vec![
                stream(0, "video", "h264"),
                stream(1, "audio", "mp2"),
                stream(2, "video", "h264"),
                stream(3, "audio", "mp2"),
                stream(4, "audio", "mp2"),
            ],
            programs: vec![vec![0, 1, 4], vec![2, 3, 4]],
            ..Media::default()
        };
        let left_out = select(&mut media, &packets_of(&[0, 1, 2, 3, 4]), None);
        assert_eq!(kept(&media), [0, 1, 4]);
        assert_eq!(left_out.len(), 2);
        assert!(left_out[0].why.contains("another programme"));
    }
}

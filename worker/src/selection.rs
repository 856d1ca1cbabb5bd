//! Which streams of an input are converted: those that can be, of the programme that holds its film.
//!
//! What a file announces isn't always there: broadcasts name sounds that never come, phones write sounds that only their
//! maker decodes (Apple's `apac`), and a capture of a whole transport stream holds other programmes too. ffmpeg's `-map
//! 0:a?` takes all of them, and fails on the first that it can't decode.

use std::collections::BTreeSet;

use crate::media::{Media, Packets, Stream};

/// A stream that is in no output, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// E.g. `audio stream 2 (apac)`.
    pub what: String,
    pub why: String,
}

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
    if stream.kind != "audio" {
        return None;
    }
    if packets.count(stream.index) == 0 {
        return Some("it is empty".to_owned());
    }
    if stream.codec.is_empty() {
        return Some("its codec is unknown here".to_owned());
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

fn name(stream: &Stream) -> String {
    let codec = [&stream.codec, &stream.tag]
        .into_iter()
        .find(|name| !name.is_empty());
    match codec {
        Some(codec) => format!("{} stream {} ({codec})", stream.kind, stream.index),
        None => format!("{} stream {}", stream.kind, stream.index),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            packets.add(*index, Some(0.0), 1.0);
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

//! What of an input decides how it is converted.

use crate::certificate::Examined;
use crate::media::{Span, Stream};
use crate::picture::Picture;
use crate::preset::{Facts, Named, Preset, Sound, Streams};
use crate::selection::LeftOut;
use crate::text::printable_short;

/// Characters of a stream's name that are kept.
const MOST_TITLE: usize = 200;

/// Of a film that lasts `span`, whose pictures were looked at if they are to be coded anew.
pub(super) fn of(source: &Examined, span: Span, picture: Option<Picture>) -> Facts {
    let media = &source.media;
    let video = media.video();
    let streams = streams_of(source);
    let whole_seconds = source.packets.whole().map_or(0.0, |whole| whole.length());
    Facts {
        width: video.map_or(0, |v| v.width),
        height: video.map_or(0, |v| v.height),
        seconds: span.length(),
        whole_seconds,
        jumps: source.has_jumping_times(),
        sound: !streams.sounds.is_empty(),
        codecs: streams.codecs(),
        streams: Some(streams),
        salvage: source.is_salvaged,
        last: video
            .filter(|_| media.is_format("matroska"))
            .and_then(|v| source.packets.last_picture(v.index)),
        picture,
    }
}

fn streams_of(source: &Examined) -> Streams {
    let media = &source.media;
    let all = |kind| media.of_kind(kind).map(named).collect();
    Streams {
        videos: media.videos().map(named).collect(),
        sounds: media
            .of_kind("audio")
            .map(|one| Sound {
                index: one.index,
                codec: one.codec.clone(),
                title: printable_short(&one.title, MOST_TITLE),
                channels: one.channels,
                layout: one.layout.clone(),
                bits: one.bits,
                default: one.default,
            })
            .collect(),
        subtitles: all("subtitle"),
        covers: media
            .of_kind("video")
            .filter(|s| s.cover)
            .map(named)
            .collect(),
        attachments: all("attachment"),
        data: all("data"),
        has_makers_tags: media.has_makers_tags,
        is_avi: media.is_format("avi"),
        tagged: media
            .sound()
            .filter(|_| media.is_format("ogg"))
            .map(|sound| sound.index),
    }
}

fn named(stream: &Stream) -> Named {
    let codec = if stream.kind == "data" && !stream.tag.is_empty() {
        &stream.tag
    } else {
        &stream.codec
    };
    Named {
        index: stream.index,
        codec: codec.clone(),
        title: printable_short(&stream.title, MOST_TITLE),
    }
}

/// What is lost when a preset codes pictures anew, whatever it takes of the file.
pub(super) fn lost_in_coding(source: &Examined, preset: &Preset) -> Vec<LeftOut> {
    let Some(video) = source.media.video().filter(|_| preset.recodes_video()) else {
        return Vec::new();
    };
    let mut lost = Vec::new();
    if let Some((_, seconds)) = source.packets.undecodable_lead(video.index)
        && seconds > 0.0
    {
        lost.push(LeftOut {
            what: format!("the first {seconds:.1} s of pictures"),
            why: "they need one from before the beginning".to_owned(),
        });
    }
    if video.color.dolby_vision.is_some() {
        lost.push(LeftOut {
            what: "Dolby Vision metadata".to_owned(),
            why: "the pictures are coded anew".to_owned(),
        });
    }
    // Of ffmpeg's encoders only that of H.264 writes them. No one misses them in what has no sound.
    let loses_captions = preset.outputs.iter().map(|one| &one.expect).any(|expect| {
        expect.recodes_video() && expect.audio.is_some() && expect.video.as_deref() != Some("h264")
    });
    if video.has_captions && loses_captions {
        lost.push(LeftOut {
            what: "closed captions".to_owned(),
            why: "the encoder of the pictures has no place for them".to_owned(),
        });
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Media;
    use crate::preset::Presets;

    #[test]
    fn captions_are_kept_by_h264_only() {
        let video = Stream {
            kind: "video".to_owned(),
            has_captions: true,
            ..Stream::default()
        };
        let source = Examined {
            media: Media {
                streams: vec![video],
                ..Media::default()
            },
            ..Examined::default()
        };
        for (preset, count) in [
            ("web", 0),
            ("hls", 0),
            ("remux", 0),
            ("gif", 0),
            ("hevc", 1),
            ("ipod", 1),
        ] {
            let preset = Presets::builtin().get(preset).expect("exists");
            assert_eq!(
                lost_in_coding(&source, preset).len(),
                count,
                "{}",
                preset.name
            );
        }
    }
}

//! What is told of a file: a form of our own, so that it doesn't change with ffprobe's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::media::Packets;

/// The version of the JSON. It changes when a field changes its meaning; readers must ignore fields
/// that they don't know.
pub const VERSION: u32 = 1;

/// What ffprobe is asked for.
pub(super) const ENTRIES: &str = "format=format_name,duration,size,bit_rate:format_tags:\
    stream=index,codec_type,codec_name,profile,width,height,sample_aspect_ratio,pix_fmt,color_range,color_space,\
    color_transfer,color_primaries,r_frame_rate,avg_frame_rate,nb_frames,duration,bit_rate,sample_rate,channels,\
    channel_layout:stream_tags=language,title:stream_disposition=default,attached_pic:\
    stream_side_data=rotation:chapter=start_time,end_time:chapter_tags=title";

/// Longest text of a tag that is told, in characters.
const MOST_CHARS: usize = 500;

/// A file. All texts in it may be a stranger's: escape them before they reach a terminal or a page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// [`VERSION`].
    pub version: u32,
    pub format: Format,
    /// In the file's order.
    pub streams: Vec<Stream>,
    #[serde(default)]
    pub chapters: Vec<Chapter>,
    /// The version of ffprobe.
    pub ffmpeg: String,
}

/// The container.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Format {
    /// ffprobe's names of it, e.g. `mov,mp4,m4a,3gp,3g2,mj2`.
    pub name: String,
    /// Its size.
    pub bytes: Option<u64>,
    /// Length that the header declares.
    pub declared_seconds: Option<f64>,
    /// From the first packet of any stream to the end of the last.
    pub seconds: Option<f64>,
    /// Bits a second.
    pub bit_rate: Option<u64>,
    /// Title, date of the recording, …
    pub tags: BTreeMap<String, String>,
}

/// A stream. What isn't known of it, or makes no sense for its kind, is null.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    pub index: usize,
    /// `video`, `audio`, `subtitle`, `data` or `attachment`.
    pub kind: String,
    pub codec: Option<String>,
    pub profile: Option<String>,
    /// Pixels, as stored.
    pub width: Option<u64>,
    pub height: Option<u64>,
    /// By which it is turned when shown, in degrees counter-clockwise.
    pub rotation: Option<i64>,
    /// Shape of a pixel, e.g. `64:45`.
    pub pixel_aspect: Option<String>,
    pub pixel_format: Option<String>,
    pub color_range: Option<String>,
    pub color_space: Option<String>,
    pub color_transfer: Option<String>,
    pub color_primaries: Option<String>,
    /// Frames a second as a fraction: the rate in which all its times can be told, and the mean one.
    /// Where they differ the rate is variable.
    pub frame_rate: Option<String>,
    pub mean_frame_rate: Option<String>,
    /// Samples a second.
    pub sample_rate: Option<u64>,
    pub channels: Option<u64>,
    pub channel_layout: Option<String>,
    pub language: Option<String>,
    pub title: Option<String>,
    /// Whether players choose it.
    pub default: bool,
    /// A cover image, not moving pictures.
    pub cover: bool,
    /// Bits a second.
    pub bit_rate: Option<u64>,
    /// What the header declares.
    pub declared_seconds: Option<f64>,
    pub declared_frames: Option<u64>,
    /// What was found by reading all packets.
    pub packets: u64,
    pub seconds: Option<f64>,
}

/// A chapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chapter {
    /// Seconds.
    pub start: f64,
    pub end: f64,
    pub title: Option<String>,
}

impl Facts {
    /// Makes them of ffprobe's JSON and of the packets that were read.
    ///
    /// # Errors
    /// If the text isn't JSON.
    pub(super) fn read(
        text: &str,
        packets: &Packets,
        ffmpeg: &str,
    ) -> Result<Self, serde_json::Error> {
        let raw: Value = serde_json::from_str(text)?;
        let list = |name: &str| raw[name].as_array().cloned().unwrap_or_default();
        let format = &raw["format"];
        Ok(Self {
            version: VERSION,
            format: Format {
                name: text_of(&format["format_name"]).unwrap_or_default(),
                bytes: number(&format["size"]),
                declared_seconds: seconds(&format["duration"]),
                seconds: packets.whole().map(|span| rounded(span.length())),
                bit_rate: number(&format["bit_rate"]),
                tags: tags(&format["tags"]),
            },
            streams: list("streams")
                .iter()
                .map(|stream| read_stream(stream, packets))
                .collect(),
            chapters: list("chapters")
                .iter()
                .map(|chapter| Chapter {
                    start: seconds(&chapter["start_time"]).unwrap_or_default(),
                    end: seconds(&chapter["end_time"]).unwrap_or_default(),
                    title: text_of(&chapter["tags"]["title"]),
                })
                .collect(),
            ffmpeg: ffmpeg.to_owned(),
        })
    }
}

fn read_stream(raw: &Value, packets: &Packets) -> Stream {
    let index = number(&raw["index"])
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or_default();
    let flag = |name: &str| raw["disposition"][name].as_u64() == Some(1);
    let rotation = raw["side_data_list"]
        .as_array()
        .into_iter()
        .flatten()
        .find_map(|data| data["rotation"].as_i64());
    Stream {
        index,
        kind: text_of(&raw["codec_type"]).unwrap_or_default(),
        codec: text_of(&raw["codec_name"]),
        profile: text_of(&raw["profile"]),
        width: number(&raw["width"]),
        height: number(&raw["height"]),
        rotation,
        pixel_aspect: text_of(&raw["sample_aspect_ratio"]),
        pixel_format: text_of(&raw["pix_fmt"]),
        color_range: text_of(&raw["color_range"]),
        color_space: text_of(&raw["color_space"]),
        color_transfer: text_of(&raw["color_transfer"]),
        color_primaries: text_of(&raw["color_primaries"]),
        frame_rate: rate(&raw["r_frame_rate"]),
        mean_frame_rate: rate(&raw["avg_frame_rate"]),
        sample_rate: number(&raw["sample_rate"]),
        channels: number(&raw["channels"]),
        channel_layout: text_of(&raw["channel_layout"]),
        language: text_of(&raw["tags"]["language"]),
        title: text_of(&raw["tags"]["title"]),
        default: flag("default"),
        cover: flag("attached_pic"),
        bit_rate: number(&raw["bit_rate"]),
        declared_seconds: seconds(&raw["duration"]),
        declared_frames: number(&raw["nb_frames"]),
        packets: packets.count(index),
        seconds: packets.of(index).map(|span| rounded(span.length())),
    }
}

/// A text, cut to what is told; `unknown` and `N/A` are none.
fn text_of(value: &Value) -> Option<String> {
    value
        .as_str()
        .filter(|text| !matches!(*text, "" | "unknown" | "N/A"))
        .map(|text| text.chars().take(MOST_CHARS).collect())
}

/// ffprobe writes some numbers as texts.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn seconds(value: &Value) -> Option<f64> {
    let seconds: f64 = value.as_str()?.parse().ok()?;
    seconds.is_finite().then(|| rounded(seconds))
}

/// To a microsecond, as ffprobe tells times.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}

fn rate(value: &Value) -> Option<String> {
    text_of(value).filter(|rate| rate != "0/0")
}

fn tags(value: &Value) -> BTreeMap<String, String> {
    value
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| {
            let name: String = name.to_lowercase().chars().take(60).collect();
            Some((name, text_of(value)?))
        })
        .collect()
}

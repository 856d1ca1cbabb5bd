//! What ffprobe tells of a file: its description, and its packets.

mod packets;
mod side_data;

use std::collections::BTreeMap;

use serde::Deserialize;

#[cfg(test)]
pub(crate) use packets::Packet;
pub use packets::{LastPicture, Packets, Span};
pub(crate) use side_data::SideData;

/// What a file says of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Media {
    /// The names of its format, e.g. `mov,mp4,m4a,3gp,3g2,mj2`.
    pub format: String,
    /// Its length in seconds, if it declares one.
    pub duration: Option<f64>,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// Its streams, in their order.
    pub streams: Vec<Stream>,
    /// The indexes of the streams of each of its programmes.
    pub programs: Vec<Vec<usize>>,
    /// It has tags of its maker: place, model, local date.
    pub has_makers_tags: bool,
}

/// One stream of a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stream {
    pub index: usize,
    /// `video`, `audio`, `subtitle`, `data` or `attachment`.
    pub kind: String,
    /// The codec's name, e.g. `mpeg4`; empty if ffprobe doesn't know it.
    pub codec: String,
    /// Without what the container crops.
    pub width: u32,
    pub height: u32,
    /// Shape of a pixel, width to height; 0/0 if unknown.
    pub pixel: (u32, u32),
    /// Frames a second, as a fraction; 0/0 if unknown.
    pub rate: (u32, u32),
    /// The mean frame rate.
    pub mean_rate: (u32, u32),
    /// Its length in seconds, if it declares one.
    pub duration: Option<f64>,
    /// When its last packet is over, in seconds, where Matroska tells it.
    pub end: Option<f64>,
    /// How many frames it declares, if it does.
    pub frames: Option<u64>,
    /// A cover image, not moving pictures.
    pub cover: bool,
    /// Players take it unless asked for another.
    pub default: bool,
    /// The four letters that some containers call the codec by; empty if none are printable.
    pub tag: String,
    /// Of pictures, as ffprobe names it, e.g. `yuv420p10le`; empty if unknown.
    pub pixel_format: String,
    pub color: Color,
    /// Pictures are coded as two fields, as far as the header tells.
    pub is_interlaced: bool,
    /// The container has it shown on its side.
    pub is_turned: bool,
    /// What its maker called it; empty if not at all.
    pub title: String,
    /// Of a sample of sound; 0 if unknown.
    pub bits: u32,
    /// Pictures carry closed captions, as far as they were looked at.
    pub has_captions: bool,
    /// Bits a second, if that is told or guessed.
    pub bit_rate: Option<f64>,
    /// Of sound.
    pub channels: u32,
    /// Of sound, as ffmpeg names it, e.g. `5.1(side)`; empty if unknown.
    pub layout: String,
}

/// What numbers of a picture mean as colours, in ffprobe's names; empty where nothing is said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Color {
    /// `tv` or `pc`.
    pub range: String,
    pub matrix: String,
    pub transfer: String,
    pub primaries: String,
    /// The brightest that is in it, or that it was graded on, in cd/m² (nits).
    pub peak: Option<f64>,
    /// What an encoder of H.265 or AV1 is told of the screen that it was graded on.
    pub mastering: Option<Mastering>,
    /// The brightest pixel and the brightest mean of a picture, in cd/m².
    pub light: Option<(u32, u32)>,
    /// Profile of Dolby Vision, and whether the pictures are right without its metadata.
    pub dolby_vision: Option<(u32, bool)>,
}

/// SMPTE ST 2086 in its units: chromaticities in 0.00002, luminances in 0.0001 cd/m².
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mastering {
    /// x and y of red, green, blue and white.
    pub points: [(u32, u32); 4],
    /// The darkest and the brightest.
    pub luminance: (u32, u32),
}

impl Stream {
    /// Moving pictures, no cover.
    fn is_film(&self) -> bool {
        self.kind == "video" && !self.cover
    }

    /// QuickTime's track of a time code, or of the titles of chapters: ffmpeg reads both into tags.
    pub fn is_read_into_tags(&self) -> bool {
        self.kind == "data" && ["tmcd", "text"].contains(&self.tag.as_str())
    }
}

impl Color {
    /// Brighter than a usual screen: PQ or HLG.
    pub fn is_hdr(&self) -> bool {
        ["smpte2084", "arib-std-b67"].contains(&self.transfer.as_str())
    }

    /// Takes in what is not known yet.
    pub(crate) fn complete(&mut self, other: &Self) {
        self.peak = self.peak.or(other.peak);
        self.mastering = self.mastering.or(other.mastering);
        self.light = self.light.or(other.light);
        self.dolby_vision = self.dolby_vision.or(other.dolby_vision);
    }
}

impl Media {
    /// What ffprobe is asked for.
    pub(crate) const ENTRIES: &str = "format=format_name,duration,size:\
        stream=index,codec_type,codec_name,codec_tag_string,width,height,sample_aspect_ratio,r_frame_rate,avg_frame_rate,duration,bit_rate,nb_frames,channels,channel_layout,sample_fmt,bits_per_sample,bits_per_raw_sample,\
        pix_fmt,color_range,color_space,color_transfer,color_primaries,field_order:\
        stream_disposition=attached_pic,default:\
        stream_side_data:stream_tags=title,handler_name,DURATION:format_tags:program=program_id:program_stream=index";

    /// Reads ffprobe's JSON.
    ///
    /// # Errors
    /// If it isn't the JSON that ffprobe writes.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let raw: RawMedia = serde_json::from_str(text)?;
        Ok(Self {
            has_makers_tags: raw.format.tags.keys().any(|key| is_makers(key)),
            format: raw.format.format_name,
            duration: seconds(raw.format.duration.as_deref()),
            size: raw.format.size.and_then(|n| n.parse().ok()),
            streams: raw.streams.into_iter().map(Stream::from).collect(),
            programs: raw
                .programs
                .into_iter()
                .map(|program| program.streams.into_iter().map(|one| one.index).collect())
                .collect(),
        })
    }

    /// The first stream of moving pictures (what ffmpeg calls `V:0`).
    pub fn video(&self) -> Option<&Stream> {
        self.videos().next()
    }

    /// The same, to be completed.
    pub(crate) fn video_mut(&mut self) -> Option<&mut Stream> {
        self.streams.iter_mut().find(|stream| stream.is_film())
    }

    /// Whether that is one of the names of its format.
    pub fn is_format(&self, name: &str) -> bool {
        self.format.split(',').any(|one| one == name)
    }

    /// The streams of moving pictures.
    pub fn videos(&self) -> impl Iterator<Item = &Stream> {
        self.streams.iter().filter(|stream| stream.is_film())
    }

    /// The sound that is taken where one is: the default one, else the first.
    pub fn sound(&self) -> Option<&Stream> {
        let default = self.of_kind("audio").find(|stream| stream.default);
        default.or_else(|| self.of_kind("audio").next())
    }

    /// The streams of that kind.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Stream> {
        self.streams.iter().filter(move |s| s.kind == kind)
    }
}

#[derive(Deserialize)]
struct RawMedia {
    #[serde(default)]
    programs: Vec<RawProgram>,
    #[serde(default)]
    streams: Vec<RawStream>,
    #[serde(default)]
    format: RawFormat,
}

#[derive(Deserialize)]
struct RawProgram {
    #[serde(default)]
    streams: Vec<RawProgramStream>,
}

#[derive(Deserialize)]
struct RawProgramStream {
    #[serde(default)]
    index: usize,
}

#[derive(Default, Deserialize)]
struct RawFormat {
    #[serde(default)]
    format_name: String,
    duration: Option<String>,
    size: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct RawStream {
    #[serde(default)]
    index: usize,
    #[serde(default)]
    codec_type: String,
    #[serde(default)]
    codec_name: String,
    #[serde(default)]
    width: u32,
    #[serde(default)]
    height: u32,
    sample_aspect_ratio: Option<String>,
    r_frame_rate: Option<String>,
    avg_frame_rate: Option<String>,
    duration: Option<String>,
    nb_frames: Option<String>,
    bit_rate: Option<String>,
    #[serde(default)]
    codec_tag_string: String,
    #[serde(default)]
    pix_fmt: String,
    #[serde(default)]
    color_range: String,
    #[serde(default)]
    color_space: String,
    #[serde(default)]
    color_transfer: String,
    #[serde(default)]
    color_primaries: String,
    #[serde(default)]
    field_order: String,
    #[serde(default)]
    sample_fmt: String,
    #[serde(default)]
    bits_per_sample: u32,
    bits_per_raw_sample: Option<String>,
    #[serde(default)]
    tags: RawTags,
    #[serde(default)]
    channels: u32,
    #[serde(default)]
    channel_layout: String,
    #[serde(default)]
    disposition: RawDisposition,
    #[serde(default)]
    side_data_list: Vec<SideData>,
}

#[derive(Default, Deserialize)]
struct RawTags {
    #[serde(default)]
    title: String,
    #[serde(default)]
    handler_name: String,
    /// Of Matroska, by ffmpeg's and other writers.
    #[serde(rename = "DURATION")]
    duration: Option<String>,
}

#[derive(Default, Deserialize)]
struct RawDisposition {
    #[serde(default)]
    attached_pic: u8,
    #[serde(default)]
    default: u8,
}

impl From<RawStream> for Stream {
    fn from(raw: RawStream) -> Self {
        let cropped = |side: u32, parts: fn(&SideData) -> [u32; 2]| {
            let cut = raw.side_data_list.iter().flat_map(parts);
            let left = cut.fold(side, u32::saturating_sub);
            // Nothing would be left: the cropping is nonsense.
            if left == 0 { side } else { left }
        };
        let width = cropped(raw.width, |data| [data.crop_left, data.crop_right]);
        let height = cropped(raw.height, |data| [data.crop_top, data.crop_bottom]);
        let known = |name: &str| match name {
            "unknown" | "unspecified" | "reserved" => String::new(),
            _ => name.to_owned(),
        };
        let mut color = Color {
            range: known(&raw.color_range),
            matrix: known(&raw.color_space),
            transfer: known(&raw.color_transfer),
            primaries: known(&raw.color_primaries),
            ..Color::default()
        };
        for data in &raw.side_data_list {
            data.add_to(&mut color);
        }
        Self {
            is_interlaced: matches!(raw.field_order.as_str(), "tt" | "bb" | "tb" | "bt"),
            is_turned: raw.side_data_list.iter().any(SideData::is_turned),
            pixel_format: known(&raw.pix_fmt),
            color,
            index: raw.index,
            kind: raw.codec_type,
            codec: match raw.codec_name.as_str() {
                // What ffprobe calls a codec that it has no name for.
                "none" | "unknown" => String::new(),
                _ => raw.codec_name,
            },
            width,
            height,
            pixel: fraction(raw.sample_aspect_ratio.as_deref()),
            rate: fraction(raw.r_frame_rate.as_deref()),
            mean_rate: fraction(raw.avg_frame_rate.as_deref()),
            duration: seconds(raw.duration.as_deref()),
            end: raw.tags.duration.as_deref().and_then(clock_seconds),
            frames: raw
                .nb_frames
                .and_then(|n| n.parse().ok())
                .filter(|n| *n > 0),
            cover: raw.disposition.attached_pic != 0,
            default: raw.disposition.default != 0,
            // Numbers in brackets are no letters.
            tag: if raw.codec_tag_string.contains('[') {
                String::new()
            } else {
                raw.codec_tag_string
            },
            title: [raw.tags.title, raw.tags.handler_name]
                .into_iter()
                .find(|name| !HANDLERS.contains(&name.as_str()))
                .unwrap_or_default(),
            bits: match raw.bits_per_raw_sample.and_then(|n| n.parse().ok()) {
                Some(bits) if bits > 0 => bits,
                _ if raw.bits_per_sample > 0 => raw.bits_per_sample,
                // The decoder's samples are no shorter.
                _ if raw.sample_fmt.starts_with("s16") => 16,
                _ => 0,
            },
            has_captions: false,
            bit_rate: seconds(raw.bit_rate.as_deref()).filter(|rate| *rate > 0.0),
            channels: raw.channels,
            layout: raw.channel_layout,
        }
    }
}

/// What programs call a stream that has no name: ffmpeg, and those that Apple and Android write.
const HANDLERS: [&str; 9] = [
    "",
    "VideoHandler",
    "SoundHandler",
    "SubtitleHandler",
    "DataHandler",
    "Core Media Video",
    "Core Media Audio",
    "VideoHandle",
    "SoundHandle",
];

/// Whether a tag is one for which MP4 has no name of its own: QuickTime's keys, and where and with what the film was made.
fn is_makers(key: &str) -> bool {
    key.starts_with("com.") || ["location", "make", "model"].contains(&key)
}

/// A finite number, mostly of seconds; `N/A` is none.
fn seconds(text: Option<&str>) -> Option<f64> {
    text?.trim().parse().ok().filter(|s: &f64| s.is_finite())
}

/// `00:01:40.023000000` as a number of seconds.
fn clock_seconds(text: &str) -> Option<f64> {
    let fields = text.split(':').map(|field| seconds(Some(field)));
    let sum = fields.reduce(|sum, field| Some(sum? * 60.0 + field?))?;
    sum.filter(|sum| *sum > 0.0)
}

/// `N/D`, or `N:D` as shapes are written.
pub(crate) fn fraction(text: Option<&str>) -> (u32, u32) {
    text.and_then(|t| t.split_once(['/', ':']))
        .and_then(|(n, d)| Some((n.parse().ok()?, d.parse().ok()?)))
        .unwrap_or((0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_read() {
        let media = Media::parse(
            r#"{"programs": [], "streams": [
                {"index": 0, "codec_name": "mjpeg", "codec_type": "video", "width": 8, "height": 8,
                 "r_frame_rate": "90000/1", "avg_frame_rate": "0/0", "disposition": {"attached_pic": 1}},
                {"index": 1, "codec_name": "mpeg4", "codec_type": "video", "width": 320, "height": 240, "sample_aspect_ratio": "4:3",
                 "r_frame_rate": "30000/1001", "avg_frame_rate": "30000/1001", "duration": "2.002", "nb_frames": "60",
                 "disposition": {"attached_pic": 0}},
                {"index": 2, "codec_type": "data"}],
                "format": {"format_name": "mov,mp4", "duration": "2.05", "size": "12345"}}"#,
        )
        .expect("ffprobe's JSON");
        let video = media.video().expect("moving pictures");
        assert_eq!((video.index, video.rate), (1, (30_000, 1001)));
        assert_eq!(video.pixel, (4, 3));
        assert_eq!((video.duration, video.frames), (Some(2.002), Some(60)));
        assert_eq!(media.size, Some(12345));
        assert_eq!(media.of_kind("audio").count(), 0);
        assert_eq!(
            Media::parse("{}").expect("an empty description").video(),
            None
        );
    }

    #[test]
    fn clocks_are_read() {
        assert_eq!(clock_seconds("00:01:40.250000000"), Some(100.25));
        for text in ["", "00:00:00.000", "0:x:1", "N/A"] {
            assert_eq!(clock_seconds(text), None, "{text}");
        }
    }

    #[test]
    fn what_the_container_crops_is_not_shown() {
        let size = |crop: &str| {
            let text = format!(
                r#"{{"streams": [{{"index": 0, "codec_type": "video", "width": 640, "height": 480,
                    "side_data_list": [{{"side_data_type": "Display Matrix", "rotation": 90}}, {{{crop}}}]}}]}}"#
            );
            let media = Media::parse(&text).expect("ffprobe's JSON");
            (media.streams[0].width, media.streams[0].height)
        };
        let crop = r#""crop_top": 60, "crop_bottom": 60, "crop_left": 0, "crop_right": 2"#;
        assert_eq!(size(crop), (638, 360));
        assert_eq!(size(""), (640, 480));
        assert_eq!(size(r#""crop_top": 4000000000"#), (640, 480));
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = Media::parse(&text);
            let mut packets = Packets::default();
            packets.read(&text);
            let _ = packets.whole();
        }
    }
}

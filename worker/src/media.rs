//! What ffprobe tells of a file: its description, and its packets.

use serde::Deserialize;
use std::collections::BTreeMap;

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
    /// How many frames it declares, if it does.
    pub frames: Option<u64>,
    /// A cover image, not moving pictures.
    pub cover: bool,
    /// Players take it unless asked for another.
    pub default: bool,
    /// The four letters that some containers call the codec by; empty if none are printable.
    pub tag: String,
    /// Of sound.
    pub channels: u32,
    /// Of sound, as ffmpeg names it, e.g. `5.1(side)`; empty if unknown.
    pub layout: String,
}

/// The packets of a file's streams, by index, as they were met when reading through it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Packets {
    streams: BTreeMap<usize, Span>,
    /// How many packets of a stream are there and never shown.
    hidden: BTreeMap<usize, u64>,
    /// Whether the file ended where more was announced.
    pub cut: bool,
}

/// The packets of one stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// How many there are.
    pub count: u64,
    /// When the first is shown, in seconds.
    pub start: f64,
    /// When the last is over, in seconds.
    pub end: f64,
}

impl Media {
    /// What ffprobe is asked for.
    pub(crate) const ENTRIES: &str = "format=format_name,duration,size:\
        stream=index,codec_type,codec_name,codec_tag_string,width,height,sample_aspect_ratio,r_frame_rate,avg_frame_rate,duration,nb_frames,channels,channel_layout:\
        stream_disposition=attached_pic,default:\
        stream_side_data=crop_top,crop_bottom,crop_left,crop_right:program=program_id:program_stream=index";

    /// Reads ffprobe's JSON.
    ///
    /// # Errors
    /// If it isn't the JSON that ffprobe writes.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let raw: RawMedia = serde_json::from_str(text)?;
        Ok(Self {
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

    /// The streams of moving pictures.
    pub fn videos(&self) -> impl Iterator<Item = &Stream> {
        self.of_kind("video").filter(|s| !s.cover)
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

impl Packets {
    /// What ffprobe is asked for.
    pub(crate) const ENTRIES: &str = "packet=stream_index,pts_time,dts_time,duration_time,flags";

    /// Takes in a packet as ffprobe's JSON has it; what isn't a packet, or isn't shown, is passed over.
    pub fn read(&mut self, text: &str) {
        let value = |name: &str| {
            let (_, rest) = text.split_once(name)?;
            Some(rest.split([',', '}']).next()?.trim().trim_matches('"'))
        };
        let Some(index) = value("\"stream_index\": ").and_then(|text| text.parse().ok()) else {
            return;
        };
        // Cut off by an edit list (`D`, discard): it is decoded for what follows, and never shown.
        if value("\"flags\": ").is_some_and(|flags| flags.contains('D')) {
            *self.hidden.entry(index).or_default() += 1;
            return;
        }
        let pts = seconds(value("\"pts_time\": "));
        // AVI and some others have decoding times only.
        let at = pts.or_else(|| seconds(value("\"dts_time\": ")));
        self.add(
            index,
            at,
            seconds(value("\"duration_time\": ")).unwrap_or(0.0),
        );
    }

    /// Adds a packet of the stream of that index, shown from `at` for `duration`, both in seconds.
    pub(crate) fn add(&mut self, index: usize, at: Option<f64>, duration: f64) {
        let span = self.streams.entry(index).or_insert(Span {
            count: 0,
            start: f64::INFINITY,
            end: f64::NEG_INFINITY,
        });
        span.count += 1;
        if let Some(at) = at {
            span.start = span.start.min(at);
            span.end = span.end.max(at + duration.max(0.0));
        }
    }

    /// The packets of the stream of that index, if it has any with a time.
    pub fn of(&self, index: usize) -> Option<Span> {
        self.streams
            .get(&index)
            .copied()
            .filter(|s| s.start.is_finite() && s.end.is_finite())
    }

    /// How many packets the stream of that index has, with a time or without.
    pub fn count(&self, index: usize) -> u64 {
        self.streams.get(&index).map_or(0, |span| span.count)
    }

    /// How many further packets of the stream of that index are cut off by an edit list: headers count them.
    pub fn hidden(&self, index: usize) -> u64 {
        self.hidden.get(&index).copied().unwrap_or(0)
    }

    /// From the first packet of any stream to the end of the last.
    pub fn whole(&self) -> Option<Span> {
        self.streams
            .keys()
            .filter_map(|index| self.of(*index))
            .reduce(|a, b| Span {
                count: a.count + b.count,
                start: a.start.min(b.start),
                end: a.end.max(b.end),
            })
    }
}

impl Span {
    /// Its length in seconds.
    pub fn length(&self) -> f64 {
        self.end - self.start
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
    #[serde(default)]
    codec_tag_string: String,
    #[serde(default)]
    channels: u32,
    #[serde(default)]
    channel_layout: String,
    #[serde(default)]
    disposition: RawDisposition,
    #[serde(default)]
    side_data_list: Vec<RawSideData>,
}

/// Cropping that the container asks for. ffprobe prints it since version 7, whose ffmpeg applies it when it decodes.
#[derive(Default, Deserialize)]
#[expect(clippy::struct_field_names, reason = "ffprobe's names")]
struct RawSideData {
    #[serde(default)]
    crop_top: u32,
    #[serde(default)]
    crop_bottom: u32,
    #[serde(default)]
    crop_left: u32,
    #[serde(default)]
    crop_right: u32,
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
        let cropped = |side: u32, parts: fn(&RawSideData) -> [u32; 2]| {
            let cut = raw.side_data_list.iter().flat_map(parts);
            let left = cut.fold(side, u32::saturating_sub);
            // Nothing would be left: the cropping is nonsense.
            if left == 0 { side } else { left }
        };
        let width = cropped(raw.width, |data| [data.crop_left, data.crop_right]);
        let height = cropped(raw.height, |data| [data.crop_top, data.crop_bottom]);
        Self {
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
            channels: raw.channels,
            layout: raw.channel_layout,
        }
    }
}

/// A finite number of seconds; `N/A` is none.
fn seconds(text: Option<&str>) -> Option<f64> {
    text?.trim().parse().ok().filter(|s: &f64| s.is_finite())
}

/// `N/D`, or `N:D` as shapes are written.
fn fraction(text: Option<&str>) -> (u32, u32) {
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

    #[test]
    fn packets_are_measured() {
        let mut packets = Packets::default();
        for text in [
            r#"        { "stream_index": 0, "pts_time": "0.040000", "duration_time": "0.040000" },"#,
            r#"        { "stream_index": 1, "pts_time": "1.0", "dts_time": "9.0" },"#,
            r#"        { "stream_index": 0, "pts_time": "N/A", "dts_time": "0.0", "duration_time": "0.04","#,
            "",
            r#"        { "stream_index": "x" }"#,
            r#"        { "stream_index": 0, "pts_time": "7.0", "duration_time": "0.04", "flags": "KD_" },"#,
        ] {
            packets.read(text);
        }
        assert_eq!(
            packets.of(0),
            Some(Span {
                count: 2,
                start: 0.0,
                end: 0.08
            })
        );
        assert_eq!((packets.hidden(0), packets.hidden(1)), (1, 0));
        assert_eq!(packets.whole().map(|s| s.length()), Some(1.0));
        assert_eq!(packets.of(7), None);
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

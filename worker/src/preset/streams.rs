//! The streams of an input that an output may take, and what containers take of them.

/// The streams of an input that may be taken, in the file's order. Indexes are ffmpeg's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Streams {
    /// Moving pictures.
    pub videos: Vec<Named>,
    pub sounds: Vec<Sound>,
    pub subtitles: Vec<Named>,
    /// Cover pictures.
    pub covers: Vec<Named>,
    /// Fonts and other files.
    pub attachments: Vec<Named>,
    /// What a camera wrote beside the film.
    pub data: Vec<Named>,
    /// The file has tags of its maker (place, model, local date), which MP4 has no names of its own for.
    pub has_makers_tags: bool,
    /// The stream that has the tags of the whole file, as in Ogg.
    pub tagged: Option<usize>,
    /// Pictures of MPEG-4 may lie two in a packet, as DivX wrote them in AVI.
    pub is_avi: bool,
}

/// A stream by its index and its codec.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    pub index: usize,
    /// ffmpeg's name of it; of data its four letters, where it has some.
    pub codec: String,
    /// What its maker called it; empty if not at all.
    pub title: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sound {
    pub index: usize,
    pub codec: String,
    /// What its maker called it; empty if not at all.
    pub title: String,
    pub channels: u32,
    /// Where its channels are heard, as ffmpeg names it; empty if that isn't known.
    pub layout: String,
    /// Bits of a sample, where the header tells them; else 0.
    pub bits: u32,
    /// The one that players play unless asked for another.
    pub default: bool,
}

/// Subtitles that are letters, and can become letters of another form. Others are pictures.
const TEXTS: [&str; 17] = [
    "subrip",
    "srt",
    "ass",
    "ssa",
    "mov_text",
    "webvtt",
    "text",
    "microdvd",
    "mpl2",
    "jacosub",
    "sami",
    "realtext",
    "subviewer",
    "subviewer1",
    "stl",
    "pjs",
    "vplayer",
];

/// Subtitles that Matroska has a name for, beside those that are recoded for it.
const MATROSKA_SUBTITLES: [&str; 8] = [
    "subrip",
    "srt",
    "ass",
    "ssa",
    "webvtt",
    "dvd_subtitle",
    "hdmv_pgs_subtitle",
    "dvb_subtitle",
];

/// Pictures that iTunes and its like take for a cover.
const MP4_COVERS: [&str; 3] = ["mjpeg", "png", "bmp"];

impl Streams {
    /// The sound that is taken where one is.
    pub fn first_sound(&self) -> Option<&Sound> {
        let default = self.sounds.iter().find(|sound| sound.default);
        default.or(self.sounds.first())
    }

    /// The codecs that decide which container takes all.
    pub fn codecs(&self) -> Vec<String> {
        let named = [&self.videos, &self.subtitles, &self.attachments];
        let named = named.into_iter().flatten().map(|one| one.codec.clone());
        named
            .chain(self.sounds.iter().map(|one| one.codec.clone()))
            .collect()
    }
}

/// Whether a muxer writes MP4 or one of its kind.
pub(super) fn is_mp4(muxer: &str) -> bool {
    ["mp4", "mov", "ipod"].contains(&muxer)
}

/// Whether subtitles of that codec are letters.
pub fn is_text(codec: &str) -> bool {
    TEXTS.contains(&codec)
}

/// Whether a muxer of ffmpeg's takes a subtitle as it is, or [`recoded`].
pub(super) fn takes_subtitle(muxer: &str, codec: &str) -> bool {
    match muxer {
        "matroska" => MATROSKA_SUBTITLES.contains(&codec) || recoded(muxer, codec, 0).is_some(),
        muxer => is_mp4(muxer) && codec == "mov_text",
    }
}

/// Whether a muxer takes a cover picture as a stream.
pub(super) fn takes_cover(muxer: &str, codec: &str) -> bool {
    is_mp4(muxer) && MP4_COVERS.contains(&codec)
}

/// The extension and the type of the file that a muxer takes a cover picture as; `None` if it takes none. Matroska has covers
/// as attached files; what ffmpeg writes of a stream there is a film of one picture, which players would show.
pub(super) fn attached_cover(muxer: &str, codec: &str) -> Option<(&'static str, &'static str)> {
    match codec {
        _ if muxer != "matroska" => None,
        "mjpeg" => Some(("jpg", "image/jpeg")),
        "png" => Some(("png", "image/png")),
        "gif" => Some(("gif", "image/gif")),
        "tiff" => Some(("tiff", "image/tiff")),
        _ => None,
    }
}

/// Whether a muxer takes data of those four letters: telemetry of GoPro. A time code it writes itself.
pub(super) fn takes_data(muxer: &str, codec: &str) -> bool {
    ["mp4", "mov"].contains(&muxer) && codec == "gpmd"
}

/// Whether a muxer takes attached files.
pub(super) fn takes_attachments(muxer: &str) -> bool {
    muxer == "matroska"
}

/// The encoder that keeps all of a stream that a muxer has no name for; `None` where it takes it, or nothing does.
pub(crate) fn recoded(muxer: &str, codec: &str, bits: u32) -> Option<&'static str> {
    if muxer != "matroska" {
        return None;
    }
    match codec {
        // Samples in packets of their own form, of disks and camcorders.
        "pcm_bluray" | "pcm_dvd" | "pcm_s16le_planar" | "pcm_s16be_planar" | "pcm_s24le_planar"
        | "pcm_s32le_planar" | "pcm_s24daud" | "s302m" | "pcm_s302m" => {
            Some(if (1..=16).contains(&bits) {
                "pcm_s16le"
            } else {
                "pcm_s24le"
            })
        }
        "pcm_s8" | "pcm_s8_planar" => Some("pcm_s16le"),
        codec if codec != "subrip" && codec != "srt" && is_text(codec) => {
            // Those that it has a name for stay.
            (!MATROSKA_SUBTITLES.contains(&codec)).then_some("srt")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matroska_has_no_name_for_keeps_its_samples_and_letters() {
        for (codec, bits, encoder) in [
            ("pcm_bluray", 16, Some("pcm_s16le")),
            ("pcm_bluray", 24, Some("pcm_s24le")),
            ("pcm_dvd", 0, Some("pcm_s24le")),
            ("mov_text", 0, Some("srt")),
            ("ass", 0, None),
            ("pcm_s16be", 16, None),
            ("h264", 8, None),
        ] {
            assert_eq!(recoded("matroska", codec, bits), encoder, "{codec}");
            assert_eq!(recoded("mp4", codec, bits), None);
        }
    }

    #[test]
    fn containers_take_what_they_have_a_place_for() {
        assert!(takes_subtitle("matroska", "mov_text"));
        assert!(takes_subtitle("matroska", "hdmv_pgs_subtitle"));
        assert!(!takes_subtitle("matroska", "dvb_teletext"));
        assert!(takes_subtitle("mp4", "mov_text"));
        assert!(!takes_subtitle("mp4", "dvd_subtitle"));
        assert!(takes_cover("ipod", "png") && !takes_cover("ipod", "webp"));
        assert!(!takes_cover("matroska", "png") && attached_cover("ipod", "png").is_none());
        assert_eq!(
            attached_cover("matroska", "mjpeg"),
            Some(("jpg", "image/jpeg"))
        );
        assert!(takes_attachments("matroska") && !takes_attachments("mp4"));
    }
}

//! What an output must be, or it isn't published.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::picture::Colors;

/// What an output of a preset must be, or it isn't published.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// One of the names in ffprobe's `format_name`.
    pub container: String,
    /// Codec name of the one video stream, or [`Expectation::COPY`]; `None`: it has no video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video: Option<String>,
    /// Codec name of each audio stream, or [`Expectation::COPY`]; `None`: it has no sound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<String>,
    /// How many of the input's audio streams the output has.
    #[serde(default, skip_serializing_if = "AudioStreams::is_first")]
    pub audio_streams: AudioStreams,
    /// The input's subtitles, as far as they are letters, are in this form; [`Expectation::COPY`]: all that it takes, in theirs.
    /// `None`: it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subtitles: Option<String>,
    /// Its colours; `None`: the input's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<ColorKind>,
    /// Its pixels are square.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub square: bool,
    /// Width and height.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// Frame rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// It has this many seconds of the input at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
    /// It is this many still pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pictures: Option<u64>,
}

/// How many of the input's audio streams an output has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AudioStreams {
    #[default]
    First,
    All,
}

/// What colours an output must have, whatever the input's are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ColorKind {
    /// BT.709 in 8 bits, as any screen shows it.
    Sdr,
}

/// The size that an output must have. "The input's shape" is that of its pictures as stored or as
/// shown (with oblong pixels made square), upright or on its side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Width and height in pixels.
    Exact(u32, u32),
    /// The input's.
    Source,
    /// The input's, each side rounded up to an even number.
    Even,
    /// The input's shape in a box, never larger than the input.
    Within(u32, u32),
    /// The input's shape as shown, as large as the box allows.
    Fit(u32, u32),
    /// That wide, with the input's shape.
    Width(u32),
}

/// The frame rate that an output must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// Frames a second, as a fraction.
    Exact(u32, u32),
    /// Each frame of the input, at its time.
    Source,
}

/// Formats of still pictures. A file of them is read as what its preset says, which may come with a message: none of
/// these can name another file.
const PICTURES: [&str; 9] = [
    "mjpeg",
    "jpeg_pipe",
    "png_pipe",
    "apng",
    "webp_pipe",
    "bmp_pipe",
    "tiff_pipe",
    "gif",
    "jpegxl_pipe",
];

impl Expectation {
    /// In place of a codec's name: that of the input's stream.
    pub const COPY: &str = "copy";

    /// Whether the fields go together.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        match (&self.video, self.size, self.rate, self.pictures) {
            (None, None, None, None) if self.audio.is_some() => Ok(()),
            (None, None, None, None) => Err("`expect` names neither video nor audio"),
            (None, ..) => Err("`expect` has a size, a rate or pictures but no `video`"),
            (Some(_), None, ..) => Err("`expect` with `video` needs a `size`"),
            (Some(_), _, None, None) => Err("`expect` with `video` needs a `rate` or `pictures`"),
            (Some(_), _, Some(_), Some(_)) => Err("`expect` has both a `rate` and `pictures`"),
            (Some(_), _, None, Some(0)) => Err("`expect` has no `pictures`"),
            (Some(video), ..) if self.color.is_some() && video == Self::COPY => {
                Err("`expect` has a `color`, and its `video` is copied")
            }
            (Some(_), _, None, Some(_)) if self.audio.is_some() => {
                Err("`expect` has both `pictures` and `audio`")
            }
            (Some(_), _, None, Some(_)) if !PICTURES.contains(&self.container.as_str()) => {
                Err("`expect` with `pictures` has another `container` than a format of pictures")
            }
            _ => Ok(()),
        }
    }

    /// What is done to the colours of pictures for it.
    pub(super) fn colors(&self) -> Colors {
        match (self.color, self.video.as_deref()) {
            (None, _) => Colors::Source,
            (Some(ColorKind::Sdr), Some("mjpeg" | "webp")) => Colors::Jpeg,
            (Some(ColorKind::Sdr), Some("gif" | "png" | "apng")) => Colors::Rgb,
            (Some(ColorKind::Sdr), _) => Colors::Film,
        }
    }

    /// Whether the pictures are coded anew.
    pub fn recodes_video(&self) -> bool {
        self.video
            .as_deref()
            .is_some_and(|codec| codec != Self::COPY)
    }
}

impl AudioStreams {
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
    fn is_first(&self) -> bool {
        *self == Self::First
    }
}

#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum SizeForm {
    Sides([u32; 2]),
    Word(String),
    Within(WithinForm),
    Fit(FitForm),
    Width(WidthForm),
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WithinForm {
    within: [u32; 2],
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct FitForm {
    fit: [u32; 2],
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WidthForm {
    width: u32,
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const FORMS: &str = "a size is [width, height], \"source\", \"even\", { within = [width, height] }, { fit = [width, height] } or { width = N }";
        let form = SizeForm::deserialize(deserializer).map_err(|_| de::Error::custom(FORMS))?;
        match form {
            SizeForm::Sides([width, height]) if width > 0 && height > 0 => {
                Ok(Self::Exact(width, height))
            }
            SizeForm::Word(word) if word == "even" => Ok(Self::Even),
            SizeForm::Word(word) if word == "source" => Ok(Self::Source),
            SizeForm::Within(WithinForm {
                within: [width, height],
            }) if width > 0 && height > 0 => Ok(Self::Within(width, height)),
            SizeForm::Fit(FitForm {
                fit: [width, height],
            }) if width > 0 && height > 0 => Ok(Self::Fit(width, height)),
            SizeForm::Width(WidthForm { width }) if width > 0 => Ok(Self::Width(width)),
            _ => Err(de::Error::custom(FORMS)),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Exact(width, height) => SizeForm::Sides([width, height]),
            Self::Source => SizeForm::Word("source".to_owned()),
            Self::Even => SizeForm::Word("even".to_owned()),
            Self::Within(width, height) => SizeForm::Within(WithinForm {
                within: [width, height],
            }),
            Self::Fit(width, height) => SizeForm::Fit(FitForm {
                fit: [width, height],
            }),
            Self::Width(width) => SizeForm::Width(WidthForm { width }),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "source" {
            return Ok(Self::Source);
        }
        text.split_once('/')
            .and_then(|(n, d)| Some(Self::Exact(n.parse().ok()?, d.parse().ok()?)))
            .filter(|rate| !matches!(rate, Self::Exact(0, _) | Self::Exact(_, 0)))
            .ok_or_else(|| de::Error::custom("a rate is \"N/D\" or \"source\""))
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Exact(n, d) => serializer.serialize_str(&format!("{n}/{d}")),
            Self::Source => serializer.serialize_str("source"),
        }
    }
}

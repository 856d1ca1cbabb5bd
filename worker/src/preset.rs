//! Presets: which conversions there are. They are data (`presets.toml`), checked when read.

mod grammar;

use std::sync::LazyLock;

use serde::{Deserialize, Deserializer, de};
use sha2::{Digest as _, Sha256};

pub use grammar::ArgumentError;

/// The preset of a message that names none: the article's conversion.
pub const DEFAULT: &str = "ipod";

static BUILTIN: LazyLock<Presets> = LazyLock::new(|| {
    Presets::parse(include_str!("../presets.toml")).expect("presets.toml is checked by a test")
});

/// One conversion.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// What messages call it: lower-case letters, digits and `-`.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// Of the result's file name, without the dot.
    pub extension: String,
    /// The type that `OutputKey` tells.
    pub mime: String,
    /// ffmpeg's output options. The input and the output are placed by the program.
    pub args: Vec<String>,
    /// What a right output has.
    pub expect: Expectation,
}

/// What an output of a preset must be, or it isn't published.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// One of the names in ffprobe's `format_name`.
    pub container: String,
    /// Codec name of the one video stream.
    pub video: String,
    /// Codec name of each audio stream.
    pub audio: String,
    /// How many of the input's audio streams the output has.
    pub audio_streams: AudioStreams,
    /// Width and height.
    pub size: Size,
    /// Frame rate.
    pub rate: Rate,
}

/// How many of the input's audio streams an output has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AudioStreams {
    First,
    All,
}

/// The size that an output must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Width and height in pixels.
    Exact(u32, u32),
    /// The input's, each side rounded up to an even number.
    Even,
}

/// The frame rate that an output must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// Frames a second, as a fraction.
    Exact(u32, u32),
    /// Each frame of the input, at its time.
    Source,
}

/// All presets that a program knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presets {
    list: Vec<Preset>,
}

/// Why presets can't be read.
#[derive(Debug, thiserror::Error)]
pub enum PresetError {
    #[error("the presets are not of the form that is described at the top of presets.toml")]
    Form(#[from] toml::de::Error),
    #[error("the preset name `{0}` is used twice")]
    Duplicate(String),
    #[error("the preset `{preset}` can't have the {field} `{value}`")]
    Field {
        preset: String,
        field: &'static str,
        value: String,
    },
    #[error("the preset `{preset}` has an argument that is not allowed")]
    Argument {
        preset: String,
        #[source]
        source: ArgumentError,
    },
}

impl Presets {
    /// The presets that come with the program.
    pub fn builtin() -> &'static Self {
        &BUILTIN
    }

    /// Reads presets in the form of `presets.toml`.
    ///
    /// # Errors
    /// [`PresetError`]: not that form (an unknown key is named), a name used twice, a field that
    /// can't be, or an argument that the grammar doesn't allow.
    pub fn parse(text: &str) -> Result<Self, PresetError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            preset: Vec<Preset>,
        }
        let list = toml::from_str::<File>(text)?.preset;
        for (index, preset) in list.iter().enumerate() {
            if list[..index].iter().any(|p| p.name == preset.name) {
                return Err(PresetError::Duplicate(preset.name.clone()));
            }
            preset.check()?;
        }
        Ok(Self { list })
    }

    /// The preset of that name.
    pub fn get(&self, name: &str) -> Option<&Preset> {
        self.list.iter().find(|p| p.name == name)
    }

    /// The names, in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(|p| p.name.as_str())
    }

    /// The presets, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Preset> {
        self.list.iter()
    }
}

impl Preset {
    /// Hex SHA-256 over the arguments: two presets that run the same command have the same.
    ///
    /// Each argument is followed by a zero byte, which no argument can hold, so that moving a
    /// letter from one to the next changes the digest.
    pub fn digest(&self) -> String {
        let mut sum = Sha256::new();
        for arg in &self.args {
            sum.update(arg.as_bytes());
            sum.update([0]);
        }
        hex::encode(sum.finalize())
    }

    fn check(&self) -> Result<(), PresetError> {
        let word = |text: &str, max: usize, more: &str| {
            (1..=max).contains(&text.len())
                && text
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || more.contains(c))
        };
        // 32 letters fit into any listing; 8 are longer than any usual extension.
        for (field, value, good) in [
            ("name", &self.name, word(&self.name, 32, "-")),
            ("extension", &self.extension, word(&self.extension, 8, "")),
            (
                "mime",
                &self.mime,
                word(&self.mime, 64, "/.+-") && self.mime.contains('/'),
            ),
        ] {
            if !good {
                return Err(PresetError::Field {
                    preset: crate::text::printable_short(&self.name, 40),
                    field,
                    value: crate::text::printable_short(value, 100),
                });
            }
        }
        grammar::check(&self.args).map_err(|source| PresetError::Argument {
            preset: self.name.clone(),
            source,
        })
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Sides([u32; 2]),
            Word(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Sides([width, height]) if width > 0 && height > 0 => {
                Ok(Self::Exact(width, height))
            }
            Form::Word(word) if word == "even" => Ok(Self::Even),
            _ => Err(de::Error::custom("a size is [width, height] or \"even\"")),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_builtin_presets_are_well_formed() {
        let presets = Presets::builtin();
        assert_eq!(presets.names().collect::<Vec<_>>(), ["ipod", "web"]);
        let ipod = presets.get(DEFAULT).expect("the default exists");
        assert_eq!(ipod.mime, "video/quicktime");
        assert_eq!(ipod.expect.size, Size::Exact(320, 240));
        assert_eq!(ipod.expect.rate, Rate::Exact(30_000, 1001));
        let web = presets.get("web").expect("exists");
        assert_eq!(
            (web.expect.size, web.expect.rate),
            (Size::Even, Rate::Source)
        );
        assert!(presets.get("../etc/passwd").is_none());
    }

    #[test]
    fn digests_tell_arguments_apart_and_nothing_else() {
        let presets = Presets::builtin();
        let (ipod, web) = (presets.get("ipod").unwrap(), presets.get("web").unwrap());
        assert_eq!(ipod.digest().len(), 64);
        assert_ne!(ipod.digest(), web.digest());
        let mut other = ipod.clone();
        other.description = "other words".to_owned();
        assert_eq!(other.digest(), ipod.digest());
        let (mut a, mut b) = (ipod.clone(), ipod.clone());
        a.args = vec!["-ar".to_owned(), "48000".to_owned()];
        b.args = vec!["-ar4".to_owned(), "8000".to_owned()];
        assert_ne!(a.digest(), b.digest());
    }

    fn with(from: &str, to: &str) -> Result<Presets, PresetError> {
        let text = include_str!("../presets.toml");
        assert!(text.contains(from), "{from}");
        Presets::parse(&text.replacen(from, to, 1))
    }

    #[test]
    fn faults_are_refused() {
        assert!(matches!(
            with("name = \"web\"", "name = \"ipod\""),
            Err(PresetError::Duplicate(_))
        ));
        for (from, to) in [
            (
                "mime = \"video/mp4\"",
                "mime = \"video/mp4\"\ncommand = \"rm\"",
            ),
            ("size = [320, 240]", "size = [0, 240]"),
            ("size = \"even\"", "size = \"odd\""),
            ("rate = \"source\"", "rate = \"1/0\""),
            ("audio = \"aac\"\n", ""),
        ] {
            assert!(matches!(with(from, to), Err(PresetError::Form(_))), "{to}");
        }
        for (from, to) in [
            ("name = \"web\"", "name = \"Web page\""),
            ("extension = \"mp4\"", "extension = \"../x\""),
            ("mime = \"video/mp4\"", "mime = \"a,b;c\""),
        ] {
            assert!(
                matches!(with(from, to), Err(PresetError::Field { .. })),
                "{to}"
            );
        }
        assert!(matches!(
            with("\"-f\", \"mp4\"", "\"-f\", \"tee\""),
            Err(PresetError::Argument { .. })
        ));
    }
}

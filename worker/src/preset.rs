//! Presets: which conversions there are. They are data (`presets.toml`, and users' own in
//! `muck.toml`), checked when read. [`plan`] makes ffmpeg's arguments of one and an input's facts.

mod channels;
mod definition;
mod expectation;
mod grammar;
mod ladder;
mod limits;
mod mapping;
mod plan;
mod streams;

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub(crate) use channels::AAC_LAYOUTS;
pub use definition::{DefinitionError, MAX_DEFINITION_BYTES};
pub use expectation::{AudioStreams, ColorKind, Expectation, Rate, Size};
pub use grammar::ArgumentError;
pub use ladder::{Ladder, Rung};
pub use plan::{Check, Cover, Facts, Plan, PlannedFile};
pub(crate) use streams::recoded;
pub use streams::{Named, Sound, Streams, is_text};

/// The preset of a message that names none: the article's conversion.
pub const DEFAULT: &str = "ipod";

/// Threads that one conversion may use at most: x264 and x265 lose quality by more.
const MOST_THREADS: u32 = 16;

/// Outputs of one run at most; each is an encoder with its memory.
const MOST_OUTPUTS: usize = 8;

static BUILTIN: LazyLock<Presets> = LazyLock::new(|| {
    Presets::parse(include_str!("../presets.toml")).expect("presets.toml is checked by a test")
});

/// One conversion.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// What messages call it: lower-case letters, digits and `-`.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// Threads of the decoder, of the filters, and of each encoder.
    #[serde(default = "one")]
    pub threads: u32,
    /// Only the first output whose `codecs` hold all of the input's, and that comes right, is made.
    #[serde(default, skip_serializing_if = "is_false")]
    pub alternatives: bool,
    /// What it makes. `output` in TOML and JSON, whose tables are named so one by one.
    #[serde(rename = "output")]
    pub outputs: Vec<Output>,
}

/// One output of a preset.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Stands before the extension in the result's name, where a preset has several outputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suffix: Option<String>,
    /// Of the result's file name, without the dot.
    pub extension: String,
    /// The type that `OutputKey` tells.
    pub mime: String,
    /// ffmpeg's output options. The input and the output are placed by the program.
    pub args: Vec<String>,
    /// Among alternatives: the codecs that this one takes; `None` for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codecs: Option<Vec<String>>,
    /// HLS: several sizes of one film.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ladder: Option<Ladder>,
    /// What a right output has.
    pub expect: Expectation,
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
    #[error("the preset `{0}` is built in and can't be defined anew; give yours another name")]
    Builtin(String),
    #[error("the preset `{preset}` can't have the {field} `{value}`")]
    Field {
        preset: String,
        field: &'static str,
        value: String,
    },
    #[error("the preset `{preset}` is not right: {why}")]
    Rule { preset: String, why: String },
    #[error("the preset `{preset}` has an argument that is not allowed: {source}")]
    Argument {
        preset: String,
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
        Self::checked(toml::from_str::<File>(text)?.preset)
    }

    /// The built-in presets and, after them, users' own.
    ///
    /// # Errors
    /// [`PresetError`]: as [`Presets::parse`], and for the name of a built-in one.
    pub fn with(own: &[Preset]) -> Result<Self, PresetError> {
        if let Some(preset) = own.iter().find(|p| BUILTIN.get(&p.name).is_some()) {
            return Err(PresetError::Builtin(preset.name.clone()));
        }
        let own = Self::checked(own.to_vec())?;
        let mut all = BUILTIN.clone();
        all.list.extend(own.list);
        Ok(all)
    }

    fn checked(list: Vec<Preset>) -> Result<Self, PresetError> {
        for (index, preset) in list.iter().enumerate() {
            preset.check()?;
            if list[..index].iter().any(|p| p.name == preset.name) {
                return Err(PresetError::Duplicate(preset.name.clone()));
            }
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
    /// Hex SHA-256 of the [definition](Preset::definition): two presets that do the same have the
    /// same, whatever they are called.
    pub fn digest(&self) -> String {
        hex::encode(Sha256::digest(self.definition()))
    }

    /// The encoders that it names; `copy` is none.
    pub fn encoders(&self) -> impl Iterator<Item = &str> {
        self.outputs
            .iter()
            .flat_map(|output| output.args.windows(2))
            .filter(|pair| pair[0] == "-c" || pair[0].starts_with("-c:"))
            .map(|pair| pair[1].as_str())
            .filter(|name| *name != "copy")
    }

    /// Whether the preset came with the program.
    pub fn is_builtin(&self) -> bool {
        BUILTIN.get(&self.name) == Some(self)
    }

    /// Whether all is of its form.
    ///
    /// # Errors
    /// [`PresetError`], for the first thing that isn't.
    pub fn check(&self) -> Result<(), PresetError> {
        // 32 letters fit into any listing.
        self.word("name", &self.name, 32, "-")?;
        let rule = |why: &str| PresetError::Rule {
            preset: self.name.clone(),
            why: why.to_owned(),
        };
        if !(1..=MOST_THREADS).contains(&self.threads) {
            return Err(rule("`threads` is a number from 1 to 16"));
        }
        if !(1..=MOST_OUTPUTS).contains(&self.outputs.len()) {
            return Err(rule("it needs `[[preset.output]]`, one to eight"));
        }
        if self.definition().len() > MAX_DEFINITION_BYTES {
            return Err(rule("it is too long for a message"));
        }
        let several = self.outputs.len() > 1 && !self.alternatives;
        for output in &self.outputs {
            self.check_output(output, several)?;
        }
        let mut names: Vec<String> = self.outputs.iter().map(Output::tail).collect();
        names.sort();
        names.dedup();
        if names.len() < self.outputs.len() {
            return Err(rule("two outputs have the same suffix and extension"));
        }
        Ok(())
    }

    fn check_output(&self, output: &Output, several: bool) -> Result<(), PresetError> {
        let rule = |why: &str| {
            Err(PresetError::Rule {
                preset: self.name.clone(),
                why: why.to_owned(),
            })
        };
        match &output.suffix {
            Some(suffix) => self.word("suffix", suffix, 16, "-")?,
            None if several => {
                return rule("each of several outputs needs a `suffix` for the result's name");
            }
            None => {}
        }
        // 8 are longer than any usual extension.
        self.word("extension", &output.extension, 8, "")?;
        self.word("mime", &output.mime, 64, "/.+-")?;
        let families = ["video/", "audio/", "image/", "application/"];
        if !families
            .iter()
            .any(|family| output.mime.starts_with(family))
        {
            return Err(self.field("mime", &output.mime));
        }
        if output.codecs.is_some() && !self.alternatives {
            return rule("`codecs` goes with `alternatives = true`");
        }
        for codec in output.codecs.iter().flatten() {
            self.word("codec", codec, 32, "_")?;
        }
        output.expect.check().or_else(rule)?;
        let expect = &output.expect;
        self.word("container", &expect.container, 32, "_-")?;
        let codecs = [&expect.video, &expect.audio, &expect.subtitles];
        for codec in codecs.into_iter().flatten() {
            self.word("codec", codec, 32, "_")?;
        }
        grammar::check(&output.args).map_err(|source| PresetError::Argument {
            preset: self.name.clone(),
            source,
        })?;
        if output.ladder.is_some()
            && let Some(own) = ["-map", "-vf", "-t", "-r", "-s"]
                .iter()
                .find(|own| output.args.iter().any(|arg| arg == *own))
        {
            return rule(&format!("a ladder has no `{own}`: the program places it"));
        }
        // Without it the extension would decide, and some formats write more than one file.
        let names_format = output.args.iter().any(|arg| arg == "-f");
        match &output.ladder {
            Some(_) if several || self.alternatives => {
                rule("an output with a ladder must be the only one")
            }
            Some(_) if names_format => rule("a ladder has no `-f`: the program places it"),
            Some(ladder) => ladder.check(&output.expect).or_else(rule),
            None if !names_format => rule("each output needs `-f` with the name of a format"),
            None => Ok(()),
        }
    }

    fn word(
        &self,
        field: &'static str,
        text: &str,
        max: usize,
        more: &str,
    ) -> Result<(), PresetError> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || more.contains(c);
        let good = (1..=max).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(allowed);
        if good {
            Ok(())
        } else {
            Err(self.field(field, text))
        }
    }

    fn field(&self, field: &'static str, value: &str) -> PresetError {
        PresetError::Field {
            preset: crate::text::printable_short(&self.name, 40),
            field,
            value: crate::text::printable_short(value, 100),
        }
    }
}

impl Output {
    /// Whether ffmpeg writes time codes and chapters into it, which it reads into tags.
    pub(crate) fn writes_tags_as_tracks(&self) -> bool {
        self.ladder.is_none() && ["mp4", "mov"].contains(&self.expect.container.as_str())
    }

    /// What follows the stem and a dot in the result's name: `mov`, `poster.jpg`.
    pub fn tail(&self) -> String {
        match &self.suffix {
            Some(suffix) => format!("{suffix}.{}", self.extension),
            None => self.extension.clone(),
        }
    }
}

fn one() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_false(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

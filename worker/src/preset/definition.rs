//! A preset as one line of JSON: what a message carries of a user's own, and what is digested.

use serde::{Deserialize, Serialize};

use super::{Output, Preset, PresetError};
use crate::text::printable_short;

/// The longest definition that is read or sent, in bytes: the built-in ones have under 2 KiB, and
/// a status message repeats it.
pub const MAX_DEFINITION_BYTES: usize = 8 * 1024;

/// Characters of a reason why a definition can't be read.
const MOST_REASON: usize = 300;

/// Everything that decides the outputs: all of a preset but name and description. Fields are
/// written in this order and absent ones left out, so that a definition has one text only.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Definition {
    #[serde(default = "super::one")]
    threads: u32,
    #[serde(default, skip_serializing_if = "super::is_false")]
    alternatives: bool,
    output: Vec<Output>,
}

/// Why a definition can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    #[error("the preset's definition has {0} bytes; at most {MAX_DEFINITION_BYTES} are read")]
    TooLong(usize),
    /// The reader's words, which quote the text: cut, and safe to print.
    #[error("the preset's definition can't be read: {0}")]
    Form(String),
    #[error(transparent)]
    Preset(#[from] PresetError),
}

impl Preset {
    /// The definition as compact JSON, in ASCII and without a line break.
    pub fn definition(&self) -> String {
        let definition = Definition {
            threads: self.threads,
            alternatives: self.alternatives,
            output: self.outputs.clone(),
        };
        // No map with keys that are no texts, no number that JSON lacks: it can't fail.
        serde_json::to_string(&definition).unwrap_or_default()
    }

    /// Reads the definition of a preset that a message calls `name`, and checks it as any other.
    ///
    /// # Errors
    /// [`DefinitionError`]; a built-in preset's name is refused unless the definition is that
    /// preset's.
    pub fn from_definition(name: &str, text: &str) -> Result<Self, DefinitionError> {
        if text.len() > MAX_DEFINITION_BYTES {
            return Err(DefinitionError::TooLong(text.len()));
        }
        let definition: Definition = serde_json::from_str(text).map_err(|error| {
            DefinitionError::Form(printable_short(&error.to_string(), MOST_REASON))
        })?;
        let mut preset = Self {
            name: name.to_owned(),
            description: String::new(),
            threads: definition.threads,
            alternatives: definition.alternatives,
            outputs: definition.output,
        };
        preset.check()?;
        if let Some(builtin) = super::BUILTIN.get(name) {
            if builtin.definition() != preset.definition() {
                return Err(PresetError::Builtin(name.to_owned()).into());
            }
            builtin.description.clone_into(&mut preset.description);
        }
        Ok(preset)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Presets;
    use super::*;

    #[test]
    fn a_definition_is_read_back_and_has_one_text() {
        for preset in Presets::builtin().iter() {
            let text = preset.definition();
            assert!(text.is_ascii() && !text.contains(['\n', '\r']), "{text}");
            assert!(text.len() < MAX_DEFINITION_BYTES, "{}", text.len());
            let own = Preset::from_definition("own", &text).expect("is right");
            assert_eq!(own.definition(), text);
            assert_eq!(own.digest(), preset.digest());
            let same = Preset::from_definition(&preset.name, &text).expect("is the same");
            assert_eq!(&same, preset);
        }
    }

    #[test]
    fn a_builtin_name_cannot_get_another_meaning() {
        let web = Presets::builtin().get("web").expect("exists").definition();
        let error = Preset::from_definition("ipod", &web).expect_err("is another");
        assert!(error.to_string().contains("built in"), "{error}");
    }

    #[test]
    fn hostile_definitions_are_refused() {
        let web = Presets::builtin().get("web").expect("exists").definition();
        for (from, to) in [
            ("\"-f\",\"mp4\"", "\"-f\",\"tee\""),
            ("\"-crf\",\"21\"", "\"-/vf\",\"/etc/passwd\""),
            ("\"extension\":\"mp4\"", "\"extension\":\"../x\""),
            ("\"threads\":2", "\"threads\":4000"),
            ("\"threads\":2", "\"command\":\"rm\""),
            ("\"container\":\"mp4\"", "\"container\":\"\u{202e}mp4\""),
            ("\"video\":\"h264\"", "\"video\":\"h264\\n\""),
            ("\"audio\":\"aac\"", "\"audio\":\"\""),
        ] {
            assert!(web.contains(from), "{from} in {web}");
            let text = web.replacen(from, to, 1);
            assert!(Preset::from_definition("own", &text).is_err(), "{to}");
        }
        let long = format!("{}{}", " ".repeat(MAX_DEFINITION_BYTES), web);
        assert!(matches!(
            Preset::from_definition("own", &long),
            Err(DefinitionError::TooLong(_))
        ));
        assert!(Preset::from_definition("../own", &web).is_err());
    }
}

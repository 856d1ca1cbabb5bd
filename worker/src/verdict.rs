//! The verdict: the one arbiter of a job.
//!
//! A job is an input's content and what is to be done with it. Its verdict is written once, with
//! `If-None-Match: *`; whoever finds one only redoes the message that may have been lost.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::MEDIA_PREFIX;
use crate::certificate::Certificate;
use crate::message::{OutputKey, Status, can_be_told, is_hex};
use crate::preset::Preset;
use crate::spent::Spent;
use crate::text::printable_short;

/// The folder of verdicts in the output bucket.
pub const PREFIX: &str = "verdicts/";

/// The version of the JSON that is written. It changes when a field changes its meaning; readers
/// must ignore fields that they don't know.
pub const VERSION: u32 = 1;

/// Characters of a reason why a text is no verdict: it quotes the text.
const MOST_REASON: usize = 300;

/// How a job ended, for good. JSON in `verdicts/<job>.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// [`VERSION`].
    pub version: u32,
    /// The job's identity: [`job_id`].
    pub job: String,
    /// `converted` or `failed`.
    pub status: Status,
    /// What was processed.
    pub input: Content,
    /// The service that processed it.
    pub service: String,
    /// The preset's name, if the service has presets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Digest of what the service was to do: [`Preset::digest`].
    pub digest: String,
    /// What was made; empty if the job failed.
    #[serde(default)]
    pub outputs: Vec<Output>,
    /// What of the input is in no output, and why: a phrase each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// What the outputs lack because the input is damaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The machine that worked.
    pub host: String,
    /// Its EC2 id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// When the input message was read.
    pub service_read: Timestamp,
    /// When the verdict was written.
    pub service_write: Timestamp,
    /// What the work took, if it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<Spent>,
}

/// An object and its sums.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    pub bucket: String,
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// Lower-case hex.
    pub md5: String,
    /// Lower-case hex.
    pub sha256: String,
}

/// One output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Output {
    #[serde(flatten)]
    pub content: Content,
    /// What tells it from the job's other outputs, see [`OutputKey::name`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// MIME type.
    pub mime: String,
    /// What was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
}

/// Why a text is no verdict, in words that are safe to print.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerdictError {
    /// Not JSON, or a field is missing or not of its form.
    #[error("{0}")]
    Form(String),
    #[error("it has version {0}; {VERSION} is the one that is read here")]
    Version(u32),
    /// Its fields contradict each other.
    #[error("{0}")]
    Rule(&'static str),
}

impl Verdict {
    /// Reads the JSON of a verdict.
    ///
    /// # Errors
    /// [`VerdictError`], if it isn't one that can be acted on. It decides a job for good, and what it names
    /// goes into a status message; so it is looked at as closely as a message.
    pub fn parse(text: &str) -> Result<Self, VerdictError> {
        #[derive(Deserialize)]
        struct Any {
            version: u32,
        }
        // serde_json quotes what it didn't expect.
        let form = |error: serde_json::Error| {
            VerdictError::Form(printable_short(&error.to_string(), MOST_REASON))
        };
        // Fields of another version may mean anything.
        let Any { version } = serde_json::from_str(text).map_err(form)?;
        if version != VERSION {
            return Err(VerdictError::Version(version));
        }
        let verdict: Self = serde_json::from_str(text).map_err(form)?;
        verdict.check()?;
        Ok(verdict)
    }

    /// Writes the JSON, for programs and for eyes.
    ///
    /// # Errors
    /// [`VerdictError`], if it would not be read again: what a verdict may not say, or a length that is no
    /// number, which JSON can't say.
    pub fn to_json(&self) -> Result<String, VerdictError> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| VerdictError::Form(error.to_string()))?;
        Self::parse(&text)?;
        Ok(text + "\n")
    }

    fn check(&self) -> Result<(), VerdictError> {
        let rule = |holds: bool, why| {
            if holds {
                Ok(())
            } else {
                Err(VerdictError::Rule(why))
            }
        };
        rule(
            self.job == job_id_of(&self.input.md5, &self.digest) && is_job(&self.job),
            "its job is not that of its MD5 and its digest",
        )?;
        let outputs = self.output_keys();
        rule(
            self.outputs.is_empty() == (self.status == Status::Failed),
            "it is of a failure with outputs, or of a conversion without",
        )?;
        rule(
            self.outputs.iter().all(|output| {
                let Content { key, md5, .. } = &output.content;
                is_hex(md5, 32) && *key == format!("{MEDIA_PREFIX}{md5}")
            }),
            "an output's key is not that of its MD5",
        )?;
        rule(
            outputs.is_empty() || can_be_told(&outputs),
            "an output's name or type can't be told in a status message",
        )
    }

    /// The outputs as a status message tells them.
    pub fn output_keys(&self) -> Vec<OutputKey> {
        self.outputs
            .iter()
            .map(|o| OutputKey {
                key: o.content.key.clone(),
                mime: o.mime.clone(),
                name: o.name.clone(),
            })
            .collect()
    }
}

/// The identity of converting the content with that MD5 by that preset: `<md5>-<digest>`.
///
/// Both are lower-case hex, the second is [`Preset::digest`]; so it doesn't matter what the file
/// or the preset is called, nor who asks.
pub fn job_id(input_md5: &str, preset: &Preset) -> String {
    job_id_of(input_md5, &preset.digest())
}

/// The same for any service, whose work on the content is identified by a digest.
pub fn job_id_of(input_md5: &str, digest: &str) -> String {
    format!("{}-{digest}", input_md5.to_ascii_lowercase())
}

/// Whether a text has the form of [`job_id_of`]: it becomes a key, and anyone may have written it. A digest has 1 to 64
/// letters, digits, `.`, `_` and `-`.
pub fn is_job(text: &str) -> bool {
    let is_digest = |text: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        (1..=64).contains(&text.len()) && text.bytes().all(allowed)
    };
    matches!(text.split_once('-'), Some((md5, digest)) if is_hex(md5, 32) && is_digest(digest))
}

/// The key of a job's verdict in the output bucket.
pub fn key(job: &str) -> String {
    format!("{PREFIX}{job}.json")
}

#[cfg(test)]
mod properties;
#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::preset::Presets;

    pub(crate) fn example() -> Verdict {
        let md5 = "f84e4a20b571abc69baf2277d193e596";
        let ipod = Presets::builtin().get("ipod").expect("a preset");
        Verdict {
            version: VERSION,
            job: job_id(md5, ipod),
            status: Status::Converted,
            input: content(md5),
            service: "ConvertVideo".to_owned(),
            preset: Some("ipod".to_owned()),
            digest: ipod.digest(),
            outputs: vec![Output {
                content: content("e69e376be5af6f88f81d3e31adf27988"),
                name: None,
                mime: "video/quicktime".to_owned(),
                certificate: Some(Certificate::default()),
            }],
            left_out: vec!["data stream 2 (gpmd): a film has no place for it".to_owned()],
            warning: None,
            error: None,
            host: "domU-12-31-34-00-02-82".to_owned(),
            instance_id: None,
            service_read: "2007-02-21T01:28:14Z".parse().expect("a time"),
            service_write: "2007-02-21T01:28:27Z".parse().expect("a time"),
            spent: Some(Spent {
                wall_seconds: 3.5,
                cpu_seconds: 6.25,
                peak_memory_bytes: 130_000_000,
                written_bytes: 338_357,
            }),
        }
    }

    fn content(md5: &str) -> Content {
        Content {
            bucket: "b".to_owned(),
            key: format!("media/{md5}"),
            size: 1_126_472,
            md5: md5.to_owned(),
            sha256: "0".repeat(64),
        }
    }

    #[test]
    fn a_job_is_known_by_content_and_arguments() {
        let verdict = example();
        let ipod = Presets::builtin().get("ipod").expect("a preset");
        assert_eq!(
            verdict.job,
            format!("{}-{}", verdict.input.md5, ipod.digest())
        );
        assert_eq!(job_id(&verdict.input.md5.to_uppercase(), ipod), verdict.job);
        assert_eq!(key("x"), "verdicts/x.json");
    }

    /// Who writes a client by that page compares with its example.
    #[test]
    fn the_documentation_shows_the_identity_that_is_in_use() {
        assert!(include_str!("../../docs/messages.md").contains(&example().job));
    }

    #[test]
    fn fields_of_later_versions_are_ignored() {
        let text = example()
            .to_json()
            .expect("json")
            .replacen('{', "{\"colour\": \"red\",", 1);
        assert_eq!(Verdict::parse(&text).expect("a verdict"), example());
        assert!(Verdict::parse("{}").is_err());
    }

    #[test]
    fn what_contradicts_itself_is_no_verdict() {
        let refused = |change: &dyn Fn(&mut Verdict)| {
            let mut verdict = example();
            change(&mut verdict);
            let text = serde_json::to_string(&verdict).expect("json");
            assert_eq!(verdict.to_json().err(), Verdict::parse(&text).err());
            Verdict::parse(&text).expect_err("is refused").to_string()
        };
        assert_eq!(
            refused(&|v| v.version = 2),
            "it has version 2; 1 is the one that is read here"
        );
        assert!(refused(&|v| v.job = "../media/x".to_owned()).contains("its job"));
        assert!(refused(&|v| v.input.md5 = "0".repeat(32)).contains("its job"));
        assert!(refused(&|v| v.digest = String::new()).contains("digest"));
        for digest in ["", "../x", "a/b", &"x".repeat(65), "é"] {
            let why = refused(&|v| {
                digest.clone_into(&mut v.digest);
                v.job = job_id_of(&v.input.md5, digest);
            });
            assert!(why.contains("its job"), "{digest}: {why}");
        }
        let mut other = example();
        // Of another service.
        other.digest = "probe-1.2".to_owned();
        other.job = job_id_of(&other.input.md5, &other.digest);
        assert!(other.to_json().is_ok());
        assert!(refused(&|v| v.status = Status::Failed).contains("failure with outputs"));
        assert!(refused(&|v| v.outputs.clear()).contains("without"));
        for key in ["", "verdicts/x", "media/x", "media/../x", "a,b"] {
            let why = refused(&|v| key.clone_into(&mut v.outputs[0].content.key));
            assert!(why.contains("an output's key"), "{key}: {why}");
        }
        for mime in ["a,media/x", "a/b;name=x", "a/b; charset=utf-8", "a\nb"] {
            let why = refused(&|v| mime.clone_into(&mut v.outputs[0].mime));
            assert!(why.contains("can't be told"), "{mime}: {why}");
        }
        assert!(
            refused(&|v| v.outputs[0].name = Some("../x".to_owned())).contains("can't be told")
        );
        let mut endless = example();
        endless.outputs[0].certificate = Some(Certificate {
            output_seconds: f64::INFINITY,
            ..Certificate::default()
        });
        assert!(endless.to_json().is_err());
    }
}

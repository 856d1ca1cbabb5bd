//! The verdict: the one arbiter of a job.
//!
//! A job is an input's content and what is to be done with it. Its verdict is written once, with
//! `If-None-Match: *`; whoever finds one only redoes the message that may have been lost.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::certificate::Certificate;
use crate::message::{OutputKey, Status};
use crate::preset::Preset;
use crate::spent::Spent;

/// The folder of verdicts in the output bucket.
pub const PREFIX: &str = "verdicts/";

/// The version of the JSON that is written. It changes when a field changes its meaning; readers
/// must ignore fields that they don't know.
pub const VERSION: u32 = 1;

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

impl Verdict {
    /// Reads the JSON of a verdict.
    ///
    /// # Errors
    /// If it isn't one.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Writes the JSON, for programs and for eyes.
    ///
    /// # Errors
    /// Never for verdicts read or made here; JSON has no way to say `NaN`.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
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

/// The key of a job's verdict in the output bucket.
pub fn key(job: &str) -> String {
    format!("{PREFIX}{job}.json")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::preset::Presets;
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn written_is_read_back(
            error in prop::option::of(any::<String>()),
            host in any::<String>(),
            size in any::<u64>(),
            failed in any::<bool>(),
            // Eighths: lengths are read back to the last bit only where JSON's decimals hold them.
            eighths in any::<u32>(),
            time in 0_i64..253_402_207_200,
        ) {
            let mut verdict = example();
            verdict.error = error;
            verdict.host = host;
            verdict.input.size = size;
            verdict.status = if failed { Status::Failed } else { Status::Converted };
            verdict.service_write = Timestamp::from_second(time).expect("in range");
            verdict.outputs[0].certificate =
                Some(Certificate { output_seconds: f64::from(eighths) / 8.0, ..Certificate::default() });
            let text = verdict.to_json().expect("json");
            prop_assert_eq!(Verdict::parse(&text).expect("a verdict"), verdict);
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = Verdict::parse(&text);
        }
    }
}

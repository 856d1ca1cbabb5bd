//! The verdict: the one arbiter of a job.
//!
//! A job is an input's content and what is to be done with it. Its verdict is written once, with
//! `If-None-Match: *`; whoever finds one only redoes the message that may have been lost.

use crate::preset::Preset;

/// The folder of verdicts in the output bucket.
pub const PREFIX: &str = "verdicts/";

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

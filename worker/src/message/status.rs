//! The status message: what became of one file.

use std::fmt;

use jiff::Timestamp;

use super::{InputMessage, Message, MessageError, invalid};
use crate::dates;

/// One output of a job: where it is stored and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputKey {
    /// The full key as stored, e.g. `media/<md5>`.
    pub key: String,
    /// The MIME type, e.g. `video/quicktime`; empty if the writer gave none.
    pub mime: String,
    /// What follows the stem of the input's name and a dot in the result's name (`poster.jpg`,
    /// `hls/master.m3u8`). Only where a job has several outputs.
    pub name: Option<String>,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Converted,
    Failed,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Converted => "converted",
            Self::Failed => "failed",
        })
    }
}

/// The answer to an [`InputMessage`]: all of its headers, and what the service adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusMessage {
    /// The input message. In a `failed` status it may be incomplete (empty bucket or key).
    pub input: InputMessage,
    /// `OutputKey`: the outputs, in the service's order. Empty if the job failed.
    pub outputs: Vec<OutputKey>,
    /// `Server`: the name of the service, e.g. `ConvertVideo`.
    pub server: String,
    /// `Host`: the DNS name of the machine that worked.
    pub host: String,
    /// `Instance-ID`: the EC2 id of that machine.
    pub instance_id: Option<String>,
    /// `Service-Read`: when the input message was read.
    pub service_read: Timestamp,
    /// `Service-Write`: when this message was written.
    pub service_write: Timestamp,
    /// `Processing-Seconds`: the time between the two, to the millisecond; the dates have whole seconds.
    pub processing_milliseconds: Option<u64>,
    /// `Status`: absent (2007) means converted.
    pub status: Status,
    /// `Left-Out`: what of the input is in no output, and why, as [`join_left_out`] writes it. May hold text of a stranger's
    /// file, as the next two.
    pub left_out: Option<String>,
    /// `Warning`: what the outputs lack because the input is damaged.
    pub warning: Option<String>,
    /// `Error`: why it failed, for a person.
    pub error: Option<String>,
}

/// The names that the service adds, in the order in which they are written.
const KNOWN: [&str; 11] = [
    "OutputKey",
    "Server",
    "Host",
    "Instance-ID",
    "Service-Read",
    "Service-Write",
    "Processing-Seconds",
    "Status",
    "Left-Out",
    "Warning",
    "Error",
];

/// The longest `Left-Out`, `Warning` and `Error` that are written, in characters. A reason is a sentence or two; a hostile
/// file can make ffmpeg print without end, and the message must stay sendable.
const MAX_REMARK_CHARS: usize = 1000;

impl StatusMessage {
    /// Reads the headers of a status message.
    ///
    /// # Errors
    /// [`MessageError`] if a header that the service adds is missing, double or not of its form,
    /// or if the status is `converted` and the input's headers are not those of an input message.
    pub fn from_message(message: &Message) -> Result<Self, MessageError> {
        let status = match message.once("Status")? {
            None => Status::Converted,
            Some(text) if text.eq_ignore_ascii_case("converted") => Status::Converted,
            Some(text) if text.eq_ignore_ascii_case("failed") => Status::Failed,
            Some(text) => return Err(invalid("Status", text, "neither `converted` nor `failed`")),
        };
        let outputs = match (message.once("OutputKey")?, status) {
            (Some(text), _) => parse_outputs(text)?,
            (None, Status::Failed) => Vec::new(),
            (None, Status::Converted) => return Err(MessageError::Missing("OutputKey")),
        };
        let mut input = match status {
            Status::Converted => InputMessage::from_message(message)?,
            Status::Failed => InputMessage::lenient(message),
        };
        drop_status_headers(&mut input);
        let date = |name| {
            let text = message.required(name)?;
            dates::parse(text).ok_or_else(|| invalid(name, text, "not a date of RFC 1123 in GMT"))
        };
        Ok(Self {
            input,
            outputs,
            server: message.required("Server")?.to_owned(),
            host: message.once("Host")?.unwrap_or_default().to_owned(),
            instance_id: message.once("Instance-ID")?.map(str::to_owned),
            service_read: date("Service-Read")?,
            service_write: date("Service-Write")?,
            processing_milliseconds: match message.once("Processing-Seconds")? {
                Some(text) => Some(milliseconds(text).ok_or_else(|| {
                    invalid(
                        "Processing-Seconds",
                        text,
                        "not seconds with three decimals",
                    )
                })?),
                None => None,
            },
            status,
            left_out: message.once("Left-Out")?.map(str::to_owned),
            warning: message.once("Warning")?.map(str::to_owned),
            error: message.once("Error")?.map(str::to_owned),
        })
    }

    /// Writes the headers: the input's first, then the article's in the article's order, then
    /// `Status`, `Left-Out`, `Warning` and `Error`. Headers of the input that have a name of these (boto's input
    /// messages have `Host`) are replaced. The last three are cut to 1000 characters.
    pub fn to_message(&self) -> Message {
        let mut input = self.input.clone();
        drop_status_headers(&mut input);
        let mut message = input.to_message();
        let mut put = |name, value: &str| {
            if !value.trim().is_empty() {
                message.set(name, value);
            }
        };
        put("OutputKey", &write_outputs(&self.outputs));
        put("Server", &self.server);
        put("Host", &self.host);
        put(
            "Instance-ID",
            self.instance_id.as_deref().unwrap_or_default(),
        );
        put("Service-Read", &dates::write(self.service_read));
        put("Service-Write", &dates::write(self.service_write));
        if let Some(spent) = self.processing_milliseconds {
            let seconds = format!("{}.{:03}", spent / 1000, spent % 1000);
            put("Processing-Seconds", &seconds);
        }
        put("Status", &self.status.to_string());
        for (name, remark) in [
            ("Left-Out", &self.left_out),
            ("Warning", &self.warning),
            ("Error", &self.error),
        ] {
            let remark = remark.as_deref().unwrap_or_default();
            put(
                name,
                &remark.chars().take(MAX_REMARK_CHARS).collect::<String>(),
            );
        }
        message
    }
}

impl fmt::Display for OutputKey {
    /// `key;type=mime;name=name`; what is absent is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if !self.mime.is_empty() {
            write!(f, ";type={}", self.mime)?;
        }
        match &self.name {
            Some(name) => write!(f, ";name={name}"),
            None => Ok(()),
        }
    }
}

/// Whether a text may be the name of an output: one or two parts with `/` between, each of lower-case
/// letters, digits, `.`, `_` and `-`, beginning with a letter or digit, at most 64 long.
pub fn is_output_name(name: &str) -> bool {
    let part = |part: &str| {
        part.len() <= MAX_NAME_PART
            && part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c))
    };
    name.split('/').count() <= 2 && name.split('/').all(part)
}

/// Longer than any that presets make; short enough that the stem keeps most of a file name's 255.
const MAX_NAME_PART: usize = 64;

fn write_outputs(outputs: &[OutputKey]) -> String {
    let outputs: Vec<String> = outputs.iter().map(OutputKey::to_string).collect();
    outputs.join(",")
}

/// Whether a status message can tell of these outputs: whoever reads it reads these and no others.
pub(crate) fn can_be_told(outputs: &[OutputKey]) -> bool {
    let told = super::clean_value(&write_outputs(outputs));
    parse_outputs(&told).as_deref() == Ok(outputs)
}

fn parse_outputs(text: &str) -> Result<Vec<OutputKey>, MessageError> {
    let refused = || invalid("OutputKey", text, "not `key;type=mime;name=name, …`");
    let mut outputs: Vec<OutputKey> = Vec::new();
    for entry in text.split(',') {
        let mut parts = entry.split(';').map(str::trim);
        let mut output = OutputKey {
            key: parts.next().unwrap_or_default().to_owned(),
            mime: String::new(),
            name: None,
        };
        for part in parts {
            match part.split_once('=') {
                Some(("type", mime)) if output.mime.is_empty() => {
                    mime.clone_into(&mut output.mime);
                }
                Some(("name", name)) if output.name.is_none() && is_output_name(name) => {
                    output.name = Some(name.to_owned());
                }
                _ => return Err(refused()),
            }
        }
        // Nothing tells two such from one, which is what a reader gets of them.
        if output.name.is_none() && outputs.contains(&output) {
            continue;
        }
        let twice = |other: &OutputKey| other.name.is_some() && other.name == output.name;
        if output.key.is_empty() || outputs.iter().any(twice) {
            return Err(refused());
        }
        outputs.push(output);
    }
    Ok(outputs)
}

/// Seconds with three decimals, in milliseconds.
fn milliseconds(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.')?;
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(whole) || !is_digits(part) || part.len() != 3 {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    whole.checked_mul(1000)?.checked_add(part.parse().ok()?)
}

/// What is left out, with `; ` between; `None` if nothing is.
pub fn join_left_out(left_out: &[String]) -> Option<String> {
    (!left_out.is_empty()).then(|| left_out.join("; "))
}

fn drop_status_headers(input: &mut InputMessage) {
    input
        .extra
        .retain(|(name, _)| !KNOWN.iter().any(|known| name.eq_ignore_ascii_case(known)));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status message of the article, letter by letter.
    const ARTICLE: &str = "Bucket: garnaat_fileit
InputKey: f84e4a20b571abc69baf2277d193e596
Date: Tue, 20 Feb 2007 17:21:21 GMT
OriginalFileName: MVI_3113.AVI
Size: 1126472
OutputKey: e69e376be5af6f88f81d3e31adf27988;type=video/quicktime
Server: ConvertVideo
Host: domU-12-31-34-00-02-82
Service-Read: Wed, 21 Feb 2007 01:28:14 GMT
Service-Write: Wed, 21 Feb 2007 01:28:27 GMT
";

    pub(super) fn read(text: &str) -> Result<StatusMessage, MessageError> {
        StatusMessage::from_message(&Message::parse(text).expect("parses"))
    }

    #[test]
    fn the_articles_example_is_read_and_written_byte_for_byte() {
        let message = Message::parse(ARTICLE).expect("parses");
        assert_eq!(message.to_string(), ARTICLE);
        let status = read(ARTICLE).expect("the article's message");
        assert_eq!(status.status, Status::Converted);
        assert_eq!(
            status.outputs,
            [OutputKey {
                key: "e69e376be5af6f88f81d3e31adf27988".to_owned(),
                mime: "video/quicktime".to_owned(),
                name: None,
            }]
        );
        assert_eq!(
            status
                .service_write
                .duration_since(status.service_read)
                .as_secs(),
            13
        );
        // What 2007 had no header for comes after all that it had.
        assert_eq!(
            status.to_message().to_string(),
            format!("{ARTICLE}Status: converted\n")
        );
    }

    #[test]
    fn a_failure_needs_no_complete_input() {
        let text = "Batch: b7\nServer: ConvertVideo\nService-Read: Wed, 21 Feb 2007 01:28:14 GMT\n\
            Service-Write: Wed, 21 Feb 2007 01:28:27 GMT\nStatus: failed\nError: no InputKey\n";
        let status = read(text).expect("a failed status");
        assert_eq!(status.input.batch.as_deref(), Some("b7"));
        assert_eq!(status.error.as_deref(), Some("no InputKey"));
        assert!(read(&text.replace("failed", "converted")).is_err());
        assert!(read(&text.replace("failed", "perhaps")).is_err());
    }

    #[test]
    fn several_outputs_are_separated_by_commas() {
        let outputs = parse_outputs("a;type=video/mp4, b/c ;type=image/png,d").expect("outputs");
        let written: Vec<String> = outputs.iter().map(OutputKey::to_string).collect();
        assert_eq!(written, ["a;type=video/mp4", "b/c;type=image/png", "d"]);
        let outputs = parse_outputs("a;type=x/y,b,a;type=x/y,a").expect("outputs");
        let written: Vec<String> = outputs.iter().map(OutputKey::to_string).collect();
        assert_eq!(written, ["a;type=x/y", "b", "a"]);
        let text = "a;type=image/jpeg;name=poster.jpg,b;type=x/y;name=hls/master.m3u8";
        let outputs = parse_outputs(text).expect("outputs");
        assert_eq!(outputs[1].name.as_deref(), Some("hls/master.m3u8"));
        let written: Vec<String> = outputs.iter().map(OutputKey::to_string).collect();
        assert_eq!(written.join(","), text);
        for bad in [
            "",
            "a,",
            ";type=x",
            "a;mime=x",
            "a;type=x;q=1",
            "a;type=x;type=y",
            "a;name=",
            "a;name=../x",
            "a;name=a/../x",
            "a;name=/x",
            "a;name=a/b/c",
            "a;name=.x",
            "a;name=A",
            "a;name=a\\b",
            "a;name=x,b;name=x",
        ] {
            assert!(parse_outputs(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn headers_of_the_submitter_do_not_pass_for_the_services() {
        let mut status = read(ARTICLE).expect("the article's message");
        status.input.extra = vec![
            ("host".into(), "laptop".into()),
            ("Error".into(), "x".into()),
        ];
        let message = status.to_message();
        assert_eq!(message.get("Host"), Some("domU-12-31-34-00-02-82"));
        assert_eq!(message.get("Error"), None);
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::super::input::properties::any_input;
    use super::tests::read;
    use super::*;

    proptest! {
        #[test]
        fn written_is_read_back(
            input in any_input(),
            outputs in prop::collection::vec(("media/[0-9a-f]{32}", "[a-z]{1,8}/[a-z0-9.+-]{1,12}"), 1..4),
            named in any::<bool>(),
            host in "[a-z0-9.-]{1,30}",
            instance_id in prop::option::of("i-[0-9a-f]{17}"),
            read_at in 0_i64..253_402_207_200,
            failed in any::<bool>(),
            processing_milliseconds in prop::option::of(any::<u64>()),
            left_out in prop::option::of("[!-~][ -~]{0,60}[!-~]"),
            warning in prop::option::of("[!-~][ -~]{0,60}[!-~]"),
            error in prop::option::of("[!-~][ -~]{0,60}[!-~]"),
        ) {
            let time = Timestamp::from_second(read_at).expect("in range");
            let status = StatusMessage {
                input,
                outputs: outputs
                    .into_iter()
                    .enumerate()
                    .map(|(n, (key, mime))| OutputKey { key, mime, name: named.then(|| format!("hls/{n}.mp4")) })
                    .collect(),
                server: "ConvertVideo".to_owned(),
                host, instance_id,
                service_read: time,
                service_write: time,
                processing_milliseconds,
                status: if failed { Status::Failed } else { Status::Converted },
                left_out,
                warning,
                error,
            };
            let text = status.to_message().to_string();
            prop_assert_eq!(read(&text), Ok(status));
        }
    }
}

//! The dead letter: a message that could not be answered with a conversion, and why.
//!
//! It is the input message with the headers that tell why it is here. A text that can't be read as
//! headers travels in one header of its own, `Original-Message`. So `muck failed` can tell the reason
//! of each and send it again as it was.

use std::fmt::Write as _;

use jiff::Timestamp;
use md5::{Digest as _, Md5};

use super::{InputMessage, Message, Status, can_be_sent};
use crate::dates;
use crate::text::printable_short;
use crate::verdict::is_job;

/// How often the message had been received when it was given up, this time included.
const RECEIVES: &str = "Receive-Count";
/// The job whose verdict says that it failed, where there is one.
const JOB: &str = "Verdict-Job";
/// The text of a message that can't be read: a JSON string in ASCII.
const ORIGINAL: &str = "Original-Message";
/// Its bytes; more than `Original-Message` has if that was cut.
const ORIGINAL_SIZE: &str = "Original-Size";
/// MD5 of the whole text, hexadecimal.
const ORIGINAL_MD5: &str = "Original-MD5";

/// The names that are added to the input message's own, and go again when it is sent again.
const ADDED: [&str; 9] = [
    "Status",
    "Error",
    "Server",
    "Host",
    "Instance-ID",
    "Service-Read",
    "Service-Write",
    RECEIVES,
    JOB,
];

/// The longest text of an unreadable message that is kept, in characters of its JSON string. With the
/// other headers the dead letter stays a message that is read ([`super::MAX_BYTES`]).
const MOST_ORIGINAL: usize = 48 * 1024;

/// The longest reason, as in a status message.
const MAX_ERROR_CHARS: usize = 1000;

/// Who gave a message up, when and why.
#[derive(Debug, Clone, Copy)]
pub struct GivenUp<'a> {
    pub server: &'a str,
    pub host: &'a str,
    pub instance_id: Option<&'a str>,
    /// When the message was read.
    pub read: Timestamp,
    /// When it was given up.
    pub written: Timestamp,
    pub reason: &'a str,
    pub receives: u32,
    /// The job that has a verdict.
    pub job: Option<&'a str>,
}

/// The dead letter of a message whose headers can be read.
pub fn write(original: &Message, why: GivenUp<'_>) -> Message {
    // Someone's own header of that name must not be taken for ours; and where all headers have names of ours,
    // none would be left to send again.
    if original.get(ORIGINAL).is_some() || original.iter().all(|(name, _)| is_added(name)) {
        return wrap(&original.to_string(), why);
    }
    let mut message = original.clone();
    add(&mut message, why);
    message
}

/// The dead letter of a text that is no message.
pub fn wrap(original: &str, why: GivenUp<'_>) -> Message {
    let mut message = Message::new();
    message.set(ORIGINAL, &ascii_json(original));
    message.set(ORIGINAL_SIZE, &original.len().to_string());
    message.set(ORIGINAL_MD5, &hex::encode(Md5::digest(original)));
    add(&mut message, why);
    message
}

fn add(message: &mut Message, why: GivenUp<'_>) {
    let reason: String = why.reason.chars().take(MAX_ERROR_CHARS).collect();
    for (name, value) in [
        ("Status", Status::Failed.to_string().as_str()),
        ("Error", &reason),
        ("Server", why.server),
        ("Host", why.host),
        ("Instance-ID", why.instance_id.unwrap_or_default()),
        ("Service-Read", &dates::write(why.read)),
        ("Service-Write", &dates::write(why.written)),
        (RECEIVES, &why.receives.to_string()),
        (JOB, why.job.unwrap_or_default()),
    ] {
        message.remove(name);
        if !value.is_empty() {
            message.set(name, value);
        }
    }
}

fn is_added(name: &str) -> bool {
    ADDED.iter().any(|added| name.eq_ignore_ascii_case(added))
}

impl Message {
    /// Whether a worker made a dead letter of it; otherwise the queue itself moved it.
    pub(super) fn has_been_given_up(&self) -> bool {
        self.get("Status").is_some() && self.get(RECEIVES).is_some()
    }
}

/// A dead letter as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// What can be told of the file; all of it empty where the message couldn't be read.
    pub input: InputMessage,
    /// Why it was given up; `None` if the queue put it here by itself, because each worker that had
    /// it died or lost it. Foreign text.
    pub reason: Option<String>,
    /// How often it had been received, where a worker says so.
    pub receives: Option<u32>,
    /// When it was given up, where a worker says so.
    pub written: Option<Timestamp>,
    /// The job whose verdict says that it failed: to be deleted before it is tried again.
    pub job: Option<String>,
    /// The text to send to try it again; `None` if it was too long to be kept, or is none that a queue takes.
    pub original: Option<String>,
    /// Why the text is no input message, if it isn't one.
    pub unreadable: Option<String>,
}

impl DeadLetter {
    /// Reads the body of a message in the failed queue, whoever put it there.
    pub fn read(body: &str) -> Self {
        let message = match Message::parse(body) {
            Ok(message) => message,
            Err(error) => {
                return Self {
                    input: InputMessage::lenient(&Message::new()),
                    reason: None,
                    receives: None,
                    written: None,
                    job: None,
                    original: Some(body.to_owned()),
                    unreadable: Some(error.to_string()),
                };
            }
        };
        let given_up = message.has_been_given_up();
        let reason = message.get("Error").map(str::to_owned);
        let receives = message.get(RECEIVES).and_then(|n| n.parse().ok());
        let written = message.get("Service-Write").and_then(dates::parse);
        if let Some(text) = message.get(ORIGINAL).filter(|_| given_up) {
            let whole = serde_json::from_str::<String>(text).ok();
            let size = message.get(ORIGINAL_SIZE).and_then(|n| n.parse().ok());
            return Self {
                input: InputMessage::lenient(&Message::new()),
                unreadable: Some(reason.clone().unwrap_or_default()),
                reason,
                receives,
                written,
                job: None,
                original: whole.filter(|text| Some(text.len()) == size && can_be_sent(text)),
            };
        }
        let job = message
            .get(JOB)
            .filter(|job| given_up && is_job(job))
            .map(str::to_owned);
        let mut original = message;
        if given_up {
            for name in ADDED {
                original.remove(name);
            }
        }
        Self {
            unreadable: InputMessage::from_message(&original)
                .err()
                .map(|error| error.to_string()),
            input: InputMessage::lenient(&original),
            reason,
            receives,
            written,
            job,
            original: Some(original.to_string()).filter(|text| can_be_sent(text)),
        }
    }

    /// What people call the file: its folder and name, else its key, else that it has none. Foreign
    /// text, cut and safe to print.
    pub fn file(&self) -> String {
        let input = &self.input;
        let name = match (
            input.original_location.as_deref(),
            input.original_file_name.as_str(),
            input.input_key.as_str(),
        ) {
            (_, "", "") => return "(unreadable message)".to_owned(),
            (_, "", key) => key.to_owned(),
            (None, name, _) => name.to_owned(),
            (Some(folder), name, _) => format!("{folder}/{name}"),
        };
        printable_short(&name, 200)
    }
}

/// A JSON string that holds ASCII only, cut before it gets longer than [`MOST_ORIGINAL`]. Headers
/// can't hold line breaks and control characters; so they come back exactly.
fn ascii_json(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        let before = out.len();
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a String can't fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
        if out.len() >= MOST_ORIGINAL {
            out.truncate(before);
            break;
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why() -> GivenUp<'static> {
        let time = Timestamp::from_second(1_172_021_294).expect("in range");
        GivenUp {
            server: "ConvertVideo",
            host: "h1",
            instance_id: Some("i-1"),
            read: time,
            written: time,
            reason: "moov atom not found",
            receives: 1,
            job: None,
        }
    }

    #[test]
    fn it_is_the_message_with_its_reason_and_gives_the_message_back() {
        let text = "Bucket: bbb\nInputKey: k\nOriginalFileName: a.avi\nSize: 1\nX-Own: kept\n";
        let message = Message::parse(text).expect("parses");
        let dead = write(&message, why()).to_string();
        assert_eq!(
            dead,
            format!(
                "{text}Status: failed\nError: moov atom not found\nServer: ConvertVideo\nHost: h1\n\
                 Instance-ID: i-1\nService-Read: Wed, 21 Feb 2007 01:28:14 GMT\n\
                 Service-Write: Wed, 21 Feb 2007 01:28:14 GMT\nReceive-Count: 1\n"
            )
        );
        let read = DeadLetter::read(&dead);
        assert_eq!(read.reason.as_deref(), Some("moov atom not found"));
        assert_eq!(read.receives, Some(1));
        assert_eq!(read.original.as_deref(), Some(text));
        assert_eq!(read.unreadable, None);
        assert_eq!(read.file(), "a.avi");
        // What the queue itself moved here has no reason.
        let read = DeadLetter::read(text);
        assert_eq!((read.reason, read.original.as_deref()), (None, Some(text)));
    }

    #[test]
    fn the_job_is_told_if_it_is_one() {
        let message = Message::parse("Bucket: bbb\nInputKey: k\nSize: 1\n").expect("parses");
        let job = format!("{}-{}", "0".repeat(32), "a".repeat(64));
        let told = |job: &str| {
            let why = GivenUp {
                job: Some(job),
                ..why()
            };
            DeadLetter::read(&write(&message, why).to_string()).job
        };
        assert_eq!(told(&job), Some(job.clone()));
        // Other services than conversions have digests of their own.
        let probed = format!("{}-probe-1", "0".repeat(32));
        assert_eq!(told(&probed), Some(probed.clone()));
        assert_eq!(told("../media/x"), None);
    }

    #[test]
    fn a_text_that_is_cut_is_not_sent_again() {
        let read = DeadLetter::read(&wrap(&"é".repeat(100_000), why()).to_string());
        assert_eq!(read.original, None);
        assert_eq!(read.reason.as_deref(), Some("moov atom not found"));
        assert_eq!(read.file(), "(unreadable message)");
    }

    /// `Host` is a header of boto's input messages: a text of such headers only has nothing that a letter doesn't
    /// take away again.
    #[test]
    fn a_message_of_our_own_headers_only_comes_back_whole() {
        let text = "Host: laptop\nStatus: failed\n";
        let message = Message::parse(text).expect("parses");
        let read = DeadLetter::read(&write(&message, why()).to_string());
        assert_eq!(read.original.as_deref(), Some(text));
        // One that somebody put into the failed queue has no text to be sent again: queues take no empty one.
        let read = DeadLetter::read("Status: failed\nReceive-Count: 1\n");
        assert_eq!(read.original, None);
    }

    #[test]
    fn a_text_that_no_queue_takes_is_not_sent_again() {
        for text in ["", "a\0", "a\u{b}", "a\u{ffff}"] {
            let read = DeadLetter::read(&wrap(text, why()).to_string());
            assert_eq!(read.original, None, "{text:?}");
        }
        let text = "\ta\r\n\u{7f}\u{9b}\u{fffd}\u{10ffff}";
        let read = DeadLetter::read(&wrap(text, why()).to_string());
        assert_eq!(read.original.as_deref(), Some(text));
    }

    #[test]
    fn somebodys_own_original_message_is_not_taken_for_ours() {
        let text = "Bucket: bbb\nInputKey: k\nSize: 1\nOriginal-Message: \"x\"\nOriginal-Size: 1\n";
        let message = Message::parse(text).expect("parses");
        // Given up by a worker, and moved by the queue itself.
        for dead in [write(&message, why()).to_string(), text.to_owned()] {
            assert_eq!(DeadLetter::read(&dead).original.as_deref(), Some(text));
        }
    }
}

//! The header-line format that all messages and the user data are written in.
//!
//! It is the plain part of RFC 822 that the 2007 service used: `Name: value`, one a line, LF or
//! CRLF, names case-insensitive, order kept, unknown names kept. There is no body and no base64.
//! What the headers mean is told in [`input`], [`status`] and [`dead_letter`]; `docs/messages.md`
//! tells it for other languages.

pub mod dead_letter;
mod input;
#[cfg(test)]
mod properties;
mod status;

use std::fmt;

pub use dead_letter::DeadLetter;
pub use input::InputMessage;
pub(crate) use input::check_bucket;
pub(crate) use status::can_be_told;
pub use status::{OutputKey, Status, StatusMessage, is_output_name, join_left_out};

/// The longest text that is read as a message, in bytes.
///
/// SQS carries up to 1 MiB, but a status message is its input message and more, so an input near
/// that limit could never be answered. The messages of this service are under 2 KiB.
pub const MAX_BYTES: usize = 64 * 1024;

/// The longest input message, in bytes: its answers have more headers (what is left out and a warning, of at most 1000
/// characters each, are the longest) and must stay messages.
pub const MAX_INPUT_BYTES: usize = MAX_BYTES - 12 * 1024;

/// Why a text isn't a message, or a message isn't an input, a status or user data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    #[error("the message has {0} bytes; at most {MAX_BYTES} are read")]
    TooLong(usize),
    #[error("the message has {0} bytes; an input message has at most {MAX_INPUT_BYTES}")]
    InputTooLong(usize),
    #[error("the message is empty")]
    Empty,
    #[error("line {line} is not of the form `Name: value`: `{text}`")]
    NotAHeader { line: usize, text: String },
    #[error("line {line} comes after a blank line; a message has headers only, no body")]
    Body { line: usize },
    #[error("the header `{0}` is missing")]
    Missing(&'static str),
    #[error("the header `{0}` appears more than once")]
    Duplicate(&'static str),
    #[error("the header `{name}` can't be `{value}`: {why}")]
    Invalid {
        name: &'static str,
        value: String,
        why: &'static str,
    },
}

/// Headers in their order. Names are compared without regard to case; values hold no line break,
/// no control character but tab, and no space at either end, whoever made them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    headers: Vec<(String, String)>,
}

impl Message {
    /// An empty message.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a message.
    ///
    /// A line that begins with a space or a tab continues the value before it (RFC 822 folding);
    /// the break becomes one space. Blank lines may stand at the start and at the end only.
    ///
    /// # Errors
    /// [`MessageError`]: too long, empty, a line that is no header, or text after a blank line.
    /// The text of a faulty line in the error is safe to print.
    pub fn parse(text: &str) -> Result<Self, MessageError> {
        if text.len() > MAX_BYTES {
            return Err(MessageError::TooLong(text.len()));
        }
        let mut headers: Vec<(String, String)> = Vec::new();
        let mut ended = false;
        for (index, line) in text.split('\n').enumerate() {
            let number = index + 1;
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.trim().is_empty() {
                ended = !headers.is_empty();
                continue;
            }
            if ended {
                return Err(MessageError::Body { line: number });
            }
            if line.starts_with([' ', '\t'])
                && let Some((_, value)) = headers.last_mut()
            {
                // Each part is cleaned by itself: a text of folds only must not take the square of its length.
                let part = clean_value(line);
                if !(value.is_empty() || part.is_empty()) {
                    value.push(' ');
                }
                value.push_str(&part);
                continue;
            }
            match line.split_once(':') {
                Some((name, value)) if is_name(name.trim_end()) => {
                    headers.push((name.trim_end().to_owned(), clean_value(value)));
                }
                _ => {
                    // 60 characters are enough to find the line by.
                    let text = crate::text::printable_short(line, 60);
                    return Err(MessageError::NotAHeader { line: number, text });
                }
            }
        }
        if headers.is_empty() {
            return Err(MessageError::Empty);
        }
        let message = Self { headers };
        // What is read can be passed on: we write a space after each colon, where a writer may have left it out.
        match message.written_bytes() {
            0..=MAX_BYTES => Ok(message),
            bytes => Err(MessageError::TooLong(bytes)),
        }
    }

    /// The value of the first header of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    /// Replaces the value in its place and removes further headers of that name, or appends.
    ///
    /// Each line break, control character (tab excepted) and character that SQS refuses becomes a
    /// space, and spaces at the ends go: so no value can begin a new header, and any value can be
    /// sent. In a name, whatever isn't an RFC 9110 token character becomes `-`.
    pub fn set(&mut self, name: &str, value: &str) {
        let value = clean_value(value);
        let mut value = Some(value);
        self.headers.retain_mut(|(n, v)| {
            if !n.eq_ignore_ascii_case(name) {
                return true;
            }
            // The first one takes the value, any other finds none left and goes.
            value.take().map(|new| *v = new).is_some()
        });
        if let Some(value) = value {
            self.headers.push((clean_name(name), value));
        }
    }

    /// Adds a header after all others, cleaned as [`Message::set`] does; others of that name stay.
    pub(crate) fn append(&mut self, name: &str, value: &str) {
        self.headers.push((clean_name(name), clean_value(value)));
    }

    /// Removes all headers of that name.
    pub fn remove(&mut self, name: &str) {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
    }

    /// The headers in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// The bytes of the text that it is written as.
    pub fn written_bytes(&self) -> usize {
        let signs = ": \n".len();
        let lines = self.headers.iter().map(|(n, v)| n.len() + v.len() + signs);
        lines.sum()
    }

    /// The value of a header that must be there, once, and not empty.
    pub(crate) fn required(&self, name: &'static str) -> Result<&str, MessageError> {
        self.once(name)?.ok_or(MessageError::Missing(name))
    }

    /// The value of a header that may be there, once; an empty one counts as absent.
    ///
    /// Two headers of one name would be read differently by different readers (the 2007 code took
    /// the last), so they are refused.
    pub(crate) fn once(&self, name: &'static str) -> Result<Option<&str>, MessageError> {
        let mut values = self
            .headers
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let first = values.next();
        if values.next().is_some() {
            return Err(MessageError::Duplicate(name));
        }
        Ok(first.map(|(_, v)| v.as_str()).filter(|v| !v.is_empty()))
    }
}

impl fmt::Display for Message {
    /// `Name: value`, a line feed after each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.headers
            .iter()
            .try_for_each(|(name, value)| writeln!(f, "{name}: {value}"))
    }
}

/// An [`MessageError::Invalid`] whose value is safe to print and not long.
pub(crate) fn invalid(name: &'static str, value: &str, why: &'static str) -> MessageError {
    MessageError::Invalid {
        name,
        value: crate::text::printable_short(value, 100),
        why,
    }
}

/// Whether a text is so many hexadecimal digits.
pub(crate) fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// A header name is an RFC 9110 token: that keeps JSON, XML and shell text from passing as one.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(is_token)
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

fn clean_name(name: &str) -> String {
    let name: String = name
        .chars()
        .map(|c| if is_token(c) { c } else { '-' })
        .collect();
    if name.is_empty() {
        "-".to_owned()
    } else {
        name
    }
}

/// What [`Message::set`] promises of values.
fn clean_value(value: &str) -> String {
    let folded: String = value
        .chars()
        .map(|c| match c {
            '\t' => '\t',
            // XML 1.0 and therefore SQS know no U+FFFE and U+FFFF.
            '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}' => ' ',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect();
    folded.trim().to_owned()
}

/// Whether SQS takes the text: it isn't empty, and each of its characters is one of XML 1.0
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>).
fn can_be_sent(text: &str) -> bool {
    let is_xml = |c| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    !text.is_empty() && text.chars().all(is_xml)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_case_and_unknown_headers_are_kept() {
        let text = "bucket: b\r\nX-Colour:red \r\nINPUTKEY : k:with:colons\r\n\r\n";
        let message = Message::parse(text).expect("parses");
        assert_eq!(message.get("Bucket"), Some("b"));
        assert_eq!(message.get("InputKey"), Some("k:with:colons"));
        assert_eq!(
            message.to_string(),
            "bucket: b\nX-Colour: red\nINPUTKEY: k:with:colons\n"
        );
    }

    #[test]
    fn a_folded_line_continues_the_value() {
        let message = Message::parse("A: one\n two\n\tthree\nB: x\n").expect("parses");
        assert_eq!(message.get("A"), Some("one two three"));
        assert_eq!(message.get("B"), Some("x"));
    }

    #[test]
    fn what_is_no_message_is_refused_with_its_reason() {
        assert_eq!(Message::parse(""), Err(MessageError::Empty));
        assert_eq!(Message::parse("\r\n\r\n"), Err(MessageError::Empty));
        assert_eq!(
            Message::parse("A: b\n\nhello: body"),
            Err(MessageError::Body { line: 3 })
        );
        for garbage in [
            "{\"Bucket\": \"b\"}",
            "no colon here",
            ": nameless",
            " x",
            "a b: c",
            "é: x",
        ] {
            let result = Message::parse(garbage);
            assert!(
                matches!(result, Err(MessageError::NotAHeader { line: 1, .. })),
                "{garbage}"
            );
        }
        let long = format!("A: {}", "x".repeat(MAX_BYTES));
        assert_eq!(
            Message::parse(&long),
            Err(MessageError::TooLong(long.len()))
        );
    }

    #[test]
    fn what_would_be_too_long_when_written_is_refused() {
        let names: Vec<String> = (0..11_000).map(|n| format!("{n:x}:\n")).collect();
        let tight = names.concat();
        assert!(tight.len() <= MAX_BYTES);
        let error = Message::parse(&tight).expect_err("has a space after each colon");
        assert!(
            matches!(error, MessageError::TooLong(bytes) if bytes > MAX_BYTES),
            "{error}"
        );
    }

    #[test]
    fn errors_hold_nothing_raw() {
        let error = Message::parse("\x1b]0;title\x07").expect_err("is garbage");
        assert_eq!(
            error.to_string(),
            "line 1 is not of the form `Name: value`: `\\u{1b}]0;title\\u{7}`"
        );
    }

    #[test]
    fn set_replaces_in_place_and_values_cannot_make_headers() {
        let mut message = Message::parse("A: 1\nB: 2\na: 3\n").expect("parses");
        message.set("A", "x\r\nEvil: yes\u{2028}y\0");
        message.set("New Name", "v");
        assert_eq!(
            message.to_string(),
            "A: x  Evil: yes y\nB: 2\nNew-Name: v\n"
        );
    }
}

//! A message's text as what it asks for, or why it asks for nothing.

use crate::message::{InputMessage, MAX_INPUT_BYTES, Message, MessageError};

/// A message as it was read.
pub(super) struct Request {
    /// Every header of it.
    pub(super) message: Message,
    pub(super) input: InputMessage,
}

/// Why a message is no request.
pub(super) enum Unfit {
    /// Nothing tells whose it is: it is only a dead letter.
    Unreadable(MessageError),
    /// It can be answered.
    Faulty(Box<Request>, MessageError),
}

/// Reads the headers of an input message, if its answers would still be messages.
pub(super) fn headers(body: &str) -> Result<Message, MessageError> {
    if body.len() > MAX_INPUT_BYTES {
        return Err(MessageError::InputTooLong(body.len()));
    }
    let message = Message::parse(body)?;
    // Its answers are written with the space after each colon that this one may lack.
    match message.written_bytes() {
        0..=MAX_INPUT_BYTES => Ok(message),
        bytes => Err(MessageError::InputTooLong(bytes)),
    }
}

impl Request {
    /// Reads a message's text.
    pub(super) fn read(body: &str) -> Result<Self, Unfit> {
        let message = headers(body).map_err(Unfit::Unreadable)?;
        match InputMessage::from_message(&message) {
            Ok(input) => Ok(Self { message, input }),
            Err(error) => {
                let input = InputMessage::lenient(&message);
                let nobodys = input.bucket.is_empty()
                    && input.input_key.is_empty()
                    && input.batch.is_none()
                    && input.original_file_name.is_empty();
                if nobodys {
                    return Err(Unfit::Unreadable(error));
                }
                Err(Unfit::Faulty(Box::new(Self { message, input }), error))
            }
        }
    }
}

#[cfg(test)]
mod properties {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::message::dead_letter::{self, GivenUp};
    use crate::message::{MAX_BYTES, OutputKey, Status, StatusMessage};

    /// Messages of headers whose names and values have so many characters; few of them near the longest, which take
    /// their time.
    fn headers_of_a_size() -> impl Strategy<Value = String> {
        let sign = prop::sample::select(vec!["x", "é", "🎬", "a b", "\""]);
        let end = prop::sample::select(vec!["\n", "\n", "\n", "\r\n", "\n \u{1}\n", "\n y\n"]);
        let name = prop_oneof![1_usize..5, 1_usize..40];
        let value = prop_oneof![Just(0), 0_usize..10, 0_usize..3000];
        let bytes = prop_oneof![
            60 => 1100_usize..3000,
            1 => MAX_INPUT_BYTES * 9 / 10..MAX_INPUT_BYTES + 100,
        ];
        (name, value, sign, end, bytes).prop_map(|(name, value, sign, end, bytes)| {
            // The file is called like the key's last part, which is then written once more.
            let key = "k".repeat(1024);
            let mut text = format!("Bucket:bbb\nInputKey:{key}\nSize:1\n");
            let mut number = 0;
            while text.len() < bytes {
                let header = format!("{number:0name$x}:{}{end}", sign.repeat(value));
                number += 1;
                text.push_str(&header);
            }
            text.truncate(text.floor_char_boundary(bytes));
            text
        })
    }

    /// A space after each colon makes them longer than they came.
    #[test]
    fn many_headers_without_spaces_are_too_long() {
        let of = |count: usize| {
            let headers = (0..count).map(|n| format!("{n:04x}:\n"));
            let text = "Bucket:bbb\nInputKey:k\nSize:1\n".to_owned();
            text + &headers.collect::<String>()
        };
        let (short, long) = (of(7500), of(8500));
        assert!(Request::read(&short).is_ok());
        assert!(long.len() < MAX_INPUT_BYTES);
        assert!(matches!(
            Request::read(&long),
            Err(Unfit::Unreadable(MessageError::InputTooLong(_)))
        ));
    }

    proptest! {
        /// Whatever is taken for an input can be answered: by a status message and a dead letter that are read.
        #[test]
        fn answers_are_messages(text in headers_of_a_size(), sign in prop::sample::select(vec!["x", "é", "🎬"])) {
            let Ok(Request { message, mut input }) = Request::read(&text) else { return Ok(()) };
            let time = Timestamp::from_second(1_172_021_294).expect("in range");
            let (host, error) = ("h".repeat(253), sign.repeat(2000));
            let job = format!("{}-{}", "0".repeat(32), "0".repeat(64));
            let why = GivenUp {
                server: "ConvertVideo",
                host: &host,
                instance_id: Some("i-0123456789abcdef0"),
                read: time,
                written: time,
                reason: &error,
                receives: u32::MAX,
                job: Some(&job),
            };
            let letter = dead_letter::write(&message, why).to_string();
            prop_assert!(letter.len() <= MAX_BYTES, "a dead letter of {} bytes", letter.len());
            prop_assert!(Message::parse(&letter).is_ok());
            // Eight sizes of a ladder, each a playlist and a film, and the list of all: the most that a preset makes.
            let output = |n: usize| OutputKey {
                key: format!("media/{}", "0".repeat(32)),
                mime: "application/vnd.apple.mpegurl".to_owned(),
                name: Some(format!("hls/{n}p.m3u8")),
            };
            input.output_bucket = Some("b".repeat(63));
            for status in [Status::Converted, Status::Failed] {
                let failed = status == Status::Failed;
                let told = StatusMessage {
                    input: input.clone(),
                    outputs: (0..if failed { 0 } else { 17 }).map(output).collect(),
                    server: "ConvertVideo".to_owned(),
                    host: host.clone(),
                    instance_id: why.instance_id.map(str::to_owned),
                    service_read: time,
                    service_write: time,
                    processing_milliseconds: Some(u64::MAX),
                    status,
                    left_out: (!failed).then(|| error.clone()),
                    warning: (!failed).then(|| error.clone()),
                    error: failed.then(|| error.clone()),
                };
                let text = told.to_message().to_string();
                prop_assert!(text.len() <= MAX_BYTES, "a status message of {} bytes", text.len());
                let back = Message::parse(&text).and_then(|m| StatusMessage::from_message(&m));
                prop_assert!(back.is_ok(), "{:?}", back);
            }
        }
    }
}

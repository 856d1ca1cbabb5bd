//! The input message: what is to be done with one file.

use jiff::Timestamp;

use super::{Message, MessageError, invalid, is_hex};
use crate::dates;

/// One file to be processed. Written by whoever submits, read by the worker.
///
/// Header names are those of the article, then ours, in the order of [`InputMessage::to_message`].
/// Nothing here is trusted: no field becomes a path, an option or a shell word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputMessage {
    /// `Bucket`: the bucket that holds the input.
    pub bucket: String,
    /// `InputKey`: the full key of the input as stored, e.g. `media/<md5>`, or a bare 2007 key.
    pub input_key: String,
    /// `Date`: when the input was stored. The article always has it; messages of boto 2.49 don't.
    pub date: Option<Timestamp>,
    /// `OriginalFileName`: for people and for naming the result. Any characters; never a path.
    /// Absent, it is the last part of the key.
    pub original_file_name: String,
    /// `Size`: bytes of the input.
    pub size: u64,
    /// `Batch`: which submission the file belongs to.
    pub batch: Option<String>,
    /// `Preset`: which conversion; absent means the service's default.
    pub preset: Option<String>,
    /// `Preset-Definition`: the preset itself where it isn't a built-in one, as compact JSON.
    pub preset_definition: Option<String>,
    /// `OutputBucket`: where outputs go; absent means the worker's own, or `Bucket` (2007).
    pub output_bucket: Option<String>,
    /// `OriginalLocation`: the folder of the file below the submitted root, `/` between parts.
    pub original_location: Option<String>,
    /// `SHA256`: hex SHA-256 of the input's content.
    pub sha256: Option<String>,
    /// `Salvage`: a damaged file is converted as far as it decodes.
    pub salvage: bool,
    /// All other headers, in their order, passed on untouched.
    pub extra: Vec<(String, String)>,
}

/// The names that have a field, in the order in which they are written.
const KNOWN: [&str; 12] = [
    "Bucket",
    "InputKey",
    "Date",
    "OriginalFileName",
    "Size",
    "Batch",
    "Preset",
    "Preset-Definition",
    "OutputBucket",
    "OriginalLocation",
    "SHA256",
    "Salvage",
];

/// The value of `Salvage`.
const SALVAGE: &str = "yes";

fn is_known(name: &str) -> bool {
    KNOWN.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// S3's longest key, in bytes of UTF-8.
const MAX_KEY_BYTES: usize = 1024;

impl InputMessage {
    /// Reads the headers of an input message.
    ///
    /// # Errors
    /// [`MessageError`] if `Bucket`, `InputKey` or `Size` is missing, a known header comes twice,
    /// or a value is not of its form.
    pub fn from_message(message: &Message) -> Result<Self, MessageError> {
        let bucket = message.required("Bucket")?;
        check_bucket("Bucket", bucket)?;
        let input_key = message.required("InputKey")?;
        if input_key.len() > MAX_KEY_BYTES {
            return Err(invalid(
                "InputKey",
                input_key,
                "S3 keys have at most 1024 bytes",
            ));
        }
        let size = message.required("Size")?;
        if message.once("OutputBucket")?.is_some_and(|b| b != bucket) {
            check_bucket("OutputBucket", message.required("OutputBucket")?)?;
        }
        let date = match message.once("Date")? {
            Some(text) => Some(
                dates::parse(text)
                    .ok_or_else(|| invalid("Date", text, "not a date of RFC 1123 in GMT"))?,
            ),
            None => None,
        };
        let sha256 = message.once("SHA256")?;
        if let Some(sum) = sha256
            && !is_hex(sum, 64)
        {
            return Err(invalid("SHA256", sum, "not 64 hexadecimal digits"));
        }
        if let Some(text) = message.once("Salvage")?
            && !text.eq_ignore_ascii_case(SALVAGE)
        {
            return Err(invalid("Salvage", text, "not `yes`"));
        }
        let mut input = Self::lenient(message);
        input.date = date;
        input.size =
            parse_size(size).ok_or_else(|| invalid("Size", size, "not a whole number of bytes"))?;
        input.sha256 = sha256.map(str::to_ascii_lowercase);
        for name in [
            "OriginalFileName",
            "Batch",
            "Preset",
            "Preset-Definition",
            "OriginalLocation",
        ] {
            message.once(name)?;
        }
        if input.original_file_name.is_empty() {
            let last = input_key.rsplit('/').next().unwrap_or(input_key);
            last.trim().clone_into(&mut input.original_file_name);
        }
        Ok(input)
    }

    /// Reads whatever can be read: a missing or faulty text is empty, a faulty number 0.
    ///
    /// For telling in a `failed` status message about an input message that
    /// [`InputMessage::from_message`] refuses, and for reading such a status message.
    pub fn lenient(message: &Message) -> Self {
        let text = |name| {
            message
                .get(name)
                .filter(|v| !v.is_empty())
                .map(str::to_owned)
        };
        Self {
            bucket: text("Bucket").unwrap_or_default(),
            input_key: text("InputKey").unwrap_or_default(),
            date: message.get("Date").and_then(dates::parse),
            original_file_name: text("OriginalFileName").unwrap_or_default(),
            size: message.get("Size").and_then(parse_size).unwrap_or(0),
            batch: text("Batch"),
            preset: text("Preset"),
            preset_definition: text("Preset-Definition"),
            output_bucket: text("OutputBucket"),
            original_location: text("OriginalLocation"),
            sha256: text("SHA256")
                .filter(|s| is_hex(s, 64))
                .map(|s| s.to_ascii_lowercase()),
            salvage: message
                .get("Salvage")
                .is_some_and(|text| text.eq_ignore_ascii_case(SALVAGE)),
            extra: message
                .iter()
                .filter(|(name, _)| !is_known(name))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        }
    }

    /// Writes the headers: the article's in the article's order, then ours, then all others, of
    /// which several may have one name. A field that is empty is left out.
    pub fn to_message(&self) -> Message {
        let mut message = Message::new();
        let mut put = |name, value: Option<&str>| {
            if let Some(value) = value.filter(|v| !v.is_empty()) {
                message.set(name, value);
            }
        };
        put("Bucket", Some(&self.bucket));
        put("InputKey", Some(&self.input_key));
        put("Date", self.date.map(dates::write).as_deref());
        put("OriginalFileName", Some(&self.original_file_name));
        put("Size", Some(&self.size.to_string()));
        put("Batch", self.batch.as_deref());
        put("Preset", self.preset.as_deref());
        put("Preset-Definition", self.preset_definition.as_deref());
        put("OutputBucket", self.output_bucket.as_deref());
        put("OriginalLocation", self.original_location.as_deref());
        put("SHA256", self.sha256.as_deref());
        put("Salvage", self.salvage.then_some(SALVAGE));
        for (name, value) in self.extra.iter().filter(|(name, _)| !is_known(name)) {
            message.append(name, value);
        }
        message
    }

    /// The MD5 that the key names, if the key is `media/<md5>` or a bare `<md5>`: lower-case hex.
    pub fn key_md5(&self) -> Option<String> {
        let name = self
            .input_key
            .strip_prefix(crate::MEDIA_PREFIX)
            .unwrap_or(&self.input_key);
        is_hex(name, 32).then(|| name.to_ascii_lowercase())
    }
}

/// Digits only: `+5` and ` 5` pass Rust's own parser but no one writes a size so.
fn parse_size(text: &str) -> Option<u64> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

/// Whether a value can be a bucket's name.
///
/// Bucket names have 3 to 63 characters today; up to 255 and with capitals and underscores in 2007.
pub(crate) fn check_bucket(name: &'static str, value: &str) -> Result<(), MessageError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if (3..=255).contains(&value.len()) && value.chars().all(allowed) {
        Ok(())
    } else {
        Err(invalid(name, value, "not a bucket name"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The input message of the article, letter by letter.
    pub(super) const ARTICLE: &str = "Bucket: garnaat_fileit
InputKey: f84e4a20b571abc69baf2277d193e596
Date: Tue, 20 Feb 2007 17:21:21 GMT
OriginalFileName: MVI_3113.AVI
Size: 1126472
";

    pub(super) fn read(text: &str) -> Result<InputMessage, MessageError> {
        InputMessage::from_message(&Message::parse(text).expect("parses"))
    }

    #[test]
    fn the_articles_example_is_read_and_written_byte_for_byte() {
        let input = read(ARTICLE).expect("the article's message");
        assert_eq!(input.bucket, "garnaat_fileit");
        assert_eq!(input.original_file_name, "MVI_3113.AVI");
        assert_eq!(input.size, 1_126_472);
        assert_eq!(
            input.key_md5().as_deref(),
            Some("f84e4a20b571abc69baf2277d193e596")
        );
        assert_eq!(input.to_message().to_string(), ARTICLE);
    }

    #[test]
    fn a_message_of_boto_2_49_is_read() {
        // The headers that boto.services.message writes for a submitted path, in one of the
        // orders that its unordered dictionary gives.
        let text = "Content-Type: video/x-msvideo\nHost: laptop.example\nSize: 1126472\n\
            OriginalLocation: /home/me/movies\nFileAccessedDate: 2007-02-20T17:21:21Z\n\
            FileModifiedDate: 2007-02-20T17:21:21Z\nFileCreateDate: 2007-02-20T17:21:21Z\n\
            Batch: 2007_2_20_17_21_21_1_51_0\nInputKey: home/me/movies/MVI_3113.AVI\n\
            OutputBucket: mydone\nOriginalFileName: MVI_3113.AVI\nBucket: myvideos\n";
        let input = read(text).expect("boto's message");
        assert_eq!(input.date, None);
        assert_eq!(input.key_md5(), None);
        assert_eq!(input.output_bucket.as_deref(), Some("mydone"));
        assert_eq!(input.extra.len(), 5);
        assert_eq!(
            InputMessage::from_message(&input.to_message()).as_ref(),
            Ok(&input),
            "what is written is read back"
        );
    }

    #[test]
    fn our_keys_are_known_by_their_md5() {
        let input = read("Bucket: bbb\nInputKey: media/F84E4A20B571ABC69BAF2277D193E596\nSize: 0");
        let input = input.expect("a message");
        assert_eq!(
            input.key_md5().as_deref(),
            Some("f84e4a20b571abc69baf2277d193e596")
        );
        assert_eq!(input.original_file_name, "F84E4A20B571ABC69BAF2277D193E596");
    }

    #[test]
    fn further_headers_of_one_name_are_all_passed_on() {
        let text = format!("{ARTICLE}X-Tag: red\nX-Tag: blue\nx-tag: red\n");
        let mut input = read(&text).expect("a message");
        assert_eq!(input.to_message().to_string(), text);
        // What has a field is not written from anywhere else.
        input.extra = vec![("Bucket".into(), "evil".into())];
        assert_eq!(input.to_message().to_string(), ARTICLE);
    }

    #[test]
    fn a_name_that_is_taken_from_the_key_is_a_value() {
        let input = read("Bucket: bbb\nInputKey: films/ a.avi\nSize: 0").expect("a message");
        assert_eq!(input.original_file_name, "a.avi");
        let back = InputMessage::from_message(&input.to_message());
        assert_eq!(back, Ok(input));
    }

    #[test]
    fn faults_name_the_header() {
        let fault = |text| read(text).expect_err("is faulty").to_string();
        assert_eq!(
            fault("Bucket: bbb\nSize: 1"),
            "the header `InputKey` is missing"
        );
        assert_eq!(
            fault("InputKey: k\nSize: 1"),
            "the header `Bucket` is missing"
        );
        assert_eq!(
            fault("Bucket: bbb\nInputKey: k"),
            "the header `Size` is missing"
        );
        assert_eq!(
            fault("Bucket: bbb\nInputKey: k\nSize: -1"),
            "the header `Size` can't be `-1`: not a whole number of bytes"
        );
        assert_eq!(
            fault("Bucket: bbb\nInputKey: k\nSize: 1\nBUCKET: ccc"),
            "the header `Bucket` appears more than once"
        );
        assert_eq!(
            fault("Bucket: ../x\nInputKey: k\nSize: 1"),
            "the header `Bucket` can't be `../x`: not a bucket name"
        );
        assert!(fault("Bucket: bbb\nInputKey: k\nSize: 1\nDate: soon").contains("`Date`"));
        assert!(fault("Bucket: bbb\nInputKey: k\nSize: 1\nSHA256: 12").contains("`SHA256`"));
        assert!(
            fault("Bucket: bbb\nInputKey: k\nSize: 1\nOutputBucket: $x").contains("`OutputBucket`")
        );
    }
}

#[cfg(test)]
pub(super) mod properties {
    use proptest::prelude::*;

    use super::tests::{ARTICLE, read};
    use super::*;

    fn text() -> impl Strategy<Value = String> {
        any::<String>()
            .prop_map(|s| crate::message::clean_value(&s))
            .prop_filter("empty", |s| !s.is_empty())
    }

    prop_compose! {
        /// Any input message whose texts hold nothing that [`Message::set`] folds away.
        pub(crate) fn any_input()(
            bucket in "[A-Za-z0-9._-]{3,40}",
            input_key in prop_oneof!["media/[0-9a-f]{32}", "[0-9a-f]{32}", "[ -~]{0,40}[!-~]".prop_map(|s| s.trim().to_owned())],
            date in prop::option::of(0_i64..253_402_207_200),
            original_file_name in text(),
            size in any::<u64>(),
            options in prop::collection::vec(prop::option::of(text()), 4),
            output_bucket in prop::option::of("[a-z0-9-]{3,63}"),
            sha256 in prop::option::of("[0-9a-f]{64}"),
            salvage in any::<bool>(),
            extra in prop::collection::btree_map("X-[A-Z]{1,8}", text(), 0..4),
        ) -> InputMessage {
            InputMessage {
                bucket, input_key, original_file_name, size, output_bucket, sha256, salvage,
                date: date.map(|s| Timestamp::from_second(s).expect("in range")),
                batch: options[0].clone(),
                preset: options[1].clone(),
                original_location: options[2].clone(),
                preset_definition: options[3].clone(),
                extra: extra.into_iter().collect(),
            }
        }
    }

    proptest! {
        #[test]
        fn written_is_read_back(input in any_input()) {
            let text = input.to_message().to_string();
            prop_assert_eq!(read(&text), Ok(input));
        }

        #[test]
        fn any_file_name_can_be_sent(name in any::<String>(), location in any::<String>()) {
            let mut input = read(ARTICLE).expect("the article's message");
            input.original_file_name = name;
            input.original_location = Some(location);
            let written = input.to_message();
            let back = read(&written.to_string()).expect("still a message");
            prop_assert_eq!(back.bucket, input.bucket);
            prop_assert_eq!(back.input_key, input.input_key);
        }
    }
}

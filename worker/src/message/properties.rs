//! What holds for any text that somebody sends: `make fuzz` tries it with many.

use std::collections::BTreeSet;

use jiff::Timestamp;
use md5::{Digest as _, Md5};
use proptest::prelude::*;

use super::dead_letter::{self, GivenUp};
use super::*;
use crate::mutation::{foreign, mutated};
use crate::preset::Presets;
use crate::text::printable;

const INPUT: &str = "Bucket: muck-demo-input\nInputKey: media/f84e4a20b571abc69baf2277d193e596\n\
    Date: Tue, 20 Feb 2007 17:21:21 GMT\nOriginalFileName: MVI_3113.AVI\nSize: 1126472\nBatch: b\n\
    Preset: ipod\nOutputBucket: muck-demo-output\nOriginalLocation: trip/day 1\n";

/// As later boto wrote it.
const OF_2007: &str = "Content-Type: video/x-msvideo\r\nHost: laptop.example\r\nSize: 1126472\r\n\
    OriginalLocation: /home/me/movies\r\nFileModifiedDate: 2007-02-20T17:21:21Z\r\n\
    InputKey: home/me/movies/MVI_3113.AVI\r\nOutputBucket: mydone\r\nBucket: myvideos\r\n";

const ANSWER: &str = "OutputKey: media/e69e376be5af6f88f81d3e31adf27988;type=video/quicktime\n\
    Server: ConvertVideo\nHost: h1\nInstance-ID: i-0123456789abcdef0\n\
    Service-Read: Wed, 21 Feb 2007 01:28:14 GMT\nService-Write: Wed, 21 Feb 2007 01:28:27 GMT\n\
    Status: converted\n";

const SEVERAL: &str = "OutputKey: media/0d1f3769d69c1a6d4c9f2e2cbbd0a2f9;type=image/jpeg;name=poster.jpg,\
    media/9a2c3769d69c1a6d4c9f2e2cbbd0a2f9;type=application/vnd.apple.mpegurl;name=hls/master.m3u8\n";

const WORDS: &[&str] = &[
    "Bucket: ",
    "InputKey: ",
    "Date: ",
    "OriginalFileName: ",
    "Size: ",
    "SHA256: ",
    "OutputBucket: ",
    "OutputKey: ",
    "Status: failed\n",
    "Status: converted\n",
    "Error: ",
    "Host: ",
    "Receive-Count: 3\n",
    "Verdict-Job: ",
    "Original-Message: \"x\"\n",
    "Original-Size: ",
    "Service-Read: ",
    ";type=",
    ";name=",
    "media/",
    "verdicts/",
    " GMT",
    "2007-02-20T17:21:21Z",
    "-000001-01-01T00:00:00Z",
];

/// Right messages of each kind.
fn right() -> Vec<String> {
    let definition = Presets::builtin().get("hls").expect("exists").definition();
    let several = ANSWER.replacen(
        ANSWER.lines().next().expect("a line"),
        SEVERAL.trim_end(),
        1,
    );
    let why = why("moov atom not found", Some(JOB));
    let input = Message::parse(INPUT).expect("parses");
    vec![
        INPUT.to_owned(),
        OF_2007.to_owned(),
        format!("{INPUT}Preset-Definition: {definition}\n"),
        format!("{INPUT}{ANSWER}"),
        format!("{INPUT}{several}"),
        format!(
            "{INPUT}{}",
            ANSWER.replace("Status: converted", "Error: no video\nStatus: failed")
        ),
        dead_letter::write(&input, why).to_string(),
        dead_letter::wrap("{\"Records\": []}\n\0", why).to_string(),
    ]
}

const JOB: &str = "f84e4a20b571abc69baf2277d193e596-31867253a92cb39b64ec9bdcfa8070d504b734602b8c543c428ce67505d2e7da";

fn why<'a>(reason: &'a str, job: Option<&'a str>) -> GivenUp<'a> {
    let time = Timestamp::from_second(1_172_021_294).expect("in range");
    GivenUp {
        server: "ConvertVideo",
        host: "ip-10-0-0-1.eu-west-1.compute.internal",
        instance_id: Some("i-0123456789abcdef0"),
        read: time,
        written: time,
        reason,
        receives: 3,
        job,
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => mutated(right(), WORDS),
        1 => foreign(WORDS),
        1 => "([A-Za-z]{0,3} ?:?[ -~\r\t\u{80}-\u{ff}]{0,5}\n){0,8}",
    ]
}

/// What is true of every text that is written here.
fn check_written(message: &Message) -> Result<(), TestCaseError> {
    let text = message.to_string();
    prop_assert_eq!(text.lines().count(), message.iter().count());
    for (line, (name, value)) in text.split('\n').zip(message.iter()) {
        prop_assert_eq!(line.split_once(": "), Some((name, value)));
        prop_assert!(is_name(name), "{:?}", name);
        prop_assert!(
            !value.chars().any(|c| c != '\t' && c.is_control()),
            "{:?}",
            value
        );
        prop_assert_eq!(value.trim(), value);
    }
    prop_assert!(text.len() <= MAX_BYTES, "{} bytes", text.len());
    let back = Message::parse(&text);
    prop_assert_eq!(back.as_ref(), Ok(message));
    Ok(())
}

/// An error is a line that can be shown.
fn check_error(error: &MessageError) -> Result<(), TestCaseError> {
    let shown = error.to_string();
    prop_assert_eq!(printable(&shown), shown.clone());
    // A hundred signs of foreign text, each of which may be shown by ten.
    prop_assert!(shown.chars().count() <= 1200, "{}", shown);
    Ok(())
}

proptest! {
    #[test]
    fn written_is_read_back(headers in prop::collection::vec(("[A-Za-z][A-Za-z0-9-]{0,20}", any::<String>()), 1..20)) {
        let mut message = Message::new();
        for (name, value) in &headers {
            message.set(name, value);
        }
        prop_assert_eq!(Message::parse(&message.to_string()), Ok(message));
    }

    #[test]
    fn any_name_and_value_can_be_set(name in any::<String>(), value in any::<String>()) {
        let mut message = Message::new();
        message.set(&name, &value);
        let text = message.to_string();
        prop_assert_eq!(text.lines().count(), 1);
        prop_assert_eq!(Message::parse(&text), Ok(message));
    }

    #[test]
    fn what_is_read_is_written_and_read_back(text in text()) {
        match Message::parse(&text) {
            Ok(message) => check_written(&message)?,
            Err(error) => check_error(&error)?,
        }
    }

    #[test]
    fn an_input_message_is_read_back(text in text()) {
        let Ok(message) = Message::parse(&text) else { return Ok(()) };
        let lenient = InputMessage::lenient(&message).to_message();
        check_written(&lenient)?;
        prop_assert_eq!(InputMessage::lenient(&lenient).to_message(), lenient);
        match InputMessage::from_message(&message) {
            Ok(input) => {
                let written = input.to_message();
                check_written(&written)?;
                prop_assert_eq!(InputMessage::from_message(&written), Ok(input));
                // Nothing is lost: each header is there with its value, but for the forms of dates and sums.
                for (name, value) in message.iter().filter(|(_, value)| !value.is_empty()) {
                    let free = ["Date", "Size", "SHA256"].iter().any(|n| n.eq_ignore_ascii_case(name));
                    let there = written.iter().any(|(n, v)| n.eq_ignore_ascii_case(name) && v == value);
                    prop_assert!(free || there, "{}: {:?}", name, value);
                }
            }
            Err(error) => check_error(&error)?,
        }
    }

    #[test]
    fn a_status_message_is_read_back(text in text()) {
        let Ok(message) = Message::parse(&text) else { return Ok(()) };
        match StatusMessage::from_message(&message) {
            Ok(status) => {
                let written = status.to_message();
                check_written(&written)?;
                let mut back = StatusMessage::from_message(&written).expect("reads its own");
                // A longer reason than 1000 characters is cut when it is written.
                let cut = |status: &StatusMessage| {
                    let error: String = status.error.iter().flat_map(|e| e.chars()).take(1000).collect();
                    error.trim_end().to_owned()
                };
                prop_assert_eq!(cut(&back), cut(&status));
                back.error.clone_from(&status.error);
                prop_assert_eq!(back, status);
            }
            Err(error) => check_error(&error)?,
        }
    }

    #[test]
    fn any_body_is_a_dead_letter(text in text()) {
        let letter = DeadLetter::read(&text);
        prop_assert_eq!(printable(&letter.file()), letter.file());
        if let Some(job) = &letter.job {
            prop_assert!(!job.contains('/'), "{}", job);
        }
        match Message::parse(&text) {
            Ok(message) if !message.has_been_given_up() => {
                // Of what the queue itself moved, nothing is taken away.
                prop_assert_eq!(letter.original, Some(message.to_string()));
                prop_assert_eq!(letter.job, None);
            }
            Ok(_) => {}
            Err(error) => {
                check_error(&error)?;
                // It is as the queue gave it, so the queue takes it.
                prop_assert_eq!(letter.original, Some(text));
            }
        }
    }

    /// No value makes a header, whoever gives it.
    #[test]
    fn the_headers_are_the_writers(
        values in prop::collection::vec(foreign(WORDS), 12),
        names in prop::collection::vec(foreign(WORDS), 0..3),
    ) {
        let input = InputMessage {
            bucket: values[0].clone(),
            input_key: values[1].clone(),
            date: None,
            original_file_name: values[2].clone(),
            size: 1,
            batch: Some(values[3].clone()),
            preset: Some(values[4].clone()),
            preset_definition: Some(values[5].clone()),
            output_bucket: Some(values[6].clone()),
            original_location: Some(values[7].clone()),
            sha256: Some(values[8].clone()),
            salvage: true,
            extra: names.iter().map(|name| (name.clone(), values[0].clone())).collect(),
        };
        let time = Timestamp::from_second(1_172_021_294).expect("in range");
        let status = StatusMessage {
            input: input.clone(),
            outputs: Vec::new(),
            server: values[9].clone(),
            host: values[10].clone(),
            instance_id: Some(values[11].clone()),
            service_read: time,
            service_write: time,
            processing_milliseconds: Some(2345),
            status: Status::Failed,
            left_out: Some(values[1].clone()),
            warning: Some(values[2].clone()),
            error: Some(values[0].clone()),
        };
        let known = [
            "Bucket", "InputKey", "OriginalFileName", "Size", "Batch", "Preset", "Preset-Definition", "OutputBucket",
            "OriginalLocation", "SHA256", "Salvage", "Server", "Host", "Instance-ID", "Service-Read", "Service-Write", "Status",
            "Processing-Seconds", "Left-Out", "Warning", "Error",
        ];
        for message in [input.to_message(), status.to_message()] {
            let text = message.to_string();
            prop_assert_eq!(text.lines().count(), message.iter().count());
            let mut allowed: BTreeSet<String> = names.iter().map(|name| clean_name(name)).collect();
            allowed.extend(known.map(str::to_owned));
            for (name, _) in message.iter() {
                prop_assert!(allowed.contains(name), "{}", name);
            }
            for name in known {
                let count = message.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).count();
                prop_assert!(count <= 1, "{} {} times", name, count);
            }
            prop_assert_eq!(message.get("Size"), Some("1"));
        }
        let told = status.to_message();
        prop_assert_eq!(told.get("Status"), Some("failed"));
    }

    #[test]
    fn a_dead_letter_gives_its_message_back(text in text(), reason in foreign(WORDS), job in prop::option::of(foreign(WORDS))) {
        let Ok(message) = Message::parse(&text) else { return Ok(()) };
        let letter = dead_letter::write(&message, why(&reason, job.as_deref()));
        check_written(&letter)?;
        let read = DeadLetter::read(&letter.to_string());
        prop_assert_eq!(read.receives, Some(3));
        let told = clean_value(&reason.chars().take(1000).collect::<String>());
        prop_assert_eq!(read.reason.unwrap_or_default(), told);
        // What a worker adds to a letter goes again, whoever wrote a header of that name first.
        let mut kept = message.clone();
        for name in [
            "Status", "Error", "Server", "Host", "Instance-ID", "Service-Read", "Service-Write", "Receive-Count",
            "Verdict-Job",
        ] {
            kept.remove(name);
        }
        // Where that would leave nothing, and where the difference couldn't be told, the text is kept whole.
        let whole = message.get("Original-Message").is_some() || kept.iter().next().is_none();
        let original = if whole { message } else { kept };
        prop_assert_eq!(read.original, Some(original.to_string()));
    }

    #[test]
    fn a_wrapped_text_comes_back_or_is_cut_and_says_so(text in foreign(WORDS), times in prop_oneof![9 => 1_usize..5, 1 => 5_usize..200]) {
        let text = text.repeat(times);
        let letter = dead_letter::wrap(&text, why("unreadable", None));
        check_written(&letter)?;
        prop_assert!(letter.to_string().is_ascii());
        let kept = letter.get("Original-Message").expect("is there");
        prop_assert!(kept.len() <= 48 * 1024, "{}", kept.len());
        let size = text.len().to_string();
        let md5 = hex::encode(Md5::digest(&text));
        prop_assert_eq!(letter.get("Original-Size"), Some(size.as_str()));
        prop_assert_eq!(letter.get("Original-MD5"), Some(md5.as_str()));
        let beginning: String = serde_json::from_str(kept).expect("a JSON string");
        prop_assert!(text.starts_with(&beginning));
        let read = DeadLetter::read(&letter.to_string());
        if beginning.len() == text.len() {
            prop_assert_eq!(read.original, Some(text).filter(|text| can_be_sent(text)));
        } else {
            // One more character would be too much: six bytes for each half of the longest.
            prop_assert!(kept.len() + 12 >= 48 * 1024, "{}", kept.len());
            prop_assert_eq!(read.original, None);
        }
    }
}

//! What holds for any text that stands where a verdict is looked for: `make fuzz` tries it with many.

use proptest::prelude::*;

use super::tests::example;
use super::*;
use crate::message::{InputMessage, Message, StatusMessage, join_left_out};
use crate::mutation::{foreign, mutated, with_other_values};
use crate::text::printable;

const WORDS: &[&str] = &[
    "\"version\": 1,",
    "\"job\": ",
    "\"status\": \"failed\",",
    "\"converted\"",
    "\"outputs\": [],",
    "\"outputs\": null,",
    "\"certificate\": null,",
    "\"key\": \"media/x\",",
    "\"name\": \"hls/x\",",
    "\"error\": ",
    "\"mime\": ",
    "-0.0",
    "1e400",
    "2007-02-21T01:28:14Z",
    "[[[[",
    "\\u0000",
    "\\ud800",
];

/// Values, of which some are right in other places.
const VALUES: &[&str] = &[
    "failed",
    "converted",
    "media/",
    "e69e376be5af6f88f81d3e31adf27988",
    "hls/x",
    "video/mp4",
    ";name=x",
    ",media/x",
    "2007-02-21T01:28:14Z",
    "verdicts/",
];

/// Right verdicts: of a conversion, of several outputs, of a failure.
fn right() -> Vec<Verdict> {
    let one = example();
    let mut several = one.clone();
    several.outputs.push(Output {
        certificate: None,
        ..one.outputs[0].clone()
    });
    for (output, name) in several
        .outputs
        .iter_mut()
        .zip(["hls/master.m3u8", "hls/360p.mp4"])
    {
        output.name = Some(name.to_owned());
    }
    let failed = Verdict {
        status: Status::Failed,
        outputs: Vec::new(),
        left_out: Vec::new(),
        warning: Some("the last 3.0 s are missing".to_owned()),
        error: Some("no video".to_owned()),
        spent: None,
        ..one.clone()
    };
    vec![one, several, failed]
}

fn text() -> impl Strategy<Value = String> {
    let right = right().into_iter().map(|v| v.to_json().expect("is right"));
    let right: Vec<String> = right.collect();
    prop_oneof![
        4 => mutated(right.clone(), WORDS),
        4 => with_other_values(right, VALUES),
        1 => foreign(WORDS),
    ]
}

/// Lengths are read back to the last bit only where JSON's decimals hold them.
fn without_lengths(mut verdict: Verdict) -> Verdict {
    verdict.spent = None;
    for output in &mut verdict.outputs {
        output.certificate = None;
    }
    verdict
}

/// What a worker tells that found the verdict: its outputs, and no others.
fn check_told(verdict: &Verdict) -> Result<(), TestCaseError> {
    let message = Message::parse("Bucket: bbb\nInputKey: k\nSize: 1\n").expect("parses");
    let told = StatusMessage {
        input: InputMessage::from_message(&message).expect("is one"),
        outputs: verdict.output_keys(),
        server: "ConvertVideo".to_owned(),
        host: verdict.host.clone(),
        instance_id: verdict.instance_id.clone(),
        service_read: verdict.service_read,
        service_write: verdict.service_write,
        processing_milliseconds: Some(2345),
        status: verdict.status,
        left_out: join_left_out(&verdict.left_out),
        warning: verdict.warning.clone(),
        error: verdict.error.clone(),
    };
    let text = told.to_message().to_string();
    prop_assert!(text.lines().count() <= 15, "{}", text);
    let back = Message::parse(&text)
        .and_then(|m| StatusMessage::from_message(&m))
        .expect("reads");
    prop_assert_eq!(back.status, verdict.status);
    prop_assert_eq!(back.outputs, verdict.output_keys());
    Ok(())
}

proptest! {
    #[test]
    fn what_is_read_can_be_told_and_is_read_back(text in text()) {
        match Verdict::parse(&text) {
            Ok(verdict) => {
                prop_assert_eq!(&verdict.job, &job_id_of(&verdict.input.md5, &verdict.digest));
                prop_assert!(key(&verdict.job).bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._".contains(&b)));
                let mut names: Vec<_> = verdict.outputs.iter().filter_map(|o| o.name.as_deref()).collect();
                let count = names.len();
                names.sort_unstable();
                names.dedup();
                prop_assert_eq!(names.len(), count);
                check_told(&verdict)?;
                let back = Verdict::parse(&verdict.to_json().expect("json")).expect("a verdict");
                prop_assert_eq!(without_lengths(back), without_lengths(verdict));
            }
            Err(error) => {
                let shown = error.to_string();
                prop_assert_eq!(printable(&shown), shown.clone());
                prop_assert!(shown.len() < 4000, "{}", shown);
            }
        }
    }

    /// Whatever is in the fields that people fill, and whatever was measured: it is written so that it is read
    /// back, or refused before it is written.
    #[test]
    fn what_is_written_is_read_back(
        which in any::<prop::sample::Index>(),
        texts in prop::collection::vec(foreign(WORDS), 7),
        name in prop::option::of(foreign(WORDS)),
        size in any::<u64>(),
        seconds in any::<f64>(),
        memory in any::<u64>(),
        time in any::<i64>(),
    ) {
        let all = right();
        let mut verdict = all[which.index(all.len())].clone();
        verdict.host.clone_from(&texts[0]);
        verdict.error = Some(texts[1].clone());
        verdict.service.clone_from(&texts[2]);
        verdict.preset = Some(texts[3].clone());
        verdict.instance_id = Some(texts[4].clone());
        verdict.input.key.clone_from(&texts[5]);
        verdict.input.size = size;
        verdict.service_write = Timestamp::from_second(time % 100_000_000_000).expect("in range");
        verdict.spent = Some(Spent { wall_seconds: seconds, peak_memory_bytes: memory, ..Spent::default() });
        if let Some(output) = verdict.outputs.first_mut() {
            output.mime.clone_from(&texts[6]);
            if let Some(name) = name {
                output.name = Some(name);
            }
        }
        match verdict.to_json() {
            Ok(text) => {
                prop_assert!(seconds.is_finite());
                let back = Verdict::parse(&text).expect("reads its own");
                check_told(&back)?;
                prop_assert_eq!(without_lengths(back), without_lengths(verdict));
            }
            Err(_) => prop_assert!(!seconds.is_finite() || !can_be_told(&verdict.output_keys())),
        }
    }
}

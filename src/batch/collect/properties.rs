//! What holds for any text in the output queue and in the failed queue: `make fuzz` tries it with many.

use muck_worker::text::printable;
use proptest::prelude::*;

use super::tests::{names, report};
use super::*;
use crate::mutation::{foreign, mutated};

const WORDS: &[&str] = &[
    "Batch: ",
    "Batch: ../../x\n",
    "OutputBucket: ",
    "OutputKey: ",
    "media/",
    ";type=video/mp4",
    ";name=hls/x",
    "Status: failed\n",
    "Status: done\n",
    "Error: ",
    "Size: -1\n",
    "Size: 18446744073709551615\n",
    "Service-Read: Fri, 31 Dec 9999 23:59:59 GMT\n",
    "Service-Write: -009999-01-01T00:00:00Z\n",
    "Receive-Count: 1\n",
    "Original-Message: \"\"\n",
];

fn text() -> impl Strategy<Value = String> {
    let bucket = names().output_bucket();
    let right = vec![
        report(&[]),
        report(&[("OutputBucket", &bucket)]),
        report(&[
            ("Status", "failed"),
            ("Error", "no video"),
            ("OutputKey", ""),
        ]),
        report(&[("Batch", ""), ("Date", "Tue, 20 Feb 2007 17:21:21 GMT")]),
    ];
    prop_oneof![8 => mutated(right, WORDS), 1 => foreign(WORDS)]
}

proptest! {
    #[test]
    fn a_report_is_of_use_or_its_reason_can_be_shown(text in text()) {
        match read_report(&text, &names()) {
            Ok((batch, status)) => {
                prop_assert!(is_batch_name(&batch), "{}", batch);
                // Outputs are fetched from our bucket only, and nobody names another.
                let elsewhere = status.input.output_bucket.as_ref().is_some_and(|b| *b != names().output_bucket());
                prop_assert!(!elsewhere || status.outputs.is_empty());
                let came = Came::of(1, batch, &status);
                prop_assert!(came.seconds < 1 << 41, "{} s", came.seconds);
                prop_assert!(!came.file.contains(['\n', '\0', '\u{1b}', '\u{9b}']), "{:?}", came.file);
                let failure = came.failure.unwrap_or_default();
                prop_assert!(!failure.contains(['\n', '\0', '\u{1b}', '\u{9b}']), "{:?}", failure);
            }
            Err(reason) => {
                prop_assert_eq!(printable(&reason), reason.clone());
                prop_assert!(reason.chars().count() < 1000, "{}", reason);
            }
        }
    }

    #[test]
    fn a_dead_letter_is_of_a_job_or_its_reason_can_be_shown(text in text()) {
        match read_dead(&DeadLetter::read(&text)) {
            Ok((batch, job, reason, _)) => {
                prop_assert!(is_batch_name(&batch), "{}", batch);
                prop_assert!(!job.input_key.is_empty());
                prop_assert!(!reason.contains(['\n', '\0', '\u{1b}', '\u{9b}']), "{:?}", reason);
            }
            Err(reason) => prop_assert!(!reason.contains(['\n', '\0', '\u{1b}', '\u{9b}']), "{:?}", reason),
        }
    }
}

/// The first property says something: of what is tried, a good part is of use.
#[test]
fn reports_of_use_are_among_those_tried() {
    let part = crate::mutation::part_of(&text(), |text| read_report(text, &names()).is_ok());
    assert!(part > 0.05, "{part}");
}

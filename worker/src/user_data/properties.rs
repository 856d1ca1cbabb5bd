//! What holds for any text that an instance finds as its user data: `make fuzz` tries it with many.

use proptest::prelude::*;

use super::tests::EXAMPLE;
use super::*;
use crate::mutation::{foreign, mutated};
use crate::text::printable;

const WORDS: &[&str] = &[
    "Service: ",
    "Stack: ",
    "Account: 000000000000\n",
    "Input-Queue: https://q/in\n",
    "Failed-Queue: http://q/failed\n",
    "Output-Bucket: ",
    "Idle-Seconds: 18446744073709551615\n",
    "Expires: -009999-01-01T00:00:00Z\n",
    "Expires: 9999-12-31T23:59:59Z\n",
    "Slots: auto\n",
    "Slots: 1024\n",
    "Slots: +4\n",
    "Notify-Topic: ",
    "Batch: ",
    "https://",
    "s3://",
    "#!/bin/sh\n",
];

fn text() -> impl Strategy<Value = String> {
    let full = format!(
        "{EXAMPLE}Failed-Queue: https://sqs.eu-west-1.amazonaws.com/123456789012/muck-demo-failed\nSlots: 4\n\
         Notify-Topic: arn:aws:sns:eu-west-1:123456789012:muck-demo-notify\nBatch: holiday\n"
    );
    prop_oneof![8 => mutated(vec![EXAMPLE.to_owned(), full], WORDS), 1 => foreign(WORDS)]
}

prop_compose! {
    /// Whatever a deployer may say.
    fn any_user_data()(
        words in prop::collection::vec("[!-~]([ -~]{0,30}[!-~])?", 4),
        queues in prop::collection::vec("https?://[!-~]{1,60}", 3),
        buckets in prop::collection::vec("[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", 2),
        has_failed in any::<bool>(),
        account in "[0-9]{12}",
        idle_seconds in any::<u64>(),
        expires in -377_705_023_201_i64..=253_402_207_200,
        slots in prop::option::of(1_usize..=1024),
        notify_topic in prop::option::of("arn:[a-z:0-9]{1,30}"),
        has_batch in any::<bool>(),
    ) -> UserData {
        UserData {
            service: words[0].clone(),
            stack: words[1].clone(),
            region: words[2].clone(),
            account,
            input_queue: queues[0].clone(),
            output_queue: queues[1].clone(),
            failed_queue: has_failed.then(|| queues[2].clone()),
            input_bucket: buckets[0].clone(),
            output_bucket: buckets[1].clone(),
            idle_seconds,
            expires: Timestamp::from_second(expires).expect("in range"),
            slots: slots.map_or(Slots::Auto, Slots::Fixed),
            notify_topic,
            batch: has_batch.then(|| words[3].clone()),
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(data in any_user_data()) {
        prop_assert_eq!(UserData::parse(&data.to_message().to_string()), Ok(data));
    }

    #[test]
    fn what_is_read_has_its_form(text in text()) {
        match UserData::parse(&text) {
            Ok(data) => {
                let queues = [Some(&data.input_queue), Some(&data.output_queue), data.failed_queue.as_ref()];
                for queue in queues.into_iter().flatten() {
                    let (scheme, rest) = queue.split_once("://").expect("a URL");
                    prop_assert!(matches!(scheme, "http" | "https"), "{}", queue);
                    prop_assert!(!rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic()), "{}", queue);
                }
                for bucket in [&data.input_bucket, &data.output_bucket] {
                    prop_assert!(bucket.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)), "{}", bucket);
                    prop_assert!((3..=255).contains(&bucket.len()), "{}", bucket);
                }
                prop_assert!(data.account.len() == 12 && data.account.bytes().all(|b| b.is_ascii_digit()));
                prop_assert!(data.slots.count() <= 1024);
                let words = [Some(&data.service), Some(&data.stack), Some(&data.region), data.notify_topic.as_ref(), data.batch.as_ref()];
                for word in words.into_iter().flatten() {
                    prop_assert!(!word.is_empty() && !word.contains(['\n', '\r', '\0', '\u{1b}']), "{:?}", word);
                }
                prop_assert_eq!(UserData::parse(&data.to_message().to_string()), Ok(data));
            }
            Err(error) => {
                let shown = error.to_string();
                prop_assert_eq!(printable(&shown), shown.clone());
                prop_assert!(shown.chars().count() <= 1200, "{}", shown);
            }
        }
    }
}

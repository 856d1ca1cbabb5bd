//! What holds for whatever an instance is to be told: `make fuzz` tries it with many.

use proptest::prelude::*;

use super::tests::example;
use super::*;
use crate::mutation::foreign;

const WORDS: &[&str] = &[
    "{{stack}}",
    "{{#if batch}}",
    "{{{",
    "\nBatch: b",
    "\nSlots: 1",
    "<&>",
    "demo",
    "eu-west-1",
];

/// A value that can be one, or anything.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z0-9._-]{1,63}",
        "[!-~]([ -~]{0,40}[!-~])?",
        foreign(WORDS)
    ]
}

prop_compose! {
    fn any_user_data()(
        values in prop::collection::vec(value(), 3),
        which in 0_usize..8,
        evil in foreign(WORDS),
        idle_seconds in any::<u64>(),
        expires in 0_i64..=253_402_207_200,
        slots in prop::option::of(1_usize..=1024),
        (has_topic, has_batch) in any::<(bool, bool)>(),
    ) -> UserData {
        let mut data = UserData {
            service: values[0].clone(),
            stack: values[1].clone(),
            idle_seconds,
            expires: Timestamp::from_second(expires).expect("in range"),
            slots: slots.map_or(Slots::Auto, Slots::Fixed),
            batch: has_batch.then(|| values[2].clone()),
            ..example()
        };
        data.notify_topic = data.notify_topic.filter(|_| has_topic);
        // One of those that are checked more closely.
        match which {
            0 => data.input_queue.push_str(&evil),
            1 => data.output_bucket.push_str(&evil),
            2 => data.account = evil,
            3 => data.region.push_str(&evil),
            4 => data.notify_topic = Some(evil),
            _ => {}
        }
        data
    }
}

proptest! {
    /// What is written is what the worker reads, whatever it is; or nothing is launched.
    #[test]
    fn the_worker_reads_what_was_given(data in any_user_data()) {
        if let Ok(text) = write(&data) {
            let read = UserData::parse(&text);
            prop_assert_eq!(read.as_ref(), Ok(&data));
            prop_assert_eq!(text, data.to_message().to_string());
        } else {
            // Whatever the worker's own writer can say, the template can.
            prop_assert_ne!(UserData::parse(&data.to_message().to_string()), Ok(data));
        }
    }
}

/// The property says something: of what is tried, a good part is written.
#[test]
fn settings_that_are_written_are_among_those_tried() {
    let part = crate::mutation::part_of(&any_user_data(), |data| write(data).is_ok());
    assert!(part > 0.1, "{part}");
}

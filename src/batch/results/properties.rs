//! What holds for any times and types that status messages bring: `make fuzz` tries it with many.

use jiff::Timestamp;
use muck_worker::message::Message;
use proptest::prelude::*;

use super::fetcher::extension;
use super::tests::{job, output};
use super::*;
use crate::batch::statistics::tests::any_times;
use crate::mutation::foreign;

const WORDS: &[&str] = &[
    "video/mp4",
    "video/quicktime",
    "image/jpeg",
    "text/plain",
    "/",
    ";",
    "x-msdownload",
    "ipod",
];

proptest! {
    /// Whatever the type and the preset are said to be, the extension is a short word.
    #[test]
    fn an_extension_is_a_word(
        preset in foreign(WORDS),
        mime in foreign(WORDS),
        definition in prop::option::of(foreign(WORDS)),
    ) {
        let message = definition.map(|definition| {
            let mut message = Message::new();
            message.set("Preset-Definition", &definition);
            message.to_string()
        });
        let extension = extension(&job(&preset, message), &output(&mime));
        prop_assert!((1..=24).contains(&extension.len()), "{}", extension);
        prop_assert!(extension.chars().all(|c| c.is_ascii_alphanumeric() || "_-+".contains(c)), "{}", extension);
    }

    #[test]
    fn an_estimate_is_a_time(times in prop::collection::vec(prop::option::of(any_times()), 0..20), now in any::<i32>()) {
        let jobs: Vec<Job> = times
            .into_iter()
            .map(|times| Job {
                status: if times.is_some() { JobStatus::Converted } else { JobStatus::Outstanding },
                times,
                ..job("ipod", None)
            })
            .collect();
        let now = Timestamp::from_second(i64::from(now)).expect("in range");
        if let Some(eta) = eta(&jobs, now) {
            prop_assert!(eta <= Duration::from_secs(1_000_000_000), "{:?}", eta);
        }
    }
}

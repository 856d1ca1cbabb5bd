//! What holds for any times and types that status messages bring: `make fuzz` tries it with many.

use muck_worker::message::Message;
use proptest::prelude::*;

use super::fetcher::extension;
use super::tests::{job, output};
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
}

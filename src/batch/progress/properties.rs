//! What holds for any report that lies below `progress/`: `make fuzz` tries it with many.

use muck_worker::text::printable;
use proptest::prelude::*;

use super::*;
use crate::mutation::{foreign, mutated, with_other_values};

const RIGHT: &str = r#"{"version":1,"host":"h1","instance_id":"i-1","at":"1970-01-01T00:00:00Z","slots":2,"ended":false,"files":[{"file":"a.avi","batch":"b","stage":"working","percent":42,"speed":1.9,"eta_seconds":31},{"file":"b.avi","stage":"fetching"}]}"#;

const WORDS: &[&str] = &[
    "\"files\":[],",
    "\"percent\":4294967295,",
    "\"speed\":-1.7e308,",
    "\"speed\":1.7e308,",
    "\"speed\":1e-320,",
    "\"eta_seconds\":18446744073709551615,",
    "\"instance_id\":\"\\u001b[2J\",",
    "\\u009b2J",
    "\\u202e",
    "\\n",
    "\"slots\":-1,",
];

fn text() -> impl Strategy<Value = String> {
    let right = vec![RIGHT.to_owned()];
    prop_oneof![
        4 => mutated(right.clone(), WORDS),
        4 => with_other_values(right, WORDS),
        1 => foreign(WORDS),
    ]
}

proptest! {
    #[test]
    fn a_file_at_work_is_a_harmless_line(text in text()) {
        for one in read(text.as_bytes()) {
            let line = one.text();
            prop_assert_eq!(printable(&line), line.clone());
            // What is no text adds a few words, whatever is said; and the blanks before them, 40 at the most.
            let bare = AtWork {
                file: FileReport { percent: None, speed: None, eta_seconds: None, ..one.file.clone() },
                ..one.clone()
            };
            prop_assert!(line.len() <= bare.text().len() + 100, "{}", line);
            // 80 signs of foreign text, each of which may be shown by 10.
            prop_assert!(bare.text().chars().count() <= 820, "{}", line);
        }
    }
}

/// The property says something: of what is tried, a good part is a report.
#[test]
fn reports_are_among_those_tried() {
    let part = crate::mutation::part_of(&text(), |text| !read(text.as_bytes()).is_empty());
    assert!(part > 0.05, "{part}");
}

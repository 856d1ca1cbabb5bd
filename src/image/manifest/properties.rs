//! What holds for any text that stands for a manifest: `make fuzz` tries it with many.

use muck_worker::text::printable;
use proptest::prelude::*;

use super::tests::manifest;
use super::*;
use crate::mutation::{foreign, mutated};

const WORDS: &[&str] = &[
    "[packages]\n",
    "[files]\n",
    "[links]\n",
    "[folders]\n",
    "[removed]\n",
    " => ",
    " 755 0:0 ",
    " /x\n",
    " ",
    "4755",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => mutated(vec![manifest().text()], WORDS),
        1 => foreign(WORDS),
        1 => "(\\[(files|links|folders|removed)\\]\n)?( .*\n){0,8}",
    ]
}

proptest! {
    #[test]
    fn what_is_read_is_written_and_read_back(text in text()) {
        match Manifest::parse(&text) {
            Ok(manifest) => {
                let back = Manifest::parse(&manifest.text()).expect("reads");
                prop_assert_eq!(&back, &manifest);
                prop_assert_eq!(back.digest(), manifest.digest());
                prop_assert!(manifest.differences(&manifest).is_empty());
            }
            Err(error) => {
                let shown = error.chain();
                prop_assert_eq!(printable(&shown), shown.clone());
                prop_assert!(shown.chars().count() < 2200, "{}", shown);
            }
        }
    }
}

/// The property says something: of what is tried, a good part is a manifest.
#[test]
fn manifests_are_among_those_tried() {
    let part = crate::mutation::part_of(&text(), |text| Manifest::parse(text).is_ok());
    assert!(part > 0.05, "{part}");
}

/// Found by the property once.
#[test]
fn carriage_returns_are_part_of_a_path() {
    let manifest = Manifest::parse("[removed]\n \r\r\n").expect("reads");
    assert_eq!(Manifest::parse(&manifest.text()).expect("reads"), manifest);
}

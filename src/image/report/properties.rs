//! What holds for any text that a builder leaves as its report: `make fuzz` tries it with many.

use muck_worker::text::printable;
use proptest::prelude::*;

use super::tests::GOOD;
use super::*;
use crate::mutation::{foreign, mutated};

const WORDS: &[&str] = &[
    "Muck-Report: 1\n",
    "Status: ok\n",
    "Status: failed\n",
    "Exit: 0\n",
    "Exit: -1\n",
    "Seconds: 18446744073709551615\n",
    "Root-KiB: 18446744073709551615\n",
    "Manifest: ",
    "Base: /\n",
    "[steps]\n",
    "[log]\n",
    "[files]\n",
    "[links]\n",
    "[installed]\n",
    "[lock]\n",
    " x 1 2 3\n",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => mutated(vec![GOOD.to_owned()], WORDS),
        1 => foreign(WORDS),
        1 => "(Muck-Report: 1\n)?(.*\n){0,8}",
    ]
}

/// An error that can be shown: by lines, as the printer does, it holds nothing that acts on a terminal unseen.
fn check_error(error: &Error) -> Result<(), TestCaseError> {
    prop_assert!(!error.to_string().is_empty());
    prop_assert!(
        error.chain().lines().count() <= LAST_WORDS + 1000,
        "{}",
        error.chain()
    );
    Ok(())
}

proptest! {
    #[test]
    fn a_report_is_read_or_its_fault_is_told(text in text()) {
        match Report::parse(&text) {
            Ok(report) => {
                if let Err(error) = report.check() {
                    check_error(&error)?;
                } else {
                    prop_assert!(report.succeeded && report.exit == 0);
                    let digest = report.manifest.digest();
                    prop_assert_eq!(report.manifest_digest.as_deref(), Some(digest.as_str()));
                }
                if let Err(error) = report.locked() {
                    check_error(&error)?;
                }
            }
            Err(error) => {
                prop_assert_eq!(printable(&error.chain()), error.chain());
                check_error(&error)?;
            }
        }
    }
}

/// The property says something: of what is tried, a good part is a report.
#[test]
fn reports_are_among_those_tried() {
    let part = crate::mutation::part_of(&text(), |text| Report::parse(text).is_ok());
    assert!(part > 0.05, "{part}");
}

//! From files to results: submit, results, statistics, bill, status.
//!
//! ```text
//! files → scan → submit → S3 + input queue … output queue → collect → ledger → fetch → folder
//!                                                              └─ statistics, log.csv, bill, status
//! ```
//!
//! The ledger is the one thing kept on this machine: it remembers what was submitted and what came
//! back. It is never needed to tear a stack down.

pub mod bill;
mod collect;
mod digest;
pub mod disk;
mod early_ends;
mod estimate;
pub mod failed;
mod fetch;
pub mod fleet;
pub mod launch;
pub mod launched;
pub mod ledger;
mod log_csv;
pub mod logs;
pub mod money;
mod outage;
mod place;
pub mod prices;
pub mod progress;
mod relaunch;
mod report;
pub mod results;
#[cfg(test)]
mod round_trip;
mod scan;
mod stall;
pub mod statistics;
pub mod status;
pub mod submit;
mod uplink;
mod upload;
pub mod usage;
mod user_data;

pub use bill::{Bill, bill};
pub use collect::{LOST, dead_letters};
pub use fleet::{observe_ends, observe_instances};
pub use launch::{LaunchOptions, launch};
pub use launched::Launch;
pub use report::{JobFailure, Report};
pub use results::{ResultsOptions, check_output, results};
pub use statistics::Statistics;
pub use status::{Status, status};
pub use submit::{Submission, SubmitOptions, check_input, find_preset, submit};

use crate::error::{Error, Result};

/// The batch of messages that name none (2007 clients).
pub const UNNAMED: &str = "unnamed";

/// Longest batch name: it must fit a tag's value and a file name with room to spare.
const BATCH_NAME_MAX: usize = 64;

/// Checks a batch's name: 1 to 64 letters, digits, `.`, `_` and `-`, beginning with a letter or digit.
///
/// # Errors
/// Kind `Usage`, with the rule.
pub fn check_batch_name(name: &str) -> Result<()> {
    if is_batch_name(name) {
        return Ok(());
    }
    Err(Error::usage(format!(
        "{name:?} is not a batch name: use 1 to {BATCH_NAME_MAX} letters, digits, '.', '_' and '-', \
         beginning with a letter or digit"
    )))
}

fn is_batch_name(name: &str) -> bool {
    (1..=BATCH_NAME_MAX).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_names_are_checked() {
        for good in ["a", "20260102-030405-9f3a", "Holiday_2007.v2"] {
            assert!(check_batch_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a b", "a/b", "..", "ä", "x\n", &"a".repeat(65)] {
            assert!(check_batch_name(bad).is_err(), "{bad}");
        }
    }
}

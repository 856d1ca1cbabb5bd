//! Subtitles of films.

use super::Examined;
use crate::media::Stream;
use crate::preset::{Expectation, is_text};

/// Checks the number and the form of subtitles. Not of copied ones: what a container takes is known by its writer, and what it
/// doesn't is reported as left out.
pub(super) fn check(
    input: &Examined,
    output: &Examined,
    expect: &Expectation,
    faults: &mut Vec<String>,
) {
    let codec = match expect.subtitles.as_deref() {
        None | Some(Expectation::COPY) => return,
        Some(codec) => codec,
    };
    let is: Vec<&Stream> = output.media.of_kind("subtitle").collect();
    let sources = input.media.of_kind("subtitle");
    let wanted = sources.filter(|one| is_text(&one.codec)).count();
    if is.len() != wanted {
        faults.push(format!(
            "it has {} subtitle streams, not {wanted}",
            is.len()
        ));
    }
    if let Some(other) = is.iter().find(|one| one.codec != codec) {
        faults.push(format!("its subtitles are {}, not {codec}", other.codec));
    }
}

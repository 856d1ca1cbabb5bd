//! Makes foreign text safe to show.
//!
//! File names, message headers and media metadata are written by strangers. Nothing of theirs may
//! reach a terminal or a log line raw: an escape sequence can move the cursor or retitle a window,
//! a bidirectional override can make one name look like another.

use std::fmt::Write as _;

/// Returns `text` with every character that can act on a terminal written as a visible escape.
///
/// Escaped as `\u{…}` are: C0 and C1 controls and DEL, line and paragraph separators, the
/// bidirectional controls of Unicode Standard Annex 9, zero-width and other invisible format
/// characters, tag characters, variation selectors beyond the usual ones, and noncharacters. Tab,
/// line feed and carriage return become `\t`, `\n`, `\r`. A backslash stays as it is: the result
/// is for eyes, not for parsing back.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c if is_active(c) => {
                // Writing to a String can't fail.
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// The same, cut to `max` characters of the input with `…` at the cut.
///
/// The cut comes before the escaping, so that no escape is torn apart.
pub fn printable_short(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", printable(&text[..end])),
        None => printable(text),
    }
}

/// A count and its noun, `1 instance` or `2 instances`. `singular` is a regular noun of English.
pub fn quantity<N>(count: N, singular: &str) -> String
where
    N: std::fmt::Display + PartialEq + From<u8> + Copy,
{
    if count == N::from(1) {
        return format!("1 {singular}");
    }
    let consonant_y = singular
        .strip_suffix('y')
        .filter(|stem| !stem.ends_with(['a', 'e', 'i', 'o', 'u']));
    match consonant_y {
        Some(stem) => format!("{count} {stem}ies"),
        None if ["s", "x", "ch", "sh"]
            .iter()
            .any(|end| singular.ends_with(end)) =>
        {
            format!("{count} {singular}es")
        }
        None => format!("{count} {singular}s"),
    }
}

/// Like [`quantity`], for what has a length.
pub fn quantity_of<T>(all: &[T], singular: &str) -> String {
    quantity(all.len(), singular)
}

/// Whether a character acts on a terminal or hides from the eye instead of being seen.
pub fn is_active(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0x00ad                  // soft hyphen
            | 0x034f                // combining grapheme joiner
            | 0x061c                // Arabic letter mark
            | 0x115f | 0x1160       // Hangul fillers
            | 0x17b4 | 0x17b5       // Khmer inherent vowels
            | 0x180b..=0x180f       // Mongolian separators
            | 0x200b..=0x200f       // zero width, LRM, RLM
            | 0x2028..=0x202e       // separators, bidirectional embeddings and overrides
            | 0x2060..=0x206f       // joiners, isolates, deprecated format characters
            | 0x3164 | 0xffa0       // Hangul fillers
            | 0xfeff                // byte-order mark
            | 0xfff9..=0xfffb       // interlinear annotation
            | 0x1d173..=0x1d17a     // musical format controls
            | 0xe0000..=0xe0fff     // tags and supplementary variation selectors
        )
        || u32::from(c) & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_no_plural() {
        let words = ["instance", "policy", "day", "batch", "dead letter"];
        let one = words.map(|word| quantity(1_u64, word));
        assert_eq!(
            one,
            [
                "1 instance",
                "1 policy",
                "1 day",
                "1 batch",
                "1 dead letter"
            ]
        );
        let none = words.map(|word| quantity(0_u64, word));
        assert_eq!(
            none,
            [
                "0 instances",
                "0 policies",
                "0 days",
                "0 batches",
                "0 dead letters"
            ]
        );
        assert_eq!(quantity_of(&[1, 2], "file"), "2 files");
    }

    #[test]
    fn ordinary_text_stays() {
        for text in ["MVI_3113.AVI", "Größe – 東京 🎬.mov", "a\\b", ""] {
            assert_eq!(printable(text), text);
        }
    }

    #[test]
    fn terminal_and_bidi_characters_are_escaped() {
        assert_eq!(printable("a\x1b[31mred\x07"), "a\\u{1b}[31mred\\u{7}");
        assert_eq!(printable("\u{9b}2J"), "\\u{9b}2J");
        assert_eq!(printable("gpj.\u{202e}exe"), "gpj.\\u{202e}exe");
        assert_eq!(printable("a\tb\r\nc"), "a\\tb\\r\\nc");
        assert_eq!(printable("\u{feff}x\u{200b}"), "\\u{feff}x\\u{200b}");
    }

    #[test]
    fn short_cuts_by_characters() {
        assert_eq!(printable_short("äöü", 2), "äö…");
        assert_eq!(printable_short("äöü", 3), "äöü");
        assert_eq!(printable_short("\x1b\x1b", 1), "\\u{1b}…");
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_active_comes_through(text in any::<String>()) {
            prop_assert!(!printable(&text).chars().any(is_active));
        }
    }
}

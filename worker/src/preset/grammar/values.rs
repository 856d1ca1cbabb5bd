//! The kinds of values that options, encoder parameters and filters take.

use super::{expression, filters};

/// The kinds of values.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// No value follows.
    Flag,
    /// `21`, `1200k`, `1.5M`, `-1`.
    Number,
    /// `25` or `30000/1001`.
    Fraction,
    /// `320x240`.
    Size,
    /// Letters, digits, `_` and `-`, beginning with a letter or digit: pixel formats, profiles.
    Word,
    /// Words joined by `|`.
    Words,
    /// Of these words, some, each after a `+` or `-`: `+mv4+aic`.
    Flags(&'static [&'static str]),
    /// `0:V:0`, `0:a?`: streams of the one input.
    Map,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// `key=value` joined by `:`, each key with its kind.
    Parameters(&'static [&'static [(&'static str, Kind)]]),
    /// A number made of numbers, of what a filter knows of its picture, and of functions.
    Expression,
    /// A graph of filters with one end on either side.
    Filters(filters::Family),
}

/// Whether a value is of a kind, or a few words for why not.
pub(super) fn check(kind: Kind, value: &str) -> Result<(), String> {
    let is = |good: bool, what: &str| {
        if good {
            Ok(())
        } else {
            Err(format!("not {what}"))
        }
    };
    match kind {
        Kind::Flag => Err("it takes no value".to_owned()),
        Kind::Number => is(is_number(value), "a number"),
        Kind::Fraction => {
            let (n, d) = value.split_once('/').unwrap_or((value, "1"));
            is(is_digits(n) && is_digits(d), "a number or a fraction")
        }
        Kind::Size => is(
            value
                .split_once('x')
                .is_some_and(|(w, h)| is_digits(w) && is_digits(h)),
            "of the form 320x240",
        ),
        Kind::Word => is(is_word(value), "a word"),
        Kind::Words => is(value.split('|').all(is_word), "words with `|` between"),
        Kind::Flags(known) => is(are_flags(value, known), &format!("of {}", known.join(", "))),
        Kind::Map => is(
            value
                .strip_prefix("0:")
                .is_some_and(|stream| is_stream(stream.strip_suffix('?').unwrap_or(stream))),
            "streams of input 0, as 0:v:0 or 0:a?",
        ),
        Kind::OneOf(words) => is(
            words.contains(&value),
            &format!("one of {}", words.join(", ")),
        ),
        Kind::Parameters(known) => value.split(':').try_for_each(|entry| {
            let (key, value) = entry.split_once('=').ok_or("not `key=value`")?;
            let (_, kind) = known
                .iter()
                .copied()
                .flatten()
                .find(|(name, _)| *name == key)
                .ok_or_else(|| format!("`{}` is not allowed", short(key)))?;
            check(*kind, value).map_err(|why| format!("`{key}` is {why}"))
        }),
        Kind::Expression => is(expression::is_expression(value), "an expression"),
        Kind::Filters(family) => filters::check(value, family),
    }
}

/// Foreign text for an error.
pub(super) fn short(text: &str) -> String {
    crate::text::printable_short(text, 40)
}

/// `v`, `a:0`, `V:1`, `t` (attachments), `d` (data), `disp:attached_pic` (covers) or a number.
pub(super) fn is_stream(text: &str) -> bool {
    let (kind, index) = match text.split_once(':') {
        Some((kind, index)) => (kind, Some(index)),
        None => (text, None),
    };
    let kinds = ["v", "V", "a", "s", "t", "d"];
    match index {
        // Cover pictures.
        Some("attached_pic") => kind == "disp",
        Some(index) => kinds.contains(&kind) && is_digits(index),
        None => kinds.contains(&kind) || is_digits(kind),
    }
}

fn are_flags(text: &str, known: &[&str]) -> bool {
    // A leading sign makes the first word empty.
    let mut words = text.split(['+', '-']).peekable();
    if words.peek() == Some(&"") {
        words.next();
    }
    let words: Vec<&str> = words.collect();
    !words.is_empty() && words.iter().all(|word| known.contains(word))
}

pub(super) fn is_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let text = text.strip_suffix(['k', 'K', 'M']).unwrap_or(text);
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    is_digits(whole) && is_digits(part)
}

/// At most 9 digits: no number that ffmpeg takes here is larger, and all fit into 32 bits.
pub(super) fn is_digits(text: &str) -> bool {
    (1..=9).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

pub(super) fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.len() <= 40
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
}

//! ffmpeg's arithmetic, as filters take it.

use super::values::is_digits;

/// What filters know of their picture: width, height, shape, frame number, time.
const NAMES: &[&str] = &[
    "iw", "ih", "in_w", "in_h", "ow", "oh", "out_w", "out_h", "a", "sar", "dar", "hsub", "vsub",
    "n", "t", "x", "y", "w", "h", "PI", "E",
];

/// Functions that end and keep nothing. Not `while` (it needn't end), `print`, `st`, `ld`.
const FUNCTIONS: &[&str] = &[
    "if", "ifnot", "min", "max", "gt", "gte", "lt", "lte", "eq", "not", "abs", "ceil", "floor",
    "round", "trunc", "mod", "between", "clip", "sqrt", "pow", "log", "sin", "cos", "hypot",
];

/// What the program fills in: the length of the input's video in seconds.
pub(in crate::preset) const SECONDS: &str = "{seconds}";

/// A longer one is no arithmetic of a size.
const MAX_BYTES: usize = 300;

/// Whether a text is made of numbers, known names, calls of known functions, `+ - * /`,
/// parentheses that match, and `\,` between a call's arguments.
pub(super) fn is_expression(text: &str) -> bool {
    if text.is_empty() || text.len() > MAX_BYTES {
        return false;
    }
    let mut rest = text;
    let mut depth = 0_u32;
    while !rest.is_empty() {
        let used = if rest.starts_with(SECONDS) {
            SECONDS.len()
        } else if rest.starts_with("\\,") && depth > 0 {
            2
        } else if rest.starts_with(|c: char| c.is_ascii_digit()) {
            let length = span(rest, |c| c.is_ascii_digit() || c == '.');
            let (whole, part) = rest[..length]
                .split_once('.')
                .unwrap_or((&rest[..length], "0"));
            if !(is_digits(whole) && is_digits(part)) {
                return false;
            }
            length
        } else if rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let length = span(rest, |c| c.is_ascii_alphanumeric() || c == '_');
            let known = if rest[length..].starts_with('(') {
                FUNCTIONS
            } else {
                NAMES
            };
            if !known.contains(&&rest[..length]) {
                return false;
            }
            length
        } else {
            match rest.as_bytes()[0] {
                b'(' => depth += 1,
                b')' if depth > 0 => depth -= 1,
                b'+' | b'-' | b'*' | b'/' => {}
                _ => return false,
            }
            1
        };
        rest = &rest[used..];
    }
    // Nothing that ffmpeg could take for a path begins with a sign of division.
    depth == 0 && !text.starts_with('/')
}

fn span(text: &str, inside: impl Fn(char) -> bool) -> usize {
    text.find(|c| !inside(c)).unwrap_or(text.len())
}

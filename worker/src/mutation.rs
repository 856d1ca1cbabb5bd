//! For property tests: texts of strangers, and right texts that somebody has changed.
//!
//! `muck`'s own property tests take this file in too, so it needs nothing of this crate.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

/// Pieces that readers of lines, names, JSON, paths and terminals trip over.
const PIECES: &[&str] = &[
    "\n",
    "\r\n",
    "\r",
    "\n\n",
    "\n ",
    "\n\t",
    "\0",
    "\u{1b}[2J",
    "\u{1b}]0;x\u{7}",
    "\u{9b}2J",
    "\u{85}",
    "\u{7f}",
    "\u{202e}",
    "\u{2028}",
    "\u{2066}",
    "\u{feff}",
    "\u{ffff}",
    "\u{10ffff}",
    "e\u{301}",
    "🎬",
    ":",
    ": ",
    ";",
    ",",
    "=",
    "\"",
    "'",
    "\\",
    "/",
    "//",
    "../",
    "..\\",
    "./",
    "~",
    "|",
    "$(id)",
    "`id`",
    "%d",
    "%2e%2e%2f",
    "-",
    "+",
    "@",
    "{",
    "}",
    "[",
    "]",
    "null",
    "1e999",
    "-1",
    "0",
    "18446744073709551616",
    "NaN",
    " ",
    "\t",
    "http://",
    "file:",
];

/// One change to a text. Places are parts of its length.
#[derive(Debug, Clone)]
enum Change {
    Insert(Index, String),
    Replace(Index, Index, String),
    Delete(Index, Index),
    /// A part of the text once more, somewhere.
    Copy(Index, Index, Index),
    /// A line once more, at the end.
    DoubleLine(Index),
    SwapLines(Index, Index),
    DropLine(Index),
    Case(Index, Index),
    Cut(Index),
    /// A character many times.
    Stretch(Index, usize),
}

/// One of the right texts with up to seven changes; `words` are what the format is made of.
pub(crate) fn mutated(
    right: Vec<String>,
    words: &'static [&'static str],
) -> impl Strategy<Value = String> {
    let changes = prop::collection::vec(change(words), 0..8);
    (prop::sample::select(right), changes).prop_map(|(text, changes)| {
        let mut chars: Vec<char> = text.chars().collect();
        for change in changes {
            apply(&mut chars, change);
        }
        chars.into_iter().collect()
    })
}

/// What a stranger may write into a field: any text, and texts of [`PIECES`] and `words`.
pub(crate) fn foreign(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        prop::collection::vec(piece(words), 0..6).prop_map(|pieces| pieces.concat()),
        // Long ones take their time, so there are fewer.
        (
            piece(words),
            prop_oneof![9 => 0_usize..40, 1 => 0_usize..700]
        )
            .prop_map(|(piece, times)| piece.repeat(times)),
    ]
}

/// One of the right JSON texts with up to four of its values replaced, by texts and by others.
pub(crate) fn with_other_values(
    right: Vec<String>,
    words: &'static [&'static str],
) -> impl Strategy<Value = String> {
    let value = prop_oneof![
        4 => foreign(words).prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => prop::sample::select(vec![Value::Null, true.into(), json!([]), json!({})]),
    ];
    let changes = prop::collection::vec((any::<Index>(), value), 1..4);
    (prop::sample::select(right), changes).prop_map(|(text, changes)| {
        let mut json: Value = serde_json::from_str(&text).expect("is JSON");
        for (at, value) in changes {
            let mut places = Vec::new();
            leaves(&json, "", &mut places);
            if let Some(leaf) = json.pointer_mut(&places[at.index(places.len())]) {
                *leaf = value;
            }
        }
        json.to_string()
    })
}

/// The JSON pointers (RFC 6901) of all values that hold no others.
fn leaves(json: &Value, here: &str, found: &mut Vec<String>) {
    match json {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                leaves(value, &format!("{here}/{name}"), found);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (number, item) in items.iter().enumerate() {
                leaves(item, &format!("{here}/{number}"), found);
            }
        }
        _ => found.push(here.to_owned()),
    }
}

fn piece(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    let known = [words, PIECES].concat();
    prop_oneof![
        3 => prop::sample::select(known).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
        1 => "[a-zA-Z0-9]{1,6}",
    ]
}

fn change(words: &'static [&'static str]) -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        4 => (at(), piece(words)).prop_map(|(at, piece)| Change::Insert(at, piece)),
        4 => (at(), at(), piece(words)).prop_map(|(at, end, piece)| Change::Replace(at, end, piece)),
        2 => (at(), at()).prop_map(|(at, end)| Change::Delete(at, end)),
        1 => (at(), at(), at()).prop_map(|(at, end, to)| Change::Copy(at, end, to)),
        1 => at().prop_map(Change::DoubleLine),
        1 => (at(), at()).prop_map(|(one, other)| Change::SwapLines(one, other)),
        1 => at().prop_map(Change::DropLine),
        1 => (at(), at()).prop_map(|(at, end)| Change::Case(at, end)),
        1 => at().prop_map(Change::Cut),
        1 => (at(), 0_usize..2000).prop_map(|(at, times)| Change::Stretch(at, times)),
    ]
}

fn apply(text: &mut Vec<char>, change: Change) {
    // A place between two characters, and one a few characters on.
    let place = |text: &[char], at: Index| at.index(text.len() + 1);
    let part = |text: &[char], at: Index, end: Index| {
        let begin = place(text, at);
        begin..(begin + end.index(12)).min(text.len())
    };
    match change {
        Change::Insert(at, piece) => {
            let at = place(text, at);
            text.splice(at..at, piece.chars());
        }
        Change::Replace(at, end, piece) => {
            let part = part(text, at, end);
            text.splice(part, piece.chars());
        }
        Change::Delete(at, end) => {
            let part = part(text, at, end);
            text.drain(part);
        }
        Change::Copy(at, end, to) => {
            let (begin, end) = (place(text, at), place(text, end));
            let copy = text[begin.min(end)..begin.max(end)].to_vec();
            let to = place(text, to);
            text.splice(to..to, copy);
        }
        Change::Case(at, end) => {
            let part = part(text, at, end);
            for c in &mut text[part] {
                *c = if c.is_ascii_lowercase() {
                    c.to_ascii_uppercase()
                } else {
                    c.to_ascii_lowercase()
                };
            }
        }
        Change::Cut(at) => {
            let at = place(text, at);
            text.truncate(at);
        }
        Change::Stretch(at, times) => {
            let at = place(text, at);
            if let Some(&c) = text.get(at) {
                text.splice(at..at, std::iter::repeat_n(c, times));
            }
        }
        Change::DoubleLine(_) | Change::SwapLines(..) | Change::DropLine(_) => {
            let mut lines: Vec<Vec<char>> =
                text.split(|c| *c == '\n').map(<[char]>::to_vec).collect();
            let count = lines.len();
            match change {
                Change::DoubleLine(line) => lines.push(lines[line.index(count)].clone()),
                Change::SwapLines(one, other) => lines.swap(one.index(count), other.index(count)),
                Change::DropLine(line) => drop(lines.remove(line.index(count))),
                _ => {}
            }
            *text = lines.join(&'\n');
        }
    }
}

/// Of 400 texts that a strategy makes, always the same, the part that is accepted: a property of what is accepted says
/// nothing where that is none.
pub(crate) fn part_of<T>(
    strategy: &impl Strategy<Value = T>,
    accepted: impl Fn(&T) -> bool,
) -> f64 {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let accepted = (0..400)
        .filter(|_| accepted(&strategy.new_tree(&mut runner).expect("makes").current()))
        .count();
    accepted as f64 / 400.0
}

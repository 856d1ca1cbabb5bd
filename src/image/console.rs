//! A console that is read again and again: which of its lines are new.
//!
//! EC2 returns the last 64 KiB each time, so the beginning of what is returned moves.

/// Remembers what was seen.
#[derive(Debug, Default)]
pub struct Follower {
    seen: Vec<u8>,
    /// The end of what was seen, not yet ended by a line break.
    partial: Vec<u8>,
}

impl Follower {
    /// The lines that `console` has and the last one had not. A line counts when it is ended.
    pub fn new_lines(&mut self, console: &[u8]) -> Vec<String> {
        let fresh = fresh(&self.seen, console);
        let mut lines = Vec::new();
        if fresh.after_gap {
            self.partial.clear();
            lines.push("[… lines that went by between two looks …]".to_owned());
        }
        self.partial.extend_from_slice(fresh.bytes);
        self.seen = console.to_vec();
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let rest = self.partial.split_off(end + 1);
            lines.push(as_text(&self.partial));
            self.partial = rest;
        }
        lines
    }

    /// What is left when no more will come: a last line without a line break.
    pub fn rest(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.partial);
        (!rest.is_empty()).then(|| as_text(&rest))
    }
}

struct Fresh<'a> {
    bytes: &'a [u8],
    /// It does not continue what was seen: bytes went by unseen.
    after_gap: bool,
}

fn fresh<'a>(seen: &[u8], console: &'a [u8]) -> Fresh<'a> {
    if seen.is_empty() {
        return Fresh {
            bytes: console,
            after_gap: false,
        };
    }
    // An older answer than the last one: nothing new.
    if seen.starts_with(console) {
        return Fresh {
            bytes: &[],
            after_gap: false,
        };
    }
    // The longest end of what was seen that the console begins with.
    let overlap = (0..seen.len())
        .map(|from| &seen[from..])
        .find(|end| console.starts_with(end));
    match overlap {
        Some(end) => Fresh {
            bytes: &console[end.len()..],
            after_gap: false,
        },
        None => Fresh {
            bytes: console,
            after_gap: true,
        },
    }
}

fn as_text(line: &[u8]) -> String {
    String::from_utf8_lossy(line)
        .trim_end_matches(['\n', '\r'])
        .to_owned()
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn only_new_and_whole_lines_are_told() {
        let mut follower = Follower::default();
        assert_eq!(follower.new_lines(b""), Vec::<String>::new());
        assert_eq!(follower.new_lines(b"one\r\ntw"), ["one"]);
        assert_eq!(follower.new_lines(b"one\r\ntw"), Vec::<String>::new());
        assert_eq!(
            follower.new_lines(b"one\r\ntwo\nthree\nfo"),
            ["two", "three"]
        );
        assert_eq!(follower.rest().as_deref(), Some("fo"));
        assert_eq!(follower.rest(), None);
    }

    #[test]
    fn an_older_answer_tells_nothing() {
        let mut follower = Follower::default();
        follower.new_lines(b"one\ntwo\n");
        assert_eq!(follower.new_lines(b"one\n"), Vec::<String>::new());
    }

    #[test]
    fn a_gap_is_said() {
        let mut follower = Follower::default();
        follower.new_lines(b"one\ntwo\n");
        let lines = follower.new_lines(b"nine\nten\n");
        assert_eq!(lines.len(), 3);
        assert!(lines[0].contains("went by"), "{lines:?}");
        assert_eq!(lines[1..], ["nine", "ten"]);
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the window and however often it is looked at: with no gap, each line is told once.
        #[test]
        fn a_moving_window_loses_and_repeats_nothing(
            steps in proptest::collection::vec(0_usize..20, 1..40),
        ) {
            // Numbered lines, as all real consoles have something that differs (a time, a counter).
            let all = (0..200).map(|n| format!("line {n}\n")).collect::<Vec<_>>().concat();
            let window = 300;
            let (mut end, mut follower, mut told) = (0, Follower::default(), Vec::new());
            for step in steps {
                end = (end + step * 10).min(all.len());
                told.extend(follower.new_lines(&all.as_bytes()[end.saturating_sub(window)..end]));
            }
            told.extend(follower.rest());
            let expected: Vec<String> = all[..end].lines().map(str::to_owned).collect();
            prop_assert_eq!(told, expected);
        }
    }
}

//! Patterns of actions and ARNs.

/// Matches `*` (any run of characters) and `?` (any one), case sensitive.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where to go on after a star that must take one character more.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(&c) if c == '?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                Some((after_star, taken)) => {
                    retry = Some((after_star, taken + 1));
                    p = after_star;
                    t = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::matches;

    proptest! {
        #[test]
        fn a_pattern_made_from_a_text_matches_it(text in "[a-c]{0,12}", cut in 0usize..12, length in 0usize..6) {
            let cut = cut.min(text.len());
            let end = (cut + length).min(text.len());
            let pattern = format!("{}*{}", &text[..cut], &text[end..]);
            prop_assert!(matches(&pattern, &text));
            prop_assert!(matches(&text.replace('b', "?"), &text));
            let longer = format!("{text}x");
            prop_assert!(!matches(&longer, &text));
        }
    }
}

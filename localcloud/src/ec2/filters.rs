//! `Filter.N.Name` and `Filter.N.Value.M`: values of one filter are alternatives, filters all
//! hold together; `*` and `?` are wildcards and `\` takes their meaning away.

use crate::error::{ApiError, ApiResult};
use crate::query_protocol::Params;

/// The filters of one call.
#[derive(Debug)]
pub(super) struct Filters(Vec<Filter>);

#[derive(Debug)]
struct Filter {
    name: String,
    values: Vec<String>,
}

impl Filters {
    /// Reads the filters; `known` are the names that the action knows besides `tag:KEY` and `tag-key`.
    ///
    /// # Errors
    /// `InvalidParameterValue` for any other name: ignoring it would list too much.
    pub(super) fn read(params: &Params, known: &[&str]) -> ApiResult<Self> {
        let mut filters = Vec::new();
        for given in params.structures("Filter") {
            let name = given.required("Name")?;
            let values = given.list("Value");
            let is_tag = name == "tag-key" || name.starts_with("tag:");
            if !is_tag && !known.contains(&name.as_str()) {
                return Err(ApiError::new(
                    "InvalidParameterValue",
                    format!("The filter '{name}' is invalid"),
                ));
            }
            if values.is_empty() {
                return Err(ApiError::new(
                    "InvalidParameterValue",
                    format!("The filter '{name}' has no value"),
                ));
            }
            filters.push(Filter { name, values });
        }
        Ok(Self(filters))
    }

    /// Whether a resource passes all filters. `facet` gives what the resource has under a filter's name
    /// (nothing, one or several values).
    pub(super) fn pass(
        &self,
        tags: &[(String, String)],
        facet: impl Fn(&str) -> Vec<String>,
    ) -> bool {
        self.0.iter().all(|filter| {
            let has: Vec<String> = if filter.name == "tag-key" {
                tags.iter().map(|(key, _)| key.clone()).collect()
            } else if let Some(wanted) = filter.name.strip_prefix("tag:") {
                tags.iter()
                    .filter(|(key, _)| key == wanted)
                    .map(|(_, value)| value.clone())
                    .collect()
            } else {
                facet(&filter.name)
            };
            filter
                .values
                .iter()
                .any(|pattern| has.iter().any(|value| matches(pattern, value)))
        })
    }
}

/// Whether `text` matches a filter value, case-sensitively. Linear in memory, and in time at most
/// the product of both lengths.
fn matches(pattern: &str, text: &str) -> bool {
    enum Piece {
        Any,
        One,
        Is(char),
    }
    let mut pieces = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        pieces.push(match c {
            '*' => Piece::Any,
            '?' => Piece::One,
            '\\' => Piece::Is(chars.next().unwrap_or('\\')),
            other => Piece::Is(other),
        });
    }
    // reach[i]: the first i pieces match the text so far.
    let mut reach = vec![false; pieces.len() + 1];
    reach[0] = true;
    let close = |reach: &mut Vec<bool>| {
        for (i, piece) in pieces.iter().enumerate() {
            if matches!(piece, Piece::Any) && reach[i] {
                reach[i + 1] = true;
            }
        }
    };
    close(&mut reach);
    for c in text.chars() {
        let mut next = vec![false; pieces.len() + 1];
        for (i, piece) in pieces.iter().enumerate() {
            match piece {
                Piece::Any => next[i] |= reach[i],
                Piece::One => next[i + 1] |= reach[i],
                Piece::Is(wanted) => next[i + 1] |= reach[i] && *wanted == c,
            }
        }
        close(&mut next);
        reach = next;
    }
    reach[pieces.len()]
}

/// A facet of one value.
#[expect(
    clippy::needless_pass_by_value,
    reason = "reads better at its many callers"
)]
pub(super) fn one(value: impl ToString) -> Vec<String> {
    vec![value.to_string()]
}

/// A facet that may be absent.
pub(super) fn maybe(value: Option<impl ToString>) -> Vec<String> {
    value.into_iter().map(|value| value.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (pattern, text, expected) in [
            ("debian-13-*", "debian-13-amd64-20260101-1234", true),
            ("debian-13-*", "debian-12-amd64", false),
            ("*amd64*", "debian-13-amd64-x", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a**", "a", true),
            ("", "", true),
            ("*", "", true),
            (r"a\*", "a*", true),
            (r"a\*", "ab", false),
            ("A", "a", false),
            ("*a*b*c*", "xxaxxbxxcxx", true),
            ("*a*b*c*", "xxaxxcxxbxx", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn all_filters_hold_and_any_value_does() {
        let params = Params::from_pairs([
            ("Filter.1.Name", "tag:a"),
            ("Filter.1.Value.1", "x"),
            ("Filter.1.Value.2", "y"),
            ("Filter.2.Name", "state"),
            ("Filter.2.Value.1", "run*"),
        ]);
        let filters = Filters::read(&params, &["state"]).unwrap();
        let tags = |value: &str| vec![("a".to_owned(), value.to_owned())];
        assert!(filters.pass(&tags("y"), |_| one("running")));
        assert!(!filters.pass(&tags("z"), |_| one("running")));
        assert!(!filters.pass(&tags("y"), |_| one("stopped")));
        assert!(!filters.pass(&tags("y"), |_| Vec::new()));
    }

    #[test]
    fn an_unknown_filter_is_named() {
        let params = Params::from_pairs([("Filter.1.Name", "colour"), ("Filter.1.Value.1", "x")]);
        let error = Filters::read(&params, &["state"]).unwrap_err();
        assert_eq!(error.message, "The filter 'colour' is invalid");
    }
}

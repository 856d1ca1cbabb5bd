//! The table `[tags]`: a company's own tags, within what all services take.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// Every service takes 50 tags a resource; our own are fewer than 10.
const MOST: usize = 40;
/// "Maximum key length – 128 Unicode characters", "Maximum value length – 256" (Tagging AWS Resources).
const LONGEST_KEY: usize = 128;
const LONGEST_VALUE: usize = 256;
/// Beside letters, digits and spaces: what S3, SQS, IAM and EC2 all take.
const SIGNS: &str = "+-=._:/@";

/// The tags, if every service takes them.
///
/// # Errors
/// Kind `Usage`, naming the first that is not taken.
pub(super) fn checked(tags: BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
    if tags.len() > MOST {
        return Err(Error::usage(format!(
            "[tags] has {} tags: {MOST} at most fit beside muck's own",
            tags.len()
        )));
    }
    let mut seen = BTreeMap::new();
    for (key, value) in &tags {
        if let Some(why) = fault(key, value) {
            return Err(Error::usage(format!("[tags] {key:?}: {why}")));
        }
        // IAM tells keys apart without regard to case.
        if let Some(other) = seen.insert(key.to_lowercase(), key) {
            return Err(Error::usage(format!(
                "[tags] {other:?} and {key:?} are one key to IAM"
            )));
        }
    }
    Ok(tags)
}

fn fault(key: &str, value: &str) -> Option<String> {
    let lower = key.to_lowercase();
    for reserved in ["aws:", "muck:"] {
        if lower.starts_with(reserved) {
            return Some(format!("keys that begin with {reserved} are reserved"));
        }
    }
    if lower == "name" {
        return Some("muck gives each resource its name itself".to_owned());
    }
    if key.is_empty() || key.chars().count() > LONGEST_KEY {
        return Some(format!("a key has 1 to {LONGEST_KEY} characters"));
    }
    if value.chars().count() > LONGEST_VALUE {
        return Some(format!("a value has at most {LONGEST_VALUE} characters"));
    }
    let is_taken = |c: char| c.is_alphanumeric() || c == ' ' || SIGNS.contains(c);
    let bad = key.chars().chain(value.chars()).find(|c| !is_taken(*c))?;
    Some(format!(
        "the character {bad:?} is not taken by every service; letters, digits, spaces and {SIGNS} are"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Result<BTreeMap<String, String>> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        checked(pairs.iter().map(owned).collect())
    }

    #[test]
    fn a_companys_tags_pass() {
        let given = [
            ("cost-center", "4711"),
            ("Owner", "ann@example.org"),
            ("Büro", "Köln 2"),
            ("empty", ""),
        ];
        assert_eq!(tags(&given).expect("taken").len(), 4);
    }

    #[test]
    fn what_a_service_refuses_is_refused_first() {
        let long = "k".repeat(129);
        for (key, value, why) in [
            ("muck:stack", "x", "muck: are reserved"),
            ("AWS:thing", "x", "aws: are reserved"),
            ("Name", "x", "its name itself"),
            ("", "x", "1 to 128"),
            (&long, "x", "1 to 128"),
            ("key", &"v".repeat(257), "at most 256"),
            ("key", "a,b", "','"),
            ("k*", "x", "'*'"),
        ] {
            let error = tags(&[(key, value)]).expect_err(why);
            assert!(error.to_string().contains(why), "{error}");
        }
        let error = tags(&[("Owner", "a"), ("owner", "b")]).expect_err("one key");
        assert!(error.to_string().contains("one key to IAM"), "{error}");
        let many: Vec<(String, String)> =
            (0..41).map(|n| (format!("k{n}"), String::new())).collect();
        assert!(checked(many.into_iter().collect()).is_err());
    }
}

//! Conditions of policy statements.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::wildcard::matches;
use crate::account::{ACCOUNT, REGION};

/// What is known of a request: condition keys (case-insensitive) and their values.
///
/// [`Context::default`] has what holds for every call to the local cloud. `aws:SecureTransport` is
/// `true` although the transport is plain HTTP: it never leaves this machine's loopback, which is
/// what stands here for TLS, and a policy that demands TLS is right to be written.
#[derive(Debug, Clone)]
pub struct Context {
    /// What holds for every call.
    always: Keys,
    /// What this call says: tags, the service a role is passed to …
    own: Keys,
}

/// Condition keys in lower case, with their values.
pub type Keys = BTreeMap<String, Vec<String>>;

impl Default for Context {
    fn default() -> Self {
        let always = [
            ("aws:SecureTransport", "true"),
            ("aws:PrincipalAccount", ACCOUNT),
            ("aws:ResourceAccount", ACCOUNT),
            ("aws:SourceAccount", ACCOUNT),
            ("aws:RequestedRegion", REGION),
            ("aws:SourceIp", "127.0.0.1"),
        ];
        Self {
            always: always
                .into_iter()
                .map(|(key, value)| (key.to_lowercase(), vec![value.to_owned()]))
                .collect(),
            own: Keys::new(),
        }
    }
}

impl Context {
    /// The keys of every call, and the time.
    pub fn at(now: Timestamp) -> Self {
        let mut context = Self::default();
        for (key, value) in [
            (
                "aws:currenttime",
                now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            ),
            ("aws:epochtime", now.as_second().to_string()),
        ] {
            context.always.insert(key.to_owned(), vec![value]);
        }
        context
    }

    /// The keys of every call, and these of its own, as [`Context::own`] gave them.
    pub fn with(own: Keys) -> Self {
        Self {
            own,
            ..Self::default()
        }
    }

    /// Sets a key to one value, e.g. `s3:prefix`.
    pub fn set(&mut self, key: &str, value: &str) -> &mut Self {
        self.own.insert(key.to_lowercase(), vec![value.to_owned()]);
        self
    }

    /// The tags that a call sets: `aws:RequestTag/KEY` and `aws:TagKeys`.
    pub fn request_tags(&mut self, tags: &[(String, String)]) -> &mut Self {
        for (key, value) in tags {
            self.set(&format!("aws:RequestTag/{key}"), value);
        }
        if !tags.is_empty() {
            let keys = tags.iter().map(|(key, _)| key.clone()).collect();
            self.own.insert("aws:tagkeys".to_owned(), keys);
        }
        self
    }

    /// The tags that the resource has: `aws:ResourceTag/KEY`.
    pub fn resource_tags(&mut self, tags: &[(String, String)]) -> &mut Self {
        for (key, value) in tags {
            self.set(&format!("aws:ResourceTag/{key}"), value);
        }
        self
    }

    /// The keys that were set for this call.
    pub fn own(&self) -> &Keys {
        &self.own
    }

    pub(super) fn get(&self, key: &str) -> &[String] {
        let key = key.to_lowercase();
        self.own
            .get(&key)
            .or_else(|| self.always.get(&key))
            .map_or(&[], Vec::as_slice)
    }
}

/// Whether one operator holds for one key: `wanted` are the policy's values, `actual` the request's
/// (empty: the key is absent).
///
/// # Errors
/// The name of what isn't understood.
pub(super) fn holds(operator: &str, actual: &[String], wanted: &[String]) -> Result<bool, String> {
    if let Some(rest) = operator.strip_prefix("ForAllValues:") {
        let test = Test::named(rest)?;
        for value in actual {
            if !test.one(value, wanted)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    if let Some(rest) = operator.strip_prefix("ForAnyValue:") {
        let test = Test::named(rest)?;
        for value in actual {
            if test.one(value, wanted)? {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    if operator == "Null" {
        let absent = actual.is_empty();
        return Ok(wanted.iter().any(|value| value == &absent.to_string()));
    }
    let (name, if_exists) = match operator.strip_suffix("IfExists") {
        Some(name) => (name, true),
        None => (operator, false),
    };
    let test = Test::named(name)?;
    match actual.first() {
        // An absent key fails a test, passes a negated one and any IfExists one.
        None => Ok(if_exists || test.negated),
        Some(value) => test.one(value, wanted),
    }
}

/// A comparison of one request value with the policy's values.
struct Test {
    compare: Compare,
    negated: bool,
}

enum Compare {
    Text { ignore_case: bool, wildcards: bool },
    Bool,
    Number(fn(f64, f64) -> bool),
    Date(fn(Timestamp, Timestamp) -> bool),
}

impl Test {
    fn named(name: &str) -> Result<Self, String> {
        let text = |ignore_case, wildcards| Compare::Text {
            ignore_case,
            wildcards,
        };
        let (compare, negated) = match name {
            "StringEquals" => (text(false, false), false),
            "StringNotEquals" => (text(false, false), true),
            "StringEqualsIgnoreCase" => (text(true, false), false),
            "StringNotEqualsIgnoreCase" => (text(true, false), true),
            "StringLike" | "ArnEquals" | "ArnLike" => (text(false, true), false),
            "StringNotLike" | "ArnNotEquals" | "ArnNotLike" => (text(false, true), true),
            "Bool" => (Compare::Bool, false),
            // Numbers in policies are written, not computed: exact comparison is meant.
            "NumericEquals" => (Compare::Number(|a, b| (a - b).abs() < f64::EPSILON), false),
            "NumericNotEquals" => (Compare::Number(|a, b| (a - b).abs() < f64::EPSILON), true),
            "NumericLessThan" => (Compare::Number(|a, b| a < b), false),
            "NumericLessThanEquals" => (Compare::Number(|a, b| a <= b), false),
            "NumericGreaterThan" => (Compare::Number(|a, b| a > b), false),
            "NumericGreaterThanEquals" => (Compare::Number(|a, b| a >= b), false),
            "DateEquals" => (Compare::Date(|a, b| a == b), false),
            "DateNotEquals" => (Compare::Date(|a, b| a == b), true),
            "DateLessThan" => (Compare::Date(|a, b| a < b), false),
            "DateLessThanEquals" => (Compare::Date(|a, b| a <= b), false),
            "DateGreaterThan" => (Compare::Date(|a, b| a > b), false),
            "DateGreaterThanEquals" => (Compare::Date(|a, b| a >= b), false),
            other => return Err(format!("the condition operator {other}")),
        };
        Ok(Self { compare, negated })
    }

    fn one(&self, actual: &str, wanted: &[String]) -> Result<bool, String> {
        let mut found = false;
        for wanted in wanted {
            found |= self.matches(actual, wanted)?;
        }
        Ok(found != self.negated)
    }

    fn matches(&self, actual: &str, wanted: &str) -> Result<bool, String> {
        Ok(match &self.compare {
            Compare::Text {
                ignore_case: true, ..
            } => actual.to_lowercase() == wanted.to_lowercase(),
            Compare::Text {
                wildcards: true, ..
            } => matches(wanted, actual),
            Compare::Text { .. } => actual == wanted,
            Compare::Bool => actual.eq_ignore_ascii_case(wanted),
            Compare::Number(compare) => match (actual.parse(), wanted.parse()) {
                (Ok(actual), Ok(wanted)) => compare(actual, wanted),
                _ => return Err(format!("the number {wanted}")),
            },
            Compare::Date(compare) => match (date(actual), date(wanted)) {
                (Some(actual), Some(wanted)) => compare(actual, wanted),
                _ => return Err(format!("the date {wanted}")),
            },
        })
    }
}

/// A date of a policy: ISO 8601 or seconds since the epoch.
fn date(text: &str) -> Option<Timestamp> {
    match text.parse::<i64>() {
        Ok(seconds) => Timestamp::from_second(seconds).ok(),
        Err(_) => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(operator: &str, actual: &[&str], wanted: &[&str]) -> bool {
        let own = |values: &[&str]| values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>();
        holds(operator, &own(actual), &own(wanted)).unwrap()
    }

    #[test]
    fn strings_numbers_booleans_and_dates() {
        assert!(test("StringEquals", &["a"], &["b", "a"]));
        assert!(!test("StringNotEquals", &["a"], &["b", "a"]));
        assert!(test("StringLike", &["media/x"], &["media/*"]));
        assert!(test("Bool", &["true"], &["True"]));
        assert!(test("NumericGreaterThanEquals", &["2.0"], &["2.0"]));
        assert!(!test("NumericLessThan", &["2.0"], &["2.0"]));
        assert!(test(
            "DateLessThan",
            &["2026-01-01T00:00:00Z"],
            &["2026-01-02T00:00:00Z"]
        ));
    }

    #[test]
    fn absent_keys() {
        assert!(!test("StringEquals", &[], &["a"]));
        assert!(test("StringNotEquals", &[], &["a"]));
        assert!(test("StringEqualsIfExists", &[], &["a"]));
        assert!(test("Null", &[], &["true"]));
        assert!(!test("Null", &["x"], &["true"]));
        assert!(test("ForAllValues:StringEquals", &[], &["a"]));
        assert!(!test("ForAnyValue:StringEquals", &[], &["a"]));
    }

    #[test]
    fn unknown_operators_are_named() {
        assert!(holds("IpAddress", &["127.0.0.1".into()], &["10.0.0.0/8".into()]).is_err());
    }

    #[test]
    fn every_call_counts_as_secure_and_ours() {
        let context = Context::default();
        assert_eq!(context.get("AWS:securetransport"), ["true"]);
        assert_eq!(context.get("aws:ResourceAccount"), [ACCOUNT]);
    }
}

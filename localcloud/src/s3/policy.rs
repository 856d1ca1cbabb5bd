//! Bucket policies: what S3 asks of one before it keeps it. What one means: `crate::iam`.

use s3s::{S3Result, s3_error};
use serde_json::Value;

use crate::error::ApiResult;
use crate::state::Store;
use crate::state::s3::{Setting, get_setting};

/// The most that a bucket policy may hold (S3 quotas: 20 KB).
const MAX_BYTES: usize = 20 * 1024;

/// Checks a policy document for `bucket`. Returns whether it opens the bucket to everyone: an
/// `Allow` for any principal with no condition.
///
/// # Errors
/// `MalformedPolicy` saying what is wrong.
pub(super) fn check(policy: &str, bucket: &str) -> S3Result<bool> {
    let malformed = |why: &str| s3_error!(MalformedPolicy, "{}", why);
    if policy.len() > MAX_BYTES {
        return Err(malformed(
            "Policy exceeds the maximum allowed document size.",
        ));
    }
    let document: Value = serde_json::from_str(policy)
        .map_err(|_| malformed("Policies must be valid JSON and the first byte must be '{'"))?;
    let document = document
        .as_object()
        .ok_or_else(|| malformed("Policies must be valid JSON and the first byte must be '{'"))?;
    for field in document.keys() {
        if !matches!(field.as_str(), "Version" | "Id" | "Statement") {
            return Err(malformed(&format!("Unknown field {field}")));
        }
    }
    match document.get("Version").and_then(Value::as_str) {
        None | Some("2012-10-17" | "2008-10-17") => {}
        Some(_) => return Err(malformed("The policy must contain a valid version string")),
    }
    let statements = match document.get("Statement") {
        Some(Value::Array(list)) if !list.is_empty() => list.iter().collect(),
        Some(one @ Value::Object(_)) => vec![one],
        _ => return Err(malformed("Missing required field Statement")),
    };
    let own = format!("arn:aws:s3:::{bucket}");
    let mut public = false;
    for statement in statements {
        let statement = statement
            .as_object()
            .ok_or_else(|| malformed("a Statement is an object"))?;
        for field in statement.keys() {
            if !matches!(
                field.as_str(),
                "Sid"
                    | "Effect"
                    | "Principal"
                    | "NotPrincipal"
                    | "Action"
                    | "NotAction"
                    | "Resource"
                    | "NotResource"
                    | "Condition"
            ) {
                return Err(malformed(&format!("Unknown field {field}")));
            }
        }
        let effect = statement.get("Effect").and_then(Value::as_str);
        if !matches!(effect, Some("Allow" | "Deny")) {
            return Err(malformed("Invalid effect: it is Allow or Deny"));
        }
        if !statement.contains_key("Principal") && !statement.contains_key("NotPrincipal") {
            return Err(malformed("Missing required field Principal"));
        }
        let actions = texts(
            statement
                .get("Action")
                .or_else(|| statement.get("NotAction")),
        );
        if actions.is_empty() {
            return Err(malformed("Missing required field Action"));
        }
        if actions
            .iter()
            .any(|action| *action != "*" && !action.to_ascii_lowercase().starts_with("s3:"))
        {
            return Err(malformed("Policy has invalid action"));
        }
        let resources = texts(
            statement
                .get("Resource")
                .or_else(|| statement.get("NotResource")),
        );
        if resources.is_empty() {
            return Err(malformed("Missing required field Resource"));
        }
        if resources.iter().any(|resource| {
            *resource != own
                && resource
                    .strip_prefix(&own)
                    .is_none_or(|rest| !rest.starts_with('/') && !rest.starts_with('*'))
        }) {
            return Err(malformed("Policy has invalid resource"));
        }
        let anyone = match statement.get("Principal") {
            Some(Value::String(text)) => text == "*",
            Some(Value::Object(kinds)) => texts(kinds.get("AWS")).contains(&"*"),
            _ => false,
        };
        public |= effect == Some("Allow") && anyone && !statement.contains_key("Condition");
    }
    Ok(public)
}

/// The policy of the bucket that an ARN of S3 names, if it has one.
pub(super) fn of_resource(store: &Store, resource: &str) -> ApiResult<Option<String>> {
    let Some(path) = resource.strip_prefix("arn:aws:s3:::") else {
        return Ok(None);
    };
    let bucket = path.split('/').next().unwrap_or_default();
    store.transaction(|tx| match get_setting(tx, bucket, Setting::Policy) {
        // The operation says so itself.
        Err(error) if error.code == "NoSuchBucket" => Ok(None),
        found => found,
    })
}

/// A string or a list of strings; empty for anything else.
fn texts(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_only_is_kept_and_not_public() {
        let policy = r#"{"Version":"2012-10-17","Statement":[{"Sid":"TlsOnly","Effect":"Deny","Principal":"*",
            "Action":"s3:*","Resource":["arn:aws:s3:::films","arn:aws:s3:::films/*"],
            "Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}"#;
        assert!(!check(policy, "films").unwrap());
    }

    #[test]
    fn open_to_everyone_is_public() {
        let policy = r#"{"Statement":{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"s3:GetObject",
            "Resource":"arn:aws:s3:::films/*"}}"#;
        assert!(check(policy, "films").unwrap());
    }

    #[test]
    fn malformed_policies() {
        for policy in [
            "",
            "[]",
            "{}",
            r#"{"Statement":[]}"#,
            r#"{"Statement":{"Effect":"Perhaps","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::films"}}"#,
            r#"{"Statement":{"Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::films"}}"#,
            r#"{"Statement":{"Effect":"Deny","Principal":"*","Action":"sqs:*","Resource":"arn:aws:s3:::films"}}"#,
            r#"{"Statement":{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::other/*"}}"#,
            r#"{"Statement":{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::films","Wenn":1}}"#,
            r#"{"Version":"2024-01-01","Statement":{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::films"}}"#,
        ] {
            assert!(check(policy, "films").is_err(), "{policy}");
        }
    }
}

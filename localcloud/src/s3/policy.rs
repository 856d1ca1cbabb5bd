//! Bucket policies: what S3 asks of one before it keeps it, and what one denies.

use s3s::{S3Result, s3_error};
use serde_json::Value;

use crate::account::ACCOUNT;
use crate::caller::Caller;
use crate::error::{ApiError, ApiResult};
use crate::iam::Context;
use crate::iam::policy::{Decision, Policy, evaluate};
use crate::state::Store;
use crate::state::iam::{Principal, find_role};
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

/// Whether the policy of the resource's bucket denies this to a role. Its `Allow` statements are
/// not weighed: a role may do what its own policies allow.
///
/// # Errors
/// `AccessDenied` in AWS's words.
pub(super) fn deny(
    store: &Store,
    caller: &Caller,
    action: &str,
    resource: &str,
    context: &Context,
) -> ApiResult<()> {
    let (Principal::Role { role, .. }, Some(path)) =
        (&caller.principal, resource.strip_prefix("arn:aws:s3:::"))
    else {
        return Ok(());
    };
    let bucket = path.split('/').next().unwrap_or_default();
    let found = store.transaction(|tx| {
        let policy = match get_setting(tx, bucket, Setting::Policy) {
            // The operation says so itself.
            Err(error) if error.code == "NoSuchBucket" => None,
            found => found?,
        };
        policy
            .map(|policy| Ok((policy, find_role(tx, role)?.arn())))
            .transpose()
    })?;
    let Some((policy, role)) = found else {
        return Ok(());
    };
    let names = [
        "*".to_owned(),
        ACCOUNT.to_owned(),
        format!("arn:aws:iam::{ACCOUNT}:root"),
        role,
        caller.arn(),
    ];
    let document: Value = serde_json::from_str(&policy).map_err(ApiError::internal)?;
    let statements = match document.get("Statement") {
        Some(Value::Array(list)) => list.clone(),
        Some(one) => vec![one.clone()],
        None => Vec::new(),
    };
    let about_caller: Vec<Value> = statements
        .into_iter()
        .filter_map(|statement| denied_to(statement, &names))
        .collect();
    if about_caller.is_empty() {
        return Ok(());
    }
    // What is left has the grammar of a role's own policy.
    let policy = Policy::parse(&serde_json::json!({ "Statement": about_caller }).to_string())?;
    let because = match evaluate(&[policy], action, resource, context) {
        Decision::Allow | Decision::ImplicitDeny => return Ok(()),
        Decision::ExplicitDeny => "with an explicit deny in a resource-based policy".to_owned(),
        Decision::NotUnderstood(what) => {
            format!("because the local cloud does not understand {what} in the bucket's policy")
        }
    };
    Err(ApiError::new(
        "AccessDenied",
        format!(
            "User: {} is not authorized to perform: {action} on resource: {resource} {because}",
            caller.arn()
        ),
    )
    .with_status(403))
}

/// The statement without its principal, if it denies something to one of these names.
fn denied_to(statement: Value, names: &[String]) -> Option<Value> {
    let Value::Object(mut statement) = statement else {
        return None;
    };
    let includes = |principal: &Value| match principal {
        Value::String(text) => names.contains(text),
        Value::Object(kinds) => texts(kinds.get("AWS"))
            .into_iter()
            .any(|name| names.iter().any(|own| own == name)),
        _ => false,
    };
    let meant = match (
        statement.remove("Principal"),
        statement.remove("NotPrincipal"),
    ) {
        (Some(principal), _) => includes(&principal),
        (None, Some(others)) => !includes(&others),
        (None, None) => false,
    };
    let denies = statement.get("Effect").and_then(Value::as_str) == Some("Deny");
    (meant && denies).then_some(Value::Object(statement))
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

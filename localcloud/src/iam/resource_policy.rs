//! Policies of things (buckets, queues): what one says to one caller of the same account.

use serde_json::Value;

use super::condition::Context;
use super::policy::{Decision, Policy, evaluate};
use crate::account::ACCOUNT;
use crate::error::{ApiError, ApiResult};

/// Weighs a thing's policy. `own` are the caller's ARNs.
///
/// The account as principal means everybody of it in a `Deny`; in an `Allow` it only leaves the decision to
/// the callers' own policies (IAM User Guide, "Policy evaluation logic").
pub(super) fn weigh(
    document: &str,
    own: &[String],
    action: &str,
    resource: &str,
    context: &Context,
) -> ApiResult<Decision> {
    let document: Value = serde_json::from_str(document).map_err(ApiError::internal)?;
    let statements = match document.get("Statement") {
        Some(Value::Array(list)) => list.clone(),
        Some(one) => vec![one.clone()],
        None => Vec::new(),
    };
    let about_caller: Vec<Value> = statements
        .into_iter()
        .filter_map(|statement| meant_for(statement, own))
        .collect();
    if about_caller.is_empty() {
        return Ok(Decision::ImplicitDeny);
    }
    // Without principals it has the grammar of a role's own policy.
    let policy = Policy::parse(&serde_json::json!({ "Statement": about_caller }).to_string())?;
    Ok(evaluate(&[policy], action, resource, context))
}

/// The statement without its principal, if it speaks of the caller.
fn meant_for(statement: Value, own: &[String]) -> Option<Value> {
    let Value::Object(mut statement) = statement else {
        return None;
    };
    let denies = statement.get("Effect").and_then(Value::as_str) == Some("Deny");
    let account = [ACCOUNT.to_owned(), format!("arn:aws:iam::{ACCOUNT}:root")];
    let named = |name: &str| {
        name == "*"
            || own.iter().any(|own| own == name)
            || (denies && account.iter().any(|account| account == name))
    };
    let includes = |principal: &Value| match principal {
        Value::String(text) => named(text),
        Value::Object(kinds) => texts(kinds.get("AWS")).into_iter().any(named),
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
    meant.then_some(Value::Object(statement))
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

    const ROLE: &str = "arn:aws:iam::000000000000:role/w";

    fn weighed(effect: &str, principal: &str) -> Decision {
        let policy = format!(
            r#"{{"Statement":{{"Effect":"{effect}","Principal":{principal},"Action":"s3:*","Resource":"*"}}}}"#
        );
        weigh(
            &policy,
            &[ROLE.to_owned()],
            "s3:GetObject",
            "arn:aws:s3:::films/x",
            &Context::default(),
        )
        .unwrap()
    }

    #[test]
    fn everyone_the_role_and_for_denials_the_account_are_meant() {
        let named = format!(r#"{{"AWS":"{ROLE}"}}"#);
        for principal in [r#""*""#, r#"{"AWS":["*"]}"#, &named] {
            assert_eq!(weighed("Allow", principal), Decision::Allow);
            assert_eq!(weighed("Deny", principal), Decision::ExplicitDeny);
        }
        let account = r#"{"AWS":"000000000000"}"#;
        assert_eq!(weighed("Allow", account), Decision::ImplicitDeny);
        assert_eq!(weighed("Deny", account), Decision::ExplicitDeny);
        let other = r#"{"AWS":"arn:aws:iam::000000000000:role/x"}"#;
        assert_eq!(weighed("Allow", other), Decision::ImplicitDeny);
        assert_eq!(weighed("Deny", other), Decision::ImplicitDeny);
    }
}

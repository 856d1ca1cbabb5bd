//! IAM policy documents: their grammar and whether a statement covers a request.
//!
//! What is not understood never allows: a statement with an unknown condition operator or with a
//! policy variable (`${…}`) of a key that the request has not makes the whole request fail, and the
//! error says so.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::condition::{self, Context};
use super::variable::expand;
use super::wildcard::matches;
use crate::error::{ApiError, ApiResult};

/// One string or a list of them, as everywhere in policies.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many.as_slice(),
        }
        .iter()
        .map(String::as_str)
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Statements {
    One(Box<Statement>),
    Many(Vec<Statement>),
}

impl Statements {
    fn iter(&self) -> impl Iterator<Item = &Statement> {
        match self {
            Self::One(one) => std::slice::from_ref(one.as_ref()),
            Self::Many(many) => many.as_slice(),
        }
        .iter()
    }
}

#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq)]
enum Effect {
    Allow,
    Deny,
}

/// Values of conditions may be strings, numbers or booleans.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum ConditionValues {
    // First, since any JSON value at all is a `One`.
    Many(Vec<serde_json::Value>),
    One(serde_json::Value),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Document {
    version: Option<String>,
    #[serde(rename = "Id")]
    _id: Option<String>,
    statement: Statements,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Statement {
    #[serde(rename = "Sid")]
    _sid: Option<String>,
    effect: Effect,
    principal: Option<serde_json::Value>,
    action: Option<OneOrMany>,
    not_action: Option<OneOrMany>,
    resource: Option<OneOrMany>,
    not_resource: Option<OneOrMany>,
    condition: Option<BTreeMap<String, BTreeMap<String, ConditionValues>>>,
}

fn malformed(why: impl std::fmt::Display) -> ApiError {
    ApiError::new("MalformedPolicyDocument", why.to_string())
}

fn parse_document(document: &str) -> ApiResult<Document> {
    let parsed: Document = serde_json::from_str(document)
        .map_err(|error| malformed(format!("Syntax errors in policy. {error}")))?;
    // The only two versions of the policy language that there are.
    match parsed.version.as_deref() {
        None | Some("2012-10-17" | "2008-10-17") => Ok(parsed),
        Some(other) => Err(malformed(format!(
            "The policy's Version {other} is unknown."
        ))),
    }
}

impl Statement {
    fn check_actions(&self) -> ApiResult<()> {
        if self.action.is_some() == self.not_action.is_some() {
            return Err(malformed(
                "Policy statement must contain actions: exactly one of Action and NotAction.",
            ));
        }
        let actions = self.action.as_ref().or(self.not_action.as_ref());
        for action in actions.into_iter().flat_map(OneOrMany::iter) {
            if action != "*" && !action.contains(':') {
                return Err(malformed(format!(
                    "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc. (found {action})"
                )));
            }
        }
        Ok(())
    }

    fn covers_action(&self, action: &str) -> bool {
        let among = |patterns: &OneOrMany| {
            patterns
                .iter()
                .any(|pattern| matches(&pattern.to_lowercase(), &action.to_lowercase()))
        };
        match (&self.action, &self.not_action) {
            (Some(actions), _) => among(actions),
            (None, Some(not)) => !among(not),
            (None, None) => false,
        }
    }

    fn covers_resource(&self, resource: &str, context: &Context) -> Result<bool, String> {
        let among = |patterns: &OneOrMany| {
            let patterns = patterns
                .iter()
                .map(|pattern| expand(pattern, context))
                .collect::<Result<Vec<_>, _>>()?;
            Ok(patterns.iter().any(|pattern| matches(pattern, resource)))
        };
        match (&self.resource, &self.not_resource) {
            (Some(resources), _) => among(resources),
            (None, Some(not)) => among(not).map(|found| !found),
            (None, None) => Ok(false),
        }
    }

    fn conditions_hold(&self, context: &Context) -> Result<bool, String> {
        for (operator, keys) in self.condition.iter().flatten() {
            for (key, values) in keys {
                let values: Vec<String> = match values {
                    ConditionValues::One(one) => vec![plain(one)],
                    ConditionValues::Many(many) => many.iter().map(plain).collect(),
                };
                let values = values
                    .iter()
                    .map(|value| expand(value, context))
                    .collect::<Result<Vec<_>, _>>()?;
                if !condition::holds(operator, context.get(key), &values)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// A condition value as text: strings without quotes, `true`, `2.0`.
fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What a set of policies says about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Allow,
    ExplicitDeny,
    /// No statement allows it.
    ImplicitDeny,
    /// A statement that covers the request holds what isn't understood, which is said.
    NotUnderstood(String),
}

/// An identity-based policy of a role or user.
#[derive(Debug, Clone)]
pub struct Policy(Document);

impl Policy {
    /// # Errors
    /// `MalformedPolicyDocument` if it isn't JSON or breaks the grammar of identity-based policies.
    pub fn parse(document: &str) -> ApiResult<Self> {
        let document = parse_document(document)?;
        for statement in document.statement.iter() {
            statement.check_actions()?;
            if statement.resource.is_some() == statement.not_resource.is_some() {
                return Err(malformed(
                    "Policy statement must contain resources: exactly one of Resource and NotResource.",
                ));
            }
            if statement.principal.is_some() {
                return Err(malformed("Policy document should not specify a principal."));
            }
        }
        Ok(Self(document))
    }
}

/// Weighs all policies of a principal: an explicit deny wins, then an allow.
pub fn evaluate(policies: &[Policy], action: &str, resource: &str, context: &Context) -> Decision {
    let mut allowed = false;
    for statement in policies.iter().flat_map(|policy| policy.0.statement.iter()) {
        if !statement.covers_action(action) {
            continue;
        }
        let covered = statement
            .covers_resource(resource, context)
            .and_then(|covered| Ok(covered && statement.conditions_hold(context)?));
        match (covered, statement.effect) {
            (Err(what), _) => return Decision::NotUnderstood(what),
            (Ok(false), _) => {}
            (Ok(true), Effect::Deny) => return Decision::ExplicitDeny,
            (Ok(true), Effect::Allow) => allowed = true,
        }
    }
    if allowed {
        Decision::Allow
    } else {
        Decision::ImplicitDeny
    }
}

/// Who may assume a role.
#[derive(Debug, Clone)]
pub struct TrustPolicy(Document);

impl TrustPolicy {
    /// # Errors
    /// `MalformedPolicyDocument` if it isn't JSON or breaks the grammar of trust policies.
    pub fn parse(document: &str) -> ApiResult<Self> {
        let document = parse_document(document)?;
        for statement in document.statement.iter() {
            statement.check_actions()?;
            if statement.resource.is_some() || statement.not_resource.is_some() {
                return Err(malformed("Has prohibited field Resource"));
            }
            if statement.principal.is_none() {
                return Err(malformed("Missing required field Principal"));
            }
        }
        Ok(Self(document))
    }

    /// Whether the service (`ec2.amazonaws.com`) may assume the role. Conditions are weighed with nothing
    /// known but the account, as for a launch by the account itself.
    pub fn allows_service(&self, service: &str) -> bool {
        let context = Context::default();
        let mut allowed = false;
        for statement in self.0.statement.iter() {
            let named = statement
                .principal
                .as_ref()
                .is_some_and(|principal| names_service(principal, service));
            if !named || !statement.covers_action("sts:AssumeRole") {
                continue;
            }
            match (statement.conditions_hold(&context), statement.effect) {
                (Ok(true), Effect::Allow) => allowed = true,
                (Ok(true) | Err(_), Effect::Deny) => return false,
                _ => {}
            }
        }
        allowed
    }
}

fn names_service(principal: &serde_json::Value, service: &str) -> bool {
    let is = |value: &serde_json::Value| value.as_str() == Some(service);
    match principal.get("Service") {
        Some(serde_json::Value::Array(many)) => many.iter().any(is),
        Some(one) => is(one),
        None => principal.as_str() == Some("*"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(document: &str, action: &str, resource: &str) -> Decision {
        evaluate(
            &[Policy::parse(document).unwrap()],
            action,
            resource,
            &Context::default(),
        )
    }

    #[test]
    fn actions_ignore_case_and_resources_do_not() {
        let policy = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow",
            "Action":"S3:Get*","Resource":"arn:aws:s3:::b/media/*"}}"#;
        assert_eq!(
            decide(policy, "s3:GetObject", "arn:aws:s3:::b/media/x"),
            Decision::Allow
        );
        assert_eq!(
            decide(policy, "s3:GetObject", "arn:aws:s3:::B/media/x"),
            Decision::ImplicitDeny
        );
        assert_eq!(
            decide(policy, "s3:PutObject", "arn:aws:s3:::b/media/x"),
            Decision::ImplicitDeny
        );
    }

    #[test]
    fn a_deny_wins_whatever_the_order() {
        let policy = r#"{"Statement":[
            {"Effect":"Deny","NotAction":"s3:*","Resource":"*"},
            {"Effect":"Allow","Action":"*","NotResource":"arn:aws:s3:::secret*"}]}"#;
        assert_eq!(decide(policy, "sqs:Send", "q"), Decision::ExplicitDeny);
        assert_eq!(
            decide(policy, "s3:Get", "arn:aws:s3:::open"),
            Decision::Allow
        );
        assert_eq!(
            decide(policy, "s3:Get", "arn:aws:s3:::secret/x"),
            Decision::ImplicitDeny
        );
    }

    #[test]
    fn what_is_not_understood_never_allows() {
        let unknown = r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*",
            "Condition":{"StringSortOfEquals":{"a":"b"}}}}"#;
        assert!(
            matches!(decide(unknown, "s3:Get", "r"), Decision::NotUnderstood(what) if what.contains("StringSortOfEquals"))
        );
        let variable =
            r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"r/${aws:userid}"}}"#;
        assert!(matches!(
            decide(variable, "s3:Get", "r"),
            Decision::NotUnderstood(_)
        ));
    }

    #[test]
    fn the_grammar_is_checked() {
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"Statement":[{"Effect":"Allow","Action":"s3:*"}]}"#,
            r#"{"Statement":[{"Effect":"Permit","Action":"s3:*","Resource":"*"}]}"#,
            r#"{"Statement":[{"Effect":"Allow","Action":"GetObject","Resource":"*"}]}"#,
            r#"{"Version":"2020-01-01","Statement":[]}"#,
            r#"{"Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*","Colour":"red"}]}"#,
            r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*"}]}"#,
        ] {
            let error = Policy::parse(bad).expect_err(bad);
            assert_eq!(error.code, "MalformedPolicyDocument", "{bad}");
        }
        assert!(
            TrustPolicy::parse(r#"{"Statement":[{"Effect":"Allow","Action":"sts:AssumeRole"}]}"#)
                .is_err()
        );
    }

    #[test]
    fn trust_names_the_service_alone_or_in_a_list() {
        for principal in [
            r#"{"Service":"ec2.amazonaws.com"}"#,
            r#"{"Service":["x.amazonaws.com","ec2.amazonaws.com"]}"#,
        ] {
            let trust = TrustPolicy::parse(&format!(
                r#"{{"Statement":[{{"Effect":"Allow","Principal":{principal},"Action":"sts:AssumeRole"}}]}}"#
            ))
            .unwrap();
            assert!(trust.allows_service("ec2.amazonaws.com"));
            assert!(!trust.allows_service("ecs.amazonaws.com"));
        }
    }
}

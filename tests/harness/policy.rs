//! What a policy says of what calls asked for, by the local cloud's own reading of policies.

use localcloud::iam::policy::{Decision, Policy, evaluate};
use localcloud::iam::{Context, Demand};
use serde_json::Value;

/// Whether `policy` allows what was asked for.
pub fn allows(policy: &Value, demand: &Demand) -> bool {
    let policy = Policy::parse(&policy.to_string()).expect("a policy");
    let context = Context::with(demand.context.clone());
    match evaluate(&[policy], &demand.action, &demand.resource, &context) {
        Decision::Allow => true,
        Decision::ExplicitDeny | Decision::ImplicitDeny => false,
        Decision::NotUnderstood(what) => panic!("{what}"),
    }
}

/// `s3:GetObject on arn:aws:s3:::films/x`
pub fn told(demand: &Demand) -> String {
    format!("{} on {}", demand.action, demand.resource)
}

/// Whether an ARN is among those that a pattern of a policy means.
pub fn covers(pattern: &str, arn: &str) -> bool {
    let policy =
        serde_json::json!({"Statement": {"Effect": "Allow", "Action": "*", "Resource": pattern}});
    let demand = Demand {
        action: "any:Thing".to_owned(),
        resource: arn.to_owned(),
        context: std::collections::BTreeMap::new(),
    };
    allows(&policy, &demand)
}

//! A policy's permissions, one by one.

use serde_json::{Value, json};

/// A value that may be a list.
fn list(value: &Value) -> Vec<String> {
    match value {
        Value::Array(many) => many
            .iter()
            .map(|one| one.as_str().expect("a string").to_owned())
            .collect(),
        one => vec![one.as_str().expect("a string").to_owned()],
    }
}

/// Each permission of a policy: the statement's number, an action, a resource.
pub(super) fn permissions(policy: &Value) -> Vec<(usize, String, String)> {
    let statements = policy["Statement"].as_array().expect("statements");
    let mut all = Vec::new();
    for (number, statement) in statements.iter().enumerate() {
        for action in list(&statement["Action"]) {
            for resource in list(&statement["Resource"]) {
                all.push((number, action.clone(), resource));
            }
        }
    }
    all
}

/// The policy but for one permission.
pub(super) fn without(
    policy: &Value,
    (number, action, resource): &(usize, String, String),
) -> Value {
    let mut statements = policy["Statement"].as_array().expect("statements").clone();
    let whole = statements.remove(*number);
    let mut others = whole.clone();
    let actions = list(&whole["Action"]);
    others["Action"] = json!(
        actions
            .iter()
            .filter(|one| *one != action)
            .collect::<Vec<_>>()
    );
    let mut rest = whole.clone();
    rest["Action"] = json!(action);
    let resources = list(&whole["Resource"]);
    rest["Resource"] = json!(
        resources
            .iter()
            .filter(|one| *one != resource)
            .collect::<Vec<_>>()
    );
    for part in [others, rest] {
        if part["Action"] != json!([]) && part["Resource"] != json!([]) {
            statements.push(part);
        }
    }
    json!({"Version": "2012-10-17", "Statement": statements})
}

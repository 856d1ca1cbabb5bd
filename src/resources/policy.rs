//! The normal form of policy documents: services return them with other spacing and order than
//! they were given, and that is not a difference.

use serde_json::Value;

/// Canonical text of a policy or any JSON: keys sorted, no spaces, lists of one as their item,
/// lists of texts sorted, `{"AWS": "*"}` as `*`. Text that is no JSON is returned as it is, which
/// then differs from every policy, as it should.
pub fn canonical(document: &str) -> String {
    match serde_json::from_str(document) {
        Ok(value) => normal(value).to_string(),
        Err(_) => document.to_owned(),
    }
}

fn normal(value: Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.into_iter().map(normal).collect();
            if items.iter().all(Value::is_string) {
                items.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
            }
            match items.len() {
                1 => items.remove(0),
                _ => Value::Array(items),
            }
        }
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> = map
                .into_iter()
                .map(|(key, value)| (key, normal(value)))
                .collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            if let [(key, Value::String(text))] = entries.as_slice()
                && key == "AWS"
                && text == "*"
            {
                return Value::String("*".to_owned());
            }
            Value::Object(entries.into_iter().collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_is_not_a_difference() {
        let a =
            r#"{"Version":"2012-10-17","Statement":[{"Principal":"*","Action":["b:B","a:A"]}]}"#;
        let b = r#"{ "Statement": {"Action": ["a:A", "b:B"], "Principal": {"AWS": ["*"]}},
                     "Version": "2012-10-17" }"#;
        assert_eq!(canonical(a), canonical(b));
    }

    #[test]
    fn meaning_is() {
        let deny = canonical(r#"{"Effect":"Deny"}"#);
        assert_ne!(deny, canonical(r#"{"Effect":"Allow"}"#));
        assert_eq!(canonical("not json"), "not json");
    }
}

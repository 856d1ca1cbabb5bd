//! Attributes of queues: which there are, what they may hold and what they default to.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::error::{ApiError, ApiResult};

/// Attributes by name, as they are set.
pub type Attributes = BTreeMap<String, String>;

/// What an attribute may hold.
enum Kind {
    /// A number in a range, with a default.
    Number { least: i64, most: i64, default: i64 },
    /// A JSON document; empty removes it.
    Document,
    /// Any text; empty removes it.
    Text,
    /// `true` or `false`.
    Flag,
}

const fn number(least: i64, most: i64, default: i64) -> Kind {
    Kind::Number {
        least,
        most,
        default,
    }
}

/// The attributes that can be set, with the ranges of the SQS API reference.
const SETTABLE: &[(&str, Kind)] = &[
    ("DelaySeconds", number(0, 900, 0)),
    ("MaximumMessageSize", number(1024, 1_048_576, 1_048_576)),
    ("MessageRetentionPeriod", number(60, 1_209_600, 345_600)),
    ("ReceiveMessageWaitTimeSeconds", number(0, 20, 0)),
    ("VisibilityTimeout", number(0, 43_200, 30)),
    ("KmsDataKeyReusePeriodSeconds", number(60, 86_400, 300)),
    ("KmsMasterKeyId", Kind::Text),
    ("SqsManagedSseEnabled", Kind::Flag),
    ("Policy", Kind::Document),
    ("RedrivePolicy", Kind::Document),
    ("RedriveAllowPolicy", Kind::Document),
];

/// Attributes that only FIFO queues have; those there are not here.
const FIFO: &[&str] = &[
    "FifoQueue",
    "ContentBasedDeduplication",
    "DeduplicationScope",
    "FifoThroughputLimit",
];

fn kind(name: &str) -> Option<&'static Kind> {
    SETTABLE
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, kind)| kind)
}

/// Whether GetQueueAttributes may be asked for it (those of FIFO queues are never there).
pub fn is_known(name: &str) -> bool {
    kind(name).is_some() || FIFO.contains(&name)
}

/// Checks attributes as given to CreateQueue or SetQueueAttributes.
///
/// # Errors
/// `InvalidAttributeName`, `InvalidAttributeValue`; `UnsupportedOperation` for those of FIFO queues.
pub fn check(attributes: &Attributes) -> ApiResult<()> {
    for (name, value) in attributes {
        if FIFO.contains(&name.as_str()) {
            return Err(ApiError::new(
                "AWS.SimpleQueueService.UnsupportedOperation",
                format!("The local cloud has no FIFO queues (attribute {name})."),
            ));
        }
        let Some(kind) = kind(name) else {
            return Err(ApiError::new(
                "InvalidAttributeName",
                format!("Unknown Attribute {name}."),
            ));
        };
        let good = match kind {
            Kind::Number { least, most, .. } => value
                .parse::<i64>()
                .is_ok_and(|number| (*least..=*most).contains(&number)),
            Kind::Document => value.is_empty() || serde_json::from_str::<Value>(value).is_ok(),
            Kind::Text => true,
            Kind::Flag => matches!(value.as_str(), "true" | "false"),
        };
        if !good {
            return Err(bad_value(name, value));
        }
    }
    if let Some(policy) = attributes.get("RedrivePolicy") {
        Redrive::parse(policy)?;
    }
    if let Some(policy) = attributes.get("RedriveAllowPolicy") {
        RedriveAllow::parse(policy)?;
    }
    Ok(())
}

fn bad_value(name: &str, value: &str) -> ApiError {
    ApiError::new(
        "InvalidAttributeValue",
        format!("Invalid value for the parameter {name}: {value}"),
    )
}

/// The effective value of a number; its default if it isn't set.
pub fn effective_number(attributes: &Attributes, name: &str) -> i64 {
    let Some(Kind::Number { default, .. }) = kind(name) else {
        return 0;
    };
    attributes
        .get(name)
        .and_then(|value| value.parse().ok())
        .unwrap_or(*default)
}

/// All attributes that GetQueueAttributes tells: those set, and defaults where there are any.
pub fn effective(set: &Attributes) -> Attributes {
    let mut all = set.clone();
    all.retain(|_, value| !value.is_empty());
    let own_key = all.contains_key("KmsMasterKeyId");
    for (name, kind) in SETTABLE {
        if let Kind::Number { default, .. } = kind {
            // The period is only told of queues with a key of their own.
            if *name != "KmsDataKeyReusePeriodSeconds" || own_key {
                all.entry((*name).to_owned())
                    .or_insert_with(|| default.to_string());
            }
        }
    }
    // Encryption by SQS's own keys is on unless it was put off or a key was given.
    all.entry("SqsManagedSseEnabled".to_owned())
        .or_insert_with(|| (!own_key).to_string());
    all
}

/// Whether one value means the same as another: numbers by number, documents by content.
pub fn same(name: &str, left: &str, right: &str) -> bool {
    match kind(name) {
        Some(Kind::Document) => {
            let read = |text: &str| serde_json::from_str::<Value>(text).ok();
            read(left) == read(right)
        }
        Some(Kind::Number { .. }) => left.parse::<i64>().ok() == right.parse::<i64>().ok(),
        _ => left == right,
    }
}

/// Where messages go that were received too often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redrive {
    pub target_arn: String,
    pub max_receive_count: i64,
}

impl Redrive {
    /// `None` for the empty policy.
    ///
    /// # Errors
    /// `InvalidAttributeValue`.
    pub fn parse(policy: &str) -> ApiResult<Option<Self>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Document {
            dead_letter_target_arn: String,
            /// A number, or one as text: both are accepted by SQS.
            max_receive_count: Value,
        }
        if policy.is_empty() {
            return Ok(None);
        }
        let bad = || bad_value("RedrivePolicy", policy);
        let document: Document = serde_json::from_str(policy).map_err(|_| bad())?;
        let max_receive_count = match &document.max_receive_count {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
        // The range of the API reference.
        .filter(|count| (1..=1000).contains(count))
        .ok_or_else(bad)?;
        Ok(Some(Self {
            target_arn: document.dead_letter_target_arn,
            max_receive_count,
        }))
    }
}

/// Which queues may name this one as their dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RedriveAllow {
    #[default]
    All,
    None,
    Only(Vec<String>),
}

impl RedriveAllow {
    /// # Errors
    /// `InvalidAttributeValue`.
    pub fn parse(policy: &str) -> ApiResult<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Document {
            redrive_permission: String,
            #[serde(default)]
            source_queue_arns: Vec<String>,
        }
        if policy.is_empty() {
            return Ok(Self::All);
        }
        let bad = || bad_value("RedriveAllowPolicy", policy);
        let document: Document = serde_json::from_str(policy).map_err(|_| bad())?;
        match document.redrive_permission.as_str() {
            "allowAll" => Ok(Self::All),
            "denyAll" => Ok(Self::None),
            "byQueue" => Ok(Self::Only(document.source_queue_arns)),
            _ => Err(bad()),
        }
    }

    /// Whether the queue with this ARN may.
    pub fn allows(&self, source_arn: &str) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Only(arns) => arns.iter().any(|arn| arn == source_arn),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: &str) -> Attributes {
        Attributes::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn ranges_and_documents_are_checked() {
        check(&one("VisibilityTimeout", "43200")).unwrap();
        for (name, value, code) in [
            ("VisibilityTimeout", "43201", "InvalidAttributeValue"),
            ("DelaySeconds", "soon", "InvalidAttributeValue"),
            ("RedrivePolicy", "{}", "InvalidAttributeValue"),
            ("Policy", "{", "InvalidAttributeValue"),
            ("Colour", "red", "InvalidAttributeName"),
            (
                "FifoQueue",
                "true",
                "AWS.SimpleQueueService.UnsupportedOperation",
            ),
        ] {
            assert_eq!(check(&one(name, value)).unwrap_err().code, code, "{name}");
        }
    }

    #[test]
    fn the_count_may_be_text() {
        for count in ["3", "\"3\""] {
            let policy = format!(r#"{{"deadLetterTargetArn":"a","maxReceiveCount":{count}}}"#);
            let redrive = Redrive::parse(&policy).unwrap().unwrap();
            assert_eq!(redrive.max_receive_count, 3);
        }
        assert_eq!(Redrive::parse("").unwrap(), None);
    }

    #[test]
    fn defaults_are_told() {
        let all = effective(&one("DelaySeconds", "5"));
        assert_eq!(all["DelaySeconds"], "5");
        assert_eq!(all["VisibilityTimeout"], "30");
        assert_eq!(all["MaximumMessageSize"], "1048576");
        assert_eq!(all["SqsManagedSseEnabled"], "true");
        assert!(!all.contains_key("KmsDataKeyReusePeriodSeconds"));
    }
}

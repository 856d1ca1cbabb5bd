//! Tags and filters of EC2 things: how they are written in create calls, asked for and read.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Filter, ResourceType, Tag, TagSpecification};

use crate::names::{StackName, TAG_STACK};

/// Tag keys and values of one thing.
pub type Tags = BTreeMap<String, String>;

/// Keeps things whose field `name` has one of `values`.
pub(super) fn filter(name: &str, values: impl IntoIterator<Item = impl Into<String>>) -> Filter {
    let values = values.into_iter().map(Into::into).collect();
    Filter::builder()
        .name(name)
        .set_values(Some(values))
        .build()
}

/// Keeps things of `stack`.
pub(super) fn of_stack(stack: &StackName) -> Filter {
    filter(&format!("tag:{TAG_STACK}"), [stack.as_str()])
}

/// Keeps things of any stack.
pub(super) fn of_any_stack() -> Filter {
    filter("tag-key", [TAG_STACK])
}

/// The stack that tags name, if it can be one.
pub fn stack(tags: &Tags) -> Option<StackName> {
    tags.get(TAG_STACK)?.parse().ok()
}

/// The part of a create call that tags what it makes, so that nothing is ever there untagged.
pub(super) fn specification(kind: ResourceType, tags: &[(String, String)]) -> TagSpecification {
    let tags = tags
        .iter()
        .map(|(key, value)| Tag::builder().key(key).value(value).build())
        .collect();
    TagSpecification::builder()
        .resource_type(kind)
        .set_tags(Some(tags))
        .build()
}

/// Reads tags from an answer.
pub(super) fn read(tags: Option<Vec<Tag>>) -> Tags {
    tags.unwrap_or_default()
        .into_iter()
        .filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default())))
        .collect()
}

//! One file a resource kind: find, create, delete, and what its errors mean. SDK types end here.
//!
//! The kinds of the stack itself (buckets, queues, role, profile, topic) speak one small language:
//! each is looked up by name as [`Found`], and its settings are [`Attributes`] in a normal form,
//! so that planning is a comparison of texts and knows no service.

pub mod bake_objects;
pub mod bucket;
pub mod bucket_contents;
pub mod ec2_tags;
mod head;
pub mod image;
pub mod instance;
pub mod instance_profile;
pub mod instance_type;
pub mod message;
pub mod multipart;
mod newborn;
pub mod object;
pub mod placement;
pub mod policy;
pub mod queue;
pub mod reach;
pub mod region;
pub mod role;
pub mod route_table;
pub mod run_instances;
pub mod security_group;
pub mod snapshot;
pub mod subnet;
pub mod topic;
pub mod volume;
pub mod vpc_endpoint;

use std::collections::BTreeMap;

use muck_worker::text::printable_short;

use crate::error::{Error, Result};
use crate::names::{StackName, TAG_REGION, TAG_STACK};

/// Attribute name → value in the kind's normal form: equal settings are equal texts.
pub type Attributes = BTreeMap<&'static str, String>;

pub type Tags = BTreeMap<String, String>;

/// That a thing exists, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// What calls name it by: bucket name, queue URL, profile name, ARN of role or topic.
    pub id: String,
    pub tags: Tags,
}

impl Presence {
    /// Only what carries the stack's own tag may be changed or deleted, whatever its name is. What
    /// an account has once for all regions (IAM) also says of which region's stack it is.
    pub fn belongs_to(&self, stack: &StackName, region: &str) -> bool {
        self.is_of(stack) && self.tags.get(TAG_REGION).is_none_or(|own| own == region)
    }

    fn is_of(&self, stack: &StackName) -> bool {
        self.tags
            .get(TAG_STACK)
            .is_some_and(|owner| owner == stack.as_str())
    }
}

/// A thing that exists, with its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub presence: Presence,
    pub attributes: Attributes,
}

/// The error for a thing that has the stack's name but not its tags.
pub fn not_ours(what: &str, name: &str, stack: &StackName, presence: &Presence) -> Error {
    if presence.is_of(stack)
        && let Some(region) = presence.tags.get(TAG_REGION)
    {
        return Error::failed(format!(
            "{what} {name} belongs to the stack {stack} in {}: it is not touched",
            printable_short(region, 40)
        ))
        .hint("IAM's names are the same in all regions: choose another stack name (--stack) here");
    }
    Error::failed(format!(
        "{what} {name} exists but does not carry the tag {TAG_STACK} = {stack}: it is not touched"
    ))
    .hint(format!(
        "choose another stack name (--stack), or remove or tag the {what} yourself if it should belong to this stack"
    ))
}

/// `presence` if it carries the stack's tags.
pub(crate) fn ours(
    what: &str,
    name: &str,
    stack: &StackName,
    region: &str,
    presence: Presence,
) -> Result<Presence> {
    if presence.belongs_to(stack, region) {
        Ok(presence)
    } else {
        Err(not_ours(what, name, stack, &presence))
    }
}

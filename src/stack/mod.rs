//! The stack: desired → inventory → plan (pure) → apply, and teardown.

pub mod apply;
pub mod confirmation;
pub mod desired;
pub mod inventory;
#[cfg(test)]
mod lifecycle_tests;
pub mod plan;
mod renewal;
pub mod survey;
mod tagging;
pub mod teardown;

use muck_worker::MEDIA_PREFIX;
use serde::Serialize;

use crate::cloud::Cloud;
use crate::error::{Error, Result};
use crate::names::{Names, ResourceKind};
use crate::resources::bucket_contents;
use inventory::Presences;

pub use confirmation::Confirmed;
pub(crate) use desired::MAX_RECEIVES;
pub use renewal::{Renewal, extend};
pub use survey::DownOptions;
pub use tagging::renew;
pub use teardown::{TeardownReport, down};

/// What the other parts need to know of a stack that is up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stack {
    pub input_bucket: String,
    pub output_bucket: String,
    pub input_queue_url: String,
    pub output_queue_url: String,
    pub failed_queue_url: String,
    pub role_arn: String,
    pub instance_profile_name: String,
    /// Set if mails can be sent.
    pub topic_arn: Option<String>,
}

/// Makes or mends the stack; each resource is told as an event. Safe to repeat.
///
/// # Errors
/// The thing that could not be made; a thing that has our name but not our tag.
pub async fn up(cloud: &Cloud) -> Result<Stack> {
    Ok(Box::pin(apply::up(cloud)).await?.stack)
}

/// The stack as it is; changes nothing.
///
/// # Errors
/// If it, or a part of it, is not there, with the hint to run `muck up`.
pub async fn find(cloud: &Cloud) -> Result<Stack> {
    let presences = Presences::look(&cloud.aws, &cloud.names).await?;
    whole(&presences, &cloud.names)
}

/// The stack, if no part of it is missing.
fn whole(presences: &Presences, names: &Names) -> Result<Stack> {
    let missing: Vec<String> = ResourceKind::STACK
        .into_iter()
        .filter(|kind| *kind != ResourceKind::Topic && !presences.contains(*kind))
        .map(|kind| format!("{kind} {}", names.of(kind)))
        .collect();
    if missing.is_empty() {
        return presences.stack(names);
    }
    let place = format!("stack {} is not up in {}", names.stack, names.region);
    let error = if presences.is_empty() {
        Error::failed(place)
    } else {
        Error::failed(format!("{place}: no {}", missing.join(", no ")))
    };
    Err(error.hint(up_hint(names)))
}

/// Whether converted files are stored in the stack; so they are where that can't be seen.
pub async fn may_hold_outputs(cloud: &Cloud) -> bool {
    let bucket = cloud.names.output_bucket();
    bucket_contents::holds(&cloud.aws, &bucket, MEDIA_PREFIX)
        .await
        .unwrap_or(true)
}

fn up_hint(names: &Names) -> String {
    format!("create it: muck up --stack {}", names.stack)
}

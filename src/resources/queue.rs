//! SQS queues.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;

use super::policy::canonical;
use super::{Attributes, Found, Presence, Tags, ours};
use crate::aws::{Aws, Cause};
use crate::error::{Error, Result};
use crate::event::{Event, Events};
use crate::names::StackName;
use crate::wait::{self, Look};

// Attribute names are SQS's own.
pub const VISIBILITY_TIMEOUT: &str = "VisibilityTimeout";
pub const MESSAGE_RETENTION: &str = "MessageRetentionPeriod";
pub const RECEIVE_WAIT: &str = "ReceiveMessageWaitTimeSeconds";
pub const REDRIVE: &str = "RedrivePolicy";
pub const ENCRYPTION: &str = "SqsManagedSseEnabled";
pub const POLICY: &str = "Policy";

/// The attributes that we set and compare.
const COMPARED: [&str; 6] = [
    VISIBILITY_TIMEOUT,
    MESSAGE_RETENTION,
    RECEIVE_WAIT,
    REDRIVE,
    ENCRYPTION,
    POLICY,
];

/// Queues on one page of a list: SQS's most. Without a size it tells no second page.
const LIST_PAGE: i32 = 1000;

/// A deleted queue's name is refused for 60 s by SQS's documentation; 84 s has been seen.
const NAME_LIMIT: Duration = Duration::from_secs(150);

/// A queue that is not there: in the query protocol's words, and in JSON's.
const ABSENT: [&str; 3] = [
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
    "com.amazonaws.sqs#QueueDoesNotExist",
];
const DELETED_RECENTLY: [&str; 2] = [
    "AWS.SimpleQueueService.QueueDeletedRecently",
    "QueueDeletedRecently",
];
/// In the message of the error `InvalidParameterValue`.
const TARGET_UNKNOWN: &str = "Dead letter target does not exist";
const EXISTS_OTHERWISE: [&str; 2] = ["QueueAlreadyExists", "QueueNameExists"];

async fn url(aws: &Aws, name: &str) -> Result<Option<String>> {
    match aws
        .sqs
        .get_queue_url()
        .queue_name(name)
        .send()
        .await
        .map_err(Cause::from)
    {
        Ok(answer) => Ok(answer.queue_url),
        Err(cause) if cause.is_any(&ABSENT) => Ok(None),
        Err(cause) => Err(cannot("look at", name, cause)),
    }
}

/// `None` also if it is deleted meanwhile.
async fn tags(aws: &Aws, name: &str, url: &str) -> Result<Option<Tags>> {
    match aws
        .sqs
        .list_queue_tags()
        .queue_url(url)
        .send()
        .await
        .map_err(Cause::from)
    {
        Ok(answer) => Ok(Some(answer.tags.unwrap_or_default().into_iter().collect())),
        Err(cause) if cause.is_any(&ABSENT) => Ok(None),
        Err(cause) => Err(cannot("read the tags of", name, cause)),
    }
}

pub async fn look(aws: &Aws, name: &str) -> Result<Option<Presence>> {
    let Some(id) = url(aws, name).await? else {
        return Ok(None);
    };
    Ok(tags(aws, name, &id)
        .await?
        .map(|tags| Presence { id, tags }))
}

/// The same with what is in it, in no more round trips.
pub async fn look_and_count(
    aws: &Aws,
    name: &str,
) -> Result<Option<(Presence, Result<Option<Depth>>)>> {
    let Some(id) = url(aws, name).await? else {
        return Ok(None);
    };
    let (tags, depth) = tokio::join!(tags(aws, name, &id), depth(aws, name, &id));
    Ok(tags?.map(|tags| (Presence { id, tags }, depth)))
}

/// Names of all queues of the account in this region that begin with `prefix`.
pub async fn list(aws: &Aws, prefix: &str) -> Result<Vec<String>> {
    let mut pages = aws
        .sqs
        .list_queues()
        .queue_name_prefix(prefix)
        .into_paginator()
        .page_size(LIST_PAGE)
        .items()
        .send();
    let mut names = Vec::new();
    while let Some(url) = pages.next().await {
        let url = url
            .map_err(|error| Error::failed("cannot list the queues").because(Cause::from(error)))?;
        names.extend(url.rsplit_once('/').map(|(_, name)| name.to_owned()));
    }
    Ok(names)
}

/// The queue with its settings, or `None`.
pub async fn find(aws: &Aws, name: &str) -> Result<Option<Found>> {
    let Some(id) = url(aws, name).await? else {
        return Ok(None);
    };
    let all = async {
        let call = aws
            .sqs
            .get_queue_attributes()
            .queue_url(&id)
            .attribute_names(QueueAttributeName::All);
        match call.send().await.map_err(Cause::from) {
            Ok(answer) => Ok(answer.attributes.unwrap_or_default()),
            Err(cause) if cause.is_any(&ABSENT) => Ok(HashMap::new()),
            Err(cause) => Err(cannot("read the settings of", name, cause)),
        }
    };
    let (tags, all) = tokio::join!(tags(aws, name, &id), all);
    let (Some(tags), all) = (tags?, all?) else {
        return Ok(None);
    };
    let attributes = COMPARED
        .into_iter()
        .filter_map(|attribute| {
            let value = all.get(&QueueAttributeName::from(attribute))?;
            Some((attribute, normal(attribute, value)))
        })
        // Unset ones come as empty text from some endpoints, and not at all from others.
        .filter(|(_, value)| !value.is_empty())
        .collect();
    Ok(Some(Found {
        presence: Presence { id, tags },
        attributes,
    }))
}

fn normal(attribute: &str, value: &str) -> String {
    match attribute {
        POLICY => canonical(value),
        REDRIVE => redrive(value),
        _ => value.to_owned(),
    }
}

/// SQS writes `maxReceiveCount` as it was given, as a number or as a text.
fn redrive(value: &str) -> String {
    let Ok(mut policy) = serde_json::from_str::<serde_json::Value>(value) else {
        return value.to_owned();
    };
    if let Some(count) = policy.get_mut("maxReceiveCount")
        && let Some(number) = count.as_str().and_then(|text| text.parse::<u32>().ok())
    {
        *count = number.into();
    }
    canonical(&policy.to_string())
}

/// What is in a queue, by SQS's approximate counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    pub visible: u64,
    pub in_flight: u64,
}

/// `None` if the queue is not there.
pub async fn depth(aws: &Aws, name: &str, url: &str) -> Result<Option<Depth>> {
    let call = aws
        .sqs
        .get_queue_attributes()
        .queue_url(url)
        .attribute_names(QueueAttributeName::ApproximateNumberOfMessages)
        .attribute_names(QueueAttributeName::ApproximateNumberOfMessagesNotVisible);
    let counts = match call.send().await.map_err(Cause::from) {
        Ok(answer) => answer.attributes.unwrap_or_default(),
        Err(cause) if cause.is_any(&ABSENT) => return Ok(None),
        Err(cause) => return Err(cannot("count the messages of", name, cause)),
    };
    let count = |name| {
        counts
            .get(&name)
            .and_then(|text: &String| text.parse().ok())
            .unwrap_or(0)
    };
    Ok(Some(Depth {
        visible: count(QueueAttributeName::ApproximateNumberOfMessages),
        in_flight: count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
    }))
}

/// Creates the queue with attributes and tags in one call and returns its URL. A queue of ours
/// that is already there is adopted and set. Waits, and says so, while SQS keeps a deleted
/// queue's name.
///
/// # Errors
/// If the name is taken by a queue without the stack's tag.
pub async fn create(
    aws: &Aws,
    name: &str,
    stack: &StackName,
    tags: &[(String, String)],
    attributes: &Attributes,
    events: &Events,
) -> Result<String> {
    let what = format!("the name {name}");
    // Several queues wait beside each other: each says so once.
    let said = std::sync::Once::new();
    let made = wait::until(&what, NAME_LIMIT, || async {
        let call = aws
            .sqs
            .create_queue()
            .queue_name(name)
            .set_attributes(Some(sdk_attributes(attributes)))
            .set_tags(Some(tags.iter().cloned().collect()));
        match call.send().await.map_err(Cause::from) {
            Ok(answer) => Ok(Look::Done(answer.queue_url)),
            Err(cause) if cause.is_any(&EXISTS_OTHERWISE) => Ok(Look::Done(None)),
            Err(cause) if cause.is_any(&DELETED_RECENTLY) => {
                let last_seen =
                    "a queue of this name was just deleted, and SQS keeps its name for a minute";
                said.call_once(|| {
                    events.emit(Event::Waiting {
                        what: what.clone(),
                        last_seen: last_seen.to_owned(),
                    });
                });
                Ok(Look::NotYet(last_seen.to_owned()))
            }
            // SQS says no queue can be named as a target within a second of its creation.
            Err(cause) if cause.message.contains(TARGET_UNKNOWN) => {
                Ok(Look::NotYet(cause.to_string()))
            }
            Err(cause) => Err(cannot("create", name, cause)),
        }
    })
    .await?;
    if let Some(url) = made {
        return Ok(url);
    }
    let presence = look(aws, name).await?.ok_or_else(|| {
        Error::failed(format!("queue {name} exists, and then does not")).hint("run it again")
    })?;
    let url = ours("queue", name, stack, &aws.region, presence)?.id;
    set(aws, name, &url, attributes).await?;
    Ok(url)
}

fn sdk_attributes(attributes: &Attributes) -> HashMap<QueueAttributeName, String> {
    attributes
        .iter()
        .map(|(name, value)| (QueueAttributeName::from(*name), value.clone()))
        .collect()
}

pub async fn set(aws: &Aws, name: &str, url: &str, attributes: &Attributes) -> Result<()> {
    if attributes.is_empty() {
        return Ok(());
    }
    aws.sqs
        .set_queue_attributes()
        .queue_url(url)
        .set_attributes(Some(sdk_attributes(attributes)))
        .send()
        .await
        .map_err(|error| cannot("change", name, Cause::from(error)))?;
    Ok(())
}

/// Adds tags, or replaces their values.
pub async fn tag(aws: &Aws, name: &str, url: &str, tags: &[(String, String)]) -> Result<()> {
    aws.sqs
        .tag_queue()
        .queue_url(url)
        .set_tags(Some(tags.iter().cloned().collect()))
        .send()
        .await
        .map_err(|error| cannot("tag", name, Cause::from(error)))?;
    Ok(())
}

/// Deletes the queue with its messages; one that is not there is fine.
pub async fn delete(aws: &Aws, name: &str, url: &str) -> Result<()> {
    match aws
        .sqs
        .delete_queue()
        .queue_url(url)
        .send()
        .await
        .map_err(Cause::from)
    {
        Ok(_) => Ok(()),
        Err(cause) if cause.is_any(&ABSENT) => Ok(()),
        Err(cause) => Err(cannot("delete", name, cause)),
    }
}

fn cannot(verb: &str, name: &str, cause: Cause) -> Error {
    Error::failed(format!("cannot {verb} queue {name}")).because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_in_quotes_is_the_same_count() {
        let number = redrive(r#"{"maxReceiveCount":3,"deadLetterTargetArn":"arn:x"}"#);
        assert_eq!(
            number,
            redrive(r#"{"deadLetterTargetArn":"arn:x", "maxReceiveCount":"3"}"#)
        );
        assert_ne!(
            number,
            redrive(r#"{"maxReceiveCount":4,"deadLetterTargetArn":"arn:x"}"#)
        );
    }
}

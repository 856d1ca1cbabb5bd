//! SNS topics with e-mail subscriptions. Topics are named by ARN, which is derived.

use aws_sdk_sns::types::Tag;

use super::{Attributes, Found, Presence, Tags, ours};
use crate::aws::{Aws, Cause};
use crate::error::{Error, Result};
use crate::names::StackName;

/// E-mail addresses told, sorted, comma-separated; also those that have yet to confirm.
pub const SUBSCRIBERS: &str = "subscribers";

/// A topic that is not there: in one call's words, and in another's.
const ABSENT: [&str; 3] = ["NotFound", "ResourceNotFound", "NotFoundException"];

/// SNS is not permitted. Companies deny it as a whole, and without mail nobody needs it: then there is no topic. Where mail
/// is wanted, the call that creates the topic fails.
const REFUSED: &str = "AuthorizationError";

fn is_none(cause: &Cause) -> bool {
    cause.is_any(&ABSENT) || cause.is(REFUSED)
}

pub async fn look(aws: &Aws, arn: &str) -> Result<Option<Presence>> {
    match aws
        .sns
        .list_tags_for_resource()
        .resource_arn(arn)
        .send()
        .await
        .map_err(Cause::from)
    {
        Ok(answer) => {
            let tags: Tags = answer
                .tags
                .unwrap_or_default()
                .into_iter()
                .map(|tag| (tag.key, tag.value))
                .collect();
            Ok(Some(Presence {
                id: arn.to_owned(),
                tags,
            }))
        }
        Err(cause) if is_none(&cause) => Ok(None),
        Err(cause) => Err(cannot("look at", arn, cause)),
    }
}

/// ARNs of all topics of the account in this region.
pub async fn list(aws: &Aws) -> Result<Vec<String>> {
    let mut pages = aws.sns.list_topics().into_paginator().items().send();
    let mut arns = Vec::new();
    while let Some(topic) = pages.next().await {
        match topic.map_err(Cause::from) {
            Ok(topic) => arns.extend(topic.topic_arn),
            Err(cause) if cause.is(REFUSED) => return Ok(Vec::new()),
            Err(cause) => return Err(Error::failed("cannot list the topics").because(cause)),
        }
    }
    Ok(arns)
}

/// The topic with its subscribers, or `None`.
pub async fn find(aws: &Aws, arn: &str) -> Result<Option<Found>> {
    let (presence, subscribers) = tokio::join!(look(aws, arn), subscribers(aws, arn));
    let Some(presence) = presence? else {
        return Ok(None);
    };
    let mut attributes = Attributes::new();
    let subscribers = subscribers?;
    if !subscribers.is_empty() {
        attributes.insert(SUBSCRIBERS, subscribers.join(","));
    }
    Ok(Some(Found {
        presence,
        attributes,
    }))
}

async fn subscribers(aws: &Aws, arn: &str) -> Result<Vec<String>> {
    let mut pages = aws
        .sns
        .list_subscriptions_by_topic()
        .topic_arn(arn)
        .into_paginator()
        .items()
        .send();
    let mut addresses = Vec::new();
    while let Some(item) = pages.next().await {
        match item.map_err(Cause::from) {
            Ok(subscription) if subscription.protocol() == Some("email") => {
                addresses.extend(subscription.endpoint);
            }
            Ok(_) => {}
            Err(cause) if is_none(&cause) => return Ok(Vec::new()),
            Err(cause) => return Err(cannot("list the subscribers of", arn, cause)),
        }
    }
    addresses.sort();
    addresses.dedup();
    Ok(addresses)
}

/// Creates the topic with its tags. One of ours that is already there is adopted.
///
/// # Errors
/// If the name is taken by a topic without the stack's tag.
pub async fn create(
    aws: &Aws,
    name: &str,
    arn: &str,
    stack: &StackName,
    tags: &[(String, String)],
) -> Result<()> {
    let tags = Some(sdk_tags(tags));
    let call = aws.sns.create_topic().name(name).set_tags(tags);
    match call.send().await.map_err(Cause::from) {
        Ok(_) => Ok(()),
        // A topic of this name with other tags.
        Err(cause) if cause.is("InvalidParameter") => match look(aws, arn).await? {
            Some(presence) => ours("topic", name, stack, &aws.region, presence).map(drop),
            None => Err(cannot("create", arn, cause)),
        },
        Err(cause) => Err(cannot("create", arn, cause)),
    }
}

fn sdk_tags(tags: &[(String, String)]) -> Vec<Tag> {
    // `build` fails only where key or value is missing.
    tags.iter()
        .filter_map(|(key, value)| Tag::builder().key(key).value(value).build().ok())
        .collect()
}

/// Adds tags, or replaces their values.
pub async fn tag(aws: &Aws, arn: &str, tags: &[(String, String)]) -> Result<()> {
    aws.sns
        .tag_resource()
        .resource_arn(arn)
        .set_tags(Some(sdk_tags(tags)))
        .send()
        .await
        .map_err(|error| cannot("tag", arn, Cause::from(error)))?;
    Ok(())
}

/// Asks SNS to ask each of the addresses to confirm. Those already subscribed are not asked again.
pub async fn subscribe(aws: &Aws, arn: &str, addresses: &[&str]) -> Result<()> {
    let all = addresses.iter().map(|address| async move {
        let call = aws
            .sns
            .subscribe()
            .topic_arn(arn)
            .protocol("email")
            .endpoint(*address);
        call.send()
            .await
            .map(drop)
            .map_err(|error| cannot(&format!("subscribe {address} to"), arn, Cause::from(error)))
    });
    futures::future::join_all(all).await.into_iter().collect()
}

/// Deletes the topic and with it its subscriptions (SNS drops unconfirmed ones after some days).
pub async fn delete(aws: &Aws, arn: &str) -> Result<()> {
    match aws
        .sns
        .delete_topic()
        .topic_arn(arn)
        .send()
        .await
        .map_err(Cause::from)
    {
        Ok(_) => Ok(()),
        Err(cause) if cause.is_any(&ABSENT) => Ok(()),
        Err(cause) => Err(cannot("delete", arn, cause)),
    }
}

fn cannot(verb: &str, arn: &str, cause: Cause) -> Error {
    Error::failed(format!("cannot {verb} topic {arn}")).because(cause)
}

//! The tags of the stack's own things: how they shall be, what differs, and writing them.

use futures::future::join_all;
use jiff::Timestamp;

use super::Stack;
use super::inventory::Presences;
use crate::cloud::Cloud;
use crate::error::Result;
use crate::lifetime::{expiry_of, expiry_tag};
use crate::names::{ResourceKind, TAG_EXPIRES, TAG_KIND, TAG_ON_EXPIRY, TAG_REGION, TAG_STACK};
use crate::resources::{Presence, Tags, bucket, instance_profile, queue, role, topic};

/// `wanted`, but with the end that is there where that is later: nothing is shortened, so that a
/// stack never ends before a batch that somebody else has begun in it.
pub(super) fn with_later_end(mut wanted: Tags, there: &Tags) -> Tags {
    let ends = (expiry_of(&wanted), expiry_of(there));
    if let (Some(new), Some(old)) = ends
        && old > new
    {
        wanted.extend([expiry_tag(old)]);
    }
    wanted
}

/// Is this tag drift? The end moves with each use, so any time there is right.
pub(super) fn is_drift(key: &str, wanted: &str, there: &Tags) -> bool {
    match key {
        TAG_EXPIRES => expiry_of(there).is_none(),
        _ => there.get(key).is_none_or(|value| value != wanted),
    }
}

/// A tag's name among a thing's attributes.
pub(super) fn attribute(key: &str) -> &'static str {
    match key {
        TAG_STACK => "tag muck:stack",
        TAG_KIND => "tag muck:kind",
        TAG_EXPIRES => "tag muck:expires",
        TAG_ON_EXPIRY => "tag muck:on-expiry",
        TAG_REGION => "tag muck:region",
        _ => "tag",
    }
}

/// Whether an attribute is a tag.
pub(super) fn is_tag(attribute: &str) -> bool {
    attribute.starts_with("tag ")
}

/// Writes those of `wanted` that are not there; others that somebody set stay.
pub(super) async fn write(
    cloud: &Cloud,
    kind: ResourceKind,
    presence: &Presence,
    wanted: &Tags,
) -> Result<()> {
    let new: Vec<(String, String)> = wanted
        .iter()
        .filter(|(key, value)| presence.tags.get(*key) != Some(*value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if new.is_empty() {
        return Ok(());
    }
    let (aws, name, id) = (&cloud.aws, cloud.names.of(kind), &presence.id);
    match kind {
        ResourceKind::InputBucket | ResourceKind::OutputBucket => {
            // S3 knows only the whole set.
            let mut all = presence.tags.clone();
            all.extend(new);
            bucket::put_tags(aws, &name, &all.into_iter().collect::<Vec<_>>()).await
        }
        ResourceKind::InputQueue | ResourceKind::OutputQueue | ResourceKind::FailedQueue => {
            queue::tag(aws, &name, id, &new).await
        }
        ResourceKind::Role => role::tag(aws, &name, &new).await,
        ResourceKind::InstanceProfile => instance_profile::tag(aws, &name, &new).await,
        _ => topic::tag(aws, id, &new).await,
    }
}

/// Finds the stack and sees to it that it does not end before `expires`.
///
/// # Errors
/// As [`super::find`]; a thing that cannot be tagged.
pub async fn renew(cloud: &Cloud, expires: Timestamp) -> Result<Stack> {
    let presences = Presences::look(&cloud.aws, &cloud.names).await?;
    let stack = super::whole(&presences, &cloud.names)?;
    let tag = Tags::from([expiry_tag(expires)]);
    let all = presences.iter().map(|(kind, presence)| {
        let tag = with_later_end(tag.clone(), &presence.tags);
        async move { write(cloud, *kind, presence, &tag).await }
    });
    for written in join_all(all).await {
        written?;
    }
    Ok(stack)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(time: &str) -> Tags {
        Tags::from([(TAG_EXPIRES.to_owned(), time.to_owned())])
    }

    #[test]
    fn an_end_is_never_brought_nearer() {
        let (early, late) = (end("2026-01-02T03:04:05Z"), end("2026-01-03T03:04:05Z"));
        assert_eq!(with_later_end(early.clone(), &late), late);
        assert_eq!(with_later_end(late.clone(), &early), late);
        assert_eq!(with_later_end(early.clone(), &Tags::new()), early);
        assert_eq!(with_later_end(early.clone(), &end("soon")), early);
    }

    #[test]
    fn another_end_is_no_drift_but_none_is() {
        let there = end("2026-01-02T03:04:05Z");
        assert!(!is_drift(TAG_EXPIRES, "2027-01-01T00:00:00Z", &there));
        assert!(is_drift(TAG_EXPIRES, "2027-01-01T00:00:00Z", &Tags::new()));
        assert!(is_drift(TAG_EXPIRES, "2027-01-01T00:00:00Z", &end("never")));
        assert!(is_drift(TAG_KIND, "role", &there));
    }
}

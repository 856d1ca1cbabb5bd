//! The tags of the stack's own things: how they shall be, what differs, and writing them.

use jiff::Timestamp;

use crate::cloud::Cloud;
use crate::error::{Error, Result};
use crate::lifetime::{expiry_of, expiry_tag};
use crate::names::{ResourceKind, TAG_EXPIRES, TAG_KIND, TAG_ON_EXPIRY, TAG_REGION, TAG_STACK};
use crate::resources::{Presence, Tags, bucket, instance_profile, not_ours, queue, role, topic};

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

/// Any tag of the table `[tags]`: which one is told by the values.
const COMPANYS: &str = "tag of [tags]";

/// A tag's value as a change shows it: of a company's tag with its key.
pub(super) fn shown(key: &str, value: &str) -> String {
    if attribute(key) == COMPANYS {
        format!("{key}={value}")
    } else {
        value.to_owned()
    }
}

/// A tag's name among a resource's attributes.
pub(super) fn attribute(key: &str) -> &'static str {
    match key {
        TAG_STACK => "tag muck:stack",
        TAG_KIND => "tag muck:kind",
        TAG_EXPIRES => "tag muck:expires",
        TAG_ON_EXPIRY => "tag muck:on-expiry",
        TAG_REGION => "tag muck:region",
        _ => COMPANYS,
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

/// Sees to it that the stack does not end before `expires`. The end is written on the output bucket alone: a stack ends with
/// the last of its resources, and whoever submits or fetches may have no right to tag roles.
///
/// # Errors
/// A stack that is not up; a bucket that is not ours or can't be tagged.
pub async fn renew(cloud: &Cloud, expires: Timestamp) -> Result<()> {
    let kind = ResourceKind::OutputBucket;
    let (names, name) = (&cloud.names, cloud.names.output_bucket());
    let Some(presence) = bucket::look(&cloud.aws, &name).await? else {
        return Err(Error::failed(format!(
            "stack {} is not up in {}: no {kind} {name}",
            names.stack, names.region
        ))
        .hint(super::up_hint(names)));
    };
    if !presence.belongs_to(&names.stack, &names.region) {
        return Err(not_ours(&kind.to_string(), &name, &names.stack, &presence));
    }
    let tags = with_later_end(Tags::from([expiry_tag(expires)]), &presence.tags);
    write(cloud, kind, &presence, &tags).await
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

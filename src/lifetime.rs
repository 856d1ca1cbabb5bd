//! How long things live: the tags that tell when any `muck` may remove them, and what may be
//! removed then. Everything has an end that is written on the thing itself, so that whoever comes
//! after a crash needs nothing but the account.

use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::names::{TAG_EXPIRES, TAG_ON_EXPIRY};

/// What may happen, unasked, to a stack whose time is over. The value of `muck:on-expiry`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnExpiry {
    /// The stack is told of and otherwise left: results may lie in its buckets. What `up` makes.
    #[default]
    Keep,
    /// All of it is deleted: it was made for one run, and holds copies only.
    Delete,
    /// The same, but its image is for the next run.
    DeleteButImage,
}

impl OnExpiry {
    /// The tag's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Delete => "delete",
            Self::DeleteButImage => "delete-but-image",
        }
    }

    /// Reads the tag. Absent or unknown (a later version's) means: deleting is not agreed.
    pub fn of(tags: &BTreeMap<String, String>) -> Self {
        match tags.get(TAG_ON_EXPIRY).map(String::as_str) {
            Some("delete") => Self::Delete,
            Some("delete-but-image") => Self::DeleteButImage,
            _ => Self::Keep,
        }
    }
}

impl fmt::Display for OnExpiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// When a stack ends, and what may happen then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// Whole seconds.
    pub expires: Timestamp,
    pub on_expiry: OnExpiry,
}

impl Lifetime {
    pub fn tags(self) -> [(String, String); 2] {
        [
            expiry_tag(self.expires),
            (TAG_ON_EXPIRY.to_owned(), self.on_expiry.to_string()),
        ]
    }
}

/// How long converted files that may not have been fetched outlive the end of the stack of a run: long enough for a weekend.
pub const OUTPUTS_STAY: SignedDuration = SignedDuration::from_hours(3 * 24);

/// After how many whole days S3 deletes the objects of a run that may live for `ttl`, counted from when each was stored. S3
/// counts from the midnight that follows.
pub fn object_days(ttl: SignedDuration) -> u32 {
    const DAY: i64 = 24 * 3600;
    let days = (ttl + OUTPUTS_STAY).as_secs().div_euclid(DAY) + 1;
    u32::try_from(days).unwrap_or(u32::MAX)
}

/// `muck:expires` = RFC 3339 in UTC, whole seconds.
pub fn expiry_tag(expires: Timestamp) -> (String, String) {
    (
        TAG_EXPIRES.to_owned(),
        expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    )
}

/// When a thing with these tags may be removed; `None`: not tagged, or with no time.
pub fn expiry_of(tags: &BTreeMap<String, String>) -> Option<Timestamp> {
    tags.get(TAG_EXPIRES)?.parse().ok()
}

/// `time` without its part of a second: tags and messages tell whole ones.
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_back() {
        let expires: Timestamp = "2026-01-02T03:04:05.678Z".parse().expect("time");
        for on_expiry in [OnExpiry::Keep, OnExpiry::Delete, OnExpiry::DeleteButImage] {
            let lifetime = Lifetime {
                expires: whole_seconds(expires),
                on_expiry,
            };
            let tags: BTreeMap<_, _> = lifetime.tags().into();
            assert_eq!(tags[TAG_EXPIRES], "2026-01-02T03:04:05Z");
            assert_eq!(expiry_of(&tags), Some(lifetime.expires));
            assert_eq!(OnExpiry::of(&tags), on_expiry);
        }
    }

    #[test]
    fn objects_outlive_their_run_by_three_days() {
        let days = |hours| object_days(SignedDuration::from_hours(hours));
        assert_eq!([days(1), days(23), days(24), days(30)], [4, 4, 5, 5]);
    }

    #[test]
    fn what_is_not_said_is_kept() {
        let tags = |value: &str| BTreeMap::from([(TAG_ON_EXPIRY.to_owned(), value.to_owned())]);
        for unknown in [BTreeMap::new(), tags("Delete"), tags("burn")] {
            assert_eq!(OnExpiry::of(&unknown), OnExpiry::Keep);
        }
        let never = BTreeMap::from([(TAG_EXPIRES.to_owned(), "soon".to_owned())]);
        assert_eq!(expiry_of(&never), None);
    }
}

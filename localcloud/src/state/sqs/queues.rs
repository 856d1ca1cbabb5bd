//! Queues: making, finding, changing, purging and deleting them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::attributes::{self, Attributes, Redrive, RedriveAllow, effective_number};
use super::{invalid_parameter, no_such_queue};
use crate::account::{ACCOUNT, REGION};
use crate::error::{ApiError, ApiResult};

/// For so long after a delete, and after a purge, the next is refused (SQS API reference).
const PAUSE_SECONDS: i64 = 60;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    pub(super) id: i64,
    pub name: String,
    /// Those set; see [`attributes::effective`].
    pub attributes: Attributes,
    pub created: Timestamp,
    pub modified: Timestamp,
}

impl Queue {
    pub fn arn(&self) -> String {
        arn_of(&self.name)
    }

    /// The effective value of a numeric attribute.
    pub fn number(&self, attribute: &str) -> i64 {
        effective_number(&self.attributes, attribute)
    }

    /// Where messages go that were received too often.
    pub fn redrive(&self) -> Option<Redrive> {
        // Checked when it was set.
        Redrive::parse(self.attributes.get("RedrivePolicy")?)
            .ok()
            .flatten()
    }

    /// Messages sent before this are gone.
    pub(super) fn oldest_kept(&self, now: Timestamp) -> i64 {
        now.as_millisecond() - self.number("MessageRetentionPeriod") * 1000
    }
}

/// The ARN of the queue with this name.
pub fn arn_of(name: &str) -> String {
    format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}")
}

fn read_queue(row: &rusqlite::Row<'_>) -> rusqlite::Result<Queue> {
    let attributes: String = row.get("attributes")?;
    let time = |milliseconds: i64| {
        Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH)
    };
    Ok(Queue {
        id: row.get("id")?,
        name: row.get("name")?,
        attributes: serde_json::from_str(&attributes).unwrap_or_default(),
        created: time(row.get("created")?),
        modified: time(row.get("modified")?),
    })
}

fn json(map: &BTreeMap<String, String>) -> String {
    serde_json::json!(map).to_string()
}

fn find(db: &Connection, name: &str) -> ApiResult<Option<Queue>> {
    Ok(db
        .prepare_cached("SELECT * FROM sqs_queues WHERE name = ?1")?
        .query_row([name], read_queue)
        .optional()?)
}

/// # Errors
/// `AWS.SimpleQueueService.NonExistentQueue`.
pub fn find_queue(db: &Connection, name: &str) -> ApiResult<Queue> {
    find(db, name)?.ok_or_else(no_such_queue)
}

/// The queue with this ARN, if there is one.
pub fn find_queue_by_arn(db: &Connection, arn: &str) -> ApiResult<Option<Queue>> {
    match arn.rsplit_once(':') {
        Some((_, name)) if arn_of(name) == arn => find(db, name),
        _ => Ok(None),
    }
}

/// Makes a queue, or finds it if one with the same attributes is there. Tags are only those of a new one.
///
/// # Errors
/// `QueueAlreadyExists` if one of the attributes given differs; `QueueDeletedRecently` for 60 s after a delete;
/// what [`attributes::check`] finds.
pub fn create_queue(
    db: &Connection,
    name: &str,
    wanted: &Attributes,
    tags: &BTreeMap<String, String>,
    now: Timestamp,
) -> ApiResult<Queue> {
    check_name(name)?;
    attributes::check(wanted)?;
    if let Some(queue) = find(db, name)? {
        let has = attributes::effective(&queue.attributes);
        for (attribute, value) in wanted {
            let old = has.get(attribute).map_or("", String::as_str);
            if !attributes::same(attribute, old, value) {
                return Err(ApiError::new(
                    "QueueAlreadyExists",
                    format!(
                        "A queue already exists with the same name and a different value for attribute {attribute}"
                    ),
                ));
            }
        }
        return Ok(queue);
    }
    let deleted: Option<i64> = db
        .query_row(
            "SELECT deleted FROM sqs_deleted_queues WHERE name = ?1",
            [name],
            |row| row.get(0),
        )
        .optional()?;
    if deleted.is_some_and(|at| now.as_millisecond() < at + PAUSE_SECONDS * 1000) {
        return Err(ApiError::new(
            "AWS.SimpleQueueService.QueueDeletedRecently",
            "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
        ));
    }
    check_redrive(db, name, wanted)?;
    check_tags(tags)?;
    db.execute(
        "DELETE FROM sqs_deleted_queues WHERE deleted < ?1",
        [now.as_millisecond() - PAUSE_SECONDS * 1000],
    )?;
    db.execute(
        "INSERT INTO sqs_queues (name, attributes, tags, created, modified) VALUES (?1, ?2, ?3, ?4, ?4)",
        params![name, json(wanted), json(tags), now.as_millisecond()],
    )?;
    find_queue(db, name)
}

/// 1 to 80 letters, digits, `-` and `_` (SQS API reference).
fn check_name(name: &str) -> ApiResult<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 80 || !name.chars().all(allowed) {
        return Err(invalid_parameter(
            "QueueName",
            name,
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length (the local cloud has no FIFO queues).",
        ));
    }
    Ok(())
}

/// The dead-letter queue must be there and let this one in.
fn check_redrive(db: &Connection, name: &str, wanted: &Attributes) -> ApiResult<()> {
    let Some(policy) = wanted.get("RedrivePolicy") else {
        return Ok(());
    };
    let Some(redrive) = Redrive::parse(policy)? else {
        return Ok(());
    };
    let Some(target) = find_queue_by_arn(db, &redrive.target_arn)? else {
        return Err(invalid_parameter(
            "RedrivePolicy",
            policy,
            "Dead letter target does not exist.",
        ));
    };
    let allow = target
        .attributes
        .get("RedriveAllowPolicy")
        .map_or(Ok(RedriveAllow::All), |policy| RedriveAllow::parse(policy))?;
    if !allow.allows(&arn_of(name)) {
        return Err(invalid_parameter(
            "RedrivePolicy",
            policy,
            "The dead letter target's RedriveAllowPolicy does not let this queue in.",
        ));
    }
    Ok(())
}

/// Adds or replaces attributes; an empty document or text removes one.
///
/// # Errors
/// `NonExistentQueue`, and what [`attributes::check`] finds.
pub fn set_attributes(
    db: &Connection,
    name: &str,
    new: &Attributes,
    now: Timestamp,
) -> ApiResult<()> {
    let queue = find_queue(db, name)?;
    attributes::check(new)?;
    check_redrive(db, name, new)?;
    let mut all = queue.attributes;
    all.extend(new.clone());
    all.retain(|_, value| !value.is_empty());
    db.execute(
        "UPDATE sqs_queues SET attributes = ?2, modified = ?3 WHERE id = ?1",
        params![queue.id, json(&all), now.as_millisecond()],
    )?;
    Ok(())
}

/// # Errors
/// `NonExistentQueue`.
pub fn delete_queue(db: &Connection, name: &str, now: Timestamp) -> ApiResult<()> {
    let queue = find_queue(db, name)?;
    db.execute("DELETE FROM sqs_messages WHERE queue = ?1", [queue.id])?;
    db.execute("DELETE FROM sqs_queues WHERE id = ?1", [queue.id])?;
    db.execute(
        "INSERT INTO sqs_deleted_queues (name, deleted) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET deleted = excluded.deleted",
        params![name, now.as_millisecond()],
    )?;
    Ok(())
}

/// Removes all messages, in flight or not.
///
/// # Errors
/// `NonExistentQueue`; `PurgeQueueInProgress` within 60 s of the last purge.
pub fn purge_queue(db: &Connection, name: &str, now: Timestamp) -> ApiResult<()> {
    let queue = find_queue(db, name)?;
    let last: Option<i64> = db.query_row(
        "SELECT purged FROM sqs_queues WHERE id = ?1",
        [queue.id],
        |row| row.get(0),
    )?;
    if last.is_some_and(|at| now.as_millisecond() < at + PAUSE_SECONDS * 1000) {
        return Err(ApiError::new(
            "AWS.SimpleQueueService.PurgeQueueInProgress",
            format!("Only one PurgeQueue operation on {name} is allowed every 60 seconds."),
        )
        .with_status(403));
    }
    db.execute("DELETE FROM sqs_messages WHERE queue = ?1", [queue.id])?;
    db.execute(
        "UPDATE sqs_queues SET purged = ?2 WHERE id = ?1",
        params![queue.id, now.as_millisecond()],
    )?;
    Ok(())
}

/// Queues whose name begins with `prefix`, after the name `after`, in name order.
pub fn list_queues(
    db: &Connection,
    prefix: &str,
    after: &str,
    limit: usize,
) -> ApiResult<Vec<Queue>> {
    let queues = db
        .prepare_cached(
            "SELECT * FROM sqs_queues WHERE substr(name, 1, length(?1)) = ?1 AND name > ?2
             ORDER BY name LIMIT ?3",
        )?
        .query_map(
            params![prefix, after, i64::try_from(limit).unwrap_or(i64::MAX)],
            read_queue,
        )?
        .collect::<Result<_, _>>()?;
    Ok(queues)
}

/// # Errors
/// `NonExistentQueue`.
pub fn tags(db: &Connection, name: &str) -> ApiResult<BTreeMap<String, String>> {
    let queue = find_queue(db, name)?;
    let tags: String = db.query_row(
        "SELECT tags FROM sqs_queues WHERE id = ?1",
        [queue.id],
        |row| row.get(0),
    )?;
    Ok(serde_json::from_str(&tags).unwrap_or_default())
}

/// Puts these tags in the place of all before.
///
/// # Errors
/// `NonExistentQueue`; `InvalidParameterValue` for too many or malformed ones.
pub fn set_tags(db: &Connection, name: &str, tags: &BTreeMap<String, String>) -> ApiResult<()> {
    let queue = find_queue(db, name)?;
    check_tags(tags)?;
    db.execute(
        "UPDATE sqs_queues SET tags = ?2 WHERE id = ?1",
        params![queue.id, json(tags)],
    )?;
    Ok(())
}

/// At most 50 tags, keys of 1 to 128 and values of at most 256 characters, none beginning `aws:` (SQS quotas).
fn check_tags(tags: &BTreeMap<String, String>) -> ApiResult<()> {
    if tags.len() > 50 {
        return Err(invalid_parameter(
            "Tags",
            tags.len(),
            "A queue has at most 50 tags.",
        ));
    }
    for (key, value) in tags {
        let long = key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256;
        if long || key.to_ascii_lowercase().starts_with("aws:") {
            return Err(invalid_parameter(
                "Tags",
                key,
                "Tag keys have 1 to 128 characters and don't begin with aws:, values at most 256.",
            ));
        }
    }
    Ok(())
}

/// How many messages there are, by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub visible: i64,
    pub in_flight: i64,
    pub delayed: i64,
}

/// # Errors
/// `InternalError` only.
pub fn counts(db: &Connection, queue: &Queue, now: Timestamp) -> ApiResult<Counts> {
    let counts = db
        .prepare_cached(
            "SELECT count(*) FILTER (WHERE visible_at <= ?2),
                    count(*) FILTER (WHERE visible_at > ?2 AND receipt IS NOT NULL),
                    count(*) FILTER (WHERE visible_at > ?2 AND receipt IS NULL)
             FROM sqs_messages WHERE queue = ?1 AND sent > ?3",
        )?
        .query_row(
            params![queue.id, now.as_millisecond(), queue.oldest_kept(now)],
            |row| {
                Ok(Counts {
                    visible: row.get(0)?,
                    in_flight: row.get(1)?,
                    delayed: row.get(2)?,
                })
            },
        )?;
    Ok(counts)
}

//! State of SNS: topics and who gets their messages. Times are milliseconds since the epoch.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::account::{ACCOUNT, REGION};
use crate::error::{ApiError, ApiResult};

/// Tables of this service.
pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS sns_topics (
    name TEXT PRIMARY KEY,
    attributes TEXT NOT NULL,   -- JSON object of those set, text to text
    tags TEXT NOT NULL,         -- JSON object
    created INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS sns_subscriptions (
    id TEXT PRIMARY KEY,
    topic TEXT NOT NULL REFERENCES sns_topics(name) ON DELETE CASCADE,
    protocol TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    created INTEGER NOT NULL,
    UNIQUE (topic, protocol, endpoint)
) STRICT;
";

pub type Map = BTreeMap<String, String>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    pub name: String,
    pub attributes: Map,
    pub tags: Map,
}

impl Topic {
    pub fn arn(&self) -> String {
        arn_of(&self.name)
    }
}

/// The ARN of the topic with this name.
pub fn arn_of(name: &str) -> String {
    format!("arn:aws:sns:{REGION}:{ACCOUNT}:{name}")
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    pub id: String,
    pub topic: String,
    /// `email`, the only one here.
    pub protocol: String,
    pub endpoint: String,
}

impl Subscription {
    pub fn arn(&self) -> String {
        format!("{}:{}", arn_of(&self.topic), self.id)
    }
}

fn not_found(what: &str) -> ApiError {
    ApiError::new("NotFound", format!("{what} does not exist")).with_status(404)
}

fn read_topic(row: &rusqlite::Row<'_>) -> rusqlite::Result<Topic> {
    let map = |text: String| serde_json::from_str(&text).unwrap_or_default();
    Ok(Topic {
        name: row.get("name")?,
        attributes: map(row.get("attributes")?),
        tags: map(row.get("tags")?),
    })
}

fn read_subscription(row: &rusqlite::Row<'_>) -> rusqlite::Result<Subscription> {
    Ok(Subscription {
        id: row.get("id")?,
        topic: row.get("topic")?,
        protocol: row.get("protocol")?,
        endpoint: row.get("endpoint")?,
    })
}

fn json(map: &Map) -> String {
    serde_json::json!(map).to_string()
}

/// The topic with this ARN.
///
/// # Errors
/// `NotFound`.
pub fn find_topic(db: &Connection, arn: &str) -> ApiResult<Topic> {
    let name = arn.rsplit(':').next().unwrap_or_default();
    db.query_row(
        "SELECT * FROM sns_topics WHERE name = ?1",
        [name],
        read_topic,
    )
    .optional()?
    .filter(|topic| topic.arn() == arn)
    .ok_or_else(|| not_found("Topic"))
}

/// Makes a topic, or finds it.
///
/// # Errors
/// `InvalidParameter` if it is there with other tags or attributes than those given.
pub fn create_topic(
    db: &Connection,
    name: &str,
    attributes: &Map,
    tags: &Map,
    now: Timestamp,
) -> ApiResult<Topic> {
    match find_topic(db, &arn_of(name)) {
        Ok(topic) => {
            let differs = |wanted: &Map, has: &Map| {
                wanted
                    .iter()
                    .any(|(key, value)| has.get(key) != Some(value))
            };
            if differs(tags, &topic.tags) {
                return Err(invalid("Tags", "Topic already exists with different tags"));
            }
            if differs(attributes, &topic.attributes) {
                return Err(invalid(
                    "Attributes",
                    "Topic already exists with different attributes",
                ));
            }
            Ok(topic)
        }
        Err(error) if error.code == "NotFound" => {
            db.execute(
                "INSERT INTO sns_topics (name, attributes, tags, created) VALUES (?1, ?2, ?3, ?4)",
                params![name, json(attributes), json(tags), now.as_millisecond()],
            )?;
            find_topic(db, &arn_of(name))
        }
        Err(error) => Err(error),
    }
}

/// `InvalidParameter` in SNS's words.
pub fn invalid(parameter: &str, reason: &str) -> ApiError {
    ApiError::new(
        "InvalidParameter",
        format!("Invalid parameter: {parameter} Reason: {reason}"),
    )
}

/// Puts the topic's attributes and tags in the place of those before.
pub fn save_topic(db: &Connection, topic: &Topic) -> ApiResult<()> {
    db.execute(
        "UPDATE sns_topics SET attributes = ?2, tags = ?3 WHERE name = ?1",
        params![topic.name, json(&topic.attributes), json(&topic.tags)],
    )?;
    Ok(())
}

/// Deletes the topic and its subscriptions; no error if it is absent, as on AWS.
pub fn delete_topic(db: &Connection, arn: &str) -> ApiResult<()> {
    if let Ok(topic) = find_topic(db, arn) {
        db.execute("DELETE FROM sns_topics WHERE name = ?1", [topic.name])?;
    }
    Ok(())
}

/// Topics after the name `after`, in name order.
pub fn list_topics(db: &Connection, after: &str, limit: usize) -> ApiResult<Vec<Topic>> {
    let topics = db
        .prepare("SELECT * FROM sns_topics WHERE name > ?1 ORDER BY name LIMIT ?2")?
        .query_map(
            params![after, i64::try_from(limit).unwrap_or(i64::MAX)],
            read_topic,
        )?
        .collect::<Result<_, _>>()?;
    Ok(topics)
}

/// Adds a subscription, or finds the same.
///
/// # Errors
/// `NotFound` for the topic.
pub fn subscribe(
    db: &Connection,
    topic_arn: &str,
    protocol: &str,
    endpoint: &str,
    now: Timestamp,
) -> ApiResult<Subscription> {
    let topic = find_topic(db, topic_arn)?;
    db.execute(
        "INSERT INTO sns_subscriptions (id, topic, protocol, endpoint, created) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (topic, protocol, endpoint) DO NOTHING",
        params![
            uuid::Uuid::new_v4().to_string(),
            topic.name,
            protocol,
            endpoint,
            now.as_millisecond()
        ],
    )?;
    Ok(db.query_row(
        "SELECT * FROM sns_subscriptions WHERE topic = ?1 AND protocol = ?2 AND endpoint = ?3",
        params![topic.name, protocol, endpoint],
        read_subscription,
    )?)
}

/// # Errors
/// `NotFound` for a subscription that isn't there.
pub fn unsubscribe(db: &Connection, arn: &str) -> ApiResult<()> {
    let id = arn.rsplit(':').next().unwrap_or_default();
    let found = db
        .query_row(
            "SELECT * FROM sns_subscriptions WHERE id = ?1",
            [id],
            read_subscription,
        )
        .optional()?
        .filter(|subscription| subscription.arn() == arn)
        .ok_or_else(|| not_found("Subscription"))?;
    db.execute("DELETE FROM sns_subscriptions WHERE id = ?1", [found.id])?;
    Ok(())
}

/// The topic's subscriptions, oldest first.
///
/// # Errors
/// `NotFound` for the topic.
pub fn subscriptions(db: &Connection, topic_arn: &str) -> ApiResult<Vec<Subscription>> {
    let topic = find_topic(db, topic_arn)?;
    let subscriptions = db
        .prepare("SELECT * FROM sns_subscriptions WHERE topic = ?1 ORDER BY created, id")?
        .query_map([topic.name], read_subscription)?
        .collect::<Result<_, _>>()?;
    Ok(subscriptions)
}

//! Receiving messages, and moving those received too often to the dead-letter queue.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::messages::md5_hex;
use super::receipt::Receipt;
use super::{MessageAttribute, Queue, find_queue_by_arn};
use crate::error::{ApiError, ApiResult};

/// Messages of one queue that can be in flight at once (SQS quota).
const MOST_IN_FLIGHT: i64 = 120_000;

/// A message as its receiver sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub message_id: String,
    pub receipt_handle: String,
    pub body: String,
    pub md5_of_body: String,
    pub attributes: BTreeMap<String, MessageAttribute>,
    pub sender: String,
    /// Milliseconds since the epoch, as are all times in system attributes.
    pub sent: i64,
    pub receive_count: i64,
    pub first_received: i64,
    pub trace_header: Option<String>,
    pub dead_letter_source: Option<String>,
}

/// What one receive did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Taken {
    pub messages: Vec<Received>,
    /// So many messages went to the dead-letter queue instead, where someone may wait for them.
    pub buried: usize,
}

/// Takes up to `most` visible messages, those longest visible first, and keeps them invisible for `visibility_seconds`.
///
/// # Errors
/// `OverLimit` with 120,000 in flight.
pub fn receive(
    db: &Connection,
    queue: &Queue,
    most: i64,
    visibility_seconds: i64,
    now: Timestamp,
) -> ApiResult<Taken> {
    let at = now.as_millisecond();
    db.prepare_cached("DELETE FROM sqs_messages WHERE queue = ?1 AND sent <= ?2")?
        .execute(params![queue.id, queue.oldest_kept(now)])?;
    let buried = bury(db, queue, at)?;
    let sequence: Vec<i64> = db
        .prepare_cached(
            "SELECT seq FROM sqs_messages WHERE queue = ?1 AND visible_at <= ?2 ORDER BY visible_at, seq LIMIT ?3",
        )?
        .query_map(
            params![queue.id, at, most],
            |row| row.get(0),
        )?
        .collect::<Result<_, _>>()?;
    if sequence.is_empty() {
        return Ok(Taken {
            messages: Vec::new(),
            buried,
        });
    }
    let in_flight: i64 = db
        .prepare_cached(
            "SELECT count(*) FROM sqs_messages WHERE queue = ?1 AND visible_at > ?2 AND receipt IS NOT NULL",
        )?
        .query_row(params![queue.id, at], |row| row.get(0))?;
    if in_flight >= MOST_IN_FLIGHT {
        return Err(ApiError::new(
            "OverLimit",
            format!("{MOST_IN_FLIGHT} messages are in flight, which is the most a queue may have."),
        )
        .with_status(403));
    }
    let mut take = db.prepare_cached(
        "UPDATE sqs_messages SET visible_at = ?2, received = ?3, receipt = ?4,
             receive_count = receive_count + 1, first_received = coalesce(first_received, ?3)
         WHERE seq = ?1
         RETURNING id, body, attributes, sender, sent, receive_count, first_received, trace_header,
             dead_letter_source",
    )?;
    let messages = sequence
        .into_iter()
        .map(|seq| {
            let nonce = uuid::Uuid::new_v4().simple().to_string();
            let until = at + visibility_seconds * 1000;
            Ok(take.query_row(params![seq, until, at, nonce], |row| {
                let message_id: String = row.get("id")?;
                let body: String = row.get("body")?;
                let attributes: String = row.get("attributes")?;
                Ok(Received {
                    receipt_handle: Receipt::write(queue, &message_id, &nonce),
                    message_id,
                    md5_of_body: md5_hex(body.as_bytes()),
                    body,
                    attributes: serde_json::from_str(&attributes).unwrap_or_default(),
                    sender: row.get("sender")?,
                    sent: row.get("sent")?,
                    receive_count: row.get("receive_count")?,
                    first_received: row.get("first_received")?,
                    trace_header: row.get("trace_header")?,
                    dead_letter_source: row.get("dead_letter_source")?,
                })
            })?)
        })
        .collect::<ApiResult<_>>()?;
    Ok(Taken { messages, buried })
}

/// Moves visible messages that were received often enough to the dead-letter queue. They keep their id, their
/// count and their first sending, from which the other queue's retention counts (as on AWS).
fn bury(db: &Connection, queue: &Queue, at: i64) -> ApiResult<usize> {
    let Some(redrive) = queue.redrive() else {
        return Ok(0);
    };
    // Where the dead-letter queue is gone, messages stay.
    let Some(target) = find_queue_by_arn(db, &redrive.target_arn)? else {
        return Ok(0);
    };
    if target.id == queue.id {
        return Ok(0);
    }
    let buried = db
        .prepare_cached(
            // By count: few are received often, while many may be visible.
        "UPDATE sqs_messages INDEXED BY sqs_messages_by_count SET queue = ?3, receipt = NULL, received = NULL, visible_at = ?2,
             dead_letter_source = ?4
         WHERE queue = ?1 AND visible_at <= ?2 AND receive_count >= ?5",
        )?
        .execute(params![
            queue.id,
            at,
            target.id,
            queue.arn(),
            redrive.max_receive_count
        ])?;
    Ok(buried)
}

/// When the next message that is now invisible becomes visible.
pub fn next_visible(
    db: &Connection,
    queue: &Queue,
    now: Timestamp,
) -> ApiResult<Option<Timestamp>> {
    let next: Option<i64> = db
        .prepare_cached(
            "SELECT min(visible_at) FROM sqs_messages WHERE queue = ?1 AND visible_at > ?2",
        )?
        .query_row(params![queue.id, now.as_millisecond()], |row| row.get(0))?;
    Ok(next.and_then(|at| Timestamp::from_millisecond(at).ok()))
}

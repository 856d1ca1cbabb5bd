//! State of SQS: queues, messages and what is in flight. Times are milliseconds since the epoch; `now` is
//! always passed in.
//!
//! A message is *delayed* until its delay is over, *visible* when `visible_at` has come, and *in flight* from a
//! receive until then. It is gone when deleted or when its retention (counted from its first sending, as on
//! AWS) is over.

pub mod attributes;
mod messages;
mod moves;
mod queues;
mod receipt;
mod receive;

#[cfg(test)]
mod model_test;

use crate::error::ApiError;

pub use messages::{MessageAttribute, NewMessage, Sent, change_visibility, delete_message, send};
pub use moves::{MoveTask, list_move_tasks, start_move_task};
pub use queues::{
    Counts, Queue, arn_of, counts, create_queue, delete_queue, find_queue, find_queue_by_arn,
    list_queues, purge_queue, set_attributes, set_tags, tags,
};
pub use receive::{Received, Taken, next_visible, receive};

/// Tables of this service.
pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS sqs_queues (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    attributes TEXT NOT NULL,   -- JSON object of those set, text to text
    tags TEXT NOT NULL,         -- JSON object
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    purged INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS sqs_deleted_queues (
    name TEXT PRIMARY KEY,
    deleted INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS sqs_messages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    queue INTEGER NOT NULL REFERENCES sqs_queues(id) ON DELETE CASCADE,
    id TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL,
    attributes TEXT NOT NULL,   -- JSON object of message attributes
    trace_header TEXT,
    sender TEXT NOT NULL,
    sent INTEGER NOT NULL,
    visible_at INTEGER NOT NULL,
    receive_count INTEGER NOT NULL DEFAULT 0,
    first_received INTEGER,
    received INTEGER,           -- the last receive, from which 12 h of invisibility count
    receipt TEXT,               -- nonce of the last receive; NULL: not in flight since it became visible
    dead_letter_source TEXT     -- ARN of the queue it was moved from
) STRICT;
CREATE INDEX IF NOT EXISTS sqs_messages_by_visibility ON sqs_messages (queue, visible_at, seq);
CREATE INDEX IF NOT EXISTS sqs_messages_by_age ON sqs_messages (queue, sent);
CREATE INDEX IF NOT EXISTS sqs_messages_by_count ON sqs_messages (queue, receive_count);
CREATE TABLE IF NOT EXISTS sqs_move_tasks (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    handle TEXT NOT NULL,
    source_arn TEXT NOT NULL,
    destination_arn TEXT,
    per_second INTEGER,
    moved INTEGER NOT NULL,
    started INTEGER NOT NULL
) STRICT;
";

/// A message can be kept invisible for 12 h from its receive, however often that is prolonged (SQS quota).
pub const LONGEST_INVISIBLE_SECONDS: i64 = 43_200;

/// `QueueDoesNotExist`, under the code that SDKs know it by.
fn no_such_queue() -> ApiError {
    ApiError::new(
        "AWS.SimpleQueueService.NonExistentQueue",
        "The specified queue does not exist.",
    )
}

/// `InvalidParameterValue` in SQS's words.
pub fn invalid_parameter(name: &str, value: impl std::fmt::Display, reason: &str) -> ApiError {
    ApiError::new(
        "InvalidParameterValue",
        format!("Value {value} for parameter {name} is invalid. Reason: {reason}"),
    )
}

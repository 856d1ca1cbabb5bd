//! Moving dead letters back (message move tasks).

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::{Queue, find_queue_by_arn, list_queues};
use crate::error::{ApiError, ApiResult};

/// A task, which is always over: messages move in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoveTask {
    pub handle: String,
    pub source_arn: String,
    /// Absent: each message went back to where it came from.
    pub destination_arn: Option<String>,
    pub per_second: Option<i64>,
    pub moved: i64,
    pub started: Timestamp,
}

fn not_found(what: &str) -> ApiError {
    ApiError::new(
        "ResourceNotFoundException",
        format!("The resource that you specified for the {what} parameter doesn't exist."),
    )
    .with_status(404)
}

/// Moves all visible messages of a dead-letter queue to `destination`, or back to their own queues. They are new
/// messages there, with new ids and counts (as on AWS).
///
/// # Errors
/// `ResourceNotFoundException` for queues that aren't there; `UnsupportedOperation` if the source is no queue's
/// dead-letter queue.
pub fn start_move_task(
    db: &Connection,
    source_arn: &str,
    destination_arn: Option<&str>,
    per_second: Option<i64>,
    now: Timestamp,
) -> ApiResult<MoveTask> {
    let source = find_queue_by_arn(db, source_arn)?.ok_or_else(|| not_found("SourceArn"))?;
    let is_dead_letter_queue = list_queues(db, "", "", usize::MAX)?
        .iter()
        .filter_map(Queue::redrive)
        .any(|redrive| redrive.target_arn == source_arn);
    if !is_dead_letter_queue {
        return Err(ApiError::new(
            "AWS.SimpleQueueService.UnsupportedOperation",
            "Source queue must be configured as a Dead Letter Queue.",
        ));
    }
    let destination = destination_arn
        .map(|arn| find_queue_by_arn(db, arn)?.ok_or_else(|| not_found("DestinationArn")))
        .transpose()?;
    let letters: Vec<(i64, Option<String>)> = db
        .prepare(
            "SELECT seq, dead_letter_source FROM sqs_messages
             WHERE queue = ?1 AND visible_at <= ?2 AND sent > ?3 ORDER BY seq",
        )?
        .query_map(
            params![source.id, now.as_millisecond(), source.oldest_kept(now)],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?
        .collect::<Result<_, _>>()?;
    let mut moved = 0;
    for (seq, from) in letters {
        let target = match (&destination, from) {
            (Some(queue), _) => Some(queue.clone()),
            (None, Some(arn)) => find_queue_by_arn(db, &arn)?,
            (None, None) => None,
        };
        // A letter sent here directly, or whose queue is gone, stays.
        let Some(target) = target else { continue };
        db.execute(
            "UPDATE sqs_messages SET queue = ?2, id = ?3, sent = ?4, visible_at = ?4, receive_count = 0,
                 first_received = NULL, received = NULL, receipt = NULL, dead_letter_source = NULL
             WHERE seq = ?1",
            params![
                seq,
                target.id,
                uuid::Uuid::new_v4().to_string(),
                now.as_millisecond()
            ],
        )?;
        moved += 1;
    }
    let task = MoveTask {
        handle: uuid::Uuid::new_v4().to_string(),
        source_arn: source_arn.to_owned(),
        destination_arn: destination_arn.map(str::to_owned),
        per_second,
        moved,
        started: now,
    };
    db.execute(
        "INSERT INTO sqs_move_tasks (handle, source_arn, destination_arn, per_second, moved, started)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            task.handle,
            task.source_arn,
            task.destination_arn,
            task.per_second,
            task.moved,
            now.as_millisecond()
        ],
    )?;
    Ok(task)
}

/// The last tasks of a source, newest first.
///
/// # Errors
/// `ResourceNotFoundException` if the queue isn't there.
pub fn list_move_tasks(db: &Connection, source_arn: &str, most: usize) -> ApiResult<Vec<MoveTask>> {
    find_queue_by_arn(db, source_arn)?.ok_or_else(|| not_found("SourceArn"))?;
    let tasks = db
        .prepare("SELECT * FROM sqs_move_tasks WHERE source_arn = ?1 ORDER BY seq DESC LIMIT ?2")?
        .query_map(
            params![source_arn, i64::try_from(most).unwrap_or(i64::MAX)],
            |row| {
                Ok(MoveTask {
                    handle: row.get("handle")?,
                    source_arn: row.get("source_arn")?,
                    destination_arn: row.get("destination_arn")?,
                    per_second: row.get("per_second")?,
                    moved: row.get("moved")?,
                    started: Timestamp::from_millisecond(row.get("started")?)
                        .unwrap_or(Timestamp::UNIX_EPOCH),
                })
            },
        )?
        .collect::<Result<_, _>>()?;
    Ok(tasks)
}

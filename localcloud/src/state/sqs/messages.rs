//! Sending, deleting, and keeping messages invisible.

use std::collections::BTreeMap;

use jiff::Timestamp;
use md5::{Digest as _, Md5};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};

use super::receipt::Receipt;
use super::{LONGEST_INVISIBLE_SECONDS, Queue, invalid_parameter};
use crate::error::{ApiError, ApiResult};
use crate::query_protocol::is_xml_char;

/// A user's attribute of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct MessageAttribute {
    pub data_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub string_value: Option<String>,
    /// Base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binary_value: Option<String>,
}

/// A message to send.
#[derive(Debug, Clone, Default)]
pub struct NewMessage {
    pub body: String,
    /// The queue's own if absent.
    pub delay_seconds: Option<i64>,
    pub attributes: BTreeMap<String, MessageAttribute>,
    /// The system attribute `AWSTraceHeader`.
    pub trace_header: Option<String>,
}

impl NewMessage {
    /// Bytes that count against the size limit: the body and all of the attributes.
    pub fn size(&self) -> usize {
        let attributes: usize = self
            .attributes
            .iter()
            .map(|(name, attribute)| {
                let text = attribute.string_value.as_ref().map_or(0, String::len);
                // Base64 holds 3 bytes in 4 characters.
                let binary = attribute
                    .binary_value
                    .as_ref()
                    .map_or(0, |value| value.len() / 4 * 3);
                name.len() + attribute.data_type.len() + text + binary
            })
            .sum();
        self.body.len() + attributes
    }
}

/// What the sender is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub message_id: String,
    pub md5_of_body: String,
}

/// Puts a message into the queue.
///
/// # Errors
/// `MissingParameter` for an empty body; `InvalidMessageContents` for characters that XML can't hold;
/// `InvalidParameterValue` for one too large or delayed too long.
pub fn send(
    db: &Connection,
    queue: &Queue,
    message: &NewMessage,
    sender: &str,
    now: Timestamp,
) -> ApiResult<Sent> {
    check(queue, message)?;
    let delay = message
        .delay_seconds
        .unwrap_or_else(|| queue.number("DelaySeconds"));
    let message_id = uuid::Uuid::new_v4().to_string();
    db.prepare_cached(
        "INSERT INTO sqs_messages (queue, id, body, attributes, trace_header, sender, sent, visible_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        queue.id,
        message_id,
        message.body,
        serde_json::json!(message.attributes).to_string(),
        message.trace_header,
        sender,
        now.as_millisecond(),
        now.as_millisecond() + delay * 1000,
    ])?;
    Ok(Sent {
        message_id,
        md5_of_body: md5_hex(message.body.as_bytes()),
    })
}

pub(super) fn md5_hex(bytes: &[u8]) -> String {
    hex::encode(Md5::digest(bytes))
}

fn check(queue: &Queue, message: &NewMessage) -> ApiResult<()> {
    if message.body.is_empty() {
        return Err(ApiError::new(
            "MissingParameter",
            "The request must contain the parameter MessageBody.",
        ));
    }
    let texts = message
        .attributes
        .values()
        .filter_map(|attribute| attribute.string_value.as_deref());
    for text in texts.chain([message.body.as_str()]) {
        if let Some(bad) = text.chars().find(|c| !is_xml_char(*c)) {
            return Err(ApiError::new(
                "InvalidMessageContents",
                format!(
                    "Invalid binary character '#x{:X}' was found in the message body, the set of allowed characters is \
                     #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF",
                    u32::from(bad)
                ),
            ));
        }
    }
    // SQS lets a message have ten attributes.
    if message.attributes.len() > 10 {
        return Err(ApiError::new(
            "InvalidParameterValue",
            "Number of message attributes exceeds the limit [10].",
        ));
    }
    for (name, attribute) in &message.attributes {
        let one_value = attribute.string_value.is_some() != attribute.binary_value.is_some();
        let base = attribute.data_type.split('.').next().unwrap_or_default();
        let fits = match base {
            "String" | "Number" => attribute.string_value.is_some(),
            "Binary" => attribute.binary_value.is_some(),
            _ => false,
        };
        if !one_value || !fits || name.is_empty() {
            return Err(ApiError::new(
                "InvalidParameterValue",
                format!(
                    "The message attribute '{name}' must have a type (String, Number or Binary) and one value of it."
                ),
            ));
        }
    }
    let most = queue.number("MaximumMessageSize");
    if i64::try_from(message.size()).unwrap_or(i64::MAX) > most {
        return Err(ApiError::new(
            "InvalidParameterValue",
            format!(
                "One or more parameters are invalid. Reason: Message must be shorter than {most} bytes."
            ),
        ));
    }
    // The range of the API reference.
    if let Some(delay) = message.delay_seconds
        && !(0..=900).contains(&delay)
    {
        return Err(invalid_parameter(
            "DelaySeconds",
            delay,
            "DelaySeconds must be >= 0 and <= 900.",
        ));
    }
    Ok(())
}

/// Deletes the message if `handle` is of its last receive. An older handle changes nothing and is no error, as
/// on AWS.
///
/// # Errors
/// `ReceiptHandleIsInvalid` for what isn't a handle of this queue.
pub fn delete_message(db: &Connection, queue: &Queue, handle: &str) -> ApiResult<()> {
    let receipt = Receipt::read(queue, handle)?;
    db.prepare_cached("DELETE FROM sqs_messages WHERE queue = ?1 AND id = ?2 AND receipt = ?3")?
        .execute(params![queue.id, receipt.message_id, receipt.nonce])?;
    Ok(())
}

/// Makes a message in flight visible `seconds` from now.
///
/// # Errors
/// `ReceiptHandleIsInvalid`; `InvalidParameterValue` if the message is gone, was received again, or would be
/// invisible for more than 12 h in all; `MessageNotInflight` if it is visible.
pub fn change_visibility(
    db: &Connection,
    queue: &Queue,
    handle: &str,
    seconds: i64,
    now: Timestamp,
) -> ApiResult<()> {
    let receipt = Receipt::read(queue, handle)?;
    if !(0..=LONGEST_INVISIBLE_SECONDS).contains(&seconds) {
        return Err(invalid_parameter(
            "VisibilityTimeout",
            seconds,
            "Must be between 0 and 43200.",
        ));
    }
    let found: Option<(i64, i64)> = db
        .prepare_cached(
            "SELECT visible_at, received FROM sqs_messages
             WHERE queue = ?1 AND id = ?2 AND receipt = ?3 AND sent > ?4",
        )?
        .query_row(
            params![
                queue.id,
                receipt.message_id,
                receipt.nonce,
                queue.oldest_kept(now)
            ],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let Some((visible_at, received)) = found else {
        return Err(invalid_parameter(
            "ReceiptHandle",
            handle,
            "Message does not exist or is not available for visibility timeout change.",
        ));
    };
    let now = now.as_millisecond();
    if visible_at <= now {
        return Err(ApiError::new(
            "AWS.SimpleQueueService.MessageNotInflight",
            "The specified message isn't in flight.",
        ));
    }
    let until = now + seconds * 1000;
    if until > received + LONGEST_INVISIBLE_SECONDS * 1000 {
        return Err(invalid_parameter(
            "VisibilityTimeout",
            seconds,
            "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]",
        ));
    }
    db.prepare_cached("UPDATE sqs_messages SET visible_at = ?3 WHERE queue = ?1 AND id = ?2")?
        .execute(params![queue.id, receipt.message_id, until])?;
    Ok(())
}

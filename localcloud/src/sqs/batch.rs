//! Actions on up to ten messages at once: each entry succeeds or fails by itself.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::messages::new_message;
use super::{Sqs, requests};
use crate::caller::Caller;
use crate::error::{ApiError, ApiResult};
use crate::json_protocol::read;
use crate::state::sqs as state;

/// Entries of one batch (SQS quota).
const MOST_ENTRIES: usize = 10;

/// All bodies and attributes of one batch together: 1 MiB (SQS quota).
const MOST_BYTES: usize = 1_048_576;

fn refused(code: &str, message: &str) -> ApiError {
    ApiError::new(format!("AWS.SimpleQueueService.{code}"), message)
}

/// Number and names of entries.
fn check<'a>(ids: impl ExactSizeIterator<Item = &'a str>) -> ApiResult<()> {
    match ids.len() {
        0 => {
            return Err(refused(
                "EmptyBatchRequest",
                "There should be at least one entry in the request.",
            ));
        }
        1..=MOST_ENTRIES => {}
        more => {
            return Err(refused(
                "TooManyEntriesInBatchRequest",
                &format!(
                    "Maximum number of entries per request are {MOST_ENTRIES}. You have sent {more}."
                ),
            ));
        }
    }
    let mut seen = BTreeSet::new();
    for id in ids {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if id.is_empty() || id.len() > 80 || !id.chars().all(allowed) {
            return Err(refused(
                "InvalidBatchEntryId",
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.",
            ));
        }
        if !seen.insert(id) {
            return Err(refused(
                "BatchEntryIdsNotDistinct",
                &format!("Id {id} repeated."),
            ));
        }
    }
    Ok(())
}

/// The answer, from each entry's.
fn answer(results: Vec<(String, ApiResult<Value>)>) -> Value {
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for (id, result) in results {
        match result {
            Ok(mut value) => {
                value["Id"] = json!(id);
                successful.push(value);
            }
            Err(error) => failed.push(json!({
                "Id": id,
                "SenderFault": error.status < 500,
                "Code": error.code,
                "Message": error.message,
            })),
        }
    }
    let mut answer = json!({ "Successful": successful });
    if !failed.is_empty() {
        answer["Failed"] = json!(failed);
    }
    answer
}

impl Sqs {
    pub(super) fn send_message_batch(&self, caller: &Caller, body: &[u8]) -> ApiResult<Value> {
        let request: requests::Batch<requests::SendEntry> = read(body)?;
        let queue = self.queue(caller, "SendMessage", &request.queue_url)?;
        check(request.entries.iter().map(|entry| entry.id.as_str()))?;
        let messages: Vec<_> = request
            .entries
            .into_iter()
            .map(|entry| {
                let message = new_message(
                    entry.message_body,
                    entry.delay_seconds,
                    entry.message_attributes,
                    entry.message_system_attributes,
                );
                (entry.id, message)
            })
            .collect();
        let bytes: usize = messages
            .iter()
            .filter_map(|(_, message)| message.as_ref().ok())
            .map(state::NewMessage::size)
            .sum();
        if bytes > MOST_BYTES {
            return Err(refused(
                "BatchRequestTooLong",
                &format!(
                    "Batch requests cannot be longer than {MOST_BYTES} bytes. You have sent {bytes} bytes."
                ),
            ));
        }
        let sender = self.sender_id(caller)?;
        let results = messages
            .into_iter()
            .map(|(id, message)| {
                let result = message.and_then(|message| self.send_one(&queue, &message, &sender));
                (id, result)
            })
            .collect();
        Ok(answer(results))
    }

    pub(super) fn delete_message_batch(&self, caller: &Caller, body: &[u8]) -> ApiResult<Value> {
        let request: requests::Batch<requests::DeleteEntry> = read(body)?;
        let queue = self.queue(caller, "DeleteMessage", &request.queue_url)?;
        check(request.entries.iter().map(|entry| entry.id.as_str()))?;
        let results = request
            .entries
            .into_iter()
            .map(|entry| {
                let result = self
                    .store
                    .transaction(|db| state::delete_message(db, &queue, &entry.receipt_handle));
                (entry.id, result.map(|()| json!({})))
            })
            .collect();
        Ok(answer(results))
    }

    pub(super) fn change_message_visibility_batch(
        &self,
        caller: &Caller,
        body: &[u8],
    ) -> ApiResult<Value> {
        let request: requests::Batch<requests::VisibilityEntry> = read(body)?;
        let queue = self.queue(caller, "ChangeMessageVisibility", &request.queue_url)?;
        check(request.entries.iter().map(|entry| entry.id.as_str()))?;
        let results = request
            .entries
            .into_iter()
            .map(|entry| {
                let result =
                    self.change_one(&queue, &entry.receipt_handle, entry.visibility_timeout);
                (entry.id, result.map(|()| json!({})))
            })
            .collect();
        Ok(answer(results))
    }
}

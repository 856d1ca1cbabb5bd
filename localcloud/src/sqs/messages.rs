//! Actions on single messages, but receiving.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::attribute_digest::md5_of_attributes;
use super::{Sqs, requests};
use crate::caller::Caller;
use crate::error::{ApiError, ApiResult};
use crate::json_protocol::read;
use crate::state::sqs::{self as state, MessageAttribute, NewMessage, Queue};

/// The only system attribute that a sender can set.
const TRACE_HEADER: &str = "AWSTraceHeader";

/// A message as it is to be sent.
pub(super) fn new_message(
    body: String,
    delay_seconds: Option<i64>,
    attributes: BTreeMap<String, MessageAttribute>,
    mut system: BTreeMap<String, MessageAttribute>,
) -> ApiResult<NewMessage> {
    let trace_header = system
        .remove(TRACE_HEADER)
        .and_then(|attribute| attribute.string_value);
    if let Some(name) = system.keys().next() {
        return Err(ApiError::new(
            "InvalidParameterValue",
            format!("The message system attribute {name} can't be set: only {TRACE_HEADER} can."),
        ));
    }
    Ok(NewMessage {
        body,
        delay_seconds,
        attributes,
        trace_header,
    })
}

impl Sqs {
    /// Sends one and says what its sender is told.
    pub(super) fn send_one(
        &self,
        queue: &Queue,
        message: &NewMessage,
        sender: &str,
    ) -> ApiResult<Value> {
        let sent = self
            .store
            .transaction(|db| state::send(db, queue, message, sender, self.clock.now()))?;
        let mut answer = json!({
            "MessageId": sent.message_id,
            "MD5OfMessageBody": sent.md5_of_body,
        });
        if let Some(md5) = md5_of_attributes(&message.attributes) {
            answer["MD5OfMessageAttributes"] = json!(md5);
        }
        if let Some(header) = &message.trace_header {
            let system = BTreeMap::from([(
                TRACE_HEADER.to_owned(),
                MessageAttribute {
                    data_type: "String".to_owned(),
                    string_value: Some(header.clone()),
                    binary_value: None,
                },
            )]);
            answer["MD5OfMessageSystemAttributes"] = json!(md5_of_attributes(&system));
        }
        self.arrivals.notify_waiters();
        Ok(answer)
    }

    pub(super) fn send_message(&self, caller: &Caller, body: &[u8]) -> ApiResult<Value> {
        let request: requests::SendMessage = read(body)?;
        let queue = self.queue(caller, "SendMessage", &request.queue_url)?;
        let message = new_message(
            request.message_body,
            request.delay_seconds,
            request.message_attributes,
            request.message_system_attributes,
        )?;
        self.send_one(&queue, &message, &self.sender_id(caller)?)
    }

    pub(super) fn delete_message(&self, caller: &Caller, body: &[u8]) -> ApiResult<Value> {
        let request: requests::DeleteMessage = read(body)?;
        let queue = self.queue(caller, "DeleteMessage", &request.queue_url)?;
        self.store
            .transaction(|db| state::delete_message(db, &queue, &request.receipt_handle))?;
        Ok(Value::Null)
    }

    /// Changes one and wakes those who may now find it visible.
    pub(super) fn change_one(&self, queue: &Queue, handle: &str, seconds: i64) -> ApiResult<()> {
        self.store.transaction(|db| {
            state::change_visibility(db, queue, handle, seconds, self.clock.now())
        })?;
        self.arrivals.notify_waiters();
        Ok(())
    }

    pub(super) fn change_message_visibility(
        &self,
        caller: &Caller,
        body: &[u8],
    ) -> ApiResult<Value> {
        let request: requests::ChangeMessageVisibility = read(body)?;
        let queue = self.queue(caller, "ChangeMessageVisibility", &request.queue_url)?;
        self.change_one(&queue, &request.receipt_handle, request.visibility_timeout)?;
        Ok(Value::Null)
    }
}

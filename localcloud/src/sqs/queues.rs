//! Actions on queues.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Sqs, requests};
use crate::account::ACCOUNT;
use crate::caller::Caller;
use crate::error::{ApiError, ApiResult};
use crate::iam::Context;
use crate::json_protocol::read;
use crate::state::sqs::{self as state, attributes, invalid_parameter};

/// A page of ListQueues holds at most so many (SQS API reference).
const LARGEST_PAGE: i64 = 1000;

/// Attributes that are told but can't be set.
const TOLD: &[&str] = &[
    "QueueArn",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
];

impl Sqs {
    pub(super) fn create_queue(&self, caller: &Caller, body: &[u8]) -> ApiResult<Value> {
        let request: requests::CreateQueue = read(body)?;
        let tags: Vec<(String, String)> = request.tags.clone().into_iter().collect();
        let mut context = Context::at(self.clock.now());
        context.request_tags(&tags);
        self.allow_with(caller, "CreateQueue", &request.queue_name, &context)?;
        if !tags.is_empty() {
            self.allow_with(caller, "TagQueue", &request.queue_name, &context)?;
        }
        let queue = self.store.transaction(|db| {
            state::create_queue(
                db,
                &request.queue_name,
                &request.attributes,
                &request.tags,
                self.clock.now(),
            )
        })?;
        Ok(json!({ "QueueUrl": self.url(&queue.name) }))
    }

    pub(super) fn get_queue_url(&self, caller: &Caller, body: &[u8]) -> ApiResult<Value> {
        let request: requests::GetQueueUrl = read(body)?;
        self.allow(caller, "GetQueueUrl", &request.queue_name)?;
        let queue = self
            .store
            .transaction(|db| state::find_queue(db, &request.queue_name))
            .and_then(|queue| match request.owner.as_deref() {
                None | Some(ACCOUNT) => Ok(queue),
                Some(_) => Err(ApiError::new(
                    "AWS.SimpleQueueService.NonExistentQueue",
                    "The specified queue does not exist or you do not have access to it.",
                )),
            })?;
        Ok(json!({ "QueueUrl": self.url(&queue.name) }))
    }

    pub(super) fn list_queues(&self, caller: &Caller, body: &[u8]) -> ApiResult<Value> {
        let request: requests::ListQueues = read(body)?;
        self.allow(caller, "ListQueues", "*")?;
        let page = request.max_results.unwrap_or(LARGEST_PAGE);
        if !(1..=LARGEST_PAGE).contains(&page) {
            return Err(invalid_parameter(
                "MaxResults",
                page,
                "Must be between 1 and 1000, if provided.",
            ));
        }
        let page = usize::try_from(page).unwrap_or(usize::MAX);
        let after = match &request.next_token {
            None => String::new(),
            Some(token) => URL_SAFE_NO_PAD
                .decode(token)
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(|| {
                    invalid_parameter("NextToken", token, "Not a token of ListQueues.")
                })?,
        };
        let mut queues = self.store.transaction(|db| {
            state::list_queues(db, &request.queue_name_prefix, &after, page + 1)
        })?;
        let more = queues.len() > page;
        queues.truncate(page);
        let mut answer = json!({});
        // Where the caller asked for no pages, there is one, as on AWS.
        if let (true, Some(_), Some(last)) = (more, request.max_results, queues.last()) {
            answer["NextToken"] = json!(URL_SAFE_NO_PAD.encode(&last.name));
        }
        if !queues.is_empty() {
            let urls: Vec<String> = queues.iter().map(|queue| self.url(&queue.name)).collect();
            answer["QueueUrls"] = json!(urls);
        }
        Ok(answer)
    }

    pub(super) fn get_queue_attributes(&self, caller: &Caller, body: &[u8]) -> ApiResult<Value> {
        let request: requests::GetQueueAttributes = read(body)?;
        let queue = self.queue(caller, "GetQueueAttributes", &request.queue_url)?;
        let counts = self
            .store
            .transaction(|db| state::counts(db, &queue, self.clock.now()))?;
        let mut all = attributes::effective(&queue.attributes);
        let told = [
            queue.arn(),
            queue.created.as_second().to_string(),
            queue.modified.as_second().to_string(),
            counts.visible.to_string(),
            counts.in_flight.to_string(),
            counts.delayed.to_string(),
        ];
        all.extend(TOLD.iter().map(|name| (*name).to_owned()).zip(told));
        let mut wanted = BTreeMap::new();
        for name in &request.attribute_names {
            if name == "All" {
                wanted.extend(all.clone());
            } else if let Some(value) = all.get(name) {
                wanted.insert(name.clone(), value.clone());
            } else if !attributes::is_known(name) {
                return Err(ApiError::new(
                    "InvalidAttributeName",
                    format!("Unknown Attribute {name}."),
                ));
            }
        }
        Ok(if wanted.is_empty() {
            json!({})
        } else {
            json!({ "Attributes": wanted })
        })
    }

    pub(super) fn set_queue_attributes(&self, caller: &Caller, body: &[u8]) -> ApiResult<Value> {
        let request: requests::SetQueueAttributes = read(body)?;
        let queue = self.queue(caller, "SetQueueAttributes", &request.queue_url)?;
        self.store.transaction(|db| {
            state::set_attributes(db, &queue.name, &request.attributes, self.clock.now())
        })?;
        self.arrivals.notify_waiters();
        Ok(Value::Null)
    }

    pub(super) fn delete_queue(&self, caller: &Caller, body: &[u8]) -> ApiResult<Value> {
        let request: requests::OnQueue = read(body)?;
        let queue = self.queue(caller, "DeleteQueue", &request.queue_url)?;
        self.store
            .transaction(|db| state::delete_queue(db, &queue.name, self.clock.now()))?;
        // Who waits for its messages learns that it is gone.
        self.arrivals.notify_waiters();
        Ok(Value::Null)
    }

    pub(super) fn purge_queue(&self, caller: &Caller, body: &[u8]) -> ApiResult<Value> {
        let request: requests::OnQueue = read(body)?;
        let queue = self.queue(caller, "PurgeQueue", &request.queue_url)?;
        self.store
            .transaction(|db| state::purge_queue(db, &queue.name, self.clock.now()))?;
        Ok(Value::Null)
    }

    pub(super) fn tag_queue(&self, caller: &Caller, body: &[u8]) -> ApiResult<Value> {
        let request: requests::TagQueue = read(body)?;
        let queue = self.queue(caller, "TagQueue", &request.queue_url)?;
        self.store.transaction(|db| {
            let mut tags = state::tags(db, &queue.name)?;
            tags.extend(request.tags);
            state::set_tags(db, &queue.name, &tags)
        })?;
        Ok(Value::Null)
    }

    pub(super) fn untag_queue(&self, caller: &Caller, body: &[u8]) -> ApiResult<Value> {
        let request: requests::UntagQueue = read(body)?;
        let queue = self.queue(caller, "UntagQueue", &request.queue_url)?;
        self.store.transaction(|db| {
            let mut tags = state::tags(db, &queue.name)?;
            tags.retain(|key, _| !request.tag_keys.contains(key));
            state::set_tags(db, &queue.name, &tags)
        })?;
        Ok(Value::Null)
    }

    pub(super) fn list_queue_tags(&self, caller: &Caller, body: &[u8]) -> ApiResult<Value> {
        let request: requests::OnQueue = read(body)?;
        let queue = self.queue(caller, "ListQueueTags", &request.queue_url)?;
        let tags = self.store.transaction(|db| state::tags(db, &queue.name))?;
        Ok(if tags.is_empty() {
            json!({})
        } else {
            json!({ "Tags": tags })
        })
    }
}

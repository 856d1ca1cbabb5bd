//! SQS: the wire side (AWS JSON 1.0) and long polling.
//!
//! Deviations from AWS: standard queues only; delivery is once and in order of sending where nothing is
//! redelivered (AWS promises neither, so clients must not count on it); counts are exact; changes are seen
//! at once.

mod attribute_digest;
mod batch;
mod messages;
mod moves;
mod queues;
mod requests;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::account::ACCOUNT;
use crate::caller::Caller;
use crate::clock::Clock;
use crate::error::{ApiError, ApiResult};
use crate::iam::{Context, authorize_on};
use crate::state::Store;
use crate::state::iam::{Principal, find_role, user_id};
use crate::state::sqs::{self as state, Queue, arn_of, invalid_parameter};

/// The service.
#[derive(Clone)]
pub struct Sqs {
    store: Store,
    clock: Arc<dyn Clock>,
    /// `http://127.0.0.1:PORT`, as queue URLs begin.
    endpoint: String,
    /// Told when messages may have become visible in any queue.
    arrivals: Arc<Notify>,
}

impl Sqs {
    pub fn new(store: Store, clock: Arc<dyn Clock>, endpoint: String) -> Self {
        Self {
            store,
            clock,
            endpoint,
            arrivals: Arc::new(Notify::new()),
        }
    }

    /// Does one action; `Null` where the answer has no body.
    ///
    /// # Errors
    /// SQS's, under the codes of the query protocol, and `InvalidAction` for one that isn't offered here.
    pub async fn handle(&self, caller: &Caller, action: &str, body: &[u8]) -> ApiResult<Value> {
        match action {
            "CreateQueue" => self.create_queue(caller, body),
            "GetQueueUrl" => self.get_queue_url(caller, body),
            "ListQueues" => self.list_queues(caller, body),
            "GetQueueAttributes" => self.get_queue_attributes(caller, body),
            "SetQueueAttributes" => self.set_queue_attributes(caller, body),
            "DeleteQueue" => self.delete_queue(caller, body),
            "PurgeQueue" => self.purge_queue(caller, body),
            "TagQueue" => self.tag_queue(caller, body),
            "UntagQueue" => self.untag_queue(caller, body),
            "ListQueueTags" => self.list_queue_tags(caller, body),
            "SendMessage" => self.send_message(caller, body),
            "SendMessageBatch" => self.send_message_batch(caller, body),
            "ReceiveMessage" => self.receive_message(caller, body).await,
            "DeleteMessage" => self.delete_message(caller, body),
            "DeleteMessageBatch" => self.delete_message_batch(caller, body),
            "ChangeMessageVisibility" => self.change_message_visibility(caller, body),
            "ChangeMessageVisibilityBatch" => self.change_message_visibility_batch(caller, body),
            "StartMessageMoveTask" => self.start_message_move_task(caller, body),
            "ListMessageMoveTasks" => self.list_message_move_tasks(caller, body),
            other => Err(ApiError::new(
                "InvalidAction",
                format!("The local cloud's SQS has no action {other}."),
            )),
        }
    }

    fn url(&self, queue: &str) -> String {
        format!("{}/{ACCOUNT}/{queue}", self.endpoint)
    }

    /// The queue's name in a URL. Any host will do: the server may have had another port when the URL was made.
    fn name_in_url(url: &str) -> ApiResult<String> {
        let path = url::Url::parse(url).ok();
        let segments: Vec<&str> = path
            .as_ref()
            .and_then(url::Url::path_segments)
            .map(Iterator::collect)
            .unwrap_or_default();
        match segments[..] {
            [ACCOUNT, name] => Ok(name.to_owned()),
            _ => Err(ApiError::new(
                "InvalidAddress",
                format!("The address {url} is not valid for this endpoint."),
            )
            .with_status(404)),
        }
    }

    /// Checks the caller's right on a queue. Batches need the right of the single action.
    fn allow(&self, caller: &Caller, action: &str, queue: &str) -> ApiResult<()> {
        self.allow_with(caller, action, queue, &Context::at(self.clock.now()))
    }

    fn allow_with(
        &self,
        caller: &Caller,
        action: &str,
        queue: &str,
        context: &Context,
    ) -> ApiResult<()> {
        let policy = self
            .store
            .transaction(|db| state::find_queue(db, queue))
            .ok()
            .and_then(|queue| queue.attributes.get("Policy").cloned())
            .filter(|policy| !policy.is_empty());
        // The list of all queues is of none.
        let resource = match queue {
            "*" => "*".to_owned(),
            queue => arn_of(queue),
        };
        authorize_on(
            &self.store,
            caller,
            &format!("sqs:{action}"),
            &resource,
            context,
            policy.as_deref(),
        )
    }

    /// The queue that a URL names, once the caller may do `action` on it.
    fn queue(&self, caller: &Caller, action: &str, url: &str) -> ApiResult<Queue> {
        let name = Self::name_in_url(url)?;
        self.allow(caller, action, &name)?;
        self.store.transaction(|db| state::find_queue(db, &name))
    }

    /// The system attribute `SenderId`: the account, or a role's id and session.
    fn sender_id(&self, caller: &Caller) -> ApiResult<String> {
        match &caller.principal {
            Principal::Root => Ok(ACCOUNT.to_owned()),
            Principal::Role { role, session } => {
                let role = self.store.transaction(|db| find_role(db, role))?;
                Ok(format!("{}:{session}", role.id))
            }
            Principal::User { name } => self.store.transaction(|db| user_id(db, name)),
        }
    }

    async fn receive_message(&self, caller: &Caller, body: &[u8]) -> ApiResult<Value> {
        let request: requests::ReceiveMessage = crate::json_protocol::read(body)?;
        let queue = self.queue(caller, "ReceiveMessage", &request.queue_url)?;
        let names = request.names()?;
        let most = request.max_number_of_messages.unwrap_or(1);
        if !(1..=10).contains(&most) {
            return Err(invalid_parameter(
                "MaxNumberOfMessages",
                most,
                "Must be between 1 and 10, if provided.",
            ));
        }
        let visibility = request
            .visibility_timeout
            .unwrap_or_else(|| queue.number("VisibilityTimeout"));
        if !(0..=state::LONGEST_INVISIBLE_SECONDS).contains(&visibility) {
            return Err(invalid_parameter(
                "VisibilityTimeout",
                visibility,
                "Must be between 0 and 43200, if provided.",
            ));
        }
        let wait = request
            .wait_time_seconds
            .unwrap_or_else(|| queue.number("ReceiveMessageWaitTimeSeconds"));
        if !(0..=20).contains(&wait) {
            return Err(invalid_parameter(
                "WaitTimeSeconds",
                wait,
                "Must be >= 0 and <= 20, if provided.",
            ));
        }
        let deadline = Instant::now() + Duration::from_secs(wait.unsigned_abs());
        loop {
            // Listening before looking: a message sent in between is not missed.
            let mut arrival = std::pin::pin!(self.arrivals.notified());
            arrival.as_mut().enable();
            let now = self.clock.now();
            // Looked up each time: it may be changed or deleted while this waits.
            let (taken, next) = self.store.transaction(|db| {
                let queue = state::find_queue(db, &queue.name)?;
                let taken = state::receive(db, &queue, most, visibility, now)?;
                Ok((taken, state::next_visible(db, &queue, now)?))
            })?;
            if taken.buried > 0 {
                self.arrivals.notify_waiters();
            }
            if !taken.messages.is_empty() || Instant::now() >= deadline {
                if taken.messages.is_empty() {
                    return Ok(json!({}));
                }
                let messages: Vec<Value> = taken
                    .messages
                    .iter()
                    .map(|message| names.describe(message))
                    .collect();
                return Ok(json!({ "Messages": messages }));
            }
            let wake = next
                .and_then(|next| Duration::try_from(next.duration_since(now)).ok())
                .map_or(deadline, |left| deadline.min(Instant::now() + left));
            tokio::select! {
                () = arrival => {}
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }
}

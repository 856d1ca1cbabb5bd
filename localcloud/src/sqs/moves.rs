//! Message move tasks: dead letters back to where they came from.

use serde_json::{Value, json};

use super::{Sqs, requests};
use crate::caller::Caller;
use crate::error::ApiResult;
use crate::json_protocol::read;
use crate::state::sqs::{self as state, invalid_parameter};

impl Sqs {
    fn allow_on_arn(&self, caller: &Caller, action: &str, arn: &str) -> ApiResult<()> {
        let name = arn.rsplit(':').next().unwrap_or_default();
        self.allow(caller, action, name)
    }

    pub(super) fn start_message_move_task(&self, caller: &Caller, body: &[u8]) -> ApiResult<Value> {
        let request: requests::StartMessageMoveTask = read(body)?;
        self.allow_on_arn(caller, "StartMessageMoveTask", &request.source_arn)?;
        // Accepted in AWS's range; messages here move at once whatever it says.
        let per_second = request.max_number_of_messages_per_second;
        if let Some(rate) = per_second
            && !(1..=500).contains(&rate)
        {
            return Err(invalid_parameter(
                "MaxNumberOfMessagesPerSecond",
                rate,
                "Must be between 1 and 500, if provided.",
            ));
        }
        let task = self.store.transaction(|db| {
            state::start_move_task(
                db,
                &request.source_arn,
                request.destination_arn.as_deref(),
                per_second,
                self.clock.now(),
            )
        })?;
        self.arrivals.notify_waiters();
        Ok(json!({ "TaskHandle": task.handle }))
    }

    pub(super) fn list_message_move_tasks(&self, caller: &Caller, body: &[u8]) -> ApiResult<Value> {
        let request: requests::ListMessageMoveTasks = read(body)?;
        self.allow_on_arn(caller, "ListMessageMoveTasks", &request.source_arn)?;
        let most = request.max_results.unwrap_or(1);
        if !(1..=10).contains(&most) {
            return Err(invalid_parameter(
                "MaxResults",
                most,
                "Must be between 1 and 10, if provided.",
            ));
        }
        let tasks = self.store.transaction(|db| {
            state::list_move_tasks(
                db,
                &request.source_arn,
                usize::try_from(most).unwrap_or(usize::MAX),
            )
        })?;
        let results: Vec<Value> = tasks
            .iter()
            .map(|task| {
                let mut result = json!({
                    "Status": "COMPLETED",
                    "SourceArn": task.source_arn,
                    "ApproximateNumberOfMessagesMoved": task.moved,
                    "ApproximateNumberOfMessagesToMove": task.moved,
                    "StartedTimestamp": task.started.as_millisecond(),
                });
                if let Some(arn) = &task.destination_arn {
                    result["DestinationArn"] = json!(arn);
                }
                if let Some(rate) = task.per_second {
                    result["MaxNumberOfMessagesPerSecond"] = json!(rate);
                }
                result
            })
            .collect();
        Ok(json!({ "Results": results }))
    }
}

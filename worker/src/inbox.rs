//! The queues: where work comes from and where its outcome goes. SQS, behind two traits.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName};

use crate::aws::describe;

/// A message as it was received. While it is held no one else sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The queue's id for the message.
    pub id: String,
    /// What this receipt is answered with.
    pub receipt: String,
    pub body: String,
    /// How often it has been received, this time included.
    pub times: u32,
}

/// How many messages a queue has. SQS says that these are approximate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Waiting, delayed ones included.
    pub visible: u64,
    /// Held by some worker.
    pub in_flight: u64,
}

/// A queue didn't answer as it should: the machine's or the cloud's fault, never a file's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("can't {action} {queue}: {why}")]
pub struct QueueError {
    pub action: &'static str,
    pub queue: String,
    pub why: String,
}

/// The input queue.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// Waits up to `wait` for a message and holds it for `hold`.
    async fn receive(&self, wait: Duration, hold: Duration)
    -> Result<Option<Delivery>, QueueError>;
    /// Holds a message for `hold` from now on. Zero gives it back at once.
    async fn hold(&self, delivery: &Delivery, hold: Duration) -> Result<(), QueueError>;
    /// Takes a message off the queue for good.
    async fn delete(&self, delivery: &Delivery) -> Result<(), QueueError>;
    /// After how many receipts a message is buried by the queue itself; `None`: never.
    async fn max_receives(&self) -> Result<Option<u32>, QueueError>;
    /// How many messages there are.
    async fn depth(&self) -> Result<Depth, QueueError>;
}

/// The output queue.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Sends one message.
    async fn send(&self, body: &str) -> Result<(), QueueError>;
}

/// A queue of SQS.
#[derive(Debug, Clone)]
pub struct SqsQueue {
    client: aws_sdk_sqs::Client,
    url: String,
}

impl SqsQueue {
    /// The queue at that URL.
    pub fn new(client: aws_sdk_sqs::Client, url: &str) -> Self {
        Self {
            client,
            url: url.to_owned(),
        }
    }

    fn error(&self, action: &'static str, why: String) -> QueueError {
        QueueError {
            action,
            queue: self.url.clone(),
            why,
        }
    }
}

/// SQS counts in whole seconds, at most 12 hours.
fn whole_seconds(time: Duration) -> i32 {
    i32::try_from(time.as_secs().min(43_200)).unwrap_or(43_200)
}

/// `maxReceiveCount` of a redrive policy, which is a number or one in quotes.
fn max_receives_of(policy: &str) -> Option<u32> {
    let policy: serde_json::Value = serde_json::from_str(policy).ok()?;
    match &policy["maxReceiveCount"] {
        serde_json::Value::String(text) => text.parse().ok(),
        number => number.as_u64().and_then(|n| u32::try_from(n).ok()),
    }
}

#[async_trait]
impl Inbox for SqsQueue {
    async fn receive(
        &self,
        wait: Duration,
        hold: Duration,
    ) -> Result<Option<Delivery>, QueueError> {
        let answer = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(1)
            .wait_time_seconds(whole_seconds(wait))
            .visibility_timeout(whole_seconds(hold))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .send()
            .await
            .map_err(|e| self.error("read from", describe(&e)))?;
        let Some(message) = answer.messages.unwrap_or_default().into_iter().next() else {
            return Ok(None);
        };
        let times = message
            .attributes
            .as_ref()
            .and_then(|a| a.get(&MessageSystemAttributeName::ApproximateReceiveCount))
            .and_then(|n| n.parse().ok())
            .unwrap_or(1);
        Ok(Some(Delivery {
            id: message.message_id.unwrap_or_default(),
            receipt: message
                .receipt_handle
                .ok_or_else(|| self.error("read from", "a message without receipt".to_owned()))?,
            body: message.body.unwrap_or_default(),
            times,
        }))
    }

    async fn hold(&self, delivery: &Delivery, hold: Duration) -> Result<(), QueueError> {
        self.client
            .change_message_visibility()
            .queue_url(&self.url)
            .receipt_handle(&delivery.receipt)
            .visibility_timeout(whole_seconds(hold))
            .send()
            .await
            .map(drop)
            .map_err(|e| self.error("change a message's visibility on", describe(&e)))
    }

    async fn delete(&self, delivery: &Delivery) -> Result<(), QueueError> {
        self.client
            .delete_message()
            .queue_url(&self.url)
            .receipt_handle(&delivery.receipt)
            .send()
            .await
            .map(drop)
            .map_err(|e| self.error("delete a message from", describe(&e)))
    }

    async fn max_receives(&self) -> Result<Option<u32>, QueueError> {
        let answer = self
            .client
            .get_queue_attributes()
            .queue_url(&self.url)
            .attribute_names(QueueAttributeName::RedrivePolicy)
            .send()
            .await
            .map_err(|e| self.error("read the redrive policy of", describe(&e)))?;
        Ok(answer
            .attributes
            .and_then(|mut all| all.remove(&QueueAttributeName::RedrivePolicy))
            .and_then(|policy| max_receives_of(&policy)))
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let answer = self
            .client
            .get_queue_attributes()
            .queue_url(&self.url)
            .set_attribute_names(Some(names.to_vec()))
            .send()
            .await
            .map_err(|e| self.error("count the messages of", describe(&e)))?;
        let attributes = answer.attributes.unwrap_or_default();
        let [waiting, delayed, held] =
            names.map(|n| attributes.get(&n).and_then(|v| v.parse::<u64>().ok()));
        // A number that is missing must not be taken for zero: the worker would leave.
        match (waiting, delayed, held) {
            (Some(waiting), delayed, Some(held)) => Ok(Depth {
                visible: waiting + delayed.unwrap_or(0),
                in_flight: held,
            }),
            _ => Err(self.error(
                "count the messages of",
                "the answer has no numbers".to_owned(),
            )),
        }
    }
}

#[async_trait]
impl Outbox for SqsQueue {
    async fn send(&self, body: &str) -> Result<(), QueueError> {
        self.client
            .send_message()
            .queue_url(&self.url)
            .message_body(body)
            .send()
            .await
            .map(drop)
            .map_err(|e| self.error("send to", describe(&e)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqs_limits_are_kept() {
        assert_eq!(whole_seconds(Duration::from_millis(1900)), 1);
        assert_eq!(whole_seconds(Duration::from_secs(100_000)), 43_200);
        assert_eq!(whole_seconds(Duration::MAX), 43_200);
    }

    #[test]
    fn a_count_in_quotes_is_the_same_count() {
        let number = r#"{"deadLetterTargetArn":"arn:x","maxReceiveCount":3}"#;
        assert_eq!(max_receives_of(number), Some(3));
        assert_eq!(max_receives_of(r#"{"maxReceiveCount":"3"}"#), Some(3));
        assert_eq!(max_receives_of("{}"), None);
    }
}

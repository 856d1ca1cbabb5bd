//! SQS messages: send, receive, delete, count. (The queues themselves are made elsewhere.)

use std::time::Duration;

use aws_sdk_sqs::error::BuildError;
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry,
    DeleteMessageBatchRequestEntry, MessageSystemAttributeName, QueueAttributeName,
    SendMessageBatchRequestEntry,
};
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;

use super::bucket;
use crate::aws::Cause;
use crate::cloud::Cloud;
use crate::error::{Error, Result};
use crate::wait::{self, Look};

/// SQS takes and gives at most this many messages a call.
pub const BATCH: usize = 10;
/// Most bytes of all messages in one call. SQS allowed 256 KiB for most of its life and 1 MiB
/// since August 2025; the smaller is right everywhere and ten of our messages are under 20 KiB.
const BATCH_BYTES: usize = 256 * 1024;
/// Calls beside each other; SQS has no limit on them for a standard queue.
const CALLS_AT_ONCE: usize = 10;
/// Rounds of sending what a batch call refused for the service's own reasons.
const ROUNDS: u32 = 5;
/// Pause after the first such round; doubled after each.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// How long a new queue may be unknown: SQS asks its users to wait a second after CreateQueue.
const NEW_QUEUE: Duration = Duration::from_secs(5);

/// A queue that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    pub name: String,
    pub url: String,
}

/// A message in our hands until its visibility ends.
#[derive(Debug, Clone)]
pub struct Received {
    pub id: String,
    pub receipt: String,
    pub body: String,
    /// How often it was handed out, this time included.
    pub receives: u32,
    /// When it was first sent.
    pub sent: Option<Timestamp>,
}

/// How full a queue is; all counts are SQS's approximations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Depth {
    pub visible: u64,
    pub in_flight: u64,
    /// When the queue was made, in seconds since 1970: tells a queue from a later one of its name.
    #[serde(skip)]
    pub made: i64,
}

/// Finds a queue of the stack by its name.
///
/// # Errors
/// Says that the stack isn't up if there is none.
pub async fn open(cloud: &Cloud, name: &str) -> Result<Queue> {
    if let Some(queue) = find(cloud, name).await? {
        return Ok(queue);
    }
    let names = &cloud.names;
    let not_up = || {
        Error::failed(format!(
            "stack {} is not up in {}: there is no queue {name}",
            names.stack, names.region
        ))
        .hint("create it with `muck up`, or name another stack with --stack")
    };
    // The rest of the stack is there: the queue may have been created a moment ago.
    let bucket = bucket::look(&cloud.aws, &names.output_bucket()).await;
    if !matches!(bucket, Ok(Some(_))) {
        return Err(not_up());
    }
    let what = format!("queue {name}");
    wait::until(&what, NEW_QUEUE, || async {
        let queue = find(cloud, name).await?;
        Ok(queue.map_or_else(|| Look::NotYet("not known yet".to_owned()), Look::Done))
    })
    .await
    .map_err(|_| not_up())
}

async fn find(cloud: &Cloud, name: &str) -> Result<Option<Queue>> {
    let call = cloud.aws.sqs.get_queue_url().queue_name(name);
    match call.send().await.map_err(Cause::from) {
        Ok(found) => {
            let url = found
                .queue_url
                .ok_or_else(|| Error::failed(format!("SQS named no address for queue {name}")))?;
            Ok(Some(Queue {
                name: name.to_owned(),
                url,
            }))
        }
        Err(cause) if is_missing(&cause) => Ok(None),
        Err(cause) => Err(Error::failed(format!("cannot find queue {name}")).because(cause)),
    }
}

/// SQS says it with one code over JSON and with another over its older protocol.
fn is_missing(cause: &Cause) -> bool {
    cause.is_any(&[
        "AWS.SimpleQueueService.NonExistentQueue",
        "QueueDoesNotExist",
    ])
}

/// Sends all of `bodies`, up to ten a call; calls made are counted in `requests`.
///
/// An answer that got lost is repeated by the client, so a message may arrive twice: receivers
/// must bear that (they do: one verdict a job).
///
/// # Errors
/// Names the queue and the first message that SQS refuses for good; earlier ones are sent.
pub async fn send(
    cloud: &Cloud,
    queue: &Queue,
    bodies: &[String],
    requests: &mut u64,
) -> Result<()> {
    let mut left: Vec<usize> = (0..bodies.len()).collect();
    let mut pause = FIRST_PAUSE;
    for round in 1..=ROUNDS {
        let mut again = Vec::new();
        let calls = calls(bodies, &left);
        *requests += calls.len() as u64;
        let mut sending = futures::stream::iter(&calls)
            .map(|call| send_some(cloud, queue, bodies, call, round == ROUNDS))
            .buffer_unordered(CALLS_AT_ONCE);
        while let Some(refused) = sending.try_next().await? {
            again.extend(refused);
        }
        if again.is_empty() {
            return Ok(());
        }
        left = again;
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    Err(Error::failed(format!(
        "cannot send to queue {}",
        queue.name
    )))
}

/// One call; returns which of them to send again.
async fn send_some(
    cloud: &Cloud,
    queue: &Queue,
    bodies: &[String],
    call: &[usize],
    last: bool,
) -> Result<Vec<usize>> {
    let cannot = || Error::failed(format!("cannot send to queue {}", queue.name));
    let entries = call
        .iter()
        .map(|&index| {
            SendMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .message_body(&bodies[index])
                .build()
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| cannot().because(error))?;
    let answer = cloud
        .aws
        .sqs
        .send_message_batch()
        .queue_url(&queue.url)
        .set_entries(Some(entries))
        .send()
        .await
        .map_err(|error| cannot().because(Cause::from(error)))?;
    let mut again = Vec::new();
    for failed in answer.failed {
        if failed.sender_fault || last {
            let why = failed.message.unwrap_or_default();
            return Err(cannot().because(format!("{}: {why}", failed.code)));
        }
        again.extend(
            failed
                .id
                .parse::<usize>()
                .ok()
                .filter(|index| call.contains(index)),
        );
    }
    Ok(again)
}

/// Cuts the messages into calls of at most ten messages and [`BATCH_BYTES`].
fn calls(bodies: &[String], which: &[usize]) -> Vec<Vec<usize>> {
    let mut calls: Vec<Vec<usize>> = Vec::new();
    let mut bytes = 0;
    for &index in which {
        let size = bodies[index].len();
        match calls.last_mut() {
            Some(call) if call.len() < BATCH && bytes + size <= BATCH_BYTES => {
                call.push(index);
                bytes += size;
            }
            _ => {
                calls.push(vec![index]);
                bytes = size;
            }
        }
    }
    calls
}

/// Takes up to ten messages, waiting up to `wait` (whole seconds, 20 at most) for the first.
/// `hold` is how long others don't see them; `None`: as the queue says.
pub async fn receive(
    cloud: &Cloud,
    queue: &Queue,
    wait: Duration,
    hold: Option<Duration>,
) -> Result<Vec<Received>> {
    let seconds = |duration: Duration| i32::try_from(duration.as_secs()).unwrap_or(i32::MAX);
    let answer = cloud
        .aws
        .sqs
        .receive_message()
        .queue_url(&queue.url)
        .max_number_of_messages(10)
        .wait_time_seconds(seconds(wait))
        .set_visibility_timeout(hold.map(seconds))
        .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
        .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
        .send()
        .await
        .map_err(|error| {
            Error::failed(format!("cannot read queue {}", queue.name)).because(Cause::from(error))
        })?;
    Ok(answer
        .messages
        .unwrap_or_default()
        .into_iter()
        .filter_map(|message| {
            let number = |name: MessageSystemAttributeName| -> Option<i64> {
                message.attributes.as_ref()?.get(&name)?.parse().ok()
            };
            let receives = number(MessageSystemAttributeName::ApproximateReceiveCount);
            let sent = number(MessageSystemAttributeName::SentTimestamp);
            Some(Received {
                id: message.message_id.unwrap_or_default(),
                receipt: message.receipt_handle?,
                body: message.body.unwrap_or_default(),
                receives: receives.and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
                sent: sent.and_then(|at| Timestamp::from_millisecond(at).ok()),
            })
        })
        .collect())
}

/// Deletes up to ten messages by their receipts. One whose receipt is too old comes again, which
/// its receiver must bear anyway, so single refusals are not an error.
pub async fn delete(cloud: &Cloud, queue: &Queue, receipts: &[String]) -> Result<()> {
    let cannot = || Error::failed(format!("cannot delete from queue {}", queue.name));
    let entries = entries(receipts, |id, receipt| {
        DeleteMessageBatchRequestEntry::builder()
            .id(id)
            .receipt_handle(receipt)
            .build()
    })
    .map_err(|error| cannot().because(error))?;
    let answer = cloud
        .aws
        .sqs
        .delete_message_batch()
        .queue_url(&queue.url)
        .set_entries(Some(entries))
        .send()
        .await
        .map_err(|error| cannot().because(Cause::from(error)))?;
    note_refusals(queue, "deleted", &answer.failed);
    Ok(())
}

/// Gives up to ten messages back: others see them at once. One whose receipt is too old is back already.
pub async fn release(cloud: &Cloud, queue: &Queue, receipts: &[String]) -> Result<()> {
    let cannot = || Error::failed(format!("cannot give messages back to queue {}", queue.name));
    let entries = entries(receipts, |id, receipt| {
        ChangeMessageVisibilityBatchRequestEntry::builder()
            .id(id)
            .receipt_handle(receipt)
            .visibility_timeout(0)
            .build()
    })
    .map_err(|error| cannot().because(error))?;
    let answer = cloud
        .aws
        .sqs
        .change_message_visibility_batch()
        .queue_url(&queue.url)
        .set_entries(Some(entries))
        .send()
        .await
        .map_err(|error| cannot().because(Cause::from(error)))?;
    note_refusals(queue, "given back", &answer.failed);
    Ok(())
}

/// The entries of a batch call on these receipts, each with an id of its own.
fn entries<T>(
    receipts: &[String],
    entry: impl Fn(String, &str) -> Result<T, BuildError>,
) -> Result<Vec<T>, BuildError> {
    let numbered = receipts.iter().enumerate();
    numbered
        .map(|(index, receipt)| entry(index.to_string(), receipt))
        .collect()
}

/// `done`: what was asked for. Whoever received a message bears that it comes again, so one is no error.
fn note_refusals(queue: &Queue, done: &str, failed: &[BatchResultErrorEntry]) {
    for one in failed {
        tracing::debug!(
            queue = queue.name,
            code = one.code,
            "a message was not {done}"
        );
    }
}

/// Counts the messages in a queue.
pub async fn depth(cloud: &Cloud, queue: &Queue) -> Result<Depth> {
    let answer = cloud
        .aws
        .sqs
        .get_queue_attributes()
        .queue_url(&queue.url)
        .attribute_names(QueueAttributeName::ApproximateNumberOfMessages)
        .attribute_names(QueueAttributeName::ApproximateNumberOfMessagesNotVisible)
        .attribute_names(QueueAttributeName::ApproximateNumberOfMessagesDelayed)
        .attribute_names(QueueAttributeName::CreatedTimestamp)
        .send()
        .await
        .map_err(|error| {
            Error::failed(format!("cannot count the messages in queue {}", queue.name))
                .because(Cause::from(error))
        })?;
    let attributes = answer.attributes.unwrap_or_default();
    let number = |name: &QueueAttributeName| -> u64 {
        attributes
            .get(name)
            .and_then(|count| count.parse().ok())
            .unwrap_or(0)
    };
    Ok(Depth {
        visible: number(&QueueAttributeName::ApproximateNumberOfMessages)
            + number(&QueueAttributeName::ApproximateNumberOfMessagesDelayed),
        in_flight: number(&QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
        made: i64::try_from(number(&QueueAttributeName::CreatedTimestamp)).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn calls_keep_to_both_limits_and_lose_nothing(sizes in prop::collection::vec(0_usize..120_000, 0..40)) {
            let bodies: Vec<String> = sizes.iter().map(|&size| "x".repeat(size)).collect();
            let which: Vec<usize> = (0..bodies.len()).collect();
            let calls = calls(&bodies, &which);
            for call in &calls {
                prop_assert!(call.len() <= BATCH);
                let bytes: usize = call.iter().map(|&i| bodies[i].len()).sum();
                prop_assert!(bytes <= BATCH_BYTES || call.len() == 1);
            }
            prop_assert_eq!(calls.concat(), which);
        }
    }
}

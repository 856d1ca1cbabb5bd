//! What is in the stack's queues.

use super::STACK;
use crate::harness::sdk::Sdk;

/// Messages of a queue: visible, held.
pub(super) fn counts(sdk: &Sdk, purpose: &str) -> [u64; 2] {
    use aws_sdk_sqs::types::QueueAttributeName::{
        ApproximateNumberOfMessages as Visible, ApproximateNumberOfMessagesNotVisible as Held,
    };

    let call = sdk
        .sqs
        .get_queue_attributes()
        .queue_url(sdk.queue_url(STACK, purpose));
    let call = call.attribute_names(Visible).attribute_names(Held);
    let answer = sdk.run(call.send()).expect("counts");
    let counts = answer.attributes.expect("some");
    [Visible, Held].map(|name| counts[&name].parse().expect("a number"))
}

pub(super) fn waiting(sdk: &Sdk, purpose: &str) -> u64 {
    counts(sdk, purpose).iter().sum()
}

/// Takes what is visible in a queue.
pub(super) fn take_all(sdk: &Sdk, purpose: &str) -> Vec<String> {
    let url = sdk.queue_url(STACK, purpose);
    let mut bodies = Vec::new();
    loop {
        let call = sdk.sqs.receive_message().queue_url(&url);
        let call = call.max_number_of_messages(10).wait_time_seconds(0);
        let messages = sdk
            .run(call.send())
            .expect("messages")
            .messages
            .unwrap_or_default();
        if messages.is_empty() {
            return bodies;
        }
        for message in messages {
            let receipt = message.receipt_handle.expect("a receipt");
            let call = sdk.sqs.delete_message().queue_url(&url);
            sdk.run(call.receipt_handle(receipt).send())
                .expect("deletes");
            bodies.extend(message.body);
        }
    }
}

//! SQS through the real SDK client.

use std::time::{Duration, Instant};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, MessageAttributeValue, MessageSystemAttributeName,
    QueueAttributeName, SendMessageBatchRequestEntry,
};

use crate::harness::{Cloud, code, message};

async fn queue(sqs: &Client, name: &str) -> String {
    sqs.create_queue()
        .queue_name(name)
        .send()
        .await
        .unwrap()
        .queue_url
        .unwrap()
}

async fn counts(sqs: &Client, url: &str) -> (String, String, String) {
    let answer = sqs
        .get_queue_attributes()
        .queue_url(url)
        .attribute_names(QueueAttributeName::All)
        .send()
        .await
        .unwrap();
    let all = answer.attributes().unwrap();
    let get = |name: QueueAttributeName| all[&name].clone();
    (
        get(QueueAttributeName::ApproximateNumberOfMessages),
        get(QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
        get(QueueAttributeName::ApproximateNumberOfMessagesDelayed),
    )
}

#[tokio::test]
async fn a_message_from_send_to_delete() {
    let cloud = Cloud::start().await;
    let sqs = cloud.sqs();
    let url = queue(&sqs, "muck-a-input").await;
    assert_eq!(
        url,
        format!("{}/000000000000/muck-a-input", cloud.info.endpoint)
    );
    let sent = sqs
        .send_message()
        .queue_url(&url)
        .message_body("Bucket: b\nInputKey: k\n")
        .send()
        .await
        .unwrap();
    assert_eq!(
        sent.md5_of_message_body(),
        Some("7b5a17c4ae066a37e682254efccbf0ec"),
    );
    let received = sqs
        .receive_message()
        .queue_url(&url)
        .message_system_attribute_names(MessageSystemAttributeName::All)
        .send()
        .await
        .unwrap();
    let [message] = received.messages() else {
        panic!("one message: {received:?}")
    };
    assert_eq!(message.body(), Some("Bucket: b\nInputKey: k\n"));
    assert_eq!(message.message_id(), sent.message_id());
    assert_eq!(message.md5_of_body(), sent.md5_of_message_body());
    let attributes = message.attributes().unwrap();
    assert_eq!(
        attributes[&MessageSystemAttributeName::ApproximateReceiveCount],
        "1"
    );
    assert_eq!(
        attributes[&MessageSystemAttributeName::SenderId],
        "000000000000"
    );
    assert!(attributes.contains_key(&MessageSystemAttributeName::SentTimestamp));
    assert_eq!(
        counts(&sqs, &url).await,
        ("0".into(), "1".into(), "0".into())
    );
    sqs.delete_message()
        .queue_url(&url)
        .receipt_handle(message.receipt_handle().unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(
        counts(&sqs, &url).await,
        ("0".into(), "0".into(), "0".into())
    );
    cloud.shutdown().await;
}

#[tokio::test]
async fn a_long_poll_is_woken_by_a_send() {
    let cloud = Cloud::start().await;
    let sqs = cloud.sqs();
    let url = queue(&sqs, "q").await;
    let waiting = {
        let (sqs, url) = (sqs.clone(), url.clone());
        tokio::spawn(async move {
            let since = Instant::now();
            let received = sqs
                .receive_message()
                .queue_url(url)
                .wait_time_seconds(20)
                .send()
                .await
                .unwrap();
            (received.messages().len(), since.elapsed())
        })
    };
    // Until the poll has begun, by the journal.
    loop {
        let calls = cloud.calls().await;
        if calls.iter().any(|call| call["action"] == "ReceiveMessage") {
            break;
        }
        tokio::task::yield_now().await;
    }
    sqs.send_message()
        .queue_url(&url)
        .message_body("x")
        .send()
        .await
        .unwrap();
    let (messages, took) = waiting.await.unwrap();
    assert_eq!(messages, 1);
    assert!(took < Duration::from_secs(15), "{took:?}");
    cloud.shutdown().await;
}

#[tokio::test]
async fn a_poll_whose_caller_is_gone_takes_nothing() {
    let cloud = Cloud::start().await;
    let sqs = cloud.sqs();
    let url = queue(&sqs, "q").await;
    // A client of its own: its connection ends with it.
    let waiting = {
        let (sqs, url) = (cloud.sqs(), url.clone());
        tokio::spawn(async move {
            sqs.receive_message()
                .queue_url(url)
                .wait_time_seconds(20)
                .send()
                .await
        })
    };
    let progress = async || {
        let calls = cloud.calls().await;
        calls
            .iter()
            .find(|call| call["action"] == "ReceiveMessage")
            .map(|call| call["progress"].clone())
    };
    while progress().await.is_none() {
        tokio::task::yield_now().await;
    }
    waiting.abort();
    let since = Instant::now();
    while progress().await.unwrap() != "abandoned" {
        assert!(
            since.elapsed() < Duration::from_secs(10),
            "the poll goes on"
        );
        tokio::task::yield_now().await;
    }
    sqs.send_message()
        .queue_url(&url)
        .message_body("x")
        .send()
        .await
        .unwrap();
    assert_eq!(
        counts(&sqs, &url).await,
        ("1".into(), "0".into(), "0".into())
    );
    cloud.shutdown().await;
}

#[tokio::test]
async fn a_poll_ends_when_a_message_becomes_visible_again() {
    let cloud = Cloud::start().await;
    let sqs = cloud.sqs();
    let url = queue(&sqs, "q").await;
    sqs.send_message()
        .queue_url(&url)
        .message_body("x")
        .send()
        .await
        .unwrap();
    let first = sqs
        .receive_message()
        .queue_url(&url)
        .visibility_timeout(1)
        .send()
        .await
        .unwrap();
    let second = sqs
        .receive_message()
        .queue_url(&url)
        .wait_time_seconds(20)
        .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
        .send()
        .await
        .unwrap();
    let again = &second.messages()[0];
    assert_eq!(
        again.attributes().unwrap()[&MessageSystemAttributeName::ApproximateReceiveCount],
        "2"
    );
    // The old receipt deletes nothing, and says nothing.
    let delete = |handle: &str| {
        sqs.delete_message()
            .queue_url(&url)
            .receipt_handle(handle)
            .send()
    };
    delete(first.messages()[0].receipt_handle().unwrap())
        .await
        .unwrap();
    assert_eq!(counts(&sqs, &url).await.1, "1");
    delete(again.receipt_handle().unwrap()).await.unwrap();
    assert_eq!(counts(&sqs, &url).await.1, "0");
    cloud.shutdown().await;
}

#[tokio::test]
async fn visibility_can_be_changed_and_given_back() {
    let cloud = Cloud::start().await;
    let sqs = cloud.sqs();
    let url = queue(&sqs, "q").await;
    sqs.send_message()
        .queue_url(&url)
        .message_body("x")
        .send()
        .await
        .unwrap();
    let received = sqs.receive_message().queue_url(&url).send().await.unwrap();
    let handle = received.messages()[0].receipt_handle().unwrap();
    let change = |seconds| {
        sqs.change_message_visibility()
            .queue_url(&url)
            .receipt_handle(handle)
            .visibility_timeout(seconds)
            .send()
    };
    change(300).await.unwrap();
    assert_eq!(code(change(43_201).await), "InvalidParameterValue");
    change(0).await.unwrap();
    assert_eq!(counts(&sqs, &url).await.0, "1");
    assert_eq!(
        code(change(10).await),
        "AWS.SimpleQueueService.MessageNotInflight"
    );
    cloud.shutdown().await;
}

#[tokio::test]
async fn batches_succeed_and_fail_by_entry() {
    let cloud = Cloud::start().await;
    let sqs = cloud.sqs();
    let url = queue(&sqs, "q").await;
    let entry = |id: &str, body: &str| {
        SendMessageBatchRequestEntry::builder()
            .id(id)
            .message_body(body)
            .build()
            .unwrap()
    };
    let sent = sqs
        .send_message_batch()
        .queue_url(&url)
        .entries(entry("good", "x"))
        .entries(entry("bad", "\u{1}"))
        .send()
        .await
        .unwrap();
    assert_eq!(sent.successful()[0].id(), "good");
    assert_eq!(sent.failed()[0].id(), "bad");
    assert_eq!(sent.failed()[0].code(), "InvalidMessageContents");
    assert!(sent.failed()[0].sender_fault());
    let twice = sqs
        .send_message_batch()
        .queue_url(&url)
        .entries(entry("a", "x"))
        .entries(entry("a", "y"))
        .send()
        .await;
    assert!(
        twice
            .unwrap_err()
            .into_service_error()
            .is_batch_entry_ids_not_distinct()
    );
    let large = "x".repeat(600_000);
    let long = sqs
        .send_message_batch()
        .queue_url(&url)
        .entries(entry("a", &large))
        .entries(entry("b", &large))
        .send()
        .await;
    assert!(
        long.unwrap_err()
            .into_service_error()
            .is_batch_request_too_long()
    );

    let received = sqs
        .receive_message()
        .queue_url(&url)
        .max_number_of_messages(10)
        .send()
        .await
        .unwrap();
    let deleted = sqs
        .delete_message_batch()
        .queue_url(&url)
        .entries(
            DeleteMessageBatchRequestEntry::builder()
                .id("one")
                .receipt_handle(received.messages()[0].receipt_handle().unwrap())
                .build()
                .unwrap(),
        )
        .entries(
            DeleteMessageBatchRequestEntry::builder()
                .id("two")
                .receipt_handle("nonsense")
                .build()
                .unwrap(),
        )
        .send()
        .await
        .unwrap();
    assert_eq!(deleted.successful()[0].id(), "one");
    assert_eq!(deleted.failed()[0].code(), "ReceiptHandleIsInvalid");
    cloud.shutdown().await;
}

#[tokio::test]
async fn dead_letters_after_too_many_receives_and_back() {
    let cloud = Cloud::start().await;
    let sqs = cloud.sqs();
    let dead = queue(&sqs, "dead").await;
    let arn = "arn:aws:sqs:us-local-1:000000000000:dead";
    let url = sqs
        .create_queue()
        .queue_name("q")
        .attributes(
            QueueAttributeName::RedrivePolicy,
            format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":"1"}}"#),
        )
        .attributes(QueueAttributeName::VisibilityTimeout, "0")
        .send()
        .await
        .unwrap()
        .queue_url
        .unwrap();
    sqs.send_message()
        .queue_url(&url)
        .message_body("poison")
        .send()
        .await
        .unwrap();
    let receive = |url: &str| {
        sqs.receive_message()
            .queue_url(url)
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .send()
    };
    assert_eq!(receive(&url).await.unwrap().messages().len(), 1);
    assert_eq!(receive(&url).await.unwrap().messages().len(), 0);
    assert_eq!(counts(&sqs, &dead).await.0, "1");
    sqs.start_message_move_task()
        .source_arn(arn)
        .send()
        .await
        .unwrap();
    let tasks = sqs
        .list_message_move_tasks()
        .source_arn(arn)
        .send()
        .await
        .unwrap();
    assert_eq!(tasks.results()[0].approximate_number_of_messages_moved(), 1);
    assert_eq!(
        receive(&url).await.unwrap().messages()[0].body(),
        Some("poison")
    );
    let nowhere = sqs
        .set_queue_attributes()
        .queue_url(&url)
        .attributes(
            QueueAttributeName::RedrivePolicy,
            r#"{"deadLetterTargetArn":"arn:aws:sqs:us-local-1:000000000000:none","maxReceiveCount":3}"#,
        )
        .send()
        .await;
    assert!(message(nowhere).contains("Dead letter target does not exist"));
    cloud.shutdown().await;
}

#[tokio::test]
async fn queues_are_made_found_changed_listed_and_deleted() {
    let cloud = Cloud::start().await;
    let sqs = cloud.sqs();
    for name in ["muck-a-input", "muck-a-output", "muck-b-input"] {
        queue(&sqs, name).await;
    }
    let listed = sqs
        .list_queues()
        .queue_name_prefix("muck-a-")
        .send()
        .await
        .unwrap();
    assert_eq!(listed.queue_urls().len(), 2);
    let pages: Vec<String> = sqs
        .list_queues()
        .max_results(1)
        .into_paginator()
        .items()
        .send()
        .collect::<Result<_, _>>()
        .await
        .unwrap();
    assert_eq!(pages.len(), 3);

    let url = &listed.queue_urls()[0];
    sqs.set_queue_attributes()
        .queue_url(url)
        .attributes(QueueAttributeName::VisibilityTimeout, "77")
        .send()
        .await
        .unwrap();
    let attributes = sqs
        .get_queue_attributes()
        .queue_url(url)
        .attribute_names(QueueAttributeName::VisibilityTimeout)
        .attribute_names(QueueAttributeName::QueueArn)
        .send()
        .await
        .unwrap();
    let attributes = attributes.attributes().unwrap();
    assert_eq!(attributes[&QueueAttributeName::VisibilityTimeout], "77");
    assert_eq!(
        attributes[&QueueAttributeName::QueueArn],
        "arn:aws:sqs:us-local-1:000000000000:muck-a-input"
    );
    assert_eq!(attributes.len(), 2);
    let differently = sqs
        .create_queue()
        .queue_name("muck-a-input")
        .attributes(QueueAttributeName::VisibilityTimeout, "78")
        .send()
        .await;
    assert!(
        differently
            .unwrap_err()
            .into_service_error()
            .is_queue_name_exists()
    );

    sqs.tag_queue()
        .queue_url(url)
        .tags("muck:stack", "a")
        .tags("x", "y")
        .send()
        .await
        .unwrap();
    sqs.untag_queue()
        .queue_url(url)
        .tag_keys("x")
        .send()
        .await
        .unwrap();
    let tags = sqs.list_queue_tags().queue_url(url).send().await.unwrap();
    assert_eq!(tags.tags().unwrap().len(), 1);
    assert_eq!(tags.tags().unwrap()["muck:stack"], "a");

    sqs.delete_queue().queue_url(url).send().await.unwrap();
    let gone = sqs.get_queue_url().queue_name("muck-a-input").send().await;
    assert!(
        gone.unwrap_err()
            .into_service_error()
            .is_queue_does_not_exist()
    );
    let again = sqs.create_queue().queue_name("muck-a-input").send().await;
    assert!(
        again
            .unwrap_err()
            .into_service_error()
            .is_queue_deleted_recently()
    );
    cloud.shutdown().await;
}

#[tokio::test]
async fn a_purge_empties_once_a_minute() {
    let cloud = Cloud::start().await;
    let sqs = cloud.sqs();
    let url = queue(&sqs, "q").await;
    sqs.send_message()
        .queue_url(&url)
        .message_body("x")
        .send()
        .await
        .unwrap();
    let purge = || sqs.purge_queue().queue_url(&url).send();
    purge().await.unwrap();
    assert_eq!(counts(&sqs, &url).await.0, "0");
    assert!(
        purge()
            .await
            .unwrap_err()
            .into_service_error()
            .is_purge_queue_in_progress()
    );
    cloud.shutdown().await;
}

#[tokio::test]
async fn message_attributes_come_back() {
    let cloud = Cloud::start().await;
    let sqs = cloud.sqs();
    let url = queue(&sqs, "q").await;
    let value = MessageAttributeValue::builder()
        .data_type("String")
        .string_value("v")
        .build()
        .unwrap();
    let sent = sqs
        .send_message()
        .queue_url(&url)
        .message_body("x")
        .delay_seconds(0)
        .message_attributes("n", value.clone())
        .send()
        .await
        .unwrap();
    let received = sqs
        .receive_message()
        .queue_url(&url)
        .message_attribute_names("All")
        .send()
        .await
        .unwrap();
    let message = &received.messages()[0];
    assert_eq!(message.message_attributes().unwrap()["n"], value);
    assert_eq!(
        message.md5_of_message_attributes(),
        sent.md5_of_message_attributes()
    );
    cloud.shutdown().await;
}

#[tokio::test]
async fn state_survives_a_restart() {
    let cloud = Cloud::start().await;
    let sqs = cloud.sqs();
    let url = queue(&sqs, "q").await;
    for body in ["one", "two"] {
        sqs.send_message()
            .queue_url(&url)
            .message_body(body)
            .send()
            .await
            .unwrap();
    }
    let taken = sqs.receive_message().queue_url(&url).send().await.unwrap();
    let before = cloud.info.clone();
    let cloud = cloud.restart().await;
    assert_eq!(cloud.info.access_key_id, before.access_key_id);
    assert_eq!(cloud.info.endpoint, before.endpoint);
    let sqs = cloud.sqs();
    assert_eq!(
        counts(&sqs, &url).await,
        ("1".into(), "1".into(), "0".into())
    );
    sqs.delete_message()
        .queue_url(&url)
        .receipt_handle(taken.messages()[0].receipt_handle().unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(counts(&sqs, &url).await.1, "0");
    cloud.shutdown().await;
}

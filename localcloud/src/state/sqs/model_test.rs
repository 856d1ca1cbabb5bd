//! Random operations on a queue, beside a small model of what SQS promises: no message is lost, none is
//! visible twice, and the counts are right. And single stories of what the model leaves out.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::attributes::Attributes;
use super::*;
use crate::state::Store;

fn start() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn make(store: &Store, name: &str, attributes: &[(&str, &str)]) -> Queue {
    let attributes: Attributes = attributes
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    store
        .transaction(|db| create_queue(db, name, &attributes, &BTreeMap::new(), start()))
        .unwrap()
}

fn message(body: &str) -> NewMessage {
    NewMessage {
        body: body.to_owned(),
        ..NewMessage::default()
    }
}

/// What may happen; numbers pick among the receipts that there are.
#[derive(Debug, Clone)]
enum Step {
    Send { delay: i64 },
    Receive { most: i64, visibility: i64 },
    Delete { receipt: usize },
    Change { receipt: usize, seconds: i64 },
    Wait { seconds: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0i64..3).prop_map(|delay| Step::Send { delay }),
        3 => (1i64..4, 0i64..6).prop_map(|(most, visibility)| Step::Receive { most, visibility }),
        2 => (0usize..1000).prop_map(|receipt| Step::Delete { receipt }),
        2 => (0usize..1000, 0i64..6).prop_map(|(receipt, seconds)| Step::Change { receipt, seconds }),
        2 => (1i64..5).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

/// A message in the model.
#[derive(Debug, Clone)]
struct Model {
    visible_at: Timestamp,
    /// The last receipt.
    receipt: Option<String>,
    received: i64,
}

proptest! {
    #[test]
    fn behaves_as_the_model(steps in prop::collection::vec(step(), 1..80)) {
        let store = Store::in_memory().unwrap();
        let queue = make(&store, "q", &[]);
        let mut now = start();
        let mut model: BTreeMap<String, Model> = BTreeMap::new();
        let mut receipts: Vec<(String, String)> = Vec::new();
        for step in steps {
            match step {
                Step::Send { delay } => {
                    let new = NewMessage { delay_seconds: Some(delay), ..message("x") };
                    let sent = store.transaction(|db| send(db, &queue, &new, "me", now)).unwrap();
                    let fresh = model.insert(sent.message_id, Model {
                        visible_at: now + SignedDuration::from_secs(delay),
                        receipt: None,
                        received: 0,
                    });
                    prop_assert!(fresh.is_none());
                }
                Step::Receive { most, visibility } => {
                    let visible = model.values().filter(|m| m.visible_at <= now).count();
                    let taken = store.transaction(|db| receive(db, &queue, most, visibility, now)).unwrap();
                    prop_assert_eq!(taken.messages.len(), visible.min(usize::try_from(most).unwrap()));
                    for received in taken.messages {
                        let message = model.get_mut(&received.message_id).expect("known and not deleted");
                        prop_assert!(message.visible_at <= now, "received while invisible");
                        message.received += 1;
                        prop_assert_eq!(received.receive_count, message.received);
                        message.visible_at = now + SignedDuration::from_secs(visibility);
                        message.receipt = Some(received.receipt_handle.clone());
                        if visibility == 0 {
                            // Visible at once: it may come again in the next receive, not twice in this one.
                            prop_assert!(message.visible_at <= now);
                        }
                        receipts.push((received.message_id, received.receipt_handle));
                    }
                }
                Step::Delete { receipt } => {
                    let Some((id, handle)) = receipts.get(receipt % receipts.len().max(1)).cloned() else { continue };
                    store.transaction(|db| delete_message(db, &queue, &handle)).unwrap();
                    if model.get(&id).is_some_and(|m| m.receipt.as_ref() == Some(&handle)) {
                        model.remove(&id);
                    }
                }
                Step::Change { receipt, seconds } => {
                    let Some((id, handle)) = receipts.get(receipt % receipts.len().max(1)).cloned() else { continue };
                    let result = store.transaction(|db| change_visibility(db, &queue, &handle, seconds, now));
                    match model.get_mut(&id).filter(|m| m.receipt.as_ref() == Some(&handle)) {
                        Some(message) if message.visible_at > now => {
                            result.unwrap();
                            message.visible_at = now + SignedDuration::from_secs(seconds);
                        }
                        Some(_) => prop_assert_eq!(
                            result.unwrap_err().code, "AWS.SimpleQueueService.MessageNotInflight"
                        ),
                        None => prop_assert_eq!(result.unwrap_err().code, "InvalidParameterValue"),
                    }
                }
                Step::Wait { seconds } => now += SignedDuration::from_secs(seconds),
            }
            let is = store.transaction(|db| counts(db, &queue, now)).unwrap();
            let count = |f: &dyn Fn(&&Model) -> bool| i64::try_from(model.values().filter(f).count()).unwrap();
            prop_assert_eq!(is, Counts {
                visible: count(&|m| m.visible_at <= now),
                in_flight: count(&|m| m.visible_at > now && m.receipt.is_some()),
                delayed: count(&|m| m.visible_at > now && m.receipt.is_none()),
            });
        }
        // In the end all that was not deleted comes out, once each.
        now += SignedDuration::from_secs(100);
        let rest = store.transaction(|db| receive(db, &queue, 1000, 30, now)).unwrap();
        let mut ids: Vec<_> = rest.messages.into_iter().map(|m| m.message_id).collect();
        ids.sort();
        prop_assert_eq!(ids, model.into_keys().collect::<Vec<_>>());
    }
}

#[test]
fn a_message_received_too_often_goes_to_the_dead_letters() {
    let store = Store::in_memory().unwrap();
    let dead = make(&store, "dead", &[]);
    let redrive = format!(
        r#"{{"deadLetterTargetArn":"{}","maxReceiveCount":2}}"#,
        dead.arn()
    );
    let queue = make(&store, "q", &[("RedrivePolicy", &redrive)]);
    let sent = store
        .transaction(|db| send(db, &queue, &message("x"), "me", start()))
        .unwrap();
    let take = |queue: &Queue, at| {
        store
            .transaction(|db| receive(db, queue, 10, 5, at))
            .unwrap()
    };
    let at = |seconds| start() + SignedDuration::from_secs(seconds);
    assert_eq!(take(&queue, at(0)).messages[0].receive_count, 1);
    assert_eq!(take(&queue, at(5)).messages[0].receive_count, 2);
    assert!(take(&dead, at(9)).messages.is_empty());
    let third = take(&queue, at(10));
    assert!(third.messages.is_empty());
    assert_eq!(third.buried, 1);
    let letter = take(&dead, at(10)).messages.remove(0);
    assert_eq!(letter.message_id, sent.message_id);
    assert_eq!(letter.sent, start().as_millisecond());
    assert_eq!(letter.dead_letter_source, Some(queue.arn()));

    // And back.
    let task = store
        .transaction(|db| start_move_task(db, &dead.arn(), None, None, at(20)))
        .unwrap();
    assert_eq!(task.moved, 1);
    let again = take(&queue, at(20)).messages.remove(0);
    assert_eq!((again.receive_count, again.body.as_str()), (1, "x"));
    assert_ne!(again.message_id, sent.message_id);
    let error = store
        .transaction(|db| start_move_task(db, &queue.arn(), None, None, at(20)))
        .unwrap_err();
    assert_eq!(error.code, "AWS.SimpleQueueService.UnsupportedOperation");
}

#[test]
fn an_old_receipt_deletes_nothing_and_says_nothing() {
    let store = Store::in_memory().unwrap();
    let queue = make(&store, "q", &[]);
    store
        .transaction(|db| send(db, &queue, &message("x"), "me", start()))
        .unwrap();
    let take = |at| {
        store
            .transaction(|db| receive(db, &queue, 1, 5, at))
            .unwrap()
            .messages
            .remove(0)
    };
    let old = take(start());
    let later = start() + SignedDuration::from_secs(5);
    let new = take(later);
    store
        .transaction(|db| delete_message(db, &queue, &old.receipt_handle))
        .unwrap();
    let left = || store.transaction(|db| counts(db, &queue, later)).unwrap();
    assert_eq!(left().in_flight, 1);
    store
        .transaction(|db| delete_message(db, &queue, &new.receipt_handle))
        .unwrap();
    assert_eq!(left(), Counts::default());
    let error = store
        .transaction(|db| delete_message(db, &queue, "nonsense"))
        .unwrap_err();
    assert_eq!(error.code, "ReceiptHandleIsInvalid");
}

#[test]
fn twelve_hours_is_all_there_is() {
    let store = Store::in_memory().unwrap();
    let queue = make(&store, "q", &[("VisibilityTimeout", "43200")]);
    store
        .transaction(|db| send(db, &queue, &message("x"), "me", start()))
        .unwrap();
    let taken = store
        .transaction(|db| receive(db, &queue, 1, 43_200, start()))
        .unwrap();
    let handle = &taken.messages[0].receipt_handle;
    let change =
        |seconds, at| store.transaction(|db| change_visibility(db, &queue, handle, seconds, at));
    let hour = start() + SignedDuration::from_hours(1);
    change(11 * 3600, hour).unwrap();
    let error = change(11 * 3600 + 1, hour).unwrap_err();
    assert!(error.message.contains("beyond the limit"), "{error}");
}

#[test]
fn retention_counts_from_the_first_sending() {
    let store = Store::in_memory().unwrap();
    let queue = make(&store, "q", &[("MessageRetentionPeriod", "60")]);
    store
        .transaction(|db| send(db, &queue, &message("x"), "me", start()))
        .unwrap();
    let count = |seconds| {
        let at = start() + SignedDuration::from_secs(seconds);
        store
            .transaction(|db| counts(db, &queue, at))
            .unwrap()
            .visible
    };
    assert_eq!((count(59), count(60)), (1, 0));
}

#[test]
fn names_are_refused_for_a_minute_after_a_delete() {
    let store = Store::in_memory().unwrap();
    make(&store, "q", &[("DelaySeconds", "1")]);
    let create = |delay: &str, at| {
        let attributes = Attributes::from([("DelaySeconds".to_owned(), delay.to_owned())]);
        store
            .transaction(|db| create_queue(db, "q", &attributes, &BTreeMap::new(), at))
            .map(|queue| queue.name)
            .map_err(|error| error.code)
    };
    assert_eq!(create("1", start()).unwrap(), "q");
    assert_eq!(create("2", start()).unwrap_err(), "QueueAlreadyExists");
    store
        .transaction(|db| delete_queue(db, "q", start()))
        .unwrap();
    let soon = start() + SignedDuration::from_secs(59);
    assert_eq!(
        create("1", soon).unwrap_err(),
        "AWS.SimpleQueueService.QueueDeletedRecently"
    );
    assert_eq!(
        create("1", start() + SignedDuration::from_secs(60)).unwrap(),
        "q"
    );
}

#[test]
fn bodies_are_checked() {
    let store = Store::in_memory().unwrap();
    let queue = make(&store, "q", &[("MaximumMessageSize", "1024")]);
    let code = |body: &str| {
        store
            .transaction(|db| send(db, &queue, &message(body), "me", start()))
            .map_err(|error| error.code)
            .err()
    };
    assert_eq!(code(&"x".repeat(1024)), None);
    assert_eq!(
        code(&"x".repeat(1025)).as_deref(),
        Some("InvalidParameterValue")
    );
    assert_eq!(code("").as_deref(), Some("MissingParameter"));
    assert_eq!(code("a\u{1}").as_deref(), Some("InvalidMessageContents"));
    assert_eq!(code("tab\tand\u{202e}"), None);
}

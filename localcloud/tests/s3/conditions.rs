//! Writes under conditions: the arbiter of jobs stands on these.

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use futures::StreamExt as _;
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio::sync::mpsc;

use super::rig::{Rig, code, status};

fn if_absent(
    rig: &Rig,
    key: &str,
    body: &str,
) -> aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder {
    rig.client
        .put_object()
        .bucket("films")
        .key(key)
        .if_none_match("*")
        .body(body.to_owned().into_bytes().into())
}

#[tokio::test]
async fn the_first_wins() {
    let rig = Rig::new().await;
    rig.bucket("films").await;
    if_absent(&rig, "verdict", "first").send().await.unwrap();
    let error = if_absent(&rig, "verdict", "second")
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        (code(&error).as_str(), status(&error)),
        ("PreconditionFailed", 412)
    );
    assert_eq!(rig.get("films", "verdict").await.unwrap(), b"first");
    rig.files_settle(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_once_one_wins() {
    let rig = Rig::new().await;
    rig.bucket("films").await;
    let mut racers = Vec::new();
    for racer in 0..24 {
        let put = if_absent(&rig, "verdict", &format!("racer {racer}"));
        racers.push(tokio::spawn(async move { (racer, put.send().await) }));
    }
    let mut winners = Vec::new();
    for racer in racers {
        let (racer, outcome) = racer.await.unwrap();
        match outcome {
            Ok(_) => winners.push(racer),
            Err(error) => assert_eq!(status(&error), 412),
        }
    }
    assert_eq!(winners.len(), 1);
    let body = rig.get("films", "verdict").await.unwrap();
    assert_eq!(body, format!("racer {}", winners[0]).into_bytes());
    rig.files_settle(1).await;
}

#[tokio::test]
async fn an_expected_tag() {
    let rig = Rig::new().await;
    rig.bucket("films").await;
    let put = |etag: &str, body: &str| {
        rig.client
            .put_object()
            .bucket("films")
            .key("k")
            .if_match(etag)
            .body(body.to_owned().into_bytes().into())
            .send()
    };
    let error = put("\"aa\"", "x").await.unwrap_err();
    assert_eq!((code(&error).as_str(), status(&error)), ("NoSuchKey", 404));
    rig.put("films", "k", "hello").await;
    let error = put("\"aa\"", "x").await.unwrap_err();
    assert_eq!(
        (code(&error).as_str(), status(&error)),
        ("PreconditionFailed", 412)
    );
    put("\"5d41402abc4b2a76b9719d911017c592\"", "changed")
        .await
        .unwrap();
    assert_eq!(rig.get("films", "k").await.unwrap(), b"changed");

    let error = rig
        .client
        .delete_object()
        .bucket("films")
        .key("k")
        .if_match("\"aa\"")
        .send()
        .await
        .unwrap_err();
    assert_eq!(status(&error), 412);
    let error = rig
        .client
        .put_object()
        .bucket("films")
        .key("k")
        .if_none_match("\"aa\"")
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error), "NotImplemented");
}

/// A body of which the rest comes when it is told to.
fn held_back(first: Bytes, rest: mpsc::Receiver<Bytes>) -> ByteStream {
    let stream = futures::stream::unfold((Some(first), rest), |(first, mut rest)| async move {
        let chunk = match first {
            Some(first) => first,
            None => rest.recv().await?,
        };
        Some((Ok::<_, std::io::Error>(Frame::data(chunk)), (None, rest)))
    });
    ByteStream::new(SdkBody::from_body_1_x(StreamBody::new(Box::pin(
        stream.fuse(),
    ))))
}

#[tokio::test]
async fn a_delete_in_between_is_a_conflict() {
    let rig = Rig::new().await;
    rig.bucket("films").await;
    // More than is gathered in memory, so that a file shows that the write has begun.
    let first = Bytes::from(vec![1; 1 << 20]);
    let (release, rest) = mpsc::channel(1);
    let slow = rig
        .client
        .put_object()
        .bucket("films")
        .key("verdict")
        .if_none_match("*")
        .content_length((1 << 20) + 4)
        .body(held_back(first, rest))
        .customize()
        .disable_payload_signing();
    let slow = tokio::spawn(slow.send());
    rig.files_settle(1).await;
    rig.client
        .delete_object()
        .bucket("films")
        .key("verdict")
        .send()
        .await
        .unwrap();
    release.send(Bytes::from_static(b"news")).await.unwrap();
    drop(release);
    let error = slow.await.unwrap().unwrap_err();
    assert_eq!(
        (code(&error).as_str(), status(&error)),
        ("ConditionalRequestConflict", 409)
    );
    assert_eq!(
        rig.get("films", "verdict").await,
        Err("NoSuchKey".to_owned())
    );
    rig.files_settle(0).await;
}

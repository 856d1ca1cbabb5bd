//! What a restart finds.

use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt as _;

use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use localcloud::clock::Clock as _;
use localcloud::state::s3 as state;

use super::rig::{Rig, code};

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let rig = Rig::new().await;
    let b = rig.bucket("films").await;
    rig.put(&b, "k", "film").await;
    let up = rig
        .client
        .create_multipart_upload()
        .bucket(&b)
        .key("m")
        .send()
        .await
        .unwrap();
    let id = up.upload_id().unwrap().to_owned();
    let part = rig
        .client
        .upload_part()
        .bucket(&b)
        .key("m")
        .upload_id(&id)
        .part_number(1)
        .body("part".to_owned().into_bytes().into())
        .send()
        .await
        .unwrap();
    // What a crash would leave: half a body, and a whole one that was never committed.
    std::fs::write(rig.path().join("s3/incoming/half"), "half").unwrap();
    std::fs::write(rig.path().join("s3/bodies/ab/abandoned"), "whole").unwrap();
    let rig = rig.restart().await;
    assert_eq!(rig.files().len(), 2);
    assert_eq!(rig.get(&b, "k").await.unwrap(), b"film");
    rig.client
        .complete_multipart_upload()
        .bucket(&b)
        .key("m")
        .upload_id(&id)
        .multipart_upload(
            CompletedMultipartUpload::builder()
                .parts(
                    CompletedPart::builder()
                        .part_number(1)
                        .e_tag(part.e_tag().unwrap())
                        .build(),
                )
                .build(),
        )
        .send()
        .await
        .unwrap();
    let rig = rig.restart().await;
    assert_eq!(rig.get(&b, "m").await.unwrap(), b"part");
    assert_eq!(rig.keys(&b).await, ["k", "m"]);
    assert_eq!(rig.get(&b, "none").await, Err("NoSuchKey".to_owned()));
}

#[tokio::test]
async fn a_broken_off_upload_leaves_nothing() {
    let rig = Rig::new().await;
    let b = rig.bucket("films").await;
    let hour =
        aws_sdk_s3::presigning::PresigningConfig::expires_in(Duration::from_mins(1)).unwrap();
    let put = rig
        .client
        .put_object()
        .bucket(&b)
        .key("k")
        .presigned(hour)
        .await
        .unwrap();
    let target = put
        .uri()
        .split_once(&rig.address.to_string())
        .unwrap()
        .1
        .to_owned();
    let mut stream = tokio::net::TcpStream::connect(rig.address).await.unwrap();
    let head = format!(
        "PUT {target} HTTP/1.1\r\nHost: {}\r\nContent-Length: 9000000\r\n\r\n",
        rig.address
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![7; 3_000_000]).await.unwrap();
    rig.files_settle(1).await;
    drop(stream);
    rig.files_settle(0).await;
    let error = rig
        .client
        .head_object()
        .bucket(&b)
        .key("k")
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error), "NotFound");
}

/// The state is what bounds a mass deletion, so it is filled and emptied directly, a thousand keys
/// at a time, as `DeleteObjects` does. With the indexes the time grows no faster than the count.
#[test]
fn twenty_thousand_are_deleted_fast() {
    let dir = tempfile::tempdir().unwrap();
    let store = localcloud::state::Store::open(dir.path()).unwrap();
    let now = localcloud::clock::SystemClock.now();
    store
        .transaction(|tx| state::create_bucket(tx, "films", now))
        .unwrap();
    let object = |n: u32| state::NewObject {
        key: format!("media/{n:08x}"),
        size: 1,
        etag: "e".into(),
        attributes: state::Attributes::default(),
        checksum: None,
        tags: vec![],
        segments: vec![state::Segment {
            number: 1,
            file: format!("{n:032x}"),
            size: 1,
            checksum: None,
        }],
        parts: None,
    };
    store
        .transaction(|tx| {
            let bucket = state::find_bucket(tx, "films")?;
            for n in 0..20_000 {
                state::put_object(tx, &bucket, &object(n), &state::Condition::None, now)?;
            }
            Ok(())
        })
        .unwrap();
    let start = Instant::now();
    let mut doomed = 0;
    for batch in 0..20 {
        doomed += store
            .transaction(|tx| {
                let bucket = state::find_bucket(tx, "films")?;
                let page = state::list_objects(
                    tx,
                    &state::PageRequest {
                        bucket: "films",
                        limit: 1000,
                        ..state::PageRequest::default()
                    },
                )?;
                assert_eq!(page.entries.len(), 1000, "batch {batch}");
                let mut doomed = 0;
                for entry in page.entries {
                    let deletion = state::Deletion {
                        key: entry.name().to_owned(),
                        ..state::Deletion::default()
                    };
                    doomed += state::delete_object(tx, &bucket, &deletion, now)?
                        .doomed
                        .len();
                }
                Ok(doomed)
            })
            .unwrap();
    }
    let took = start.elapsed();
    assert_eq!(doomed, 20_000);
    store
        .transaction(|tx| state::delete_bucket(tx, "films"))
        .unwrap();
    // A few seconds unoptimised on a busy core; without an index each delete reads all 20,000.
    assert!(took < Duration::from_secs(30), "{took:?}");
}

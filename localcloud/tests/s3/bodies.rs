//! Large bodies: streamed both ways, never whole in memory.

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::body::Frame;

use super::rig::Rig;

/// Resident memory of this process that no file backs, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("RssAnon:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

/// 192 MiB go in and out while memory grows by less than a quarter of that: client and server
/// together, since both are one process. It is a process of its own, because tests beside it
/// would count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_bounded() {
    const CHUNK: usize = 64 * 1024;
    const CHUNKS: usize = 3072;
    const ALONE: &str = "LOCALCLOUD_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let child = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "s3::bodies::memory_stays_bounded"])
            .env(ALONE, "1")
            .output()
            .await
            .unwrap();
        let told = String::from_utf8_lossy(&child.stdout);
        assert!(
            child.status.success() && told.contains("1 passed"),
            "{told}"
        );
        return;
    }
    let rig = Rig::new().await;
    let b = rig.bucket("films").await;
    let before = resident();
    let chunk = Bytes::from(vec![0x5A; CHUNK]);
    let stream = futures::stream::iter(
        (0..CHUNKS).map(move |_| Ok::<_, std::io::Error>(Frame::data(chunk.clone()))),
    );
    rig.client
        .put_object()
        .bucket(&b)
        .key("big")
        .content_length(i64::try_from(CHUNK * CHUNKS).unwrap())
        .body(ByteStream::new(SdkBody::from_body_1_x(StreamBody::new(
            stream,
        ))))
        .customize()
        .disable_payload_signing()
        .send()
        .await
        .unwrap();
    let mut most = resident();
    let got = rig
        .client
        .get_object()
        .bucket(&b)
        .key("big")
        .send()
        .await
        .unwrap();
    let (mut body, mut length) = (got.body, 0);
    while let Some(piece) = body.next().await {
        length += piece.unwrap().len();
        most = most.max(resident());
    }
    assert_eq!(length, CHUNK * CHUNKS);
    let grown = most.saturating_sub(before);
    assert!(grown < 48 << 20, "grew by {grown} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_keeps_what_it_began_to_read() {
    let rig = Rig::new().await;
    let b = rig.bucket("films").await;
    let body = super::rig::noise(4, 8 << 20);
    rig.put(&b, "k", body.clone()).await;
    let mut got = rig
        .client
        .get_object()
        .bucket(&b)
        .key("k")
        .send()
        .await
        .unwrap();
    let mut read = got.body.next().await.unwrap().unwrap().to_vec();
    rig.client
        .delete_object()
        .bucket(&b)
        .key("k")
        .send()
        .await
        .unwrap();
    rig.put(&b, "k", "new").await;
    while let Some(piece) = got.body.next().await {
        read.extend_from_slice(&piece.unwrap());
    }
    assert!(read == body);
    rig.files_settle(1).await;
}

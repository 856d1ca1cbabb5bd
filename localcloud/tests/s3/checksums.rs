use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, ChecksumType};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::rig::{Rig, code, noise, status};

#[tokio::test]
async fn each_algorithm_is_verified_kept_and_shown() {
    let rig = Rig::new().await;
    let b = rig.bucket("films").await;
    // Larger than one batch, so that it goes through several writes.
    let body = noise(7, 1_200_000);
    for algorithm in [
        ChecksumAlgorithm::Crc32,
        ChecksumAlgorithm::Crc32C,
        ChecksumAlgorithm::Crc64Nvme,
        ChecksumAlgorithm::Sha1,
        ChecksumAlgorithm::Sha256,
    ] {
        // The SDK takes the checksum itself and sends it: over plain HTTP as a header.
        let put = rig
            .client
            .put_object()
            .bucket(&b)
            .key(algorithm.as_str())
            .checksum_algorithm(algorithm.clone())
            .body(body.clone().into())
            .send()
            .await
            .unwrap();
        assert_eq!(put.checksum_type(), Some(&ChecksumType::FullObject));
        let head = rig
            .client
            .head_object()
            .bucket(&b)
            .key(algorithm.as_str())
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await
            .unwrap();
        let sent = [
            put.checksum_crc32(),
            put.checksum_crc32_c(),
            put.checksum_crc64_nvme(),
            put.checksum_sha1(),
            put.checksum_sha256(),
        ];
        let kept = [
            head.checksum_crc32(),
            head.checksum_crc32_c(),
            head.checksum_crc64_nvme(),
            head.checksum_sha1(),
            head.checksum_sha256(),
        ];
        assert_eq!(sent, kept);
        assert_eq!(sent.iter().flatten().count(), 1, "{algorithm:?}");
        // The SDK verifies what it reads against the checksum shown.
        let got = rig
            .client
            .get_object()
            .bucket(&b)
            .key(algorithm.as_str())
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await
            .unwrap();
        assert!(got.body.collect().await.unwrap().to_vec() == body);
    }
}

#[tokio::test]
async fn a_wrong_digest_is_refused_and_nothing_is_stored() {
    let rig = Rig::new().await;
    let b = rig.bucket("films").await;
    let put = || {
        rig.client
            .put_object()
            .bucket(&b)
            .key("k")
            .body("hello".to_owned().into_bytes().into())
    };
    let sha = BASE64_STANDARD.encode([7; 32]);
    let errors = [
        put().checksum_sha256(&sha).send().await.unwrap_err(),
        put().checksum_crc32("AAAAAA==").send().await.unwrap_err(),
        put().checksum_crc32_c("AAAAAA==").send().await.unwrap_err(),
        put()
            .checksum_crc64_nvme("AAAAAAAAAAA=")
            .send()
            .await
            .unwrap_err(),
        put()
            .content_md5(BASE64_STANDARD.encode([7; 16]))
            .send()
            .await
            .unwrap_err(),
    ];
    for error in errors {
        assert_eq!((code(&error).as_str(), status(&error)), ("BadDigest", 400));
    }
    let error = put().content_md5("short").send().await.unwrap_err();
    assert_eq!(code(&error), "InvalidDigest");
    assert_eq!(rig.get(&b, "k").await, Err("NoSuchKey".to_owned()));
    assert!(rig.files().is_empty());
    // The right ones pass.
    put()
        .content_md5("XUFAKrxLKna5cZ2REBfFkg==")
        .send()
        .await
        .unwrap();
    put()
        .checksum_sha256("LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=")
        .send()
        .await
        .unwrap();
}

#[tokio::test]
async fn checksums_that_are_not_kept_are_refused_by_name() {
    let rig = Rig::new().await;
    let b = rig.bucket("films").await;
    let error = rig
        .client
        .put_object()
        .bucket(&b)
        .key("k")
        .customize()
        .mutate_request(|request| {
            request
                .headers_mut()
                .insert("x-amz-checksum-xxhash64", "AAAAAAAAAAA=");
        })
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error), "NotImplemented");
    assert!(format!("{error:?}").contains("x-amz-checksum-xxhash64"));
}

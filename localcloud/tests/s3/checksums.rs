use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, ChecksumType};
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::body::Frame;
use s3s::crypto::Checksum as _;

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

/// A body of which the SDK can't know the checksum before it has sent it.
#[tokio::test]
async fn a_streamed_body_carries_its_checksum_in_a_trailer() {
    let rig = Rig::new().await;
    let b = rig.bucket("films").await;
    let body = noise(11, 700_000);
    let pieces: Vec<_> = body
        .chunks(50_000)
        .map(|piece| Ok::<_, std::io::Error>(Frame::data(Bytes::copy_from_slice(piece))))
        .collect();
    let stream = StreamBody::new(futures::stream::iter(pieces));
    let put = rig
        .client
        .put_object()
        .bucket(&b)
        .key("k")
        .checksum_algorithm(ChecksumAlgorithm::Sha256)
        .content_length(700_000)
        .body(ByteStream::new(SdkBody::from_body_1_x(stream)))
        .customize()
        .disable_payload_signing()
        .send()
        .await
        .unwrap();
    let sum = BASE64_STANDARD.encode(s3s::crypto::Sha256::checksum(&body));
    assert_eq!(put.checksum_sha256(), Some(sum.as_str()));
    let got = rig
        .client
        .get_object()
        .bucket(&b)
        .key("k")
        .send()
        .await
        .unwrap();
    // The coding of the transfer is not the object's.
    assert_eq!(got.content_encoding(), None);
    assert!(got.body.collect().await.unwrap().to_vec() == body);
}

/// A chunked upload, signed by hand so that its trailer may be wrong.
async fn chunked(rig: &Rig, trailer: &str) -> (u16, String) {
    let key = localcloud::state::iam::root_key(&rig.store)
        .unwrap()
        .unwrap();
    let identity = aws_credential_types::Credentials::new(
        key.access_key_id,
        key.secret_access_key,
        None,
        None,
        "test",
    )
    .into();
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-local-1")
        .name("s3")
        .time(std::time::SystemTime::now())
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let fixed = [
        ("host", rig.address.to_string()),
        ("x-amz-trailer", "x-amz-checksum-crc32".to_owned()),
        ("x-amz-decoded-content-length", "9".to_owned()),
        ("content-encoding", "aws-chunked".to_owned()),
    ];
    let uri = format!("http://{}/films/k", rig.address);
    let signable = SignableRequest::new(
        "PUT",
        &uri,
        fixed.iter().map(|(name, value)| (*name, value.as_str())),
        SignableBody::StreamingUnsignedPayloadTrailer,
    )
    .unwrap();
    let (instructions, _) = sign(signable, &parameters).unwrap().into_parts();
    let signed: Vec<(&str, &str)> = fixed[1..]
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .chain(instructions.headers())
        .collect();
    let body = format!("9\r\n123456789\r\n0\r\n{trailer}\r\n\r\n");
    let (status, _, answer) = rig.raw("PUT", "/films/k", &signed, body.as_bytes()).await;
    (status, String::from_utf8(answer).unwrap())
}

#[tokio::test]
async fn a_wrong_or_missing_trailer_is_refused() {
    let rig = Rig::new().await;
    rig.bucket("films").await;
    let (status, answer) = chunked(&rig, "x-amz-checksum-crc32:AAAAAA==").await;
    assert_eq!(status, 400);
    assert!(answer.contains("<Code>BadDigest</Code>"), "{answer}");
    let (status, answer) = chunked(&rig, "x-amz-checksum-sha1:AAAAAA==").await;
    assert_eq!(status, 400);
    assert!(
        answer.contains("<Code>MalformedTrailerError</Code>"),
        "{answer}"
    );
    assert_eq!(rig.get("films", "k").await, Err("NoSuchKey".to_owned()));
    assert!(rig.files().is_empty());
    let (status, answer) = chunked(&rig, "x-amz-checksum-crc32:y/Q5Jg==").await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(rig.get("films", "k").await.unwrap(), b"123456789");
}

use aws_sdk_s3::operation::complete_multipart_upload::builders::CompleteMultipartUploadFluentBuilder;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart,
};

use super::rig::{Rig, code, noise, status};

const MIN: usize = 5 * 1024 * 1024;

struct Uploading<'r> {
    rig: &'r Rig,
    key: &'r str,
    id: String,
}

impl<'r> Uploading<'r> {
    async fn begin(rig: &'r Rig, key: &'r str) -> Self {
        Self::with(rig, key, None, None).await
    }

    async fn with(
        rig: &'r Rig,
        key: &'r str,
        algorithm: Option<ChecksumAlgorithm>,
        kind: Option<ChecksumType>,
    ) -> Self {
        let made = rig
            .client
            .create_multipart_upload()
            .bucket("films")
            .key(key)
            .content_type("video/quicktime")
            .metadata("m", "1")
            .set_checksum_algorithm(algorithm)
            .set_checksum_type(kind)
            .send()
            .await
            .unwrap();
        Self {
            rig,
            key,
            id: made.upload_id().unwrap().to_owned(),
        }
    }

    async fn part(
        &self,
        number: i32,
        body: Vec<u8>,
        algorithm: Option<ChecksumAlgorithm>,
    ) -> CompletedPart {
        let done = self
            .rig
            .client
            .upload_part()
            .bucket("films")
            .key(self.key)
            .upload_id(&self.id)
            .part_number(number)
            .set_checksum_algorithm(algorithm)
            .body(body.into())
            .send()
            .await
            .unwrap();
        CompletedPart::builder()
            .part_number(number)
            .e_tag(done.e_tag().unwrap())
            .set_checksum_crc32(done.checksum_crc32().map(str::to_owned))
            .set_checksum_crc32_c(done.checksum_crc32_c().map(str::to_owned))
            .set_checksum_crc64_nvme(done.checksum_crc64_nvme().map(str::to_owned))
            .set_checksum_sha256(done.checksum_sha256().map(str::to_owned))
            .build()
    }

    fn complete(&self, parts: Vec<CompletedPart>) -> CompleteMultipartUploadFluentBuilder {
        self.rig
            .client
            .complete_multipart_upload()
            .bucket("films")
            .key(self.key)
            .upload_id(&self.id)
            .multipart_upload(
                CompletedMultipartUpload::builder()
                    .set_parts(Some(parts))
                    .build(),
            )
    }
}

#[tokio::test]
async fn parts_become_an_object() {
    let rig = Rig::new().await;
    rig.bucket("films").await;
    let whole = noise(3, 2 * MIN + 1234);
    let up = Uploading::begin(&rig, "media/big").await;
    // Sent out of order, and one of them twice.
    let third = up.part(30, whole[2 * MIN..].to_vec(), None).await;
    let _ = up.part(2, noise(9, 100), None).await;
    let first = up.part(1, whole[..MIN].to_vec(), None).await;
    let second = up.part(2, whole[MIN..2 * MIN].to_vec(), None).await;
    let unused = up.part(31, b"never named".to_vec(), None).await;
    assert!(unused.e_tag().is_some());
    let done = up
        .complete(vec![first, second, third])
        .send()
        .await
        .unwrap();
    let md5s: Vec<u8> = [&whole[..MIN], &whole[MIN..2 * MIN], &whole[2 * MIN..]]
        .iter()
        .flat_map(|part| md5(part))
        .collect();
    let etag = format!("\"{}-3\"", hex::encode(md5(&md5s)));
    assert_eq!(done.e_tag(), Some(etag.as_str()));
    assert!(rig.get("films", "media/big").await.unwrap() == whole);
    rig.files_settle(3).await;
    let head = rig
        .client
        .head_object()
        .bucket("films")
        .key("media/big")
        .part_number(2)
        .send()
        .await
        .unwrap();
    assert_eq!(head.parts_count(), Some(3));
    assert_eq!(head.content_length(), Some(i64::try_from(MIN).unwrap()));
    assert_eq!(head.content_type(), Some("video/quicktime"));
    assert_eq!(head.metadata().unwrap()["m"], "1");
    assert_eq!(head.e_tag(), Some(etag.as_str()));
    // A range over the seams.
    let (from, to) = (MIN - 10, 2 * MIN + 10);
    let got = rig
        .client
        .get_object()
        .bucket("films")
        .key("media/big")
        .range(format!("bytes={from}-{}", to - 1))
        .send()
        .await
        .unwrap();
    assert!(got.body.collect().await.unwrap().to_vec() == whole[from..to]);
    let error = up.complete(vec![]).send().await.unwrap_err();
    assert_eq!(
        (code(&error).as_str(), status(&error)),
        ("NoSuchUpload", 404)
    );
    rig.client
        .delete_object()
        .bucket("films")
        .key("media/big")
        .send()
        .await
        .unwrap();
    rig.files_settle(0).await;
}

fn md5(data: &[u8]) -> [u8; 16] {
    use s3s::crypto::Checksum as _;
    s3s::crypto::Md5::checksum(data)
}

#[tokio::test]
async fn completion_is_checked() {
    let rig = Rig::new().await;
    rig.bucket("films").await;
    let up = Uploading::begin(&rig, "k").await;
    let small = up.part(1, noise(1, 1000), None).await;
    let last = up.part(2, noise(2, 1000), None).await;
    let refused = |parts: Vec<CompletedPart>| {
        let call = up.complete(parts);
        async move { code(&call.send().await.unwrap_err()) }
    };
    assert_eq!(refused(vec![]).await, "MalformedXML");
    assert_eq!(
        refused(vec![last.clone(), small.clone()]).await,
        "InvalidPartOrder"
    );
    assert_eq!(
        refused(vec![small.clone(), small.clone()]).await,
        "InvalidPartOrder"
    );
    assert_eq!(
        refused(vec![small.clone(), last.clone()]).await,
        "EntityTooSmall"
    );
    let wrong = CompletedPart::builder()
        .part_number(1)
        .e_tag("\"00\"")
        .build();
    assert_eq!(refused(vec![wrong]).await, "InvalidPart");
    let absent = CompletedPart::builder()
        .part_number(3)
        .e_tag(small.e_tag().unwrap())
        .build();
    assert_eq!(refused(vec![absent]).await, "InvalidPart");
    let error = up
        .complete(vec![small.clone()])
        .mpu_object_size(1)
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error), "InvalidRequest");
    // The upload is still there, and a single small part is allowed.
    up.complete(vec![small]).send().await.unwrap();
    rig.files_settle(1).await;
    let error = rig
        .client
        .upload_part()
        .bucket("films")
        .key("k")
        .upload_id("none")
        .part_number(1)
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error), "NoSuchUpload");
}

#[tokio::test]
async fn completion_under_a_condition() {
    let rig = Rig::new().await;
    rig.bucket("films").await;
    rig.put("films", "k", "there").await;
    let up = Uploading::begin(&rig, "k").await;
    let part = up.part(1, b"new".to_vec(), None).await;
    let error = up
        .complete(vec![part.clone()])
        .if_none_match("*")
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        (code(&error).as_str(), status(&error)),
        ("PreconditionFailed", 412)
    );
    assert_eq!(rig.get("films", "k").await.unwrap(), b"there");
    rig.client
        .delete_object()
        .bucket("films")
        .key("k")
        .send()
        .await
        .unwrap();
    up.complete(vec![part])
        .if_none_match("*")
        .send()
        .await
        .unwrap();
    assert_eq!(rig.get("films", "k").await.unwrap(), b"new");
}

#[tokio::test]
async fn full_object_checksums() {
    let rig = Rig::new().await;
    rig.bucket("films").await;
    let whole = noise(5, MIN + 777);
    for algorithm in [
        ChecksumAlgorithm::Crc32,
        ChecksumAlgorithm::Crc32C,
        ChecksumAlgorithm::Crc64Nvme,
    ] {
        let key = algorithm.as_str();
        let up = Uploading::with(
            &rig,
            key,
            Some(algorithm.clone()),
            Some(ChecksumType::FullObject),
        )
        .await;
        let parts = vec![
            up.part(1, whole[..MIN].to_vec(), Some(algorithm.clone()))
                .await,
            up.part(2, whole[MIN..].to_vec(), Some(algorithm.clone()))
                .await,
        ];
        let done = up
            .complete(parts)
            .checksum_type(ChecksumType::FullObject)
            .send()
            .await
            .unwrap();
        assert_eq!(done.checksum_type(), Some(&ChecksumType::FullObject));
        // The SDK takes the checksum of what it reads and compares.
        let got = rig
            .client
            .get_object()
            .bucket("films")
            .key(key)
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await
            .unwrap();
        let shown = [
            got.checksum_crc32(),
            got.checksum_crc32_c(),
            got.checksum_crc64_nvme(),
        ];
        assert_eq!(shown.iter().flatten().count(), 1, "{algorithm:?}");
        assert!(got.body.collect().await.unwrap().to_vec() == whole);
    }
}

#[tokio::test]
async fn composite_checksums() {
    let rig = Rig::new().await;
    rig.bucket("films").await;
    let algorithm = ChecksumAlgorithm::Sha256;
    let up = Uploading::with(&rig, "k", Some(algorithm.clone()), None).await;
    let part = up.part(1, b"hello".to_vec(), Some(algorithm.clone())).await;
    let bare = CompletedPart::builder()
        .part_number(1)
        .e_tag(part.e_tag().unwrap())
        .build();
    let error = up.complete(vec![bare]).send().await.unwrap_err();
    assert_eq!(code(&error), "InvalidRequest");
    assert!(format!("{error:?}").contains("It was missing for part 1"));
    let done = up.complete(vec![part]).send().await.unwrap();
    assert_eq!(done.checksum_type(), Some(&ChecksumType::Composite));
    // SHA-256 over the SHA-256 of "hello".
    assert_eq!(
        done.checksum_sha256(),
        Some("lZXJ35AHUUjrBoYDZd8zWEt1v/eCpRDGzUiDpBmDPVA=-1")
    );
    let up = Uploading::with(&rig, "k2", Some(ChecksumAlgorithm::Sha256), None).await;
    let error = rig
        .client
        .upload_part()
        .bucket("films")
        .key("k2")
        .upload_id(&up.id)
        .part_number(1)
        .checksum_algorithm(ChecksumAlgorithm::Crc32)
        .body("x".to_owned().into_bytes().into())
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error), "InvalidRequest");
    let error = rig
        .client
        .create_multipart_upload()
        .bucket("films")
        .key("k3")
        .checksum_algorithm(ChecksumAlgorithm::Sha256)
        .checksum_type(ChecksumType::FullObject)
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error), "InvalidRequest");
}

#[tokio::test]
async fn uploads_and_parts_are_listed_and_aborted() {
    let rig = Rig::new().await;
    rig.bucket("films").await;
    let mut ups = Vec::new();
    for key in ["a", "b", "b", "c/d"] {
        ups.push(Uploading::begin(&rig, key).await);
    }
    let list = || rig.client.list_multipart_uploads().bucket("films");
    let all = list().send().await.unwrap();
    let names: Vec<(&str, &str)> = all
        .uploads()
        .iter()
        .map(|up| (up.key().unwrap(), up.upload_id().unwrap()))
        .collect();
    let wanted: Vec<(&str, &str)> = ups.iter().map(|up| (up.key, up.id.as_str())).collect();
    assert_eq!(names, wanted);
    let some = list().prefix("c/").send().await.unwrap();
    assert_eq!(some.uploads().len(), 1);
    // Page by page, one at a time.
    let mut paged = Vec::new();
    let (mut key, mut id) = (None, None);
    loop {
        let page = list()
            .max_uploads(1)
            .set_key_marker(key)
            .set_upload_id_marker(id)
            .send()
            .await
            .unwrap();
        paged.extend(
            page.uploads()
                .iter()
                .map(|up| up.upload_id().unwrap().to_owned()),
        );
        if page.is_truncated() != Some(true) {
            break;
        }
        key = page.next_key_marker().map(str::to_owned);
        id = page.next_upload_id_marker().map(str::to_owned);
    }
    assert_eq!(
        paged,
        ups.iter().map(|up| up.id.clone()).collect::<Vec<_>>()
    );

    for number in [1, 2, 5] {
        ups[0]
            .part(number, noise(u64::try_from(number).unwrap(), 10), None)
            .await;
    }
    let parts = rig
        .client
        .list_parts()
        .bucket("films")
        .key("a")
        .upload_id(&ups[0].id)
        .max_parts(2)
        .send()
        .await
        .unwrap();
    let numbers: Vec<i32> = parts
        .parts()
        .iter()
        .map(|p| p.part_number().unwrap())
        .collect();
    assert_eq!(numbers, [1, 2]);
    assert_eq!(parts.is_truncated(), Some(true));
    let rest = rig
        .client
        .list_parts()
        .bucket("films")
        .key("a")
        .upload_id(&ups[0].id)
        .part_number_marker(parts.next_part_number_marker().unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(rest.parts()[0].part_number(), Some(5));
    assert_eq!(rest.parts()[0].size(), Some(10));

    assert_eq!(rig.files().len(), 3);
    for up in &ups {
        rig.client
            .abort_multipart_upload()
            .bucket("films")
            .key(up.key)
            .upload_id(&up.id)
            .send()
            .await
            .unwrap();
    }
    rig.files_settle(0).await;
    assert!(list().send().await.unwrap().uploads().is_empty());
    let error = rig
        .client
        .abort_multipart_upload()
        .bucket("films")
        .key("a")
        .upload_id(&ups[0].id)
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error), "NoSuchUpload");
}

#[tokio::test]
async fn a_copy_of_a_multipart_object_is_a_simple_one() {
    let rig = Rig::new().await;
    rig.bucket("films").await;
    let whole = noise(8, MIN + 9);
    let up = Uploading::begin(&rig, "k").await;
    let parts = vec![
        up.part(1, whole[..MIN].to_vec(), None).await,
        up.part(2, whole[MIN..].to_vec(), None).await,
    ];
    up.complete(parts).send().await.unwrap();
    let copy = rig
        .client
        .copy_object()
        .bucket("films")
        .key("copy")
        .copy_source("films/k")
        .send()
        .await
        .unwrap();
    let etag = format!("\"{}\"", hex::encode(md5(&whole)));
    assert_eq!(
        copy.copy_object_result().unwrap().e_tag(),
        Some(etag.as_str())
    );
    assert!(rig.get("films", "copy").await.unwrap() == whole);
}

use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{
    Delete, MetadataDirective, ObjectIdentifier, ServerSideEncryption, Tag, Tagging,
};

use super::rig::{Rig, code, noise, status};

#[tokio::test]
async fn an_object_comes_back_as_it_was_put() {
    let rig = Rig::new().await;
    let b = rig.bucket("films").await;
    let put = rig
        .client
        .put_object()
        .bucket(&b)
        .key("media/a")
        .body(ByteStream::from_static(b"hello"))
        .content_type("video/quicktime")
        .content_disposition("attachment")
        .cache_control("no-store")
        .content_language("de")
        .metadata("original", "M\u{fc}nchen.avi")
        .metadata("empty", "")
        .tagging("a=1&b=x%20y")
        .send()
        .await
        .unwrap();
    assert_eq!(put.e_tag(), Some("\"5d41402abc4b2a76b9719d911017c592\""));
    assert_eq!(
        put.server_side_encryption(),
        Some(&ServerSideEncryption::Aes256)
    );
    assert_eq!(put.version_id(), None);
    let got = rig
        .client
        .get_object()
        .bucket(&b)
        .key("media/a")
        .send()
        .await
        .unwrap();
    assert_eq!(got.content_type(), Some("video/quicktime"));
    assert_eq!(got.content_disposition(), Some("attachment"));
    assert_eq!(got.cache_control(), Some("no-store"));
    assert_eq!(got.content_language(), Some("de"));
    assert_eq!(got.content_length(), Some(5));
    assert_eq!(got.accept_ranges(), Some("bytes"));
    assert_eq!(got.e_tag(), put.e_tag());
    assert_eq!(got.tag_count(), Some(2));
    let metadata = got.metadata().unwrap();
    assert_eq!(metadata["empty"], "");
    // Text beyond ASCII comes back as RFC 2047 writes it in headers, as on S3.
    assert_eq!(metadata["original"], "=?UTF-8?B?TcO8bmNoZW4uYXZp?=");
    assert_eq!(got.body.collect().await.unwrap().to_vec(), b"hello");
    let head = rig
        .client
        .head_object()
        .bucket(&b)
        .key("media/a")
        .send()
        .await
        .unwrap();
    assert_eq!(head.content_length(), Some(5));
    assert_eq!(head.e_tag(), put.e_tag());
    assert_eq!(head.content_type(), Some("video/quicktime"));
    assert_eq!(
        head.server_side_encryption(),
        Some(&ServerSideEncryption::Aes256)
    );
    let age = jiff::Timestamp::now().as_second() - head.last_modified().unwrap().secs();
    assert!((0..60).contains(&age), "{age}");
}

#[tokio::test]
async fn no_key_is_a_file_name() {
    let rig = Rig::new().await;
    let b = rig.bucket("films").await;
    let long = "k".repeat(1024);
    let keys = [
        "../../escape",
        "a//b",
        "trailing/",
        "/leading",
        ".",
        "..",
        "sp ace+plus",
        "per%cent",
        "um\u{e4}laut",
        "\u{1f4fc}",
        "q?x=1&y",
        "star*",
        "colon:semi;",
        "quote\"'<>",
        &long,
    ];
    for (place, key) in keys.iter().enumerate() {
        rig.put(&b, key, format!("body {place}")).await;
    }
    for (place, key) in keys.iter().enumerate() {
        assert_eq!(
            rig.get(&b, key).await.unwrap(),
            format!("body {place}").into_bytes(),
            "{key}"
        );
    }
    let mut sorted: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
    sorted.sort();
    assert_eq!(rig.keys(&b).await, sorted);
    let error = rig
        .client
        .put_object()
        .bucket(&b)
        .key("k".repeat(1025))
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error), "KeyTooLongError");
    // Only opaque names lie in the folder, and nothing beside it.
    for file in rig.files() {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(
            name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit()),
            "{name}"
        );
    }
}

#[tokio::test]
async fn ranges() {
    let rig = Rig::new().await;
    let b = rig.bucket("films").await;
    let body = noise(1, 3_000_000);
    rig.put(&b, "k", body.clone()).await;
    for (range, from, to) in [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=1048000-2100000", 1_048_000, 2_100_001),
        ("bytes=2999990-", 2_999_990, 3_000_000),
        ("bytes=-10", 2_999_990, 3_000_000),
        ("bytes=2999999-9999999", 2_999_999, 3_000_000),
    ] {
        let got = rig
            .client
            .get_object()
            .bucket(&b)
            .key("k")
            .range(range)
            .send()
            .await
            .unwrap();
        assert_eq!(
            got.content_range(),
            Some(format!("bytes {from}-{}/3000000", to - 1).as_str())
        );
        assert_eq!(
            got.content_length(),
            Some(i64::try_from(to - from).unwrap())
        );
        assert!(
            got.body.collect().await.unwrap().to_vec() == body[from..to],
            "{range}"
        );
    }
    let error = rig
        .client
        .get_object()
        .bucket(&b)
        .key("k")
        .range("bytes=3000000-")
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        (code(&error).as_str(), status(&error)),
        ("InvalidRange", 416)
    );
}

#[tokio::test]
async fn an_empty_object_is_an_object() {
    let rig = Rig::new().await;
    let b = rig.bucket("films").await;
    rig.put(&b, "k", "").await;
    assert_eq!(rig.get(&b, "k").await.unwrap(), b"");
    let head = rig
        .client
        .head_object()
        .bucket(&b)
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(head.content_length(), Some(0));
    assert_eq!(head.e_tag(), Some("\"d41d8cd98f00b204e9800998ecf8427e\""));
    assert_eq!(rig.keys(&b).await, ["k"]);
    assert!(rig.files().is_empty());
}

#[tokio::test]
async fn overwriting_and_deleting_leave_no_files() {
    let rig = Rig::new().await;
    let b = rig.bucket("films").await;
    for round in 0..5 {
        rig.put(&b, "k", format!("round {round}")).await;
    }
    assert_eq!(rig.get(&b, "k").await.unwrap(), b"round 4");
    rig.files_settle(1).await;
    for _ in 0..2 {
        // What is not there is deleted with success.
        rig.client
            .delete_object()
            .bucket(&b)
            .key("k")
            .send()
            .await
            .unwrap();
    }
    rig.files_settle(0).await;
    assert_eq!(rig.get(&b, "k").await, Err("NoSuchKey".to_owned()));
    let error = rig
        .client
        .head_object()
        .bucket(&b)
        .key("k")
        .send()
        .await
        .unwrap_err();
    assert!(error.as_service_error().unwrap().is_not_found());
}

#[tokio::test]
async fn many_are_deleted_at_once() {
    let rig = Rig::new().await;
    let b = rig.bucket("films").await;
    for key in ["a", "b", "c"] {
        rig.put(&b, key, key).await;
    }
    let delete = |keys: Vec<String>, quiet: bool| {
        let objects = keys
            .into_iter()
            .map(|key| ObjectIdentifier::builder().key(key).build().unwrap())
            .collect();
        rig.client
            .delete_objects()
            .bucket(&b)
            .delete(
                Delete::builder()
                    .set_objects(Some(objects))
                    .quiet(quiet)
                    .build()
                    .unwrap(),
            )
            .send()
    };
    let answer = delete(vec!["a".into(), "nothing".into()], false)
        .await
        .unwrap();
    let told: Vec<&str> = answer.deleted().iter().map(|d| d.key().unwrap()).collect();
    assert_eq!(told, ["a", "nothing"]);
    let answer = delete(vec!["b".into()], true).await.unwrap();
    assert!(answer.deleted().is_empty() && answer.errors().is_empty());
    assert_eq!(rig.keys(&b).await, ["c"]);
    let many = (0..1001).map(|n| n.to_string()).collect();
    assert_eq!(code(&delete(many, true).await.unwrap_err()), "MalformedXML");
}

#[tokio::test]
async fn copies() {
    let rig = Rig::new().await;
    let (b, other) = (rig.bucket("films").await, rig.bucket("prints").await);
    rig.client
        .put_object()
        .bucket(&b)
        .key("a b/\u{e4}")
        .metadata("m", "1")
        .content_type("video/x")
        .body(ByteStream::from_static(b"film"))
        .send()
        .await
        .unwrap();
    let copy = rig
        .client
        .copy_object()
        .bucket(&other)
        .key("copy")
        .copy_source("films/a%20b/%C3%A4")
        .send()
        .await
        .unwrap();
    assert_eq!(
        copy.copy_object_result().unwrap().e_tag(),
        Some("\"bdbd6db1d8cc09a957e86180fda9442a\"")
    );
    rig.client
        .delete_object()
        .bucket(&b)
        .key("a b/\u{e4}")
        .send()
        .await
        .unwrap();
    let got = rig
        .client
        .get_object()
        .bucket(&other)
        .key("copy")
        .send()
        .await
        .unwrap();
    assert_eq!(got.metadata().unwrap()["m"], "1");
    assert_eq!(got.content_type(), Some("video/x"));
    assert_eq!(got.body.collect().await.unwrap().to_vec(), b"film");
    let itself = rig
        .client
        .copy_object()
        .bucket(&other)
        .key("copy")
        .copy_source("prints/copy");
    let error = itself.clone().send().await.unwrap_err();
    assert_eq!(code(&error), "InvalidRequest");
    itself
        .metadata_directive(MetadataDirective::Replace)
        .metadata("m", "2")
        .send()
        .await
        .unwrap();
    let head = rig
        .client
        .head_object()
        .bucket(&other)
        .key("copy")
        .send()
        .await
        .unwrap();
    assert_eq!(head.metadata().unwrap()["m"], "2");
    assert_eq!(rig.get(&other, "copy").await.unwrap(), b"film");
    rig.files_settle(1).await;
}

#[tokio::test]
async fn object_tags() {
    let rig = Rig::new().await;
    let b = rig.bucket("films").await;
    rig.put(&b, "k", "v").await;
    let tag = Tag::builder().key("a").value("1").build().unwrap();
    rig.client
        .put_object_tagging()
        .bucket(&b)
        .key("k")
        .tagging(Tagging::builder().tag_set(tag.clone()).build().unwrap())
        .send()
        .await
        .unwrap();
    let kept = rig
        .client
        .get_object_tagging()
        .bucket(&b)
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(kept.tag_set(), [tag]);
    rig.client
        .delete_object_tagging()
        .bucket(&b)
        .key("k")
        .send()
        .await
        .unwrap();
    let kept = rig
        .client
        .get_object_tagging()
        .bucket(&b)
        .key("k")
        .send()
        .await
        .unwrap();
    assert!(kept.tag_set().is_empty());
    let error = rig
        .client
        .get_object_tagging()
        .bucket(&b)
        .key("none")
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error), "NoSuchKey");
}

#[tokio::test]
async fn reads_under_conditions() {
    let rig = Rig::new().await;
    let b = rig.bucket("films").await;
    rig.put(&b, "k", "hello").await;
    let etag = "\"5d41402abc4b2a76b9719d911017c592\"";
    let get = || rig.client.get_object().bucket(&b).key("k");
    get().if_match(etag).send().await.unwrap();
    get().if_none_match("\"other\"").send().await.unwrap();
    let error = get().if_match("\"other\"").send().await.unwrap_err();
    assert_eq!(
        (code(&error).as_str(), status(&error)),
        ("PreconditionFailed", 412)
    );
    assert_eq!(
        status(&get().if_none_match(etag).send().await.unwrap_err()),
        304
    );
    let (past, future) = (
        DateTime::from_secs(1_000_000_000),
        DateTime::from_secs(9_000_000_000),
    );
    get().if_modified_since(past).send().await.unwrap();
    assert_eq!(
        status(&get().if_modified_since(future).send().await.unwrap_err()),
        304
    );
    get().if_unmodified_since(future).send().await.unwrap();
    assert_eq!(
        status(&get().if_unmodified_since(past).send().await.unwrap_err()),
        412
    );
    // An entity tag outranks the date beside it.
    get()
        .if_match(etag)
        .if_unmodified_since(past)
        .send()
        .await
        .unwrap();
    let head = rig
        .client
        .head_object()
        .bucket(&b)
        .key("k")
        .if_none_match(etag)
        .send()
        .await;
    assert_eq!(status(&head.unwrap_err()), 304);
}

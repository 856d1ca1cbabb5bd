use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};

use super::rig::{Rig, code, status};

async fn versioning(rig: &Rig, status: BucketVersioningStatus) {
    rig.client
        .put_bucket_versioning()
        .bucket("films")
        .versioning_configuration(VersioningConfiguration::builder().status(status).build())
        .send()
        .await
        .unwrap();
}

/// Key, version, whether it is a marker, whether it is the latest.
async fn all(rig: &Rig, page: i32) -> Vec<(String, String, bool, bool)> {
    let mut found = Vec::new();
    let (mut key, mut version) = (None, None);
    loop {
        let answer = rig
            .client
            .list_object_versions()
            .bucket("films")
            .max_keys(page)
            .set_key_marker(key)
            .set_version_id_marker(version)
            .send()
            .await
            .unwrap();
        for v in answer.versions() {
            found.push((
                v.key().unwrap().to_owned(),
                v.version_id().unwrap().to_owned(),
                false,
                v.is_latest().unwrap(),
            ));
        }
        for m in answer.delete_markers() {
            found.push((
                m.key().unwrap().to_owned(),
                m.version_id().unwrap().to_owned(),
                true,
                m.is_latest().unwrap(),
            ));
        }
        if answer.is_truncated() != Some(true) {
            return found;
        }
        key = answer.next_key_marker().map(str::to_owned);
        version = answer.next_version_id_marker().map(str::to_owned);
    }
}

#[tokio::test]
async fn old_versions_and_markers() {
    let rig = Rig::new().await;
    rig.bucket("films").await;
    let c = &rig.client;
    let state = c
        .get_bucket_versioning()
        .bucket("films")
        .send()
        .await
        .unwrap();
    assert_eq!(state.status(), None);
    rig.put("films", "k", "before").await;
    versioning(&rig, BucketVersioningStatus::Enabled).await;
    let state = c
        .get_bucket_versioning()
        .bucket("films")
        .send()
        .await
        .unwrap();
    assert_eq!(state.status(), Some(&BucketVersioningStatus::Enabled));

    let put = |body: &str| {
        c.put_object()
            .bucket("films")
            .key("k")
            .body(body.to_owned().into_bytes().into())
            .send()
    };
    let one = put("one").await.unwrap().version_id().unwrap().to_owned();
    let two = put("two").await.unwrap().version_id().unwrap().to_owned();
    let marker = c
        .delete_object()
        .bucket("films")
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(marker.delete_marker(), Some(true));
    let marker = marker.version_id().unwrap().to_owned();

    let error = c
        .get_object()
        .bucket("films")
        .key("k")
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error), "NoSuchKey");
    assert_eq!(
        error
            .raw_response()
            .unwrap()
            .headers()
            .get("x-amz-delete-marker"),
        Some("true")
    );
    let by_id = |id: &str| {
        c.get_object()
            .bucket("films")
            .key("k")
            .version_id(id)
            .send()
    };
    for (id, body) in [
        ("null", "before"),
        (one.as_str(), "one"),
        (two.as_str(), "two"),
    ] {
        let got = by_id(id).await.unwrap();
        assert_eq!(got.version_id(), Some(id));
        assert_eq!(got.body.collect().await.unwrap().to_vec(), body.as_bytes());
    }
    let error = by_id(&marker).await.unwrap_err();
    assert_eq!(
        (code(&error).as_str(), status(&error)),
        ("MethodNotAllowed", 405)
    );
    assert_eq!(code(&by_id("none").await.unwrap_err()), "NoSuchVersion");
    assert!(rig.keys("films").await.is_empty());

    let listed = all(&rig, 1000).await;
    let entry =
        |id: &str, marker: bool, latest: bool| ("k".to_owned(), id.to_owned(), marker, latest);
    assert_eq!(
        listed,
        [
            entry(&two, false, false),
            entry(&one, false, false),
            entry("null", false, false),
            entry(&marker, true, true)
        ]
    );
    let mut paged = all(&rig, 1).await;
    paged.sort_by_key(|(_, _, marker, _)| *marker);
    assert_eq!(paged, listed);

    // Without the marker, the newest version shows again.
    let gone = c
        .delete_object()
        .bucket("films")
        .key("k")
        .version_id(&marker)
        .send()
        .await
        .unwrap();
    assert_eq!(gone.delete_marker(), Some(true));
    assert_eq!(rig.get("films", "k").await.unwrap(), b"two");
    c.delete_object()
        .bucket("films")
        .key("k")
        .version_id(&two)
        .send()
        .await
        .unwrap();
    assert_eq!(rig.get("films", "k").await.unwrap(), b"one");
    assert_eq!(
        code(&c.delete_bucket().bucket("films").send().await.unwrap_err()),
        "BucketNotEmpty"
    );

    // Suspended: new writes go under "null" and leave the others.
    versioning(&rig, BucketVersioningStatus::Suspended).await;
    let null = put("suspended").await.unwrap();
    assert_eq!(null.version_id(), Some("null"));
    assert_eq!(
        all(&rig, 1000).await,
        [entry("null", false, true), entry(&one, false, false)]
    );
    let marker = c
        .delete_object()
        .bucket("films")
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (marker.version_id(), marker.delete_marker()),
        (Some("null"), Some(true))
    );
    rig.files_settle(1).await;
    for (key, version, _, _) in all(&rig, 1000).await {
        c.delete_object()
            .bucket("films")
            .key(key)
            .version_id(version)
            .send()
            .await
            .unwrap();
    }
    c.delete_bucket().bucket("films").send().await.unwrap();
    rig.files_settle(0).await;
}

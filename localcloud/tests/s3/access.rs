use std::time::{Duration, SystemTime};

use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use localcloud::account::REGION;
use localcloud::state::iam::{AccessKey, Principal};

use super::rig::{Rig, client, code, status};

/// What a worker may do: read and write below `media/`.
const WORKER: &str = r#"{"Version":"2012-10-17","Statement":[
    {"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::films/media/*"}]}"#;

#[tokio::test]
async fn a_role_may_do_what_its_policy_says() {
    let rig = Rig::new().await;
    let b = rig.bucket("films").await;
    rig.put(&b, "media/a", "film").await;
    rig.put(&b, "secret", "no").await;
    let (role, _) = rig.role(WORKER);
    let get = |key: &str| role.get_object().bucket(&b).key(key).send();
    assert_eq!(
        get("media/a")
            .await
            .unwrap()
            .body
            .collect()
            .await
            .unwrap()
            .to_vec(),
        b"film"
    );
    role.put_object()
        .bucket(&b)
        .key("media/b")
        .send()
        .await
        .unwrap();
    let up = role
        .create_multipart_upload()
        .bucket(&b)
        .key("media/c")
        .send()
        .await
        .unwrap();
    assert!(up.upload_id().is_some());
    // Without leave to list, what is missing can't be told from what is forbidden.
    for key in ["secret", "media/none"] {
        let error = get(key).await.unwrap_err();
        assert_eq!(
            (code(&error).as_str(), status(&error)),
            ("AccessDenied", 403),
            "{key}"
        );
    }
    macro_rules! denied {
        ($($call:expr),* $(,)?) => {
            $(assert_eq!(status(&$call.send().await.unwrap_err()), 403, "{}", stringify!($call));)*
        };
    }
    denied!(
        role.put_object().bucket(&b).key("secret"),
        role.delete_object().bucket(&b).key("media/a"),
        role.list_objects_v2().bucket(&b),
        role.head_bucket().bucket(&b),
        role.list_buckets(),
        role.create_bucket()
            .bucket("mine")
            .create_bucket_configuration(super::rig::here()),
        role.delete_bucket().bucket(&b),
        role.put_bucket_policy().bucket(&b).policy("{}"),
        role.copy_object()
            .bucket(&b)
            .key("media/x")
            .copy_source("films/secret"),
    );
    let answer = role
        .delete_objects()
        .bucket(&b)
        .delete(
            Delete::builder()
                .objects(ObjectIdentifier::builder().key("media/a").build().unwrap())
                .build()
                .unwrap(),
        )
        .send()
        .await
        .unwrap();
    assert_eq!(answer.errors()[0].code(), Some("AccessDenied"));
    assert_eq!(rig.get(&b, "media/a").await.unwrap(), b"film");
}

#[tokio::test]
async fn a_role_that_may_list_learns_what_is_missing() {
    let rig = Rig::new().await;
    let b = rig.bucket("films").await;
    let (role, _) = rig.role(
        r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::films/*"},
        {"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::films",
         "Condition":{"StringLike":{"s3:prefix":["media/*"]}}}]}"#,
    );
    role.list_objects_v2()
        .bucket(&b)
        .prefix("media/")
        .send()
        .await
        .unwrap();
    let error = role
        .list_objects_v2()
        .bucket(&b)
        .prefix("other/")
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error), "AccessDenied");
}

#[tokio::test]
async fn a_bucket_policy_can_deny_a_role() {
    let rig = Rig::new().await;
    let b = rig.bucket("films").await;
    rig.put(&b, "media/a", "film").await;
    rig.put(&b, "media/locked/a", "film").await;
    let (role, _) = rig.role(WORKER);
    rig.client
        .put_bucket_policy()
        .bucket(&b)
        .policy(
            r#"{"Version":"2012-10-17","Statement":[
            {"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::films","arn:aws:s3:::films/*"],
             "Condition":{"Bool":{"aws:SecureTransport":"false"}}},
            {"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::000000000000:role/worker"},"Action":"s3:GetObject",
             "Resource":"arn:aws:s3:::films/media/locked/*"}]}"#,
        )
        .send()
        .await
        .unwrap();
    role.get_object()
        .bucket(&b)
        .key("media/a")
        .send()
        .await
        .unwrap();
    let error = role
        .get_object()
        .bucket(&b)
        .key("media/locked/a")
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error), "AccessDenied");
    assert!(format!("{error:?}").contains("explicit deny in a resource-based policy"));
    assert_eq!(rig.get(&b, "media/locked/a").await.unwrap(), b"film");
}

#[tokio::test]
async fn bad_keys_tokens_and_regions() {
    let rig = Rig::new().await;
    let b = rig.bucket("films").await;
    let (_, key) = rig.role(WORKER);
    let root = localcloud::state::iam::root_key(&rig.store)
        .unwrap()
        .unwrap();
    let ask = |key: AccessKey, region: &'static str| {
        let client = client(rig.address, &key, region);
        let b = b.clone();
        async move {
            code(
                &client
                    .get_object()
                    .bucket(b)
                    .key("media/a")
                    .send()
                    .await
                    .unwrap_err(),
            )
        }
    };
    let with_token = |token: Option<&str>| AccessKey {
        session_token: token.map(str::to_owned),
        ..key.clone()
    };
    assert_eq!(ask(with_token(None), REGION).await, "InvalidToken");
    assert_eq!(ask(with_token(Some("other")), REGION).await, "InvalidToken");
    let unknown = AccessKey {
        access_key_id: "AKIANOBODY".into(),
        principal: Principal::Root,
        ..root.clone()
    };
    assert_eq!(ask(unknown, REGION).await, "InvalidAccessKeyId");
    let forged = AccessKey {
        secret_access_key: "guess".into(),
        ..root.clone()
    };
    assert_eq!(ask(forged, REGION).await, "SignatureDoesNotMatch");
    assert_eq!(
        ask(root.clone(), "us-east-1").await,
        "AuthorizationHeaderMalformed"
    );
    rig.store
        .transaction(|db| {
            db.execute("UPDATE iam_keys SET expires = 1 WHERE role IS NOT NULL", [])?;
            Ok(())
        })
        .unwrap();
    assert_eq!(ask(key.clone(), REGION).await, "ExpiredToken");
    let (status, _, body) = rig.raw("GET", "/films/media/a", &[], b"").await;
    assert_eq!(status, 403);
    assert!(
        String::from_utf8(body)
            .unwrap()
            .contains("<Code>AccessDenied</Code>")
    );
    let (status, _, _) = rig.raw("PUT", "/anyone", &[], b"").await;
    assert_eq!(status, 403);
}

#[tokio::test]
async fn the_expected_owner_is_checked_everywhere() {
    let rig = Rig::new().await;
    let b = rig.bucket("films").await;
    rig.put(&b, "k", "v").await;
    let c = &rig.client;
    let stranger = "111111111111";
    macro_rules! refused {
        ($($call:expr),* $(,)?) => {
            $(
                let error = $call.expected_bucket_owner(stranger).send().await.unwrap_err();
                assert_eq!(status(&error), 403, stringify!($call));
                $call.expected_bucket_owner("000000000000").send().await.unwrap();
            )*
        };
    }
    refused!(
        c.head_bucket().bucket(&b),
        c.get_object().bucket(&b).key("k"),
        c.head_object().bucket(&b).key("k"),
        c.put_object().bucket(&b).key("k"),
        c.list_objects_v2().bucket(&b),
        c.list_object_versions().bucket(&b),
        c.get_bucket_encryption().bucket(&b),
        c.create_multipart_upload().bucket(&b).key("m"),
        c.list_multipart_uploads().bucket(&b),
        c.delete_object().bucket(&b).key("k"),
        c.delete_bucket().bucket(&b),
    );
}

#[tokio::test]
async fn presigned_urls() {
    let rig = Rig::new().await;
    let b = rig.bucket("films").await;
    rig.put(&b, "a b", "film").await;
    let hour = PresigningConfig::expires_in(Duration::from_hours(1)).unwrap();
    let target = |uri: &str| {
        uri.split_once(&rig.address.to_string())
            .unwrap()
            .1
            .to_owned()
    };
    let get = rig
        .client
        .get_object()
        .bucket(&b)
        .key("a b")
        .presigned(hour.clone())
        .await
        .unwrap();
    let (status, _, body) = rig.raw("GET", &target(get.uri()), &[], b"").await;
    assert_eq!((status, body.as_slice()), (200, &b"film"[..]));
    // It opens nothing else.
    let other = target(get.uri()).replace("a%20b", "c");
    assert_eq!(rig.raw("GET", &other, &[], b"").await.0, 403);
    assert_eq!(rig.raw("DELETE", &target(get.uri()), &[], b"").await.0, 403);

    let put = rig
        .client
        .put_object()
        .bucket(&b)
        .key("report")
        .presigned(hour)
        .await
        .unwrap();
    let headers: Vec<(&str, &str)> = put
        .headers()
        .filter(|(name, _)| !matches!(*name, "host" | "content-length"))
        .collect();
    let (status, head, _) = rig
        .raw("PUT", &target(put.uri()), &headers, b"{\"ok\":true}")
        .await;
    assert_eq!(status, 200, "{head}");
    assert_eq!(rig.get(&b, "report").await.unwrap(), b"{\"ok\":true}");

    let past = PresigningConfig::builder()
        .start_time(SystemTime::now() - Duration::from_mins(2))
        .expires_in(Duration::from_mins(1))
        .build()
        .unwrap();
    let late = rig
        .client
        .get_object()
        .bucket(&b)
        .key("a b")
        .presigned(past)
        .await
        .unwrap();
    let (status, _, body) = rig.raw("GET", &target(late.uri()), &[], b"").await;
    assert_eq!(status, 403);
    assert!(
        String::from_utf8(body)
            .unwrap()
            .contains("Request has expired")
    );
}

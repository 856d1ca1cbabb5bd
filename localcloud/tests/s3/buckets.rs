use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, ExpirationStatus, LifecycleRule,
    LifecycleRuleFilter, ObjectOwnership, PublicAccessBlockConfiguration, ServerSideEncryption,
};
use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketNamespace, CreateBucketConfiguration, Tag, Tagging,
};

use super::rig::{Rig, code, here, status};

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build().unwrap()
}

#[tokio::test]
async fn tags_given_at_creation_are_kept() {
    let rig = Rig::new().await;
    let name = "muck-demo-input-000000000000-us-local-1-an";
    let made = rig
        .client
        .create_bucket()
        .bucket(name)
        .bucket_namespace(BucketNamespace::AccountRegional)
        .create_bucket_configuration(
            CreateBucketConfiguration::builder()
                .location_constraint(BucketLocationConstraint::from("us-local-1"))
                .tags(tag("muck:stack", "demo"))
                .tags(tag("muck:kind", "input-bucket"))
                .build(),
        )
        .send()
        .await
        .unwrap();
    assert_eq!(
        made.location(),
        Some("/muck-demo-input-000000000000-us-local-1-an")
    );
    assert_eq!(
        made.bucket_arn(),
        Some("arn:aws:s3:::muck-demo-input-000000000000-us-local-1-an")
    );
    let tags = rig
        .client
        .get_bucket_tagging()
        .bucket(name)
        .send()
        .await
        .unwrap();
    assert_eq!(
        tags.tag_set(),
        [tag("muck:stack", "demo"), tag("muck:kind", "input-bucket")]
    );
}

#[tokio::test]
async fn creation_refuses_what_aws_refuses() {
    let rig = Rig::new().await;
    let create = |name: &str, region: Option<&str>, namespace: Option<BucketNamespace>| {
        rig.client
            .create_bucket()
            .bucket(name)
            .set_bucket_namespace(namespace)
            .set_create_bucket_configuration(region.map(|region| {
                CreateBucketConfiguration::builder()
                    .location_constraint(BucketLocationConstraint::from(region))
                    .build()
            }))
            .send()
    };
    let here = Some("us-local-1");
    let regional = Some(BucketNamespace::AccountRegional);
    for (name, region, namespace, wanted) in [
        (
            "films",
            Some("eu-west-1"),
            None,
            "IllegalLocationConstraintException",
        ),
        ("films", None, None, "IllegalLocationConstraintException"),
        ("films-an", here, None, "InvalidBucketName"),
        ("films", here, regional.clone(), "InvalidBucketName"),
        (
            "films-111111111111-us-local-1-an",
            here,
            regional.clone(),
            "InvalidBucketName",
        ),
        ("Films", here, None, "InvalidBucketName"),
        ("films-s3alias", here, None, "InvalidBucketName"),
        ("10.0.0.1", here, None, "InvalidBucketName"),
    ] {
        let error = create(name, region, namespace).await.unwrap_err();
        assert_eq!(code(&error), wanted, "{name}");
        assert_eq!(status(&error), 400, "{name}");
    }
    create("films", here, None).await.unwrap();
    let error = create("films", here, None).await.unwrap_err();
    assert_eq!(
        (code(&error).as_str(), status(&error)),
        ("BucketAlreadyOwnedByYou", 409)
    );
    assert!(
        error
            .as_service_error()
            .unwrap()
            .is_bucket_already_owned_by_you()
    );
}

#[tokio::test]
async fn a_bucket_is_found_listed_and_deleted() {
    let rig = Rig::new().await;
    for name in ["alpha", "beta-1", "beta-2", "gamma"] {
        rig.bucket(name).await;
    }
    let head = rig
        .client
        .head_bucket()
        .bucket("alpha")
        .send()
        .await
        .unwrap();
    assert_eq!(head.bucket_region(), Some("us-local-1"));
    let error = rig
        .client
        .head_bucket()
        .bucket("delta")
        .send()
        .await
        .unwrap_err();
    assert_eq!(status(&error), 404);
    let place = rig
        .client
        .get_bucket_location()
        .bucket("alpha")
        .send()
        .await
        .unwrap();
    assert_eq!(place.location_constraint().unwrap().as_str(), "us-local-1");

    let names = |answer: &aws_sdk_s3::operation::list_buckets::ListBucketsOutput| -> Vec<String> {
        answer
            .buckets()
            .iter()
            .map(|bucket| {
                assert_eq!(bucket.bucket_region(), Some("us-local-1"));
                bucket.name().unwrap().to_owned()
            })
            .collect()
    };
    let all = rig.client.list_buckets().send().await.unwrap();
    assert_eq!(names(&all), ["alpha", "beta-1", "beta-2", "gamma"]);
    let some = rig
        .client
        .list_buckets()
        .prefix("beta")
        .send()
        .await
        .unwrap();
    assert_eq!(names(&some), ["beta-1", "beta-2"]);
    let first = rig
        .client
        .list_buckets()
        .max_buckets(3)
        .send()
        .await
        .unwrap();
    assert_eq!(names(&first), ["alpha", "beta-1", "beta-2"]);
    let rest = rig
        .client
        .list_buckets()
        .max_buckets(3)
        .continuation_token(first.continuation_token().unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(names(&rest), ["gamma"]);
    assert_eq!(rest.continuation_token(), None);
    let elsewhere = rig
        .client
        .list_buckets()
        .bucket_region("eu-west-1")
        .send()
        .await
        .unwrap();
    assert!(elsewhere.buckets().is_empty());

    rig.put("alpha", "k", "v").await;
    let error = rig
        .client
        .delete_bucket()
        .bucket("alpha")
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        (code(&error).as_str(), status(&error)),
        ("BucketNotEmpty", 409)
    );
    rig.client
        .delete_object()
        .bucket("alpha")
        .key("k")
        .send()
        .await
        .unwrap();
    // An unfinished upload does not keep it.
    let upload = rig
        .client
        .create_multipart_upload()
        .bucket("alpha")
        .key("m")
        .send()
        .await
        .unwrap();
    rig.client
        .upload_part()
        .bucket("alpha")
        .key("m")
        .upload_id(upload.upload_id().unwrap())
        .part_number(1)
        .body("part".to_owned().into_bytes().into())
        .send()
        .await
        .unwrap();
    rig.client
        .delete_bucket()
        .bucket("alpha")
        .send()
        .await
        .unwrap();
    rig.files_settle(0).await;
    let error = rig
        .client
        .delete_bucket()
        .bucket("alpha")
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        (code(&error).as_str(), status(&error)),
        ("NoSuchBucket", 404)
    );
}

#[tokio::test]
async fn every_operation_on_no_bucket_says_so() {
    let rig = Rig::new().await;
    let c = &rig.client;
    let b = "nowhere";
    macro_rules! no_such_bucket {
        ($($call:expr),* $(,)?) => {
            $(assert_eq!(code(&$call.send().await.unwrap_err()), "NoSuchBucket", stringify!($call));)*
        };
    }
    no_such_bucket!(
        c.get_bucket_location().bucket(b),
        c.get_bucket_tagging().bucket(b),
        c.delete_bucket_tagging().bucket(b),
        c.get_bucket_policy().bucket(b),
        c.get_public_access_block().bucket(b),
        c.get_bucket_encryption().bucket(b),
        c.get_bucket_ownership_controls().bucket(b),
        c.get_bucket_versioning().bucket(b),
        c.get_bucket_lifecycle_configuration().bucket(b),
        c.list_objects_v2().bucket(b),
        c.list_object_versions().bucket(b),
        c.list_multipart_uploads().bucket(b),
        c.get_object().bucket(b).key("k"),
        c.put_object().bucket(b).key("k"),
        c.delete_object().bucket(b).key("k"),
        c.create_multipart_upload().bucket(b).key("k"),
    );
}

#[tokio::test]
async fn settings_are_kept_changed_and_taken_away() {
    let rig = Rig::new().await;
    let b = rig.bucket("films").await;
    let c = &rig.client;

    let block = c.get_public_access_block().bucket(&b).send().await.unwrap();
    let all = PublicAccessBlockConfiguration::builder()
        .block_public_acls(true)
        .block_public_policy(true)
        .ignore_public_acls(true)
        .restrict_public_buckets(true)
        .build();
    assert_eq!(block.public_access_block_configuration(), Some(&all));
    c.delete_public_access_block()
        .bucket(&b)
        .send()
        .await
        .unwrap();
    let error = c
        .get_public_access_block()
        .bucket(&b)
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        (code(&error).as_str(), status(&error)),
        ("NoSuchPublicAccessBlockConfiguration", 404)
    );
    c.put_public_access_block()
        .bucket(&b)
        .public_access_block_configuration(all.clone())
        .send()
        .await
        .unwrap();
    let block = c.get_public_access_block().bucket(&b).send().await.unwrap();
    assert_eq!(block.public_access_block_configuration(), Some(&all));

    let encryption = c.get_bucket_encryption().bucket(&b).send().await.unwrap();
    let rules = encryption
        .server_side_encryption_configuration()
        .unwrap()
        .rules();
    assert_eq!(
        rules[0]
            .apply_server_side_encryption_by_default()
            .unwrap()
            .sse_algorithm(),
        &ServerSideEncryption::Aes256
    );

    let ownership = c
        .get_bucket_ownership_controls()
        .bucket(&b)
        .send()
        .await
        .unwrap();
    assert_eq!(
        ownership.ownership_controls().unwrap().rules()[0].object_ownership(),
        &ObjectOwnership::BucketOwnerEnforced
    );

    let error = c.get_bucket_tagging().bucket(&b).send().await.unwrap_err();
    assert_eq!(
        (code(&error).as_str(), status(&error)),
        ("NoSuchTagSet", 404)
    );
    let tagging = |tags: &[Tag]| {
        Tagging::builder()
            .set_tag_set(Some(tags.to_vec()))
            .build()
            .unwrap()
    };
    c.put_bucket_tagging()
        .bucket(&b)
        .tagging(tagging(&[tag("a", "1")]))
        .send()
        .await
        .unwrap();
    let kept = c.get_bucket_tagging().bucket(&b).send().await.unwrap();
    assert_eq!(kept.tag_set(), [tag("a", "1")]);
    let error = c
        .put_bucket_tagging()
        .bucket(&b)
        .tagging(tagging(&[tag("a", "1"), tag("a", "2")]))
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error), "InvalidTag");
    c.delete_bucket_tagging().bucket(&b).send().await.unwrap();
    assert!(c.get_bucket_tagging().bucket(&b).send().await.is_err());

    let error = c
        .get_bucket_lifecycle_configuration()
        .bucket(&b)
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        (code(&error).as_str(), status(&error)),
        ("NoSuchLifecycleConfiguration", 404)
    );
    let rule = LifecycleRule::builder()
        .id("abort")
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("").build())
        .abort_incomplete_multipart_upload(
            AbortIncompleteMultipartUpload::builder()
                .days_after_initiation(1)
                .build(),
        )
        .build()
        .unwrap();
    c.put_bucket_lifecycle_configuration()
        .bucket(&b)
        .lifecycle_configuration(
            BucketLifecycleConfiguration::builder()
                .rules(rule.clone())
                .build()
                .unwrap(),
        )
        .send()
        .await
        .unwrap();
    let kept = c
        .get_bucket_lifecycle_configuration()
        .bucket(&b)
        .send()
        .await
        .unwrap();
    assert_eq!(kept.rules(), [rule]);
    c.delete_bucket_lifecycle().bucket(&b).send().await.unwrap();
    assert!(
        c.get_bucket_lifecycle_configuration()
            .bucket(&b)
            .send()
            .await
            .is_err()
    );
}

#[tokio::test]
async fn policies_are_checked_and_kept() {
    let rig = Rig::new().await;
    let b = rig.bucket("films").await;
    let c = &rig.client;
    let error = c.get_bucket_policy().bucket(&b).send().await.unwrap_err();
    assert_eq!(
        (code(&error).as_str(), status(&error)),
        ("NoSuchBucketPolicy", 404)
    );
    let tls_only = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:*",
        "Resource":["arn:aws:s3:::films","arn:aws:s3:::films/*"],"Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}"#;
    c.put_bucket_policy()
        .bucket(&b)
        .policy(tls_only)
        .send()
        .await
        .unwrap();
    let kept = c.get_bucket_policy().bucket(&b).send().await.unwrap();
    assert_eq!(kept.policy(), Some(tls_only));
    let error = c
        .put_bucket_policy()
        .bucket(&b)
        .policy("{}")
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        (code(&error).as_str(), status(&error)),
        ("MalformedPolicy", 400)
    );
    let public = r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::films/*"}]}"#;
    let error = c
        .put_bucket_policy()
        .bucket(&b)
        .policy(public)
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        (code(&error).as_str(), status(&error)),
        ("AccessDenied", 403)
    );
    c.delete_bucket_policy().bucket(&b).send().await.unwrap();
    assert!(c.get_bucket_policy().bucket(&b).send().await.is_err());
}

#[tokio::test]
async fn what_is_not_built_is_named() {
    let rig = Rig::new().await;
    let b = rig.bucket("films").await;
    let error = rig
        .client
        .get_bucket_acl()
        .bucket(&b)
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        (code(&error).as_str(), status(&error)),
        ("NotImplemented", 501)
    );
    assert!(format!("{error:?}").contains("GetBucketAcl"), "{error:?}");
    let error = rig
        .client
        .create_bucket()
        .bucket("locked")
        .create_bucket_configuration(here())
        .object_lock_enabled_for_bucket(true)
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error), "NotImplemented");
}

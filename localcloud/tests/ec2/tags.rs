//! CreateTags, DeleteTags, DescribeTags.

use aws_sdk_ec2::types::{Filter, Tag};

use super::rig::{Cloud, code, volume_of};

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build()
}

#[tokio::test]
async fn tags_are_set_listed_and_removed() {
    let cloud = Cloud::new();
    let id = cloud.running().await;
    let volume = volume_of(&cloud.instance(&id).await);
    cloud
        .client
        .create_tags()
        .resources(&id)
        .resources(&volume)
        .tags(tag("a", "1"))
        .tags(tag("b", "2"))
        .send()
        .await
        .unwrap();
    cloud
        .client
        .create_tags()
        .resources(&id)
        .tags(tag("a", "3"))
        .send()
        .await
        .unwrap();
    let list = async |name: &str, value: &str| {
        let answer = cloud
            .client
            .describe_tags()
            .filters(Filter::builder().name(name).values(value).build())
            .send()
            .await
            .unwrap();
        let mut tags: Vec<_> = answer
            .tags()
            .iter()
            .map(|tag| {
                format!(
                    "{} {}={}",
                    tag.resource_type().unwrap().as_str(),
                    tag.key().unwrap(),
                    tag.value().unwrap()
                )
            })
            .collect();
        tags.sort();
        tags
    };
    assert_eq!(
        list("resource-id", &id).await,
        ["instance a=3", "instance b=2"]
    );
    assert_eq!(list("key", "a").await, ["instance a=3", "volume a=1"]);
    assert_eq!(
        list("resource-type", "volume").await,
        ["volume a=1", "volume b=2"]
    );

    // With a value that it hasn't, a tag stays; without a value it goes.
    let delete = |tag: Tag| cloud.client.delete_tags().resources(&id).tags(tag).send();
    delete(tag("a", "wrong")).await.unwrap();
    assert_eq!(
        list("resource-id", &id).await,
        ["instance a=3", "instance b=2"]
    );
    delete(Tag::builder().key("a").build()).await.unwrap();
    assert_eq!(list("resource-id", &id).await, ["instance b=2"]);

    cloud
        .client
        .terminate_instances()
        .instance_ids(&id)
        .send()
        .await
        .unwrap();
    cloud.until(&id, "terminated").await;
    assert_eq!(
        list("resource-id", &volume).await,
        [""; 0],
        "the volume went with its tags"
    );
    cloud.wait(3600);
    assert_eq!(list("resource-id", &id).await, [""; 0]);
}

#[tokio::test]
async fn refuses_tags_that_ec2_refuses() {
    let cloud = Cloud::new();
    let id = cloud.running().await;
    let long_key = "k".repeat(129);
    let long_value = "v".repeat(257);
    for (tags, expected) in [
        (vec![tag("aws:x", "1")], "InvalidParameterValue"),
        (vec![tag(&long_key, "1")], "InvalidParameterValue"),
        (vec![tag("k", &long_value)], "InvalidParameterValue"),
        (vec![tag("k", "1"), tag("k", "2")], "InvalidParameterValue"),
        (
            (0..51).map(|n| tag(&format!("k{n}"), "v")).collect(),
            "TagLimitExceeded",
        ),
    ] {
        let request = cloud
            .client
            .create_tags()
            .resources(&id)
            .set_tags(Some(tags));
        assert_eq!(code(&request.send().await.unwrap_err()).0, expected);
    }
    for (resource, expected) in [
        ("i-0123456789abcdef0", "InvalidInstanceID.NotFound"),
        ("snap-0123456789abcdef0", "InvalidSnapshot.NotFound"),
        ("ami-0123456789abcdef0", "InvalidAMIID.NotFound"),
        ("thing-1", "InvalidID"),
    ] {
        let request = cloud
            .client
            .create_tags()
            .resources(&id)
            .resources(resource)
            .tags(tag("k", "v"));
        assert_eq!(code(&request.send().await.unwrap_err()).0, expected);
    }
    assert!(
        cloud.instance(&id).await.tags().is_empty(),
        "all or nothing"
    );
}

//! SNS through the real SDK client.

use aws_sdk_sns::types::Tag;

use crate::harness::{Cloud, code};

#[tokio::test]
async fn a_topic_mails_its_subscribers() {
    let cloud = Cloud::start().await;
    let sns = cloud.sns();
    let tag = Tag::builder().key("muck:stack").value("a").build().unwrap();
    let create = || sns.create_topic().name("muck-a").tags(tag.clone()).send();
    let arn = create().await.unwrap().topic_arn.unwrap();
    assert_eq!(arn, "arn:aws:sns:us-local-1:000000000000:muck-a");
    assert_eq!(create().await.unwrap().topic_arn(), Some(arn.as_str()));
    let other = Tag::builder().key("muck:stack").value("b").build().unwrap();
    let differently = sns.create_topic().name("muck-a").tags(other).send().await;
    assert_eq!(code(differently), "InvalidParameter");
    let tags = sns
        .list_tags_for_resource()
        .resource_arn(&arn)
        .send()
        .await
        .unwrap();
    assert_eq!(tags.tags(), [tag]);

    let subscription = sns
        .subscribe()
        .topic_arn(&arn)
        .protocol("email")
        .endpoint("me@example.com")
        .return_subscription_arn(true)
        .send()
        .await
        .unwrap()
        .subscription_arn
        .unwrap();
    let listed = sns
        .list_subscriptions_by_topic()
        .topic_arn(&arn)
        .send()
        .await
        .unwrap();
    assert_eq!(
        listed.subscriptions()[0].subscription_arn(),
        Some(subscription.as_str())
    );
    let sent = sns
        .publish()
        .topic_arn(&arn)
        .subject("Service started")
        .message("host ip-127-0-3-17")
        .send()
        .await
        .unwrap();
    let mails: Vec<_> = std::fs::read_dir(cloud.dir().join("mail"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].extension().unwrap(), "eml");
    let mail = std::fs::read_to_string(&mails[0]).unwrap();
    for line in [
        "To: me@example.com",
        "Subject: Service started",
        "From: ",
        "Date: ",
    ] {
        assert!(
            mail.contains(&format!("\r\n{line}")) || mail.starts_with(line),
            "{line}: {mail}"
        );
    }
    assert!(mail.contains(sent.message_id().unwrap()));

    sns.unsubscribe()
        .subscription_arn(&subscription)
        .send()
        .await
        .unwrap();
    let attributes = sns
        .get_topic_attributes()
        .topic_arn(&arn)
        .send()
        .await
        .unwrap();
    assert_eq!(
        attributes.attributes().unwrap()["SubscriptionsConfirmed"],
        "0"
    );
    sns.delete_topic().topic_arn(&arn).send().await.unwrap();
    sns.delete_topic().topic_arn(&arn).send().await.unwrap();
    assert!(sns.list_topics().send().await.unwrap().topics().is_empty());
    let gone = sns.publish().topic_arn(&arn).message("x").send().await;
    assert_eq!(code(gone), "NotFound");
    cloud.shutdown().await;
}

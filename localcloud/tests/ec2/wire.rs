//! EC2 over HTTP, signed, through the gateway of a whole server.

use aws_sdk_ec2::types::{Filter, InstanceType};
use localcloud::ec2::base::BASE_IMAGE;

use super::rig::code;
use crate::harness::Cloud;

#[tokio::test]
async fn answers_and_errors_come_through_the_gateway() {
    let cloud = Cloud::start().await;
    let client = cloud.ec2();
    let images = client
        .describe_images()
        .owners("136693071363")
        .filters(Filter::builder().name("name").values("debian-13-*").build())
        .send()
        .await
        .unwrap();
    assert_eq!(images.images()[0].image_id(), Some(BASE_IMAGE));
    assert!(aws_sdk_ec2::operation::RequestId::request_id(&images).is_some());

    let run = || {
        client
            .run_instances()
            .image_id(BASE_IMAGE)
            .instance_type(InstanceType::from("c7i.large"))
            .min_count(1)
            .max_count(1)
    };
    let dry = run().dry_run(true).send().await.unwrap_err();
    assert_eq!(code(&dry).0, "DryRunOperation");
    assert_eq!(dry.raw_response().unwrap().status().as_u16(), 412);
    let unknown = run().key_name("mine").send().await.unwrap_err();
    assert_eq!(
        code(&unknown),
        (
            "UnknownParameter".to_owned(),
            "The parameter KeyName is not recognized".to_owned()
        )
    );
    let unknown = client.describe_key_pairs().send().await.unwrap_err();
    assert_eq!(code(&unknown).0, "InvalidAction");
    cloud.shutdown().await;
}

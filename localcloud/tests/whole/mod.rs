//! All of it together: an instance boots, is told where its cloud is, and calls it with its role's rights.

use std::time::{Duration, Instant};

use aws_sdk_ec2::types::{IamInstanceProfileSpecification, InstanceStateName, InstanceType};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http_body_util::Full;
use localcloud::ec2::base::BASE_IMAGE;

use crate::harness::{Cloud, code, send_raw};

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
    "Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[
    {"Effect":"Allow","Action":"sqs:SendMessage","Resource":"arn:aws:sqs:*:*:out"},
    {"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::results/media/*"}]}"#;

const USER_DATA: &str = "#!/bin/sh
echo \"cloud=$AWS_ENDPOINT_URL=\"
echo \"imds=$AWS_EC2_METADATA_SERVICE_ENDPOINT=\"
sleep 600
";

/// A boot on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// Looks again and again until there is something.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(since.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What stands between `name=` and `=` on the console.
fn told(console: &str, name: &str) -> Option<String> {
    let (_, rest) = console.split_once(&format!("{name}="))?;
    Some(rest.split_once('=')?.0.to_owned())
}

#[tokio::test]
async fn an_instance_calls_its_cloud_with_its_roles_rights() {
    let cloud = Cloud::start().await;
    let (ec2, iam, sqs, s3) = (cloud.ec2(), cloud.iam(), cloud.sqs(), cloud.s3());
    for name in ["in", "out"] {
        sqs.create_queue().queue_name(name).send().await.unwrap();
    }
    s3.create_bucket()
        .bucket("results")
        .create_bucket_configuration(
            aws_sdk_s3::types::CreateBucketConfiguration::builder()
                .location_constraint("us-local-1".into())
                .build(),
        )
        .send()
        .await
        .unwrap();
    iam.create_role()
        .role_name("w")
        .assume_role_policy_document(TRUST)
        .send()
        .await
        .unwrap();
    iam.put_role_policy()
        .role_name("w")
        .policy_name("p")
        .policy_document(POLICY)
        .send()
        .await
        .unwrap();
    iam.create_instance_profile()
        .instance_profile_name("w")
        .send()
        .await
        .unwrap();
    iam.add_role_to_instance_profile()
        .instance_profile_name("w")
        .role_name("w")
        .send()
        .await
        .unwrap();

    let launched = ec2
        .run_instances()
        .image_id(BASE_IMAGE)
        .instance_type(InstanceType::T3Micro)
        .min_count(1)
        .max_count(1)
        .user_data(BASE64.encode(USER_DATA))
        .iam_instance_profile(IamInstanceProfileSpecification::builder().name("w").build())
        .send()
        .await
        .unwrap();
    let id = launched.instances()[0].instance_id().unwrap().to_owned();
    let console = until("the console", async || {
        let output = ec2
            .get_console_output()
            .instance_id(&id)
            .send()
            .await
            .ok()?;
        let console = String::from_utf8(BASE64.decode(output.output()?).ok()?).ok()?;
        told(&console, "imds")?;
        Some(console)
    })
    .await;
    assert_eq!(told(&console, "cloud").unwrap(), cloud.info.endpoint);

    // What the guest's SDK does.
    let imds = told(&console, "imds").unwrap();
    let ask = async |method: &str, path: &str, header: (&str, &str)| {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(header.0, header.1)
            .body(Full::new(Bytes::new()))
            .unwrap();
        let (status, body) = send_raw(&imds, request).await;
        assert_eq!(status, 200, "{path}");
        String::from_utf8(body.to_vec()).unwrap()
    };
    let token = ask(
        "PUT",
        "/latest/api/token",
        ("x-aws-ec2-metadata-token-ttl-seconds", "600"),
    )
    .await;
    let held = ("x-aws-ec2-metadata-token", token.as_str());
    assert_eq!(ask("GET", "/latest/meta-data/instance-id", held).await, id);
    let path = "/latest/meta-data/iam/security-credentials/";
    let role = ask("GET", path, held).await;
    assert_eq!(role, "w");
    let key: serde_json::Value =
        serde_json::from_str(&ask("GET", &format!("{path}{role}"), held).await).unwrap();
    let guest = cloud.config_as(
        key["AccessKeyId"].as_str().unwrap(),
        key["SecretAccessKey"].as_str().unwrap(),
        key["Token"].as_str(),
    );
    let identity = aws_sdk_sts::Client::new(&guest)
        .get_caller_identity()
        .send()
        .await
        .unwrap();
    assert_eq!(
        identity.arn().unwrap(),
        format!("arn:aws:sts::000000000000:assumed-role/w/{id}")
    );
    let send = |queue: &str| {
        aws_sdk_sqs::Client::new(&guest)
            .send_message()
            .queue_url(format!("{}/000000000000/{queue}", cloud.info.endpoint))
            .message_body("Status: converted")
            .send()
    };
    send("out").await.unwrap();
    assert_eq!(code(send("in").await), "AccessDenied");
    let put = |key: &str| {
        aws_sdk_s3::Client::new(&guest)
            .put_object()
            .bucket("results")
            .key(key)
            .body(b"video".to_vec().into())
            .send()
    };
    put("media/x").await.unwrap();
    assert_eq!(code(put("verdicts/x").await), "AccessDenied");
    assert_eq!(
        code(
            aws_sdk_ec2::Client::new(&guest)
                .describe_instances()
                .send()
                .await
        ),
        "UnauthorizedOperation"
    );

    ec2.terminate_instances()
        .instance_ids(&id)
        .send()
        .await
        .unwrap();
    until("the end of the instance", async || {
        let described = ec2
            .describe_instances()
            .instance_ids(&id)
            .send()
            .await
            .unwrap();
        let state = described.reservations()[0].instances()[0]
            .state()?
            .name()?
            .clone();
        (state == InstanceStateName::Terminated).then_some(())
    })
    .await;
    cloud.shutdown().await;
}

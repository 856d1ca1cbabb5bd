//! The one door: signatures, rights of roles, faults on purpose, the journal, the control endpoints.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use localcloud::server::ServerInfo;
use localcloud::state::Store;
use localcloud::state::iam::{AccessKey, issue_role_credentials};
use serde_json::json;

use crate::harness::{Cloud, code, message};

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
    "Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

/// What the IMDS of an instance with this role would hand out.
fn credentials(info: &ServerInfo, role: &str) -> AccessKey {
    let store = Store::open(&info.dir).unwrap();
    issue_role_credentials(&store, role, "i-0123456789abcdef0", jiff::Timestamp::now()).unwrap()
}

#[tokio::test]
async fn health_needs_no_key_and_the_rest_does() {
    let cloud = Cloud::start().await;
    let (status, health) = cloud
        .control("GET", "/_muck/health", Bytes::new(), None)
        .await;
    assert_eq!(status, 200);
    assert_eq!(health["region"], "us-local-1");
    assert_eq!(health["account"], "000000000000");
    assert_eq!(health["driver"], "process");
    for bearer in [None, Some("guess")] {
        let (status, _) = cloud
            .control("GET", "/_muck/calls", Bytes::new(), bearer)
            .await;
        assert_eq!(status, 401);
    }
    let (status, answer) = cloud
        .post("/_muck/faults", &json!([{"fault": {"kind": "explode"}}]))
        .await;
    assert_eq!(status, 400);
    assert!(
        answer["message"].as_str().unwrap().contains("explode"),
        "{answer}"
    );
    assert_eq!(cloud.get("/_muck/nothing").await.0, 404);
    cloud.shutdown().await;
}

#[tokio::test]
async fn wrong_keys_are_refused_in_each_services_words() {
    let cloud = Cloud::start().await;
    let unknown = cloud.config_as("AKIAUNKNOWN", "x", None);
    assert_eq!(
        code(
            aws_sdk_sqs::Client::new(&unknown)
                .list_queues()
                .send()
                .await
        ),
        "UnrecognizedClientException"
    );
    assert_eq!(
        code(
            aws_sdk_sts::Client::new(&unknown)
                .get_caller_identity()
                .send()
                .await
        ),
        "InvalidClientTokenId"
    );
    assert_eq!(
        code(
            aws_sdk_ec2::Client::new(&unknown)
                .describe_images()
                .send()
                .await
        ),
        "AuthFailure"
    );
    let wrong = cloud.config_as(&cloud.info.access_key_id, "wrong", None);
    assert_eq!(
        code(aws_sdk_iam::Client::new(&wrong).list_roles().send().await),
        "SignatureDoesNotMatch"
    );
    assert_eq!(
        code(aws_sdk_s3::Client::new(&wrong).list_buckets().send().await),
        "SignatureDoesNotMatch"
    );
    let elsewhere = cloud
        .config()
        .into_builder()
        .region(aws_config::Region::new("eu-west-1"))
        .build();
    let refused = aws_sdk_sqs::Client::new(&elsewhere)
        .list_queues()
        .send()
        .await;
    assert!(message(refused).contains("us-local-1"));
    cloud.shutdown().await;
}

#[tokio::test]
async fn unsigned_calls_get_nothing() {
    let cloud = Cloud::start().await;
    let sqs = http::Request::post("/")
        .header("x-amz-target", "AmazonSQS.ListQueues")
        .body(Full::new(Bytes::from("{}")));
    let iam = http::Request::post("/").body(Full::new(Bytes::from(
        "Action=ListRoles&Version=2010-05-08",
    )));
    let s3 = http::Request::get("/bucket/key").body(Full::new(Bytes::new()));
    for request in [sqs, iam, s3] {
        let (status, body) = cloud.raw(request.unwrap()).await;
        assert_eq!(status, 403, "{body:?}");
    }
    cloud.shutdown().await;
}

#[tokio::test]
async fn a_role_may_do_what_its_policy_says_and_no_more() {
    let cloud = Cloud::start().await;
    let (iam, sqs) = (cloud.iam(), cloud.sqs());
    for name in ["in", "out"] {
        sqs.create_queue().queue_name(name).send().await.unwrap();
    }
    iam.create_role()
        .role_name("w")
        .assume_role_policy_document(TRUST)
        .send()
        .await
        .unwrap();
    let put = |policy: &'static str| {
        iam.put_role_policy()
            .role_name("w")
            .policy_name("p")
            .policy_document(policy)
            .send()
    };
    put(
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sqs:SendMessage",
        "Resource":"arn:aws:sqs:us-local-1:000000000000:out",
        "Condition":{"Bool":{"aws:SecureTransport":"true"},
        "NumericGreaterThanEquals":{"ec2:RoleDelivery":"2.0"},
        "StringEquals":{"aws:ResourceAccount":"${never}"}}}]}"#,
    )
    .await
    .unwrap();
    let key = credentials(&cloud.info, "w");
    let config = cloud.config_as(
        &key.access_key_id,
        &key.secret_access_key,
        key.session_token.as_deref(),
    );
    let sts = aws_sdk_sts::Client::new(&config);
    assert_eq!(
        sts.get_caller_identity().send().await.unwrap().arn(),
        Some("arn:aws:sts::000000000000:assumed-role/w/i-0123456789abcdef0")
    );
    let guest = aws_sdk_sqs::Client::new(&config);
    let url = |name: &str| format!("{}/000000000000/{name}", cloud.info.endpoint);
    let send = |name: &str| {
        guest
            .send_message()
            .queue_url(url(name))
            .message_body("x")
            .send()
    };
    // What isn't understood never allows, and is said.
    assert!(message(send("out").await).contains("does not understand"));
    put(
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sqs:SendMessage",
        "Resource":"arn:aws:sqs:us-local-1:000000000000:out",
        "Condition":{"Bool":{"aws:SecureTransport":"true"},
        "NumericGreaterThanEquals":{"ec2:RoleDelivery":"2.0"},
        "StringEquals":{"aws:ResourceAccount":"000000000000"}}}]}"#,
    )
    .await
    .unwrap();
    send("out").await.unwrap();
    let denied = send("in").await;
    assert!(message(denied).contains(
        "User: arn:aws:sts::000000000000:assumed-role/w/i-0123456789abcdef0 is not authorized to perform: \
         sqs:SendMessage on resource: arn:aws:sqs:us-local-1:000000000000:in"
    ));
    assert_eq!(code(send("in").await), "AccessDenied");
    assert_eq!(
        code(guest.receive_message().queue_url(url("out")).send().await),
        "AccessDenied"
    );
    assert_eq!(
        code(aws_sdk_iam::Client::new(&config).list_roles().send().await),
        "AccessDenied"
    );
    assert_eq!(
        code(
            aws_sdk_ec2::Client::new(&config)
                .describe_instances()
                .send()
                .await
        ),
        "UnauthorizedOperation"
    );
    assert_eq!(
        code(aws_sdk_sns::Client::new(&config).list_topics().send().await),
        "AuthorizationError"
    );
    // Without its token a temporary key is worth nothing.
    let bare = cloud.config_as(&key.access_key_id, &key.secret_access_key, None);
    assert_eq!(
        code(
            aws_sdk_sts::Client::new(&bare)
                .get_caller_identity()
                .send()
                .await
        ),
        "InvalidClientTokenId"
    );
    let calls = cloud.calls().await;
    assert!(
        calls
            .iter()
            .any(|call| call["principal"] == "role/w/i-0123456789abcdef0"
                && call["code"] == "AccessDenied")
    );
    cloud.shutdown().await;
}

#[tokio::test]
async fn faults_answer_in_each_services_words() {
    let cloud = Cloud::start().await;
    let codes = async |kind: &str| {
        cloud.faults(json!([{"fault": {"kind": kind}}])).await;
        [
            code(cloud.sqs().list_queues().send().await),
            code(cloud.iam().list_roles().send().await),
            code(cloud.ec2().describe_images().send().await),
            code(cloud.s3().list_buckets().send().await),
        ]
    };
    assert_eq!(
        codes("throttle").await,
        [
            "RequestThrottled",
            "Throttling",
            "RequestLimitExceeded",
            "SlowDown"
        ]
    );
    assert_eq!(
        codes("internal_error").await,
        [
            "InternalFailure",
            "InternalFailure",
            "InternalError",
            "InternalError"
        ]
    );
    assert_eq!(
        codes("unavailable").await,
        [
            "ServiceUnavailable",
            "ServiceUnavailable",
            "Unavailable",
            "ServiceUnavailable"
        ]
    );
    cloud
        .faults(
            json!([{"service": "ec2", "action": "DescribeImages", "times": 2,
            "fault": {"kind": "error", "code": "InvalidAMIID.NotFound"}}]),
        )
        .await;
    for _ in 0..2 {
        assert_eq!(
            code(cloud.ec2().describe_images().send().await),
            "InvalidAMIID.NotFound"
        );
    }
    cloud.ec2().describe_images().send().await.unwrap();
    let (_, rules) = cloud.get("/_muck/faults").await;
    assert_eq!(rules[0]["hits"], 2);
    assert_eq!(rules[0]["seen"], 3);
    cloud.shutdown().await;
}

/// Its body is in no socket's buffer as a whole: who answers early and hangs up breaks the sending.
#[tokio::test]
async fn a_large_request_that_is_refused_unread_gets_its_answer() {
    let cloud = Cloud::start().await;
    cloud
        .faults(json!([{"action": "PutObject", "fault": {"kind": "expire"}}]))
        .await;
    for _ in 0..10 {
        let call = cloud.s3().put_object().bucket("b").key("k");
        let call = call.body(vec![0; 8 << 20].into());
        assert_eq!(code(call.send().await), "ExpiredToken");
    }
    cloud.shutdown().await;
}

#[tokio::test]
async fn what_was_just_made_may_be_listed_late_and_a_session_may_end() {
    let cloud = Cloud::start().await;
    let images = async || {
        let listed = cloud.ec2().describe_images().send().await.unwrap();
        listed.images().len()
    };
    cloud
        .faults(json!([{"action": "DescribeImages", "times": 1, "fault": {"kind": "unlisted"}}]))
        .await;
    assert_eq!((images().await, images().await), (0, 1));
    cloud
        .faults(json!([{"action": "ListQueues", "fault": {"kind": "unlisted"}}]))
        .await;
    assert_eq!(code(cloud.sqs().list_queues().send().await), "BadFault");

    cloud
        .faults(json!([{"action": "ListQueues", "nth": 1, "fault": {"kind": "expire"}}]))
        .await;
    assert_eq!(images().await, 1);
    let expired = [
        code(cloud.sqs().list_queues().send().await),
        code(cloud.iam().list_roles().send().await),
        code(cloud.ec2().describe_images().send().await),
        code(cloud.s3().list_buckets().send().await),
    ];
    assert_eq!(
        expired,
        [
            "ExpiredToken",
            "ExpiredToken",
            "RequestExpired",
            "ExpiredToken"
        ]
    );
    cloud.shutdown().await;
}

#[tokio::test]
async fn a_timeout_or_reset_tells_whether_the_call_took_effect() {
    let cloud = Cloud::start().await;
    let sqs = cloud.sqs();
    // Each fault, and whether the queue is there after it.
    for (kind, effect) in [
        ("timeout_before", false),
        ("timeout_after", true),
        ("reset_before", false),
        ("reset_mid_body", true),
    ] {
        cloud
            .faults(json!([{"action": "CreateQueue", "nth": 1, "fault": {"kind": kind}}]))
            .await;
        let create = sqs.create_queue().queue_name(kind).send();
        let result = tokio::time::timeout(Duration::from_secs(2), create).await;
        assert_eq!(result.is_err(), kind.starts_with("timeout"), "{kind}");
        if let Ok(result) = result {
            assert!(
                result.unwrap_err().as_service_error().is_none(),
                "{kind}: no answer came"
            );
        }
        let found = sqs.get_queue_url().queue_name(kind).send().await;
        assert_eq!(found.is_ok(), effect, "{kind}");
        let calls = cloud.calls().await;
        let call = calls
            .iter()
            .rev()
            .find(|call| call["action"] == "CreateQueue")
            .unwrap();
        let progress = match (kind, effect) {
            ("reset_mid_body", _) => "done",
            (_, true) => "held-after",
            (_, false) => "held-before",
        };
        assert_eq!(call["progress"], progress, "{kind}");
        assert_eq!(call["fault"], kind);
    }
    cloud.shutdown().await;
}

#[tokio::test]
async fn a_delay_is_as_long_as_said() {
    let cloud = Cloud::start().await;
    cloud
        .faults(json!([{"service": "sts", "fault": {"kind": "delay", "ms": 300}}]))
        .await;
    let since = Instant::now();
    cloud.sts().get_caller_identity().send().await.unwrap();
    assert!(since.elapsed() >= Duration::from_millis(300));
    cloud.shutdown().await;
}

#[tokio::test]
async fn unknown_actions_and_parameters_are_named() {
    let cloud = Cloud::start().await;
    assert!(message(cloud.iam().list_users().send().await).contains("ListUsers"));
    assert!(
        message(
            cloud
                .sqs()
                .list_dead_letter_source_queues()
                .queue_url("http://x/1/q")
                .send()
                .await
        )
        .contains("ListDeadLetterSourceQueues")
    );
    let named = cloud
        .sqs()
        .create_queue()
        .queue_name("q.fifo")
        .attributes(aws_sdk_sqs::types::QueueAttributeName::FifoQueue, "true")
        .send()
        .await;
    assert!(message(named).contains("FIFO"));
    cloud.shutdown().await;
}

#[tokio::test]
async fn the_journal_names_s3_calls_too() {
    let cloud = Cloud::start().await;
    cloud.s3().list_buckets().send().await.unwrap();
    let calls = cloud.calls().await;
    let call = &calls[0];
    assert_eq!(call["service"], "s3");
    assert_eq!(call["action"], "ListBuckets");
    assert_eq!(call["principal"], "root");
    assert_eq!(call["status"], 200);
    assert_eq!(call["progress"], "done");
    cloud.shutdown().await;
}

//! What an instance's credentials do in other hands.

use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;

use super::STACK;
use super::stage::Stage;
use crate::harness::machine::Access;
use crate::harness::sdk::{BASE, Sdk};

/// What somebody tries who has an instance's credentials, each with the word that refuses it.
macro_rules! refused {
    ($thief:expr, $($call:expr),+ $(,)?) => {
        vec![$((
            stringify!($call),
            $thief.run($call.send()).err().map(|error| error.code().unwrap_or("no code").to_owned()),
        )),+]
    };
}

#[test]
fn stolen_credentials_do_nothing_but_the_workers_work() {
    let stage = Stage::open();
    // Without the token of IMDSv2 there was nothing to steal.
    assert!(
        stage.console.contains("version 1: 401"),
        "{}",
        stage.console
    );
    let root = &stage.sdk;
    let here = aws_sdk_s3::types::CreateBucketConfiguration::builder()
        .location_constraint("us-local-1".into());
    let call = root.s3.create_bucket().bucket("films");
    root.run(call.create_bucket_configuration(here.build()).send())
        .expect("a bucket");
    let (input, output) = (&Sdk::bucket(STACK, "input"), &Sdk::bucket(STACK, "output"));
    for bucket in ["films", input, output] {
        let body = aws_sdk_s3::primitives::ByteStream::from_static(b"film");
        let call = root
            .s3
            .put_object()
            .bucket(bucket)
            .key("media/film")
            .body(body);
        root.run(call.send()).expect("puts");
    }
    let [in_url, out_url, failed_url] =
        ["input", "output", "failed"].map(|purpose| root.queue_url(STACK, purpose));
    root.run(
        root.sqs
            .send_message()
            .queue_url(&out_url)
            .message_body("x")
            .send(),
    )
    .expect("sends");
    let topic = "arn:aws:sns:us-local-1:000000000000:muck-w-notify";
    let role = "muck-w-worker";
    let role_arn = "arn:aws:iam::000000000000:role/muck/w/muck-w-worker";

    let thief = Sdk::over(&Access::of(&stage.world).with_keys(&stage.keys));
    let (s3, sqs, ec2, iam) = (&thief.s3, &thief.sqs, &thief.ec2, &thief.iam);
    let everything =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
    let put = |bucket: &str, key: &str| {
        let body = aws_sdk_s3::primitives::ByteStream::from_static(b"mine");
        s3.put_object().bucket(bucket).key(key).body(body)
    };
    let instance = || aws_sdk_ec2::types::InstanceType::C7iLarge;
    let mut tried = refused!(
        thief,
        s3.list_buckets(),
        s3.list_objects_v2().bucket("films"),
        s3.list_objects_v2().bucket(input),
        s3.list_objects_v2().bucket(output),
        s3.list_object_versions().bucket(output),
        s3.get_object().bucket("films").key("media/film"),
        s3.get_object().bucket(output).key("media/film"),
        s3.get_object().bucket(input).key("worker/binary"),
        s3.delete_object().bucket(input).key("media/film"),
        s3.delete_object().bucket(output).key("media/film"),
        put("films", "media/film"),
        put(input, "media/film"),
        put(input, "bake/report"),
        put(output, "film"),
        put(output, "mediafilm"),
        s3.get_bucket_policy().bucket(output),
        s3.delete_bucket_policy().bucket(output),
        s3.get_object_tagging().bucket(input).key("media/film"),
        s3.delete_bucket().bucket(output),
        s3.create_bucket().bucket("mine"),
    );
    tried.extend(refused!(
        thief,
        sqs.receive_message()
            .queue_url(&out_url)
            .wait_time_seconds(0),
        sqs.receive_message()
            .queue_url(&failed_url)
            .wait_time_seconds(0),
        sqs.send_message().queue_url(&in_url).message_body("x"),
        sqs.purge_queue().queue_url(&in_url),
        sqs.purge_queue().queue_url(&out_url),
        sqs.delete_queue().queue_url(&in_url),
        sqs.get_queue_attributes().queue_url(&out_url),
        sqs.set_queue_attributes()
            .queue_url(&in_url)
            .attributes("VisibilityTimeout".into(), "0"),
        sqs.list_queues(),
        sqs.create_queue().queue_name("mine"),
        thief
            .sns
            .subscribe()
            .topic_arn(topic)
            .protocol("email")
            .endpoint("eve@example.org"),
        thief.sns.list_topics(),
        thief.sns.delete_topic().topic_arn(topic),
        thief
            .sts
            .assume_role()
            .role_arn(role_arn)
            .role_session_name("eve"),
    ));
    tried.extend(refused!(
        thief,
        ec2.describe_instances(),
        ec2.describe_images(),
        ec2.describe_volumes(),
        ec2.run_instances()
            .image_id(BASE)
            .instance_type(instance())
            .min_count(1)
            .max_count(1),
        ec2.terminate_instances()
            .instance_ids("i-0123456789abcdef0"),
        ec2.get_console_output().instance_id("i-0123456789abcdef0"),
        ec2.create_tags().resources("i-0123456789abcdef0").tags(
            aws_sdk_ec2::types::Tag::builder()
                .key("muck:stack")
                .value("x")
                .build()
        ),
        iam.get_role().role_name(role),
        iam.list_roles(),
        iam.put_role_policy()
            .role_name(role)
            .policy_name("mine")
            .policy_document(everything),
        iam.get_role_policy().role_name(role).policy_name("worker"),
        iam.create_role()
            .role_name("mine")
            .assume_role_policy_document(everything),
        iam.delete_role_policy()
            .role_name(role)
            .policy_name("worker"),
    ));
    // A refusal in each service's own word.
    let words = [
        "AccessDenied",
        "UnauthorizedOperation",
        "AuthorizationError",
    ];
    let allowed: Vec<_> = tried
        .iter()
        .filter(|(_, code)| !code.as_deref().is_some_and(|code| words.contains(&code)))
        .collect();
    assert!(allowed.is_empty(), "{allowed:#?}");
    assert!(tried.len() > 40);
    // The keys are good, though: they do what they are for.
    let counts = sqs.get_queue_attributes().queue_url(&in_url);
    thief.run(counts.send()).expect("may count");
    thief
        .run(put(output, "media/mine").send())
        .expect("may put");
}

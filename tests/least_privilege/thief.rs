//! An instance that tells its credentials.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::stage::wait_until;
use crate::harness::sdk::{BASE, Sdk};

/// What an instance runs whose user data somebody else wrote: it tells the role's credentials, after asking
/// for them in the old way.
const THIEF: &str = r#"#!/bin/sh
imds=${AWS_EC2_METADATA_SERVICE_ENDPOINT%/}
roles=$imds/latest/meta-data/iam/security-credentials
echo "version 1: $(curl -s -o /dev/null -w '%{http_code}' "$roles/")"
token=$(curl -fsS -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 600' "$imds/latest/api/token")
ask() { curl -fsS -H "X-aws-ec2-metadata-token: $token" "$1"; }
echo "loot: $(ask "$roles/$(ask "$roles/")" | tr -d '\n')"
"#;

pub(super) fn start_thief(sdk: &Sdk) -> String {
    use aws_sdk_ec2::types as sdk_types;
    let profile = sdk_types::IamInstanceProfileSpecification::builder().name("muck-w-worker");
    let call = sdk
        .ec2
        .run_instances()
        .image_id(BASE)
        .instance_type(sdk_types::InstanceType::C7iLarge)
        .min_count(1)
        .max_count(1)
        .iam_instance_profile(profile.build())
        .user_data(STANDARD.encode(THIEF));
    let answer = sdk.run(call.send()).expect("starts");
    answer.instances()[0]
        .instance_id()
        .expect("an id")
        .to_owned()
}

/// The console, once it tells credentials.
pub(super) fn console_of(sdk: &Sdk, id: &str) -> String {
    let mut console = String::new();
    wait_until(
        || {
            let call = sdk.ec2.get_console_output().instance_id(id).latest(true);
            let answer = sdk.run(call.send()).expect("a console");
            let bytes = STANDARD
                .decode(answer.output.unwrap_or_default())
                .expect("base64");
            console = String::from_utf8_lossy(&bytes).into_owned();
            console
                .lines()
                .any(|line| line.contains("loot: ") && line.ends_with('}'))
        },
        || format!("{id} tells no credentials"),
    );
    console
}

pub(super) fn user_data_of(sdk: &Sdk, id: &str) -> String {
    let call = sdk.ec2.describe_instance_attribute().instance_id(id);
    let call = call.attribute(aws_sdk_ec2::types::InstanceAttributeName::UserData);
    let answer = sdk.run(call.send()).expect("user data");
    let text = answer
        .user_data
        .and_then(|data| data.value)
        .expect("a value");
    let bytes = STANDARD.decode(text).expect("base64");
    String::from_utf8(bytes).expect("UTF-8")
}

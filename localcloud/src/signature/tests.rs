//! Requests signed as an SDK does it, and what may go wrong with them.

use super::*;
use crate::state::iam::{AccessKey, Principal, create_role, issue_role_credentials, set_root_key};
use jiff::SignedDuration;

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

/// A request signed as an SDK does it.
fn signed(key: &AccessKey, region: &str, at: Timestamp, body: &[u8]) -> Parts {
    let mut request = http::Request::post("/")
        .header("host", "127.0.0.1:4566")
        .header("x-amz-target", "AmazonSQS.ListQueues")
        .header("content-type", "application/x-amz-json-1.0")
        .body(())
        .unwrap();
    let identity = Credentials::new(
        key.access_key_id.as_str(),
        key.secret_access_key.as_str(),
        key.session_token.clone(),
        None,
        "test",
    )
    .into();
    let params: SigningParams<'_> = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("sqs")
        .time(SystemTime::from(at))
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let headers: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    let signable = SignableRequest::new(
        "POST",
        "http://127.0.0.1:4566/",
        headers.iter().map(|(n, v)| (n.as_str(), v.as_str())),
        SignableBody::Bytes(body),
    )
    .unwrap();
    let (instructions, _) = sign(signable, &params).unwrap().into_parts();
    instructions.apply_to_request_http1x(&mut request);
    request.into_parts().0
}

fn check(store: &Store, parts: &Parts, body: &[u8], at: Timestamp) -> ApiResult<Caller> {
    let authorization = Authorization::from_headers(&parts.headers)?.unwrap();
    verify(store, at, Dialect::Json, &authorization, parts, body)
}

fn code(result: ApiResult<Caller>) -> String {
    result.unwrap_err().code
}

#[test]
fn accepts_what_an_sdk_signs_and_nothing_changed() {
    let store = Store::in_memory().unwrap();
    let key = set_root_key(&store).unwrap();
    let parts = signed(&key, REGION, now(), b"{}");
    let caller = check(&store, &parts, b"{}", now()).unwrap();
    assert_eq!(caller.principal, Principal::Root);
    assert_eq!(
        code(check(&store, &parts, b"{ }", now())),
        "InvalidSignatureException"
    );
    let mut moved = signed(&key, REGION, now(), b"{}");
    moved
        .headers
        .insert("x-amz-target", "AmazonSQS.DeleteQueue".parse().unwrap());
    assert_eq!(
        code(check(&store, &moved, b"{}", now())),
        "InvalidSignatureException"
    );
    let mut elsewhere = signed(&key, REGION, now(), b"{}");
    elsewhere.uri = "/other".parse().unwrap();
    assert_eq!(
        code(check(&store, &elsewhere, b"{}", now())),
        "InvalidSignatureException"
    );
}

#[test]
fn refuses_unknown_keys_wrong_secrets_regions_and_clocks() {
    let store = Store::in_memory().unwrap();
    let mut key = set_root_key(&store).unwrap();
    let parts = signed(&key, "eu-west-1", now(), b"");
    let error = check(&store, &parts, b"", now()).unwrap_err();
    assert!(error.message.contains("us-local-1"), "{error}");
    let parts = signed(&key, REGION, now(), b"");
    let late = now() + SignedDuration::from_mins(16);
    assert!(check(&store, &parts, b"", late).is_err());
    assert!(check(&store, &parts, b"", now() + SignedDuration::from_mins(14)).is_ok());
    key.secret_access_key.push('x');
    assert_eq!(
        code(check(&store, &signed(&key, REGION, now(), b""), b"", now())),
        "InvalidSignatureException"
    );
    key.access_key_id = "AKIAUNKNOWN".into();
    assert_eq!(
        code(check(&store, &signed(&key, REGION, now(), b""), b"", now())),
        "UnrecognizedClientException"
    );
}

#[test]
fn role_credentials_need_their_token_and_expire() {
    let store = Store::in_memory().unwrap();
    let trust = r#"{"Statement":{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}}"#;
    store
        .transaction(|db| create_role(db, "w", "/", trust, None, 3600, now()))
        .unwrap();
    let mut key = issue_role_credentials(&store, "w", "i-1", now()).unwrap();
    let parts = signed(&key, REGION, now(), b"");
    assert!(matches!(
        check(&store, &parts, b"", now()).unwrap().principal,
        Principal::Role { .. }
    ));
    let later = now() + SignedDuration::from_hours(7);
    let parts = signed(&key, REGION, later, b"");
    assert_eq!(
        code(check(&store, &parts, b"", later)),
        "ExpiredTokenException"
    );
    key.session_token = None;
    let parts = signed(&key, REGION, now(), b"");
    assert_eq!(
        code(check(&store, &parts, b"", now())),
        "UnrecognizedClientException"
    );
}

#[test]
fn a_broken_header_is_named() {
    for (header, what) in [
        ("Basic abc", "algorithm"),
        (
            "AWS4-HMAC-SHA256 SignedHeaders=a, Signature=b",
            "Credential",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=a, Signature=b",
            "5 slash",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, Signature=b",
            "SignedHeaders",
        ),
    ] {
        let error = Authorization::parse(header).unwrap_err();
        assert_eq!(error.code, "IncompleteSignature");
        assert!(error.message.contains(what), "{error}");
    }
}

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::Write;

use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_http_client::proxy::ProxyConfig;

use super::settings::HttpSettings;
use super::{Route, client, route};

#[path = "../../../tests/harness/proxy.rs"]
mod proxy;

use proxy::{Proxy, TlsServer, ca_file};

fn settings(variables: &[(&str, &str)]) -> Result<HttpSettings, String> {
    let variables: HashMap<_, _> = variables.iter().copied().collect();
    HttpSettings::read(|name| variables.get(name).map(OsString::from))
        .map_err(|error| error.to_string())
}

/// One call with the client of `variables`.
async fn call(endpoint: &str, variables: &[(&str, &str)]) -> Result<(), String> {
    let settings = settings(variables)?;
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
        .endpoint_url(endpoint)
        .http_client(client(&settings))
        .retry_config(aws_sdk_sqs::config::retry::RetryConfig::disabled())
        .build();
    let sqs = aws_sdk_sqs::Client::from_conf(config);
    match sqs.list_queues().send().await {
        Ok(_) => Ok(()),
        Err(error) => Err(crate::aws::chain(&error)),
    }
}

#[tokio::test]
async fn https_goes_through_the_proxy_of_the_environment() {
    let server = TlsServer::start(None).await;
    let proxy = Proxy::start(server.address).await;
    let url = format!("http://user:secret@{}", proxy.address);
    let ca = ca_file();
    let ca = ca.path().to_str().expect("UTF-8");
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        // The proxy alone knows where `cloud.test` is.
        let variables = [(variable, url.as_str()), ("AWS_CA_BUNDLE", ca)];
        call("https://cloud.test", &variables)
            .await
            .unwrap_or_else(|error| panic!("{variable}: {error}"));
    }
    assert_eq!(proxy.requests(), vec!["CONNECT cloud.test:443 HTTP/1.1"; 3]);
    // `user:secret` in base64.
    assert!(proxy.saw_header("proxy-authorization: Basic dXNlcjpzZWNyZXQ="));
}

#[tokio::test]
async fn plain_http_goes_through_the_proxy_of_the_environment() {
    let nowhere = "127.0.0.1:1".parse().expect("address");
    let proxy = Proxy::start(nowhere).await;
    // Without a scheme, as curl takes it.
    let address = proxy.address.to_string();
    for endpoint in ["http://cloud.test:8000", "http://198.51.100.7:8000"] {
        call(endpoint, &[("HTTP_PROXY", &address)])
            .await
            .unwrap_or_else(|error| panic!("{endpoint}: {error}"));
    }
    assert_eq!(
        proxy.requests(),
        [
            "POST http://cloud.test:8000/ HTTP/1.1",
            "POST http://198.51.100.7:8000/ HTTP/1.1"
        ]
    );
}

#[tokio::test]
async fn no_proxy_and_loopback_go_direct() {
    let server = TlsServer::start(None).await;
    let port = server.address.port();
    let proxy = Proxy::start(server.address).await;
    let url = format!("http://{}", proxy.address);
    // A host that does not exist: going direct, it is looked up in vain.
    for rule in [
        "cloud.test",
        ".test",
        "*.test",
        "a.example, cloud.test",
        "*",
    ] {
        let variables = [("HTTPS_PROXY", url.as_str()), ("NO_PROXY", rule)];
        let error = call("https://cloud.test", &variables).await;
        let error = error.expect_err(rule);
        assert!(error.contains("dns"), "{rule}: {error}");
    }
    let ca = ca_file();
    let ca = ca.path().to_str().expect("UTF-8");
    let everything = [("ALL_PROXY", url.as_str()), ("AWS_CA_BUNDLE", ca)];
    for endpoint in [
        format!("https://localhost:{port}"),
        format!("https://127.0.0.1:{port}"),
    ] {
        call(&endpoint, &everything).await.expect("direct");
    }
    assert_eq!(proxy.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn the_bundle_replaces_what_the_machine_trusts() {
    let server = TlsServer::start(None).await;
    let endpoint = format!("https://localhost:{}", server.address.port());
    let error = call(&endpoint, &[]).await.expect_err("nobody trusts it");
    assert!(error.contains("UnknownIssuer"), "{error}");
    let ca = ca_file();
    call(
        &endpoint,
        &[("AWS_CA_BUNDLE", ca.path().to_str().expect("UTF-8"))],
    )
    .await
    .expect("trusted");
}

#[test]
fn unusable_values_name_their_variable() {
    let mut empty = tempfile::NamedTempFile::new().expect("file");
    let empty_name = empty.path().display().to_string();
    let error = |variables: &[(&str, &str)]| settings(variables).expect_err("unusable");
    assert_eq!(
        error(&[("AWS_CA_BUNDLE", &empty_name)]),
        format!(
            "AWS_CA_BUNDLE names {empty_name}, which cannot be used: it holds no PEM certificate"
        )
    );
    empty
        .write_all(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .expect("written");
    assert!(error(&[("AWS_CA_BUNDLE", &empty_name)]).contains("cannot be used"));
    assert!(error(&[("AWS_CA_BUNDLE", "/nowhere.pem")]).contains("No such file"));
    let proxy = error(&[("https_proxy", "socks5://me:secret@proxy:1080")]);
    assert_eq!(
        proxy,
        "https_proxy is no proxy that can be used: invalid proxy URL: unsupported proxy scheme: socks5"
    );
    let proxy = error(&[("ALL_PROXY", "http://me:sec ret@proxy")]);
    assert!(
        proxy.starts_with("ALL_PROXY") && !proxy.contains("ret"),
        "{proxy}"
    );
}

#[test]
fn an_empty_variable_is_none() {
    let settings = settings(&[("HTTPS_PROXY", ""), ("AWS_CA_BUNDLE", "")]).expect("valid");
    assert!(
        settings
            .https_proxy()
            .as_ref()
            .is_none_or(ProxyConfig::is_disabled)
    );
    assert_eq!(settings.https_proxy_variable(), None);
}

#[test]
fn only_local_addresses_bypass_every_proxy() {
    for plain in [
        "http://127.0.0.1:4566/bucket/key?x=http://y",
        "http://169.254.169.254/latest",
        "http://169.254.170.2/v2/credentials",
        "http://[fd00:ec2::254]/latest",
        "http://[::1]:80",
    ] {
        assert_eq!(route(plain, true), Route::Plain, "{plain}");
    }
    for (uri, wanted) in [
        ("https://127.0.0.1/", Route::Direct),
        ("http://localhost:5000/", Route::Direct),
        ("https://films.localhost/", Route::Direct),
        ("http://proxy.example/127.0.0.1", Route::Http),
        ("http://10.0.0.7/", Route::Http),
        ("https://sts.amazonaws.com", Route::Https),
        ("https://localhost.example/", Route::Https),
    ] {
        assert_eq!(route(uri, true), wanted, "{uri}");
    }
    // Without a proxy an address needs no name to look up.
    assert_eq!(route("http://10.0.0.7/", false), Route::Plain);
}

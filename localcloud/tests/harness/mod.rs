//! A whole local cloud in this process, on a port and in a folder of its own, and the real SDK clients for it.

use std::path::Path;
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use localcloud::server::{DriverChoice, Running, ServeOptions, ServerInfo, serve};
use serde_json::Value;
use tempfile::TempDir;

/// The server, until dropped (or [`Cloud::shutdown`]).
pub struct Cloud {
    pub info: ServerInfo,
    running: Running,
    folder: TempDir,
}

/// Error code of a failed call.
pub fn code<T: std::fmt::Debug, E, R>(
    result: Result<T, aws_sdk_sqs::error::SdkError<E, R>>,
) -> String
where
    E: aws_sdk_sqs::error::ProvideErrorMetadata + std::fmt::Debug,
    R: std::fmt::Debug,
{
    match result {
        Ok(value) => panic!("no error: {value:?}"),
        Err(error) => match error.as_service_error().and_then(|error| error.code()) {
            Some(code) => code.to_owned(),
            None => panic!("no service error: {error:?}"),
        },
    }
}

/// Message of a failed call.
pub fn message<T: std::fmt::Debug, E, R>(
    result: Result<T, aws_sdk_sqs::error::SdkError<E, R>>,
) -> String
where
    E: aws_sdk_sqs::error::ProvideErrorMetadata + std::fmt::Debug,
    R: std::fmt::Debug,
{
    match result {
        Ok(value) => panic!("no error: {value:?}"),
        Err(error) => error
            .as_service_error()
            .and_then(|error| error.message())
            .unwrap_or_default()
            .to_owned(),
    }
}

pub async fn serve_in(folder: &Path) -> Running {
    serve(ServeOptions {
        dir: folder.join("cloud"),
        cache_dir: folder.join("cache"),
        port: None,
        driver: DriverChoice::Process,
    })
    .await
    .expect("the server starts")
}

impl Cloud {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let running = serve_in(folder.path()).await;
        Self {
            info: running.info.clone(),
            running,
            folder,
        }
    }

    /// Ends the server and starts it again in the same folder.
    pub async fn restart(self) -> Self {
        self.restart_after(async || ()).await
    }

    /// The same, with something done in between.
    pub async fn restart_after(self, between: impl AsyncFnOnce()) -> Self {
        self.running.shutdown().await;
        between().await;
        let running = serve_in(self.folder.path()).await;
        Self {
            info: running.info.clone(),
            running,
            folder: self.folder,
        }
    }

    pub async fn shutdown(self) {
        self.running.shutdown().await;
    }

    /// The server's folder.
    pub fn dir(&self) -> &Path {
        &self.info.dir
    }

    /// As the account's owner.
    pub fn config(&self) -> SdkConfig {
        self.config_as(&self.info.access_key_id, &self.info.secret_access_key, None)
    }

    /// As whoever has these credentials. No retries: a test sees each answer.
    pub fn config_as(&self, id: &str, secret: &str, token: Option<&str>) -> SdkConfig {
        let credentials = Credentials::new(id, secret, token.map(str::to_owned), None, "test");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.info.region.clone()))
            .endpoint_url(&self.info.endpoint)
            .credentials_provider(
                aws_credential_types::provider::SharedCredentialsProvider::new(credentials),
            )
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .retry_config(aws_config::retry::RetryConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .operation_attempt_timeout(Duration::from_mins(1))
                    .build(),
            )
            .build()
    }

    pub fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.config())
    }

    pub fn iam(&self) -> aws_sdk_iam::Client {
        aws_sdk_iam::Client::new(&self.config())
    }

    pub fn sts(&self) -> aws_sdk_sts::Client {
        aws_sdk_sts::Client::new(&self.config())
    }

    pub fn sns(&self) -> aws_sdk_sns::Client {
        aws_sdk_sns::Client::new(&self.config())
    }

    pub fn s3(&self) -> aws_sdk_s3::Client {
        aws_sdk_s3::Client::new(&self.config())
    }

    pub fn ec2(&self) -> aws_sdk_ec2::Client {
        aws_sdk_ec2::Client::new(&self.config())
    }

    /// Sets the fault rules, in place of all before.
    pub async fn faults(&self, rules: Value) {
        let (status, answer) = self.post("/_muck/faults", &rules).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// The journal of all calls so far.
    pub async fn calls(&self) -> Vec<Value> {
        let (status, answer) = self.get("/_muck/calls").await;
        assert_eq!(status, 200, "{answer}");
        answer.as_array().expect("a list").clone()
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.control(
            "GET",
            path,
            Bytes::new(),
            Some(&self.info.secret_access_key),
        )
        .await
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let secret = &self.info.secret_access_key;
        self.control("POST", path, body.to_string().into(), Some(secret))
            .await
    }

    /// A plain HTTP request with JSON back.
    pub async fn control(
        &self,
        method: &str,
        path: &str,
        body: Bytes,
        bearer: Option<&str>,
    ) -> (u16, Value) {
        let mut request = http::Request::builder().method(method).uri(path);
        if let Some(bearer) = bearer {
            request = request.header("authorization", format!("Bearer {bearer}"));
        }
        let (status, body) = self
            .raw(request.body(Full::new(body)).expect("request"))
            .await;
        (
            status,
            serde_json::from_slice(&body).expect("JSON from a control endpoint"),
        )
    }

    /// Any request to the server, as it is.
    pub async fn raw(&self, request: http::Request<Full<Bytes>>) -> (u16, Bytes) {
        send_raw(&self.info.endpoint, request).await
    }
}

/// Any request to an endpoint (`http://127.0.0.1:PORT`), as it is.
pub async fn send_raw(endpoint: &str, mut request: http::Request<Full<Bytes>>) -> (u16, Bytes) {
    let authority = endpoint.strip_prefix("http://").expect("http");
    request
        .headers_mut()
        .insert("host", authority.parse().expect("a host"));
    let stream = tokio::net::TcpStream::connect(authority)
        .await
        .expect("connects");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .expect("HTTP");
    tokio::spawn(connection);
    let response = sender.send_request(request).await.expect("an answer");
    let status = response.status().as_u16();
    let body = response.collect().await.expect("a body").to_bytes();
    (status, body)
}

//! An S3 alone on a loopback port, and clients of it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use jiff::Timestamp;
use localcloud::account::REGION;
use localcloud::clock::SystemClock;
use localcloud::state::Store;
use localcloud::state::iam::{self, AccessKey};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The trust policy of every instance role.
const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
    "Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

pub struct Rig {
    pub client: Client,
    pub address: SocketAddr,
    pub store: Store,
    dir: Option<TempDir>,
    server: JoinHandle<()>,
}

impl Rig {
    pub async fn new() -> Self {
        Self::over(tempfile::tempdir().unwrap()).await
    }

    async fn over(dir: TempDir) -> Self {
        let store = Store::open(dir.path()).unwrap();
        let key = match iam::root_key(&store).unwrap() {
            Some(key) => key,
            None => iam::set_root_key(&store).unwrap(),
        };
        let service =
            localcloud::s3::service(store.clone(), dir.path(), Arc::new(SystemClock)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    // A client that goes away is no failure of the test.
                    let _ = auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self {
            client: client(address, &key, REGION),
            address,
            store,
            dir: Some(dir),
            server,
        }
    }

    /// Stops the server and starts another over the same folder.
    pub async fn restart(mut self) -> Self {
        let dir = self.dir.take().unwrap();
        drop(self);
        Self::over(dir).await
    }

    pub fn path(&self) -> &Path {
        self.dir.as_ref().unwrap().path()
    }

    /// All files of bodies, whole and half.
    pub fn files(&self) -> Vec<PathBuf> {
        fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, found);
                } else {
                    found.push(path);
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.path().join("s3"), &mut found);
        found
    }

    /// Waits until so many files of bodies are left; they are removed in the background.
    pub async fn files_settle(&self, count: usize) {
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
        while self.files().len() != count {
            assert!(
                tokio::time::Instant::now() < deadline,
                "{} files are left, not {count}",
                self.files().len()
            );
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// A role's client, with its key.
    pub fn role(&self, policy: &str) -> (Client, AccessKey) {
        self.store
            .transaction(|db| {
                iam::create_role(db, "worker", "/", TRUST, None, 3600, Timestamp::now())?;
                iam::put_role_policy(db, "worker", "p", policy)
            })
            .unwrap();
        let key =
            iam::issue_role_credentials(&self.store, "worker", "i-0123", Timestamp::now()).unwrap();
        (client(self.address, &key, REGION), key)
    }

    pub async fn bucket(&self, name: &str) -> String {
        self.client
            .create_bucket()
            .bucket(name)
            .create_bucket_configuration(here())
            .send()
            .await
            .unwrap();
        name.to_owned()
    }

    pub async fn put(&self, bucket: &str, key: &str, body: impl Into<Vec<u8>>) {
        self.client
            .put_object()
            .bucket(bucket)
            .key(key)
            .body(ByteStream::from(body.into()))
            .send()
            .await
            .unwrap();
    }

    pub async fn get(&self, bucket: &str, key: &str) -> Result<Vec<u8>, String> {
        match self
            .client
            .get_object()
            .bucket(bucket)
            .key(key)
            .send()
            .await
        {
            Ok(answer) => Ok(answer.body.collect().await.unwrap().to_vec()),
            Err(error) => Err(code(&error)),
        }
    }

    pub async fn keys(&self, bucket: &str) -> Vec<String> {
        let answer = self
            .client
            .list_objects_v2()
            .bucket(bucket)
            .send()
            .await
            .unwrap();
        answer
            .contents()
            .iter()
            .map(|object| object.key().unwrap().to_owned())
            .collect()
    }

    /// One HTTP/1.1 exchange without an SDK: status, head and body.
    pub async fn raw(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> (u16, String, Vec<u8>) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let mut head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n",
            self.address,
            body.len()
        );
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let end = answer
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap();
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head, answer[end + 4..].to_vec())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub fn client(address: SocketAddr, key: &AccessKey, region: &str) -> Client {
    let credentials = Credentials::new(
        &key.access_key_id,
        &key.secret_access_key,
        key.session_token.clone(),
        None,
        "test",
    );
    Client::from_conf(
        aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(format!("http://{address}"))
            .region(Region::new(region.to_owned()))
            .credentials_provider(credentials)
            // An answer is looked at once, as it came.
            .retry_config(RetryConfig::disabled())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build(),
    )
}

pub fn here() -> CreateBucketConfiguration {
    CreateBucketConfiguration::builder()
        .location_constraint(BucketLocationConstraint::from(REGION))
        .build()
}

/// The error's code; for answers without a body, its HTTP status.
pub fn code<E: ProvideErrorMetadata + std::fmt::Debug>(
    error: &SdkError<E, aws_sdk_s3::config::http::HttpResponse>,
) -> String {
    match error.code() {
        Some(code) => code.to_owned(),
        None => error
            .raw_response()
            .map_or_else(|| format!("{error:?}"), |raw| raw.status().to_string()),
    }
}

/// The HTTP status of an error.
pub fn status<E>(error: &SdkError<E, aws_sdk_s3::config::http::HttpResponse>) -> u16 {
    error.raw_response().unwrap().status().as_u16()
}

/// Bytes that repeat nowhere within a chunk, the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

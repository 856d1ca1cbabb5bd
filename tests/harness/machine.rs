//! Some machine with `muck` on it that knows a cloud by its endpoint and keys alone, as with AWS.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_smithy_http_client::tls;

use super::{Ended, World};

/// Somebody's keys.
#[derive(Debug, Clone)]
pub struct Keys {
    pub id: String,
    pub secret: String,
    /// Of a role's session.
    pub token: Option<String>,
}

/// How a cloud is reached.
#[derive(Debug, Clone)]
pub struct Access {
    pub url: String,
    pub region: String,
    /// 12 digits.
    pub account: String,
    pub keys: Keys,
    /// The one that its certificate is trusted by, a PEM file; `None`: plain HTTP.
    pub certificate: Option<PathBuf>,
}

impl Access {
    /// The local cloud of `world`, which must be running.
    pub fn of(world: &World) -> Self {
        let status = world.muck(&["local", "status", "--json"]).exits(0).json();
        let text = |key: &str| status[key].as_str().expect("a string").to_owned();
        Self {
            url: text("endpoint"),
            region: text("region"),
            account: text("account"),
            keys: Keys {
                id: text("access_key_id"),
                secret: text("secret_access_key"),
                token: None,
            },
            certificate: None,
        }
    }

    /// For plain SDK clients.
    pub async fn sdk_config(&self) -> SdkConfig {
        let client = aws_smithy_http_client::Builder::new();
        let client = match &self.certificate {
            None => client.build_http(),
            Some(file) => {
                let pem = std::fs::read(file).expect("certificate");
                let trust = tls::TrustStore::empty().with_pem_certificate(pem);
                let context = tls::TlsContext::builder().with_trust_store(trust);
                client
                    .tls_provider(tls::Provider::Rustls(
                        tls::rustls_provider::CryptoMode::Ring,
                    ))
                    .tls_context(context.build().expect("a certificate to trust"))
                    .build_https()
            }
        };
        let Keys { id, secret, token } = self.keys.clone();
        let keys = Credentials::from_keys(id, secret, token);
        aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(client)
            .endpoint_url(&self.url)
            .region(Region::new(self.region.clone()))
            .credentials_provider(keys)
            .load()
            .await
    }

    /// Puts what AWS's programs read into a command's environment.
    pub fn pass_to(&self, command: &mut Command) {
        command
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ENDPOINT_URL", &self.url)
            .env("AWS_REGION", &self.region)
            .env("AWS_ACCESS_KEY_ID", &self.keys.id)
            .env("AWS_SECRET_ACCESS_KEY", &self.keys.secret);
        if let Some(token) = &self.keys.token {
            command.env("AWS_SESSION_TOKEN", token);
        }
        if let Some(file) = &self.certificate {
            // Of rustls-native-certs: in place of what the machine trusts.
            command.env("SSL_CERT_FILE", file);
        }
    }

    pub fn bucket(&self, stack: &str, purpose: &str) -> String {
        let Self {
            account, region, ..
        } = self;
        format!("muck-{stack}-{purpose}-{account}-{region}-an")
    }

    /// The same cloud by other keys.
    pub fn with_keys(&self, keys: &Keys) -> Self {
        Self {
            keys: keys.clone(),
            ..self.clone()
        }
    }
}

/// An empty home and an empty working folder, gone when dropped.
pub struct Machine {
    home: tempfile::TempDir,
    access: Access,
    /// Sent with each call, so that fault rules and the journal know this machine's calls.
    client: String,
    /// `None`: muck's own.
    read_timeout: Option<Duration>,
}

/// The client's time-out in sweeps: long enough for any answer of a busy local cloud, short enough for a sweep
/// of time-outs to end.
const READ_TIMEOUT: Duration = Duration::from_secs(3);

impl Machine {
    pub fn new(access: &Access, client: &str) -> Self {
        let home = tempfile::Builder::new()
            .prefix("muck-machine-")
            .tempdir()
            .expect("temporary folder");
        std::fs::create_dir(home.path().join("work")).expect("working folder");
        Self {
            home,
            access: access.clone(),
            client: client.to_owned(),
            read_timeout: Some(READ_TIMEOUT),
        }
    }

    /// With the patience that muck has for AWS.
    pub fn patient(mut self) -> Self {
        self.read_timeout = None;
        self
    }

    /// The folder in which commands run.
    pub fn work(&self) -> PathBuf {
        self.home.path().join("work")
    }

    pub fn client(&self) -> &str {
        &self.client
    }

    /// Writes a file into the working folder.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.home.path().join("work").join(name);
        std::fs::write(&path, content).expect("file");
        path
    }

    /// `muck` with `arguments` and nothing of the caller's environment but PATH.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let home = self.home.path();
        let mut command = Command::new(env!("CARGO_BIN_EXE_muck"));
        command
            .args(arguments)
            .current_dir(home.join("work"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").expect("PATH"))
            .env("HOME", home)
            .env("MUCK_STATE_DIR", home.join("state"))
            .env("MUCK_CACHE_DIR", home.join("cache"))
            .env("AWS_SDK_UA_APP_ID", &self.client)
            .stdin(Stdio::null());
        self.access.pass_to(&mut command);
        if let Some(limit) = self.read_timeout {
            command.env("MUCK_READ_TIMEOUT", limit.as_secs().to_string());
        }
        command
    }

    /// `muck` with `arguments`, by somebody else's keys.
    pub fn command_as(&self, access: &Access, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        access.pass_to(&mut command);
        command
    }

    /// Runs it to its end.
    pub fn muck_as(&self, access: &Access, arguments: &[&str]) -> Ended {
        let output = self.command_as(access, arguments).output();
        Ended::new(arguments, &output.expect("muck starts"))
    }

    /// Runs `muck` to its end.
    pub fn muck(&self, arguments: &[&str]) -> Ended {
        let output = self.command(arguments).output().expect("muck starts");
        Ended::new(arguments, &output)
    }
}

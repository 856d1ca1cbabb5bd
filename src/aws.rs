//! The way to AWS: clients, endpoint, credentials, time-outs, retries, and what its errors mean.

use std::fmt;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use jiff::{SignedDuration, Timestamp};
use muck_worker::http_client::{self, HttpSettings};

use crate::error::{Error, Result};

pub mod credentials;

use credentials::CredentialLife;

/// A host that does not even accept in this time is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence on a connection. SQS's longest poll is 20 s, so this must be well over that.
const READ_TIMEOUT: Duration = Duration::from_mins(1);
/// The read time-out counts from the call's beginning, so a call that sends needs longer: a part of 8 MiB at 112 kbit/s.
const SENDING_TIMEOUT: Duration = Duration::from_mins(10);
/// How long a call that sends may send nothing. A socket's buffer of some MiB takes that long on a slow line, and nothing is
/// written meanwhile.
const STALLED: Duration = Duration::from_mins(1);
/// Seconds in place of [`READ_TIMEOUT`]: more for a line so slow that a part of an upload takes longer, less
/// for tests of time-outs.
const READ_TIMEOUT_VARIABLE: &str = "MUCK_READ_TIMEOUT";
/// Names another endpoint than AWS's own; of all AWS SDKs.
const ENDPOINT_VARIABLE: &str = "AWS_ENDPOINT_URL";
/// Attempts of one call in all. The SDK's standard backoff makes this about 10 s of trying.
const ATTEMPTS: u32 = 5;

/// Which cloud to talk to; everything `None` is the usual AWS chain.
#[derive(Debug, Clone, Default)]
pub struct Target {
    pub region: Option<String>,
    pub endpoint: Option<String>,
    /// Access key id and secret access key.
    pub keys: Option<(String, String)>,
}

/// Clients of one account in one region.
#[derive(Debug, Clone)]
pub struct Aws {
    pub ec2: aws_sdk_ec2::Client,
    pub s3: aws_sdk_s3::Client,
    /// The same for calls that carry a file or a part of one: no time-out while bytes leave this machine.
    pub s3_sending: aws_sdk_s3::Client,
    pub sqs: aws_sdk_sqs::Client,
    pub iam: aws_sdk_iam::Client,
    pub sns: aws_sdk_sns::Client,
    /// The same as `ec2` without any retry: for calls that have no client token and would be
    /// done twice (CreateSnapshot, RegisterImage).
    pub ec2_once: aws_sdk_ec2::Client,
    /// 12 digits.
    pub account: String,
    pub region: String,
    /// Set if this is not AWS itself.
    pub endpoint: Option<String>,
    pub credential_life: CredentialLife,
    provider: SharedCredentialsProvider,
}

impl Aws {
    /// Whether calls travel encrypted: always to AWS itself, elsewhere by the endpoint's scheme.
    pub fn is_encrypted(&self) -> bool {
        self.endpoint
            .as_deref()
            .is_none_or(|endpoint| endpoint.starts_with("https:"))
    }

    /// Credentials as new as their provider has them, and how long they last; `None`: as long as their owner wants. What
    /// they sign ends with them.
    ///
    /// # Errors
    /// If there are none any more.
    pub async fn newest_credentials(&self) -> Result<(Credentials, Option<SignedDuration>)> {
        let credentials = self.provider.provide_credentials().await.map_err(|error| {
            Error::failed("the AWS credentials cannot be used")
                .because(error)
                .hint(LOGIN_HINT)
        })?;
        let now = Timestamp::now();
        let left = match (credentials.expiry(), self.credential_life) {
            (Some(end), _) => Some(credentials::left(end, now)),
            (None, CredentialLife::Fixed(Some(end))) => Some(end.duration_since(now)),
            (None, _) => None,
        };
        Ok((credentials, left))
    }
}

impl Aws {
    /// Finds region and credentials and asks STS who we are, before anything is created.
    ///
    /// # Errors
    /// One sentence that says what to do: no region, no credentials, an expired token, no answer.
    pub async fn connect(target: &Target) -> Result<Self> {
        let read_timeout = read_timeout()?;
        let config = load(target, read_timeout).await?;
        let region = config
            .region()
            .map(ToString::to_string)
            .ok_or_else(|| {
                Error::failed("no AWS region is set").hint(
                    "give --region, set AWS_REGION, or put region = \"…\" into muck.toml; or add --local to try it without AWS",
                )
            })?;
        let (provider, credentials) = find_credentials(&config).await?;
        let life = CredentialLife::of(&credentials).await;
        let (account, clients) = tokio::join!(who_are_we(&config), async {
            // Created while the answer is on its way.
            Self::of(&config, region, read_timeout, provider, life)
        });
        let account = match account {
            Ok(account) => account,
            Err(error) => return Err(credentials::explain_mfa(error).await),
        };
        Ok(Self { account, ..clients })
    }

    /// The clients, of an account that is not known yet.
    fn of(
        config: &SdkConfig,
        region: String,
        read_timeout: Duration,
        provider: SharedCredentialsProvider,
        credential_life: CredentialLife,
    ) -> Self {
        let endpoint = config.endpoint_url().map(ToOwned::to_owned);
        // Buckets as host names (`bucket.127.0.0.1`) do not resolve on a custom endpoint.
        let s3 = aws_sdk_s3::config::Builder::from(config)
            .force_path_style(endpoint.is_some())
            .build();
        // Tests of time-outs set less than the usual, and mean all calls.
        let sending = if read_timeout < READ_TIMEOUT {
            read_timeout
        } else {
            read_timeout.max(SENDING_TIMEOUT)
        };
        let s3_sending = s3
            .to_builder()
            .timeout_config(timeouts(sending))
            .stalled_stream_protection(
                StalledStreamProtectionConfig::enabled()
                    .grace_period(STALLED)
                    .build(),
            )
            .build();
        let ec2_once = aws_sdk_ec2::config::Builder::from(config)
            .retry_config(RetryConfig::disabled())
            .build();
        Self {
            ec2: aws_sdk_ec2::Client::new(config),
            s3: aws_sdk_s3::Client::from_conf(s3),
            s3_sending: aws_sdk_s3::Client::from_conf(s3_sending),
            sqs: aws_sdk_sqs::Client::new(config),
            iam: aws_sdk_iam::Client::new(config),
            sns: aws_sdk_sns::Client::new(config),
            ec2_once: aws_sdk_ec2::Client::from_conf(ec2_once),
            account: String::new(),
            region,
            endpoint,
            credential_life,
            provider,
        }
    }
}

fn timeouts(read: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(read)
        .build()
}

fn read_timeout() -> Result<Duration> {
    let Some(text) = std::env::var_os(READ_TIMEOUT_VARIABLE) else {
        return Ok(READ_TIMEOUT);
    };
    text.to_str()
        .and_then(|text| text.parse().ok())
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs)
        .ok_or_else(|| {
            Error::usage(format!(
                "{READ_TIMEOUT_VARIABLE} is not a number of seconds: {}",
                text.display()
            ))
            .hint("give whole seconds, 1 or more, or unset it")
        })
}

/// Proxies and certificates of the environment; the local cloud needs neither.
fn http_settings(target: &Target) -> Result<HttpSettings> {
    if target.endpoint.is_some() {
        return Ok(HttpSettings::default());
    }
    HttpSettings::from_environment().map_err(|error| {
        Error::usage("cannot set up connections to AWS")
            .because(error)
            .hint("correct the variable, or unset it")
    })
}

async fn load(target: &Target, read_timeout: Duration) -> Result<SdkConfig> {
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http_client::client(&http_settings(target)?))
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(timeouts(read_timeout));
    if let Some(region) = &target.region {
        loader = loader.region(Region::new(region.clone()));
    }
    match &target.endpoint {
        Some(endpoint) => loader = loader.endpoint_url(endpoint),
        // The SDK would panic.
        None if std::env::var_os(ENDPOINT_VARIABLE).is_some_and(|url| url.is_empty()) => {
            return Err(
                Error::usage(format!("{ENDPOINT_VARIABLE} is set and empty"))
                    .hint("unset it for AWS itself, or give the URL of an endpoint"),
            );
        }
        None => {}
    }
    if let Some((id, secret)) = &target.keys {
        loader = loader.credentials_provider(Credentials::from_keys(id, secret, None));
    }
    Ok(loader.load().await)
}

const LOGIN_HINT: &str = "run `aws login`, `aws configure` or `aws sso login`, or set AWS_PROFILE; or add --local to try it without an account";

async fn find_credentials(config: &SdkConfig) -> Result<(SharedCredentialsProvider, Credentials)> {
    let none = || Error::failed("no AWS credentials were found").hint(LOGIN_HINT);
    let provider = config.credentials_provider().ok_or_else(none)?;
    match provider.provide_credentials().await {
        Ok(credentials) => Ok((provider, credentials)),
        Err(CredentialsError::CredentialsNotLoaded(_)) => Err(none()),
        Err(error) => {
            let error = Error::failed("the AWS credentials cannot be used")
                .because(error)
                .hint(LOGIN_HINT);
            Err(credentials::explain_mfa(error).await)
        }
    }
}

async fn who_are_we(config: &SdkConfig) -> Result<String> {
    let sts = aws_sdk_sts::Client::new(config);
    let failure = match sts.get_caller_identity().send().await {
        Ok(identity) => {
            return identity
                .account
                .ok_or_else(|| Error::failed("STS named no account for these credentials"));
        }
        Err(error) => Cause::from(error),
    };
    let error = if failure.is("ExpiredToken") || failure.is("ExpiredTokenException") {
        Error::failed("the AWS session has expired")
            .hint("log in again, for example with `aws sso login`")
    } else if failure.code.is_some() {
        Error::failed("AWS does not accept these credentials")
            .because(failure)
            .hint(LOGIN_HINT)
    } else {
        let place = config
            .endpoint_url()
            .map_or_else(|| "AWS".to_owned(), ToOwned::to_owned);
        let error = Error::failed(format!("{place} cannot be reached")).because(failure);
        let proxy = http_settings(&Target::default())?.https_proxy_variable();
        let error = match proxy {
            Some(variable) => error.hint(format!(
                "{variable} names a proxy: check that it answers and lets AWS through, or name hosts that need none in NO_PROXY"
            )),
            None => error,
        };
        error.hint("check the network and AWS_ENDPOINT_URL; `muck local status` tells whether the local cloud runs")
    };
    Err(error)
}

/// Why a call failed, in a form that outlives the SDK's types.
#[derive(Debug, Clone)]
pub struct Cause {
    /// AWS error code, if a service answered.
    pub code: Option<String>,
    pub message: String,
    pub request_id: Option<String>,
    /// The request may have taken effect though no answer came (time-out, connection lost, 5xx).
    pub uncertain: bool,
}

impl Cause {
    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    pub fn is_any(&self, codes: &[&str]) -> bool {
        self.code
            .as_deref()
            .is_some_and(|code| codes.contains(&code))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.code {
            Some(code) => write!(f, "{code}: {}", self.message)?,
            None => f.write_str(&self.message)?,
        }
        if let Some(id) = &self.request_id {
            write!(f, " (request {id})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Cause {}

impl<E> From<SdkError<E, HttpResponse>> for Cause
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        let uncertain = match &error {
            SdkError::ConstructionFailure(_) => false,
            SdkError::ServiceError(service) => service.raw().status().as_u16() >= 500,
            _ => true,
        };
        if let Some(service) = error.as_service_error() {
            let metadata = service.meta();
            return Self {
                code: metadata.code().map(ToOwned::to_owned),
                message: metadata.message().unwrap_or("no message").to_owned(),
                request_id: metadata.extra("aws_request_id").map(ToOwned::to_owned),
                uncertain,
            };
        }
        Self {
            code: None,
            message: whole_chain(&error),
            request_id: None,
            uncertain,
        }
    }
}

/// SDK errors say `dispatch failure` at the top and the reason three causes down.
fn whole_chain(error: &dyn std::error::Error) -> String {
    let mut parts = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if parts.last() != Some(&text) {
            parts.push(text);
        }
        next = cause.source();
    }
    parts.join(": ")
}

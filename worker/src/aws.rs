//! How AWS is called: client, region, endpoint, patience; and how its errors are told.

use std::error::Error;
use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_types::region::Region;

use crate::http_client::{self, HttpSettingsError};

/// A connection inside a region takes milliseconds; one that needs longer is tried again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Until the answer begins. Longer than SQS's long poll of 20 s, and long enough to send one part
/// of an upload at 0.3 MB/s.
const READ_TIMEOUT: Duration = Duration::from_mins(1);

/// One call with all its retries. The retries are the SDK's: there is no second layer around.
const OPERATION_TIMEOUT: Duration = Duration::from_mins(4);

/// The first try and three more: passing throttling and single failures are ridden out in
/// seconds, anything longer is the loop's to handle by giving the message back.
const ATTEMPTS: u32 = 4;

/// Reads the SDK's usual environment (`AWS_ENDPOINT_URL`, `AWS_REGION`, credentials …).
///
/// `region` is taken where the environment names none: user data tells it, so that no machine
/// has to ask for it.
///
/// # Errors
/// [`HttpSettingsError`]: a proxy or a certificate bundle that cannot be used.
pub async fn load(region: &str) -> Result<SdkConfig, HttpSettingsError> {
    let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(Region::new(region.to_owned()));
    let http_client = http_client::from_environment()?;
    let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http_client)
        .region(region)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .read_timeout(READ_TIMEOUT)
                .operation_timeout(OPERATION_TIMEOUT)
                .build(),
        )
        .load()
        .await;
    Ok(config)
}

/// The S3 client.
///
/// Path-style addresses are used whenever an endpoint is given: a bucket can't be part of the
/// host name of a loopback address, and every endpoint, AWS's own included, takes path-style.
/// The SDK's own checksums are left to where S3 requires them: the worker sends and checks MD5
/// and SHA-256 itself and would read everything twice otherwise.
pub fn s3(config: &SdkConfig) -> aws_sdk_s3::Client {
    let given = config.endpoint_url().is_some()
        || ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"]
            .iter()
            .any(|name| std::env::var_os(name).is_some_and(|v| !v.is_empty()));
    let config = aws_sdk_s3::config::Builder::from(config)
        .force_path_style(given)
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

/// Tells an SDK error in one line: the service's code and words, or the chain of causes.
pub(crate) fn describe<E, R>(error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug,
{
    let text = match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => chain(error),
    };
    // What a service answers is foreign text too; 300 characters hold its usual sentences.
    crate::text::printable_short(&text, 300)
}

/// An error and its causes, each told once.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

//! The instance that the worker runs on: its metadata (`IMDSv2`), its name, its power.

use std::time::Duration;

use aws_config::imds::client::Client;
use aws_config::imds::client::error::ImdsError;
use aws_config::provider_config::ProviderConfig;

use crate::aws::chain;
use crate::http_client::{self, HttpSettings};
use crate::spot::Interruption;

/// The metadata service answers from the same host; a machine that has none should learn so soon.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Tries for each question, by the SDK and around it: right after boot the network may not be up.
const ATTEMPTS: u32 = 3;

/// How often a question is asked anew when there is no answer at all …
const QUESTIONS: u32 = 10;

/// … and the pause between: half a minute in all, after which the machine has no network.
const PAUSE: Duration = Duration::from_secs(3);

/// Why the instance can't be asked.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    #[error(
        "this instance was launched without user data; launch it with `muck launch`, \
         or name a file by --user-data"
    )]
    NoUserData,
    #[error(
        "the instance metadata service doesn't answer ({0}); to run by hand, name a file by --user-data"
    )]
    Metadata(String),
    #[error("can't power off: {0}")]
    PowerOff(String),
}

/// The instance, through its metadata service.
///
/// The service's address is `AWS_EC2_METADATA_SERVICE_ENDPOINT` or EC2's own.
#[derive(Debug, Clone)]
pub struct Instance {
    client: Client,
}

/// The machine as status messages name it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// The DNS name.
    pub host: String,
    /// The EC2 id, on EC2.
    pub instance_id: Option<String>,
}

impl Instance {
    /// A client of the metadata service. Asks nothing yet.
    pub fn new() -> Self {
        // The service is on the host: no proxy, no certificates.
        let direct = http_client::client(&HttpSettings::default());
        let config = ProviderConfig::without_region().with_http_client(direct);
        let client = Client::builder()
            .configure(&config)
            .max_attempts(ATTEMPTS)
            .connect_timeout(TIMEOUT)
            .read_timeout(TIMEOUT)
            .build();
        Self { client }
    }

    /// What the instance was launched with.
    ///
    /// # Errors
    /// [`InstanceError`]: none, or no answer.
    pub async fn user_data(&self) -> Result<String, InstanceError> {
        self.get("/latest/user-data")
            .await?
            .ok_or(InstanceError::NoUserData)
    }

    /// The machine's names.
    ///
    /// # Errors
    /// [`InstanceError::Metadata`] if there is no answer.
    pub async fn machine(&self) -> Result<Machine, InstanceError> {
        let host = self.get("/latest/meta-data/local-hostname").await?;
        Ok(Machine {
            host: host.unwrap_or_else(hostname),
            instance_id: self.get("/latest/meta-data/instance-id").await?,
        })
    }

    /// The notice that EC2 takes this Spot instance back, if there is one. Asked once.
    ///
    /// # Errors
    /// [`InstanceError::Metadata`] if there is no answer, or none that can be read.
    pub async fn interruption(&self) -> Result<Option<Interruption>, InstanceError> {
        match self
            .client
            .get("/latest/meta-data/spot/instance-action")
            .await
        {
            Ok(text) => serde_json::from_str(text.as_ref())
                .map(Some)
                .map_err(|error| InstanceError::Metadata(error.to_string())),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(InstanceError::Metadata(chain(&error))),
        }
    }

    /// One value; `None` if there is no such one.
    async fn get(&self, path: &str) -> Result<Option<String>, InstanceError> {
        let mut asked = 1;
        loop {
            match self.client.get(path).await {
                Ok(value) => {
                    return Ok(Some(value.as_ref().to_owned()).filter(|v| !v.trim().is_empty()));
                }
                Err(error) if is_absent(&error) => return Ok(None),
                Err(error) if asked >= QUESTIONS => {
                    return Err(InstanceError::Metadata(chain(&error)));
                }
                Err(error) => {
                    tracing::warn!("no answer to {path} yet: {}", chain(&error));
                    asked += 1;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

fn is_absent(error: &ImdsError) -> bool {
    matches!(error, ImdsError::ErrorResponse(answer) if answer.response().status().as_u16() == 404)
}

impl Default for Instance {
    fn default() -> Self {
        Self::new()
    }
}

/// The machine's own name for itself.
pub fn hostname() -> String {
    nix::unistd::gethostname().map_or_else(
        |_| "unknown".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// Powers the machine off. EC2 then terminates the instance, as it was launched to do.
///
/// # Errors
/// [`InstanceError::PowerOff`] if the command can't be run or fails.
pub async fn power_off() -> Result<(), InstanceError> {
    let status = tokio::process::Command::new("poweroff").status().await;
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(InstanceError::PowerOff(format!(
            "`poweroff` ended with {status}"
        ))),
        Err(error) => Err(InstanceError::PowerOff(format!("`poweroff`: {error}"))),
    }
}

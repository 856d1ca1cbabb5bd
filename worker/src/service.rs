//! What a service is: the part that the article leaves to the subclass.

use std::path::{Path, PathBuf};

use async_trait::async_trait;

use crate::certificate::Certificate;
use crate::convert_video::ConvertVideo;
use crate::message::InputMessage;

/// A service turns one input file into output files. Reading messages, fetching, storing,
/// reporting and deciding who was first are the frame's part ([`crate::worker`]).
#[async_trait]
pub trait Service: Send + Sync {
    /// The name in `--service`, in user data and in the `Server` header.
    fn name(&self) -> &'static str;

    /// What would be done for this message, before anything is fetched.
    ///
    /// # Errors
    /// [`ServiceError::File`] if the message asks for what the service can't do.
    fn task(&self, message: &InputMessage) -> Result<Task, ServiceError>;

    /// Processes `input`. Whatever is written goes into the folder `work`, which is removed
    /// afterwards. Dropping the future must end all that it started.
    ///
    /// Outputs must have been checked: they are published as they are.
    ///
    /// # Errors
    /// [`ServiceError`], which tells whose fault it is.
    async fn process_file(
        &self,
        input: &Path,
        message: &InputMessage,
        work: &Path,
    ) -> Result<Vec<OutputFile>, ServiceError>;
}

/// What a service would do with an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Identifies the work; the same digest on the same content gives outputs of equal worth.
    pub digest: String,
    /// The preset's name, if there are presets.
    pub preset: Option<String>,
}

/// A file that a service made.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputFile {
    pub path: PathBuf,
    /// MIME type.
    pub mime: String,
    /// What was checked.
    pub certificate: Option<Certificate>,
}

/// Why a service made nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// The file's fault: it would fail on any machine, so it is told and not tried again.
    #[error("{0}")]
    File(String),
    /// The machine's fault: the message goes back to the queue.
    #[error("{0}")]
    Machine(String),
}

/// A service can't be had.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("there is no service `{0}`; known: {known}", known = NAMES.join(", "))]
    Unknown(String),
    #[error("the service `{name}` can't work on this machine")]
    Unusable {
        name: &'static str,
        #[source]
        source: crate::ffmpeg::FfmpegError,
    },
}

/// The names that [`named`] knows.
pub const NAMES: [&str; 1] = [ConvertVideo::NAME];

/// The service of that name, ready to work.
///
/// # Errors
/// [`RegistryError`]: no such service, or the machine lacks what it needs.
pub async fn named(name: &str) -> Result<Box<dyn Service>, RegistryError> {
    match name {
        ConvertVideo::NAME => match ConvertVideo::new().await {
            Ok(service) => Ok(Box::new(service)),
            Err(source) => Err(RegistryError::Unusable {
                name: ConvertVideo::NAME,
                source,
            }),
        },
        other => Err(RegistryError::Unknown(crate::text::printable_short(
            other, 60,
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_unknown_service_is_refused_with_the_known_ones() {
        let Err(error) = named("Convert\x1bVideo").await else {
            panic!("is unknown")
        };
        assert_eq!(
            error.to_string(),
            "there is no service `Convert\\u{1b}Video`; known: ConvertVideo"
        );
    }
}

//! The second service: tells what a file is, as JSON, and converts nothing.

mod facts;

use std::path::Path;

use async_trait::async_trait;

use crate::ffmpeg::{FfmpegError, INPUT_NAME, Tools};
use crate::jail::Jail;
use crate::message::InputMessage;
use crate::service::{Made, OutputFile, Progress, Service, ServiceError, Task};
use crate::spent::Spent;

pub use facts::{Chapter, Facts, Format, Stream, VERSION};

/// The output's name in the folder of the job.
const OUTPUT: &str = "facts.json";

/// Probes files with ffprobe.
#[derive(Debug)]
pub struct Probe {
    tools: Tools,
}

impl Probe {
    /// What `--service` calls it.
    pub const NAME: &str = "Probe";

    /// Finds ffprobe, which will run in `jail`.
    ///
    /// # Errors
    /// [`FfmpegError::Machine`] if it isn't there.
    pub async fn new(jail: Jail) -> Result<Self, FfmpegError> {
        Ok(Self {
            tools: Tools::find(jail).await?,
        })
    }
}

#[async_trait]
impl Service for Probe {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    /// The same for every message: a file is what it is.
    fn task(&self, _message: &InputMessage) -> Result<Task, ServiceError> {
        Ok(Task {
            digest: format!("probe-{VERSION}"),
            preset: None,
        })
    }

    async fn process_file(
        &self,
        input: &Path,
        _message: &InputMessage,
        work: &Path,
        _progress: &Progress,
    ) -> Result<Made, ServiceError> {
        let machine = |what: &str, why: &dyn std::fmt::Display| {
            ServiceError::Machine(format!("can't {what}: {why}"))
        };
        let given = work.join(INPUT_NAME);
        if given != input {
            std::fs::hard_link(input, &given).map_err(|e| machine("link the input", &e))?;
        }
        let (text, packets) = self
            .tools
            .examine(work, INPUT_NAME, None, facts::ENTRIES)
            .await?;
        let facts = Facts::read(&text, &packets, self.tools.version())
            .map_err(|e| machine("read ffprobe's answer", &e))?;
        let json =
            serde_json::to_string_pretty(&facts).map_err(|e| machine("write the facts", &e))?;
        // The folder may be the jail's by now; this file is the worker's.
        let path = work.join(OUTPUT);
        std::fs::write(&path, json + "\n").map_err(|e| machine("write the facts", &e))?;
        Ok(Made::from(vec![OutputFile {
            path,
            name: None,
            mime: "application/json".to_owned(),
            certificate: None,
        }]))
    }

    fn spent(&self, work: &Path) -> Option<Spent> {
        self.tools.take_spent(work)
    }
}

#[cfg(test)]
mod tests;

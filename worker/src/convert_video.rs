//! The article's service: converts one video by a preset.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;

use crate::certificate::{self, Examined};
use crate::ffmpeg::{FfmpegError, INPUT_NAME, Tools};
use crate::message::InputMessage;
use crate::preset::{self, Preset, Presets};
use crate::service::{OutputFile, Service, ServiceError, Task};
use crate::text::printable_short;

/// A conversion may take this many times as long as its film: a small instance encodes large
/// pictures at a twentieth of their speed.
const SECONDS_A_SECOND: f64 = 30.0;

/// … and this long in any case, in seconds, for programs to start and disks to answer.
const LEAST_LIMIT: f64 = 600.0;

/// … but never longer, in seconds: SQS takes a message back 12 hours after it was received,
/// whatever the worker asks, and there must be time left to store the output.
const MOST_LIMIT: f64 = 11.0 * 3600.0;

/// Converts videos with ffmpeg.
#[derive(Debug)]
pub struct ConvertVideo {
    tools: Tools,
}

impl ConvertVideo {
    /// The article's name for it.
    pub const NAME: &str = "ConvertVideo";

    /// Finds ffmpeg.
    ///
    /// # Errors
    /// [`FfmpegError::Machine`] if it isn't there.
    pub async fn new() -> Result<Self, FfmpegError> {
        Ok(Self {
            tools: Tools::find().await?,
        })
    }

    async fn examine(&self, folder: &Path, name: &str) -> Result<Examined, FfmpegError> {
        Ok(Examined {
            media: self.tools.probe(folder, name).await?,
            packets: self.tools.scan(folder, name).await?,
        })
    }
}

/// The preset that a message asks for.
fn preset_of(message: &InputMessage) -> Result<&'static Preset, ServiceError> {
    let name = message.preset.as_deref().unwrap_or(preset::DEFAULT);
    Presets::builtin().get(name).ok_or_else(|| {
        let known: Vec<&str> = Presets::builtin().names().collect();
        ServiceError::File(format!(
            "there is no preset `{}`; known: {}",
            printable_short(name, 60),
            known.join(", ")
        ))
    })
}

/// How long converting a film of that many seconds may take.
fn time_limit(seconds: f64) -> Duration {
    Duration::from_secs_f64((LEAST_LIMIT + seconds.max(0.0) * SECONDS_A_SECOND).min(MOST_LIMIT))
}

#[async_trait]
impl Service for ConvertVideo {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn task(&self, message: &InputMessage) -> Result<Task, ServiceError> {
        let preset = preset_of(message)?;
        Ok(Task {
            digest: preset.digest(),
            preset: Some(preset.name.clone()),
        })
    }

    async fn process_file(
        &self,
        input: &Path,
        message: &InputMessage,
        work: &Path,
    ) -> Result<Vec<OutputFile>, ServiceError> {
        let preset = preset_of(message)?;
        // ffmpeg sees fixed names only. A hard link costs nothing; the frame's own file has this
        // name already.
        let given = work.join(INPUT_NAME);
        if given != input {
            std::fs::hard_link(input, &given).map_err(|error| {
                ServiceError::Machine(format!("can't link {}: {error}", input.display()))
            })?;
        }
        let source = self.examine(work, INPUT_NAME).await?;
        let span = certificate::check_input(&source).map_err(ServiceError::File)?;

        let name = format!("output.{}", preset.extension);
        let mut told = 0;
        let progress = self
            .tools
            .convert(
                work,
                &name,
                &preset.args,
                time_limit(span.length()),
                &mut |progress| {
                    // A line every ten seconds of film at most: consoles keep 64 KiB.
                    let seconds = progress.out_time_us / 1_000_000;
                    if seconds >= told + 10 {
                        told = seconds;
                        tracing::info!("converted {seconds} s of {:.0} s", span.length());
                    }
                },
            )
            .await?;

        let result = self
            .examine(work, &name)
            .await
            .map_err(|error| match error {
                FfmpegError::File(why) => {
                    ServiceError::File(format!("the output can't be read: {why}"))
                }
                FfmpegError::Machine(why) => ServiceError::Machine(why),
            })?;
        let certificate = certificate::check_output(
            &source,
            &result,
            progress,
            &preset.expect,
            self.tools.version(),
        )
        .map_err(ServiceError::File)?;
        Ok(vec![OutputFile {
            path: work.join(name),
            mime: preset.mime.clone(),
            certificate: Some(certificate),
        }])
    }
}

impl From<FfmpegError> for ServiceError {
    fn from(error: FfmpegError) -> Self {
        match error {
            FfmpegError::File(why) => Self::File(why),
            FfmpegError::Machine(why) => Self::Machine(why),
        }
    }
}

#[cfg(test)]
mod tests;

//! What a service is: the part that the article leaves to the subclass.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use crate::certificate::Certificate;
use crate::convert_video::ConvertVideo;
use crate::jail::Jail;
use crate::message::InputMessage;
use crate::probe::Probe;
use crate::spent::Spent;

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
    /// Outputs must have been checked: they are published as they are. How far it is, it may say
    /// to `progress`.
    ///
    /// # Errors
    /// [`ServiceError`], which tells whose fault it is.
    async fn process_file(
        &self,
        input: &Path,
        message: &InputMessage,
        work: &Path,
        progress: &Progress,
    ) -> Result<Made, ServiceError>;

    /// What processing the file in the folder `work` has taken, asked once it is over, well or not; `None` if
    /// the service doesn't measure.
    fn spent(&self, _work: &Path) -> Option<Spent> {
        None
    }
}

/// How far a service is with a file: said by the service, read by whoever wants to know.
#[derive(Debug, Default)]
pub struct Progress {
    /// Milliseconds of film.
    done: AtomicU64,
    /// Milliseconds of film; 0 while that isn't known.
    whole: AtomicU64,
}

impl Progress {
    /// Says how many of how many seconds of film are done.
    pub fn report(&self, done: f64, whole: f64) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float is cast to the nearest integer that there is"
        )]
        let milliseconds = |seconds: f64| (seconds * 1000.0) as u64;
        self.done.store(milliseconds(done), Ordering::Relaxed);
        self.whole.store(milliseconds(whole), Ordering::Relaxed);
    }

    /// Seconds of film that are done.
    pub fn done_seconds(&self) -> f64 {
        self.done.load(Ordering::Relaxed) as f64 / 1000.0
    }

    /// The part that is done, from 0 to 1; `None` if nobody said.
    pub fn fraction(&self) -> Option<f64> {
        let whole = self.whole.load(Ordering::Relaxed);
        (whole > 0).then(|| (self.done_seconds() * 1000.0 / whole as f64).min(1.0))
    }
}

/// What a service would do with an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Identifies the work; the same digest on the same content gives outputs of equal worth. 1 to 64 letters, digits,
    /// `.`, `_` and `-`: it becomes a part of a key.
    pub digest: String,
    /// The preset's name, if there are presets.
    pub preset: Option<String>,
}

/// What a service made of a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Made {
    pub outputs: Vec<OutputFile>,
    /// What of the input is in no output, and why: a phrase each, e.g. `audio stream 2 (apac): its codec is unknown here`.
    pub left_out: Vec<String>,
    /// What the outputs lack because the input is damaged: a sentence for a person.
    pub warning: Option<String>,
}

impl From<Vec<OutputFile>> for Made {
    /// Nothing is left out.
    fn from(outputs: Vec<OutputFile>) -> Self {
        Self {
            outputs,
            ..Self::default()
        }
    }
}

/// A file that a service made.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputFile {
    pub path: PathBuf,
    /// What follows the stem of the input's name and a dot in the result's name (`poster.jpg`,
    /// `hls/master.m3u8`), where there are several outputs.
    pub name: Option<String>,
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
pub const NAMES: [&str; 2] = [ConvertVideo::NAME, Probe::NAME];

/// The name of a service, however its letters are written.
pub fn find(name: &str) -> Option<&'static str> {
    NAMES
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(name))
}

/// The service of that name, ready to work; what it runs on a file will run in `jail`.
///
/// # Errors
/// [`RegistryError`]: no such service, or the machine lacks what it needs.
pub async fn named(name: &str, jail: Jail) -> Result<Box<dyn Service>, RegistryError> {
    let unusable = |name| move |source| RegistryError::Unusable { name, source };
    Ok(match name {
        ConvertVideo::NAME => Box::new(
            ConvertVideo::new(jail)
                .await
                .map_err(unusable(ConvertVideo::NAME))?,
        ),
        Probe::NAME => Box::new(Probe::new(jail).await.map_err(unusable(Probe::NAME))?),
        other => {
            let name = crate::text::printable_short(other, 60);
            return Err(RegistryError::Unknown(name));
        }
    })
}

#[cfg(test)]
mod example;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_unknown_service_is_refused_with_the_known_ones() {
        let Err(error) = named("Convert\x1bVideo", Jail::bare()).await else {
            panic!("is unknown")
        };
        assert_eq!(
            error.to_string(),
            "there is no service `Convert\\u{1b}Video`; known: ConvertVideo, Probe"
        );
    }

    #[test]
    fn names_are_found_however_they_are_written() {
        assert_eq!(find("probe"), Some("Probe"));
        assert_eq!(find("CONVERTVIDEO"), Some("ConvertVideo"));
        assert_eq!(find("x"), None);
    }

    #[tokio::test]
    async fn the_example_of_the_documentation_works() {
        let page = include_str!("../../docs/services.md");
        assert!(page.contains(include_str!("service/example.rs")));
        let work = tempfile::tempdir().expect("a folder");
        let input = work.path().join("input");
        std::fs::write(&input, "abc").expect("written");
        let text = "Bucket: bbb\nInputKey: k\nSize: 3\n";
        let message = crate::message::Message::parse(text).expect("parses");
        let message = InputMessage::from_message(&message).expect("an input message");
        let made = example::Checksum
            .process_file(&input, &message, work.path(), &Progress::default())
            .await
            .expect("works");
        let sums = std::fs::read_to_string(&made.outputs[0].path).expect("is there");
        assert!(sums.starts_with("ba7816bf8f01cfea"), "{sums}");
        assert_eq!(
            example::Checksum.task(&message).expect("a task").digest,
            "checksum-1"
        );
    }
}

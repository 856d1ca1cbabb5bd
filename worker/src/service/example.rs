use std::path::Path;

use async_trait::async_trait;

use crate::message::InputMessage;
use crate::service::{Made, OutputFile, Progress, Service, ServiceError, Task};
use crate::sums::Sums;

/// Writes the SHA-256 of each file into a file.
pub struct Checksum;

#[async_trait]
impl Service for Checksum {
    fn name(&self) -> &'static str {
        "Checksum"
    }

    fn task(&self, _message: &InputMessage) -> Result<Task, ServiceError> {
        Ok(Task {
            digest: "checksum-1".to_owned(),
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
        let disk = |error: std::io::Error| ServiceError::Machine(error.to_string());
        let sums = Sums::of_file(input).await.map_err(disk)?;
        let path = work.join("sums.txt");
        std::fs::write(&path, sums.sha256_hex() + "\n").map_err(disk)?;
        Ok(Made::from(vec![OutputFile {
            path,
            name: None,
            mime: "text/plain".to_owned(),
            certificate: None,
        }]))
    }
}

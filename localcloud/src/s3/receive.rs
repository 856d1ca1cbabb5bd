//! Taking a body in: streamed to a file of its own, digested on the way.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use s3s::dto::StreamingBlob;
use s3s::{S3Error, S3Result, StdError, s3_error};

use super::bodies::{Bodies, NewFile};
use super::checksums::{Digested, Digests};
use super::wire::{internal, named};

/// How much of a body is gathered before it is digested and written on a thread that may block:
/// large enough that the hand-over costs little, small enough that a hundred uploads fit in memory.
const BATCH: usize = 512 * 1024;

/// The most that one put or part may hold (S3 User Guide: 5 GiB).
const MAX_SIZE: u64 = 5 * 1024 * 1024 * 1024;

/// A body that is whole on the disk, though not referred to yet.
pub(super) struct Received {
    /// `None` for an empty body.
    pub(super) file: Option<NewFile>,
    pub(super) size: u64,
    pub(super) digested: Digested,
}

/// # Errors
/// `EntityTooLarge`; `IncompleteBody` when the caller breaks off; what the signature's check of
/// the payload says; `InternalError` when the disk does not take it.
pub(super) async fn receive(
    bodies: &Arc<Bodies>,
    body: Option<StreamingBlob>,
    digests: Digests,
) -> S3Result<Received> {
    let mut writer = Writer {
        bodies: Arc::clone(bodies),
        digests,
        open: None,
        size: 0,
    };
    let mut batch: Vec<Bytes> = Vec::new();
    let mut gathered = 0;
    if let Some(mut body) = body {
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| broken_body(&error))?;
            gathered += chunk.len();
            batch.push(chunk);
            if gathered >= BATCH {
                writer = writer.write(std::mem::take(&mut batch)).await?;
                gathered = 0;
            }
        }
    }
    if gathered > 0 {
        writer = writer.write(batch).await?;
    }
    Ok(Received {
        file: writer.open.map(|(new, _)| new),
        size: writer.size,
        digested: writer.digests.finish(),
    })
}

struct Writer {
    bodies: Arc<Bodies>,
    digests: Digests,
    open: Option<(NewFile, File)>,
    size: u64,
}

impl Writer {
    async fn write(mut self, batch: Vec<Bytes>) -> S3Result<Self> {
        tokio::task::spawn_blocking(move || {
            let (new, mut file) = match self.open.take() {
                Some(open) => open,
                None => self.bodies.create().map_err(internal)?,
            };
            for chunk in batch {
                self.digests.update(&chunk);
                file.write_all(&chunk).map_err(internal)?;
                self.size += chunk.len() as u64;
            }
            if self.size > MAX_SIZE {
                return Err(s3_error!(
                    EntityTooLarge,
                    "Your proposed upload exceeds the maximum allowed size of {} bytes",
                    MAX_SIZE
                ));
            }
            self.open = Some((new, file));
            Ok(self)
        })
        .await
        .map_err(internal)?
    }
}

/// What a body that breaks off is called. The payload checks of the signature arrive as errors of
/// the stream whose types are private, so their texts tell them apart.
fn broken_body(error: &StdError) -> S3Error {
    let text = error.to_string();
    if text.contains("Sha256Mismatch") {
        named(
            "XAmzContentSHA256Mismatch",
            http::StatusCode::BAD_REQUEST,
            "The provided 'x-amz-content-sha256' header does not match what was computed.".into(),
        )
    } else if text.contains("SignatureMismatch") {
        s3_error!(
            SignatureDoesNotMatch,
            "The signature of a chunk of the body does not match."
        )
    } else {
        s3_error!(
            IncompleteBody,
            "The body ended before all that was announced had come: {}",
            text
        )
    }
}

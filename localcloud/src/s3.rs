//! S3 over a folder: bodies are files under opaque names, everything else is in the state.
//!
//! The protocol (signatures, XML, headers, chunked uploads) is that of the crate `s3s`; this module
//! owns what the operations do. A body is streamed to a file of its own, checked, moved into place
//! and only then committed, so that a crash at any moment leaves either the old object or the new.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Transaction;
use s3s::S3Result;
use s3s::service::{S3Service, S3ServiceBuilder};

use crate::clock::Clock;
use crate::error::{ApiError, ApiResult};
use crate::state::Store;
use crate::state::s3::{self as state, Condition};

mod access;
mod bodies;
mod buckets;
mod checksums;
mod completion;
mod conflicts;
mod create_bucket;
mod delete;
mod listing;
mod multipart;
mod operations;
mod policy;
mod read;
mod receive;
mod send;
mod settings;
mod tagging;
mod wire;
mod write;

/// The S3 of one server folder: `<dir>/s3/…` for the bodies, `store` for the rest.
///
/// It answers path-style requests at any host, which is what an SDK sends to an endpoint with an
/// IP address. Left-overs of an earlier crash are swept here, so a folder has one at a time.
///
/// # Errors
/// If the folder can't be made or swept.
pub fn service(store: Store, dir: &Path, clock: Arc<dyn Clock>) -> ApiResult<S3Service> {
    let dir = dir.join("s3");
    let context = |error: std::io::Error| ApiError::internal(format!("{}: {error}", dir.display()));
    let bodies = bodies::Bodies::open(&dir).map_err(context)?;
    let swept = bodies
        .sweep(&store.transaction(state::referenced_files)?)
        .map_err(context)?;
    if swept > 0 {
        tracing::info!(swept, "removed bodies that nothing refers to");
    }
    let gate = access::Gate {
        store: store.clone(),
        clock: Arc::clone(&clock),
    };
    let s3 = LocalS3 {
        store,
        bodies: Arc::new(bodies),
        clock,
        conflicts: Arc::default(),
        gate: gate.clone(),
    };
    let mut builder = S3ServiceBuilder::new(s3.clone());
    builder.set_auth(gate.clone());
    builder.set_access(gate.clone());
    builder.set_route(create_bucket::CreateBucket { s3, gate });
    Ok(builder.build())
}

#[derive(Clone)]
struct LocalS3 {
    store: Store,
    bodies: Arc<bodies::Bodies>,
    clock: Arc<dyn Clock>,
    conflicts: Arc<conflicts::Conflicts>,
    gate: access::Gate,
}

impl LocalS3 {
    /// Runs `work` on the state in one transaction, on a thread that may wait for its lock.
    async fn state<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> ApiResult<T> + Send + 'static,
    ) -> S3Result<T> {
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || store.transaction(work))
            .await
            .map_err(wire::internal)?
            .map_err(wire::error)
    }

    /// Removes files in the background: nobody waits for them, and a crash in between is swept.
    fn discard(&self, files: Vec<String>) {
        if !files.is_empty() {
            let bodies = Arc::clone(&self.bodies);
            tokio::task::spawn_blocking(move || bodies.remove(files));
        }
    }

    fn watch(&self, bucket: &str, key: &str, condition: &Condition) -> conflicts::Watch {
        self.conflicts.watch(bucket, key, condition)
    }
}

//! What a bake makes on its way, remembered so that it can be removed whatever happens.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::cloud::Cloud;
use crate::error::{Error, Result};
use crate::resources::{bake_objects, image, instance, snapshot};

/// Names and tokens of all that a bake may have made. Each is noted *before* the call that makes it, so
/// that an answer that never came changes nothing.
#[derive(Debug, Default)]
pub(super) struct Made(Mutex<Pieces>);

#[derive(Debug, Default, Clone)]
struct Pieces {
    /// Client tokens of RunInstances calls.
    tokens: Vec<String>,
    instances: Vec<String>,
    /// Name of image and snapshot.
    image: Option<String>,
    /// Id of the snapshot, if its answer came.
    snapshot: Option<String>,
    /// Key of the report in the input bucket.
    report: Option<String>,
    /// The image is registered: it and its snapshot stay.
    done: bool,
}

impl Made {
    fn note(&self, change: impl FnOnce(&mut Pieces)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn token(&self, token: &str) {
        self.note(|pieces| pieces.tokens.push(token.to_owned()));
    }

    pub(super) fn instance(&self, id: &str) {
        self.note(|pieces| pieces.instances.push(id.to_owned()));
    }

    pub(super) fn image(&self, name: &str) {
        self.note(|pieces| pieces.image = Some(name.to_owned()));
    }

    pub(super) fn snapshot(&self, id: &str) {
        self.note(|pieces| pieces.snapshot = Some(id.to_owned()));
    }

    pub(super) fn report(&self, key: &str) {
        self.note(|pieces| pieces.report = Some(key.to_owned()));
    }

    /// The image is registered: it and what it stands on stay.
    pub(super) fn done(&self) {
        self.note(|pieces| pieces.done = true);
    }

    /// EC2 has taken the builder's termination: nothing is left to be done about it.
    pub(super) fn terminated(&self) {
        self.note(|pieces| {
            pieces.instances.clear();
            pieces.tokens.clear();
        });
    }

    /// Whether there may be anything to remove.
    pub(super) fn is_nothing(&self) -> bool {
        let pieces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pieces.tokens.is_empty()
            && pieces.instances.is_empty()
            && (pieces.done || (pieces.image.is_none() && pieces.report.is_none()))
    }

    /// Removes the builder, and the rest too unless the image is done. Goes on past failures and
    /// returns them all.
    pub(super) async fn remove(&self, cloud: &Cloud) -> Vec<Error> {
        let pieces = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut failures = Vec::new();
        let mut keep = |outcome: Result<()>| failures.extend(outcome.err());
        keep(remove_instances(cloud, &pieces).await);
        if !pieces.done {
            if let Some(name) = &pieces.image {
                let removed = remove_image(cloud, name).await;
                // Its snapshot goes with it.
                if !matches!(removed, Ok(true)) {
                    keep(remove_snapshots(cloud, name, pieces.snapshot.as_deref()).await);
                }
                keep(removed.map(drop));
            }
            if let Some(key) = &pieces.report {
                keep(bake_objects::delete(&cloud.aws, &cloud.names.input_bucket(), key).await);
            }
        }
        failures
    }
}

async fn remove_instances(cloud: &Cloud, pieces: &Pieces) -> Result<()> {
    let mut ids = pieces.instances.clone();
    // An answer that never came leaves an instance of which only the token is known.
    if ids.is_empty() && !pieces.tokens.is_empty() {
        ids = find_builders(cloud, &pieces.tokens).await?;
    }
    // What EC2 has taken it does; nobody need wait for it.
    instance::terminate(&cloud.aws, &ids).await
}

/// An instance may be listed a little later than it is made.
const LOOKS: u32 = 3;

async fn find_builders(cloud: &Cloud, tokens: &[String]) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for look in 0..LOOKS {
        if look > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        for token in tokens {
            let found = instance::find_by_token(&cloud.aws, token)
                .await
                .map_err(|cause| Error::failed("cannot look for the builder").because(cause))?;
            ids.extend(found.into_iter().map(|one| one.id));
        }
        if !ids.is_empty() {
            break;
        }
    }
    Ok(ids)
}

/// Returns whether there was one.
async fn remove_image(cloud: &Cloud, name: &str) -> Result<bool> {
    let images = image::list(&cloud.aws, &cloud.names.stack).await?;
    let mut found = false;
    for image in images.iter().filter(|image| image.name == name) {
        image::deregister(&cloud.aws, image).await?;
        found = true;
    }
    Ok(found)
}

/// By its id where that is known, else by its name.
async fn remove_snapshots(cloud: &Cloud, name: &str, id: Option<&str>) -> Result<()> {
    if let Some(id) = id {
        return snapshot::delete(&cloud.aws, id).await;
    }
    let found = snapshot::find_by_name(&cloud.aws, name)
        .await
        .map_err(|cause| {
            Error::failed(format!("cannot look for the snapshot {name}")).because(cause)
        })?;
    for snapshot in found {
        snapshot::delete(&cloud.aws, &snapshot.id).await?;
    }
    Ok(())
}

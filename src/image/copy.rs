//! An image goes to another region, with its tags. Its report goes with it, because it is in the image.

use jiff::Timestamp;
use serde::Serialize;

use super::kept;
use crate::aws::Aws;
use crate::cloud::Cloud;
use crate::error::{Error, Kind, Result};
use crate::names::{Names, ResourceKind, TAG_KIND, TAG_MANIFEST};
use crate::resources::image::{self, CopyOrder, Image};
use crate::resources::run_instances::client_token;

/// A copy.
#[derive(Debug, Clone, Serialize)]
pub struct Copied {
    pub source: String,
    pub image_id: String,
    pub name: String,
    pub region: String,
    /// It was there already.
    pub reused: bool,
}

impl Copied {
    /// For people.
    pub fn text(&self) -> String {
        let Self {
            source,
            image_id,
            name,
            region,
            reused,
        } = self;
        if *reused {
            format!("Image {image_id} ({name}) in {region} is a copy of {source} already")
        } else {
            format!("Image {source} copied to {region}: {image_id} ({name})")
        }
    }
}

/// Copies the image `id` to the region of `there`, unless it has one of the same recipe and manifest. When
/// `cancel` ends first the half-made copy is removed.
///
/// # Errors
/// If it is none of ours or can't be copied.
pub async fn copy(
    cloud: &Cloud,
    id: &str,
    there: &Aws,
    cancel: impl Future<Output = ()>,
) -> Result<Copied> {
    let source = kept::ours(cloud, id).await?;
    if !source.is_available() {
        return Err(Error::failed(format!("image {id} is {}", source.state)));
    }
    let copied = |image: Image, reused: bool| Copied {
        source: source.id.clone(),
        image_id: image.id,
        name: image.name,
        region: there.region.clone(),
        reused,
    };
    if let Some(twin) = twin(&source, there).await? {
        return Ok(copied(twin, true));
    }
    let order = order(cloud, &source, there);
    let outcome = tokio::select! {
        outcome = image::copy(there, &order, &cloud.events) => outcome,
        () = cancel => Err(Error::new(Kind::Interrupted, "the copy was interrupted")),
    };
    if outcome.is_err() {
        remove(cloud, there, &order.name).await;
    }
    Ok(copied(outcome?, false))
}

/// An image that is the same but for its id.
async fn twin(source: &Image, there: &Aws) -> Result<Option<Image>> {
    let Some(recipe) = source.recipe() else {
        return Ok(None);
    };
    let images = image::list_of_recipe(there, recipe).await?;
    Ok(images.into_iter().find(|one| {
        one.id != source.id
            && one.is_available()
            && one.tags.get(TAG_MANIFEST) == source.tags.get(TAG_MANIFEST)
    }))
}

fn order(cloud: &Cloud, source: &Image, there: &Aws) -> CopyOrder {
    let now = Timestamp::now();
    let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let names = Names {
        region: there.region.clone(),
        ..cloud.names.clone()
    };
    let name = names.image(source.recipe().unwrap_or("unknown"), &time);
    let image_tags: Vec<(String, String)> = source
        .tags
        .iter()
        // Tags of AWS's own can't be given.
        .filter(|(key, _)| !key.starts_with("aws:"))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let mut snapshot_tags: Vec<(String, String)> = image_tags
        .iter()
        .filter(|(key, _)| key != TAG_KIND && key != "Name")
        .cloned()
        .collect();
    let kind = ResourceKind::Snapshot.as_str().to_owned();
    snapshot_tags.extend([
        (TAG_KIND.to_owned(), kind),
        ("Name".to_owned(), name.clone()),
    ]);
    // Not the name's seconds: EC2 answers a token that it knows with the copy of then, which may be removed by now.
    let generation = now.as_nanosecond().to_string();
    CopyOrder {
        token: client_token(&["copy", &source.id, &there.region, &generation]),
        source: source.clone(),
        source_region: cloud.aws.region.clone(),
        name,
        image_tags,
        snapshot_tags,
    }
}

/// Removes a copy that did not become one.
async fn remove(cloud: &Cloud, there: &Aws, name: &str) {
    let removed = async {
        let found = image::find_by_name(there, name).await.map_err(|cause| {
            Error::failed(format!("cannot look for the copy {name}")).because(cause)
        })?;
        match found {
            Some(image) => image::deregister(there, &image).await,
            None => Ok(()),
        }
    };
    if let Err(error) = removed.await {
        cloud.events.warn(format!(
            "{} (`muck images prune --region {}` removes it)",
            error.chain(),
            there.region
        ));
    }
}

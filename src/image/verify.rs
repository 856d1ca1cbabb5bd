//! Is an image what its recipe makes? Provisions once more, from just what the image was made of, and
//! compares the manifests. No second image is made: the builder's report is all that is wanted of it.

use std::time::Instant;

use jiff::Timestamp;
use muck_worker::text::{quantity, quantity_of};
use serde::Serialize;

use super::bake::{self, Prepared, bake_name, cleaning_up};
use super::made::Made;
use super::manifest::Difference;
use super::papers;
use super::recipe::Recipe;
use crate::cloud::Cloud;
use crate::error::{Error, Result};
use crate::names::TAG_MANIFEST;
use crate::resources::image::{self, Image};

/// What the comparison found.
#[derive(Debug, Clone, Serialize)]
pub struct Verified {
    pub image_id: String,
    pub name: String,
    /// Hex SHA-256 of the manifest that was kept, and of the second bake's.
    pub kept: String,
    pub again: String,
    pub packages: usize,
    pub files: usize,
    /// Empty: the recipe makes just this image.
    pub differences: Vec<Difference>,
    pub seconds: f64,
}

impl Verified {
    /// For people.
    pub fn text(&self) -> String {
        let Self {
            image_id,
            name,
            kept,
            again,
            ..
        } = self;
        if self.differences.is_empty() {
            return format!(
                "Image {image_id} ({name}) is what its recipe makes: {} and {} twice the same ({:.0} s)\n  manifest {kept}",
                quantity(self.packages, "package"),
                quantity(self.files, "file"),
                self.seconds
            );
        }
        let mut lines = vec![format!(
            "Image {image_id} ({name}) and a second bake of its recipe differ:"
        )];
        lines.extend(self.differences.iter().map(|one| format!("  {one}")));
        lines.push(format!("  manifest {kept} → {again}"));
        lines.join("\n")
    }

    /// The error that the differences are.
    pub fn failure(&self) -> Option<Error> {
        (!self.differences.is_empty()).then(|| {
            Error::failed(format!(
                "{} is not what its recipe makes: {}",
                self.image_id,
                quantity_of(&self.differences, "difference")
            ))
        })
    }
}

/// Compares the image with this id, or the current recipe's. Removes what it made, however it ends.
///
/// # Errors
/// If there is no such image, or the second bake fails. Differences are none.
pub async fn verify(
    cloud: &Cloud,
    id: Option<&str>,
    cancel: impl Future<Output = ()>,
) -> Result<Verified> {
    cleaning_up(cloud, cancel, async |made| {
        Box::pin(steps(cloud, id, made)).await
    })
    .await
}

async fn steps(cloud: &Cloud, id: Option<&str>, made: &Made) -> Result<Verified> {
    let clock = Instant::now();
    let kept = find(cloud, id).await?;
    let report = papers::of(cloud, made, &kept).await?;
    let mut config = cloud.config.clone();
    config.architecture = Some(kept.architecture.clone());
    let mut recipe = Recipe::unlocked(&config)?;
    recipe.locked = Some(report.locked()?);
    // Another worker than the image's is a difference like any other.
    let prepared = Prepared::find_any_worker(cloud, recipe).await?;
    let began = Timestamp::now();
    let name = bake_name(cloud, &prepared.digest, began);
    let archive = prepared
        .recipe
        .locked
        .as_ref()
        .and_then(super::lock::Locked::archive_date);
    let again = prepared
        .provision(cloud, made, &name, began, archive)
        .await?
        .report
        .manifest;
    Ok(Verified {
        image_id: kept.id,
        name: kept.name,
        kept: report.manifest.digest(),
        again: again.digest(),
        packages: again.packages.len(),
        files: again.files.len(),
        differences: report.manifest.differences(&again),
        seconds: clock.elapsed().as_secs_f64(),
    })
}

async fn find(cloud: &Cloud, id: Option<&str>) -> Result<Image> {
    let image = match id {
        Some(id) => image::find(&cloud.aws, id).await?.ok_or_else(|| {
            Error::failed(format!("there is no image {id} in {}", cloud.aws.region))
        })?,
        None => bake::find(cloud).await?.ok_or_else(|| {
            Error::failed("there is no image of the current recipe to verify")
                .hint("make it first: muck bake; or name another: muck bake --verify AMI")
        })?,
    };
    if !image.tags.contains_key(TAG_MANIFEST) {
        return Err(Error::failed(format!(
            "image {} has no tag {TAG_MANIFEST}: no bake of this program made it",
            image.id
        )));
    }
    Ok(image)
}

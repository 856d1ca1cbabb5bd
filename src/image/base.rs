//! The base image: found by the recipe's owner and name, or as the lock or the recipe says by its id.

use super::recipe::Recipe;
use crate::cloud::Cloud;
use crate::error::{Error, Result};
use crate::resources::image::{self, Image};

/// Finds it in the cloud's region.
///
/// # Errors
/// If there is none, or another than the lock's.
pub(super) async fn find(cloud: &Cloud, recipe: &Recipe) -> Result<Image> {
    let architecture = &recipe.settings.architecture;
    let Some(locked) = &recipe.locked else {
        let ids = recipe.settings.base.ids.get(architecture);
        return match ids.and_then(|ids| ids.get(&cloud.aws.region)) {
            Some(id) => by_id(cloud, recipe, id).await,
            None => by_name(cloud, recipe, &recipe.settings.base.owner).await,
        };
    };
    let found = by_name(cloud, recipe, &locked.base.owner)
        .await
        .map_err(|error| {
            error.hint("image.lock names it; take the newest one instead: muck bake --update")
        })?;
    match locked.base.ids.get(&cloud.aws.region) {
        Some(id) if *id != found.id => Err(Error::failed(format!(
            "the base image {} is {} in {}, but image.lock says {id}",
            found.name, found.id, cloud.aws.region
        ))
        .hint("another image has taken its name; if that is right: muck bake --update")),
        _ => Ok(found),
    }
}

async fn by_name(cloud: &Cloud, recipe: &Recipe, owner: &str) -> Result<Image> {
    let architecture = &recipe.settings.architecture;
    image::find_base(&cloud.aws, owner, &recipe.base_name(), architecture).await
}

async fn by_id(cloud: &Cloud, recipe: &Recipe, id: &str) -> Result<Image> {
    let architecture = &recipe.settings.architecture;
    let base = image::find(&cloud.aws, id).await?.ok_or_else(|| {
        Error::failed(format!(
            "there is no base image {id} in {}",
            cloud.aws.region
        ))
        .hint("correct base.ids in the recipe's image.toml")
    })?;
    if base.architecture != *architecture || base.owner != recipe.settings.base.owner {
        return Err(Error::failed(format!(
            "the base image {id} ({}) is of owner {} for {}, the recipe wants owner {} and {architecture}",
            base.name, base.owner, base.architecture, recipe.settings.base.owner
        ))
        .hint("correct base in the recipe's image.toml"));
    }
    Ok(base)
}

/// What the recipe's digest knows it by.
pub(super) fn key(base: &Image) -> String {
    format!("{}/{}", base.owner, base.name)
}

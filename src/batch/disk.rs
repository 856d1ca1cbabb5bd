//! The disks of workers: how large they are, and whether an image fits.

use crate::config::Config;
use crate::error::{Error, Result};
use crate::image::recipe::Recipe;

/// GiB of each worker's disk, by the settings, else by the image recipe.
///
/// # Errors
/// A recipe that can't be read.
pub fn size(config: &Config) -> Result<u32> {
    match config.disk {
        Some(disk) => Ok(disk),
        None => image_size(config),
    }
}

/// Refuses a disk in the settings that the recipe's image does not fit, before there is an image.
///
/// # Errors
/// Kind `Usage`; a recipe that can't be read.
pub fn check(config: &Config) -> Result<()> {
    match config.disk {
        Some(disk) => check_fits(disk, image_size(config)?, "the image"),
        None => Ok(()),
    }
}

/// Refuses a disk that is smaller than the volume of `image`: EC2 creates none that is smaller than its snapshot.
///
/// # Errors
/// Kind `Usage`.
pub fn check_fits(disk: u32, least: u32, image: &str) -> Result<()> {
    if disk >= least {
        return Ok(());
    }
    Err(Error::usage(format!(
        "a disk of {disk} GiB is too small for {image}, which has {least} GiB"
    ))
    .hint(format!("use --disk {least} or more, or leave it out")))
}

fn image_size(config: &Config) -> Result<u32> {
    Ok(Recipe::unlocked(config)?.settings.volume.size)
}

//! AMIs: find Debian's and ours, register, deregister.

use std::time::{Duration, Instant};

use aws_sdk_ec2::types as sdk;
use jiff::Timestamp;
use serde::Serialize;

use super::ec2_tags::{self, Tags};
use super::newborn::{NEWBORN, unknown_is_unlisted};
use crate::aws::{Aws, Cause};
use crate::error::{Error, Result};
use crate::event::{Event, Events};
use crate::names::{ResourceKind, StackName, TAG_KIND, TAG_RECIPE};
use crate::wait::{self, Look};

/// Registering is a matter of seconds; EC2 shows `pending` meanwhile.
const AVAILABLE: Duration = Duration::from_mins(10);
/// A copy goes over half the world at EC2's own pace; this one only ends a wait for one that never comes.
const COPIED: Duration = Duration::from_hours(3);
/// Attempts to register; the faults that pass do so in a few.
const ATTEMPTS: u32 = 5;

/// An image as EC2 lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Image {
    pub id: String,
    pub name: String,
    /// Account id.
    pub owner: String,
    /// `available`, `pending`, `failed` …
    pub state: String,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    pub created: Option<Timestamp>,
    pub root_device: String,
    /// Snapshot ids that it stands on.
    pub snapshots: Vec<String>,
    /// GiB of the root volume.
    pub volume_size: Option<u32>,
    /// E.g. `uefi-preferred`.
    pub boot_mode: Option<String>,
    pub tags: Tags,
}

impl Image {
    pub fn recipe(&self) -> Option<&str> {
        self.tags.get(TAG_RECIPE).map(String::as_str)
    }

    pub fn is_available(&self) -> bool {
        self.state == "available"
    }

    fn read(image: sdk::Image) -> Option<Self> {
        let root_device = image.root_device_name.unwrap_or_default();
        let mappings = image.block_device_mappings.unwrap_or_default();
        let root = mappings
            .iter()
            .find(|mapping| mapping.device_name.as_deref() == Some(&root_device))
            .and_then(|mapping| mapping.ebs.as_ref());
        let volume_size = root.and_then(|ebs| ebs.volume_size?.try_into().ok());
        let snapshots = mappings
            .into_iter()
            .filter_map(|mapping| mapping.ebs?.snapshot_id)
            .collect();
        Some(Self {
            id: image.image_id?,
            name: image.name.unwrap_or_default(),
            owner: image.owner_id.unwrap_or_default(),
            state: image
                .state
                .map(|state| state.as_str().to_owned())
                .unwrap_or_default(),
            architecture: image
                .architecture
                .map(|arch| arch.as_str().to_owned())
                .unwrap_or_default(),
            created: image.creation_date.and_then(|date| date.parse().ok()),
            root_device,
            snapshots,
            volume_size,
            boot_mode: image.boot_mode.map(|mode| mode.as_str().to_owned()),
            tags: ec2_tags::read(image.tags),
        })
    }
}

/// What a new image is made of.
#[derive(Debug, Clone)]
pub struct NewImage {
    pub name: String,
    pub description: String,
    pub snapshot: String,
    /// Taken over from the base image: architecture, root device and boot mode.
    pub base: Image,
    pub volume_type: String,
    pub tags: Vec<(String, String)>,
}

/// All images of the stack, the newest first.
pub async fn list(aws: &Aws, stack: &StackName) -> Result<Vec<Image>> {
    let kind = ec2_tags::filter(&format!("tag:{TAG_KIND}"), [ResourceKind::Image.as_str()]);
    describe(aws, "self", vec![ec2_tags::of_stack(stack), kind])
        .await
        .map_err(|cause| {
            Error::failed(format!("cannot list the images of stack {stack}")).because(cause)
        })
}

/// The images of all stacks of the account in this region, the newest first.
pub async fn list_of_all(aws: &Aws) -> Result<Vec<Image>> {
    describe(aws, "self", vec![ec2_tags::of_any_stack()])
        .await
        .map_err(|cause| Error::failed("cannot list the images").because(cause))
}

/// All our images of that recipe, whichever stack baked them, the newest first: what a recipe makes
/// does not depend on the stack.
pub async fn list_of_recipe(aws: &Aws, digest: &str) -> Result<Vec<Image>> {
    let filters = vec![
        ec2_tags::filter(&format!("tag:{TAG_KIND}"), [ResourceKind::Image.as_str()]),
        ec2_tags::filter(&format!("tag:{TAG_RECIPE}"), [digest]),
    ];
    describe(aws, "self", filters).await.map_err(|cause| {
        Error::failed(format!("cannot look for an image of the recipe {digest}")).because(cause)
    })
}

/// The newest available image of `owner` whose name fits `pattern` (`*` and `?`).
///
/// # Errors
/// If there is none: the region may lack it.
pub async fn find_base(aws: &Aws, owner: &str, pattern: &str, architecture: &str) -> Result<Image> {
    let filters = vec![
        ec2_tags::filter("name", [pattern]),
        ec2_tags::filter("architecture", [architecture]),
        ec2_tags::filter("state", ["available"]),
    ];
    let what = format!(
        "base image {pattern} ({architecture}) of owner {owner} in {}",
        aws.region
    );
    let images = describe(aws, owner, filters)
        .await
        .map_err(|cause| Error::failed(format!("cannot look for the {what}")).because(cause))?;
    images.into_iter().next().ok_or_else(|| {
        Error::failed(format!("there is no {what}"))
            .hint("set base.owner and base.name in the recipe's image.toml, or another --region")
    })
}

async fn describe(aws: &Aws, owner: &str, filters: Vec<sdk::Filter>) -> Result<Vec<Image>, Cause> {
    let mut pages = aws
        .ec2
        .describe_images()
        .owners(owner)
        .set_filters(Some(filters))
        .into_paginator()
        .send();
    let mut images = Vec::new();
    while let Some(page) = pages.next().await {
        let listed = page?.images.unwrap_or_default();
        images.extend(listed.into_iter().filter_map(Image::read));
    }
    images.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
    Ok(images)
}

/// The available image with this id, whoever owns it; `None` if there is none.
pub async fn find(aws: &Aws, id: &str) -> Result<Option<Image>> {
    match aws
        .ec2
        .describe_images()
        .image_ids(id)
        .send()
        .await
        .map_err(Cause::from)
    {
        Ok(answer) => {
            let mut images = answer
                .images
                .unwrap_or_default()
                .into_iter()
                .filter_map(Image::read);
            Ok(images.find(Image::is_available))
        }
        Err(cause)
            if cause.is_any(&[
                "InvalidAMIID.NotFound",
                "InvalidAMIID.Malformed",
                "InvalidAMIID.Unavailable",
            ]) =>
        {
            Ok(None)
        }
        Err(cause) => Err(Error::failed(format!("cannot look at the image {id}")).because(cause)),
    }
}

pub(crate) async fn find_by_name(aws: &Aws, name: &str) -> Result<Option<Image>, Cause> {
    Ok(named(aws, name).await?.into_iter().next())
}

/// The same for one that was just made.
async fn find_newborn(aws: &Aws, name: &str) -> Result<Option<Image>, Cause> {
    let found = unknown_is_unlisted(named(aws, name).await, "InvalidAMIID.NotFound")?;
    Ok(found.into_iter().next())
}

async fn named(aws: &Aws, name: &str) -> Result<Vec<Image>, Cause> {
    describe(aws, "self", vec![ec2_tags::filter("name", [name])]).await
}

/// A copy of an image to be made.
#[derive(Debug, Clone)]
pub struct CopyOrder {
    pub source: Image,
    pub source_region: String,
    pub name: String,
    /// Of RunInstances' kind: the same token never makes a second copy.
    pub token: String,
    pub image_tags: Vec<(String, String)>,
    pub snapshot_tags: Vec<(String, String)>,
}

/// Copies an image into the region of `aws` and waits until it is available there: as long as the snapshot
/// takes, telling the state.
pub async fn copy(aws: &Aws, order: &CopyOrder, events: &Events) -> Result<Image> {
    let failed = |cause: Cause| {
        Error::failed(format!(
            "cannot copy the image {} from {} to {}",
            order.source.id, order.source_region, aws.region
        ))
        .because(cause)
    };
    let what = format!("the copy {} in {}", order.name, aws.region);
    aws.ec2
        .copy_image()
        .source_image_id(&order.source.id)
        .source_region(&order.source_region)
        .name(&order.name)
        .description(format!(
            "Copy of {} ({})",
            order.source.name, order.source.id
        ))
        .client_token(&order.token)
        // A copy of an encrypted snapshot is encrypted by the region's own key.
        .encrypted(true)
        .tag_specifications(ec2_tags::specification(
            sdk::ResourceType::Image,
            &order.image_tags,
        ))
        .tag_specifications(ec2_tags::specification(
            sdk::ResourceType::Snapshot,
            &order.snapshot_tags,
        ))
        .send()
        .await
        .map_err(|error| failed(Cause::from(error)))?;
    wait::until(&what, COPIED, || async {
        match find_newborn(aws, &order.name).await.map_err(failed)? {
            Some(image) if image.is_available() => Ok(Look::Done(image)),
            Some(image) if image.state != "pending" => Err(Error::failed(format!(
                "the copy {} ({}) is {}",
                order.name, image.id, image.state
            ))),
            found => {
                let last_seen = found.map_or("not listed".to_owned(), |image| image.state);
                events.emit(Event::Waiting {
                    what: what.clone(),
                    last_seen: last_seen.clone(),
                });
                Ok(Look::NotYet(last_seen))
            }
        }
    })
    .await
}

/// Registers an image and waits until it is available. There is no client token for this call, but the
/// name is unique: after a lost answer the next attempt finds it taken, and the image is adopted.
pub async fn register(aws: &Aws, new: &NewImage) -> Result<Image> {
    let failed = |cause: Cause| {
        Error::failed(format!("cannot register the image {}", new.name)).because(cause)
    };
    let start = Instant::now();
    let mut attempt = 0;
    loop {
        attempt += 1;
        match register_call(aws, new).await {
            Ok(()) => break,
            Err(cause) if cause.is("InvalidAMIName.Duplicate") => break,
            // Another of EC2's servers may not have heard of the snapshot for a while.
            Err(cause) if cause.is("InvalidSnapshot.NotFound") && start.elapsed() < NEWBORN => {
                tokio::time::sleep(Duration::from_secs(1 << attempt.min(2))).await;
            }
            Err(cause) if attempt < ATTEMPTS && passes(&cause) => {
                tokio::time::sleep(Duration::from_secs(1 << attempt)).await;
            }
            Err(cause) => return Err(failed(cause)),
        }
    }
    wait::until(
        &format!("image {} to be available", new.name),
        AVAILABLE,
        || async {
            match find_newborn(aws, &new.name).await.map_err(failed)? {
                Some(image) if image.is_available() => Ok(Look::Done(image)),
                Some(image) if image.state != "pending" => Err(Error::failed(format!(
                    "the image {} ({}) is {}",
                    new.name, image.id, image.state
                ))),
                Some(image) => Ok(Look::NotYet(image.state)),
                None => Ok(Look::NotYet("not listed".to_owned())),
            }
        },
    )
    .await
}

/// Whether the same call may succeed a little later.
fn passes(cause: &Cause) -> bool {
    cause.uncertain
        || cause.is_any(&[
            "RequestLimitExceeded",
            "Throttling",
            "InternalError",
            "Unavailable",
        ])
}

async fn register_call(aws: &Aws, new: &NewImage) -> Result<(), Cause> {
    let root = sdk::EbsBlockDevice::builder()
        .snapshot_id(&new.snapshot)
        .volume_type(sdk::VolumeType::from(new.volume_type.as_str()))
        .delete_on_termination(true)
        .build();
    let boot_mode = new.base.boot_mode.as_deref().map(sdk::BootModeValues::from);
    aws.ec2_once
        .register_image()
        .name(&new.name)
        .description(&new.description)
        .architecture(sdk::ArchitectureValues::from(
            new.base.architecture.as_str(),
        ))
        .root_device_name(&new.base.root_device)
        .virtualization_type("hvm")
        .ena_support(true)
        .sriov_net_support("simple")
        .imds_support(sdk::ImdsSupportValues::V20)
        .set_boot_mode(boot_mode)
        .block_device_mappings(
            sdk::BlockDeviceMapping::builder()
                .device_name(&new.base.root_device)
                .ebs(root)
                .build(),
        )
        .tag_specifications(ec2_tags::specification(sdk::ResourceType::Image, &new.tags))
        .send()
        .await?;
    Ok(())
}

/// Deregisters an image and deletes the snapshots that it alone stands on. An image that is gone is
/// no error.
pub async fn deregister(aws: &Aws, image: &Image) -> Result<()> {
    let outcome = aws
        .ec2
        .deregister_image()
        .image_id(&image.id)
        .delete_associated_snapshots(true)
        .send()
        .await
        .map_err(Cause::from);
    let gone: Vec<String> = match outcome {
        Ok(answer) => answer
            .delete_snapshot_results
            .unwrap_or_default()
            .into_iter()
            .filter(|one| one.return_code == Some(sdk::SnapshotReturnCodes::Success))
            .filter_map(|one| one.snapshot_id)
            .collect(),
        Err(cause) if cause.is_any(&["InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"]) => {
            Vec::new()
        }
        Err(cause) => {
            return Err(Error::failed(format!(
                "cannot deregister the image {} ({})",
                image.name, image.id
            ))
            .because(cause));
        }
    };
    // Left where EC2 could not do it with the image, or an earlier try stopped here. Not asked for what is
    // gone: whoever may delete only what carries our tag is refused what has none any more.
    for snapshot in image.snapshots.iter().filter(|id| !gone.contains(id)) {
        super::snapshot::delete(aws, snapshot).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_read_with_its_snapshots() {
        let mapping = |device: &str, snapshot: &str, size: i32| {
            let ebs = sdk::EbsBlockDevice::builder()
                .snapshot_id(snapshot)
                .volume_size(size)
                .build();
            sdk::BlockDeviceMapping::builder()
                .device_name(device)
                .ebs(ebs)
                .build()
        };
        let image = sdk::Image::builder()
            .image_id("ami-1")
            .name("debian-13")
            .state(sdk::ImageState::Available)
            .architecture(sdk::ArchitectureValues::X8664)
            .creation_date("2026-01-02T03:04:05.000Z")
            .root_device_name("/dev/xvda")
            .block_device_mappings(mapping("/dev/xvda", "snap-1", 8))
            .block_device_mappings(mapping("/dev/sdb", "snap-2", 9))
            .build();
        let image = Image::read(image).expect("has an id");
        assert!(image.is_available());
        assert_eq!(image.snapshots, ["snap-1", "snap-2"]);
        assert_eq!(image.volume_size, Some(8));
        assert_eq!(
            image.created.expect("read").to_string(),
            "2026-01-02T03:04:05Z"
        );
    }
}

//! DescribeImages, DeregisterImage.

use super::dry_run::DryRun;
use super::filters::{Filters, maybe, one};
use super::paging::Page;
use super::tagging::Tags;
use super::{Ec2, ids, iso, snapshots, tag_set};
use crate::account::ACCOUNT;
use crate::error::{ApiError, ApiResult};
use crate::query_protocol::{Params, XmlBody};
use crate::state::ec2::{Image, Snapshot, get, list, put, tags};

impl Ec2 {
    pub(super) fn describe_images(&self, params: &Params, dry_run: DryRun) -> ApiResult<XmlBody> {
        let wanted = params.list("ImageId");
        let owners = params.list("Owner");
        let executable_by = params.list("ExecutableBy");
        // No image here is deprecated or disabled.
        params.boolean("IncludeDeprecated")?;
        params.boolean("IncludeDisabled")?;
        let filters = Filters::read(
            params,
            &[
                "image-id",
                "name",
                "description",
                "architecture",
                "state",
                "owner-id",
                "owner-alias",
                "is-public",
                "image-type",
                "root-device-name",
                "root-device-type",
                "virtualization-type",
                "hypervisor",
                "ena-support",
                "creation-date",
                "block-device-mapping.snapshot-id",
                "block-device-mapping.volume-type",
                "block-device-mapping.volume-size",
                "block-device-mapping.device-name",
                "block-device-mapping.encrypted",
                "block-device-mapping.delete-on-termination",
            ],
        )?;
        let page = Page::read(params, 1)?;
        params.finish()?;
        page.not_beside(&wanted, "imagesSet")?;
        dry_run.end()?;
        let found = self.store.transaction(|tx| {
            let images: Vec<Image> = if wanted.is_empty() {
                list::<Image>(tx)?
                    .into_iter()
                    .filter(|image| image.deregistered.is_none())
                    .collect()
            } else {
                wanted
                    .iter()
                    .map(|id| ids::image(tx, id))
                    .collect::<ApiResult<_>>()?
            };
            let mut found = Vec::new();
            for image in images {
                let tags = tags::of(tx, &image.id)?;
                if is_owned_by(&image, &owners)
                    && is_executable_by(&image, &executable_by)
                    && filters.pass(&tags, |name| facet(&image, name))
                {
                    found.push((image, tags));
                }
            }
            Ok(found)
        })?;
        let (found, next) = page.cut(found, |(image, _)| image.id.clone());
        let mut body = XmlBody::new();
        body.list("imagesSet", "item", &found, write);
        body.optional("nextToken", next);
        Ok(body)
    }

    pub(super) fn deregister_image(&self, params: &Params, dry_run: DryRun) -> ApiResult<XmlBody> {
        let id = params.required("ImageId")?;
        let with_snapshots = params
            .boolean("DeleteAssociatedSnapshots")?
            .unwrap_or(false);
        params.finish()?;
        let now = self.clock.now();
        let deleted = self.store.transaction(|tx| {
            let mut image = ids::image(tx, &id)?;
            if image.owner != ACCOUNT {
                return Err(ApiError::new(
                    "AuthFailure",
                    format!("Not authorized for image:{id}"),
                ));
            }
            image.deregistered = Some(now);
            put(tx, &image)?;
            tags::forget(tx, &id)?;
            let snapshot = get::<Snapshot>(tx, &image.snapshot_id)?;
            let deleted = match snapshot {
                Some(snapshot) if with_snapshots && !snapshot.deleted => {
                    // Another image may stand on the same snapshot; it is left then.
                    let result = if snapshots::image_on(tx, &snapshot.id)?.is_some() {
                        "skipped"
                    } else {
                        snapshots::forget(tx, snapshot)?;
                        "success"
                    };
                    Some(result)
                }
                _ => None,
            };
            dry_run.end()?;
            Ok(deleted.map(|result| (image.snapshot_id, result)))
        })?;
        self.lifecycle.sweep();
        let mut body = XmlBody::return_true();
        if let Some(deleted) = deleted {
            body.list(
                "deleteSnapshotResultSet",
                "item",
                [deleted],
                |xml, (snapshot, result)| {
                    xml.text("snapshotId", snapshot).text("returnCode", result);
                },
            );
        }
        Ok(body)
    }
}

fn is_owned_by(image: &Image, owners: &[String]) -> bool {
    owners.is_empty()
        || owners.iter().any(|owner| {
            let owner = if owner == "self" { ACCOUNT } else { owner };
            owner == image.owner
        })
}

fn is_executable_by(image: &Image, users: &[String]) -> bool {
    users.is_empty()
        || users.iter().any(|user| match user.as_str() {
            "all" => image.public,
            // Explicit launch permissions don't exist here, so these mean the owner's own.
            "self" => image.owner == ACCOUNT,
            account => image.owner == account,
        })
}

fn facet(image: &Image, name: &str) -> Vec<String> {
    match name {
        "image-id" => one(&image.id),
        "name" => one(&image.name),
        "description" => maybe(image.description.as_ref()),
        "architecture" => one(&image.architecture),
        "state" => one(image.state()),
        "owner-id" => one(&image.owner),
        "is-public" => one(image.public),
        "image-type" => one("machine"),
        "root-device-name" | "block-device-mapping.device-name" => one(&image.root_device),
        "root-device-type" => one("ebs"),
        "virtualization-type" => one("hvm"),
        "hypervisor" => one("xen"),
        "ena-support" => one(image.ena_support),
        "creation-date" => one(iso(image.created)),
        "block-device-mapping.snapshot-id" => one(&image.snapshot_id),
        "block-device-mapping.volume-type" => one(&image.volume_type),
        "block-device-mapping.volume-size" => one(image.volume_size),
        "block-device-mapping.encrypted" => one(image.encrypted),
        "block-device-mapping.delete-on-termination" => one(image.delete_on_termination),
        // `owner-alias`: Debian's images and one's own have none.
        _ => Vec::new(),
    }
}

fn write(xml: &mut XmlBody, (image, tags): &(Image, Tags)) {
    xml.text("imageId", &image.id)
        .text("imageLocation", format!("{}/{}", image.owner, image.name))
        .text("imageState", image.state())
        .text("imageOwnerId", &image.owner)
        .text("creationDate", iso(image.created))
        .text("isPublic", image.public)
        .text("architecture", &image.architecture)
        .text("imageType", "machine")
        .text("name", &image.name)
        .optional("description", image.description.as_ref())
        .text("platformDetails", "Linux/UNIX")
        .text("usageOperation", "RunInstances")
        .text("rootDeviceType", "ebs")
        .text("rootDeviceName", &image.root_device)
        .list("blockDeviceMapping", "item", [image], |xml, image| {
            xml.text("deviceName", &image.root_device)
                .element("ebs", |xml| {
                    xml.text("snapshotId", &image.snapshot_id)
                        .text("volumeSize", image.volume_size)
                        .text("volumeType", &image.volume_type)
                        .text("deleteOnTermination", image.delete_on_termination)
                        .text("encrypted", image.encrypted);
                });
        })
        .text("virtualizationType", "hvm")
        .text("hypervisor", "xen")
        .text("enaSupport", image.ena_support)
        .optional("sriovNetSupport", image.sriov_net_support.as_ref())
        .optional("bootMode", image.boot_mode.as_ref())
        .optional("imdsSupport", image.imds_support.as_ref())
        .optional("tpmSupport", image.tpm_support.as_ref())
        .optional("sourceInstanceId", image.source_instance.as_ref());
    if let Some(failure) = &image.failure {
        xml.element("stateReason", |xml| {
            xml.text("code", "Server.InternalError")
                .text("message", failure);
        });
    }
    tag_set(xml, tags);
}

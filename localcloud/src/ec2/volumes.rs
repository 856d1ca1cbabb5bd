//! DescribeVolumes, DeleteVolume.

use super::dry_run::DryRun;
use super::filters::{Filters, maybe, one};
use super::paging::Page;
use super::tagging::Tags;
use super::{Ec2, ids, iso, tag_set};
use crate::error::{ApiError, ApiResult};
use crate::query_protocol::{Params, XmlBody};
use crate::state::ec2::{Volume, list, put, tags};

impl Ec2 {
    pub(super) fn describe_volumes(&self, params: &Params, dry_run: DryRun) -> ApiResult<XmlBody> {
        let wanted = params.list("VolumeId");
        let filters = Filters::read(
            params,
            &[
                "volume-id",
                "status",
                "size",
                "snapshot-id",
                "volume-type",
                "availability-zone",
                "encrypted",
                "create-time",
                "attachment.instance-id",
                "attachment.device",
                "attachment.status",
                "attachment.delete-on-termination",
            ],
        )?;
        let page = Page::read(params, 5)?;
        params.finish()?;
        page.not_beside(&wanted, "volumeSet")?;
        dry_run.end()?;
        let found = self.store.transaction(|tx| {
            let volumes: Vec<Volume> = if wanted.is_empty() {
                list::<Volume>(tx)?
                    .into_iter()
                    .filter(|volume| !volume.deleted)
                    .collect()
            } else {
                wanted
                    .iter()
                    .map(|id| ids::volume(tx, id))
                    .collect::<ApiResult<_>>()?
            };
            let mut found = Vec::new();
            for volume in volumes {
                let tags = tags::of(tx, &volume.id)?;
                if filters.pass(&tags, |name| facet(&volume, name)) {
                    found.push((volume, tags));
                }
            }
            Ok(found)
        })?;
        let (found, next) = page.cut(found, |(volume, _)| volume.id.clone());
        let mut body = XmlBody::new();
        body.list("volumeSet", "item", &found, write);
        body.optional("nextToken", next);
        Ok(body)
    }

    pub(super) fn delete_volume(&self, params: &Params, dry_run: DryRun) -> ApiResult<XmlBody> {
        let id = params.required("VolumeId")?;
        params.finish()?;
        self.store.transaction(|tx| {
            let mut volume = ids::volume(tx, &id)?;
            if let Some(attachment) = volume.attachment {
                return Err(ApiError::new(
                    "VolumeInUse",
                    format!(
                        "Volume {id} is currently attached to {}",
                        attachment.instance_id
                    ),
                ));
            }
            volume.deleted = true;
            put(tx, &volume)?;
            tags::forget(tx, &id)?;
            dry_run.end()
        })?;
        self.lifecycle.sweep();
        Ok(XmlBody::return_true())
    }
}

fn status(volume: &Volume) -> &'static str {
    if volume.attachment.is_some() {
        "in-use"
    } else {
        "available"
    }
}

fn facet(volume: &Volume, name: &str) -> Vec<String> {
    let attachment = volume.attachment.as_ref();
    match name {
        "volume-id" => one(&volume.id),
        "status" => one(status(volume)),
        "size" => one(volume.size),
        "snapshot-id" => one(&volume.snapshot_id),
        "volume-type" => one(&volume.volume_type),
        "availability-zone" => one(&volume.zone),
        "encrypted" => one(volume.encrypted),
        "create-time" => one(iso(volume.created)),
        "attachment.instance-id" => maybe(attachment.map(|held| &held.instance_id)),
        "attachment.device" => maybe(attachment.map(|held| &held.device)),
        "attachment.status" => maybe(attachment.map(|_| "attached")),
        "attachment.delete-on-termination" => {
            maybe(attachment.map(|held| held.delete_on_termination))
        }
        _ => Vec::new(),
    }
}

fn write(xml: &mut XmlBody, (volume, tags): &(Volume, Tags)) {
    xml.text("volumeId", &volume.id)
        .text("size", volume.size)
        .text("snapshotId", &volume.snapshot_id)
        .text("availabilityZone", &volume.zone)
        .text("status", status(volume))
        .text("createTime", iso(volume.created))
        .text("volumeType", &volume.volume_type)
        .text("encrypted", volume.encrypted)
        .text("multiAttachEnabled", false)
        .optional("iops", volume.iops)
        .optional("throughput", volume.throughput)
        .list(
            "attachmentSet",
            "item",
            &volume.attachment,
            |xml, attachment| {
                xml.text("volumeId", &volume.id)
                    .text("instanceId", &attachment.instance_id)
                    .text("device", &attachment.device)
                    .text("status", "attached")
                    .text("attachTime", iso(attachment.since))
                    .text("deleteOnTermination", attachment.delete_on_termination);
            },
        );
    tag_set(xml, tags);
}

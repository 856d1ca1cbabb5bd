//! EBS volumes: find what an instance left, delete it.

use std::time::Duration;

use aws_sdk_ec2::types as sdk;
use serde::Serialize;

use super::ec2_tags::{self, Tags};
use crate::aws::{Aws, Cause};
use crate::error::{Error, Result};
use crate::names::StackName;
use crate::wait::{self, Look};

/// A volume stays `in-use` for some seconds after its instance is terminated.
const DETACHING: Duration = Duration::from_mins(2);

/// A volume as EC2 lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Volume {
    pub id: String,
    /// `available`, `in-use`, `deleting` …
    pub state: String,
    /// GiB.
    pub size: u32,
    /// E.g. `gp3`.
    pub volume_type: String,
    /// Id of the instance that has it.
    pub instance: Option<String>,
    pub tags: Tags,
}

impl Volume {
    fn read(volume: sdk::Volume) -> Option<Self> {
        Some(Self {
            id: volume.volume_id?,
            state: volume
                .state
                .map(|state| state.as_str().to_owned())
                .unwrap_or_default(),
            size: volume
                .size
                .and_then(|size| size.try_into().ok())
                .unwrap_or_default(),
            volume_type: volume
                .volume_type
                .map(|kind| kind.as_str().to_owned())
                .unwrap_or_default(),
            instance: volume
                .attachments
                .unwrap_or_default()
                .into_iter()
                .find_map(|attachment| attachment.instance_id),
            tags: ec2_tags::read(volume.tags),
        })
    }
}

/// All volumes of the stack that are not being deleted already.
pub async fn list(aws: &Aws, stack: &StackName) -> Result<Vec<Volume>> {
    describe(aws, ec2_tags::of_stack(stack))
        .await
        .map_err(|cause| {
            Error::failed(format!("cannot list the volumes of stack {stack}")).because(cause)
        })
}

/// Those of all stacks of the account in this region.
pub async fn list_of_all(aws: &Aws) -> Result<Vec<Volume>> {
    describe(aws, ec2_tags::of_any_stack())
        .await
        .map_err(|cause| Error::failed("cannot list the volumes").because(cause))
}

async fn describe(aws: &Aws, filter: sdk::Filter) -> Result<Vec<Volume>, Cause> {
    let mut pages = aws
        .ec2
        .describe_volumes()
        .filters(filter)
        .into_paginator()
        .send();
    let mut volumes = Vec::new();
    while let Some(page) = pages.next().await {
        let listed = page?.volumes.unwrap_or_default();
        volumes.extend(listed.into_iter().filter_map(Volume::read));
    }
    volumes.retain(|volume| !matches!(volume.state.as_str(), "deleting" | "deleted"));
    Ok(volumes)
}

/// Deletes a volume, waiting until the instance that had it has let go. One that is gone is no error.
pub async fn delete(aws: &Aws, id: &str) -> Result<()> {
    wait::until(&format!("volume {id} to be free"), DETACHING, || async {
        match aws
            .ec2
            .delete_volume()
            .volume_id(id)
            .send()
            .await
            .map_err(Cause::from)
        {
            Ok(_) => Ok(Look::Done(())),
            Err(cause) if cause.is("InvalidVolume.NotFound") => Ok(Look::Done(())),
            Err(cause) if cause.is("VolumeInUse") => Ok(Look::NotYet(cause.to_string())),
            Err(cause) => {
                Err(Error::failed(format!("cannot delete the volume {id}")).because(cause))
            }
        }
    })
    .await
}

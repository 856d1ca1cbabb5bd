//! The images that there are, with what they take and who uses them.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets::NOTHING};
use indicatif::BinaryBytes;
use jiff::Timestamp;
use muck_worker::text::printable_short;
use serde::Serialize;

use super::bake;
use super::made::Made;
use super::papers;
use super::report::Report;
use super::sbom;
use crate::cloud::Cloud;
use crate::error::{Error, Kind, Result};
use crate::names::{StackName, TAG_MANIFEST, TAG_STACK, TAG_TOOL};
use crate::resources::image::{self, Image};
use crate::resources::{instance, snapshot};

/// An image of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kept {
    pub id: String,
    pub name: String,
    /// That baked it; empty if its tag is gone.
    pub stack: String,
    /// EC2's word.
    pub state: String,
    pub architecture: String,
    pub created: Option<Timestamp>,
    /// Hex SHA-256.
    pub recipe: Option<String>,
    /// Hex SHA-256.
    pub manifest: Option<String>,
    /// Program and version that baked it.
    pub tool: Option<String>,
    /// GiB of the root volume.
    pub volume_gib: Option<u32>,
    pub snapshots: Vec<String>,
    /// What the snapshots store, as far as EC2 tells.
    pub bytes: Option<u64>,
    /// Ids of instances of it, in any state but terminated.
    pub used_by: Vec<String>,
    #[serde(skip)]
    pub(super) image: Image,
}

impl Kept {
    fn new(image: Image, bytes: Option<u64>, used_by: Vec<String>) -> Self {
        let tag = |name: &str| image.tags.get(name).cloned();
        Self {
            id: image.id.clone(),
            name: image.name.clone(),
            stack: tag(TAG_STACK).unwrap_or_default(),
            state: image.state.clone(),
            architecture: image.architecture.clone(),
            created: image.created,
            recipe: image.recipe().map(ToOwned::to_owned),
            manifest: tag(TAG_MANIFEST),
            tool: tag(TAG_TOOL),
            volume_gib: image.volume_size,
            snapshots: image.snapshots.clone(),
            bytes,
            used_by,
            image,
        }
    }
}

/// All images of the account in this region that any stack baked, or that `stack` did; the newest first.
pub async fn list(cloud: &Cloud, stack: Option<&StackName>) -> Result<Vec<Kept>> {
    let mut images = image::list_of_all(&cloud.aws).await?;
    if let Some(stack) = stack {
        images
            .retain(|image| image.tags.get(TAG_STACK).map(String::as_str) == Some(stack.as_str()));
    }
    with_use(cloud, images).await
}

async fn with_use(cloud: &Cloud, images: Vec<Image>) -> Result<Vec<Kept>> {
    if images.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<String> = images.iter().map(|image| image.id.clone()).collect();
    let snapshots: Vec<String> = images
        .iter()
        .flat_map(|image| image.snapshots.clone())
        .collect();
    let (instances, snapshots) = tokio::try_join!(
        instance::list_using(&cloud.aws, &ids),
        snapshot::find(&cloud.aws, &snapshots)
    )?;
    let bytes: BTreeMap<String, u64> = snapshots
        .into_iter()
        .filter_map(|one| Some((one.id, one.bytes?)))
        .collect();
    Ok(images
        .into_iter()
        .map(|image| {
            let stored: Vec<u64> = image
                .snapshots
                .iter()
                .filter_map(|id| bytes.get(id).copied())
                .collect();
            let used_by = instances
                .iter()
                .filter(|one| one.image_id == image.id)
                .map(|one| one.id.clone())
                .collect();
            let bytes = (!stored.is_empty()).then(|| stored.iter().sum());
            Kept::new(image, bytes, used_by)
        })
        .collect())
}

/// A table.
pub fn text(images: &[Kept]) -> String {
    if images.is_empty() {
        return "There is no image: `muck bake` makes one".to_owned();
    }
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header([
            "IMAGE",
            "NAME",
            "ARCH",
            "STATE",
            "CREATED",
            "STORED",
            "INSTANCES",
            "MANIFEST",
        ]);
    for one in images {
        table.add_row([
            one.id.clone(),
            printable_short(&one.name, 70),
            one.architecture.clone(),
            one.state.clone(),
            one.created
                .map(|time| time.strftime("%Y-%m-%d %H:%M").to_string())
                .unwrap_or_default(),
            stored(one),
            one.used_by.len().to_string(),
            short(one.manifest.as_deref()),
        ]);
    }
    for column in [5, 6] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

fn stored(one: &Kept) -> String {
    one.bytes
        .map_or("?".to_owned(), |bytes| BinaryBytes(bytes).to_string())
}

/// As many digits as tell two sums apart; foreign text.
fn short(sum: Option<&str>) -> String {
    sum.map_or("-".to_owned(), |sum| {
        printable_short(sum.get(..12).unwrap_or(sum), 12)
    })
}

/// One image with the report of its bake.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    #[serde(flatten)]
    pub kept: Kept,
    /// `None`: it is not at hand on this machine.
    pub report: Option<Report>,
}

impl Shown {
    /// For people.
    pub fn text(&self) -> String {
        let one = &self.kept;
        let word = |text: Option<&str>| printable_short(text.unwrap_or("-"), 70);
        let mut lines = vec![
            format!(
                "image         {} ({})",
                one.id,
                printable_short(&one.name, 70)
            ),
            format!("state         {}", one.state),
            format!("architecture  {}", one.architecture),
            format!("stack         {}", word(Some(&one.stack))),
            format!("recipe        {}", word(one.recipe.as_deref())),
            format!("manifest      {}", word(one.manifest.as_deref())),
            format!("baked by      {}", word(one.tool.as_deref())),
            format!(
                "stored        {} in {}",
                stored(one),
                one.snapshots.join(", ")
            ),
            format!(
                "instances     {}",
                if one.used_by.is_empty() {
                    "none".to_owned()
                } else {
                    one.used_by.join(", ")
                }
            ),
        ];
        if let Some(created) = one.created {
            lines.insert(2, format!("created       {created}"));
        }
        match &self.report {
            Some(report) => {
                lines.push(format!(
                    "base          {}",
                    printable_short(&report.base, 100)
                ));
                lines.extend(bake::contents(report));
            }
            None => lines.push(
                "The bake's report is in the image: --report, --manifest, --log or --sbom fetch it"
                    .to_owned(),
            ),
        }
        lines.join("\n")
    }
}

/// Which of an image's papers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paper {
    /// All, as JSON.
    Report,
    /// The manifest's text.
    Manifest,
    /// What the script said.
    Log,
    /// SPDX 2.3 as JSON.
    Sbom,
}

/// The image with this id, and its report if that is at hand.
///
/// # Errors
/// If it is none of ours.
pub async fn show(cloud: &Cloud, id: &str) -> Result<Shown> {
    let image = ours(cloud, id).await?;
    let report = papers::at_hand(&image);
    let mut kept = with_use(cloud, vec![image]).await?;
    kept.pop()
        .map(|kept| Shown { kept, report })
        .ok_or_else(|| Error::failed(format!("image {id} has vanished")))
}

/// One of the papers as text, fetched out of the image if need be.
pub async fn paper(
    cloud: &Cloud,
    id: &str,
    paper: Paper,
    cancel: impl Future<Output = ()>,
) -> Result<String> {
    let image = ours(cloud, id).await?;
    let report = bake::cleaning_up(cloud, cancel, async |made: &Made| {
        papers::of(cloud, made, &image).await
    })
    .await?;
    let json = |value: serde_json::Result<String>| {
        value.map_err(|error| Error::failed("cannot write JSON").because(error))
    };
    match paper {
        Paper::Report => json(serde_json::to_string_pretty(&report)),
        Paper::Manifest => Ok(report.manifest.text().trim_end().to_owned()),
        Paper::Log => Ok(report.log.join("\n")),
        Paper::Sbom => {
            let created = image.created.unwrap_or(Timestamp::UNIX_EPOCH);
            let document = sbom::document(&image.name, created, &report);
            json(serde_json::to_string_pretty(&document))
        }
    }
}

/// The image, if a bake of ours made it.
pub(super) async fn ours(cloud: &Cloud, id: &str) -> Result<Image> {
    let images = image::list_of_all(&cloud.aws).await?;
    images
        .into_iter()
        .find(|image| image.id == id)
        .ok_or_else(|| {
            Error::new(
                Kind::Failed,
                format!("no image {id} was baked by muck in {}", cloud.aws.region),
            )
            .hint("muck images ls lists those that were")
        })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An image baked on that day of January.
    pub(in crate::image) fn sample(
        id: &str,
        day: u32,
        architecture: &str,
        used_by: &[&str],
    ) -> Kept {
        let created = format!("2026-01-{day:02}T03:04:05Z").parse().expect("time");
        let image = Image {
            id: id.to_owned(),
            name: format!("muck-demo-0123456789ab-202601{day:02}T030405Z"),
            owner: "000000000000".into(),
            state: "available".into(),
            architecture: architecture.into(),
            created: Some(created),
            root_device: "/dev/xvda".into(),
            snapshots: vec![id.replace("ami", "snap")],
            volume_size: Some(16),
            boot_mode: None,
            tags: BTreeMap::from([
                (TAG_STACK.to_owned(), "demo".to_owned()),
                (TAG_MANIFEST.to_owned(), "0123456789abcdef".repeat(4)),
                (TAG_TOOL.to_owned(), "muck 0.1.0".to_owned()),
            ]),
        };
        let used_by = used_by.iter().map(|&id| id.to_owned()).collect();
        Kept::new(image, Some(477 << 20), used_by)
    }

    #[test]
    fn the_list_reads_well() {
        let images = [
            sample("ami-2", 2, "arm64", &[]),
            sample("ami-1", 1, "x86_64", &["i-1", "i-2"]),
        ];
        insta::assert_snapshot!(text(&images));
        assert!(text(&[]).contains("muck bake"));
    }

    #[test]
    fn one_image_reads_well() {
        let kept = sample("ami-1", 1, "x86_64", &["i-1"]);
        insta::assert_snapshot!(Shown { kept, report: None }.text());
    }
}

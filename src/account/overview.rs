//! `muck ls`: all stacks of the account in one region.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets::NOTHING};
use futures::future::join_all;
use futures::stream::{self, StreamExt as _};
use jiff::Timestamp;
use serde::Serialize;

use super::cost::{Standing, prices_of};
use super::expired::{end_of_stack, last_of_run};
use super::listing::{Listing, is_of};
use super::row::{Group, HEADINGS, Messages, Row, State, Stored};
use crate::batch::prices::{PriceList, Prices};
use crate::cloud::Cloud;
use crate::error::Error;
use crate::lifetime::OnExpiry;
use crate::names::{ResourceKind, StackName};
use crate::resources::{Presence, bucket_contents, queue};
use crate::stack::inventory::Presences;

/// Stacks looked at beside each other, with up to 13 calls each.
const PARALLEL: usize = 8;

/// All stacks of the account in the region.
#[derive(Debug, Serialize)]
pub struct Overview {
    pub account: String,
    pub region: String,
    /// Date of the price list.
    pub prices_of: String,
    pub taken: Timestamp,
    pub stacks: Vec<Row>,
    /// Lists that could not be had.
    pub unknown: Vec<String>,
}

/// Looks at all stacks. Never fails: what could not be seen is told.
pub async fn overview(cloud: &Cloud) -> Overview {
    let now = Timestamp::now();
    let listing = Listing::take(&cloud.aws).await;
    let prices = prices_of(cloud);
    let rows: Vec<Option<Row>> = stream::iter(listing.stacks())
        .map(|stack| {
            let listing = &listing;
            async move { row(cloud, listing, &stack, prices, now).await }
        })
        .buffered(PARALLEL)
        .collect()
        .await;
    Overview {
        account: cloud.aws.account.clone(),
        region: cloud.aws.region.clone(),
        prices_of: PriceList::builtin().date.clone(),
        taken: now,
        stacks: rows.into_iter().flatten().collect(),
        unknown: listing.errors.iter().map(Error::chain).collect(),
    }
}

/// `None`: nothing that has its name carries its tags, and nothing else is there.
pub(super) async fn row(
    cloud: &Cloud,
    listing: &Listing,
    stack: &StackName,
    prices: Option<&Prices>,
    now: Timestamp,
) -> Option<Row> {
    let cloud = cloud.of_stack(stack);
    let kinds = listing.kinds(stack);
    let mut unknown = Vec::new();
    let mut named: BTreeMap<ResourceKind, Presence> = BTreeMap::new();
    for (kind, look) in Presences::look_at_some(&cloud.aws, &cloud.names, &kinds).await {
        match look {
            Ok(Some(presence)) if presence.belongs_to(stack, &cloud.names.region) => {
                named.insert(kind, presence);
            }
            // Not ours, another region's, or gone meanwhile.
            Ok(_) => {}
            Err(error) => unknown.push(error.chain()),
        }
    }
    let (messages, stored) = tokio::join!(messages(&cloud, &named), stored(&cloud, &named));
    let mut standing = Standing {
        instances: of(&listing.instances, stack, |one| &one.tags),
        volumes: of(&listing.volumes, stack, |one| &one.tags),
        snapshots: of(&listing.snapshots, stack, |one| &one.tags),
        stored_bytes: 0,
    };
    let images = of(&listing.images, stack, |one| &one.tags);
    let loose = standing.snapshots.iter();
    let loose = loose.filter(|one| !listing.is_under_an_image(one)).count();
    let pieces = standing.instances.len() + standing.volumes.len() + loose;
    if named.is_empty() && unknown.is_empty() && pieces + images.len() == 0 {
        return None;
    }
    let (stored, errors) = stored;
    unknown.extend(errors);
    let (messages, errors) = messages;
    unknown.extend(errors);
    standing.stored_bytes = stored.map_or(0, |stored| stored.bytes);
    let on_expiry = agreed(named.values());
    let end = end_of_stack(listing, stack, named.values().map(|one| &one.tags));
    let expires = match end {
        Some(end) => Some(last_of_run(&cloud, on_expiry, end).await),
        None => None,
    };
    let missing = ResourceKind::STACK
        .into_iter()
        .filter(|kind| *kind != ResourceKind::Topic && !named.contains_key(kind))
        .collect::<Vec<_>>();
    let state = match (named.is_empty(), pieces) {
        (false, _) if missing.is_empty() => State::Up,
        (false, _) => State::Partly,
        (true, 0) if !images.is_empty() => State::Image,
        (true, _) => State::Remains,
    };
    let created = named
        .keys()
        .filter_map(|kind| *listing.named.get(stack)?.get(kind)?)
        .chain(standing.instances.iter().filter_map(|one| one.launched))
        .chain(images.iter().filter_map(|one| one.created))
        .chain(standing.snapshots.iter().filter_map(|one| one.started))
        .min();
    let an_hour = prices.map(|prices| {
        let mut hourly = standing.an_hour(prices);
        hourly.at_least |= stored.is_some_and(|stored| stored.at_least);
        hourly
    });
    Some(Row {
        stack: stack.clone(),
        state,
        created,
        expires,
        expired: expires.is_some_and(|end| end < now),
        on_expiry,
        instances: groups(&standing),
        messages,
        stored,
        volumes: standing.volumes.len(),
        images: images.len(),
        snapshots: loose,
        missing: if named.is_empty() {
            Vec::new()
        } else {
            missing
        },
        an_hour,
        unknown,
    })
}

async fn messages(
    cloud: &Cloud,
    named: &BTreeMap<ResourceKind, Presence>,
) -> (Option<Messages>, Vec<String>) {
    let kinds = [
        ResourceKind::InputQueue,
        ResourceKind::OutputQueue,
        ResourceKind::FailedQueue,
    ];
    let depths = kinds.map(|kind| async move {
        let presence = named.get(&kind)?;
        let name = cloud.names.of(kind);
        Some((kind, queue::depth(&cloud.aws, &name, &presence.id).await))
    });
    let (mut messages, mut unknown) = (None, Vec::new());
    for (kind, depth) in join_all(depths).await.into_iter().flatten() {
        let depth = match depth {
            Ok(depth) => depth.unwrap_or_default(),
            Err(error) => {
                unknown.push(error.chain());
                continue;
            }
        };
        let all: &mut Messages = messages.get_or_insert_default();
        match kind {
            ResourceKind::InputQueue => {
                all.waiting = depth.visible;
                all.in_work = depth.in_flight;
            }
            ResourceKind::OutputQueue => all.results = depth.visible + depth.in_flight,
            _ => all.dead = depth.visible + depth.in_flight,
        }
    }
    (messages, unknown)
}

/// One call a bucket: whoever has millions of objects need not wait for them to be counted.
async fn stored(
    cloud: &Cloud,
    named: &BTreeMap<ResourceKind, Presence>,
) -> (Option<Stored>, Vec<String>) {
    let kinds = [ResourceKind::InputBucket, ResourceKind::OutputBucket];
    let glances = kinds.map(|kind| async move {
        let presence = named.get(&kind)?;
        Some(bucket_contents::glance(&cloud.aws, &presence.id).await)
    });
    let (mut stored, mut unknown) = (None, Vec::new());
    for glance in join_all(glances).await.into_iter().flatten() {
        match glance {
            Ok((contents, more)) => {
                let all: &mut Stored = stored.get_or_insert_default();
                all.objects += contents.objects;
                all.bytes += contents.bytes;
                all.at_least |= more;
            }
            Err(error) => unknown.push(error.chain()),
        }
    }
    (stored, unknown)
}

fn of<'a, T>(
    all: &'a [T],
    stack: &StackName,
    tags: impl Fn(&T) -> &crate::resources::Tags,
) -> Vec<&'a T> {
    all.iter().filter(|one| is_of(tags(one), stack)).collect()
}

/// What all its things agree on; where they do not, the most careful.
pub(super) fn agreed<'a>(named: impl IntoIterator<Item = &'a Presence>) -> OnExpiry {
    let all: Vec<OnExpiry> = named
        .into_iter()
        .map(|one| OnExpiry::of(&one.tags))
        .collect();
    [OnExpiry::Keep, OnExpiry::DeleteButImage, OnExpiry::Delete]
        .into_iter()
        .find(|one| all.contains(one))
        .unwrap_or_default()
}

fn groups(standing: &Standing<'_>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for one in &standing.instances {
        let kind = one.kind().unwrap_or_default();
        let same = groups.iter_mut().find(|group| {
            (
                group.kind.as_str(),
                group.instance_type.as_str(),
                group.state,
            ) == (kind, one.instance_type.as_str(), one.state)
        });
        match same {
            Some(group) => group.count += 1,
            None => groups.push(Group {
                kind: kind.to_owned(),
                instance_type: one.instance_type.clone(),
                state: one.state,
                count: 1,
            }),
        }
    }
    groups
}

impl Overview {
    /// For a terminal.
    pub fn text(&self) -> String {
        let (region, account) = (&self.region, &self.account);
        if self.stacks.is_empty() {
            return format!("no stacks in {region} (account {account})");
        }
        let mut table = Table::new();
        table
            .load_style(NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled);
        table.add_row(HEADINGS);
        for row in &self.stacks {
            table.add_row(row.cells(self.taken));
        }
        if let Some(column) = table.column_mut(HEADINGS.len() - 1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
            .lines()
            .map(|line| line.trim().to_owned())
            .collect::<Vec<_>>()
            .join("\n")
    }
}

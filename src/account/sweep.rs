//! The third switch: whatever command is run, on whichever machine, what has expired is looked for
//! beside it and removed.
//!
//! Removed unasked: instances, volumes and half-made snapshots past their own end, and stacks that were
//! made for one run. A stack that `up` made is told of and left: results may lie in its buckets. What
//! fails here fails in silence: it is not what the user asked for, and the next command tries again.

use std::time::Duration;

use jiff::Timestamp;
use muck_worker::text::printable_short;

use super::expired::{Forgotten, end_of_stack, is_past};
use super::listing::Listing;
use super::overview::{agreed, row};
use super::{between, roughly};
use crate::batch::prices::PriceList;
use crate::cloud::Cloud;
use crate::error::Result;
use crate::event::Events;
use crate::lifetime::{OnExpiry, expiry_of};
use crate::names::{ResourceKind, StackName};
use crate::resources::ec2_tags;
use crate::resources::{Tags, instance, snapshot, volume};
use crate::stack::inventory::Presences;
use crate::stack::survey::{Depths, Survey};
use crate::stack::{Confirmed, DownOptions, teardown};

/// How long a command that is done waits for its sweep. Listing takes a second or two; the teardown
/// of a left-over stack takes SQS a minute to forget its queues.
pub const PATIENCE: Duration = Duration::from_secs(100);

/// What the command does with its own stack meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// Makes, uses up or removes things in it: nothing of it is touched.
    Changed,
    /// Only looks: pieces past their own end go, the stack itself stays.
    LookedAt,
}

/// Looks for what has expired, removes what may go, and tells both.
pub async fn sweep(cloud: &Cloud, own: Own) {
    let now = Timestamp::now();
    let listing = Listing::take(&cloud.aws).await;
    for error in &listing.errors {
        tracing::debug!(error = error.chain(), "the sweep does not see everything");
    }
    let spared = (own == Own::Changed).then_some(&cloud.names.stack);
    let forgotten = Forgotten::find(&listing, now, spared);
    if !forgotten.is_empty() {
        remove(cloud, &forgotten, now).await;
    }
    for stack in listing.named.keys() {
        let is_own = *stack == cloud.names.stack;
        if !is_own || own == Own::LookedAt {
            look_at(cloud, &listing, stack, is_own, now).await;
        }
    }
}

async fn remove(cloud: &Cloud, forgotten: &Forgotten, now: Timestamp) {
    let tell = |what: &str, id: &str, tags: &Tags| {
        let stack = ec2_tags::stack(tags).map_or_else(String::new, |stack| stack.to_string());
        let ago = expiry_of(tags).map_or_else(String::new, |end| roughly(between(end, now)));
        cloud.events.note(format!(
            "swept: {what} {id} of stack {stack}, expired {ago} ago"
        ));
    };
    let instances: Vec<String> = forgotten
        .instances
        .iter()
        .map(|one| one.id.clone())
        .collect();
    match instance::terminate(&cloud.aws, &instances).await {
        Ok(()) => {
            for one in &forgotten.instances {
                let kind = one.kind().unwrap_or("instance");
                let what = format!("{} {}", printable_short(kind, 12), one.instance_type);
                tell(&what, &one.id, &one.tags);
            }
        }
        Err(error) => left(&error),
    }
    for one in &forgotten.volumes {
        match volume::delete(&cloud.aws, &one.id).await {
            Ok(()) => tell(&format!("volume of {} GiB", one.size), &one.id, &one.tags),
            Err(error) => left(&error),
        }
    }
    for one in &forgotten.snapshots {
        match snapshot::delete(&cloud.aws, &one.id).await {
            Ok(()) => tell("snapshot without an image", &one.id, &one.tags),
            Err(error) => left(&error),
        }
    }
}

fn left(error: &crate::error::Error) {
    tracing::debug!(error = error.chain(), "the sweep leaves something");
}

/// Judges a stack by one of its things; only what that shows as expired is looked at closely.
async fn look_at(
    cloud: &Cloud,
    listing: &Listing,
    stack: &StackName,
    is_own: bool,
    now: Timestamp,
) {
    let other = cloud.of_stack(stack);
    let Some(kind) = witness(listing, stack) else {
        return;
    };
    let looks = Presences::look_at_some(&other.aws, &other.names, &[kind]).await;
    let Some((_, Ok(Some(presence)))) = looks.into_iter().next() else {
        return;
    };
    let end = end_of_stack(listing, stack, [&presence.tags]);
    let is_ours = presence.belongs_to(stack, &other.names.region);
    if !is_ours || !end.is_some_and(|end| is_past(end, now)) {
        return;
    }
    match OnExpiry::of(&presence.tags) {
        OnExpiry::Delete | OnExpiry::DeleteButImage if !is_own => {
            if let Err(error) = tear_down(cloud, &other, listing, now).await {
                left(&error);
            }
        }
        _ => tell_kept(cloud, &other, listing, now).await,
    }
}

/// Which of the stack's things is asked for the stack's end: the buckets first, because they are
/// what a stack is kept for, and what the end of a deletion takes longest.
fn witness(listing: &Listing, stack: &StackName) -> Option<ResourceKind> {
    let order = [
        ResourceKind::OutputBucket,
        ResourceKind::InputBucket,
        ResourceKind::Role,
    ];
    let kinds = listing.kinds(stack);
    let first = order.into_iter().find(|kind| kinds.contains(kind));
    first.or_else(|| kinds.first().copied())
}

/// Deletes a stack that was made for one run, if all of it says so and all of it has expired.
async fn tear_down(cloud: &Cloud, other: &Cloud, listing: &Listing, now: Timestamp) -> Result<()> {
    // Its events would be lost among those of the command.
    let quiet = Cloud {
        events: Events::channel().0,
        ..other.clone()
    };
    let stack = &other.names.stack;
    let survey = Survey::take(&quiet, Depths::Bare).await;
    let end = end_of_stack(listing, stack, survey.named.values().map(|one| &one.tags));
    let live = survey
        .instances
        .iter()
        .filter_map(crate::resources::instance::Instance::expires);
    let Some(end) = end.max(live.max()).filter(|end| is_past(*end, now)) else {
        return Ok(());
    };
    let options = match agreed(survey.named.values()) {
        OnExpiry::Keep => {
            tell_kept(cloud, other, listing, now).await;
            return Ok(());
        }
        on_expiry => DownOptions {
            keep_data: false,
            keep_image: on_expiry == OnExpiry::DeleteButImage,
        },
    };
    let ago = roughly(between(end, now));
    cloud.events.note(format!(
        "sweeping stack {stack}, which a run left behind and which expired {ago} ago"
    ));
    let confirmed = Confirmed::by_expiry();
    let report = Box::pin(teardown::delete(&quiet, &survey, options, confirmed)).await?;
    let left = match report.left.len() {
        0 => "nothing is left".to_owned(),
        count => format!("{count} are left: {}", other.down_command()),
    };
    cloud.events.note(format!(
        "swept: stack {stack}, {} things deleted, {left}",
        report.deleted.len()
    ));
    Ok(())
}

async fn tell_kept(cloud: &Cloud, other: &Cloud, listing: &Listing, now: Timestamp) {
    let prices = PriceList::builtin().of(&cloud.aws.region, cloud.aws.endpoint.is_none());
    let prices = prices.map(|(_, prices)| prices);
    let Some(row) = row(other, listing, &other.names.stack, prices, now).await else {
        return;
    };
    // All of it, not the one thing that was asked.
    let Some(end) = row.expires.filter(|end| is_past(*end, now)) else {
        return;
    };
    let age = row.created.map_or_else(String::new, |created| {
        format!("is {} old and ", roughly(between(created, now)))
    });
    let cost = match row.an_hour.map(super::cost::Hourly::text).as_deref() {
        None | Some("-") => "costs next to nothing".to_owned(),
        Some(cost) => format!("costs {cost} an hour"),
    };
    cloud.events.note(format!(
        "stack {} expired {} ago, {age}{cost}. It may hold results, so it is not deleted unasked: {}",
        row.stack,
        roughly(between(end, now)),
        other.down_command()
    ));
}

//! The third switch: whatever command is run, on whichever machine, what has expired is looked for
//! beside it and removed.
//!
//! Removed unasked: instances, volumes and half-made snapshots past their own end, and stacks that were
//! made for one run; where such a stack holds converted files, its instances and images first, and the files later. A stack that `up` made is told of and left: results may lie in its buckets. What
//! fails here fails in silence: it is not what the user asked for, and the next command tries again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use muck_worker::text::{printable_short, quantity_of};

use super::cost::{Hourly, prices_of};
use super::expired::{Forgotten, end_of_stack, is_past, last_of_run};
use super::listing::Listing;
use super::overview::{agreed, row};
use super::{between, roughly};
use crate::cloud::Cloud;
use crate::error::Result;
use crate::event::Events;
use crate::lifetime::{OnExpiry, expiry_of};
use crate::names::{ResourceKind, StackName};
use crate::resources::ec2_tags;
use crate::resources::instance::Instance;
use crate::resources::{Tags, instance, snapshot, volume};
use crate::stack::inventory::Presences;
use crate::stack::survey::{Depths, Survey, Thing, keeps};
use crate::stack::{Confirmed, DownOptions, teardown};

/// The command's own first calls go first: a processor that is busy with the sweep's would delay them.
const HEAD_START: Duration = Duration::from_millis(50);
/// How long a command that is done waits for its sweep to look: that takes a second or two.
pub const LOOKING: Duration = Duration::from_secs(5);
/// How much longer if the sweep removes something: it takes SQS a minute to forget a stack's queues.
pub const REMOVING: Duration = Duration::from_secs(100);

/// What the command does with its own stack meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// Makes, uses up or removes things in it: nothing of it is touched.
    Changed,
    /// Only looks: pieces past their own end go, the stack itself stays.
    LookedAt,
}

/// Looks for what has expired, removes what may go, and tells both. `removing` is set when there is
/// something to be removed.
pub async fn sweep(cloud: &Cloud, own: Own, removing: &AtomicBool) {
    tokio::time::sleep(HEAD_START).await;
    let now = Timestamp::now();
    let listing = Listing::take(&cloud.aws).await;
    for error in &listing.errors {
        tracing::debug!(error = error.chain(), "the sweep does not see everything");
    }
    let spared = (own == Own::Changed).then_some(&cloud.names.stack);
    let forgotten = Forgotten::find(&listing, now, spared);
    if !forgotten.is_empty() {
        removing.store(true, Ordering::Relaxed);
        remove(cloud, &forgotten, now).await;
    }
    for stack in listing.named.keys() {
        let is_own = *stack == cloud.names.stack;
        if !is_own || own == Own::LookedAt {
            let sweep = Sweep {
                cloud,
                other: cloud.of_stack(stack),
                listing: &listing,
                now,
                removing,
            };
            sweep.look_at(is_own).await;
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

/// A stack that is looked at, from beside the command's own.
struct Sweep<'a> {
    cloud: &'a Cloud,
    other: Cloud,
    listing: &'a Listing,
    now: Timestamp,
    removing: &'a AtomicBool,
}

impl Sweep<'_> {
    fn stack(&self) -> &StackName {
        &self.other.names.stack
    }

    /// Judges a stack by one of its things; only what that shows as expired is looked at closely.
    async fn look_at(&self, is_own: bool) {
        let Some(kind) = witness(self.listing, self.stack()) else {
            return;
        };
        let (aws, names) = (&self.other.aws, &self.other.names);
        let Ok(Some(presence)) = Presences::look_at(aws, names, kind).await else {
            return;
        };
        let end = end_of_stack(self.listing, self.stack(), [&presence.tags]);
        let is_ours = presence.belongs_to(self.stack(), &names.region);
        if !is_ours || !end.is_some_and(|end| is_past(end, self.now)) {
            return;
        }
        match OnExpiry::of(&presence.tags) {
            OnExpiry::Delete | OnExpiry::DeleteButImage if !is_own => {
                if let Err(error) = self.tear_down().await {
                    left(&error);
                }
            }
            _ => self.tell_kept().await,
        }
    }

    /// Deletes a stack that was made for one run, if all of it says so and all of it has expired.
    async fn tear_down(&self) -> Result<()> {
        // Its events would be lost among those of the command.
        let quiet = Cloud {
            events: Events::channel().0,
            ..self.other.clone()
        };
        let survey = Survey::take(&quiet, Depths::Bare).await;
        let named = survey.named.values().map(|one| &one.tags);
        let end = end_of_stack(self.listing, self.stack(), named);
        let live = survey.instances.iter().filter_map(Instance::expires).max();
        let Some(end) = end.max(live).filter(|end| is_past(*end, self.now)) else {
            return Ok(());
        };
        let on_expiry = agreed(survey.named.values());
        if on_expiry == OnExpiry::Keep {
            self.tell_kept().await;
            return Ok(());
        }
        let last = last_of_run(&self.other, on_expiry, end).await;
        let options = DownOptions {
            keep_image: on_expiry == OnExpiry::DeleteButImage,
            keep_stack: !is_past(last, self.now),
            ..DownOptions::default()
        };
        if options.keep_stack {
            return self.end_compute(&quiet, &survey, options, last).await;
        }
        self.removing.store(true, Ordering::Relaxed);
        let ago = roughly(between(end, self.now));
        self.cloud.events.note(format!(
            "sweeping stack {}, which a run left behind and which expired {ago} ago",
            self.stack()
        ));
        let confirmed = Confirmed::by_expiry();
        let report = Box::pin(teardown::delete(&quiet, &survey, options, confirmed)).await?;
        let left = match report.left.len() {
            0 => "nothing is left".to_owned(),
            count => format!("{count} are left: {}", self.other.down_command()),
        };
        self.cloud.events.note(format!(
            "swept: stack {}, {} deleted, {left}",
            self.stack(),
            quantity_of(&report.deleted, "resource")
        ));
        Ok(())
    }

    /// Deletes what computes of a stack in which a run that died left converted files, and keeps these until `last`.
    async fn end_compute(
        &self,
        quiet: &Cloud,
        survey: &Survey,
        options: DownOptions,
        last: Timestamp,
    ) -> Result<()> {
        let computes = |thing: &Thing| !keeps(options, thing.kind);
        if survey.things(quiet).iter().any(computes) {
            self.removing.store(true, Ordering::Relaxed);
            let confirmed = Confirmed::by_expiry();
            Box::pin(teardown::delete(quiet, survey, options, confirmed)).await?;
        }
        self.cloud.events.note(format!(
            "stack {}, which a run left behind, has expired and holds converted files. It is kept for {} more: to fetch \
             them: {}; to delete it: {}",
            self.stack(),
            roughly(between(self.now, last)),
            self.other.command("resume"),
            self.other.down_command()
        ));
        Ok(())
    }

    async fn tell_kept(&self) {
        let region = &self.cloud.aws.region;
        let prices = prices_of(self.cloud);
        let (listing, now) = (self.listing, self.now);
        let Some(row) = row(&self.other, listing, self.stack(), prices, now).await else {
            return;
        };
        // All of it, not the one thing that was asked.
        let Some(end) = row.expires.filter(|end| is_past(*end, now)) else {
            return;
        };
        let age = row.created.map_or_else(String::new, |created| {
            format!("is {} old and ", roughly(between(created, now)))
        });
        let cost = match row.an_hour.map(Hourly::text).as_deref() {
            None => format!("has an unknown cost (no prices for {region})"),
            Some("-") => "costs next to nothing".to_owned(),
            Some(cost) => format!("costs {cost} an hour"),
        };
        self.cloud.events.note(format!(
            "stack {} expired {} ago, {age}{cost}. It may hold results, so it is not deleted unasked: {}",
            row.stack,
            roughly(between(end, now)),
            self.other.down_command()
        ));
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

//! What is past its time. The clock is passed in.

use std::time::Duration;

use futures::future::try_join_all;
use jiff::Timestamp;

use super::listing::{Listing, is_of};
use super::overview::agreed;
use crate::cloud::Cloud;
use crate::error::Result;
use crate::lifetime::{OUTPUTS_STAY, OnExpiry, expiry_of};
use crate::names::StackName;
use crate::resources::instance::Instance;
use crate::resources::snapshot::Snapshot;
use crate::resources::volume::Volume;
use crate::resources::{Tags, ec2_tags};
use crate::stack;
use crate::stack::inventory::Presences;

/// Clocks differ, and a guest powers itself off up to a minute late and takes its time for it:
/// only what is past its end for longer was really forgotten.
const GRACE: Duration = Duration::from_mins(5);

/// Whether something that ends at `end` was forgotten.
pub fn is_past(end: Timestamp, now: Timestamp) -> bool {
    end + GRACE < now
}

fn is_over(tags: &Tags, now: Timestamp) -> bool {
    expiry_of(tags).is_some_and(|end| is_past(end, now))
}

/// The last of the ends that these tags tell.
pub fn last_end<'a>(tags: impl IntoIterator<Item = &'a Tags>) -> Option<Timestamp> {
    tags.into_iter().filter_map(expiry_of).max()
}

/// Pieces of EC2 that any `muck` removes: each has an end of its own, and nothing is in them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    pub instances: Vec<Instance>,
    pub volumes: Vec<Volume>,
    /// Half-made: no image stands on them.
    pub snapshots: Vec<Snapshot>,
}

impl Forgotten {
    /// Finds them; `spared` is the stack that is being worked on.
    pub fn find(listing: &Listing, now: Timestamp, spared: Option<&StackName>) -> Self {
        let goes = |tags: &Tags| {
            ec2_tags::stack(tags).is_some_and(|stack| Some(&stack) != spared) && is_over(tags, now)
        };
        let instances = listing.instances.iter();
        // One that is attached goes with its instance.
        let volumes = listing
            .volumes
            .iter()
            .filter(|one| one.state == "available");
        let snapshots = listing
            .snapshots
            .iter()
            .filter(|one| listing.images_known && !listing.is_under_an_image(one));
        Self {
            instances: instances
                .filter(|one| !one.state.is_ending() && goes(&one.tags))
                .cloned()
                .collect(),
            volumes: volumes.filter(|one| goes(&one.tags)).cloned().collect(),
            snapshots: snapshots.filter(|one| goes(&one.tags)).cloned().collect(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.instances.is_empty() && self.volumes.is_empty() && self.snapshots.is_empty()
    }
}

/// When a stack ends: with the last of its own things and its live instances; what is left of one
/// that has none of those, with the last of that. `None`: never (an image is kept until asked for).
pub fn end_of_stack<'a>(
    listing: &Listing,
    stack: &StackName,
    named: impl IntoIterator<Item = &'a Tags>,
) -> Option<Timestamp> {
    let instances = listing.instances.iter();
    let live = instances.filter(|one| is_of(&one.tags, stack) && !one.state.is_ending());
    let live = last_end(live.map(|one| &one.tags));
    last_end(named).max(live).or_else(|| {
        let volumes = listing.volumes.iter().map(|one| &one.tags);
        let loose = listing.snapshots.iter();
        let loose = loose.filter(|one| listing.images_known && !listing.is_under_an_image(one));
        let rest = volumes.chain(loose.map(|one| &one.tags));
        last_end(rest.filter(|tags| is_of(tags, stack)))
    })
}

/// When the stack of a run may be deleted: at its end or, where converted files are stored in it which may not have been
/// fetched, [`OUTPUTS_STAY`] later. What can't be seen counts as stored.
pub async fn last_of_run(cloud: &Cloud, on_expiry: OnExpiry, end: Timestamp) -> Timestamp {
    if on_expiry != OnExpiry::Keep && stack::may_hold_outputs(cloud).await {
        end + OUTPUTS_STAY
    } else {
        end
    }
}

/// All stacks that have expired (without the sweep's grace: whoever asks is there to see), and when.
///
/// # Errors
/// If one of them cannot be looked at: it might be one that goes on.
pub async fn expired_stacks(
    cloud: &Cloud,
    listing: &Listing,
    now: Timestamp,
) -> Result<Vec<(StackName, Timestamp)>> {
    let all = listing.stacks().into_iter().map(|stack| async move {
        let kinds = listing.kinds(&stack);
        let place = cloud.of_stack(&stack);
        let mut named = Vec::new();
        for (_, look) in Presences::look_at_some(&place.aws, &place.names, &kinds).await {
            let ours = look?.filter(|one| one.belongs_to(&stack, &place.names.region));
            named.extend(ours);
        }
        let tags = named.iter().map(|one| &one.tags);
        let end = end_of_stack(listing, &stack, tags).filter(|end| *end < now);
        let Some(end) = end else {
            return Ok(None);
        };
        let last = last_of_run(&place, agreed(&named), end).await;
        Ok((last < now).then_some((stack, end)))
    });
    try_join_all(all)
        .await
        .map(|all| all.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{TAG_EXPIRES, TAG_STACK};
    use crate::resources::image::Image;
    use crate::resources::instance::InstanceState;
    use crate::resources::instance::tests::instance;

    const NOW: &str = "2026-01-02T12:00:00Z";

    fn now() -> Timestamp {
        NOW.parse().expect("time")
    }

    fn stack(name: &str) -> StackName {
        name.parse().expect("valid")
    }

    fn tags(stack: &str, end: Option<&str>) -> Tags {
        let end = end.map(|end| (TAG_EXPIRES.to_owned(), end.to_owned()));
        [(TAG_STACK.to_owned(), stack.to_owned())]
            .into_iter()
            .chain(end)
            .collect()
    }

    fn volume(id: &str, state: &str, tags: Tags) -> Volume {
        Volume {
            id: id.into(),
            state: state.into(),
            size: 8,
            volume_type: "gp3".into(),
            instance: None,
            tags,
        }
    }

    fn snapshot(id: &str, tags: Tags) -> Snapshot {
        Snapshot {
            id: id.into(),
            volume: None,
            state: "completed".into(),
            progress: None,
            volume_size: Some(8),
            bytes: None,
            started: None,
            tags,
        }
    }

    fn image_on(snapshot: &str) -> Image {
        Image {
            id: "ami-1".into(),
            owner: String::new(),
            name: "muck-a-1".into(),
            state: "available".into(),
            architecture: "x86_64".into(),
            created: None,
            root_device: "/dev/xvda".into(),
            snapshots: vec![snapshot.into()],
            volume_size: None,
            boot_mode: None,
            tags: tags("a", None),
        }
    }

    const PAST: Option<&str> = Some("2026-01-02T11:00:00Z");
    const JUST: Option<&str> = Some("2026-01-02T11:58:00Z");
    const LATER: Option<&str> = Some("2026-01-02T13:00:00Z");

    fn listing() -> Listing {
        Listing {
            instances: vec![
                instance("i-run", InstanceState::Running, tags("a", PAST)),
                instance("i-stopped", InstanceState::Stopped, tags("a", PAST)),
                instance("i-ending", InstanceState::ShuttingDown, tags("a", PAST)),
                instance("i-just", InstanceState::Running, tags("a", JUST)),
                instance("i-later", InstanceState::Running, tags("a", LATER)),
                instance("i-never", InstanceState::Running, tags("a", None)),
                instance("i-other", InstanceState::Running, tags("b", PAST)),
                instance(
                    "i-foreign",
                    InstanceState::Running,
                    tags("Not A Stack", PAST),
                ),
            ],
            volumes: vec![
                volume("v-free", "available", tags("a", PAST)),
                volume("v-used", "in-use", tags("a", PAST)),
                volume("v-later", "available", tags("a", LATER)),
            ],
            images: vec![image_on("s-image")],
            snapshots: vec![
                snapshot("s-loose", tags("a", PAST)),
                snapshot("s-image", tags("a", PAST)),
            ],
            images_known: true,
            ..Listing::default()
        }
    }

    fn ids(found: &Forgotten) -> Vec<&str> {
        let instances = found.instances.iter().map(|one| one.id.as_str());
        instances
            .chain(found.volumes.iter().map(|one| one.id.as_str()))
            .chain(found.snapshots.iter().map(|one| one.id.as_str()))
            .collect()
    }

    #[test]
    fn only_what_is_long_past_and_nobodys_goes() {
        let mut listing = listing();
        let all = Forgotten::find(&listing, now(), None);
        assert_eq!(
            ids(&all),
            ["i-run", "i-stopped", "i-other", "v-free", "s-loose"]
        );
        let spared = Forgotten::find(&listing, now(), Some(&stack("a")));
        assert_eq!(ids(&spared), ["i-other"]);
        // Without the list of images, every snapshot may be one's.
        listing.images_known = false;
        let all = Forgotten::find(&listing, now(), None);
        assert!(all.snapshots.is_empty());
    }

    #[test]
    fn a_stack_ends_with_its_last_part() {
        let mut listing = listing();
        let end = |listing: &Listing, named: &[Tags]| {
            end_of_stack(listing, &stack("a"), named).map(|end| end.to_string())
        };
        let named = [tags("a", PAST), tags("a", None)];
        // An instance of its own that goes on.
        assert_eq!(end(&listing, &named).as_deref(), LATER);
        listing.instances.clear();
        assert_eq!(end(&listing, &named).as_deref(), PAST);
        assert_eq!(
            end(&listing, &[tags("a", LATER), tags("a", PAST)]).as_deref(),
            LATER
        );
        // Only pieces are left.
        assert_eq!(end(&listing, &[]).as_deref(), LATER);
        listing.volumes.clear();
        assert_eq!(end(&listing, &[]).as_deref(), PAST);
        // Only an image.
        listing.snapshots.remove(0);
        assert_eq!(end(&listing, &[]), None);
        assert!(is_past(PAST.expect("time").parse().expect("time"), now()));
        assert!(!is_past(JUST.expect("time").parse().expect("time"), now()));
    }
}

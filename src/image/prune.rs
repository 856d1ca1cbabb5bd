//! Old images go, with their snapshots: never one that an instance uses, nor the newest of an architecture.

use std::collections::BTreeMap;

use serde::Serialize;

use super::kept::Kept;
use super::papers;
use crate::cloud::Cloud;
use crate::error::{Error, Result};
use crate::event::{Event, Outcome};
use crate::names::ResourceKind;
use crate::resources::{image, instance};
use crate::stack::Confirmed;

/// What a pruning does.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Pruning {
    /// They go.
    pub doomed: Vec<Kept>,
    /// They stay, each with the reason.
    pub staying: Vec<(Kept, &'static str)>,
}

/// Decides: the newest `keep` available images of each architecture stay, and so does whatever is in use
/// or still being made.
pub fn plan(images: Vec<Kept>, keep: usize) -> Pruning {
    let mut images = images;
    images.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
    let mut newest: BTreeMap<String, usize> = BTreeMap::new();
    let mut pruning = Pruning::default();
    for one in images {
        let count = newest.entry(one.architecture.clone()).or_default();
        let is_newest = one.state == "available" && *count < keep;
        *count += usize::from(is_newest);
        if !one.used_by.is_empty() {
            pruning.staying.push((one, "an instance uses it"));
        } else if one.state == "pending" {
            pruning.staying.push((one, "it is being made"));
        } else if is_newest {
            pruning.staying.push((one, "one of the newest"));
        } else {
            pruning.doomed.push(one);
        }
    }
    pruning
}

/// Removes what was planned. Each is looked at once more before it goes: an instance may have been started
/// of it since. Goes on past failures.
///
/// # Errors
/// The first failure; further ones are told as warnings.
pub async fn carry_out(cloud: &Cloud, pruning: &Pruning, _: Confirmed) -> Result<()> {
    let mut failures: Vec<Error> = Vec::new();
    for one in &pruning.doomed {
        if let Err(error) = remove(cloud, one).await {
            failures.push(error);
        }
    }
    let mut failures = failures.into_iter();
    let first = failures.next();
    for other in failures {
        cloud.events.warn(other.chain());
    }
    first.map_or(Ok(()), Err)
}

async fn remove(cloud: &Cloud, one: &Kept) -> Result<()> {
    let using = instance::list_using(&cloud.aws, std::slice::from_ref(&one.id)).await?;
    if let Some(first) = using.first() {
        return Err(Error::failed(format!(
            "image {} is kept: instance {} was started of it just now",
            one.id, first.id
        )));
    }
    image::deregister(&cloud.aws, &one.image).await?;
    papers::forget(&one.image);
    cloud.events.emit(Event::Resource {
        kind: ResourceKind::Image,
        name: format!("{} ({})", one.id, one.name),
        outcome: Outcome::Deleted,
        detail: None,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::kept::tests::sample;
    use super::*;

    fn ids(images: &[Kept]) -> Vec<&str> {
        images.iter().map(|one| one.id.as_str()).collect()
    }

    #[test]
    fn the_newest_of_each_architecture_and_the_used_stay() {
        let mut pending = sample("ami-7", 7, "x86_64", &[]);
        pending.state = "pending".into();
        let mut failed = sample("ami-6", 6, "x86_64", &[]);
        failed.state = "failed".into();
        let images = vec![
            sample("ami-1", 1, "x86_64", &["i-1"]),
            sample("ami-2", 2, "x86_64", &[]),
            sample("ami-3", 3, "x86_64", &[]),
            sample("ami-4", 4, "x86_64", &[]),
            sample("ami-5", 1, "arm64", &[]),
            failed,
            pending,
        ];
        assert_eq!(
            ids(&plan(images.clone(), 1).doomed),
            ["ami-6", "ami-3", "ami-2"]
        );
        assert_eq!(ids(&plan(images.clone(), 2).doomed), ["ami-6", "ami-2"]);
        assert_eq!(
            ids(&plan(images, 0).doomed),
            ["ami-6", "ami-4", "ami-3", "ami-2", "ami-5"]
        );
    }

    proptest! {
        #[test]
        fn no_used_and_no_newest_image_goes(
            days in proptest::collection::vec((1_u32..28, any::<bool>(), any::<bool>()), 0..12),
            keep in 0_usize..4,
        ) {
            let images: Vec<Kept> = days
                .iter()
                .enumerate()
                .map(|(index, (day, arm, used))| {
                    let architecture = if *arm { "arm64" } else { "x86_64" };
                    let users: &[&str] = if *used { &["i-1"] } else { &[] };
                    sample(&format!("ami-{index:02}"), *day, architecture, users)
                })
                .collect();
            let pruning = plan(images.clone(), keep);
            prop_assert_eq!(pruning.doomed.len() + pruning.staying.len(), images.len());
            for gone in &pruning.doomed {
                prop_assert!(gone.used_by.is_empty());
                let newer = images
                    .iter()
                    .filter(|one| one.architecture == gone.architecture && one.id != gone.id)
                    .filter(|one| one.created >= gone.created)
                    .count();
                prop_assert!(newer >= keep, "{} was among the newest {}", gone.id, keep);
            }
        }
    }
}

//! Everything of ours that the account's own lists show, in nine calls beside each other.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::aws::Aws;
use crate::error::{Error, Result};
use crate::names::reading::{self, IAM_ROOT, PREFIX};
use crate::names::{ResourceKind, StackName};
use crate::resources::image::Image;
use crate::resources::instance::Instance;
use crate::resources::snapshot::Snapshot;
use crate::resources::volume::Volume;
use crate::resources::{
    Tags, bucket, ec2_tags, image, instance, instance_profile, queue, role, snapshot, topic, volume,
};

/// A thing with a fixed name, and when it was made if the list tells.
pub type Named = BTreeMap<ResourceKind, Option<Timestamp>>;

/// What the lists show.
#[derive(Debug, Default)]
pub struct Listing {
    /// Not terminated ones.
    pub instances: Vec<Instance>,
    pub volumes: Vec<Volume>,
    pub images: Vec<Image>,
    pub snapshots: Vec<Snapshot>,
    /// By their names alone: whether they carry our tags is not known yet, and roles and profiles
    /// may be of another region's stack.
    pub named: BTreeMap<StackName, Named>,
    /// The images are known: what stands on which snapshot can be told.
    pub images_known: bool,
    /// Lists that could not be had.
    pub errors: Vec<Error>,
}

impl Listing {
    /// Never fails: what could not be listed is in `errors`.
    pub async fn take(aws: &Aws) -> Self {
        let mut listing = Self::default();
        let (instances, volumes, images, snapshots, buckets, queues, roles, profiles, topics) = tokio::join!(
            instance::list_live_of_all(aws),
            volume::list_of_all(aws),
            image::list_of_all(aws),
            snapshot::list_of_all(aws),
            bucket::list(aws, PREFIX),
            queue::list(aws, PREFIX),
            role::list(aws, IAM_ROOT),
            instance_profile::list(aws, IAM_ROOT),
            topic::list(aws),
        );
        listing.images_known = images.is_ok();
        listing.instances = listing.or_none(instances);
        listing.volumes = listing.or_none(volumes);
        listing.images = listing.or_none(images);
        listing.snapshots = listing.or_none(snapshots);
        for one in listing.or_none(buckets) {
            let owner = reading::bucket_owner(&one.name, &aws.account, &aws.region);
            listing.add(owner, one.created);
        }
        for name in listing.or_none(queues) {
            listing.add(reading::queue_owner(&name), None);
        }
        for one in listing.or_none(roles) {
            let owner = reading::iam_owner(&one.path, &one.name);
            listing.add(owner.map(|stack| (stack, ResourceKind::Role)), one.created);
        }
        for one in listing.or_none(profiles) {
            let owner = reading::iam_owner(&one.path, &one.name);
            let owner = owner.map(|stack| (stack, ResourceKind::InstanceProfile));
            listing.add(owner, one.created);
        }
        for arn in listing.or_none(topics) {
            let owner = reading::topic_owner(&arn);
            listing.add(owner.map(|stack| (stack, ResourceKind::Topic)), None);
        }
        listing
    }

    fn or_none<T>(&mut self, listed: Result<Vec<T>>) -> Vec<T> {
        listed.unwrap_or_else(|error| {
            self.errors.push(error);
            Vec::new()
        })
    }

    fn add(&mut self, owner: Option<(StackName, ResourceKind)>, created: Option<Timestamp>) {
        if let Some((stack, kind)) = owner {
            self.named.entry(stack).or_default().insert(kind, created);
        }
    }

    /// All stacks of which anything is there.
    pub fn stacks(&self) -> BTreeSet<StackName> {
        let tags = self
            .instances
            .iter()
            .map(|one| &one.tags)
            .chain(self.volumes.iter().map(|one| &one.tags))
            .chain(self.images.iter().map(|one| &one.tags))
            .chain(self.snapshots.iter().map(|one| &one.tags));
        let tagged = tags.filter_map(ec2_tags::stack);
        self.named.keys().cloned().chain(tagged).collect()
    }

    /// The fixed names of `stack` that exist.
    pub fn kinds(&self, stack: &StackName) -> Vec<ResourceKind> {
        let named = self.named.get(stack);
        named.map_or_else(Vec::new, |named| named.keys().copied().collect())
    }

    /// Whether an image stands on this snapshot.
    pub fn is_under_an_image(&self, snapshot: &Snapshot) -> bool {
        let mut all = self.images.iter().flat_map(|image| &image.snapshots);
        all.any(|id| *id == snapshot.id)
    }
}

/// Whether tags name this stack.
pub(super) fn is_of(tags: &Tags, stack: &StackName) -> bool {
    ec2_tags::stack(tags).is_some_and(|owner| owner == *stack)
}

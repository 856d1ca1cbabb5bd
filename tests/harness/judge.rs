//! Who the lifecycle stories are told to: our own local cloud, and a second judge that others wrote.
//!
//! Where a judge is known to do otherwise than AWS, a method says so and why; the story leaves out what follows from
//! it, and `tests/judged/faithfulness.rs` fails as soon as it is no longer so. docs/second-judge.md has the same as
//! a table.

use super::account::Account;
use super::faults::Faults;
use super::machine::{Access, Machine};
use super::moto::Moto;
use super::sdk::Sdk;
use super::{Ended, World};

pub trait Judge {
    fn access(&self) -> &Access;

    /// An image that instances can be launched from with `--image`; `None`: from the baked one, as usual.
    fn image_to_launch(&self) -> Option<&'static str> {
        None
    }

    /// Runs `muck bake` with these further arguments to its end; where instances do not boot, the builder's part is
    /// played.
    fn bake(&self, machine: &Machine, arguments: &[&str]) -> Ended {
        machine.muck(&[&["bake"], arguments].concat())
    }

    /// Lets launched workers do all there is to do; where instances do not boot, the real worker is run with the
    /// user data that the instance was given.
    fn work(&self) {}

    /// Another region, if it has one, to copy images to.
    fn another_region(&self) -> Option<&'static str> {
        None
    }

    /// Switches for failing calls, if it has such.
    fn faults(&self) -> Option<&Faults> {
        None
    }

    /// RegisterImage takes tags, architecture, root device and block devices, and DescribeImages tells them.
    fn keeps_what_images_are_registered_with(&self) -> bool {
        true
    }

    /// DeregisterImage with DeleteAssociatedSnapshots deletes the snapshots of the image.
    fn deletes_associated_snapshots(&self) -> bool {
        true
    }

    /// RunInstances with a client token that was used before starts nothing and gives the same instances.
    fn remembers_client_tokens(&self) -> bool {
        true
    }

    /// RunInstances takes a mapping of the root device without size or snapshot: they are the image's.
    fn takes_volume_sizes_from_images(&self) -> bool {
        true
    }

    /// CreateQueue refuses the name of a queue deleted less than 60 s ago (`QueueDeletedRecently`).
    fn remembers_deleted_queues(&self) -> bool {
        true
    }

    /// SetQueueAttributes leaves the queue's policy as it is if it does not name it.
    fn keeps_policies_of_queues(&self) -> bool {
        true
    }

    /// A statement of a bucket's policy whose condition does not hold has no effect.
    fn weighs_conditions_of_bucket_policies(&self) -> bool {
        true
    }

    /// A request that is signed with another secret is refused.
    fn verifies_signatures(&self) -> bool {
        true
    }
}

impl dyn Judge + '_ {
    /// A machine that has never heard of anything.
    pub fn machine(&self) -> Machine {
        Machine::new(self.access(), "story").patient()
    }

    pub fn sdk(&self) -> Sdk {
        Sdk::over(self.access())
    }

    pub fn account(&self) -> Account {
        Account::over(self.access())
    }

    /// Calls go over TLS, so `muck` sets the policies that demand it.
    pub fn is_encrypted(&self) -> bool {
        self.access().certificate.is_some()
    }
}

/// Our own, with instances that are staged folders: booting is beside the point here.
struct LocalCloud {
    access: Access,
    faults: Faults,
    // Last: it ends when all that calls it has.
    _world: World,
}

impl Judge for LocalCloud {
    fn access(&self) -> &Access {
        &self.access
    }

    fn faults(&self) -> Option<&Faults> {
        Some(&self.faults)
    }
}

pub fn local_cloud() -> Box<dyn Judge> {
    let world = World::without_booting();
    // Any command starts it; this one makes nothing.
    world.muck(&["plan", "--local"]).exits(3);
    Box::new(LocalCloud {
        access: Access::of(&world),
        faults: Faults::of(&world),
        _world: world,
    })
}

/// moto over plain HTTP.
pub fn moto() -> Box<dyn Judge> {
    Box::new(Moto::start(false))
}

/// moto over TLS: `muck` then sets all that it sets on AWS. As moto does not weigh conditions, the buckets' policy denies
/// all use of objects from then on, so only stories without one are told to it.
pub fn moto_over_tls() -> Box<dyn Judge> {
    Box::new(Moto::start(true))
}

/// One test a judge.
macro_rules! judged {
    ($story:ident by $($judge:ident),+) => {
        mod $story {
            $(
                #[test]
                fn $judge() {
                    super::$story(&*crate::harness::judge::$judge());
                }
            )+
        }
    };
}
pub(crate) use judged;

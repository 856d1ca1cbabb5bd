//! A stack with 100,000 objects, versions and delete markers goes in bounded memory. `make bench-teardown`.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketVersioningStatus, Delete, ObjectIdentifier, VersioningConfiguration,
};
use futures::stream::{self, StreamExt as _};

use crate::harness::World;
use crate::harness::account::Account;
use crate::harness::machine::{Access, Machine};
use crate::harness::memory::wait_measured;
use crate::harness::sdk::Sdk;
use crate::harness::sweep::{keep_table, number};

/// Writers beside each other.
const WRITERS: usize = 32;
/// Keys of one DeleteObjects call: S3's most.
const PAGE: usize = 1000;
/// What the larger teardown may need over the smaller one: nothing grows with the number of objects, but
/// allocators and buffers of eight requests at a time are not exact.
const MEMORY_MARGIN_KIB: u64 = 48 * 1024;

/// What a bucket's teardown took.
struct Measured {
    entries: usize,
    filled: Duration,
    took: Duration,
    /// The most memory that `muck` had, in KiB (`VmHWM`).
    memory: u64,
}

#[test]
#[ignore = "takes minutes: run it by `make bench-teardown`"]
fn a_hundred_thousand_objects_go_in_bounded_memory() {
    let most = number("OBJECTS").map_or(100_000, |count| usize::try_from(count).expect("fits"));
    let world = World::without_booting();
    world.muck(&["plan", "--local"]).exits(3);
    let few = measure(&world, "few", 1000);
    let many = measure(&world, "many", most);
    let mut table = String::from("entries  filled   down    entries/s  VmHWM\n");
    for one in [&few, &many] {
        let rate = one.entries as f64 / one.took.as_secs_f64();
        writeln!(
            table,
            "{:>7}  {:>5.1} s {:>6.1} s  {rate:>8.0}  {:>6.1} MiB",
            one.entries,
            one.filled.as_secs_f64(),
            one.took.as_secs_f64(),
            one.memory as f64 / 1024.0
        )
        .expect("writes");
    }
    keep_table("teardown.txt", &table);
    assert!(
        many.memory < few.memory + MEMORY_MARGIN_KIB,
        "memory grows with the number of objects"
    );
}

/// Fills a stack and takes it down: half the entries are plain objects in the input bucket; the output bucket
/// keeps versions: of the rest, a half are versions and a half are delete markers.
fn measure(world: &World, stack: &str, entries: usize) -> Measured {
    let machine = Machine::new(&Access::of(world), "bench");
    machine.muck(&["up", "--stack", stack]).exits(0);
    let sdk = Sdk::of(world);
    let (input, output) = (Sdk::bucket(stack, "input"), Sdk::bucket(stack, "output"));
    let versioning = VersioningConfiguration::builder()
        .status(BucketVersioningStatus::Enabled)
        .build();
    let call = sdk.s3.put_bucket_versioning().bucket(&output);
    sdk.run(call.versioning_configuration(versioning).send())
        .expect("keeps versions");
    let clock = Instant::now();
    let (plain, versions) = (entries / 2, entries / 4);
    let markers = entries - plain - versions;
    sdk.run(async {
        put(&sdk, &input, plain, plain).await;
        // Two versions of each key.
        put(&sdk, &output, versions, versions / 2).await;
        mark(&sdk, &output, markers).await;
        let begun = sdk.s3.create_multipart_upload().bucket(&input);
        begun.key("media/unfinished").send().await.expect("begins");
    });
    let filled = clock.elapsed();

    let clock = Instant::now();
    let mut child = machine
        .command(&["down", "--stack", stack, "--yes"])
        // As it is for everybody; a machine of the sweeps waits less.
        .env_remove("MUCK_READ_TIMEOUT")
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("muck starts");
    let (_, memory) = wait_measured(&mut child);
    let took = clock.elapsed();
    let output = child.wait_with_output().expect("ended");
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{talk}");
    let counted = format!("{plain} objects");
    assert!(
        talk.contains(&counted) && talk.contains("1 unfinished upload"),
        "{talk}"
    );
    assert!(
        talk.contains(&format!("{markers} delete markers")),
        "{talk}"
    );
    assert_eq!(
        Account::of(world).left_overs(),
        Vec::<String>::new(),
        "{talk}"
    );
    Measured {
        entries,
        filled,
        took,
        memory,
    }
}

/// `count` objects under `keys` different keys.
async fn put(sdk: &Sdk, bucket: &str, count: usize, keys: usize) {
    stream::iter(0..count)
        .for_each_concurrent(WRITERS, |number| async move {
            let call = sdk.s3.put_object().bucket(bucket);
            let call = call.key(format!("media/{:032x}", number % keys.max(1)));
            call.body(ByteStream::from_static(b"film"))
                .send()
                .await
                .expect("puts");
        })
        .await;
}

/// A delete marker for each of `count` keys that no object has.
async fn mark(sdk: &Sdk, bucket: &str, count: usize) {
    let pages = stream::iter((0..count).step_by(PAGE));
    pages
        .for_each_concurrent(4, |first| async move {
            let keys = (first..count.min(first + PAGE)).map(|number| {
                ObjectIdentifier::builder()
                    .key(format!("verdicts/{number:032x}.json"))
                    .build()
                    .expect("a key")
            });
            let delete = Delete::builder()
                .set_objects(Some(keys.collect()))
                .quiet(true);
            let call = sdk.s3.delete_objects().bucket(bucket);
            call.delete(delete.build().expect("builds"))
                .send()
                .await
                .expect("marks");
        })
        .await;
}

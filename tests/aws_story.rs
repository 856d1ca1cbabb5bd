//! The whole story on an account: one clip, one small instance, and nothing left. `make test-aws` tells it on a real account
//! with the user's credentials, after it has printed the expected cost and asked; here it is told on the local cloud.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_ec2::types::Filter;
use muck::batch::money::Dollars;
use muck::batch::prices::PriceList;
use serde_json::Value;

use crate::harness::machine::Access;
use crate::harness::media::probe;
use crate::harness::{Ended, World};

/// The smallest type that is not burstable.
const TYPE: &str = "c7i.large";
const CLIP: &str = "MVI_3113.AVI";
/// Most of the time that builder and worker are on together: a bake takes up to half an hour, the worker some minutes.
const MINUTES: u128 = 45;
/// GiB of their volumes together, for the same time.
const GIB: u128 = 32;
/// AWS's lists show what was deleted for a while; queues for a minute.
const SETTLED: Duration = Duration::from_mins(2);
/// Says yes where there is no terminal to ask on.
const YES: &str = "MUCK_TEST_AWS";

/// An account, and how `muck` is called for it.
struct Account<'a> {
    muck: &'a dyn Fn(&[&str]) -> Command,
    config: SdkConfig,
    runtime: tokio::runtime::Runtime,
}

#[test]
fn the_story_for_a_real_account_works_on_the_local_cloud() {
    let world = World::without_booting();
    world.muck(&["plan", "--local"]).exits(3);
    let access = Access::of(&world);
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let muck = |arguments: &[&str]| {
        let mut command = world.command(arguments);
        access.pass_to(&mut command);
        command
    };
    let account = Account {
        muck: &muck,
        config: runtime.block_on(access.sdk_config()),
        runtime,
    };
    let cost = expected_cost(&access.region, false).expect("priced as us-east-1");
    assert!(cost < "0.20".parse().expect("dollars"), "{cost}");
    story(&account, &world.work());
}

#[test]
#[ignore = "costs money on a real account: make test-aws"]
fn on_a_real_account() {
    let folder = tempfile::tempdir().expect("a folder");
    let work = folder.path().to_owned();
    let muck = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muck"));
        command.args(arguments).current_dir(&work);
        command
    };
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let config = runtime.block_on(aws_config::load_defaults(BehaviorVersion::v2026_01_12()));
    let account = Account {
        muck: &muck,
        config,
        runtime,
    };
    let list = account.run(&["ls", "--json"]).exits(0).json();
    let text = |key: &str| list[key].as_str().expect("a string").to_owned();
    let cost = expected_cost(&text("region"), true).map_or_else(
        || "of unknown cost: the price list has not this region".to_owned(),
        |cost| format!("about {cost} at the most"),
    );
    say(&format!(
        "Account {}, region {}: one builder and one worker, {TYPE}, {cost}.",
        text("account"),
        text("region")
    ));
    assert!(agreed(), "not confirmed: nothing was done");
    story(&account, &work);
}

fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn agreed() -> bool {
    if std::env::var(YES).is_ok_and(|value| value == "yes") {
        return true;
    }
    assert!(
        std::io::stdin().is_terminal(),
        "there is no terminal to ask on: set {YES}=yes to agree"
    );
    say("Type yes to go on:");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).expect("an answer");
    answer.trim() == "yes"
}

/// `None`: the list has no prices for the region.
fn expected_cost(region: &str, is_aws: bool) -> Option<Dollars> {
    let (_, prices) = PriceList::builtin().of(region, is_aws)?;
    let hour = prices.compute(TYPE)? + prices.ipv4;
    let month = 730 * 60;
    Some((hour.times(MINUTES, 60) + prices.volume.times(GIB * MINUTES, month)).rounded())
}

/// Converts a clip by one command, and looks at everything afterwards without muck's help.
fn story(account: &Account<'_>, work: &Path) {
    let before = stacks(&account.run(&["ls", "--json"]).exits(0).json());
    let clip = World::sample(CLIP);
    let ran = account
        .run(&[
            "run",
            clip.to_str().expect("UTF-8"),
            "-o",
            "out",
            "-n",
            "1",
            "--type",
            TYPE,
            "--ttl",
            "1h",
            "--json",
        ])
        .exits(0);
    let summary = ran.json();
    say(&format!("the bill: {}", summary["bill"]));
    assert_eq!(summary["report"]["retrieved"], 1, "{summary}");
    let (made, source) = (
        probe(&work.join("out").join(CLIP).with_extension("mp4")),
        probe(&clip),
    );
    assert_eq!(made.video_codec, "h264");
    assert!((made.duration - source.duration).abs() < 0.15, "{made:?}");

    let stack = summary["stack"].as_str().expect("a name");
    let start = Instant::now();
    loop {
        let left = account.left_of(stack);
        if left.is_empty() {
            break;
        }
        assert!(
            start.elapsed() < SETTLED,
            "left of stack {stack}; delete it with `muck down --stack {stack}`: {left:#?}"
        );
        std::thread::sleep(Duration::from_secs(5));
    }
    let after = stacks(&account.run(&["ls", "--json"]).exits(0).json());
    assert_eq!(after, before);
    say(&format!("nothing is left of stack {stack}"));
}

fn stacks(list: &Value) -> Vec<String> {
    let all = list["stacks"].as_array().expect("a list").iter();
    all.map(|row| row["stack"].as_str().expect("a name").to_owned())
        .collect()
}

impl Account<'_> {
    fn run(&self, arguments: &[&str]) -> Ended {
        let output = (self.muck)(arguments).output().expect("muck starts");
        Ended::new(arguments, &output)
    }

    /// All that carries the stack's tag or its name, by plain SDK calls.
    fn left_of(&self, stack: &str) -> Vec<String> {
        self.runtime.block_on(async {
            let (compute, named) = tokio::join!(self.compute(stack), self.named(stack));
            [compute, named].concat()
        })
    }

    async fn compute(&self, stack: &str) -> Vec<String> {
        let ec2 = aws_sdk_ec2::Client::new(&self.config);
        let tag = Filter::builder()
            .name("tag:muck:stack")
            .values(stack)
            .build();
        let mut left = Vec::new();
        let found = ec2.describe_instances().filters(tag.clone()).send().await;
        let reservations = found.expect("instances").reservations.unwrap_or_default();
        for instance in reservations
            .iter()
            .flat_map(aws_sdk_ec2::types::Reservation::instances)
        {
            let state = instance.state().and_then(|state| state.name());
            if state.is_none_or(|state| state.as_str() != "terminated") {
                left.push(format!("instance {:?}", instance.instance_id()));
            }
        }
        let found = ec2.describe_volumes().filters(tag.clone()).send().await;
        let volumes = found.expect("volumes").volumes.unwrap_or_default();
        left.extend(
            volumes
                .iter()
                .map(|one| format!("volume {:?}", one.volume_id())),
        );
        let call = ec2.describe_images().owners("self").filters(tag.clone());
        let images = call
            .send()
            .await
            .expect("images")
            .images
            .unwrap_or_default();
        left.extend(
            images
                .iter()
                .map(|one| format!("image {:?}", one.image_id())),
        );
        let call = ec2.describe_snapshots().owner_ids("self").filters(tag);
        let found = call.send().await.expect("snapshots");
        let snapshots = found.snapshots.unwrap_or_default();
        left.extend(
            snapshots
                .iter()
                .map(|one| format!("snapshot {:?}", one.snapshot_id())),
        );
        left
    }

    async fn named(&self, stack: &str) -> Vec<String> {
        let mut left = Vec::new();
        let prefix = format!("muck-{stack}-");
        let path = format!("/muck/{stack}/");
        let s3 = aws_sdk_s3::config::Builder::from(&self.config)
            .force_path_style(self.config.endpoint_url().is_some())
            .build();
        let call = aws_sdk_s3::Client::from_conf(s3)
            .list_buckets()
            .prefix(&prefix);
        let buckets = call
            .send()
            .await
            .expect("buckets")
            .buckets
            .unwrap_or_default();
        left.extend(buckets.iter().map(|one| format!("bucket {:?}", one.name())));
        let call = aws_sdk_sqs::Client::new(&self.config)
            .list_queues()
            .queue_name_prefix(&prefix);
        let queues = call
            .send()
            .await
            .expect("queues")
            .queue_urls
            .unwrap_or_default();
        left.extend(queues.iter().map(|url| format!("queue {url}")));
        let iam = aws_sdk_iam::Client::new(&self.config);
        let roles = iam
            .list_roles()
            .path_prefix(&path)
            .send()
            .await
            .expect("roles");
        left.extend(
            roles
                .roles()
                .iter()
                .map(|one| format!("role {}", one.role_name())),
        );
        let call = iam.list_instance_profiles().path_prefix(&path);
        let profiles = call.send().await.expect("profiles");
        let names = profiles.instance_profiles().iter();
        left.extend(names.map(|one| format!("profile {}", one.instance_profile_name())));
        left
    }
}

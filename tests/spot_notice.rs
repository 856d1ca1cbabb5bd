//! A Spot instance that EC2 takes back while it converts: what it has is given back before it goes, its log is kept,
//! and another worker finishes the job.

use std::time::{Duration, Instant};

use aws_sdk_ec2::types as sdk;
use base64::Engine as _;
use serde_json::json;

use crate::harness::yard::{STACK, Yard};
use crate::worker_kill::{clip, judge};

/// The notice is asked for every 5 s; on a busy machine the worker starts in some seconds.
const LIMIT: Duration = Duration::from_mins(2);

/// Seconds from the notice to the end: less than the film takes, four times the pause between two looks for a notice.
const TIME_LEFT: u32 = 20;

#[test]
fn what_a_spot_instance_has_is_given_back_before_it_goes() {
    let yard = Yard::open();
    let muck = |arguments: &[&str]| {
        let stack = ["--local", "--stack", STACK];
        yard.world.muck(&[arguments, &stack].concat())
    };
    let image = muck(&["bake", "--json"]).exits(0).json();
    let image = image["image_id"]
        .as_str()
        .or(image["id"].as_str())
        .unwrap_or_else(|| panic!("no image in {image}"));
    // A core of 2020 converts seventy seconds of it a second: it is not done in the time that is left.
    let md5 = yard.submit("film.avi", &clip(&yard, 3600, 1), "web");
    let instance = start_spot(&yard, image);
    yard.sdk.wait_for_state(&instance, "running", LIMIT);

    let show = || muck(&["logs", &instance]).stdout;
    until("it converts", || show().contains("converted "));
    let listed = muck(&["logs", "--json"]).exits(0).json();
    assert_eq!(listed[0]["instance"], instance.as_str());
    assert_eq!(listed[0]["stored"], json!(null), "it runs: {listed}");
    // What it is at, as others see it.
    until("its progress is told", || {
        let status = muck(&["status", "--json"]).exits(0).json();
        status["at_work"][0]["file"] == "film.avi"
            && status["at_work"][0]["percent"].as_u64().is_some()
    });

    let told = Instant::now();
    yard.faults.interrupt_spot(&instance, TIME_LEFT);
    until("the message is given back", || {
        yard.depth("input") == (1, 0)
    });
    // The instance may have powered itself off by now: it has nothing more to do.
    assert!(
        told.elapsed() < Duration::from_secs(TIME_LEFT.into()),
        "given back only when EC2 took the instance"
    );
    yard.sdk.wait_for_state(&instance, "terminated", LIMIT);
    let log = muck(&["logs", &instance, "--json"]).exits(0).json();
    assert_eq!(log["from"], "stored");
    let text = log["text"].as_str().expect("text");
    for words in [
        "EC2 takes this Spot instance back",
        "goes back to the queue",
        "end: asked to leave",
    ] {
        assert!(text.contains(words), "no {words:?} in\n{text}");
    }

    let heir = yard.start("heir", &["--slots", "1"]);
    yard.wait_done(Duration::from_mins(5), &heir);
    judge(&yard, &md5).expect("one verdict, told, none dead");
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LIMIT, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A Spot instance of the image, with the stack's tags and role, that is told what workers are told.
fn start_spot(yard: &Yard, image: &str) -> String {
    let told = std::fs::read(yard.world.work().join("user-data")).expect("user data");
    let tags = [("muck:stack", STACK), ("muck:kind", "worker")]
        .map(|(key, value)| sdk::Tag::builder().key(key).value(value).build());
    let market = sdk::InstanceMarketOptionsRequest::builder()
        .market_type(sdk::MarketType::Spot)
        .build();
    let profile = sdk::IamInstanceProfileSpecification::builder()
        .name(format!("muck-{STACK}-worker"))
        .build();
    let tagged = sdk::TagSpecification::builder()
        .resource_type(sdk::ResourceType::Instance)
        .set_tags(Some(tags.to_vec()))
        .build();
    let call = yard
        .sdk
        .ec2
        .run_instances()
        .image_id(image)
        .instance_type(sdk::InstanceType::C7iLarge)
        .min_count(1)
        .max_count(1)
        .instance_initiated_shutdown_behavior(sdk::ShutdownBehavior::Terminate)
        .instance_market_options(market)
        .iam_instance_profile(profile)
        .user_data(base64::engine::general_purpose::STANDARD.encode(told))
        .tag_specifications(tagged);
    let answer = yard.sdk.run(call.send()).expect("starts");
    answer.instances()[0]
        .instance_id()
        .expect("an id")
        .to_owned()
}

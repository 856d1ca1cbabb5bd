//! Launches where EC2 is not ready, has no room or refuses. Instances start from the plain base image: what they
//! do once they run is another story.

use serde_json::{Value, json};

use crate::harness::World;
use crate::harness::faults::Faults;
use crate::harness::sdk::Sdk;

/// The local cloud's Debian image.
const BASE: &str = "ami-00000000000000d13";

struct Stage {
    faults: Faults,
    world: World,
}

impl Stage {
    fn new() -> Self {
        let world = World::new();
        world.muck(&["up", "--local"]).exits(0);
        Self {
            faults: Faults::of(&world),
            world,
        }
    }

    /// RunInstances answers with `code` so often from its `nth` call on. The first is the dry run.
    fn run_instances_fails(&self, nth: u64, times: u64, code: &str, message: &str) {
        let fault = json!({"kind": "error", "code": code, "message": message});
        self.faults.set(&json!([{
            "service": "ec2", "action": "RunInstances", "nth": nth, "times": times, "fault": fault
        }]));
    }

    fn launch(&self, count: &str) -> Value {
        self.world
            .muck(&["launch", "--local", "--image", BASE, "-n", count, "--json"])
            .exits(0)
            .json()
    }
}

/// Zones of all instances that a launch tells, sorted.
fn zones(launch: &Value) -> Vec<&str> {
    let reservations = launch["reservations"].as_array().expect("a list");
    let mut zones: Vec<&str> = reservations
        .iter()
        .flat_map(|reservation| reservation["instances"].as_array().expect("a list"))
        .map(|instance| instance["zone"].as_str().expect("a zone"))
        .collect();
    zones.sort_unstable();
    zones
}

#[test]
fn instances_are_spread_and_go_where_there_is_room() {
    let stage = Stage::new();
    let spread = stage.launch("3");
    assert_eq!(
        zones(&spread),
        ["us-local-1a", "us-local-1a", "us-local-1b"]
    );

    stage.run_instances_fails(2, 1, "InsufficientInstanceCapacity", "no room");
    let moved = zones(&stage.launch("2")).concat();
    assert!(
        ["us-local-1aus-local-1a", "us-local-1bus-local-1b"].contains(&moved.as_str()),
        "{moved}"
    );

    // One of two: it is told, it converts, and the exit code says that it is not what was asked for.
    stage.run_instances_fails(3, 100, "InsufficientInstanceCapacity", "no room");
    let fewer = stage
        .world
        .muck(&["launch", "--local", "--image", BASE, "-n", "2", "--json"])
        .exits(1)
        .says(&["1 of 2 instances started", "no room", "muck launch -n 1"]);
    assert_eq!(zones(&fewer.json()).len(), 1);

    stage.run_instances_fails(2, 100, "InsufficientInstanceCapacity", "no room");
    stage
        .world
        .muck(&["launch", "--local", "--image", BASE])
        .exits(1)
        .says(&["InsufficientInstanceCapacity", "instance type"]);
}

#[test]
fn a_profile_that_ec2_does_not_know_yet_is_waited_for() {
    let stage = Stage::new();
    let late = "Value (muck-muck-worker) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name";
    // Known to the dry run's server after two tries, to the launch's after one more.
    stage.faults.set(&json!([
        {"service": "ec2", "action": "RunInstances", "nth": 1, "times": 2,
         "fault": {"kind": "error", "code": "InvalidParameterValue", "message": late}},
        {"service": "ec2", "action": "RunInstances", "nth": 4, "times": 1,
         "fault": {"kind": "error", "code": "InvalidParameterValue", "message": late}},
    ]));
    assert_eq!(zones(&stage.launch("2")).len(), 2);
}

#[test]
fn a_missing_network_names_the_setting() {
    let stage = Stage::new();
    for code in ["VPCIdNotSpecified", "MissingInput"] {
        stage.run_instances_fails(1, 100, code, "No subnets found for the default VPC");
        stage
            .world
            .muck(&["launch", "--local", "--image", BASE])
            .exits(1)
            .says(&[code, "subnets = "]);
    }
    stage.faults.set(&json!([]));
    stage
        .world
        .muck(&["launch", "--local", "--image", "ami-0123456789abcdef0"])
        .exits(1)
        .says(&["no image ami-0123456789abcdef0", "muck bake"]);
}

/// With unlimited ones, as T3 and later have them by default, surplus credits cost more than the instance.
#[test]
fn burstable_instances_have_standard_credits() {
    let world = World::without_booting();
    world.muck(&["up", "--local"]).exits(0);
    let launch = [
        "launch",
        "--local",
        "--image",
        BASE,
        "--type",
        "t3.medium",
        "--json",
    ];
    let launched = world
        .muck(&launch)
        .exits(0)
        .says(&["t3.medium is a burstable type"]);
    let launched = launched.json();
    let id = launched["reservations"][0]["instances"][0]["id"].as_str();
    let sdk = Sdk::of(&world);
    let call = sdk.ec2.describe_instance_credit_specifications();
    let told = sdk.run(call.instance_ids(id.expect("an id")).send());
    let told = told.expect("told");
    let credits = told.instance_credit_specifications();
    assert_eq!(credits[0].cpu_credits(), Some("standard"));
}

//! Networks from which an instance reaches nothing: found before one is launched, each in one sentence. Instances start from the
//! plain base image: what they do once they run is another story.

use serde_json::{Value, json};

use crate::harness::World;
use crate::harness::faults::Faults;

/// The local cloud's Debian image.
const BASE: &str = "ami-00000000000000d13";
const SUBNETS: [&str; 2] = ["subnet-0000000000000001a", "subnet-0000000000000001b"];

struct Stage {
    faults: Faults,
    world: World,
}

impl Stage {
    /// A stack in an account with this network.
    fn new(network: &Value) -> Self {
        let world = World::without_booting();
        world.muck(&["up", "--local"]).exits(0);
        let faults = Faults::of(&world);
        faults.network(network);
        Self { faults, world }
    }

    fn settings(&self, text: &str) {
        self.world.file("muck.toml", text);
    }

    const LAUNCH: [&str; 7] = ["launch", "--local", "--image", BASE, "-n", "2", "--json"];

    /// `muck launch` is refused with these texts, and no instance is asked for.
    fn refuses(&self, texts: &[&str]) {
        let before = self.faults.last_call();
        self.world.muck(&Self::LAUNCH).exits(1).says(texts);
        assert_eq!(self.launches(before), 0);
    }

    /// Instances by subnet.
    fn launch(&self) -> (Vec<String>, String) {
        let launched = self.world.muck(&Self::LAUNCH).exits(0);
        let answer = launched.json();
        let reservations = answer["reservations"].as_array().expect("a list");
        let mut zones: Vec<String> = reservations
            .iter()
            .flat_map(|reservation| reservation["instances"].as_array().expect("a list"))
            .map(|instance| instance["zone"].as_str().expect("a zone").to_owned())
            .collect();
        zones.sort_unstable();
        (zones, launched.stderr)
    }

    fn launches(&self, after: u64) -> usize {
        let calls = self.faults.all_calls(after);
        calls
            .iter()
            .filter(|call| call.action == "RunInstances")
            .count()
    }
}

#[test]
fn without_a_default_vpc_subnets_must_be_named() {
    let stage = Stage::new(&json!({"default_vpc": false}));
    stage.refuses(&[
        "this account has no default VPC with subnets in us-local-1",
        "subnets = [",
    ]);
    stage.settings(&format!("subnets = {SUBNETS:?}"));
    let (zones, _) = stage.launch();
    assert_eq!(zones, ["us-local-1a", "us-local-1b"]);
}

#[test]
fn a_subnet_without_public_addresses_needs_public_ip() {
    let stage = Stage::new(&json!({"private_subnets": ["*"]}));
    stage.refuses(&[
        "subnet-0000000000000001a (us-local-1a) gives instances no public address",
        "set public_ip = true",
    ]);
    stage.settings("public_ip = true");
    stage.launch();
    // Behind a NAT gateway none is needed, and none is given.
    stage
        .faults
        .network(&json!({"private_subnets": ["*"], "route": "nat-gateway"}));
    stage.settings("public_ip = false");
    stage.launch();
}

#[test]
fn a_subnet_with_a_fault_is_left_out_and_reported() {
    let stage = Stage::new(&json!({"private_subnets": [SUBNETS[0]]}));
    let (zones, stderr) = stage.launch();
    assert_eq!(zones, ["us-local-1b", "us-local-1b"]);
    assert!(
        stderr.contains("us-local-1a) gives instances no public address"),
        "{stderr}"
    );
}

#[test]
fn without_a_route_endpoints_for_s3_and_sqs_are_enough_to_convert() {
    let stage = Stage::new(&json!({"route": "none", "endpoints": ["s3"]}));
    stage.refuses(&["no route to the internet, and its VPC no endpoint for sqs"]);
    stage
        .faults
        .network(&json!({"route": "none", "endpoints": ["s3", "sqs"]}));
    stage.launch();
    // But a builder installs packages.
    stage.world.muck(&["bake", "--local"]).exits(1).says(&[
        "no route to the internet, from where a builder installs packages",
        "muck images copy",
    ]);
    stage.faults.network(&json!({"route": "blackhole"}));
    stage.refuses(&["a gateway that no longer exists"]);
}

#[test]
fn a_default_group_that_lets_nothing_out_is_named() {
    let stage = Stage::new(&json!({"egress": false}));
    stage.refuses(&[
        "no outbound rule of the security group sg-00000000000000001 lets TCP port 443 out",
        "add an outbound rule",
    ]);
    stage.settings("security_groups = [\"sg-0123456789abcdef0\"]");
    stage.refuses(&["InvalidGroup.NotFound", "correct security_groups"]);
}

#[test]
fn a_subnet_that_does_not_exist_is_named() {
    let stage = Stage::new(&json!({}));
    stage.settings("subnets = [\"subnet-0123456789abcdef0\"]");
    stage.refuses(&["subnet-0123456789abcdef0", "correct subnets in muck.toml"]);
}

#[test]
fn a_policy_without_the_new_rights_still_launches_and_says_what_it_lacks() {
    let stage = Stage::new(&json!({}));
    let denied = |action: &str| {
        json!({"service": "ec2", "action": action, "times": 9, "fault":
            {"kind": "error", "code": "UnauthorizedOperation", "status": 403}})
    };
    stage.faults.set(&json!([
        denied("DescribeRouteTables"),
        denied("DescribeVpcEndpoints"),
        denied("DescribeSecurityGroups"),
    ]));
    let (_, stderr) = stage.launch();
    assert!(
        stderr.contains("ec2:DescribeRouteTables is not permitted"),
        "{stderr}"
    );
}

//! What a tired person types: each a clear sentence and a non-zero exit, and nothing is created.

use crate::harness::World;
use crate::harness::machine::{Access, Keys, Machine};

#[test]
fn a_path_that_does_not_exist_is_named() {
    let world = World::new();
    world
        .muck(&["run", "--local", "no/such/folder", "-o", "out"])
        .exits(1)
        .says(&["no/such/folder"]);
}

#[test]
fn an_empty_folder_converts_nothing_and_says_so() {
    let world = World::new();
    std::fs::create_dir(world.work().join("empty")).expect("folder");
    world
        .muck(&["run", "--local", "empty", "-o", "out"])
        .exits(1)
        .says(&["empty"]);
}

#[test]
fn an_unknown_preset_is_named_with_the_known_ones() {
    let world = World::new();
    world.file("a.avi", b"RIFF");
    world
        .muck(&["run", "--local", "a.avi", "-o", "out", "--preset", "vhs"])
        .exits(2)
        .says(&["vhs", "ipod", "web"]);
}

#[test]
fn a_malformed_settings_file_names_key_and_line() {
    let world = World::new();
    world.file(
        "muck.toml",
        "stack = \"demo\"\ninstance_typ = \"c7i.large\"\n",
    );
    world
        .muck(&["up", "--local"])
        .exits(2)
        .says(&["muck.toml", "instance_typ", "line 2"]);
}

#[test]
fn a_bad_stack_name_is_refused_with_the_rule() {
    let world = World::new();
    world
        .muck(&["up", "--local", "--stack", "No_Good"])
        .exits(2)
        .says(&["No_Good", "lower-case"]);
}

#[test]
fn no_credentials_is_one_sentence() {
    let world = World::new();
    let ended = world.muck(&["up", "--region", "eu-central-1"]).exits(1);
    assert!(
        ended.stderr.contains("no AWS credentials were found"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("--local"), "{}", ended.stderr);
}

#[test]
fn no_region_is_one_sentence() {
    let world = World::new();
    world
        .muck(&["up"])
        .exits(1)
        .says(&["no AWS region is set", "--region"]);
}

#[test]
fn a_stack_that_is_not_up_says_which_command_makes_it() {
    let world = World::new();
    let clip = World::sample("MVI_3121.AVI");
    world
        .muck(&["submit", "--local", clip.to_str().expect("UTF-8")])
        .exits(1)
        .says(&["not up", "muck up"]);
    world
        .muck(&["launch", "--local"])
        .exits(1)
        .says(&["not up", "muck up"]);
}

#[test]
fn an_empty_endpoint_is_named() {
    let machine = Machine::new(
        &Access {
            url: String::new(),
            region: "eu-central-1".to_owned(),
            account: "123456789012".to_owned(),
            keys: Keys {
                id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
                secret: "secret".to_owned(),
                token: None,
            },
            certificate: None,
        },
        "story",
    );
    machine
        .muck(&["plan"])
        .exits(2)
        .says(&["AWS_ENDPOINT_URL is set and empty", "unset it"]);
}

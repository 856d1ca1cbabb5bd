//! `muck failed`: dead letters are listed with their reasons and, sent again, really tried again.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::World;
use crate::harness::machine::{Access, Machine};
use crate::harness::sdk::Sdk;
use crate::harness::yard::{STACK, Worker, Yard};
use crate::worker_kill::numbered;

const LIMIT: Duration = Duration::from_mins(1);

/// A worker whose ffprobe calls every file broken.
fn broken_worker(yard: &Yard, client: &str) -> Worker {
    let tools = yard.world.work().join("broken-tools");
    std::fs::create_dir_all(&tools).expect("folder");
    let path = tools.join("ffprobe");
    std::fs::write(&path, "#!/bin/sh\necho 'moov atom not found' >&2\nexit 1\n").expect("writes");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("mode");
    let mut command = yard.command(client, &["--slots", "1"]);
    let rest = std::env::var("PATH").expect("PATH");
    command.env("PATH", format!("{}:{rest}", tools.display()));
    yard.run(client, command)
}

fn work_off(yard: &Yard, mut worker: Worker) {
    yard.wait_done(LIMIT, &worker);
    worker.kill();
}

fn list(yard: &Yard) -> Vec<Value> {
    let ended = yard
        .world
        .muck(&["failed", "ls", "--json", "--local", "--stack", STACK]);
    ended.exits(0).json().as_array().expect("a list").clone()
}

#[test]
fn what_failed_is_listed_and_sent_again_and_counts_as_converted() {
    let yard = Yard::open();
    let muck = |arguments: &[&str]| {
        let stack = ["--local", "--stack", STACK];
        yard.world.muck(&[arguments, &stack].concat())
    };
    let clip = std::fs::read(World::sample("MVI_3121.AVI")).expect("sample");
    yard.world.file("films/a.avi", &clip);
    yard.world.file("films/b.avi", numbered(clip.clone(), 1));
    muck(&["submit", "films", "--batch", "holiday"]).exits(0);
    // One that is not there, and one that the tools call broken.
    let gone = hex_md5(&numbered(clip.clone(), 1));
    let bucket = Sdk::bucket(STACK, "input");
    let key = format!("media/{gone}");
    let call = yard.sdk.s3.delete_object().bucket(&bucket).key(&key);
    yard.sdk.run(call.send()).expect("deletes");
    work_off(&yard, broken_worker(&yard, "broken"));
    muck(&["results", "out", "--batch", "holiday"]).exits(4);

    let letters = list(&yard);
    let told: Vec<(&str, bool)> = letters
        .iter()
        .map(|one| {
            let reason = one["reason"].as_str().expect("a reason");
            (
                one["file"].as_str().expect("a file"),
                reason.contains("moov atom not found"),
            )
        })
        .collect();
    assert_eq!(told, [("a.avi", true), ("b.avi", false)], "{letters:#?}");
    assert_eq!(letters[0]["times"], 1);
    assert_eq!(letters[0]["batch"], "holiday");
    assert_eq!(list(&yard), letters, "looking takes nothing");

    // Without a terminal it must be confirmed by --yes.
    muck(&["failed", "redrive"]).exits(2).says(&["--yes"]);
    let none = muck(&["failed", "redrive", "--yes", "--reason", "no such reason"]).exits(0);
    assert!(none.stdout.contains("0 sent"), "{}", none.stdout);
    assert_eq!(list(&yard).len(), 2);

    // The cause is gone, and the file is really tried again: its verdict went.
    let one = muck(&["failed", "redrive", "--yes", "--reason", "MOOV"]).exits(0);
    assert!(
        one.stdout
            .contains("1 sent to the input queue again, 1 left"),
        "{}",
        one.stdout
    );
    assert_eq!(yard.present("verdicts/"), Vec::<String>::new());
    let call = yard.sdk.s3.put_object().bucket(&bucket).key(&key);
    let content = numbered(clip, 1);
    yard.sdk
        .run(call.body(content.into()).send())
        .expect("stores");
    muck(&["failed", "redrive", "--yes"]).exits(0);
    work_off(&yard, yard.start("sound", &["--slots", "1"]));

    assert_eq!(list(&yard), Vec::<Value>::new());
    let results = muck(&["results", "out", "--batch", "holiday"]).exits(0);
    assert!(
        results.stdout.contains("2 results successfully retrieved."),
        "{}",
        results.stdout
    );
}

/// Letters that can't be sent again, and what stands in a verdict's place without being one, are in no other's way.
#[test]
fn strange_letters_are_left_and_the_others_sent() {
    let yard = Yard::open();
    let digest = "0".repeat(64);
    let right = |name: &str| {
        let added = "Status: failed\nError: no video\nReceive-Count: 1\nVerdict-Job: ";
        let job = format!("{}-{digest}", hex_md5(name.as_bytes()));
        format!(
            "{}{added}{job}\n",
            Yard::message(name, &"0".repeat(32), 1, "ipod")
        )
    };
    let url = yard.sdk.queue_url(STACK, "failed");
    for body in [
        right("a.avi"),
        right("evil.avi"),
        right("b.avi"),
        // Nothing is left of it; and what is left no queue takes.
        "Status: failed\nReceive-Count: 1\n".to_owned(),
        "Status: failed\nReceive-Count: 1\nOriginal-Message: \"\\u0000\"\nOriginal-Size: 1\n"
            .to_owned(),
    ] {
        let call = yard.sdk.sqs.send_message().queue_url(&url);
        yard.sdk.run(call.message_body(body).send()).expect("sends");
    }
    let key = format!("verdicts/{}-{digest}.json", hex_md5(b"evil.avi"));
    let call = yard
        .sdk
        .s3
        .put_object()
        .bucket(Sdk::bucket(STACK, "output"));
    let evil = "{\"version\": 1, \"job\": \"\u{9b}2J\u{202e}\"}";
    let call = call.key(&key).body(evil.as_bytes().to_vec().into());
    yard.sdk.run(call.send()).expect("stores");

    let redrive = ["failed", "redrive", "--yes", "--local", "--stack", STACK];
    let ended = yard
        .world
        .muck(&redrive)
        .exits(0)
        .says(&[&key, "is no verdict"]);
    assert_eq!(ended.stdout, "2 sent to the input queue again, 3 left\n");
    for line in ended.stderr.lines() {
        assert_eq!(muck_worker::text::printable(line), line);
    }
    let mut sent = yard.drain("input");
    sent.sort();
    let message = |name| Yard::message(name, &"0".repeat(32), 1, "ipod");
    assert_eq!(sent, [message("a.avi"), message("b.avi")]);
    assert_eq!(yard.present("verdicts/"), [key]);
    assert_eq!(yard.depth("failed"), (3, 0));
}

/// Killed at any of its calls that change something, a redrive can be repeated and loses nothing.
#[test]
fn a_redrive_that_is_killed_loses_nothing() {
    let yard = Yard::open();
    let access = Access::of(&yard.world);
    let clip = std::fs::read(World::sample("MVI_3121.AVI")).expect("sample");
    let mut number = 0;
    for action in ["DeleteObject", "SendMessageBatch", "DeleteMessageBatch"] {
        for phase in ["before", "after"] {
            number += 1;
            let md5 = yard.submit("film.avi", &numbered(clip.clone(), number), "ipod");
            work_off(&yard, broken_worker(&yard, &format!("broken-{number}")));
            assert_eq!(yard.depth("failed").0, 1, "{action} {phase}");

            let machine = Machine::new(&access, "redriving");
            let before = yard.faults.last_call();
            yard.faults.set(&json!([{
                "client": machine.client(), "action": action,
                "fault": {"kind": "freeze", "phase": phase},
            }]));
            let arguments = ["failed", "redrive", "--yes", "--stack", STACK];
            let mut child = machine.command(&arguments).spawn().expect("starts");
            let start = Instant::now();
            let frozen = || {
                let calls = yard.faults.calls(machine.client(), before);
                calls.iter().any(|call| call.progress.starts_with("held-"))
            };
            while !frozen() {
                assert!(start.elapsed() < LIMIT, "{action} {phase} is not reached");
                std::thread::sleep(Duration::from_millis(20));
            }
            child.kill().expect("killed");
            child.wait().expect("ends");
            yard.faults.set(&json!([]));

            Machine::new(&access, "again").muck(&arguments).exits(0);
            assert_eq!(yard.depth("failed"), (0, 0), "{action} {phase}");
            work_off(
                &yard,
                yard.start(&format!("sound-{number}"), &["--slots", "1"]),
            );
            let verdicts = yard.present(&format!("verdicts/{md5}"));
            assert_eq!(verdicts.len(), 1, "{action} {phase}");
            let verdict = String::from_utf8(yard.object(&verdicts[0])).expect("UTF-8");
            assert!(
                verdict.contains("\"converted\""),
                "{action} {phase}: {verdict}"
            );
        }
    }
}

fn hex_md5(content: &[u8]) -> String {
    use md5::{Digest as _, Md5};
    hex::encode(Md5::digest(content))
}

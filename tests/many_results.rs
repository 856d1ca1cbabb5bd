//! A batch of many files in a folder of its own, fetched where few files may be open.

use std::process::Command;

use md5::{Digest as _, Md5};

use crate::harness::Ended;
use crate::harness::sdk::Sdk;
use crate::harness::yard::{STACK, Yard};

const RESULTS: usize = 300;
/// Fewer than there are results; the usual limit of a login is 1,024.
const OPEN_FILES: usize = 256;

#[test]
fn more_results_come_than_files_may_be_open() {
    come("films", &["video/quicktime"]);
}

#[test]
fn more_folders_come_than_files_may_be_open() {
    come(
        "ladders",
        &[
            "application/vnd.apple.mpegurl;name=hls/master.m3u8",
            "application/vnd.apple.mpegurl;name=hls/360p.m3u8",
            "video/mp4;name=hls/360p.mp4",
        ],
    );
}

/// A batch of that name, whose jobs each have outputs of those types and names.
fn come(batch: &str, kinds: &[&str]) {
    let yard = Yard::open();
    let content = "what a worker made";
    let md5 = hex::encode(Md5::digest(content));
    let call = yard.sdk.s3.put_object().key(format!("media/{md5}"));
    let call = call.bucket(Sdk::bucket(STACK, "output"));
    let call = call.body(content.as_bytes().to_vec().into());
    yard.sdk.run(call.send()).expect("stores");
    let outputs: Vec<String> = kinds
        .iter()
        .map(|kind| format!("media/{md5};type={kind}"))
        .collect();
    send_statuses(&yard, batch, &outputs.join(","));

    // From the queue at first, from the ledger alone then.
    for folder in ["first", "second"] {
        let ended = results(&yard, batch, folder).exits(0);
        assert!(
            ended
                .stdout
                .contains(&format!("{RESULTS} results successfully retrieved")),
            "{ended:?}"
        );
        let trip = yard.world.work().join(folder).join("trip");
        let files = std::fs::read_dir(trip).expect("the films' own folder");
        assert_eq!(files.count(), RESULTS, "one of each job");
    }
}

fn send_statuses(yard: &Yard, batch: &str, output: &str) {
    let input = Sdk::bucket(STACK, "input");
    let bodies: Vec<String> = (0..RESULTS)
        .map(|number| {
            format!(
                "Bucket: {input}\nInputKey: media/{number:032x}\nOriginalFileName: {number}.avi\n\
                 OriginalLocation: trip\nSize: 1\nBatch: {batch}\nPreset: ipod\n\
                 OutputKey: {output}\nServer: ConvertVideo\nHost: h\n\
                 Service-Read: Wed, 21 Feb 2007 01:28:14 GMT\n\
                 Service-Write: Wed, 21 Feb 2007 01:28:27 GMT\nStatus: converted\n"
            )
        })
        .collect();
    yard.sdk.send_all(STACK, "output", &bodies);
}

/// Under prlimit, which starts what it is given.
fn results(yard: &Yard, batch: &str, folder: &str) -> Ended {
    let arguments = [
        "results",
        folder,
        "--batch",
        batch,
        "--no-wait",
        "--local",
        "--stack",
        STACK,
    ];
    let muck = yard.world.command(&arguments);
    let mut limited = Command::new("prlimit");
    limited
        .arg(format!("--nofile={OPEN_FILES}"))
        .arg(muck.get_program())
        .args(muck.get_args())
        .current_dir(muck.get_current_dir().expect("a folder"))
        .env_clear();
    for (name, value) in muck.get_envs() {
        limited.env(name, value.unwrap_or_default());
    }
    let output = limited.output().expect("prlimit starts");
    Ended::new(&arguments, &output)
}

//! What moto's instances, which do not boot, would do to the outside.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use aws_sdk_ec2::types as sdk;
use base64::Engine as _;
use sha2::{Digest as _, Sha256};

use super::super::machine::Access;
use super::super::sdk::Sdk;
use super::{DEBIAN, DEBIAN_IMAGE};

/// Running instances of a kind.
pub fn running(ec2: &Sdk, kind: &str) -> Vec<String> {
    let filter = |name: &str, value: &str| sdk::Filter::builder().name(name).values(value).build();
    let call = ec2.ec2.describe_instances();
    let call = call.filters(filter("tag:muck:kind", kind));
    let call = call.filters(filter("instance-state-name", "running"));
    let answer = ec2.run(call.send()).expect("instances");
    let instances = answer
        .reservations()
        .iter()
        .flat_map(sdk::Reservation::instances);
    instances
        .filter_map(|one| one.instance_id().map(str::to_owned))
        .collect()
}

/// Does what a builder does to the outside: downloads the worker, puts a report, powers off.
pub fn play_builder(ec2: &Sdk, instance: &str) {
    let script = user_data(ec2, instance);
    let url = |part: &str| {
        let urls = script.split('\'').filter(|word| word.starts_with("http:"));
        let mut fitting = urls.filter(|url| url.contains(part));
        fitting
            .next()
            .unwrap_or_else(|| panic!("no URL of {part} in the script"))
            .to_owned()
    };
    let worker = http("GET", &url("/worker/"), b"");
    let sum = hex::encode(Sha256::digest(&worker));
    assert!(script.contains(&sum), "the worker is not the script's");
    http("PUT", &url("/report"), report(&sum).as_bytes());
    let call = ec2.ec2.stop_instances().instance_ids(instance);
    ec2.run(call.send()).expect("stops");
}

/// Runs the real worker with the user data that the instance was given, until it ends, and then the instance.
pub fn play_worker(ec2: &Sdk, instance: &str, access: &Access, folder: &Path) {
    let file = folder.join(instance);
    std::fs::write(&file, user_data(ec2, instance)).expect("user data");
    let call = ec2.ec2.describe_instance_attribute().instance_id(instance);
    let call = call.attribute(sdk::InstanceAttributeName::InstanceInitiatedShutdownBehavior);
    let behaviour = ec2
        .run(call.send())
        .expect("an attribute")
        .instance_initiated_shutdown_behavior;
    assert_eq!(
        behaviour.and_then(|one| one.value).as_deref(),
        Some("terminate")
    );

    let mut worker =
        Command::new(Path::new(env!("CARGO_BIN_EXE_muck")).with_file_name("muck-worker"));
    worker
        .arg("--user-data")
        .arg(&file)
        .arg("--work-dir")
        .arg(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").expect("PATH"))
        .env("HOME", folder);
    access.pass_to(&mut worker);
    let output = worker.output().expect("the worker starts");
    assert!(
        output.status.success(),
        "the worker: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    // It would power itself off now.
    let call = ec2.ec2.terminate_instances().instance_ids(instance);
    ec2.run(call.send()).expect("ends");
}

/// The user data of an instance, unpacked.
fn user_data(ec2: &Sdk, instance: &str) -> String {
    let call = ec2.ec2.describe_instance_attribute().instance_id(instance);
    let call = call.attribute(sdk::InstanceAttributeName::UserData);
    let answer = ec2.run(call.send()).expect("user data");
    let encoded = answer.user_data.and_then(|data| data.value);
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(encoded.expect("some user data"))
        .expect("base64");
    if !bytes.starts_with(b"\x1f\x8b") {
        return String::from_utf8(bytes).expect("text");
    }
    let mut text = String::new();
    flate2::read::GzDecoder::new(&bytes[..])
        .read_to_string(&mut text)
        .expect("gzip");
    text
}

/// The report of a builder that installed one package.
fn report(worker: &str) -> String {
    let manifest =
        "[packages]\n ffmpeg 7:7.1.5-0+deb13u1 amd64\n[files]\n[links]\n[folders]\n[removed]\n";
    let digest = hex::encode(Sha256::digest(manifest));
    format!(
        "Muck-Report: 1\nStatus: ok\nStep: report\nExit: 0\nSeconds: 1\nArchitecture: x86_64\n\
         Base: {DEBIAN}/{DEBIAN_IMAGE}\nWorker: {worker}\nManifest: {digest}\n\
         [installed]\n ffmpeg 7:7.1.5-0+deb13u1 2345 -\n{manifest}"
    )
}

/// One request to a presigned URL, as `curl` would make it. Returns the body.
fn http(method: &str, url: &str, body: &[u8]) -> Vec<u8> {
    let rest = url.strip_prefix("http://").expect("plain HTTP");
    let (authority, path) = rest.split_once('/').expect("a path");
    let mut stream = TcpStream::connect(authority).expect("moto runs");
    let head = format!(
        "{method} /{path} HTTP/1.1\r\nHost: {authority}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream
        .write_all(&[head.as_bytes(), body].concat())
        .expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("answered");
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("a head");
    let status = answer.split(|byte| *byte == b' ').nth(1);
    assert_eq!(status, Some(&b"200"[..]), "{method} {url}");
    answer.split_off(end + 4)
}

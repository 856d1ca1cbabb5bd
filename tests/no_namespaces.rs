//! Where user namespaces are forbidden, as Ubuntu's AppArmor and some kernels forbid them to ordinary users.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::harness::World;

/// A server answers within a second or two.
const SOON: Duration = Duration::from_secs(20);

/// Forbids namespaces to itself and becomes the program behind it. Its user is 1000 as far as it can see.
const FORBIDDEN: [&str; 7] = [
    "--user",
    "--map-user=1000",
    "--map-group=1000",
    "--keep-caps",
    "sh",
    "-c",
    "echo 0 >/proc/sys/user/max_user_namespaces && exec \"$@\"",
];

#[test]
fn the_local_cloud_takes_the_machines_own_programs_and_says_why() {
    let world = World::new();
    let folder = world.work().join("cloud");
    let muck = world.command(&["local", "serve", "--dir"]);
    let mut command = Command::new("unshare");
    command.args(FORBIDDEN).arg("sh");
    command.arg(muck.get_program()).args(muck.get_args());
    command.arg(&folder).env_clear();
    for (name, value) in muck.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    let mut server = command
        .env_remove("MUCK_LOCAL_DRIVER")
        .stdout(Stdio::piped())
        .spawn()
        .expect("unshare starts");
    let mut lines = BufReader::new(server.stdout.take().expect("piped")).lines();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(lines.next()));
    let line = receiver.recv_timeout(SOON);
    server.kill().expect("killed");
    server.wait().expect("ends");
    let line = line
        .expect("the server answers")
        .expect("a line")
        .expect("text");
    let info: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    let driver = info["driver"].as_str().expect("a driver");
    assert!(driver.starts_with("process"), "{driver}");
    let folder = folder.display().to_string();
    let status = world.muck(&["local", "status", "--dir", &folder]);
    assert_eq!(status.code, 1, "it is gone: {}", status.stdout);
}

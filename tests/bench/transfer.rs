//! `muck submit` and `muck results` against s5cmd and `aws s3 cp` on the same S3 endpoint.
//!
//! They do the same to S3, and `muck` does more: it works out MD5 and SHA-256 of every file, looks whether S3 has it, sends
//! a message for each, compares what it fetches with the MD5 in its key, and takes it to the disk. What the MD5 alone costs is
//! measured too: s5cmd with `md5sum` before or behind it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use futures::stream::{self, StreamExt as _};
use md5::{Digest as _, Md5};

use super::files::Files;
use super::{RUNS, Way, table, timed};
use crate::harness::World;
use crate::harness::machine::{Access, Machine};
use crate::harness::memory::wait_measured;
use crate::harness::python;
use crate::harness::sdk::Sdk;
use crate::harness::sweep::{keep_table, tell};

#[test]
#[ignore = "takes many minutes: run it by `make bench`"]
fn files_go_and_come_as_fast_as_by_other_programs() {
    let files = Files::write();
    let mut tables = Vec::new();
    let mut slow = Vec::new();
    for (what, files) in [
        (files.small_ones(), &files.small),
        (files.large_one(), &files.large),
    ] {
        let (sent, fetched) = compare(files);
        for (verb, ways) in [("send", sent), ("fetch", fetched)] {
            let [muck, others @ .., _with_md5] = &ways[..] else {
                unreachable!("there are four")
            };
            let best = others
                .iter()
                .min_by(|one, other| one.0.median().total_cmp(&other.0.median()))
                .expect("others");
            let ratio = muck.0.median() / best.0.median();
            let all: Vec<&Way> = ways.iter().map(|(way, _)| way).collect();
            let mut text = table(&format!("{verb} {what}"), &all, &best.0);
            // Of the last, it is the shell's.
            for (way, memory) in &ways[..ways.len() - 1] {
                writeln!(
                    text,
                    "  {:<28} at most {:.0} MiB resident",
                    way.name,
                    *memory as f64 / 1024.0
                )
                .expect("writes");
            }
            tables.push(text);
            if ratio > 1.0 {
                slow.push(format!("{verb} {what}: x {ratio:.2}"));
            }
        }
    }
    keep_table("bench-transfer.txt", &tables.join("\n"));
    assert!(slow.is_empty(), "slower than the faster: {slow:?}");
}

/// A way, and the most memory that it had in any run, in KiB.
type Taken = (Way, u64);

/// Bytes of files up to which no run's files are removed before the last run. Where there is no journal, ext4 passes over
/// every file number that was given up in the last minutes whenever it makes a file: whoever came after thousands of
/// removals would pay for them.
const KEPT: u64 = 1 << 30;

/// Sends and fetches the files of a folder, in turns: muck, s5cmd and aws are each the first once.
fn compare(files: &Path) -> (Vec<Taken>, Vec<Taken>) {
    let new = || ["muck", "s5cmd", "aws s3 cp", "s5cmd and md5sum"].map(|name| (Way::new(name), 0));
    let (mut sent, mut fetched) = (new(), new());
    let bytes: u64 = films(files)
        .iter()
        .map(|film| film.metadata().expect("a file").len())
        .sum();
    let mut kept = Vec::new();
    for turn in 0..RUNS {
        // A local cloud of its own each time: nothing is there already, and the disk is given back.
        let world = World::without_booting();
        world.muck(&["plan", "--local"]).exits(3);
        let access = Access::of(&world);
        let machine = Machine::new(&access, "bench").patient();
        machine.muck(&["up", "--stack", "b"]).exits(0);
        let bucket = Sdk::bucket("b", "input");
        let from = files.to_str().expect("UTF-8");
        let mut s5cmd = tool(&access, "s5cmd");
        s5cmd.args(["cp", &format!("{from}/"), &format!("s3://{bucket}/s5cmd/")]);
        let mut aws = tool(&access, "aws");
        aws.args([
            "s3",
            "cp",
            "--recursive",
            "--only-show-errors",
            from,
            &format!("s3://{bucket}/aws/"),
        ]);
        let mut muck = machine.command(&["submit", from, "--stack", "b", "--batch", "b"]);
        let mut with_md5 = tool_by_shell(
            &access,
            "md5sum \"$1\"/* >sums && \"$0\" cp \"$1/\" \"$2\"",
            &[from, &format!("s3://{bucket}/md5/")],
        );
        with_md5.current_dir(machine.work());
        run_all(
            turn,
            &mut sent,
            [&mut muck, &mut s5cmd, &mut aws, &mut with_md5],
        );

        convert_all(&world, files);
        let bucket = Sdk::bucket("b", "output");
        let place = |name: &str| {
            machine
                .work()
                .join(name)
                .to_str()
                .expect("UTF-8")
                .to_owned()
        };
        let mut s5cmd = tool(&access, "s5cmd");
        s5cmd.args([
            "cp",
            &format!("s3://{bucket}/media/*"),
            &(place("s5cmd") + "/"),
        ]);
        let mut aws = tool(&access, "aws");
        aws.args(["s3", "cp", "--recursive", "--only-show-errors"]);
        aws.args([&format!("s3://{bucket}/media/"), &place("aws")]);
        let mut muck =
            machine.command(&["results", &place("muck"), "--stack", "b", "--batch", "b"]);
        let mut with_md5 = tool_by_shell(
            &access,
            "\"$0\" cp \"$1\" \"$2/\" && md5sum \"$2\"/* >sums",
            &[&format!("s3://{bucket}/media/*"), &place("md5")],
        );
        with_md5.current_dir(machine.work());
        run_all(
            turn,
            &mut fetched,
            [&mut muck, &mut s5cmd, &mut aws, &mut with_md5],
        );
        assert_eq!(
            count(&machine.work().join("muck")),
            count(files),
            "all came"
        );
        tell(format!(
            "{:?}",
            sent.iter()
                .chain(&fetched)
                .map(|(way, _)| &way.runs)
                .collect::<Vec<_>>()
        ));
        if bytes <= KEPT {
            kept.push((machine, world));
        }
    }
    (sent.into(), fetched.into())
}

/// Runs each way's command, beginning with the one whose turn it is.
fn run_all<const WAYS: usize>(
    turn: usize,
    ways: &mut [Taken; WAYS],
    commands: [&mut Command; WAYS],
) {
    let mut pairs: Vec<_> = ways.iter_mut().zip(commands).collect();
    pairs.rotate_left(turn % WAYS);
    for (way, command) in pairs {
        run(way, command);
    }
}

fn run((way, memory): &mut Taken, command: &mut Command) {
    let log = tempfile::NamedTempFile::new().expect("a file");
    let output = || log.reopen().expect("opens");
    command
        .stdin(Stdio::null())
        .stdout(output())
        .stderr(output());
    // What others wrote before is not to be waited for.
    nix::unistd::sync();
    way.add(timed(|| {
        let mut child = command.spawn().expect("starts");
        let (end, most) = wait_measured(&mut child);
        *memory = most.max(*memory);
        let said = std::fs::read_to_string(log.path()).unwrap_or_default();
        assert!(end.success(), "{command:?}: {said}");
    }));
}

/// A program of `scripts/python-tools.sh bench`, told where S3 is.
fn tool(access: &Access, name: &str) -> Command {
    told_where(access, Command::new(python::bench_tool(name)))
}

/// A line of shell in which s5cmd is `$0`.
fn tool_by_shell(access: &Access, line: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", line])
        .arg(python::bench_tool("s5cmd"))
        .args(arguments);
    told_where(access, command)
}

fn told_where(access: &Access, mut command: Command) -> Command {
    access.pass_to(&mut command);
    // Their own names for what others know as AWS_ENDPOINT_URL and AWS_REGION.
    command.env("S3_ENDPOINT_URL", &access.url);
    command.env("AWS_DEFAULT_REGION", &access.region);
    command
}

/// What a worker would leave behind that converts each film into itself.
fn convert_all(world: &World, files: &Path) {
    let sdk = Sdk::of(world);
    let (input, output) = (Sdk::bucket("b", "input"), Sdk::bucket("b", "output"));
    let inputs: Vec<(String, String, u64)> = films(files)
        .into_iter()
        .map(|path| {
            let content = std::fs::read(&path).expect("reads");
            let name = path.file_name().expect("a name").to_str().expect("UTF-8");
            let md5 = hex::encode(Md5::digest(&content));
            (name.to_owned(), md5, content.len() as u64)
        })
        .collect();
    let unread = sdk.queue_url("b", "input");
    sdk.run(async {
        stream::iter(&inputs)
            .for_each_concurrent(16, |(_, md5, _)| {
                let call = sdk.s3.copy_object().bucket(&output);
                let call = call.key(format!("media/{md5}"));
                let call = call.copy_source(format!("{input}/media/{md5}"));
                async move {
                    call.send().await.expect("copies");
                }
            })
            .await;
        let purged = sdk.sqs.purge_queue().queue_url(&unread).send().await;
        purged.expect("empties the input queue");
    });
    let bodies: Vec<String> = inputs
        .iter()
        .map(|(name, md5, size)| {
                format!(
                    "Bucket: {input}\nInputKey: media/{md5}\nOriginalFileName: {name}\nSize: {size}\nBatch: b\n\
                     Preset: ipod\nOutputBucket: {output}\nOutputKey: media/{md5};type=video/quicktime\n\
                     Server: ConvertVideo\nHost: bench\nService-Read: Thu, 01 Jan 2026 00:00:00 GMT\n\
                     Service-Write: Thu, 01 Jan 2026 00:00:01 GMT\nStatus: converted\n"
            )
        })
        .collect();
    sdk.send_all("b", "output", &bodies);
}

fn films(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries
        .map(|entry| entry.expect("an entry").path())
        .collect()
}

fn count(folder: &Path) -> usize {
    walkdir::WalkDir::new(folder)
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| {
            entry.file_type().is_file() && entry.path().extension().is_some_and(|e| e != "csv")
        })
        .count()
}

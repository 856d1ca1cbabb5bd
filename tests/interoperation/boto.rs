//! What boto 2.49 has of the 2007 service.
//!
//! Everything is its own that writes and reads messages: the program `bs` with `Submitter`, `ServiceMessage` and
//! `ResultProcessor`, and its S3. Its SQS speaks the query protocol, which moto knows and our local cloud does not:
//! there boto3 carries the texts that boto's classes make and read. `tests/python/boto_2007.py` tells what boto needs
//! to run at all on a Python of today.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use md5::{Digest as _, Md5};
use muck_worker::message::{Message, Status, StatusMessage};

use super::{LIMIT, Said, Somewhere, sample};
use crate::harness::machine::Access;
use crate::harness::media::probe;
use crate::harness::yard::{STACK, Yard};
use crate::harness::{World, judge, python};

impl Somewhere {
    fn boto(&self, arguments: &[&str]) -> Said {
        self.python("", &python::script("boto_2007.py"), arguments)
    }

    /// `bs submit` of a folder, whose name and a slash are cut off the keys; returns the batch.
    fn bs_submit(&self, folder: &str) -> String {
        let path = format!("{}/", self.path(folder).display());
        let said = self
            .boto(&["bs", "-p", &path, "service.cfg", "submit"])
            .exits(0);
        let batch = said
            .stdout
            .lines()
            .find_map(|line| line.strip_prefix("Batch Identifier: "));
        batch.expect("told").to_owned()
    }

    /// `bs retrieve`. Our keys are paths, for which boto's program makes no folder.
    fn bs_retrieve(&self, batch: &str, folder: &str) -> Said {
        std::fs::create_dir_all(self.path(folder).join("media")).expect("folder");
        self.boto(&["bs", "-p", folder, "-b", batch, "service.cfg", "retrieve"])
    }
}

/// Five minutes of a sample: so no machine is so fast that the batch takes no second, for which boto's statistics
/// divide by zero.
fn long(folder: &Path) -> Vec<u8> {
    let path = folder.join("long.avi");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-stream_loop", "50", "-i"])
        .arg(World::sample("MVI_3113.AVI"))
        .args(["-c", "copy"])
        .arg(&path)
        .status();
    assert!(made.expect("ffmpeg runs").success());
    std::fs::read(path).expect("a film")
}

/// The header lines of a text, by name.
fn headers(text: &str) -> BTreeMap<&str, &str> {
    text.lines()
        .filter_map(|line| line.split_once(": "))
        .collect()
}

/// Two films by `bs submit`, a look at what it wrote, `convert`, and `bs retrieve`.
fn films_go_and_come_by_bs(
    somewhere: &Somewhere,
    sent: &dyn Fn() -> Vec<String>,
    convert: &dyn Fn(),
) {
    let names = ["MVI_3113.AVI", "long.avi"];
    somewhere.file("films/media/MVI_3113.AVI", &sample("MVI_3113.AVI"));
    somewhere.file("films/media/long.avi", &long(somewhere.folder.path()));
    let batch = somewhere.bs_submit("films");

    let bodies = sent();
    for body in &bodies {
        // Not base64, though boto's plain `Message` is; in the order of boto, and without a `Date`.
        assert!(
            body.starts_with(&format!("Batch: {batch}\nOriginalLocation: /")),
            "{body}"
        );
        let told = headers(body);
        assert_eq!(told["Content-Type"], "video/x-msvideo", "{body}");
        assert!(told["FileModifiedDate"].ends_with('Z'), "{body}");
        assert!(
            !told["Host"].is_empty() && !told.contains_key("Date"),
            "{body}"
        );
    }
    let keys: BTreeSet<&str> = bodies
        .iter()
        .map(|body| headers(body)["InputKey"])
        .collect();
    assert_eq!(keys, ["media/MVI_3113.AVI", "media/long.avi"].into());

    convert();
    let said = somewhere.bs_retrieve(&batch, "back").exits(0);
    assert!(
        said.stdout.contains("2 results successfully retrieved."),
        "{}",
        said.stdout
    );
    let log = std::fs::read(somewhere.path("back/log.csv")).expect("boto's log");
    let mut reader = csv::Reader::from_reader(&log[..]);
    let rows: Vec<BTreeMap<String, String>> = reader
        .deserialize()
        .collect::<Result<_, _>>()
        .expect("the columns are the same for all");
    let logged: BTreeSet<&str> = rows
        .iter()
        .map(|row| row["OriginalFileName"].as_str())
        .collect();
    assert_eq!(logged, names.into());
    let mut seconds = Vec::new();
    for row in &rows {
        check_row(somewhere, row, &batch);
        seconds.push((time(&row["Service-Read"]), time(&row["Service-Write"])));
    }
    check_statistics(&said.stdout, &seconds);
}

/// What boto's log says of a job, and the file that boto fetched.
fn check_row(somewhere: &Somewhere, row: &BTreeMap<String, String>, batch: &str) {
    let name = &row["OriginalFileName"];
    for (column, value) in [
        ("Batch", batch),
        ("Bucket", &somewhere.access.bucket(somewhere.stack, "input")),
        (
            "OutputBucket",
            &somewhere.access.bucket(somewhere.stack, "output"),
        ),
        ("InputKey", &format!("media/{name}")),
        ("Server", "ConvertVideo"),
        ("Status", "converted"),
        ("Content-Type", "video/x-msvideo"),
    ] {
        assert_eq!(row[column], value, "{column} in {row:?}");
    }
    // The worker's, which is on this machine here, as boto's was.
    let host = nix::unistd::gethostname().expect("a name");
    assert_eq!(row["Host"], host.to_string_lossy());
    let submitted = std::fs::metadata(somewhere.path(&format!("films/media/{name}")));
    assert_eq!(row["Size"], submitted.expect("a film").len().to_string());

    let key = row["OutputKey"]
        .strip_suffix(";type=video/quicktime")
        .expect("key and type");
    let file = somewhere.path("back").join(key);
    let content = std::fs::read(&file).expect("boto fetched it under its key");
    assert_eq!(key, format!("media/{}", hex::encode(Md5::digest(content))));
    let media = probe(&file);
    assert_eq!((&*media.major_brand, &*media.video_codec), ("qt", "mpeg4"));
}

fn time(text: &str) -> Timestamp {
    assert!(text.ends_with(" GMT"), "{text}");
    rfc2822::parse(text).expect("a date").timestamp()
}

/// The figures that boto prints are those of the times that the messages tell.
fn check_statistics(said: &str, times: &[(Timestamp, Timestamp)]) {
    let seconds = |(from, to): (Timestamp, Timestamp)| to.as_second() - from.as_second();
    let each: Vec<i64> = times.iter().copied().map(seconds).collect();
    let first = times.iter().map(|one| one.0).min().expect("some");
    let last = times.iter().map(|one| one.1).max().expect("some");
    for line in [
        format!(
            "Minimum Processing Time: {}",
            each.iter().min().expect("some")
        ),
        format!(
            "Maximum Processing Time: {}",
            each.iter().max().expect("some")
        ),
        format!("Elapsed Time: {}", seconds((first, last))),
    ] {
        assert!(
            said.lines().any(|other| other == line),
            "no {line:?} in\n{said}"
        );
    }
}

/// Nothing but boto between its classes and the cloud.
#[test]
fn the_2007_program_submits_and_retrieves() {
    let moto = judge::moto();
    let machine = moto.machine();
    machine.file("muck.toml", "idle = \"2s\"\n");
    machine.muck(&["up"]).exits(0);
    let somewhere = Somewhere::new(moto.access(), "muck", false);
    let sent = || {
        moto.account()
            .peek("muck-muck-input", 2, Duration::from_secs(30))
    };
    films_go_and_come_by_bs(&somewhere, &sent, &|| {
        let image = moto.image_to_launch().expect("one");
        machine
            .muck(&["launch", "-n", "1", "--ttl", "1h", "--image", image])
            .exits(0);
        moto.work();
    });
}

/// The same where signatures are verified; then the other forms of input that 2007 knew, and a file that fails.
#[test]
fn all_forms_of_2007_are_answered() {
    let yard = Yard::open();
    let somewhere = Somewhere::new(&Access::of(&yard.world), STACK, true);
    let sent = || {
        let bodies = yard.drain("input");
        for body in &bodies {
            yard.send(body);
        }
        bodies
    };
    films_go_and_come_by_bs(&somewhere, &sent, &|| {
        let worker = yard.start("films", &[]);
        yard.wait_done(LIMIT, &worker);
    });

    // The article's keys, a bare MD5; and what `SonOfMMM` writes of objects that it finds in the bucket.
    let clip = sample("MVI_3114.AVI");
    somewhere.file("MVI_3114.AVI", &clip);
    somewhere
        .boto(&["md5", "service.cfg", "article", "MVI_3114.AVI"])
        .exits(0);
    let stored = format!("media/{}", yard.store(&sample("MVI_3121.AVI")));
    somewhere
        .boto(&["listed", "service.cfg", "found", &stored])
        .exits(0);
    let worker = yard.start("others", &[]);
    yard.wait_done(LIMIT, &worker);
    let told: BTreeMap<String, StatusMessage> = yard
        .drain("output")
        .iter()
        .map(|body| {
            StatusMessage::from_message(&Message::parse(body).expect("parses")).expect("a status")
        })
        .map(|status| (status.input.input_key.clone(), status))
        .collect();
    let md5 = hex::encode(Md5::digest(&clip));
    let names = [(&md5, "MVI_3114.AVI"), (&stored, &*stored)];
    assert!(told.keys().eq(names.map(|(key, _)| key)), "{told:?}");
    for (key, name) in names {
        let status = &told[key];
        assert_eq!(
            (status.status, &*status.input.original_file_name),
            (Status::Converted, name)
        );
        let output = yard.object(&status.outputs[0].key);
        somewhere.file("output", &output);
        assert_eq!(probe(&somewhere.path("output")).major_brand, "qt");
    }

    // boto's reader knows no failures. It writes the row, and then looks for the output.
    somewhere.file("bad/media/bad.avi", &clip[..200]);
    let batch = somewhere.bs_submit("bad");
    yard.wait_done(LIMIT, &worker);
    let said = somewhere.bs_retrieve(&batch, "bad-back").exits(1);
    assert!(
        said.stderr.contains("KeyError: 'OutputKey'"),
        "{}",
        said.stderr
    );
    let log = std::fs::read_to_string(somewhere.path("bad-back/log.csv")).expect("boto's log");
    assert!(log.contains(",Status"), "{log}");
}

//! Messages that nobody well-meaning sends, through the real worker: each becomes one dead letter with its
//! reason, ffmpeg is never started on one, and nothing raw reaches a terminal.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use muck_worker::message::{DeadLetter, MAX_INPUT_BYTES, Message};

use crate::harness::World;
use crate::harness::sdk::Sdk;
use crate::harness::sweep::keep_table;
use crate::harness::yard::{STACK, Yard};

/// Converting nothing takes milliseconds a message.
const LIMIT: Duration = Duration::from_mins(2);

/// Terminal, bidirectional and shell text in one. SQS itself refuses the controls below U+0020 but for tab and
/// line ends.
const EVIL: &str =
    "a\u{9b}2J\u{85}\u{202e}\u{2028}$(touch pwned)`touch pwned`;touch pwned|-i http://x/%d -y";

struct Row {
    what: &'static str,
    body: String,
    /// Part of the reason that is expected.
    reason: &'static str,
}

/// The table: what is sent, and why it is refused.
fn rows(good: &str, md5: &str, empty: &str) -> Vec<Row> {
    let input = Sdk::bucket(STACK, "input");
    let row = |what, body: String, reason| Row { what, body, reason };
    let without = |name: &str| -> String {
        let kept = good.lines().filter(|line| !line.starts_with(name));
        kept.flat_map(|line| [line, "\n"]).collect()
    };
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replace(from, to)
    };
    let key = format!("media/{md5}");
    let json = r#"{"Records": [{"s3": {"bucket": {"name": "x"}}}]}"#;
    let mut rows = vec![
        row("no InputKey", without("InputKey"), "`InputKey` is missing"),
        row("no Bucket", without("Bucket"), "`Bucket` is missing"),
        row("no Size", without("Size"), "`Size` is missing"),
        row(
            "two keys",
            format!("{good}InputKey: media/x\n"),
            "`InputKey` appears more than once",
        ),
        row(
            "two sizes, one in capitals",
            format!("{good}SIZE: 1\n"),
            "`Size` appears more than once",
        ),
        row("JSON", json.to_owned(), "not of the form `Name: value`"),
        row(
            "XML",
            "<Message><Bucket>x</Bucket></Message>".to_owned(),
            "not of the form",
        ),
        row(
            "base64",
            "QnVja2V0OiB4CklucHV0S2V5OiB5Cg==".to_owned(),
            "not of the form",
        ),
        row(
            "a body after the headers",
            format!("{good}\nhello\n"),
            "comes after a blank line",
        ),
        row("spaces only", " \n\t\n ".to_owned(), "the message is empty"),
        row(
            "headers of nobody",
            "X-Colour: red\n".to_owned(),
            "`Bucket` is missing",
        ),
        row(
            "a megabyte in one header",
            format!("{good}X-Long: {}\n", "x".repeat(1_000_000)),
            "an input message has at most",
        ),
        row(
            "a megabyte of noise",
            "é".repeat(500_000),
            "an input message has at most",
        ),
        row(
            "twelve thousand headers",
            format!("{good}{}", "X: y\n".repeat(12_000)),
            "an input message has at most",
        ),
        row("a folded key", with(&key, "media/\n x"), "is not there"),
        row(
            "another bucket",
            with(&input, "somebody-elses-bucket"),
            "not the one that this worker reads from",
        ),
        row(
            "the output bucket as input",
            with(&input, &Sdk::bucket(STACK, "output")),
            "not the one that this worker reads from",
        ),
        row(
            "no bucket's name",
            with(&input, "../etc"),
            "not a bucket name",
        ),
        row(
            "another output bucket",
            format!("{good}OutputBucket: somebody-elses-bucket\n"),
            "not the one that this worker writes to",
        ),
        row(
            "a key that climbs",
            with(&key, "../../../etc/passwd"),
            "not there",
        ),
        row(
            "a key that climbs from media",
            with(&key, "media/../../secrets"),
            "not there",
        ),
        row("an absolute key", with(&key, "/etc/passwd"), "not there"),
        row(
            "a URL as key",
            with(&key, "http://169.254.169.254/latest/meta-data/"),
            "not there",
        ),
        row(
            "a key of 2 KiB",
            with(&key, &"k".repeat(2048)),
            "at most 1024 bytes",
        ),
        row(
            "an unknown preset",
            with("Preset: ipod", "Preset: vhs"),
            "there is no preset `vhs`",
        ),
        row(
            "a preset of options",
            with("Preset: ipod", "Preset: -f null - -i /etc/passwd"),
            "there is no preset",
        ),
        row(
            "a preset that is a path",
            with("Preset: ipod", "Preset: ../../../etc/passwd"),
            "there is no preset",
        ),
        row(
            "a size that no disk has",
            format!("{}Size: 1000000000000000\n", without("Size")),
            "bytes of disk",
        ),
        row(
            "a size too large",
            with("Size: ", "Size: 1"),
            "bytes, but the message says",
        ),
        row(
            "a size too small",
            format!("{}Size: 1\n", without("Size")),
            "bytes, but the message says 1",
        ),
        row(
            "size zero",
            format!("{}Size: 0\n", without("Size")),
            "bytes, but the message says 0",
        ),
        row(
            "a negative size",
            format!("{}Size: -1\n", without("Size")),
            "not a whole number of bytes",
        ),
        row(
            "a size past 64 bits",
            format!("{}Size: 18446744073709551616\n", without("Size")),
            "not a whole number of bytes",
        ),
        row(
            "a hexadecimal size",
            format!("{}Size: 0x10\n", without("Size")),
            "not a whole number of bytes",
        ),
        row(
            "a date that is none",
            format!("{good}Date: tomorrow\n"),
            "`Date` can't be `tomorrow`",
        ),
        row(
            "a date that isn't in the calendar",
            format!("{good}Date: Tue, 31 Feb 2007 25:61:61 GMT\n"),
            "`Date` can't be",
        ),
        row(
            "a SHA-256 of words",
            format!("{good}SHA256: no sum\n"),
            "not 64 hexadecimal digits",
        ),
        row(
            "another's SHA-256",
            format!("{good}SHA256: {}\n", "0".repeat(64)),
            "hasn't the SHA-256 that its message tells",
        ),
        row("another's MD5", with(md5, &"0".repeat(32)), "not there"),
        row(
            "content that is not its key's",
            with(md5, empty),
            "the content has the MD5",
        ),
    ];
    // Active characters in every field: it is refused for its last header, whatever the others hold.
    for name in [
        "OriginalFileName",
        "OriginalLocation",
        "Batch",
        "X-Own",
        "Error",
        "Status",
        "Original-Message",
    ] {
        let body = format!(
            "{}X-Row: {name}\n{name}: {EVIL}\nDate: {EVIL}\n",
            without(name)
        );
        rows.push(row(name, body, "`Date` can't be"));
    }
    for name in [
        "Bucket",
        "InputKey",
        "Preset",
        "Size",
        "Date",
        "SHA256",
        "OutputBucket",
    ] {
        let reason = match name {
            "InputKey" => "not there",
            "Preset" => "there is no preset",
            "Bucket" | "OutputBucket" => "not a bucket name",
            "Size" => "not a whole number",
            "Date" => "`Date` can't be",
            _ => "not 64 hexadecimal digits",
        };
        let body = format!("{}{name}: {EVIL}\n", without(name));
        rows.push(row(name, body, reason));
    }
    rows
}

#[test]
fn each_is_one_dead_letter_with_its_reason() {
    let yard = Yard::open();
    let clip = std::fs::read(World::sample("MVI_3121.AVI")).expect("sample");
    let md5 = yard.store(&clip);
    // Content that is not what its key says.
    let empty = "d41d8cd98f00b204e9800998ecf8427e";
    let call = yard.sdk.s3.put_object().bucket(Sdk::bucket(STACK, "input"));
    let call = call.key(format!("media/{empty}")).body(clip.clone().into());
    yard.sdk.run(call.send()).expect("stores");

    let good = Yard::message("good.avi", &md5, clip.len(), "ipod");
    let rows = rows(&good, &md5, empty);
    for row in &rows {
        yard.send(&row.body);
    }

    // Programs that only say that they were started on a file, and that they know what the preset needs.
    let tools = yard.world.work().join("tools");
    std::fs::create_dir_all(&tools).expect("folder");
    let traces = yard.world.work().join("started");
    for name in ["ffmpeg", "ffprobe"] {
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in *-i*) : >> {} ;; *-encoders*) printf ' V....D mpeg4 x\\n A....D aac x\\n' ;; esac\necho '{name} version 7.1'\n",
            traces.display()
        );
        let path = tools.join(name);
        std::fs::write(&path, script).expect("writes");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("mode");
    }
    let mut command = yard.command("hostile", &["--slots", "4"]);
    let path = std::env::var("PATH").expect("PATH");
    command.env("PATH", format!("{}:{path}", tools.display()));
    // In the jail they could leave no trace; outside of it they may make a file, though write nothing into it.
    command.env("MUCK_WORKER_UNJAILED", "1");
    let worker = yard.run("hostile", command);
    yard.wait_done(LIMIT, &worker);

    assert!(!traces.exists(), "the worker says:\n{}", worker.said());
    assert!(!yard.folder("hostile").join("pwned").exists());
    assert!(!yard.world.work().join("pwned").exists());
    assert_eq!(yard.written("verdicts/"), Vec::<String>::new());
    assert_eq!(yard.written("media/"), Vec::<String>::new());
    // The worker's log is a console that people read.
    assert_harmless(&worker.said());

    // `muck failed ls` peeks: twice the same.
    let list = || {
        let letters = yard
            .world
            .muck(&["failed", "ls", "--local", "--stack", STACK]);
        letters.exits(0).stdout
    };
    let listed = list();
    assert_harmless(&listed);
    assert_eq!(list(), listed);

    let letters: Vec<DeadLetter> = yard
        .drain("failed")
        .iter()
        .map(|body| DeadLetter::read(body))
        .collect();
    assert_eq!(letters.len(), rows.len(), "one letter a message");
    let mut table = String::from("| message | dead letter's reason |\n|---|---|\n");
    for row in &rows {
        let original = kept(&row.body);
        let of_it: Vec<&DeadLetter> = letters
            .iter()
            .filter(|letter| match &letter.original {
                Some(text) => *text == original,
                // Too long to be kept: known by its length, which its reason tells.
                None => letter
                    .reason
                    .as_ref()
                    .is_some_and(|reason| reason.contains(&format!(" {} bytes", row.body.len()))),
            })
            .collect();
        let reasons: Vec<&str> = of_it.iter().filter_map(|l| l.reason.as_deref()).collect();
        assert!(
            matches!(reasons[..], [reason] if reason.contains(row.reason)),
            "{}: expected {:?}, found {reasons:?}",
            row.what,
            row.reason
        );
        let _ = writeln!(
            table,
            "| {} | {} |",
            row.what,
            reasons[0].replace('|', "\\|")
        );
    }
    keep_table("hostile-messages.md", &table);
    for letter in &letters {
        // Another machine might be large enough.
        let others_tried = letter
            .reason
            .as_ref()
            .is_some_and(|why| why.contains("bytes of disk"));
        let receives = if others_tried { 3 } else { 1 };
        assert_eq!(letter.receives, Some(receives), "{letter:?}");
    }

    // Whatever names a bucket or a key is told too, once each.
    let tellable = |row: &&Row| {
        row.body.len() <= MAX_INPUT_BYTES
            && Message::parse(&row.body)
                .is_ok_and(|m| m.get("Bucket").or(m.get("InputKey")).is_some())
    };
    assert_eq!(
        yard.drain("output").len(),
        rows.iter().filter(tellable).count()
    );
}

/// What a dead letter keeps of a text: itself, or its headers but for those that say why it is dead.
fn kept(body: &str) -> String {
    if body.len() > MAX_INPUT_BYTES {
        return body.to_owned();
    }
    match Message::parse(body) {
        Ok(mut message) => {
            if message.get("Original-Message").is_none() {
                message.remove("Error");
                message.remove("Status");
            }
            message.to_string()
        }
        Err(_) => body.to_owned(),
    }
}

/// Nothing that acts on a terminal but line ends.
fn assert_harmless(text: &str) {
    for line in text.lines() {
        assert_eq!(muck_worker::text::printable(line), line);
    }
}

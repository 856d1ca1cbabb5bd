//! Files that nobody well-meaning sends, through the real worker in its jail: each ends as `files.toml` says, in bounded time,
//! memory and disk; no output holds a byte of what lies outside of the jail, and nobody is called.

mod bytes;
mod corpus;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use muck_worker::message::{DeadLetter, Message, StatusMessage};
use muck_worker::verdict::Verdict;
use serde::Deserialize;

use crate::harness::World;
use crate::harness::sweep::keep_table;
use crate::harness::yard::{STACK, Yard};
use corpus::Bait;

/// All files take two minutes where the machine does nothing else.
const LIMIT: Duration = Duration::from_mins(20);

/// Files that name others.
const REFERENCES: &str = "playlists and references";

/// The rows that must be survived, each of which has a file.
const ROWS: [&str; 15] = [
    "empty",
    "one byte",
    "noise",
    "truncated",
    "flipped bits",
    "no video",
    "encrypted",
    REFERENCES,
    "bombs in pixels",
    "bombs in time",
    "bombs in streams",
    "bombs in frame rate",
    "bombs in attachments",
    "endless streams",
    "names",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    bounds: Bounds,
    file: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bounds {
    wall_seconds: f64,
    memory_mib: u64,
    written_mib: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// Of the table of what must be survived.
    #[serde(rename = "row")]
    kind: String,
    name: String,
    what: String,
    outcome: String,
    reason: Option<String>,
    wall_seconds: Option<f64>,
    memory_mib: Option<u64>,
    written_mib: Option<u64>,
}

fn table() -> Table {
    toml::from_str(include_str!("files.toml")).expect("files.toml is of its form")
}

/// Everything that must not get out, and that must not be called.
struct Trap {
    listener: TcpListener,
    /// What no output, verdict or message may hold.
    secrets: Vec<String>,
}

impl Trap {
    fn set(secrets: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        listener.set_nonblocking(true).expect("doesn't wait");
        Self { listener, secrets }
    }

    fn port(&self) -> u16 {
        self.listener.local_addr().expect("bound").port()
    }

    fn is_quiet(&self) {
        let called = self.listener.accept();
        assert!(
            called
                .as_ref()
                .is_err_and(|e| e.kind() == ErrorKind::WouldBlock),
            "a file made somebody call: {called:?}"
        );
    }

    fn holds(&self, what: &str, content: &[u8]) {
        for secret in &self.secrets {
            let out = content
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!out, "{what} holds what lies outside of the jail");
        }
    }
}

#[test]
fn the_table_has_all_rows_and_names_each_file_once() {
    let table = table();
    let rows: BTreeSet<&str> = table.file.iter().map(|file| file.kind.as_str()).collect();
    assert_eq!(rows, ROWS.into_iter().collect());
    let names: BTreeSet<&str> = table.file.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names.len(), table.file.len());
}

/// The worker as a process of this machine, jailed with its `bubblewrap`.
#[test]
fn each_hostile_file_ends_as_the_table_says() {
    let yard = Yard::open();
    let marker = format!("muck-marker-{:032x}", rand::random::<u128>());
    let secret = yard.world.file("secret", format!("{marker}\n").repeat(50));
    // Where the walls alone hide it.
    let trap = Trap::set(vec![marker]);
    let corpus = make_corpus(&yard.world, &secret, &trap);
    let submitted = submit(&yard, &corpus, &table().file);

    let mut command = yard.command("hostile", &["--slots", "2"]);
    // The cloud's keys are in its environment too.
    command.env("MUCK_TEST_MARKER", &trap.secrets[0]);
    let began = Instant::now();
    let worker = yard.run("hostile", command);
    yard.wait_done(LIMIT, &worker);
    let log = worker.said();
    assert!(log.contains("ffmpeg runs jailed"), "{log}");
    assert!(
        !log.contains(" ERROR "),
        "a file's fault is told as the machine's:\n{log}"
    );
    judge(
        &yard,
        &trap,
        &submitted,
        &log,
        "hostile-files.md",
        began.elapsed(),
    );
    let left: Vec<PathBuf> = std::fs::read_dir(yard.folder("hostile"))
        .expect("its folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    assert_eq!(left, Vec::<PathBuf>::new(), "left in the working folder");
}

/// Without walls the lists of formats and protocols must do alone. What the files name is a film that can be read: whoever follows
/// them has something to convert.
#[test]
fn without_walls_no_file_leads_to_another() {
    let yard = Yard::open();
    let marker = format!("muck-marker-{:032x}", rand::random::<u128>());
    let secret = yard.world.work().join("secret.ts");
    corpus::readable_bait(&secret, &marker);
    let trap = Trap::set(vec![marker]);
    let corpus = make_corpus(&yard.world, &secret, &trap);
    for (name, options) in [
        ("hls-path.m3u8", &["-allowed_extensions", "ALL"][..]),
        ("ffconcat.avi", &["-safe", "0"]),
    ] {
        assert!(
            corpus::can_be_read(&corpus.join(name), options),
            "{name} is no bait"
        );
    }
    let rows: Vec<Row> = table()
        .file
        .into_iter()
        .filter(|row| row.kind == REFERENCES)
        .collect();
    let submitted = submit(&yard, &corpus, &rows);
    let mut command = yard.command("hostile", &["--slots", "2"]);
    command.env("MUCK_WORKER_UNJAILED", "1");
    let worker = yard.run("hostile", command);
    yard.wait_done(LIMIT, &worker);
    trap.is_quiet();
    trap.holds("the worker's log", worker.said().as_bytes());
    let verdicts = verdicts(&yard, &trap);
    for row in &rows {
        let verdict = &verdicts[&submitted[&row.name]];
        let (status, why) = (verdict.status.to_string(), &verdict.error);
        let right = row.outcome == "either" || row.outcome == status;
        assert!(right, "{} is {status}: {why:?}", row.name);
    }
}

/// Presets that keep rate, size or streams of the input, or hold many of its pictures at a time.
const OTHER_PRESETS: [&str; 6] = ["web", "hls", "gif", "thumbnails", "audio", "remux"];
/// A bomb that another preset than `ipod` makes something of may take so many times the bounds of its row. `web` and `hls` encode
/// H.264 with a lookahead of 40 pictures.
const OTHERS_TAKE: u64 = 3;

/// What bounds a bomb must not be that `ipod` makes 30 pictures a second of 320x240 of whatever it gets.
#[test]
fn bombs_are_bounded_by_every_preset() {
    let yard = Yard::open();
    let trap = Trap::set(Vec::new());
    let corpus = make_corpus(&yard.world, Path::new("/nowhere"), &trap);
    let table = table();
    let bombs: Vec<&Row> = (table.file.iter())
        .filter(|row| row.kind.starts_with("bombs") || row.kind == "endless streams")
        .collect();
    let mut submitted = BTreeMap::new();
    for preset in OTHER_PRESETS {
        for row in &bombs {
            let content = std::fs::read(corpus.join(&row.name)).expect("was made");
            let name = format!("{preset} {}", row.name);
            let md5 = yard.submit(&name, &content, preset);
            submitted.insert((preset, &row.name), md5);
        }
    }
    let worker = yard.start("bombs", &["--slots", "2"]);
    yard.wait_done(LIMIT, &worker);
    let log = worker.said();
    assert!(!log.contains(" ERROR "), "{log}");

    let mut verdicts = BTreeMap::new();
    for key in yard.written("verdicts/") {
        let text = String::from_utf8(yard.object(&key)).expect("UTF-8");
        let verdict = Verdict::parse(&text).expect("a verdict");
        let preset = verdict.preset.clone().expect("a preset");
        verdicts.insert((preset, verdict.input.md5.clone()), verdict);
    }
    let mut text = String::new();
    let mut faults = Vec::new();
    for ((preset, name), md5) in &submitted {
        let row = bombs.iter().find(|row| row.name == **name).expect("a row");
        let Some(verdict) = verdicts.get(&((*preset).to_owned(), md5.clone())) else {
            faults.push(format!("{preset} {name}: has no verdict"));
            continue;
        };
        let spent = verdict.spent.unwrap_or_default();
        let why = verdict.error.as_deref().unwrap_or_default();
        let line = format!("{preset} {name}: {} {why} ({spent})", verdict.status);
        let _ = writeln!(text, "{line}");
        let bounds = &table.bounds;
        let memory = OTHERS_TAKE * row.memory_mib.unwrap_or(bounds.memory_mib);
        let written = OTHERS_TAKE * row.written_mib.unwrap_or(bounds.written_mib);
        let wall = row.wall_seconds.unwrap_or(bounds.wall_seconds);
        if spent.wall_seconds > wall * OTHERS_TAKE as f64
            || spent.peak_memory_bytes >> 20 > memory
            || spent.written_bytes >> 20 > written
        {
            faults.push(line);
        }
    }
    keep_table("hostile-presets.txt", &text);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The worker in the baked image, in the sandbox.
#[test]
#[ignore = "bakes an image; `make hostile`"]
fn each_hostile_file_ends_as_the_table_says_in_the_image() {
    let yard = Yard::of(World::new());
    // The guest's own user data, which only its root may read; outputs and verdicts have no such line.
    let secret = Path::new("/run/localcloud/user-data");
    let trap = Trap::set(vec![
        "Input-Queue: ".to_owned(),
        "Idle-Seconds: ".to_owned(),
    ]);
    let corpus = make_corpus(&yard.world, secret, &trap);
    yard.world
        .muck(&["bake", "--local", "--stack", STACK])
        .exits(0)
        .says(&["ffmpeg runs jailed"]);
    let submitted = submit(&yard, &corpus, &table().file);
    let began = Instant::now();
    yard.world
        .muck(&["launch", "-n", "1", "--local", "--stack", STACK])
        .exits(0);
    while yard.depth("input") != (0, 0) {
        assert!(
            began.elapsed() < LIMIT,
            "{:?} are left",
            yard.depth("input")
        );
        std::thread::sleep(Duration::from_millis(500));
    }
    judge(
        &yard,
        &trap,
        &submitted,
        "",
        "hostile-files-image.md",
        began.elapsed(),
    );
}

fn make_corpus(world: &World, secret: &Path, trap: &Trap) -> PathBuf {
    let folder = world.work().join("corpus");
    std::fs::create_dir(&folder).expect("folder");
    let port = trap.port();
    corpus::make(&folder, &Bait { secret, port });
    let made: BTreeSet<String> = std::fs::read_dir(&folder)
        .expect("folder")
        .map(|entry| {
            entry
                .expect("entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect();
    let listed: BTreeSet<String> = table().file.into_iter().map(|file| file.name).collect();
    assert_eq!(made, listed, "files.toml lists what corpus.rs makes");
    folder
}

/// Stores the files of these rows and sends their messages, as a client would that looks at nothing. Name by MD5; files of
/// the same content have one.
fn submit(yard: &Yard, corpus: &Path, rows: &[Row]) -> BTreeMap<String, String> {
    rows.iter()
        .map(|file| {
            let content = std::fs::read(corpus.join(&file.name)).expect("was made");
            // A line break can't be in a header.
            let told = file.name.replace('\n', " ");
            let md5 = yard.submit(&told, &content, "ipod");
            (file.name.clone(), md5)
        })
        .collect()
}

fn judge(
    yard: &Yard,
    trap: &Trap,
    submitted: &BTreeMap<String, String>,
    log: &str,
    table_name: &str,
    took: Duration,
) {
    let table = table();
    trap.is_quiet();
    trap.holds("the worker's log", log.as_bytes());
    let verdicts = verdicts(yard, trap);
    let letters = count_by_name(yard.drain("failed").iter().map(|body| {
        trap.holds("a dead letter", body.as_bytes());
        let letter = DeadLetter::read(body);
        assert!(letter.reason.is_some(), "{body}");
        letter.input.original_file_name
    }));
    let told = count_by_name(yard.drain("output").iter().map(|body| {
        trap.holds("a status message", body.as_bytes());
        let message = Message::parse(body).expect("headers");
        let status = StatusMessage::from_message(&message).expect("a status message");
        status.input.original_file_name
    }));

    let mut text = String::from(
        "| row | file | what | ends as | s | s of processor | MiB | bytes written |\n|---|---|---|---|---|---|---|---|\n",
    );
    let mut faults = Vec::new();
    for file in &table.file {
        let name = file.name.replace('\n', " ");
        let Some(verdict) = verdicts.get(&submitted[&file.name]) else {
            faults.push(format!("{name}: has no verdict"));
            continue;
        };
        let status = verdict.status.to_string();
        let reason = verdict.error.as_deref().unwrap_or_default();
        let spent = verdict.spent.unwrap_or_default();
        let _ = writeln!(
            text,
            "| {} | `{}` | {} | {status}{} | {:.1} | {:.1} | {} | {} |",
            file.kind,
            name.replace('|', "\\|"),
            file.what,
            if reason.is_empty() {
                String::new()
            } else {
                format!(": {reason}")
            },
            spent.wall_seconds,
            spent.cpu_seconds,
            spent.peak_memory_bytes >> 20,
            spent.written_bytes,
        );
        let mut must = |so: bool, what: &str| {
            if !so {
                faults.push(format!("{name}: {what} ({status}: {reason}; {spent})"));
            }
        };
        must(
            file.outcome == "either" || file.outcome == status,
            &format!("should be {}", file.outcome),
        );
        must(
            file.reason
                .as_deref()
                .is_none_or(|words| reason.contains(words)),
            "has another reason",
        );
        must(
            (status == "failed") != reason.is_empty(),
            "a failure has a reason",
        );
        must(
            verdict.outputs.iter().all(|o| o.certificate.is_some()),
            "has no certificate",
        );
        must(spent.wall_seconds > 0.0, "nothing was measured");
        let wall = file.wall_seconds.unwrap_or(table.bounds.wall_seconds);
        must(spent.wall_seconds <= wall, "took too long");
        let memory = file.memory_mib.unwrap_or(table.bounds.memory_mib);
        must(
            spent.peak_memory_bytes >> 20 <= memory,
            "took too much memory",
        );
        let written = file.written_mib.unwrap_or(table.bounds.written_mib);
        must(spent.written_bytes >> 20 <= written, "wrote too much");
        must(told.get(&name) == Some(&1), "is told once");
        let wanted = usize::from(status == "failed");
        must(
            letters.get(&name).copied().unwrap_or(0) == wanted,
            "a failed one is one dead letter",
        );
    }
    let _ = writeln!(
        text,
        "\n{} files in {:.0} s.",
        table.file.len(),
        took.as_secs_f64()
    );
    keep_table(table_name, &text);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// All verdicts by the MD5 of their inputs. Neither they nor any output holds what must not get out.
fn verdicts(yard: &Yard, trap: &Trap) -> BTreeMap<String, Verdict> {
    let mut verdicts = BTreeMap::new();
    for key in yard.written("verdicts/") {
        let text = String::from_utf8(yard.object(&key)).expect("UTF-8");
        trap.holds(&key, text.as_bytes());
        let verdict = Verdict::parse(&text).expect("a verdict");
        verdicts.insert(verdict.input.md5.clone(), verdict);
    }
    for key in yard.written("media/") {
        trap.holds(&key, &yard.object(&key));
    }
    verdicts
}

fn count_by_name(names: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

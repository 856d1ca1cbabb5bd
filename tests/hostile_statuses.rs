//! Status messages that no worker writes, through the real `muck results`: whatever they say, it writes new files into
//! its folder only, nothing raw reaches a terminal, and no message is in the way of the next. The table is
//! `hostile_statuses/rows.toml`.
//!
//! Who can send to the output queue is a worker's role, so that is what somebody has who got out of ffmpeg's jail.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use md5::{Digest as _, Md5};
use muck_worker::text::{printable, printable_short};
use serde::Deserialize;

use crate::harness::sdk::Sdk;
use crate::harness::sweep;
use crate::harness::yard::{STACK, Yard};

/// One row: a second of asking the queue, and a thousand requests at the most.
const LIMIT: Duration = Duration::from_mins(1);

/// What acts on a terminal and passes SQS, which refuses the controls below U+0020 but for tab and line ends.
const EVIL: &str = "a\u{9b}2J\u{85}\u{202e}gpj\u{2028}\u{feff}$(touch pwned)`touch pwned`%s%n";

/// What the outputs hold that can be fetched.
const RESULT: &str = "what a worker made";

/// An output that would pass for a log of an earlier run.
const FORGED: &str = "Batch,InputKey,OriginalLocation,OriginalFileName,Preset,Processing-Time,File\nx,y,z,forged,,1,=cmd()\n";

/// The longest line that is told: some hundred characters of foreign text, each shown by ten at the most.
const LONGEST_LINE: usize = 8000;

/// The most columns of a log: the usual ones, and 200 more.
const MOST_COLUMNS: usize = 222;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rows {
    row: Vec<Row>,
}

/// See the head of the table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    what: String,
    #[serde(default)]
    before: String,
    #[serde(default)]
    set: BTreeMap<String, String>,
    #[serde(default)]
    drop: Vec<String>,
    #[serde(default)]
    append: String,
    body: Option<String>,
    #[serde(default = "one")]
    times: usize,
    #[serde(default)]
    then: Vec<BTreeMap<String, String>>,
    #[serde(default)]
    files: Vec<String>,
    /// The same as the log writes them, where that differs.
    logged: Option<Vec<String>>,
    #[serde(default = "retrieved")]
    told: String,
    #[serde(default)]
    exit: i32,
    #[serde(default = "one")]
    jobs: usize,
}

fn one() -> usize {
    1
}

fn retrieved() -> String {
    "1 result successfully retrieved".to_owned()
}

/// What `{name}` stands for.
struct Names(BTreeMap<&'static str, String>);

impl Names {
    /// Puts the outputs into the bucket.
    fn of(yard: &Yard) -> Self {
        let put = |key: String, content: &str| {
            let call = yard
                .sdk
                .s3
                .put_object()
                .bucket(Sdk::bucket(STACK, "output"));
            let call = call
                .key(format!("media/{key}"))
                .body(content.as_bytes().to_vec().into());
            yard.sdk.run(call.send()).expect("stores");
            key
        };
        let md5 = |text: &str| hex::encode(Md5::digest(text));
        let good = put(md5(RESULT), RESULT);
        let thousand: Vec<String> = (0..1000)
            .map(|n| format!("media/{n:032x};type=video/mp4"))
            .collect();
        Self(BTreeMap::from([
            ("one,", format!("media/{good};type=video/quicktime,")),
            ("good", good),
            ("damaged", put(md5("something else"), RESULT)),
            ("forged", put(md5(FORGED), FORGED)),
            ("thousand", thousand.join(",")),
            ("evil", EVIL.to_owned()),
            ("input", Sdk::bucket(STACK, "input")),
            ("long/", format!("{}/", "y".repeat(250))),
            ("cut/", format!("{}/", "y".repeat(175))),
        ]))
    }

    fn fill(&self, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            let (inside, after) = after.split_once('}').unwrap_or((after, ""));
            let (name, times) = match inside.rsplit_once('*') {
                Some((name, times)) => (name, times.parse::<usize>().expect("a number")),
                None => (inside, 1),
            };
            match (name, self.0.get(name)) {
                ("headers", _) => filled.extend((0..times).map(|n| format!("{n:x}:\n"))),
                (_, Some(value)) => filled.push_str(&value.repeat(times)),
                _ if inside.contains('*') => filled.push_str(&name.repeat(times)),
                // Braces of its own.
                _ => {
                    let _ = write!(filled, "{{{inside}}}");
                }
            }
            rest = after;
        }
        filled + rest
    }
}

impl Row {
    /// The texts to send.
    fn bodies(&self, batch: &str, names: &Names) -> Vec<String> {
        if let Some(body) = &self.body {
            return vec![names.fill(body)];
        }
        let right = [
            ("Bucket", "{input}"),
            ("InputKey", "media/f84e4a20b571abc69baf2277d193e596"),
            ("OriginalFileName", "clip.avi"),
            ("Size", "1126472"),
            ("Batch", batch),
            ("Preset", "ipod"),
            ("OutputKey", "media/{good};type=video/quicktime"),
            ("Server", "ConvertVideo"),
            ("Host", "ip-10-0-0-1"),
            ("Service-Read", "Wed, 21 Feb 2007 01:28:14 GMT"),
            ("Service-Write", "Wed, 21 Feb 2007 01:28:27 GMT"),
            ("Status", "converted"),
        ];
        let mut headers: BTreeMap<&str, &str> = right.into();
        headers.extend(
            self.set
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        );
        headers.retain(|name, _| !self.drop.iter().any(|dropped| dropped == name));
        let write = |headers: &BTreeMap<&str, &str>| {
            let lines = headers
                .iter()
                .map(|(name, value)| format!("{name}: {}\n", names.fill(value)));
            lines.collect::<String>() + &names.fill(&self.append)
        };
        let mut bodies = vec![write(&headers); self.times];
        for further in &self.then {
            let mut headers = headers.clone();
            headers.extend(
                further
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str())),
            );
            bodies.push(write(&headers));
        }
        bodies
    }

    /// Puts into the folder what is there before.
    fn prepare(&self, folder: &Path) {
        match self.before.as_str() {
            "" => {}
            "a link out" => symlink(folder.join("../.."), folder.join("trip")).expect("links"),
            "a link to the marker" => {
                symlink(folder.join("../../marker"), folder.join("clip.mov")).expect("links");
            }
            "somebody's file" => std::fs::write(folder.join("clip.mov"), "mine").expect("writes"),
            other => panic!("unknown: {other}"),
        }
    }

    /// Whether its messages are of no job, and so are kept as they are.
    fn is_stray(&self) -> bool {
        self.jobs == 0 && !self.what.starts_with("another batch")
    }
}

#[test]
fn nothing_is_written_but_results_and_nothing_is_told_raw() {
    let rows: Rows = toml::from_str(include_str!("hostile_statuses/rows.toml")).expect("a table");
    let yard = Yard::open();
    let names = Names::of(&yard);
    let work = yard.world.work();
    std::fs::create_dir(work.join("out")).expect("makes");
    yard.world.file("marker", "as it was");
    let home = work.parent().expect("the home").to_owned();
    let ours = ["state", "work/out"];
    let outside = tree(&home, &ours);
    let mut table =
        "| status message | files in the folder | exit | told | message |\n|---|---|---|---|---|\n"
            .to_owned();
    let mut faults = Vec::new();
    let mut longest = Duration::ZERO;
    for (number, row) in rows.row.iter().enumerate() {
        let batch = format!("row-{number}");
        let out = format!("out/{batch}");
        let folder = work.join(&out);
        std::fs::create_dir(&folder).expect("makes");
        row.prepare(&folder);
        let before = tree(&folder, &[]);
        let bodies = row.bodies(&batch, &names);
        for body in &bodies {
            send(&yard, body);
        }

        let started = Instant::now();
        let ended = muck(&yard, &["results", &out, "--batch", &batch, "--no-wait"]);
        longest = longest.max(started.elapsed());

        let mut fault = |what: String| faults.push(format!("{}: {what}", row.what));
        if started.elapsed() > LIMIT {
            fault(format!("took {:?}", started.elapsed()));
        }
        let said = format!("{}\n{}", ended.stdout, ended.stderr);
        if let Some(line) = said
            .lines()
            .find(|line| printable(line) != **line || line.len() > LONGEST_LINE)
        {
            fault(format!("it says {line:?}"));
        }
        if !said.contains(&row.told) || ended.code != row.exit {
            fault(format!(
                "exit {}, and it says\n{}",
                ended.code,
                printable_short(&said, 4000)
            ));
        }
        let after = tree(&folder, &[]);
        let files: Vec<String> = row.files.iter().map(|file| names.fill(file)).collect();
        let new = after.iter().filter(|(file, what)| {
            !before.contains_key(*file) && *file != "log.csv" && *what != "folder"
        });
        let new: BTreeMap<&String, &String> = new.collect();
        if !new.keys().eq(&files.iter().collect::<Vec<_>>()) {
            fault(format!("it wrote {:?}", new.keys()));
        }
        if let Some((file, content)) = new
            .iter()
            .find(|(_, content)| ![RESULT, FORGED].contains(&content.as_str()))
        {
            fault(format!("{file} holds {content:?}"));
        }
        if let Some(file) = before
            .keys()
            .find(|file| after.get(*file) != before.get(*file))
        {
            fault(format!("{file} has changed"));
        }
        match after.get("log.csv") {
            Some(log) => check_log(log, row, row.logged.as_ref().unwrap_or(&files), &mut fault),
            None => fault("there is no log".to_owned()),
        }
        if tree(&home, &ours) != outside {
            fault("something outside of the folder has changed".to_owned());
        }
        // Whatever it says, it is out of the way of the next.
        let left = yard.depth("output");
        let kept = strays(&home, &bodies);
        if left != (0, 0) || kept != if row.is_stray() { bodies.len() } else { 0 } {
            fault(format!(
                "{left:?} messages are left in the queue, {kept} are kept in the ledger"
            ));
        }
        add_line(&mut table, row, &files);
    }
    let _ = writeln!(
        table,
        "\n{} rows; the longest took {:.1} s.",
        rows.row.len(),
        longest.as_secs_f64()
    );
    sweep::keep_table("hostile-statuses.md", &table);
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    afterwards(&yard, &rows, &names);
}

/// What the rows have left in the ledger is in nobody's way.
fn afterwards(yard: &Yard, rows: &Rows, names: &Names) {
    let batch = |what: &str| {
        let number = rows.row.iter().position(|row| row.what == what);
        format!("row-{}", number.expect("is in the table"))
    };
    let quiet = |arguments: &[&str]| {
        let ended = muck(yard, arguments);
        let said = format!("{}\n{}", ended.stdout, ended.stderr);
        assert!(
            said.lines().all(|line| printable(line) == line),
            "{arguments:?}: {said:?}"
        );
        ended
    };
    // Sizes and times that are too large together are no error.
    quiet(&["bill", "--batch", &batch("the largest size, twice")]).exits(0);
    quiet(&["status", "--batch", &batch("dates at both ends of time")]).exits(0);
    // The other batch's was kept for it.
    quiet(&[
        "results",
        "out/else",
        "--batch",
        "somebody-elses",
        "--no-wait",
    ])
    .exits(0);
    let other = std::fs::read_to_string(yard.world.work().join("out/else/clip.mov"));
    assert_eq!(other.expect("is there"), RESULT);
    // Programs get all of it, with what acts on a terminal escaped.
    let failed = batch("a failure of 50 KB that acts on a terminal");
    let json = quiet(&[
        "results",
        "out/json",
        "--json",
        "--batch",
        &failed,
        "--no-wait",
    ])
    .exits(4)
    .json();
    let reason = json["failures"][0]["reason"].as_str().expect("a reason");
    assert!(
        reason.contains('\u{202e}') && reason.len() > 20_000,
        "{reason}"
    );
    // A second look finds what is here.
    let first = batch("as a worker writes it");
    let again = quiet(&[
        "results",
        &format!("out/{first}"),
        "--json",
        "--batch",
        &first,
        "--no-wait",
    ]);
    let again = again.exits(0).json();
    assert_eq!(
        (&again["retrieved"], &again["bytes_fetched"]),
        (&1.into(), &0.into())
    );
    // And a right message is told as ever.
    let right = &rows.row[0];
    right
        .bodies("right", names)
        .iter()
        .for_each(|body| send(yard, body));
    let told = quiet(&["results", "out/right", "--batch", "right", "--no-wait"])
        .exits(0)
        .stdout;
    assert!(
        told.starts_with(&format!("{}.\nMinimum Processing Time: 13\n", right.told)),
        "{told}"
    );
}

fn muck(yard: &Yard, arguments: &[&str]) -> crate::harness::Ended {
    yard.world
        .muck(&[arguments, &["--local", "--stack", STACK]].concat())
}

fn send(yard: &Yard, body: &str) {
    let url = yard.sdk.queue_url(STACK, "output");
    let call = yard
        .sdk
        .sqs
        .send_message()
        .queue_url(url)
        .message_body(body);
    yard.sdk.run(call.send()).expect("sends");
}

/// All that is below a folder, but for some of it: what each is, and what it holds.
fn tree(folder: &Path, without: &[&str]) -> BTreeMap<String, String> {
    let walk = walkdir::WalkDir::new(folder).min_depth(1).into_iter();
    let below = |path: &Path| {
        path.strip_prefix(folder)
            .expect("is below")
            .to_string_lossy()
            .into_owned()
    };
    walk.filter_entry(|entry| !without.contains(&below(entry.path()).as_str()))
        .map(|entry| {
            let entry = entry.expect("reads");
            let path = entry.path();
            let what = if entry.file_type().is_symlink() {
                format!(
                    "link to {}",
                    std::fs::read_link(path).expect("reads").display()
                )
            } else if entry.file_type().is_dir() {
                "folder".to_owned()
            } else {
                String::from_utf8(std::fs::read(path).expect("reads")).expect("UTF-8")
            };
            (below(path), what)
        })
        .collect()
}

/// The log is a table of one line for each job, of which no cell is a formula, and whose last two columns are ours.
fn check_log(log: &str, row: &Row, files: &[String], fault: &mut impl FnMut(String)) {
    let mut reader = csv::Reader::from_reader(log.as_bytes());
    let columns = reader.headers().expect("has columns").clone();
    let records: Vec<csv::StringRecord> = reader.records().filter_map(Result::ok).collect();
    if records.len() != row.jobs || columns.len() > MOST_COLUMNS {
        fault(format!(
            "the log has {} rows of {} columns",
            records.len(),
            columns.len()
        ));
    }
    for cell in columns.iter().chain(records.iter().flatten()) {
        if cell.starts_with(['=', '+', '-', '@']) || cell.chars().any(char::is_control) {
            fault(format!("the log says {cell:?}"));
        }
    }
    let mut told = Vec::new();
    for record in &records {
        let mut last = record.iter().rev();
        let (file, time) = (
            last.next().unwrap_or_default(),
            last.next().unwrap_or_default(),
        );
        told.extend(file.split(';').filter(|file| !file.is_empty()));
        if time == "99999" {
            fault(format!("the log says {time} s"));
        }
    }
    if told != files {
        fault(format!("the log says {told:?}"));
    }
}

/// How many of the messages the ledger has kept as being of no use.
fn strays(home: &Path, bodies: &[String]) -> usize {
    let ledger = rusqlite::Connection::open(home.join("state/ledger.sqlite")).expect("opens");
    let count = |body: &String| -> i64 {
        let sql = "SELECT count(*) FROM strays WHERE body = ?1";
        ledger
            .query_row(sql, [body], |row| row.get(0))
            .expect("counts")
    };
    usize::try_from(bodies.iter().map(count).sum::<i64>()).expect("fits")
}

fn add_line(table: &mut String, row: &Row, files: &[String]) {
    let shown = |text: &str| printable_short(text.trim(), 60).replace('|', "\\|");
    let files: Vec<String> = files
        .iter()
        .map(|file| format!("`` {} ``", shown(file)))
        .collect();
    let _ = writeln!(
        table,
        "| {} | {} | {} | {} | {} |",
        row.what,
        if files.is_empty() {
            "none".to_owned()
        } else {
            files.join(", ")
        },
        row.exit,
        shown(&row.told),
        if row.is_stray() {
            "deleted; kept in the ledger"
        } else {
            "deleted"
        }
    );
}

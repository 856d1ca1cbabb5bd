//! `docs/client.py`, as it is.

use std::collections::BTreeSet;
use std::path::Path;

use muck_worker::text::printable;

use super::{LIMIT, Said, Somewhere, sample};
use crate::harness::machine::Access;
use crate::harness::media::probe;
use crate::harness::yard::{STACK, Yard};

/// What the documentation promises of it.
const LINES: usize = 40;

impl Somewhere {
    fn client(&self, folder: &str, command: &str, arguments: &[&str]) -> Said {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/client.py");
        self.python(
            folder,
            &program,
            &[&[self.stack, command], arguments].concat(),
        )
    }
}

#[test]
fn the_client_has_forty_lines_at_most() {
    let lines = include_str!("../../docs/client.py").lines().count();
    assert!(lines <= LINES, "docs/client.py has {lines} lines");
}

#[test]
fn the_client_submits_and_collects() {
    let yard = Yard::open();
    let somewhere = Somewhere::new(&Access::of(&yard.world), STACK, false);
    let clip = sample("MVI_3113.AVI");
    // Every film another content.
    let film = |number: usize| crate::worker_kill::numbered(clip.clone(), number);
    // Another batch's, which is told before all others.
    yard.submit("other.avi", &film(5), "ipod");
    let worker = yard.start("worker", &[]);
    yard.wait_done(LIMIT, &worker);

    // A name that would begin a header, and one that is in a folder above.
    let submitted = [
        "Été à 京都.AVI",
        "a\nBucket: evil\u{1b}[2J.avi",
        "../../x.avi",
        "bad.avi",
    ];
    for (number, name) in submitted.iter().enumerate().take(3) {
        somewhere.file(&format!("home/user/{name}"), &film(number));
    }
    somewhere.file("home/user/bad.avi", &clip[..200]);
    let before = files(somewhere.folder.path());
    somewhere
        .client(
            "home/user",
            "submit",
            &[&["holiday"], &submitted[..]].concat(),
        )
        .exits(0);

    // Other clients: names as bad as can be sent, the same message twice, several outputs.
    let climbing = "../../..\\\u{9b}2J\u{202e}y.avi";
    let message = |name: &str, number, preset| {
        let content = film(number);
        let body = Yard::message(name, &yard.store(&content), content.len(), preset);
        body.replace("Batch: b\n", "Batch: holiday\n")
    };
    let twice = message(climbing, 3, "ipod");
    for body in [&twice, &twice, &message("/walk.avi", 4, "hls")] {
        yard.send(body);
    }
    yard.wait_done(LIMIT, &worker);

    let said = somewhere
        .client("home/user", "collect", &["holiday", "6", "results"])
        .exits(1);
    assert_eq!(said.stdout, "");
    let failed: Vec<&str> = said.stderr.lines().collect();
    let [line] = failed[..] else {
        panic!("{failed:?}")
    };
    assert!(
        line.starts_with("results/") && line.contains(" bad: "),
        "{line}"
    );
    assert_eq!(printable(line), line);

    let mut results = Vec::new();
    for file in files(somewhere.folder.path()).difference(&before) {
        let name = file
            .strip_prefix("home/user/results/")
            .expect("nothing is written elsewhere");
        assert_eq!(printable(name), name);
        let (number, name) = name.split_once(' ').expect("a number");
        assert!((1..=6).contains(&number.parse::<usize>().expect("a number")));
        if Path::new(name).extension().is_some_and(|one| one == "mov") {
            assert_eq!(probe(&somewhere.path(file)).major_brand, "qt", "{name}");
        }
        results.push(name.to_owned());
    }
    results.sort();
    // A playlist and the parts that it names.
    let (lists, films): (Vec<String>, Vec<String>) = results
        .into_iter()
        .partition(|name| name.starts_with("walk.hls/"));
    assert!(
        lists.contains(&"walk.hls/master.m3u8".to_owned()),
        "{lists:?}"
    );
    assert!(lists.len() > 1, "{lists:?}");
    // Each once, though one was told twice.
    assert_eq!(
        films,
        [
            " 2J_y.mov",
            "a Bucket: evil [2J.mov",
            "x.mov",
            "Été à 京都.mov"
        ]
    );

    // Another batch's are left to whoever collects that.
    let left = yard.depth("output");
    assert!((1..=2).contains(&(left.0 + left.1)), "{left:?}");
}

/// All files below a folder, relative to it.
fn files(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let below = path.strip_prefix(folder).expect("below");
                found.insert(below.to_str().expect("UTF-8").to_owned());
            }
        }
    }
    found
}

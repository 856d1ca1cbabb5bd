//! Locks with Debian's real packages, from an archive of a date and, when that is away, from the usual one.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::harness::{World, test_cache};

/// Stands in for a dated archive: every path `/<name>/<date>/…` is the same path of the mirror that the
/// guests use anyway.
struct DatedArchive {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    /// When taken away, requests are refused.
    answers: Arc<Mutex<bool>>,
}

impl DatedArchive {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let this = Self {
            port: listener.local_addr().expect("bound").port(),
            asked: Arc::default(),
            answers: Arc::new(Mutex::new(true)),
        };
        let (asked, answers) = (Arc::clone(&this.asked), Arc::clone(&this.answers));
        // Lives as long as the test binary.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (asked, answers) = (Arc::clone(&asked), Arc::clone(&answers));
                std::thread::spawn(move || answer(&stream, &asked, &answers));
            }
        });
        this
    }

    fn set_answering(&self, answering: bool) {
        *self.answers.lock().expect("not poisoned") = answering;
    }

    /// Paths asked for, and forgets them.
    fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().expect("not poisoned"))
    }
}

fn answer(stream: &TcpStream, asked: &Mutex<Vec<String>>, answers: &Mutex<bool>) {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    if reader.read_line(&mut request).is_err() {
        return;
    }
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
        line.clear();
    }
    let path = request.split(' ').nth(1).unwrap_or("/").to_owned();
    let answer = if *answers.lock().expect("not poisoned") {
        let mut parts = path.trim_start_matches('/').splitn(3, '/');
        let (archive, _date, rest) = (parts.next(), parts.next(), parts.next().unwrap_or(""));
        let mirror = mirror(archive == Some("security"));
        format!(
            "HTTP/1.1 302 Found\r\nLocation: {mirror}/{rest}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
    } else {
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            .to_owned()
    };
    asked.lock().expect("not poisoned").push(path);
    let mut stream = stream;
    // A client that went away is its own matter.
    let _ = stream.write_all(answer.as_bytes());
}

/// Where the guests' own apt goes.
fn mirror(security: bool) -> String {
    let roots = std::fs::read_dir(test_cache()).expect("the base root is made by now");
    let lists = roots
        .filter_map(Result::ok)
        .filter_map(|entry| {
            std::fs::read_to_string(entry.path().join("root/etc/apt/sources.list")).ok()
        })
        .collect::<String>();
    lists
        .lines()
        .filter(|line| line.contains("-security ") == security)
        .find_map(|line| line.split(' ').find(|word| word.starts_with("http")))
        .expect("the base root names its mirror")
        .trim_end_matches('/')
        .to_owned()
}

fn write_recipe(world: &World, port: u16) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("images/converter");
    let read =
        |name: &str| std::fs::read_to_string(shipped.join(name)).expect("the shipped recipe");
    let settings = read("image.toml");
    let changed = settings
        // Small, and in every Debian.
        .replace("ffmpeg = \"*\"", "hello = \"*\"")
        .replace(
            "http://snapshot.debian.org/archive/debian-security",
            &format!("http://127.0.0.1:{port}/security"),
        )
        .replace(
            "http://snapshot.debian.org/archive/debian",
            &format!("http://127.0.0.1:{port}/debian"),
        );
    assert_eq!(changed.matches("127.0.0.1").count(), 2, "{changed}");
    world.file("recipe/image.toml", changed);
    world.file("recipe/provision.sh.hbs", read("provision.sh.hbs"));
    world.file("recipe/check.sh", "hello\n");
}

#[test]
fn a_lock_takes_debians_packages_from_its_date_or_says_which_differ() {
    let world = World::new();
    let archive = DatedArchive::start();
    write_recipe(&world, archive.port);
    world.file("muck.toml", "image = \"recipe\"\n");
    world.muck(&["up", "--local"]).exits(0);

    // Resolved from the archive of this moment.
    let updated = world
        .muck(&["bake", "--update", "--local", "--json", "--console"])
        .exits(0)
        .says(&["-- the dated archive answers"])
        .json();
    let lock_path = world.work().join("recipe/image.lock");
    let lock = std::fs::read_to_string(&lock_path).expect("the lock");
    let value = |key: &str| {
        let line = lock
            .lines()
            .find(|line| line.starts_with(&format!("{key} = ")));
        line.and_then(|line| line.split('"').nth(1))
            .expect(key)
            .to_owned()
    };
    let (date, version) = (value("archive"), value("hello"));
    let asked = archive.take_asked();
    assert!(
        asked
            .iter()
            .any(|path| path.starts_with(&format!("/debian/{date}/pool/main/h/hello/"))),
        "{asked:?}"
    );
    assert!(
        asked
            .iter()
            .any(|path| path.starts_with(&format!("/security/{date}/dists/")))
    );

    // Another bake of that lock takes the same, and has the same manifest.
    let again = world
        .muck(&["bake", "--force", "--local", "--json"])
        .exits(0)
        .json();
    assert_eq!(again["manifest"], updated["manifest"]);
    assert_eq!(again["recipe"], updated["recipe"]);
    assert_eq!(again["report"]["dated_archive"], true);
    // What the image's own archive still has comes from there: the dated one limits its clients.
    let asked = archive.take_asked();
    let packages: Vec<_> = asked
        .iter()
        .filter(|path| path.contains("/pool/"))
        .collect();
    assert!(!asked.is_empty() && packages.is_empty(), "{packages:?}");

    // The archive is away: the same versions from the usual one.
    archive.set_answering(false);
    let again = world
        .muck(&["bake", "--force", "--local", "--json", "--console"])
        .exits(0)
        .says(&["does not answer: the image's own is used"])
        .json();
    assert_eq!(again["manifest"], updated["manifest"]);
    assert_eq!(again["report"]["dated_archive"], false);

    // A version that no archive has.
    let wrong = lock.replace(&format!("hello = \"{version}\""), "hello = \"1.0-1\"");
    assert_ne!(wrong, lock);
    std::fs::write(&lock_path, wrong).expect("the lock");
    world.muck(&["bake", "--local"]).exits(1).says(&[
        "packages are not as the lock says",
        &format!("hello: wanted 1.0-1, there is {version}"),
        "muck bake --update",
    ]);

    // A package that is not in the archive at all, and one whose download is not what was announced.
    std::fs::remove_file(&lock_path).expect("the lock");
    let settings = world.work().join("recipe/image.toml");
    let text = std::fs::read_to_string(&settings).expect("the recipe");
    world.file(
        "recipe/image.toml",
        text.replace("hello = \"*\"", "no-such-package = \"*\""),
    );
    world.muck(&["bake", "--local"]).exits(1).says(&[
        "failed in the step \"install packages\" (exit code 100)",
        "Unable to locate package no-such-package",
    ]);
}

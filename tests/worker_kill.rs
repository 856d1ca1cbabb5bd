//! A worker that dies or stands still at any point of a job: another finishes it, with one verdict.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use muck_worker::message::{Message, Status, StatusMessage};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::harness::sweep::keep_table;
use crate::harness::yard::{Worker, Yard};

/// From a worker's death to the job's end by another: the hold, and a short conversion.
const LIMIT: Duration = Duration::from_mins(1);
/// Renews the hold by the clock: how many of these there are, the machine's speed decides.
const HEARTBEAT: &str = "ChangeMessageVisibility";
/// A call is reached within this.
const REACH: Duration = Duration::from_secs(30);

/// A clip of so many seconds that takes its time; `number` makes it another content.
pub fn clip(yard: &Yard, seconds: u32, number: usize) -> Vec<u8> {
    let path = yard.world.work().join(format!("clip-{seconds}.avi"));
    if !path.exists() {
        let source = format!("testsrc2=size=160x120:rate=15:duration={seconds}");
        let made = std::process::Command::new("ffmpeg")
            .args(["-v", "error", "-f", "lavfi", "-i", &source, "-c:v", "mjpeg"])
            .arg(&path)
            .status();
        assert!(made.expect("ffmpeg runs").success());
    }
    numbered(std::fs::read(&path).expect("a clip"), number)
}

/// The same film as another content: a chunk of junk at the end, which readers of AVI skip.
pub fn numbered(mut clip: Vec<u8>, number: usize) -> Vec<u8> {
    clip.extend_from_slice(b"JUNK\x08\0\0\0");
    clip.extend_from_slice(&(number as u64).to_le_bytes());
    clip
}

/// The calls of one job, undisturbed: action and occurrence.
fn record(yard: &Yard) -> Vec<(String, String, u64)> {
    let before = yard.faults.last_call();
    yard.submit("first.avi", &clip(yard, 1, 0), "ipod");
    let worker = yard.start("record", &["--slots", "1"]);
    yard.wait_done(LIMIT, &worker);
    let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut calls = Vec::new();
    for call in yard.faults.calls("record", before) {
        let count = counts
            .entry((call.service.clone(), call.action.clone()))
            .or_default();
        *count += 1;
        // Polls that wait for the next message are no part of the job.
        let is_poll = call.action == "ReceiveMessage" && *count > 1;
        if !is_poll && call.action != HEARTBEAT {
            calls.push((call.service, call.action, *count));
        }
    }
    calls
}

/// What came of a job: verdicts, outcomes told, dead letters.
pub fn judge(yard: &Yard, md5: &str) -> Result<String, String> {
    let verdicts = yard.written(&format!("verdicts/{md5}"));
    let told: Vec<StatusMessage> = yard
        .drain("output")
        .iter()
        .map(|body| {
            StatusMessage::from_message(&Message::parse(body).expect("parses")).expect("a status")
        })
        .filter(|status| status.input.input_key.ends_with(md5))
        .collect();
    let dead = yard.drain("failed").len();
    let converted = told.iter().all(|one| one.status == Status::Converted);
    let same = told.iter().all(|one| one.outputs == told[0].outputs);
    let outputs_are_there = told
        .iter()
        .flat_map(|one| &one.outputs)
        // Whoever follows one that died stores the same again.
        .all(|one| !yard.written(&one.key).is_empty());
    let outcome = format!(
        "{} verdict, {} told, {dead} dead",
        verdicts.len(),
        told.len()
    );
    let good = verdicts.len() == 1 && !told.is_empty() && converted && same && dead == 0;
    if good && outputs_are_there {
        Ok(outcome)
    } else {
        Err(outcome)
    }
}

#[test]
fn a_worker_killed_at_any_call_leaves_its_job_to_another() {
    let yard = Yard::open();
    let mut calls = record(&yard);
    calls.push(("sqs".to_owned(), HEARTBEAT.to_owned(), 1));
    yard.drain("output");
    let mut table = String::from("SIGKILL at                              reached  outcome\n");
    let mut wrong = Vec::new();
    let mut number = 0;
    for (service, action, occurrence) in &calls {
        for phase in ["before", "after", "answered"] {
            number += 1;
            let point = format!("{service}.{action}#{occurrence} {phase}");
            let doomed = format!("doomed-{number}");
            yard.faults.set(&json!([{
                "client": doomed, "service": service, "action": action, "nth": occurrence,
                "fault": {"kind": "freeze", "phase": phase},
            }]));
            let before = yard.faults.last_call();
            let md5 = yard.submit("film.avi", &clip(&yard, 1, number), "ipod");
            let mut victim = yard.start(&doomed, &["--slots", "1"]);
            let reached = wait_frozen(&yard, &doomed, before, phase);
            victim.kill();
            yard.faults.set(&json!([]));
            let heir = yard.start(&format!("heir-{number}"), &["--slots", "1"]);
            yard.wait_done(LIMIT, &heir);
            let outcome = judge(&yard, &md5);
            let text = outcome
                .clone()
                .unwrap_or_else(|text| format!("{text}  WRONG"));
            let _ = writeln!(table, "{point:<40}{reached:<9}{text}");
            if outcome.is_err() || !(reached || action == HEARTBEAT) {
                wrong.push(point);
            }
        }
    }
    keep_table("worker-kill.txt", &table);
    assert!(number >= 10, "only {number} points");
    assert_eq!(wrong, Vec::<String>::new());
}

/// Waits until the rule has struck, and the client's next call is held or its answer was read.
fn wait_frozen(yard: &Yard, client: &str, before: u64, phase: &str) -> bool {
    let start = Instant::now();
    while start.elapsed() < REACH {
        let calls = yard.faults.calls(client, before);
        let struck = calls
            .iter()
            .any(|call| call.fault.as_deref() == Some("freeze"));
        let held = |word: &str| calls.iter().any(|call| call.progress == word);
        let there = match phase {
            "before" => held("held-before"),
            "after" => held("held-after"),
            _ => struck,
        };
        if struck && there {
            if phase == "answered" {
                // The answer is on its way; it is read within this.
                std::thread::sleep(Duration::from_millis(100));
            }
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

fn wait_converting(yard: &Yard, worker: &Worker) -> Vec<i32> {
    // At its start the worker asks ffmpeg for its version.
    yard.wait("a conversion", REACH, worker, || {
        worker.said().contains(" read media/") && !worker.conversions().is_empty()
    });
    worker.conversions()
}

/// Everything else that befalls a machine in the middle of a conversion.
#[test]
fn a_machine_that_fails_in_the_middle_leaves_one_verdict() {
    let yard = Yard::open();
    let mut table = String::from("in the middle of a conversion           outcome\n");
    let mut wrong = Vec::new();
    let mut number = 1000;
    let mut attempt = |what: &str, befalls: &dyn Fn(&Yard, &mut Worker)| {
        number += 1;
        let name = format!("victim-{number}");
        let md5 = yard.submit("film.avi", &clip(&yard, 120, number), "web");
        let mut victim = yard.start(&name, &["--slots", "1"]);
        wait_converting(&yard, &victim);
        befalls(&yard, &mut victim);
        yard.wait_done(LIMIT, &victim);
        let outcome = judge(&yard, &md5);
        let text = outcome
            .clone()
            .unwrap_or_else(|text| format!("{text}  WRONG"));
        let _ = writeln!(table, "{what:<40}{text}");
        if outcome.is_err() {
            wrong.push(what.to_owned());
        }
        yard.faults.set(&json!([]));
    };
    attempt("SIGKILL", &|yard, victim| {
        victim.kill();
        let heir = yard.start("heir-kill", &["--slots", "1"]);
        yard.wait_done(LIMIT, &heir);
    });
    attempt("SIGSTOP past the hold, then SIGCONT", &|yard, victim| {
        victim.signal(Signal::SIGSTOP);
        let heir = yard.start("heir-stop", &["--slots", "1"]);
        yard.wait_done(LIMIT, &heir);
        victim.signal(Signal::SIGCONT);
        // It goes on with what is no longer its own, and finds the verdict.
        yard.wait("the end of its own work", LIMIT, victim, || {
            victim.said().matches("converted").count() > 1
                || victim.said().contains("another worker was first")
        });
    });
    attempt("out of memory (ffmpeg killed)", &|yard, victim| {
        for process in wait_converting(yard, victim) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(process), Signal::SIGKILL);
        }
    });
    attempt("network cut past the hold", &|yard, victim| {
        yard.faults
            .set(&json!([{ "client": "victim-1004", "fault": {"kind": "reset_before"} }]));
        // The message comes back meanwhile: both work on it.
        let heir = yard.start("heir-network", &["--slots", "1"]);
        yard.wait("the heir's conversion", REACH, &heir, || {
            !heir.conversions().is_empty()
        });
        yard.faults.set(&json!([]));
        yard.wait_done(LIMIT, &heir);
        // Whatever it still had to say of a job that another has answered.
        victim.signal(Signal::SIGTERM);
        assert_eq!(victim.ends(LIMIT), Some(0), "{}", victim.said());
    });
    attempt("SIGTERM", &|yard, victim| {
        victim.signal(Signal::SIGTERM);
        assert_eq!(victim.ends(LIMIT), Some(0), "{}", victim.said());
        // Finished in the time that was left, or given back at once.
        assert_eq!(yard.depth("input").1, 0, "{}", victim.said());
        let heir = yard.start("heir-term", &["--slots", "1"]);
        yard.wait_done(LIMIT, &heir);
    });
    keep_table("worker-faults.txt", &table);
    assert_eq!(wrong, Vec::<String>::new());
}

/// A machine whose disk is full gives its message to others at once.
#[test]
fn a_full_disk_gives_the_message_back() {
    let yard = Yard::open();
    let folder = yard.folder("full");
    std::fs::create_dir_all(&folder).expect("folder");
    // Of 96 MiB half are taken: less is left than the worker leaves free.
    let mount = format!("size=96m tmpfs {}", folder.display());
    let other = folder.join("other");
    let inner = yard.command("full", &["--slots", "1"]);
    let mut command = std::process::Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        // To mount takes a user namespace. Not where we are root: in one that knows root alone the jail could give its
        // programs no other user, and the kernel limits no number of processes of root's.
        command.arg("--map-root-user");
    }
    command.args(["--mount", "sh", "-c"]);
    command
        .arg(format!(
            "mount -t tmpfs -o {mount} && head -c 48M /dev/zero >{} && exec \"$@\"",
            other.display()
        ))
        .arg("sh");
    command
        .arg(inner.get_program())
        .args(inner.get_args())
        .env_clear();
    command.envs(
        inner
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    command
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null());
    let md5 = yard.submit("film.avi", &clip(&yard, 1, 1), "ipod");
    let full = yard.run("full", command);
    yard.wait("the fault", REACH, &full, || {
        full.said().contains("the disk is full")
    });
    let heir = yard.start("heir", &["--slots", "1"]);
    yard.wait_done(LIMIT, &heir);
    judge(&yard, &md5).expect("one verdict, told, none dead");
}

/// A worker that stands still past its hold at any call, and then goes on with what is no longer its own.
#[test]
fn a_worker_stopped_at_any_call_and_let_go_on_makes_no_second_verdict() {
    let yard = Yard::open();
    let calls = record(&yard);
    yard.drain("output");
    let mut table = String::from("SIGSTOP past the hold during  outcome\n");
    let mut wrong = Vec::new();
    let mut number = 2000;
    for (service, action, occurrence) in &calls {
        number += 1;
        let point = format!("{service}.{action}#{occurrence}");
        let sleeper = format!("sleeper-{number}");
        // Long enough to be met in the middle; it takes effect while the worker stands still.
        yard.faults.set(&json!([{
            "client": sleeper, "service": service, "action": action, "nth": occurrence,
            "fault": {"kind": "delay", "ms": 1000},
        }]));
        let before = yard.faults.last_call();
        let md5 = yard.submit("film.avi", &clip(&yard, 1, number), "ipod");
        let mut victim = yard.start(&sleeper, &["--slots", "1", "--grace", "30"]);
        yard.wait("the call", REACH, &victim, || {
            let calls = yard.faults.calls(&sleeper, before);
            let mut of_it = calls.iter().filter(|call| call.action == *action);
            let nth = usize::try_from(*occurrence).expect("fits") - 1;
            of_it
                .nth(nth)
                .is_some_and(|call| call.progress == "running")
        });
        victim.signal(Signal::SIGSTOP);
        let heir = yard.start(&format!("heir-{number}"), &["--slots", "1"]);
        yard.wait_done(LIMIT, &heir);
        drop(heir);
        victim.signal(Signal::SIGCONT);
        // It finishes what it has, and takes no more.
        victim.signal(Signal::SIGTERM);
        assert_eq!(victim.ends(LIMIT), Some(0), "{point}: {}", victim.said());
        let outcome = judge(&yard, &md5);
        let text = outcome
            .clone()
            .unwrap_or_else(|text| format!("{text}  WRONG"));
        let _ = writeln!(table, "{point:<30}{text}");
        if outcome.is_err() {
            wrong.push(point);
        }
    }
    keep_table("worker-stop.txt", &table);
    assert_eq!(wrong, Vec::<String>::new());
}

/// The same content by the same preset under another name.
#[test]
fn a_file_converted_before_costs_one_read() {
    let yard = Yard::open();
    let content = clip(&yard, 1, 0);
    yard.submit("first.avi", &content, "ipod");
    let mut first = yard.start("first", &["--slots", "1"]);
    yard.wait_done(LIMIT, &first);
    first.kill();
    let before = yard.faults.last_call();
    let md5 = yard.submit("again.avi", &content, "ipod");
    let again = yard.start("again", &["--slots", "1"]);
    yard.wait_done(LIMIT, &again);
    let calls = yard.faults.calls("again", before);
    let s3: Vec<&str> = calls
        .iter()
        .filter(|call| call.service == "s3")
        .map(|call| call.action.as_str())
        .collect();
    assert_eq!(s3, ["GetObject"], "the verdict, and no more");
    assert_eq!(
        judge(&yard, &md5),
        Ok("1 verdict, 2 told, 0 dead".to_owned())
    );
}

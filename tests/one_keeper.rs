//! The end of a batch: workers without work leave while one of them works on the last file, but for one, which
//! finishes that file should its worker die.

use std::time::{Duration, Instant};

use muck_worker::worker::KEEPER_KEY;
use serde_json::json;

use crate::harness::yard::Yard;
use crate::worker_kill::{clip, judge};

/// Idle time and some looks at the lease; a busy machine takes several times as long.
const LIMIT: Duration = Duration::from_mins(2);
/// Several idle times.
const STAYS: Duration = Duration::from_secs(8);

#[test]
fn spare_workers_leave_a_straggler_to_one_keeper_which_finishes_its_file() {
    let yard = Yard::open();
    let path = yard.world.work().join("user-data");
    let user_data = std::fs::read_to_string(path).expect("the user data");
    let short = user_data.replace("Idle-Seconds: 3600", "Idle-Seconds: 2");
    assert_ne!(user_data, short, "the yard's idle time has changed");
    yard.world.file("user-data", short);

    // Its file takes for ever to come, and it holds its message. The first read is the look for a verdict.
    yard.faults.set(&json!([{
        "client": "straggler", "service": "s3", "action": "GetObject", "nth": 2,
        "times": 100, "fault": {"kind": "delay", "ms": 600_000},
    }]));
    let md5 = yard.submit("film.avi", &clip(&yard, 1, 0), "ipod");
    let mut straggler = yard.start("straggler", &["--slots", "1"]);
    yard.wait("the message to be taken", LIMIT, &straggler, || {
        yard.depth("input") == (0, 1)
    });

    let mut spare: Vec<_> = (0..4)
        .map(|number| yard.start(&format!("spare-{number}"), &["--slots", "1"]))
        .collect();
    let began = Instant::now();
    let mut left = Vec::new();
    while left.len() < 3 {
        assert!(began.elapsed() < LIMIT, "{} of 4 workers left", left.len());
        spare.retain_mut(|worker| {
            let ended = worker.child.try_wait().expect("a child");
            left.extend(ended.map(|status| (status.code(), worker.said())));
            ended.is_none()
        });
        std::thread::sleep(Duration::from_millis(100));
    }
    for (code, said) in &left {
        assert_eq!(*code, Some(0), "{said}");
        let words = "end: no message waits, and another worker stays for those in work";
        assert!(said.contains(words), "{said}");
    }
    let mut keeper = spare.pop().expect("one stays");
    std::thread::sleep(STAYS);
    assert_eq!(keeper.child.try_wait().expect("a child"), None, "it left");
    assert_eq!(yard.depth("input"), (0, 1));
    let lease = yard.object(KEEPER_KEY);
    let lease: serde_json::Value = serde_json::from_slice(&lease).expect("JSON");
    assert_eq!(lease["released"], false, "{lease}");

    straggler.kill();
    yard.wait_done(LIMIT, &keeper);
    judge(&yard, &md5).unwrap_or_else(|outcome| panic!("{outcome}:\n{}", keeper.said()));
    assert_eq!(keeper.ends(LIMIT), Some(0));
    assert!(keeper.said().contains("end: no more work"));
    let lease = yard.object(KEEPER_KEY);
    let lease: serde_json::Value = serde_json::from_slice(&lease).expect("JSON");
    assert_eq!(lease["released"], true, "{lease}");
}

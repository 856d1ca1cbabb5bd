use muck_worker::message::{Message, StatusMessage};

use super::*;

fn place(stack: &str) -> Place {
    Place {
        stack: stack.into(),
        account: "000000000000".into(),
        region: "us-local-1".into(),
        endpoint: "loopback".into(),
    }
}

fn ledger() -> (tempfile::TempDir, Ledger) {
    let dir = tempfile::tempdir().expect("temp dir");
    let ledger =
        Ledger::open_at(&dir.path().join("deep/ledger.sqlite"), &place("demo")).expect("opens");
    (dir, ledger)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn new_job(name: &str) -> NewJob {
    NewJob {
        input_key: "media/f84e4a20b571abc69baf2277d193e596".into(),
        name: name.into(),
        location: String::new(),
        preset: "ipod".into(),
        size: 10,
    }
}

fn status(name: &str, outcome: &str) -> StatusMessage {
    let outputs = match outcome {
        "converted" => "OutputKey: media/e69e376be5af6f88f81d3e31adf27988;type=video/quicktime\n",
        _ => "Error: bad file\n",
    };
    let text = format!(
        "Bucket: bbb\nInputKey: media/f84e4a20b571abc69baf2277d193e596\nOriginalFileName: {name}\nSize: 10\n\
         Batch: b\nPreset: ipod\n{outputs}Server: ConvertVideo\nHost: h\nInstance-ID: i-1\n\
         Service-Read: Wed, 21 Feb 2007 01:28:14 GMT\nService-Write: Wed, 21 Feb 2007 01:28:27 GMT\n\
         Status: {outcome}\n"
    );
    StatusMessage::from_message(&Message::parse(&text).expect("parses")).expect("a status")
}

#[test]
fn an_endpoint_on_this_machine_is_known_without_its_port() {
    assert_eq!(lasting_endpoint("http://127.0.0.1:4566/"), "loopback");
    assert_eq!(lasting_endpoint("http://localhost:1"), "loopback");
    assert_eq!(
        lasting_endpoint("https://s3.example:9000"),
        "https://s3.example:9000"
    );
}

/// The job that is news by a status message.
fn record(ledger: &Ledger, batch: &str, status: &StatusMessage) -> Option<i64> {
    let told = Told {
        batch,
        status,
        raw: "raw",
    };
    ledger.record(&[told], "out").expect("records")[0]
}

#[test]
fn a_job_goes_from_written_to_sent_to_converted() {
    let (_dir, ledger) = ledger();
    let batch = ledger.begin_batch("b", at(100)).expect("begins");
    let (job, unsent) = ledger.add_job(&batch, &new_job("a.avi"), 7).expect("adds");
    assert!(unsent);
    // A crash before the sending: the same submit finds it unsent.
    assert_eq!(
        ledger.add_job(&batch, &new_job("a.avi"), 7).expect("adds"),
        (job, true)
    );
    ledger.mark_sent(&[job], at(101)).expect("marks");
    assert_eq!(
        ledger.add_job(&batch, &new_job("a.avi"), 7).expect("adds"),
        (job, false)
    );
    assert_eq!(ledger.totals(&batch).expect("totals").outstanding, 1);

    let message = status("a.avi", "converted");
    assert_eq!(record(&ledger, "b", &message), Some(job));
    assert_eq!(record(&ledger, "b", &message), None);
    let jobs = ledger.jobs(&batch).expect("jobs");
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].status, JobStatus::Converted);
    assert_eq!(jobs[0].times.expect("times").processing_seconds(), 13);
    assert_eq!(jobs[0].outputs[0].bucket, "out");

    // The stack was made anew: the same batch starts again.
    assert_eq!(
        ledger.add_job(&batch, &new_job("a.avi"), 8).expect("adds"),
        (job, true)
    );
    assert_eq!(ledger.totals(&batch).expect("totals").outstanding, 1);
}

#[test]
fn a_success_outdoes_a_failure_and_never_the_other_way() {
    let (_dir, ledger) = ledger();
    let batch = ledger.begin_batch("b", at(100)).expect("begins");
    ledger.add_job(&batch, &new_job("a.avi"), 7).expect("adds");
    assert!(
        ledger
            .record_dead(&batch, &new_job("a.avi"), "given up", None)
            .expect("records")
    );
    assert_eq!(
        ledger.jobs(&batch).expect("jobs")[0].status,
        JobStatus::Dead
    );
    let (failed, converted) = (status("a.avi", "failed"), status("a.avi", "converted"));
    assert!(record(&ledger, "b", &failed).is_some());
    assert!(
        !ledger
            .record_dead(&batch, &new_job("a.avi"), "given up", None)
            .expect("records")
    );
    assert_eq!(
        ledger.jobs(&batch).expect("jobs")[0].error.as_deref(),
        Some("bad file")
    );
    assert!(record(&ledger, "b", &converted).is_some());
    assert!(record(&ledger, "b", &failed).is_none());
    let totals = ledger.totals(&batch).expect("totals");
    assert_eq!((totals.jobs, totals.converted, totals.failed), (1, 1, 0));
}

#[test]
fn messages_of_unknown_batches_are_kept_and_ours_stay_the_newest() {
    let (_dir, ledger) = ledger();
    ledger.begin_batch("mine", at(100)).expect("begins");
    record(&ledger, "theirs", &status("x.avi", "converted"));
    let theirs = ledger.batch("theirs").expect("finds").expect("is there");
    assert!(!theirs.ours);
    assert_eq!(ledger.totals(&theirs).expect("totals").converted, 1);
    assert_eq!(
        ledger.newest_batch().expect("finds").expect("one").name,
        "mine"
    );
}

#[test]
fn stacks_do_not_see_each_other() {
    let (dir, ledger) = ledger();
    ledger.begin_batch("b", at(100)).expect("begins");
    let other =
        Ledger::open_at(&dir.path().join("deep/ledger.sqlite"), &place("other")).expect("opens");
    assert_eq!(other.newest_batch().expect("reads"), None);
}

#[test]
fn counters_and_strays_add_up() {
    let (_dir, ledger) = ledger();
    let batch = ledger.begin_batch("b", at(100)).expect("begins");
    ledger.count(&batch, Counter::Gets, 2).expect("counts");
    ledger.count(&batch, Counter::Gets, 3).expect("counts");
    assert_eq!(ledger.counted(&batch, Counter::Gets).expect("reads"), 5);
    assert_eq!(ledger.counted(&batch, Counter::Puts).expect("reads"), 0);
    assert!(
        ledger
            .keep_stray("q", "m1", "{}", "no header")
            .expect("keeps")
    );
    assert!(
        !ledger
            .keep_stray("q", "m1", "{}", "no header")
            .expect("keeps")
    );
}

/// A worker that was launched in second 1000.
fn sighting(id: &str, alive: bool, ended: Option<Timestamp>) -> Sighting {
    Sighting {
        id: id.into(),
        kind: "worker".into(),
        instance_type: "c7i.large".into(),
        launched: at(1000),
        alive,
        ended,
        volume_gib: 8,
        public_ip: true,
    }
}

#[test]
fn instances_that_vanish_end_when_last_seen() {
    let (_dir, ledger) = ledger();
    ledger
        .saw_instances(
            &[sighting("i-1", true, None), sighting("i-2", true, None)],
            at(1010),
        )
        .expect("writes");
    ledger
        .saw_instances(
            &[sighting("i-1", true, None), sighting("i-2", true, None)],
            at(1020),
        )
        .expect("writes");
    ledger
        .saw_instances(&[sighting("i-2", false, Some(at(1025)))], at(1030))
        .expect("writes");
    let seen = ledger.instances(at(0)).expect("reads");
    assert_eq!(
        (seen[0].ended, seen[0].end_is_a_guess),
        (Some(at(1020)), true)
    );
    assert_eq!(
        (seen[1].ended, seen[1].end_is_a_guess),
        (Some(at(1025)), false)
    );
    assert_eq!(ledger.instances(at(1021)).expect("reads").len(), 1);
    let within_its_second = at(1025) + jiff::SignedDuration::from_millis(300);
    assert_eq!(ledger.instances(within_its_second).expect("reads").len(), 1);
}

#[test]
fn the_end_of_an_instance_that_ended_itself_is_told_by_its_log() {
    let (_dir, ledger) = ledger();
    let all = |alive| {
        [
            sighting("i-1", alive, None),
            sighting("i-2", alive, None),
            sighting("i-3", alive, None),
        ]
    };
    ledger.saw_instances(&all(true), at(1020)).expect("writes");
    // The log of i-3 is older than its launch: another instance's.
    let logs = [("i-1", 1040), ("i-3", 3), ("host-7", 1040)];
    let logs = logs.map(|(name, second)| (name.to_owned(), at(second)));
    ledger.heard_last(&logs).expect("writes");
    let ends = || -> Vec<_> {
        let seen = ledger.instances(at(0)).expect("reads").into_iter();
        seen.map(|one| (one.ended, one.end_is_a_guess)).collect()
    };
    assert_eq!(ends(), [(None, false); 3], "they are listed as alive");
    ledger.saw_instances(&all(false), at(1050)).expect("writes");
    let expected = [
        (Some(at(1040)), false),
        (Some(at(1020)), true),
        (Some(at(1020)), true),
    ];
    assert_eq!(ends(), expected);
    // EC2 forgets them.
    ledger.saw_instances(&[], at(9000)).expect("writes");
    assert_eq!(ends(), expected);
}

#[test]
fn bytes_through_nat_gateways_are_those_of_the_instances_behind_one() {
    let (_dir, ledger) = ledger();
    let batch = ledger.begin_batch("b", at(100)).expect("begins");
    ledger.add_job(&batch, &new_job("a.avi"), 7).expect("adds");
    record(&ledger, "b", &status("a.avi", "converted"));
    assert_eq!(ledger.nat_bytes(&batch).expect("reads"), 0, "not known");
    ledger
        .are_behind_nat(["i-1", "i-1", "i-9"].into_iter())
        .expect("writes");
    // The size of the output is known once it is fetched.
    assert_eq!(ledger.nat_bytes(&batch).expect("reads"), 10);
}

#[test]
fn the_first_message_of_each_instance_is_timed_from_its_launch() {
    let (_dir, ledger) = ledger();
    let batch = ledger.begin_batch("b", at(100)).expect("begins");
    assert_eq!(ledger.first_reads(&batch).expect("reads"), []);
    let message = |name: &str, second: u32| {
        let mut message = status(name, "converted");
        let time = format!("2007-02-21T01:28:{second:02}Z");
        message.service_read = time.parse().expect("time");
        message
    };
    for (name, second) in [("late.avi", 50), ("early.avi", 20)] {
        ledger.add_job(&batch, &new_job(name), 7).expect("adds");
        record(&ledger, "b", &message(name, second));
    }
    let launched: Timestamp = "2007-02-21T01:28:12Z".parse().expect("time");
    let seen = Sighting {
        id: "i-1".into(),
        kind: "worker".into(),
        instance_type: "c7i.large".into(),
        launched,
        alive: false,
        ended: Some(at(1_172_021_400)),
        volume_gib: 8,
        public_ip: true,
    };
    let idle = Sighting {
        id: "i-2".into(),
        ..seen.clone()
    };
    ledger
        .saw_instances(&[seen, idle], launched)
        .expect("writes");
    let reads = ledger.first_reads(&batch).expect("reads");
    assert_eq!(reads.len(), 1, "the idle one read nothing: {reads:?}");
    assert_eq!((reads[0].instance.as_str(), reads[0].seconds), ("i-1", 8));
}

#[test]
fn a_job_that_is_sent_again_waits_for_a_new_answer() {
    let (_dir, ledger) = ledger();
    let batch = ledger.begin_batch("b", at(100)).expect("begins");
    ledger.add_job(&batch, &new_job("a.avi"), 7).expect("adds");
    let record = |status: &StatusMessage| record(&ledger, "b", status);
    let outstanding = || ledger.totals(&batch).expect("totals").outstanding;
    let first = status("a.avi", "failed");
    assert!(record(&first).is_some());
    let told = first.service_write;
    ledger
        .record_redriven(&batch, &new_job("a.avi"), told)
        .expect("records");
    assert_eq!(outstanding(), 1);
    // The first answer is told again, and its letter seen again: nothing new.
    assert!(record(&first).is_none());
    let dead = |written| ledger.record_dead(&batch, &new_job("a.avi"), "bad", written);
    assert!(!dead(Some(told)).expect("records"));
    assert_eq!(outstanding(), 1);
    let mut second = first.clone();
    second.service_write = told + jiff::SignedDuration::from_secs(5);
    assert!(record(&second).is_some());
    assert_eq!(outstanding(), 0);
    // What is converted stays so, whoever sends its letter again.
    assert!(record(&status("a.avi", "converted")).is_some());
    ledger
        .record_redriven(&batch, &new_job("a.avi"), second.service_write)
        .expect("records");
    assert_eq!(ledger.totals(&batch).expect("totals").converted, 1);
}

#[test]
fn a_newer_schema_is_refused() {
    let (dir, ledger) = ledger();
    ledger
        .connection()
        .pragma_update(None, "user_version", 99)
        .expect("sets");
    drop(ledger);
    let error = Ledger::open_at(&dir.path().join("deep/ledger.sqlite"), &place("demo"))
        .expect_err("refused");
    assert!(error.chain().contains("newer muck"), "{}", error.chain());
}

#[test]
fn a_file_that_is_no_ledger_is_named() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("ledger.sqlite");
    std::fs::write(
        &path,
        "hello, this is not a database, and it is long enough to be seen as one",
    )
    .expect("writes");
    let error = Ledger::open_at(&path, &place("demo")).expect_err("refused");
    assert!(error.to_string().contains("ledger.sqlite"), "{error}");
}

/// A failure that names outputs is nobody's well-meant one.
#[test]
fn outputs_that_a_failure_named_are_not_the_conversions() {
    let (_dir, ledger) = ledger();
    let batch = ledger.begin_batch("b", at(100)).expect("begins");
    ledger.add_job(&batch, &new_job("a.avi"), 7).expect("adds");
    let mut failed = status("a.avi", "failed");
    let one = &status("a.avi", "converted").outputs[0];
    failed.outputs = vec![one.clone(), one.clone(), one.clone()];
    assert!(record(&ledger, "b", &failed).is_some());
    let converted = status("a.avi", "converted");
    assert!(record(&ledger, "b", &converted).is_some());
    assert_eq!(ledger.jobs(&batch).expect("jobs")[0].outputs.len(), 1);
}

#[test]
fn sizes_that_are_too_large_together_are_still_a_size() {
    let (_dir, ledger) = ledger();
    let batch = ledger.begin_batch("b", at(100)).expect("begins");
    for name in ["a.avi", "b.avi"] {
        let mut told = status(name, "converted");
        told.input.size = u64::MAX;
        told.input.input_key = format!("media/{name}");
        record(&ledger, "b", &told);
    }
    let (inputs, outputs) = ledger.stored_bytes(&batch).expect("adds up");
    assert_eq!((inputs, outputs), (i64::MAX.unsigned_abs(), 0));
}

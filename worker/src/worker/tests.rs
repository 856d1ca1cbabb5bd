//! The loop against fakes: what is told, stored, deleted and given back in each case.

mod fakes;
mod keeper;

use std::sync::Mutex;
use std::sync::atomic::Ordering;

use md5::{Digest as _, Md5};

use super::*;
use crate::message::{DeadLetter, Status};
use crate::verdict::{self, Verdict};
use fakes::{Capitals, FakeClock, FakeOutbox, FakeQueue, FakeStore};

/// 2007-02-21 01:28:14, as in the article.
const NOW: i64 = 1_172_021_294;
const IDLE: u64 = 60;

struct World {
    clock: FakeClock,
    outbox: FakeOutbox,
    store: FakeStore,
    service: Capitals,
    data: UserData,
    machine: Machine,
    leaving: Leaving,
    failed: FakeOutbox,
    slots: usize,
    buries: bool,
}

impl World {
    fn new() -> Self {
        let text = "Stack: demo\nRegion: r\nAccount: 123456789012\nInput-Queue: https://q/in\n\
            Output-Queue: https://q/out\nInput-Bucket: inputs\nOutput-Bucket: outputs\n\
            Idle-Seconds: 60\nExpires: Wed, 21 Feb 2007 13:28:14 GMT\n";
        Self {
            clock: FakeClock(Mutex::new(Timestamp::from_second(NOW).unwrap())),
            outbox: FakeOutbox::default(),
            store: FakeStore::default(),
            service: Capitals::default(),
            data: UserData::parse(text).unwrap(),
            machine: Machine {
                host: "h1".to_owned(),
                instance_id: Some("i-1".to_owned()),
            },
            leaving: Leaving::new(),
            failed: FakeOutbox::default(),
            slots: 1,
            buries: true,
        }
    }

    async fn run(&self, queue: &FakeQueue<'_>) -> Result<Ended, GaveUp> {
        let folder = tempfile::tempdir().unwrap();
        let worker = Worker {
            service: &self.service,
            inbox: queue,
            outbox: &self.outbox,
            failed: self.buries.then_some(&self.failed as &dyn Outbox),
            store: &self.store,
            clock: &self.clock,
            data: &self.data,
            machine: &self.machine,
            name: "i-1",
            space: &Space::of(folder.path()),
            desk: &Desk::new(self.slots),
            hold: Duration::from_secs(90),
            leaving: self.leaving.clone(),
        };
        let ended = worker.run().await;
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            0,
            "work is cleared away"
        );
        ended
    }

    /// Runs, and asks to leave within `left` as soon as the service works on something.
    async fn leave_when_running(
        &self,
        queue: &FakeQueue<'_>,
        left: Duration,
    ) -> Result<Ended, GaveUp> {
        let stopper = async {
            while *self.service.runs.lock().unwrap() == 0 {
                tokio::task::yield_now().await;
            }
            self.leaving.notify(Notice {
                why: "SIGTERM".to_owned(),
                until: tokio::time::Instant::now() + left,
            });
        };
        tokio::join!(self.run(queue), stopper).0
    }

    /// Stores an input and makes its message.
    fn submit(&self, content: &str) -> String {
        let key = format!("media/{}", md5(content));
        self.store
            .put_object(&format!("inputs/{key}"), content.as_bytes());
        format!(
            "Bucket: inputs\nInputKey: {key}\nSize: {}\nBatch: b1\nX-Own: kept\n",
            content.len()
        )
    }

    fn dead_letters(&self) -> Vec<DeadLetter> {
        let sent = self.failed.sent.lock().unwrap();
        sent.iter().map(|text| DeadLetter::read(text)).collect()
    }

    fn verdict(&self, content: &str) -> Option<Verdict> {
        let job = verdict::job_id_of(&md5(content), &"d".repeat(64));
        let text = self
            .store
            .text(&format!("outputs/{}", verdict::key(&job)))?;
        Some(Verdict::parse(&text).unwrap())
    }
}

fn md5(content: &str) -> String {
    hex::encode(Md5::digest(content))
}

#[tokio::test]
async fn a_file_is_processed_stored_told_and_deleted() {
    let world = World::new();
    let message = world.submit("hello");
    let queue = FakeQueue::new(&world.clock, &[&message]);
    assert_eq!(world.run(&queue).await.unwrap(), Ended::Idle);

    let output = format!("media/{}", md5("HELLO"));
    assert_eq!(
        world.store.text(&format!("outputs/{output}")).unwrap(),
        "HELLO"
    );
    let verdict = world.verdict("hello").unwrap();
    assert_eq!(verdict.status, Status::Converted);
    assert_eq!(verdict.outputs[0].content.key, output);
    let sent = world.outbox.sent.lock().unwrap().concat();
    assert_eq!(
        sent,
        format!(
            "Bucket: inputs\nInputKey: media/{}\nOriginalFileName: {}\nSize: 5\nBatch: b1\n\
             OutputBucket: outputs\nX-Own: kept\nOutputKey: {output};type=text/plain\n\
             Server: Capitals\nHost: h1\nInstance-ID: i-1\n\
             Service-Read: Wed, 21 Feb 2007 01:28:14 GMT\n\
             Service-Write: Wed, 21 Feb 2007 01:28:14 GMT\nProcessing-Seconds: 0.000\nStatus: converted\n",
            md5("hello"),
            md5("hello")
        )
    );
    assert_eq!(*queue.deleted.lock().unwrap(), ["m0"]);
}

#[tokio::test]
async fn a_duplicate_is_answered_from_the_verdict_without_reading_the_file() {
    let world = World::new();
    let message = world.submit("hello");
    let queue = FakeQueue::new(&world.clock, &[&message, &message]);
    world.run(&queue).await.unwrap();
    assert_eq!(*world.service.runs.lock().unwrap(), 1);
    assert_eq!(*world.store.fetches.lock().unwrap(), 1);
    let statuses = world.outbox.statuses();
    assert_eq!(statuses.len(), 2);
    assert_eq!(statuses[0].outputs, statuses[1].outputs);
    assert_eq!(queue.deleted.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn who_loses_the_race_tells_the_winners_verdict() {
    let world = World::new();
    let message = world.submit("hello");
    let first = World::new();
    first.submit("hello");
    let queue = FakeQueue::new(&first.clock, &[&message]);
    first.run(&queue).await.unwrap();
    let mut theirs = first.verdict("hello").unwrap();
    let content = &mut theirs.outputs[0].content;
    content.md5 = md5("theirs");
    content.key = format!("media/{}", content.md5);
    let key = content.key.clone();
    *world.store.rival.lock().unwrap() = Some(theirs.to_json().unwrap());

    let queue = FakeQueue::new(&world.clock, &[&message]);
    world.run(&queue).await.unwrap();
    assert_eq!(world.outbox.statuses()[0].outputs[0].key, key);
    assert_eq!(world.verdict("hello").unwrap(), theirs);
}

#[tokio::test]
async fn what_lies_in_a_verdicts_place_is_not_believed_if_it_is_none_of_that_job() {
    let world = World::new();
    let message = world.submit("hello");
    let other = World::new();
    let queue = FakeQueue::new(&other.clock, &[&other.submit("other")]);
    other.run(&queue).await.unwrap();
    let theirs = other.verdict("other").unwrap().to_json().unwrap();
    let job = verdict::job_id_of(&md5("hello"), &"d".repeat(64));
    for (text, why) in [
        (theirs, "is another job's"),
        ("{\"version\": 1}".to_owned(), "is no verdict"),
    ] {
        let key = format!("outputs/{}", verdict::key(&job));
        world.store.put_object(&key, text.as_bytes());
        let queue = FakeQueue::new(&world.clock, &[&message]);
        // Nobody is told of outputs that are another's; the message ends as a dead letter that says why.
        assert!(world.run(&queue).await.is_err(), "the store is doubted");
        let status = world.outbox.statuses().pop().unwrap();
        assert_eq!((status.status, status.outputs.len()), (Status::Failed, 0));
        let letter = world.dead_letters().pop().unwrap();
        assert!(letter.reason.unwrap().contains(why));
        assert_eq!(letter.original.as_deref(), Some(message.as_str()));
        assert_eq!(*world.service.runs.lock().unwrap(), 0);
    }
}

#[tokio::test]
async fn a_files_fault_is_told_and_the_batch_goes_on() {
    let world = World::new();
    let (bad, good) = (world.submit("bad one"), world.submit("good one"));
    let queue = FakeQueue::new(&world.clock, &[&bad, &good, &bad]);
    assert_eq!(world.run(&queue).await.unwrap(), Ended::Idle);
    let statuses = world.outbox.statuses();
    let told: Vec<_> = statuses.iter().map(|s| s.status).collect();
    assert_eq!(told, [Status::Failed, Status::Converted, Status::Failed]);
    assert_eq!(statuses[0].error.as_deref(), Some("Invalid data found"));
    assert_eq!(statuses[2].error, statuses[0].error);
    assert_eq!(world.verdict("bad one").unwrap().status, Status::Failed);
    assert_eq!(
        *world.service.runs.lock().unwrap(),
        2,
        "the verdict holds for failures too"
    );
    assert_eq!(queue.deleted.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn many_bad_files_do_not_end_the_worker() {
    let world = World::new();
    let mut messages: Vec<String> = (0..20).map(|n| world.submit(&format!("bad {n}"))).collect();
    messages.push(world.submit("good"));
    let bodies: Vec<&str> = messages.iter().map(String::as_str).collect();
    let queue = FakeQueue::new(&world.clock, &bodies);
    assert_eq!(world.run(&queue).await.unwrap(), Ended::Idle);
    assert_eq!(world.outbox.statuses()[20].status, Status::Converted);
}

#[tokio::test]
async fn what_contradicts_the_message_is_refused_without_a_verdict() {
    let world = World::new();
    let good = world.submit("hello");
    let other = md5("other");
    world
        .store
        .put_object(&format!("inputs/media/{other}"), b"hello");
    let cases = [
        (
            good.replace("Size: 5", "Size: 6"),
            "has 5 bytes, but the message says 6",
        ),
        (
            good.replace(&md5("hello"), &other),
            "the content has the MD5",
        ),
        (good.replace(&md5("hello"), &md5("none")), "is not there"),
        (
            good.replace("Bucket: inputs", "Bucket: foreign"),
            "not the one that this worker reads",
        ),
        (
            format!("{good}OutputBucket: foreign\n"),
            "not the one that this worker writes",
        ),
        (format!("{good}Preset: unknown\n"), "there is no preset"),
        (
            format!("{good}SHA256: {}\n", "0".repeat(64)),
            "hasn't the SHA-256",
        ),
        (
            good.replace("InputKey", "Key"),
            "the header `InputKey` is missing",
        ),
        (format!("{good}Date: never\n"), "the header `Date`"),
        (
            format!("{good}Size: 7\n"),
            "the header `Size` appears more than once",
        ),
    ];
    let bodies: Vec<&str> = cases.iter().map(|(body, _)| body.as_str()).collect();
    let queue = FakeQueue::new(&world.clock, &bodies);
    assert_eq!(world.run(&queue).await.unwrap(), Ended::Idle);
    let statuses = world.outbox.statuses();
    assert_eq!(statuses.len(), cases.len());
    for (status, (body, words)) in statuses.iter().zip(&cases) {
        assert_eq!(status.status, Status::Failed);
        assert_eq!(status.input.batch.as_deref(), Some("b1"));
        let error = status.error.as_deref().unwrap();
        assert!(error.contains(words), "{error} for {body}");
    }
    assert_eq!(queue.deleted.lock().unwrap().len(), cases.len());
    assert_eq!(*world.service.runs.lock().unwrap(), 0);
    assert!(
        !world
            .store
            .names()
            .iter()
            .any(|name| name.starts_with("outputs/"))
    );
    // None of them stands in the way of the right message.
    let queue = FakeQueue::new(&world.clock, &[&good]);
    world.run(&queue).await.unwrap();
    assert_eq!(
        world.outbox.statuses().last().unwrap().status,
        Status::Converted
    );
}

#[tokio::test]
async fn what_cannot_be_read_becomes_a_dead_letter_at_once() {
    let world = World::new();
    let good = world.submit("hello");
    let queue = FakeQueue::new(
        &world.clock,
        &["{\"Bucket\": 1}", "", "X-Only: unknown", &good],
    );
    assert_eq!(world.run(&queue).await.unwrap(), Ended::Idle);
    assert!(queue.dead.lock().unwrap().is_empty(), "not by the queue");
    assert_eq!(queue.deleted.lock().unwrap().len(), 4);
    assert_eq!(world.outbox.statuses().len(), 1);
    let letters = world.dead_letters();
    let told: Vec<_> = letters
        .iter()
        .map(|l| (l.reason.as_deref().unwrap(), l.original.as_deref()))
        .collect();
    assert_eq!(
        told,
        [
            (
                "line 1 is not of the form `Name: value`: `{\"Bucket\": 1}`",
                Some("{\"Bucket\": 1}")
            ),
            // It can't be sent again: queues take no empty text.
            ("the message is empty", None),
            ("the header `Bucket` is missing", Some("X-Only: unknown\n")),
        ]
    );
}

#[tokio::test]
async fn without_a_failed_queue_what_cannot_be_read_is_left_to_the_input_queue() {
    let mut world = World::new();
    world.buries = false;
    let queue = FakeQueue::new(&world.clock, &["{}"]);
    assert_eq!(world.run(&queue).await.unwrap(), Ended::Idle);
    assert_eq!(*queue.dead.lock().unwrap(), ["m0"]);
    let pauses: Vec<u64> = (queue.given_back.lock().unwrap().iter())
        .map(|(_, pause)| pause.as_secs())
        .collect();
    assert_eq!(pauses, [0, 10, 20, 30, 40]);
}

#[tokio::test]
async fn each_failed_message_is_a_dead_letter_with_its_reason() {
    let world = World::new();
    let bad = world.submit("bad one");
    let wrong = world.submit("hello").replace("Size: 5", "Size: 6");
    let queue = FakeQueue::new(&world.clock, &[&bad, &wrong]);
    world.run(&queue).await.unwrap();
    let letters = world.dead_letters();
    assert_eq!(letters[0].reason.as_deref(), Some("Invalid data found"));
    assert_eq!(letters[0].original.as_deref(), Some(bad.as_str()));
    assert_eq!(letters[0].receives, Some(1));
    let reason = letters[1].reason.as_deref().unwrap();
    assert!(reason.contains("has 5 bytes"), "{reason}");
    assert_eq!(letters.len(), 2);
}

#[tokio::test]
async fn at_its_last_chance_a_message_is_answered_rather_than_lost() {
    let world = World::new();
    let message = world.submit("sick");
    let queue = FakeQueue::new(&world.clock, &[&message]);
    assert!(matches!(world.run(&queue).await, Err(GaveUp::Jobs(5, _))));
    // Four receipts with one try, the fifth with three.
    assert_eq!(*world.service.runs.lock().unwrap(), 7);
    let status = &world.outbox.statuses()[0];
    assert_eq!(status.status, Status::Failed);
    let reason = "given up after 5 tries; the last: killed by signal 9";
    assert_eq!(status.error.as_deref(), Some(reason));
    assert_eq!(world.dead_letters()[0].reason.as_deref(), Some(reason));
    assert!(world.verdict("sick").is_none(), "the file may be good");
    assert_eq!(*queue.deleted.lock().unwrap(), ["m0"]);
}

#[tokio::test]
async fn at_its_last_chance_a_passing_fault_is_waited_out() {
    let world = World::new();
    let message = world.submit("hello");
    let queue = FakeQueue::new(&world.clock, &[&message]);
    queue.waiting.lock().unwrap()[0].times = 4;
    *world.store.machine_failures.lock().unwrap() = 2;
    assert_eq!(world.run(&queue).await.unwrap(), Ended::Idle);
    assert_eq!(world.outbox.statuses()[0].status, Status::Converted);
    assert!(world.dead_letters().is_empty());
}

#[tokio::test]
async fn at_its_last_chance_a_job_that_is_done_is_told_as_done() {
    let world = World::new();
    let message = world.submit("hello");
    let queue = FakeQueue::new(&world.clock, &[&message]);
    queue.waiting.lock().unwrap()[0].times = 4;
    // The status message can't be sent in any of the three tries.
    *world.outbox.failures.lock().unwrap() = 3;
    world.run(&queue).await.unwrap();
    let statuses = world.outbox.statuses();
    assert_eq!(statuses.len(), 1);
    assert_eq!(statuses[0].status, Status::Converted);
    assert!(world.dead_letters().is_empty());
    assert_eq!(*queue.deleted.lock().unwrap(), ["m0"]);
}

#[tokio::test]
async fn what_this_machine_is_too_small_for_goes_to_others_and_does_not_end_it() {
    let world = World::new();
    let huge = world
        .submit("huge")
        .replace("Size: 4", "Size: 1000000000000000");
    let huge: Vec<String> = (0..9).map(|n| format!("{huge}X-Own-{n}: kept\n")).collect();
    let good = world.submit("hello");
    let bodies: Vec<&str> = huge.iter().chain([&good]).map(String::as_str).collect();
    let queue = FakeQueue::new(&world.clock, &bodies);
    assert_eq!(world.run(&queue).await.unwrap(), Ended::Idle);
    // Each was seen four times before, in vain.
    let given_back = queue.given_back.lock().unwrap();
    assert_eq!(given_back.len(), 9 * 4);
    assert!(given_back.iter().all(|(_, pause)| !pause.is_zero()));
    assert_eq!(world.verdict("hello").unwrap().status, Status::Converted);
    let letters = world.dead_letters();
    assert_eq!(letters.len(), 9);
    let why = letters[0].reason.as_deref().unwrap();
    assert!(
        why.starts_with(
            "given up after 5 tries; the last: it needs 2000000067108864 bytes of disk"
        ),
        "{why}"
    );
}

#[tokio::test]
async fn another_content_of_the_same_md5_is_not_told_as_done() {
    let world = World::new();
    let message = world.submit("hello");
    let other = format!("{message}SHA256: {}\n", "0".repeat(64));
    let queue = FakeQueue::new(&world.clock, &[&message, &other]);
    world.run(&queue).await.unwrap();
    let statuses = world.outbox.statuses();
    assert_eq!(statuses[0].status, Status::Converted);
    let why = statuses[1].error.as_deref();
    assert_eq!(
        why,
        Some("the content hasn't the SHA-256 that its message tells")
    );
}

#[tokio::test]
async fn past_its_time_a_message_at_its_last_chance_is_told_with_its_reason() {
    let mut world = World::new();
    let message = world.submit("hello");
    let queue = FakeQueue::new(&world.clock, &[&message]);
    queue.waiting.lock().unwrap()[0].times = 4;
    // It is taken just before, and comes just after.
    world.data.expires = Timestamp::from_second(NOW + 1).unwrap();
    *queue.answers_after.lock().unwrap() = Duration::from_millis(50);
    let late = async {
        while *queue.receives.lock().unwrap() == 0 {
            tokio::task::yield_now().await;
        }
        world.clock.advance(Duration::from_secs(2));
    };
    let (ended, ()) = tokio::join!(world.run(&queue), late);
    assert_eq!(ended.unwrap(), Ended::Expired);
    let why = world.outbox.statuses()[0].error.clone().unwrap();
    assert!(
        why.ends_with("this machine had to leave it: its time is over"),
        "{why}"
    );
    assert!(queue.dead.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_machines_fault_gives_the_message_back_at_once() {
    let world = World::new();
    let message = world.submit("hello");
    *world.store.machine_failures.lock().unwrap() = 2;
    let queue = FakeQueue::new(&world.clock, &[&message]);
    assert_eq!(world.run(&queue).await.unwrap(), Ended::Idle);
    let back = [
        ("m0".to_owned(), Duration::ZERO),
        ("m0".to_owned(), Duration::ZERO),
    ];
    assert_eq!(*queue.given_back.lock().unwrap(), back);
    assert_eq!(world.outbox.statuses().len(), 1);
    assert_eq!(world.outbox.statuses()[0].status, Status::Converted);
}

#[tokio::test]
async fn repeated_machine_faults_end_the_worker_and_lose_nothing() {
    let world = World::new();
    let messages: Vec<String> = (0..6).map(|n| world.submit(&format!("sick {n}"))).collect();
    let bodies: Vec<&str> = messages.iter().map(String::as_str).collect();
    let queue = FakeQueue::new(&world.clock, &bodies);
    let error = world.run(&queue).await.expect_err("gives up");
    assert!(
        matches!(&error, GaveUp::Jobs(5, why) if why == "killed by signal 9"),
        "{error}"
    );
    assert!(world.outbox.statuses().is_empty());
    assert!(world.verdict("sick 0").is_none());
    assert_eq!(queue.waiting.lock().unwrap().len(), 6);
    assert!(queue.deleted.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_status_that_could_not_be_sent_is_sent_when_the_message_comes_back() {
    let world = World::new();
    let message = world.submit("hello");
    *world.outbox.failures.lock().unwrap() = 1;
    let queue = FakeQueue::new(&world.clock, &[&message]);
    world.run(&queue).await.unwrap();
    assert_eq!(
        *world.service.runs.lock().unwrap(),
        1,
        "the verdict was there already"
    );
    assert_eq!(world.outbox.statuses().len(), 1);
    assert_eq!(*queue.deleted.lock().unwrap(), ["m0"]);
}

#[tokio::test]
async fn denied_inputs_wait_for_rights_to_spread_before_they_fail() {
    let world = World::new();
    let message = world.submit("hello");
    *world.store.denials.lock().unwrap() = 2;
    let queue = FakeQueue::new(&world.clock, &[&message]);
    world.run(&queue).await.unwrap();
    assert_eq!(world.outbox.statuses()[0].status, Status::Converted);

    let (world, denied) = (World::new(), "Bucket: inputs\nInputKey: kkk\nSize: 1\n");
    *world.store.denials.lock().unwrap() = 9;
    let queue = FakeQueue::new(&world.clock, &[denied]);
    assert_eq!(world.run(&queue).await.unwrap(), Ended::Idle);
    assert_eq!(world.outbox.statuses()[0].status, Status::Failed);
    assert_eq!(*world.store.fetches.lock().unwrap(), 3);
}

#[tokio::test]
async fn keys_that_are_no_md5_find_their_verdict_by_content() {
    let world = World::new();
    let ours = world.submit("hello");
    world.store.put_object("inputs/home/me/MVI_1.AVI", b"hello");
    let theirs = "Bucket: inputs\nInputKey: home/me/MVI_1.AVI\nSize: 5\nHost: laptop\n";
    let queue = FakeQueue::new(&world.clock, &[&ours, theirs]);
    world.run(&queue).await.unwrap();
    assert_eq!(*world.service.runs.lock().unwrap(), 1);
    let statuses = world.outbox.statuses();
    assert_eq!(statuses[1].outputs, statuses[0].outputs);
    assert_eq!(statuses[1].host, "h1");
    assert_eq!(statuses[1].input.original_file_name, "MVI_1.AVI");
}

#[tokio::test]
async fn in_one_bucket_no_output_bucket_is_added() {
    let mut world = World::new();
    world.data.output_bucket = "inputs".to_owned();
    let message = world.submit("hello");
    let queue = FakeQueue::new(&world.clock, &[&message]);
    world.run(&queue).await.unwrap();
    assert_eq!(world.outbox.statuses()[0].input.output_bucket, None);
}

#[tokio::test]
async fn the_worker_stays_while_others_work_and_for_the_idle_time() {
    let world = World::new();
    let queue = FakeQueue::new(&world.clock, &[]);
    *queue.elsewhere.lock().unwrap() = 3;
    assert_eq!(world.run(&queue).await.unwrap(), Ended::Idle);
    let seconds = world.clock.now().as_second() - NOW;
    // Four looks of 20 s until the queue is empty, then the idle time.
    assert_eq!(seconds, 4 * 20 + i64::try_from(IDLE).unwrap());
}

#[tokio::test]
async fn past_its_time_no_work_is_taken() {
    let mut world = World::new();
    world.data.expires = Timestamp::from_second(NOW).unwrap();
    let message = world.submit("hello");
    let queue = FakeQueue::new(&world.clock, &[&message]);
    assert_eq!(world.run(&queue).await.unwrap(), Ended::Expired);
    assert_eq!(*queue.receives.lock().unwrap(), 0);
    assert_eq!(queue.waiting.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn asked_to_stop_it_gives_back_what_it_has() {
    let world = World::new();
    let message = world.submit("slow");
    let queue = FakeQueue::new(&world.clock, &[&message]);
    let ended = world.leave_when_running(&queue, Duration::ZERO).await;
    assert_eq!(ended.unwrap(), Ended::Stopped);
    assert_eq!(
        *queue.given_back.lock().unwrap(),
        [("m0".to_owned(), Duration::ZERO)]
    );
    assert!(world.outbox.statuses().is_empty());
}

#[tokio::test]
async fn a_message_that_was_on_its_way_when_it_was_asked_to_leave_is_given_back() {
    let world = World::new();
    let message = world.submit("hello");
    let queue = FakeQueue::new(&world.clock, &[&message]);
    *queue.answers_after.lock().unwrap() = Duration::from_millis(100);
    let stopper = async {
        while queue.held.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        world.leaving.notify(Notice {
            why: "SIGTERM".to_owned(),
            until: tokio::time::Instant::now() + Duration::from_secs(5),
        });
    };
    let (ended, ()) = tokio::join!(world.run(&queue), stopper);
    assert_eq!(ended.unwrap(), Ended::Stopped);
    assert!(queue.held.lock().unwrap().is_empty());
    assert_eq!(
        *queue.given_back.lock().unwrap(),
        [("m0".to_owned(), Duration::ZERO)]
    );
    assert!(world.outbox.statuses().is_empty());
}

#[tokio::test]
async fn a_queue_that_stays_away_ends_the_worker() {
    let world = World::new();
    let queue = FakeQueue::new(&world.clock, &[]);
    *queue.broken.lock().unwrap() = true;
    let error = world.run(&queue).await.expect_err("gives up");
    assert!(matches!(error, GaveUp::Queue(12, _)), "{error}");
    let seconds = world.clock.now().as_second() - NOW;
    assert!((300..600).contains(&seconds), "{seconds} s of patience");
}

#[tokio::test]
async fn what_can_be_finished_in_time_is_finished() {
    let world = World::new();
    let (first, second) = (world.submit("step"), world.submit("hello"));
    let queue = FakeQueue::new(&world.clock, &[&first, &second]);
    let ended = world
        .leave_when_running(&queue, Duration::from_mins(1))
        .await;
    assert_eq!(ended.unwrap(), Ended::Stopped);
    assert_eq!(world.outbox.statuses()[0].status, Status::Converted);
    assert_eq!(queue.waiting.lock().unwrap().len(), 1, "no more is taken");
    assert!(queue.given_back.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_takes_longer_than_there_is_time_goes_back_at_once() {
    let world = World::new();
    let message = world.submit("slow");
    world.service.tells.store(true, Ordering::Relaxed);
    let queue = FakeQueue::new(&world.clock, &[&message]);
    let began = std::time::Instant::now();
    let ended = world
        .leave_when_running(&queue, Duration::from_hours(1))
        .await;
    assert_eq!(ended.unwrap(), Ended::Stopped);
    assert!(began.elapsed() < Duration::from_mins(1));
    assert_eq!(queue.given_back.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_failure_while_the_machine_stops_proves_nothing() {
    let world = World::new();
    let message = world.submit("step, then bad");
    let queue = FakeQueue::new(&world.clock, &[&message]);
    let ended = world
        .leave_when_running(&queue, Duration::from_mins(1))
        .await;
    assert_eq!(ended.unwrap(), Ended::Stopped);
    assert!(world.outbox.statuses().is_empty());
    assert!(world.verdict("step, then bad").is_none());
    assert_eq!(queue.given_back.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn several_files_are_worked_on_beside_each_other_and_no_more_are_taken() {
    let mut world = World::new();
    world.slots = 3;
    let messages: Vec<String> = (0..8).map(|n| world.submit(&format!("slow {n}"))).collect();
    let bodies: Vec<&str> = messages.iter().map(String::as_str).collect();
    let queue = FakeQueue::new(&world.clock, &bodies);
    let stopper = async {
        while *world.service.runs.lock().unwrap() < 3 {
            tokio::task::yield_now().await;
        }
        assert_eq!(queue.held.lock().unwrap().len(), 3);
        world.leaving.notify(Notice {
            why: "SIGTERM".to_owned(),
            until: tokio::time::Instant::now(),
        });
    };
    let (ended, ()) = tokio::join!(world.run(&queue), stopper);
    assert_eq!(ended.unwrap(), Ended::Stopped);
    assert_eq!(queue.given_back.lock().unwrap().len(), 3, "all go back");
    assert_eq!(queue.waiting.lock().unwrap().len(), 8);
}

#[tokio::test]
async fn many_slots_work_a_whole_queue_off() {
    let mut world = World::new();
    world.slots = 4;
    let messages: Vec<String> = (0..40)
        .map(|n| match n % 4 {
            0 => world.submit(&format!("bad {n}")),
            1 => world.submit(&format!("step {n}")),
            _ => world.submit(&format!("good {n}")),
        })
        .collect();
    let bodies: Vec<&str> = messages.iter().map(String::as_str).collect();
    let queue = FakeQueue::new(&world.clock, &bodies);
    assert_eq!(world.run(&queue).await.unwrap(), Ended::Idle);
    assert_eq!(world.outbox.statuses().len(), 40);
    assert_eq!(world.dead_letters().len(), 10);
    assert_eq!(queue.deleted.lock().unwrap().len(), 40);
    assert!(*world.service.most_at_once.lock().unwrap() <= 4);
}

#[tokio::test]
async fn faults_in_several_slots_end_the_worker_after_what_is_under_way() {
    let mut world = World::new();
    world.slots = 4;
    let messages: Vec<String> = (0..12)
        .map(|n| world.submit(&format!("sick {n}")))
        .collect();
    let bodies: Vec<&str> = messages.iter().map(String::as_str).collect();
    let queue = FakeQueue::new(&world.clock, &bodies);
    let error = world.run(&queue).await.expect_err("gives up");
    // Five that count, and what is in hand by then: at most two a slot.
    assert!(matches!(error, GaveUp::Jobs(5..=13, _)), "{error}");
    assert!(queue.held.lock().unwrap().is_empty(), "all are given back");
    assert_eq!(queue.waiting.lock().unwrap().len(), 12);
}

//! Fleets: who stays when no message waits, and who leaves.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::LocalBoxFuture;
use tokio::sync::Notify;

use super::fakes::{Capitals, FakeOutbox, FakeStore};
use super::*;
use crate::inbox::Depth;

const BEGIN: i64 = 1_172_021_294;
const IDLE: i64 = 60;
const STALE: i64 = KEEPER_STALE.as_secs().cast_signed();
/// The longest wait for a message.
const POLL: i64 = LONGEST_POLL.as_secs().cast_signed();

/// Time that goes on when nobody has anything else to do.
#[derive(Default)]
struct Time {
    now: Mutex<Duration>,
    sleepers: Mutex<Vec<(Duration, Arc<Notify>)>>,
}

impl Time {
    async fn sleep(&self, time: Duration) {
        let end = *self.now.lock().unwrap() + time;
        let wake = Arc::new(Notify::new());
        self.sleepers.lock().unwrap().push((end, Arc::clone(&wake)));
        wake.notified().await;
    }

    fn seconds(&self) -> i64 {
        i64::try_from(self.now.lock().unwrap().as_secs()).unwrap()
    }

    /// Goes on by a second, or to the end of the shortest sleep.
    fn go_on(&self) {
        let sleepers = &mut *self.sleepers.lock().unwrap();
        // Those of futures that were dropped wake nobody.
        sleepers.retain(|(_, wake)| Arc::strong_count(wake) > 1);
        let now = &mut *self.now.lock().unwrap();
        // Who works on something without end does not sleep.
        let in_a_second = *now + Duration::from_secs(1);
        *now = (sleepers.iter().map(|(end, _)| *end)).fold(in_a_second, Duration::min);
        for (_, wake) in sleepers.extract_if(.., |(end, _)| *end <= *now) {
            wake.notify_one();
        }
    }
}

/// One machine's clock, which is off by some seconds.
struct SkewedClock<'a> {
    time: &'a Time,
    off: i64,
}

#[async_trait]
impl Clock for SkewedClock<'_> {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(BEGIN + self.time.seconds() + self.off).unwrap()
    }

    async fn sleep(&self, time: Duration) {
        self.time.sleep(time).await;
    }
}

/// A queue of several workers. What is taken stays in flight until it is deleted or given back.
#[derive(Default)]
struct SharedQueue {
    time: Time,
    waiting: Mutex<VecDeque<String>>,
    in_flight: Mutex<u64>,
}

impl SharedQueue {
    /// A message that a worker holds which is not one of the test's.
    fn held_elsewhere() -> Self {
        Self {
            in_flight: Mutex::new(1),
            ..Self::default()
        }
    }

    fn comes_back(&self, body: &str) {
        *self.in_flight.lock().unwrap() -= 1;
        self.waiting.lock().unwrap().push_back(body.to_owned());
    }
}

#[async_trait]
impl Inbox for SharedQueue {
    async fn receive(
        &self,
        wait: Duration,
        _hold: Duration,
    ) -> Result<Option<Delivery>, QueueError> {
        for _ in 0..wait.as_secs() {
            if let Some(body) = self.waiting.lock().unwrap().pop_front() {
                *self.in_flight.lock().unwrap() += 1;
                return Ok(Some(Delivery {
                    id: "m".to_owned(),
                    receipt: "r".to_owned(),
                    body,
                    times: 1,
                }));
            }
            self.time.sleep(Duration::from_secs(1)).await;
        }
        Ok(None)
    }

    async fn hold(&self, delivery: &Delivery, hold: Duration) -> Result<(), QueueError> {
        if hold.is_zero() {
            self.comes_back(&delivery.body);
        }
        Ok(())
    }

    async fn delete(&self, _delivery: &Delivery) -> Result<(), QueueError> {
        *self.in_flight.lock().unwrap() -= 1;
        Ok(())
    }

    async fn max_receives(&self) -> Result<Option<u32>, QueueError> {
        Ok(Some(3))
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        Ok(Depth {
            visible: self.waiting.lock().unwrap().len() as u64,
            in_flight: *self.in_flight.lock().unwrap(),
        })
    }
}

/// What all workers share.
#[derive(Default)]
struct Fleet {
    queue: SharedQueue,
    store: FakeStore,
    outbox: FakeOutbox,
    service: Capitals,
}

/// A worker under way: its name, and when and how it ended.
type Running<'a> = (String, LocalBoxFuture<'a, (i64, Ended)>);

impl Fleet {
    fn with_a_straggler() -> Self {
        Self {
            queue: SharedQueue::held_elsewhere(),
            ..Self::default()
        }
    }

    /// A worker whose clock is off by hours, another number for each.
    fn start(&self, number: i64) -> Running<'_> {
        let name = format!("i-{number}");
        let worker = async move {
            let folder = tempfile::tempdir().unwrap();
            let text = "Stack: demo\nRegion: r\nAccount: 123456789012\nInput-Queue: https://q/in\n\
                Output-Queue: https://q/out\nInput-Bucket: inputs\nOutput-Bucket: outputs\n\
                Idle-Seconds: 60\nExpires: Fri, 01 Jan 2100 00:00:00 GMT\n";
            let worker = Worker {
                service: &self.service,
                inbox: &self.queue,
                outbox: &self.outbox,
                failed: None,
                store: &self.store,
                clock: &SkewedClock {
                    time: &self.queue.time,
                    off: number * 3600,
                },
                data: &UserData::parse(text).unwrap(),
                machine: &Machine {
                    host: "h".to_owned(),
                    instance_id: None,
                },
                name: &format!("i-{number}"),
                space: &Space::of(folder.path()),
                desk: &Desk::new(1),
                hold: Duration::from_secs(90),
                leaving: Leaving::new(),
            };
            let ended = worker.run().await.unwrap();
            (self.queue.time.seconds(), ended)
        };
        (name, Box::pin(worker))
    }

    /// Lets them work for so many seconds, and returns who has ended: name, when, how. Those are no longer among them.
    async fn run(&self, workers: &mut Vec<Running<'_>>, seconds: i64) -> Vec<(String, i64, Ended)> {
        let end = self.queue.time.seconds() + seconds;
        let mut ended = Vec::new();
        while self.queue.time.seconds() < end && !workers.is_empty() {
            // Until all of them wait for the clock: some turns, and a moment for what is read from disks.
            for turn in 0..30 {
                let mut index = 0;
                while index < workers.len() {
                    match futures::poll!(&mut workers[index].1) {
                        std::task::Poll::Ready((at, how)) => {
                            ended.push((workers.remove(index).0, at, how));
                        }
                        std::task::Poll::Pending => index += 1,
                    }
                }
                tokio::task::yield_now().await;
                if turn % 10 == 9 && *self.service.runs.lock().unwrap() > 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            self.queue.time.go_on();
        }
        ended
    }

    /// Who holds the lease now; `None` if nobody does.
    fn keeper(&self) -> Option<String> {
        let text = self.store.text(&format!("outputs/{KEEPER_KEY}"))?;
        let lease: serde_json::Value = serde_json::from_str(&text).unwrap();
        let holder = lease["holder"].as_str().unwrap().to_owned();
        (lease["released"] == false).then_some(holder)
    }

    /// Stores an input and makes its message.
    fn message(&self, content: &str) -> String {
        let key = format!("media/{}", md5(content));
        self.store
            .put_object(&format!("inputs/{key}"), content.as_bytes());
        format!("Bucket: inputs\nInputKey: {key}\nSize: {}\n", content.len())
    }
}

#[tokio::test]
async fn of_twenty_with_one_straggler_elsewhere_all_leave_but_one() {
    let fleet = Fleet::with_a_straggler();
    let mut workers: Vec<_> = (0..20).map(|number| fleet.start(number)).collect();
    let ended = fleet.run(&mut workers, 600).await;
    assert_eq!(ended.len(), 19, "{ended:?}");
    for (name, at, how) in &ended {
        assert_eq!(*how, Ended::Spare, "{name}");
        assert!(*at <= IDLE + 2 * POLL, "{name} left only after {at} s");
        assert!(*at >= IDLE, "{name} left after {at} s");
    }
    assert_eq!(fleet.keeper().as_ref(), Some(&workers[0].0));

    // The straggler is done: nothing is in flight, and the keeper leaves after the idle time.
    *fleet.queue.in_flight.lock().unwrap() = 0;
    let began = fleet.queue.time.seconds();
    let ended = fleet.run(&mut workers, 600).await;
    let [(_, at, Ended::Idle)] = ended[..] else {
        panic!("{ended:?}");
    };
    assert!((IDLE..=IDLE + POLL).contains(&(at - began)), "{at}");
    assert_eq!(fleet.keeper(), None, "the lease is given up");
}

#[tokio::test]
async fn the_keeper_converts_what_comes_back() {
    let fleet = Fleet::with_a_straggler();
    let mut workers: Vec<_> = (0..5).map(|number| fleet.start(number)).collect();
    assert_eq!(fleet.run(&mut workers, 300).await.len(), 4);
    fleet.queue.comes_back(&fleet.message("hello"));
    let ended = fleet.run(&mut workers, 300).await;
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].2, Ended::Idle);
    assert_eq!(fleet.outbox.statuses().len(), 1);
}

#[tokio::test]
async fn a_keepers_lease_is_taken_over_when_it_dies() {
    let fleet = Fleet::with_a_straggler();
    let mut workers: Vec<_> = (0..3).map(|number| fleet.start(number)).collect();
    assert!(fleet.run(&mut workers, POLL + 5).await.is_empty());
    let keeper = fleet.keeper().expect("one is");
    workers.retain(|(name, _)| *name != keeper);
    let ended = fleet.run(&mut workers, 600).await;
    assert_eq!(ended.len(), 1, "{ended:?}");
    let (_, at, how) = &ended[0];
    assert_eq!(*how, Ended::Spare);
    // Not before another was seen to stay, and soon after the dead one's lease is stale.
    assert!((STALE..=STALE + 4 * POLL).contains(at), "after {at} s");
    assert_eq!(fleet.keeper().as_ref(), Some(&workers[0].0));
}

#[tokio::test]
async fn a_keeper_that_has_work_is_not_counted_on() {
    let fleet = Fleet::with_a_straggler();
    let mut workers = vec![fleet.start(0)];
    fleet.run(&mut workers, 100).await;
    assert_eq!(fleet.keeper().as_deref(), Some("i-0"));
    // The other straggler's message comes back, and the keeper is at work on it for ever.
    *fleet.queue.in_flight.lock().unwrap() += 1;
    fleet.queue.comes_back(&fleet.message("slow"));
    fleet.run(&mut workers, 5).await;
    assert_eq!(fleet.keeper(), None, "it has work");
    // One that becomes spare then stays, and is the keeper at once.
    workers.push(fleet.start(1));
    assert!(fleet.run(&mut workers, POLL + 5).await.is_empty());
    assert_eq!(fleet.keeper().as_deref(), Some("i-1"));
    assert!(fleet.run(&mut workers, 600).await.is_empty());
}

#[tokio::test]
async fn a_straggler_that_is_done_leaves_the_rest_to_the_keeper() {
    let fleet = Fleet::with_a_straggler();
    let mut workers = vec![fleet.start(0)];
    fleet.run(&mut workers, 300).await;
    workers.push(fleet.start(1));
    let ended = fleet.run(&mut workers, 300).await;
    assert_eq!(ended.len(), 1);
    assert_eq!((ended[0].0.as_str(), ended[0].2), ("i-1", Ended::Spare));
    assert_eq!(fleet.keeper().as_deref(), Some("i-0"));
}

#[tokio::test]
async fn a_lease_of_an_earlier_fleet_holds_nobody_up_for_long() {
    let fleet = Fleet::with_a_straggler();
    let mut dead = vec![fleet.start(9)];
    fleet.run(&mut dead, 100).await;
    drop(dead);
    let began = fleet.queue.time.seconds();
    let mut workers: Vec<_> = (0..4).map(|number| fleet.start(number)).collect();
    let ended = fleet.run(&mut workers, 600).await;
    assert_eq!(ended.len(), 3, "{ended:?}");
    for (name, at, _) in ended {
        let took = at - began;
        assert!((STALE..=STALE + 4 * POLL).contains(&took), "{name}: {took}");
    }
}

#[tokio::test]
async fn where_s3_refuses_the_lease_all_stay_until_nothing_is_in_flight() {
    let fleet = Fleet::with_a_straggler();
    fleet.store.refuses.store(true, Ordering::SeqCst);
    let mut workers: Vec<_> = (0..3).map(|number| fleet.start(number)).collect();
    assert!(fleet.run(&mut workers, 3600).await.is_empty());
    // S3 is back: one of them is elected now.
    fleet.store.refuses.store(false, Ordering::SeqCst);
    assert_eq!(fleet.run(&mut workers, 300).await.len(), 2);
    *fleet.queue.in_flight.lock().unwrap() = 0;
    let ended = fleet.run(&mut workers, 300).await;
    assert_eq!(ended[0].2, Ended::Idle);
}

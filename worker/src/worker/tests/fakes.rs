//! A queue, a bucket, a clock and a service in memory, which do what they are told.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::clock::Clock;
use crate::inbox::{Delivery, Depth, Inbox, Outbox, QueueError};
use crate::message::{InputMessage, Message, StatusMessage};
use crate::service::{Made, OutputFile, Progress, Service, ServiceError, Task};
use crate::store::{Expected, Fetched, Note, Store, StoreError};
use crate::sums::{Summer, Sums};

/// A clock that goes on only when someone waits.
pub(super) struct FakeClock(pub(super) Mutex<Timestamp>);

impl FakeClock {
    pub(super) fn advance(&self, time: Duration) {
        let mut now = self.0.lock().unwrap();
        *now = now
            .checked_add(jiff::SignedDuration::try_from(time).unwrap())
            .unwrap();
    }
}

#[async_trait]
impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }

    async fn sleep(&self, time: Duration) {
        self.advance(time);
    }
}

/// A queue. A message that is given back comes again at the end of the line.
pub(super) struct FakeQueue<'a> {
    pub(super) clock: &'a FakeClock,
    pub(super) waiting: Mutex<VecDeque<Delivery>>,
    pub(super) held: Mutex<Vec<Delivery>>,
    pub(super) deleted: Mutex<Vec<String>>,
    /// Each message given back, and for how long.
    pub(super) given_back: Mutex<Vec<(String, Duration)>>,
    /// Messages that some other worker holds.
    pub(super) elsewhere: Mutex<u64>,
    /// After so many receipts a message becomes a dead letter.
    pub(super) max_receives: u32,
    pub(super) dead: Mutex<Vec<String>>,
    pub(super) broken: Mutex<bool>,
    pub(super) receives: Mutex<u32>,
    /// How long an answer with a message is on its way.
    pub(super) answers_after: Mutex<Duration>,
}

impl<'a> FakeQueue<'a> {
    pub(super) fn new(clock: &'a FakeClock, bodies: &[&str]) -> Self {
        let waiting = bodies
            .iter()
            .enumerate()
            .map(|(n, body)| Delivery {
                id: format!("m{n}"),
                receipt: format!("r{n}"),
                body: (*body).to_owned(),
                times: 0,
            })
            .collect();
        Self {
            clock,
            waiting: Mutex::new(waiting),
            held: Mutex::default(),
            deleted: Mutex::default(),
            given_back: Mutex::default(),
            elsewhere: Mutex::default(),
            max_receives: 5,
            dead: Mutex::default(),
            broken: Mutex::new(false),
            receives: Mutex::default(),
            answers_after: Mutex::default(),
        }
    }

    fn check(&self, action: &'static str) -> Result<(), QueueError> {
        if *self.broken.lock().unwrap() {
            return Err(QueueError {
                action,
                queue: "q".to_owned(),
                why: "it is away".to_owned(),
            });
        }
        Ok(())
    }
}

#[async_trait]
impl Inbox for FakeQueue<'_> {
    async fn receive(
        &self,
        wait: Duration,
        _hold: Duration,
    ) -> Result<Option<Delivery>, QueueError> {
        *self.receives.lock().unwrap() += 1;
        self.check("read from")?;
        loop {
            let next = self.waiting.lock().unwrap().pop_front();
            let Some(mut delivery) = next else {
                // Others under way go on meanwhile, whose time is not this clock's.
                tokio::time::sleep(Duration::from_millis(1)).await;
                self.clock.advance(wait);
                return Ok(None);
            };
            delivery.times += 1;
            if delivery.times > self.max_receives {
                self.dead.lock().unwrap().push(delivery.id);
                continue;
            }
            self.held.lock().unwrap().push(delivery.clone());
            let answers_after = *self.answers_after.lock().unwrap();
            if !answers_after.is_zero() {
                tokio::time::sleep(answers_after).await;
            }
            return Ok(Some(delivery));
        }
    }

    async fn hold(&self, delivery: &Delivery, hold: Duration) -> Result<(), QueueError> {
        self.check("change a message's visibility on")?;
        self.held.lock().unwrap().retain(|d| d.id != delivery.id);
        self.given_back
            .lock()
            .unwrap()
            .push((delivery.id.clone(), hold));
        self.waiting.lock().unwrap().push_back(delivery.clone());
        Ok(())
    }

    async fn delete(&self, delivery: &Delivery) -> Result<(), QueueError> {
        self.check("delete a message from")?;
        self.held.lock().unwrap().retain(|d| d.id != delivery.id);
        self.deleted.lock().unwrap().push(delivery.id.clone());
        Ok(())
    }

    async fn max_receives(&self) -> Result<Option<u32>, QueueError> {
        self.check("read the redrive policy of")?;
        Ok(Some(self.max_receives))
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        self.check("count the messages of")?;
        let held = self.held.lock().unwrap().len() as u64;
        let elsewhere = &mut *self.elsewhere.lock().unwrap();
        let in_flight = held + *elsewhere;
        // The other worker is done with one each time that someone looks.
        *elsewhere = elsewhere.saturating_sub(1);
        Ok(Depth {
            visible: self.waiting.lock().unwrap().len() as u64,
            in_flight,
        })
    }
}

/// The output queue.
#[derive(Default)]
pub(super) struct FakeOutbox {
    pub(super) sent: Mutex<Vec<String>>,
    /// Sends that still fail.
    pub(super) failures: Mutex<u32>,
}

impl FakeOutbox {
    pub(super) fn statuses(&self) -> Vec<StatusMessage> {
        let sent = self.sent.lock().unwrap();
        sent.iter()
            .map(|text| StatusMessage::from_message(&Message::parse(text).unwrap()).unwrap())
            .collect()
    }
}

#[async_trait]
impl Outbox for FakeOutbox {
    async fn send(&self, body: &str) -> Result<(), QueueError> {
        let failures = &mut *self.failures.lock().unwrap();
        if *failures > 0 {
            *failures -= 1;
            let why = "it is away".to_owned();
            return Err(QueueError {
                action: "send to",
                queue: "out".to_owned(),
                why,
            });
        }
        self.sent.lock().unwrap().push(body.to_owned());
        Ok(())
    }
}

/// Buckets: objects by `bucket/key`.
#[derive(Default)]
pub(super) struct FakeStore {
    pub(super) objects: Mutex<BTreeMap<String, Vec<u8>>>,
    pub(super) fetches: Mutex<u32>,
    /// Fetches that still fail by the machine's fault.
    pub(super) machine_failures: Mutex<u32>,
    /// Fetches that are still denied.
    pub(super) denials: Mutex<u32>,
    /// A verdict that another worker writes just before ours.
    pub(super) rival: Mutex<Option<String>>,
    /// Entity tags of the notes that were written under conditions.
    pub(super) tags: Mutex<BTreeMap<String, u64>>,
    /// Conditional writes of notes are refused.
    pub(super) refuses: AtomicBool,
}

impl FakeStore {
    pub(super) fn put_object(&self, name: &str, bytes: &[u8]) {
        self.objects
            .lock()
            .unwrap()
            .insert(name.to_owned(), bytes.to_vec());
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.objects.lock().unwrap().keys().cloned().collect()
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        let objects = self.objects.lock().unwrap();
        objects
            .get(name)
            .map(|b| String::from_utf8(b.clone()).unwrap())
    }
}

#[async_trait]
impl Store for FakeStore {
    async fn fetch(
        &self,
        bucket: &str,
        key: &str,
        size: u64,
        to: &Path,
    ) -> Result<Fetched, StoreError> {
        *self.fetches.lock().unwrap() += 1;
        let what = format!("s3://{bucket}/{key}");
        let take = |count: &Mutex<u32>| {
            let count = &mut *count.lock().unwrap();
            let had = *count > 0;
            *count = count.saturating_sub(1);
            had
        };
        if take(&self.machine_failures) {
            let why = "S3 is away".to_owned();
            return Err(StoreError::Machine {
                action: "fetch",
                what,
                why,
            });
        }
        if take(&self.denials) {
            return Err(StoreError::Denied {
                what,
                why: "AccessDenied".to_owned(),
            });
        }
        let bytes = self
            .objects
            .lock()
            .unwrap()
            .get(&format!("{bucket}/{key}"))
            .cloned();
        let Some(bytes) = bytes else {
            return Err(StoreError::Absent { what });
        };
        if bytes.len() as u64 != size {
            let actual = bytes.len() as u64;
            return Err(StoreError::Size {
                what,
                expected: size,
                actual,
            });
        }
        std::fs::write(to, &bytes).unwrap();
        let mut summer = Summer::default();
        summer.update(&bytes);
        Ok(Fetched {
            sums: summer.finish(),
            stored_sha256: None,
        })
    }

    async fn put(
        &self,
        bucket: &str,
        key: &str,
        from: &Path,
        _sums: &Sums,
        _mime: &str,
    ) -> Result<(), StoreError> {
        self.put_object(&format!("{bucket}/{key}"), &std::fs::read(from).unwrap());
        Ok(())
    }

    async fn put_note(
        &self,
        bucket: &str,
        key: &str,
        text: &str,
        _mime: &str,
    ) -> Result<(), StoreError> {
        self.put_object(&format!("{bucket}/{key}"), text.as_bytes());
        Ok(())
    }

    async fn read_note(&self, bucket: &str, key: &str) -> Result<Option<Note>, StoreError> {
        let name = format!("{bucket}/{key}");
        let note = self.text(&name).map(|text| Note {
            text,
            tag: self.tags.lock().unwrap()[&name].to_string(),
        });
        // Others read the same before this one writes.
        tokio::task::yield_now().await;
        Ok(note)
    }

    async fn replace_note(
        &self,
        bucket: &str,
        key: &str,
        text: &str,
        expected: Expected<'_>,
    ) -> Result<Option<String>, StoreError> {
        let name = format!("{bucket}/{key}");
        if self.refuses.load(Ordering::SeqCst) {
            return Err(StoreError::Machine {
                action: "write",
                what: name,
                why: "AccessDenied".to_owned(),
            });
        }
        let tags = &mut *self.tags.lock().unwrap();
        let is = tags.get(&name).map(u64::to_string);
        let fits = match expected {
            Expected::Absent => is.is_none(),
            Expected::Tag(tag) => is.as_deref() == Some(tag),
        };
        if !fits {
            return Ok(None);
        }
        let tag = tags.get(&name).map_or(1, |tag| tag + 1);
        tags.insert(name.clone(), tag);
        self.put_object(&name, text.as_bytes());
        Ok(Some(tag.to_string()))
    }

    async fn verdict(&self, bucket: &str, key: &str) -> Result<Option<String>, StoreError> {
        Ok(self.text(&format!("{bucket}/{key}")))
    }

    async fn put_verdict(&self, bucket: &str, key: &str, text: &str) -> Result<bool, StoreError> {
        let name = format!("{bucket}/{key}");
        if let Some(rival) = self.rival.lock().unwrap().take() {
            self.put_object(&name, rival.as_bytes());
        }
        if self.objects.lock().unwrap().contains_key(&name) {
            return Ok(false);
        }
        self.put_object(&name, text.as_bytes());
        Ok(true)
    }
}

/// A service that writes the input in capitals. Inputs that hold `bad` are the file's fault, with
/// `sick` the machine's; `slow` ones never end, and those with `step` do so after a while.
#[derive(Default)]
pub(super) struct Capitals {
    pub(super) runs: Mutex<u32>,
    /// Whether it tells how far it is with a slow one.
    pub(super) tells: AtomicBool,
    at_once: Mutex<u32>,
    pub(super) most_at_once: Mutex<u32>,
}

/// Counts one less when a run ends, however it does.
struct Running<'a>(&'a Mutex<u32>);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        *self.0.lock().unwrap() -= 1;
    }
}

#[async_trait]
impl Service for Capitals {
    fn name(&self) -> &'static str {
        "Capitals"
    }

    fn task(&self, message: &InputMessage) -> Result<Task, ServiceError> {
        match message.preset.as_deref() {
            Some("unknown") => Err(ServiceError::File(
                "there is no preset `unknown`".to_owned(),
            )),
            preset => Ok(Task {
                digest: "d".repeat(64),
                preset: preset.map(str::to_owned),
            }),
        }
    }

    async fn process_file(
        &self,
        input: &Path,
        _message: &InputMessage,
        work: &Path,
        progress: &Progress,
    ) -> Result<Made, ServiceError> {
        *self.runs.lock().unwrap() += 1;
        let now = {
            let mut at_once = self.at_once.lock().unwrap();
            *at_once += 1;
            *at_once
        };
        let _running = Running(&self.at_once);
        {
            let mut most = self.most_at_once.lock().unwrap();
            *most = now.max(*most);
        }
        let text = std::fs::read_to_string(input).unwrap();
        if self.tells.load(Ordering::Relaxed) {
            progress.report(0.001, 1e9);
        }
        if text.starts_with("slow") {
            std::future::pending::<()>().await;
        }
        if text.starts_with("step") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if text.contains("bad") {
            return Err(ServiceError::File("Invalid data found".to_owned()));
        }
        if text.starts_with("sick") {
            return Err(ServiceError::Machine("killed by signal 9".to_owned()));
        }
        let path = work.join("output");
        std::fs::write(&path, text.to_uppercase()).unwrap();
        Ok(Made::from(vec![OutputFile {
            name: None,
            path,
            mime: "text/plain".to_owned(),
            certificate: None,
        }]))
    }
}

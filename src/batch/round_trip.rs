//! Submit and results against the local cloud's S3 and SQS, through the real SDK clients. A stand-in
//! for the worker answers the messages: the worker itself is tested elsewhere.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use localcloud::server::{DriverChoice, Running, ServeOptions, serve};
use md5::{Digest as _, Md5};
use muck_worker::message::{InputMessage, Message, OutputKey, Status, StatusMessage};
use tempfile::TempDir;
use tokio::sync::mpsc::UnboundedReceiver;

use super::ledger::{Ledger, Place};
use super::results::results_by;
use super::submit::submit_by;
use super::{Report, ResultsOptions, Submission, SubmitOptions};
use crate::aws::Target;
use crate::cloud::Cloud;
use crate::config::{Config, Overrides};
use crate::error::Kind;
use crate::event::{Event, Events};
use crate::resources::message::{self, Queue};
use crate::stack;

/// What `infer` takes for AVI.
const AVI: &[u8] = b"RIFF\x10\0\0\0AVI LIST\0\0\0\0hdrl";

struct World {
    cloud: Cloud,
    ledger: Ledger,
    /// Kept, so that events have somewhere to go.
    events: UnboundedReceiver<Event>,
    dir: TempDir,
    running: Running,
}

impl World {
    /// A local cloud with a stack that is up.
    async fn new() -> Self {
        let world = Self::bare().await;
        stack::up(&world.cloud).await.expect("the stack comes up");
        world
    }

    async fn bare() -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        let running = serve(ServeOptions {
            dir: dir.path().join("cloud"),
            cache_dir: dir.path().join("cache"),
            port: None,
            driver: DriverChoice::Process,
        })
        .await
        .expect("the local cloud starts");
        let info = &running.info;
        let target = Target {
            region: Some(info.region.clone()),
            endpoint: Some(info.endpoint.clone()),
            keys: Some((info.access_key_id.clone(), info.secret_access_key.clone())),
        };
        let (sender, events) = Events::channel();
        let config = Config::load(&Overrides::default()).expect("defaults");
        let cloud = Cloud::connect(&target, config, sender)
            .await
            .expect("connects");
        let place = Place {
            stack: cloud.names.stack.to_string(),
            account: cloud.names.account.clone(),
            region: cloud.names.region.clone(),
            endpoint: "loopback".into(),
        };
        let ledger = Ledger::open_at(&dir.path().join("ledger.sqlite"), &place).expect("opens");
        Self {
            cloud,
            ledger,
            events,
            dir,
            running,
        }
    }

    async fn end(self) {
        self.running.shutdown().await;
    }

    /// Writes a clip of its own content below the folder of inputs.
    fn clip(&self, name: &str, content: &str) {
        self.file(name, &[AVI, content.as_bytes()].concat());
    }

    fn file(&self, name: &str, content: &[u8]) {
        let path = self.dir.path().join("movies").join(name);
        std::fs::create_dir_all(path.parent().expect("has one")).expect("makes");
        std::fs::write(path, content).expect("writes");
    }

    async fn submit(&self, batch: &str) -> Submission {
        let options = SubmitOptions {
            paths: vec![self.dir.path().join("movies")],
            batch: Some(batch.to_owned()),
            ..SubmitOptions::default()
        };
        submit_by(&self.cloud, &self.ledger, &options)
            .await
            .expect("submits")
    }

    fn out(&self) -> std::path::PathBuf {
        self.dir.path().join("out")
    }

    async fn results(&self, batch: &str) -> Report {
        let options = ResultsOptions {
            batch: Some(batch.to_owned()),
            patience: Duration::from_secs(1),
            ..ResultsOptions::new(self.out())
        };
        results_by(&self.cloud, &self.ledger, &options)
            .await
            .expect("gets results")
    }

    async fn queue(&self, name: String) -> Queue {
        message::open(&self.cloud, &name).await.expect("is there")
    }

    /// Takes all messages that are in the input queue.
    async fn take_inputs(&self) -> Vec<(InputMessage, String)> {
        let queue = self.queue(self.cloud.names.input_queue()).await;
        let mut inputs = Vec::new();
        loop {
            let messages = message::receive(&self.cloud, &queue, Duration::ZERO, None)
                .await
                .expect("reads");
            if messages.is_empty() {
                return inputs;
            }
            for one in &messages {
                let message = Message::parse(&one.body).expect("a message");
                inputs.push((
                    InputMessage::from_message(&message).expect("an input"),
                    one.body.clone(),
                ));
            }
            let receipts: Vec<String> = messages.into_iter().map(|one| one.receipt).collect();
            message::delete(&self.cloud, &queue, &receipts)
                .await
                .expect("deletes");
        }
    }

    async fn report(&self, body: &str) {
        let queue = self.queue(self.cloud.names.output_queue()).await;
        message::send(&self.cloud, &queue, &[body.to_owned()], &mut 0)
            .await
            .expect("sends");
    }

    async fn put(&self, bucket: String, key: &str, content: Vec<u8>) {
        let put = self
            .cloud
            .aws
            .s3
            .put_object()
            .bucket(bucket)
            .key(key)
            .body(content.into());
        put.send().await.expect("puts");
    }

    /// Stores `content` as the output and reports the job as converted.
    async fn convert(&self, input: &InputMessage, content: Vec<u8>) {
        let key = format!("media/{}", hex::encode(Md5::digest(&content)));
        self.put(self.cloud.names.output_bucket(), &key, content)
            .await;
        self.report(&status(input, vec![key], None)).await;
    }
}

/// A status message; a job with an error has failed.
fn status(input: &InputMessage, keys: Vec<String>, error: Option<&str>) -> String {
    let mime = "video/quicktime".to_owned();
    let now = Timestamp::now();
    StatusMessage {
        input: input.clone(),
        outputs: keys
            .into_iter()
            .map(|key| OutputKey {
                key,
                mime: mime.clone(),
                name: None,
            })
            .collect(),
        server: "ConvertVideo".into(),
        host: "test".into(),
        instance_id: Some("i-1".into()),
        service_read: now - jiff::SignedDuration::from_secs(3),
        service_write: now,
        processing_milliseconds: Some(3210),
        status: if error.is_some() {
            Status::Failed
        } else {
            Status::Converted
        },
        left_out: None,
        warning: None,
        error: error.map(ToOwned::to_owned),
    }
    .to_message()
    .to_string()
}

fn read(path: &Path) -> String {
    String::from_utf8(std::fs::read(path).expect("reads")).expect("is text")
}

#[tokio::test]
async fn files_go_out_and_results_come_back() {
    let world = World::new().await;
    world.clip("MVI_3113.AVI", "one");
    world.clip("MVI_3114.AVI", "two");
    world.clip("trip/day 1/MVI_3113.AVI", "one");
    world.file("photo.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF\0");
    let sent = world.submit("b1").await;
    assert_eq!(
        sent.text(),
        "3 files successfully submitted.\n1 file skipped; --all takes what can be read."
    );
    // The same content under two names is stored once and has two messages.
    assert_eq!(
        (sent.uploaded_files, sent.skipped.len(), sent.failures.len()),
        (2, 1, 0)
    );

    // Again: nothing is stored, and nothing sent.
    let again = world.submit("b1").await;
    assert_eq!(
        (again.files, again.uploaded_files, again.submitted_before),
        (3, 0, 3)
    );

    let mut inputs = world.take_inputs().await;
    inputs.sort_by_key(|(input, _)| {
        (
            input.original_location.clone(),
            input.original_file_name.clone(),
        )
    });
    assert_eq!(inputs.len(), 3);
    let (first, text) = &inputs[0];
    let md5 = hex::encode(Md5::digest([AVI, b"one"].concat()));
    assert_eq!(first.input_key, format!("media/{md5}"));
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split(':').next())
        .collect();
    assert_eq!(
        names,
        [
            "Bucket",
            "InputKey",
            "Date",
            "OriginalFileName",
            "Size",
            "Batch",
            "Preset",
            "OutputBucket",
            "SHA256",
            "Modified"
        ]
    );
    assert_eq!(inputs[2].0.original_location.as_deref(), Some("trip/day 1"));

    for (index, (input, _)) in inputs.iter().enumerate() {
        world
            .convert(input, format!("result {index}").into_bytes())
            .await;
        // Every message twice, as SQS may.
        world
            .convert(input, format!("result {index}").into_bytes())
            .await;
    }
    let report = world.results("b1").await;
    assert_eq!(
        (report.retrieved, report.failures.len()),
        (3, 0),
        "{report:?}"
    );
    assert_eq!(
        report.files,
        ["MVI_3113.mov", "MVI_3114.mov", "trip/day 1/MVI_3113.mov"]
    );
    assert_eq!(read(&world.out().join("MVI_3113.mov")), "result 0");
    assert_eq!(
        read(&world.out().join("trip/day 1/MVI_3113.mov")),
        "result 2"
    );
    assert_eq!(
        report
            .statistics
            .as_ref()
            .expect("has some")
            .minimum_processing_seconds,
        3
    );
    assert!(report.failure().is_none());
    assert_eq!(read(&report.log).lines().count(), 4);

    // Again: everything is known, nothing is fetched, nothing is written twice.
    let again = world.results("b1").await;
    assert_eq!((again.retrieved, again.bytes_fetched), (3, 0));
    assert_eq!(again.files, report.files);
    // One that was deleted here comes again.
    std::fs::remove_file(world.out().join("MVI_3114.mov")).expect("removes");
    assert_eq!(world.results("b1").await.bytes_fetched, 8);

    let bill = super::bill::bill_by(&world.cloud, &world.ledger, None)
        .await
        .expect("is billed");
    assert!(bill.rehearsal && !bill.incomplete, "{bill:?}");
    assert_eq!((bill.region.as_str(), bill.videos), ("us-east-1", 3));
    let status = super::status::status_by(
        &world.cloud,
        &world.ledger,
        None,
        &mut super::progress::Reports::default(),
    )
    .await
    .expect("looks");
    let batch = status.batch.expect("is known");
    assert_eq!((batch.totals.converted, batch.totals.outstanding), (3, 0));
    world.end().await;
}

#[tokio::test]
async fn failures_strays_and_other_batches_are_told_and_nothing_is_lost() {
    let mut world = World::new().await;
    world.clip("good.avi", "good");
    world.clip("bad.avi", "bad");
    world.clip("lost.avi", "lost");
    world.submit("b1").await;
    world.clip("more.avi", "more");
    world.submit("b2").await;
    let mut dead = Vec::new();
    for (input, body) in world.take_inputs().await {
        match (input.batch.as_deref(), input.original_file_name.as_str()) {
            (Some("b1"), "bad.avi") => {
                world
                    .report(&status(&input, vec![], Some("moov \x1b[31m not found")))
                    .await;
            }
            (Some("b1"), "lost.avi") => dead.push(body),
            _ => {
                world
                    .convert(&input, input.original_file_name.clone().into_bytes())
                    .await;
            }
        }
    }
    // Dead letters: one of a job, and one that is no message at all.
    dead.push("{\"not\": \"ours\"}".to_owned());
    let failed = world.queue(world.cloud.names.failed_queue()).await;
    message::send(&world.cloud, &failed, &dead, &mut 0)
        .await
        .expect("sends");
    // Reports of strangers.
    world.report("rubbish").await;
    let evil = "Bucket: bbb\nInputKey: media/f84e4a20b571abc69baf2277d193e596\nOriginalFileName: x\nSize: 1\n\
        Batch: b1\nOutputBucket: victims-bucket\nOutputKey: media/e69e376be5af6f88f81d3e31adf27988\n\
        Server: s\nService-Read: Wed, 21 Feb 2007 01:28:14 GMT\nService-Write: Wed, 21 Feb 2007 01:28:27 GMT\n";
    world.report(evil).await;

    let report = world.results("b1").await;
    assert_eq!(report.files, ["good.mov"]);
    assert_eq!(
        (
            report.totals.jobs,
            report.totals.failed,
            report.totals.outstanding
        ),
        (3, 2, 0)
    );
    let reasons: Vec<&str> = report
        .failures
        .iter()
        .map(|one| one.reason.as_str())
        .collect();
    // The message itself holds no control characters, see `Message::set`.
    assert_eq!(
        reasons,
        [
            "moov  [31m not found",
            "3 workers died or lost it before one could answer"
        ]
    );
    assert_eq!(
        report.failure().expect("some failed").kind(),
        Kind::SomeJobsFailed
    );
    let mut warnings = Vec::new();
    while let Ok(event) = world.events.try_recv() {
        if let Event::Warning(text) = event {
            warnings.push(text);
        }
    }
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(
        warnings.iter().any(|text| text.contains("victims-bucket")),
        "{warnings:?}"
    );
    // Dead letters stay where they are.
    let left = message::depth(&world.cloud, &failed).await.expect("counts");
    assert_eq!(left.visible + left.in_flight, 2);

    // The other batch's messages were read by the first, and kept.
    let report = world.results("b2").await;
    assert_eq!((report.retrieved, report.totals.jobs), (4, 4), "{report:?}");
    // `good.avi` had the same result; the name is not given twice.
    assert_eq!(
        report.files,
        ["bad.mov", "good.mov", "lost.mov", "more.mov"]
    );
    let text = read(&report.log);
    assert_eq!(text.lines().count(), 1 + 3 + 4, "{text}");
    world.end().await;
}

#[tokio::test]
async fn waiting_in_vain_ends() {
    let world = World::new().await;
    world.clip("a.avi", "a");
    world.submit("b1").await;
    let report = world.results("b1").await;
    let error = report.failure().expect("given up");
    assert_eq!(error.kind(), Kind::Failed);
    assert!(
        error.chain().contains("no instance has run"),
        "{}",
        error.chain()
    );
    // The messages are gone without a trace: deleted by hand.
    assert_eq!(world.take_inputs().await.len(), 1);
    let report = world.results("b1").await;
    assert!(
        report
            .failure()
            .expect("given up")
            .chain()
            .contains("queues have been empty")
    );
    world.end().await;
}

#[tokio::test]
async fn a_damaged_or_missing_output_is_a_failure_and_no_file() {
    let world = World::new().await;
    world.clip("damaged.avi", "d");
    world.clip("missing.avi", "m");
    world.clip("strange.avi", "s");
    world.submit("b1").await;
    let key = "media/e69e376be5af6f88f81d3e31adf27988";
    world
        .put(
            world.cloud.names.output_bucket(),
            key,
            b"something else".to_vec(),
        )
        .await;
    for (input, _) in world.take_inputs().await {
        let key = match input.original_file_name.as_str() {
            "damaged.avi" => key,
            "missing.avi" => "media/00000000000000000000000000000000",
            _ => "verdicts/../x",
        };
        world
            .report(&status(&input, vec![key.to_owned()], None))
            .await;
    }
    let report = world.results("b1").await;
    assert_eq!(
        (report.retrieved, report.failures.len()),
        (0, 3),
        "{report:?}"
    );
    let reasons: Vec<String> = report
        .failures
        .iter()
        .map(|one| one.reason.clone())
        .collect();
    assert!(reasons[0].contains("is damaged"), "{reasons:?}");
    assert!(reasons[1].contains("not in the bucket"), "{reasons:?}");
    assert!(reasons[2].contains("no MD5"), "{reasons:?}");
    let files: Vec<_> = std::fs::read_dir(world.out())
        .expect("lists")
        .filter_map(Result::ok)
        .collect();
    assert_eq!(files.len(), 1, "only the log: {files:?}");
    world.end().await;
}

#[tokio::test]
async fn big_files_go_in_parts_and_come_in_ranges() {
    let world = World::new().await;
    // Not a multiple of any part or range, and different everywhere.
    let big: Vec<u8> = AVI
        .iter()
        .copied()
        .chain((0_u32..5_300_001).flat_map(u32::to_le_bytes))
        .collect();
    world.file("big.avi", &big);
    let sent = world.submit("b1").await;
    assert_eq!(
        (sent.uploaded_files, sent.uploaded_bytes),
        (1, big.len() as u64),
        "{sent:?}"
    );
    // Another batch with the same file: it is there.
    assert_eq!(world.submit("b2").await.uploaded_files, 0);
    let inputs = world.take_inputs().await;
    let stored = world
        .cloud
        .aws
        .s3
        .get_object()
        .bucket(world.cloud.names.input_bucket())
        .key(&inputs[0].0.input_key)
        .send()
        .await
        .expect("is there");
    let stored = stored.body.collect().await.expect("reads").into_bytes();
    assert!(stored == big, "what is stored is what was submitted");
    for (input, _) in &inputs {
        world.convert(input, big.clone()).await;
    }
    let report = world.results("b1").await;
    assert_eq!(report.bytes_fetched, big.len() as u64);
    assert!(std::fs::read(world.out().join("big.mov")).expect("reads") == big);
    world.end().await;
}

#[tokio::test]
async fn a_stack_that_is_not_up_says_so_before_anything_is_written() {
    let world = World::bare().await;
    world.clip("a.avi", "a");
    let options = SubmitOptions {
        paths: vec![world.dir.path().join("movies")],
        ..SubmitOptions::default()
    };
    let error = submit_by(&world.cloud, &world.ledger, &options)
        .await
        .expect_err("is not up");
    assert!(error.to_string().contains("is not up"), "{error}");
    assert_eq!(world.ledger.newest_batch().expect("reads"), None);
    world.end().await;
}

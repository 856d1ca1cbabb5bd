//! The whole life of a stack against the local cloud, in this process, over real HTTP.

use jiff::SignedDuration;
use localcloud::server::{DriverChoice, Running, ServeOptions, serve};
use tempfile::TempDir;

use super::inventory::Inventory;
use super::plan::Action;
use super::*;
use crate::aws::Target;
use crate::config::{Config, Overrides};
use crate::event::{Event, Events, Outcome};
use crate::lifetime::OnExpiry;
use crate::names::{TAG_EXPIRES, TAG_KIND};
use crate::resources::{Found, bucket, queue, role};

struct Lab {
    running: Running,
    cloud: Cloud,
    events: tokio::sync::mpsc::UnboundedReceiver<Event>,
    _dir: TempDir,
}

impl Lab {
    /// A fresh local cloud (no instance is started in these tests, so any driver will do).
    async fn start() -> Self {
        let dir = TempDir::new().expect("temporary folder");
        let running = serve(ServeOptions {
            dir: dir.path().join("cloud"),
            cache_dir: dir.path().join("cache"),
            port: None,
            driver: DriverChoice::Process,
        })
        .await
        .expect("the local cloud starts");
        let target = Target {
            region: Some(running.info.region.clone()),
            endpoint: Some(running.info.endpoint.clone()),
            keys: Some((
                running.info.access_key_id.clone(),
                running.info.secret_access_key.clone(),
            )),
        };
        let file = dir.path().join("muck.toml");
        std::fs::write(&file, "stack = \"demo\"\n").expect("writes");
        let overrides = Overrides {
            file: Some(file),
            ..Overrides::default()
        };
        let config = Config::load(&overrides).expect("valid");
        let (sender, events) = Events::channel();
        let mut cloud = Cloud::connect(&target, config, sender)
            .await
            .expect("connects");
        // As on AWS itself: TLS demanded (the local cloud takes loopback for it), no extra tagging.
        cloud.aws.endpoint = None;
        Self {
            running,
            cloud,
            events,
            _dir: dir,
        }
    }

    fn outcomes(&mut self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            if let Event::Resource { outcome, .. } = event {
                outcomes.push(outcome);
            }
        }
        outcomes
    }

    async fn down(&self, options: DownOptions) -> TeardownReport {
        down(&self.cloud, options, Confirmed::by_flag())
            .await
            .expect("reports")
    }

    async fn put(&self, bucket: &str, key: &str) {
        let body = aws_sdk_s3::primitives::ByteStream::from_static(b"film");
        let call = self.cloud.aws.s3.put_object().bucket(bucket).key(key);
        call.body(body).send().await.expect("puts");
    }

    async fn end(self) {
        self.running.shutdown().await;
    }
}

#[tokio::test]
async fn a_stack_comes_up_stays_and_goes() {
    let mut lab = Lab::start().await;
    let error = find(&lab.cloud).await.expect_err("nothing is up");
    assert_eq!(error.to_string(), "stack demo is not up in us-local-1");
    assert!(error.hints()[0].contains("muck up"), "{:?}", error.hints());

    let stack = up(&lab.cloud).await.expect("comes up");
    assert_eq!(lab.outcomes(), vec![Outcome::Created; 7]);
    assert_eq!(find(&lab.cloud).await.expect("is up"), stack);
    assert_eq!(stack.topic_arn, None);

    // Everything that was made reads back exactly as it was wanted.
    let plan = apply::planned(&lab.cloud).await.expect("plans");
    assert!(plan.is_empty(), "{plan:#?}");
    assert_eq!(up(&lab.cloud).await.expect("again"), stack);
    assert_eq!(lab.outcomes(), vec![Outcome::Kept; 7]);

    let report = lab.down(DownOptions::default()).await;
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!(
        (report.deleted.len(), report.errors.len()),
        (7, 0),
        "{report:#?}"
    );
    assert!(find(&lab.cloud).await.is_err());
    let again = lab.down(DownOptions::default()).await;
    assert!(again.is_clean() && again.deleted.is_empty(), "{again:#?}");
    lab.end().await;
}

#[tokio::test]
async fn over_plain_http_the_same_without_tls_policies() {
    let mut lab = Lab::start().await;
    lab.cloud.aws.endpoint = Some(lab.running.info.endpoint.clone());
    let stack = up(&lab.cloud).await.expect("comes up");
    let policy = lab.cloud.aws.s3.get_bucket_policy();
    let error = policy.bucket(&stack.input_bucket).send().await;
    assert!(error.is_err(), "a policy was set");
    let plan = apply::planned(&lab.cloud).await.expect("plans");
    assert!(plan.is_empty(), "{plan:#?}");
    assert!(lab.down(DownOptions::default()).await.is_clean());
    lab.end().await;
}

#[tokio::test]
async fn what_somebody_changed_is_shown_and_mended() {
    let mut lab = Lab::start().await;
    let stack = up(&lab.cloud).await.expect("comes up");
    let (aws, names) = (lab.cloud.aws.clone(), lab.cloud.names.clone());
    let shorter = [(queue::VISIBILITY_TIMEOUT, "30".to_owned())].into();
    queue::set(&aws, "q", &stack.input_queue_url, &shorter)
        .await
        .expect("sets");
    let open = [(bucket::PUBLIC_ACCESS_BLOCK, "public-acls".to_owned())].into();
    bucket::set(&aws, &stack.output_bucket, &open)
        .await
        .expect("sets");
    aws.s3
        .delete_bucket_policy()
        .bucket(&stack.input_bucket)
        .send()
        .await
        .expect("deletes");
    let all =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#;
    let call = aws
        .iam
        .put_role_policy()
        .role_name(names.worker_role())
        .policy_name("admin");
    call.policy_document(all).send().await.expect("puts");

    let plan = apply::planned(&lab.cloud).await.expect("plans");
    let changed: Vec<(ResourceKind, &str)> = plan
        .steps
        .iter()
        .filter_map(|step| match &step.action {
            Action::Change(changes) => Some((step.kind, changes[0].attribute)),
            _ => None,
        })
        .collect();
    let expected = [
        (ResourceKind::InputBucket, bucket::POLICY),
        (ResourceKind::OutputBucket, bucket::PUBLIC_ACCESS_BLOCK),
        (ResourceKind::InputQueue, queue::VISIBILITY_TIMEOUT),
        (ResourceKind::Role, role::FURTHER_POLICIES),
    ];
    assert_eq!(changed, expected);

    lab.outcomes();
    up(&lab.cloud).await.expect("mends");
    let outcomes = lab.outcomes();
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| **outcome == Outcome::Changed)
            .count(),
        4
    );
    assert!(apply::planned(&lab.cloud).await.expect("plans").is_empty());
    lab.end().await;
}

#[tokio::test]
async fn objects_versions_markers_and_unfinished_uploads_go_too() {
    let lab = Lab::start().await;
    let stack = up(&lab.cloud).await.expect("comes up");
    let s3 = &lab.cloud.aws.s3;
    lab.put(&stack.input_bucket, "media/a").await;
    lab.put(&stack.input_bucket, "media/space and ünïcode & <xml>")
        .await;
    let begun = s3
        .create_multipart_upload()
        .bucket(&stack.input_bucket)
        .key("media/b");
    begun.send().await.expect("begins");
    let versioning = aws_sdk_s3::types::VersioningConfiguration::builder()
        .status(aws_sdk_s3::types::BucketVersioningStatus::Enabled)
        .build();
    let call = s3.put_bucket_versioning().bucket(&stack.output_bucket);
    call.versioning_configuration(versioning)
        .send()
        .await
        .expect("sets");
    lab.put(&stack.output_bucket, "media/c").await;
    lab.put(&stack.output_bucket, "media/c").await;
    s3.delete_object()
        .bucket(&stack.output_bucket)
        .key("media/c")
        .send()
        .await
        .expect("marks");

    let survey = survey::Survey::take(&lab.cloud, survey::Depths::Counted).await;
    let input = survey.contents[&ResourceKind::InputBucket];
    assert_eq!(
        (input.objects, input.bytes, input.unfinished_uploads),
        (2, 8, 1)
    );
    let output = survey.contents[&ResourceKind::OutputBucket];
    assert_eq!((output.objects, output.delete_markers), (2, 1));

    let report = lab
        .down(DownOptions {
            keep_data: true,
            ..DownOptions::default()
        })
        .await;
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!(
        (report.deleted.len(), report.kept.len()),
        (5, 2),
        "{report:#?}"
    );
    let report = lab.down(DownOptions::default()).await;
    assert!(report.is_clean() && report.errors.is_empty(), "{report:#?}");
    assert_eq!(report.deleted.len(), 2);
    lab.end().await;
}

#[tokio::test]
async fn what_is_not_ours_is_never_touched() {
    let lab = Lab::start().await;
    let name = lab.cloud.names.input_queue();
    lab.cloud
        .aws
        .sqs
        .create_queue()
        .queue_name(&name)
        .send()
        .await
        .expect("creates");
    let error = up(&lab.cloud).await.expect_err("refuses");
    assert!(
        error
            .to_string()
            .contains("input queue muck-demo-input exists"),
        "{error}"
    );
    assert!(find(&lab.cloud).await.is_err());
    let report = lab.down(DownOptions::default()).await;
    assert!(
        report.is_clean() && report.deleted.is_empty(),
        "{report:#?}"
    );
    let still = lab
        .cloud
        .aws
        .sqs
        .get_queue_url()
        .queue_name(&name)
        .send()
        .await;
    assert!(still.is_ok());
    lab.end().await;
}

#[tokio::test]
async fn an_address_makes_a_topic_which_goes_with_the_stack() {
    let mut lab = Lab::start().await;
    lab.cloud.config.email = Some("you@example.org".into());
    let stack = up(&lab.cloud).await.expect("comes up");
    assert_eq!(stack.topic_arn, Some(lab.cloud.names.topic_arn()));
    assert!(apply::planned(&lab.cloud).await.expect("plans").is_empty());
    // Without the address it stays as it is.
    lab.cloud.config.email = None;
    assert!(apply::planned(&lab.cloud).await.expect("plans").is_empty());
    let report = lab.down(DownOptions::default()).await;
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!(report.deleted.len(), 8);
    lab.end().await;
}

/// Everything is tagged with its end when it is made, and no use of the stack ends before it.
#[tokio::test]
async fn each_use_gives_the_stack_more_time_and_is_no_drift() {
    let mut lab = Lab::start().await;
    let ends = |found: &Inventory| -> Vec<String> {
        let all = found.0.values();
        all.map(|found| found.presence.tags[TAG_EXPIRES].clone())
            .collect()
    };
    lab.cloud.config.email = Some("you@example.org".into());
    lab.cloud.config.ttl = SignedDuration::from_hours(1);
    up(&lab.cloud).await.expect("comes up");
    let (aws, names) = (lab.cloud.aws.clone(), lab.cloud.names.clone());
    let made = Inventory::list(&aws, &names).await.expect("lists");
    let first = ends(&made);
    assert_eq!(first.len(), 8);
    assert!(first.iter().all(|end| *end == first[0]), "{first:?}");

    // Shorter: nothing moves.
    lab.cloud.config.ttl = SignedDuration::from_mins(5);
    let expires = lab.cloud.lifetime().expires;
    renew(&lab.cloud, expires).await.expect("is up");
    up(&lab.cloud).await.expect("is up");
    let same = Inventory::list(&aws, &names).await.expect("lists");
    assert_eq!(ends(&same), first);

    // Longer: by a launch or a submission, then by `up`; what others tagged stays.
    let note = [("cost-centre".to_owned(), "films".to_owned())];
    queue::tag(
        &aws,
        "q",
        &same.0[&ResourceKind::InputQueue].presence.id,
        &note,
    )
    .await
    .expect("tags");
    for hours in [2, 3] {
        lab.cloud.config.ttl = SignedDuration::from_hours(hours);
        assert!(apply::planned(&lab.cloud).await.expect("plans").is_empty());
        let lifetime = lab.cloud.lifetime();
        if hours == 2 {
            renew(&lab.cloud, lifetime.expires).await.expect("is up");
        } else {
            lab.outcomes();
            up(&lab.cloud).await.expect("is up");
            assert_eq!(lab.outcomes(), vec![Outcome::Kept; 8]);
        }
        let later = Inventory::list(&aws, &names).await.expect("lists");
        // A use is written on one thing: a stack ends with the last of its parts.
        let moved = later
            .0
            .iter()
            .filter(|(kind, _)| hours == 3 || **kind == ResourceKind::OutputBucket);
        for (kind, found) in moved {
            let end = crate::lifetime::expiry_of(&found.presence.tags).expect("tagged");
            assert!(end >= lifetime.expires, "{kind} {end} {lifetime:?}");
            assert_eq!(found.presence.tags[TAG_KIND], kind.as_str());
        }
        let noted = &later.0[&ResourceKind::InputQueue].presence.tags;
        assert_eq!(noted["cost-centre"], "films");
    }
    lab.end().await;
}

/// A stack that a `run` left behind and that somebody wants to keep is kept from then on.
#[tokio::test]
async fn up_makes_a_one_shot_stack_one_to_keep() {
    let mut lab = Lab::start().await;
    lab.cloud.config.on_expiry = OnExpiry::Delete;
    up(&lab.cloud).await.expect("comes up");
    lab.cloud.config.on_expiry = OnExpiry::Keep;
    let plan = apply::planned(&lab.cloud).await.expect("plans");
    for step in &plan.steps {
        let Action::Change(changes) = &step.action else {
            panic!("{step:?}")
        };
        let kept = "tag muck:on-expiry delete → keep";
        assert!(changes.iter().any(|one| one.brief() == kept), "{step:?}");
    }
    up(&lab.cloud).await.expect("changes");
    assert!(apply::planned(&lab.cloud).await.expect("plans").is_empty());
    lab.end().await;
}

/// Should nobody clean up after a run, S3 deletes what it stored; not while the run goes on.
#[tokio::test]
async fn the_objects_of_a_run_expire_and_later_the_longer_it_takes() {
    let mut lab = Lab::start().await;
    lab.cloud.config.on_expiry = OnExpiry::Delete;
    lab.cloud.config.ttl = SignedDuration::from_hours(12);
    let (aws, names) = (lab.cloud.aws.clone(), lab.cloud.names.clone());
    let lifecycles = async || -> Vec<String> {
        let all = Inventory::list(&aws, &names).await.expect("lists").0;
        let set = |found: Found| found.attributes.get(bucket::LIFECYCLE).cloned();
        all.into_values().filter_map(set).collect()
    };
    let after = |days| vec![bucket::lifecycle_after(Some(days)); 2];
    up(&lab.cloud).await.expect("comes up");
    assert_eq!(lifecycles().await, after(4));
    let long_ago = jiff::Timestamp::now() - SignedDuration::from_hours(50);
    extend(&lab.cloud, long_ago).await.expect("is up");
    assert_eq!(lifecycles().await, after(6));
    up(&lab.cloud).await.expect("is up");
    assert_eq!(lifecycles().await, after(6));
    lab.cloud.config.on_expiry = OnExpiry::Keep;
    up(&lab.cloud).await.expect("is up");
    assert_eq!(lifecycles().await, vec![bucket::lifecycle_after(None); 2]);
    lab.end().await;
}

//! A cloud of EC2 alone: the SDK's requests go to [`Ec2::handle`] without a network between.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use aws_sdk_ec2::error::ProvideErrorMetadata;
use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{Instance, InstanceType, Snapshot, SnapshotState};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use jiff::{SignedDuration, Timestamp};
use localcloud::caller::Caller;
use localcloud::clock::ManualClock;
use localcloud::driver::{
    BootSpec, Driver, DriverError, DriverResult, MetadataService, PowerEvent, PowerOff,
};
use localcloud::ec2::base::{BASE_IMAGE, BASE_SNAPSHOT};
use localcloud::ec2::{Ec2, Ec2Options};
use localcloud::query_protocol::{Envelope, Params};
use localcloud::state::{Store, iam};
use tokio::sync::{Semaphore, mpsc};

/// What lies on the model's disk.
#[derive(Debug, Default, Clone)]
pub struct Disk {
    pub base: bool,
    /// Layers of snapshots, each with the layers below it, lowest first.
    pub snapshots: BTreeMap<String, Vec<String>>,
    /// Volumes with the layers below them.
    pub volumes: BTreeMap<String, Vec<String>>,
    /// Running guests and their volumes.
    pub running: BTreeMap<String, String>,
    /// Every boot, in order.
    pub boots: Vec<BootSpec>,
    /// What a real driver would have stumbled over.
    pub violations: Vec<String>,
    pub served: BTreeSet<String>,
}

/// A driver and metadata service that keep books instead of booting.
pub struct FakeDriver {
    disk: Mutex<Disk>,
    events: mpsc::UnboundedSender<PowerEvent>,
    boot_failure: Mutex<Option<String>>,
    freeze_failure: Mutex<Option<String>>,
    /// Boots take a permit each; a test that holds them back has none to give.
    pub gate: Semaphore,
    dead: AtomicBool,
}

impl FakeDriver {
    fn new(events: mpsc::UnboundedSender<PowerEvent>, disk: Disk) -> Arc<Self> {
        Arc::new(Self {
            disk: Mutex::new(disk),
            events,
            boot_failure: Mutex::default(),
            freeze_failure: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            dead: AtomicBool::new(false),
        })
    }

    /// Never returns once the server has crashed: what it was doing must not be finished.
    async fn alive(&self) {
        if self.dead.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }

    pub fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap()
    }

    pub fn fail_boots(&self, why: Option<&str>) {
        *self.boot_failure.lock().unwrap() = why.map(str::to_owned);
    }

    pub fn fail_freezes(&self, why: Option<&str>) {
        *self.freeze_failure.lock().unwrap() = why.map(str::to_owned);
    }

    /// What a guest's `poweroff` does.
    pub fn guest_powers_off(&self, instance: &str) {
        let was_running = self.disk().running.remove(instance).is_some();
        assert!(was_running, "{instance} runs");
        self.events
            .send(PowerEvent {
                instance_id: instance.to_owned(),
                cause: PowerOff::Guest,
            })
            .unwrap();
    }
}

#[async_trait]
impl Driver for FakeDriver {
    fn name(&self) -> &'static str {
        "fake"
    }

    async fn ensure_base(
        &self,
        snapshot: &str,
        progress: mpsc::UnboundedSender<String>,
    ) -> DriverResult<()> {
        self.alive().await;
        progress.send("making the base".to_owned()).unwrap();
        let mut disk = self.disk();
        if disk.base {
            disk.violations.push("the base was made twice".to_owned());
        }
        disk.base = true;
        disk.snapshots
            .insert(snapshot.to_owned(), vec![snapshot.to_owned()]);
        Ok(())
    }

    async fn boot(&self, spec: BootSpec) -> DriverResult<()> {
        self.gate.acquire().await.unwrap().forget();
        self.alive().await;
        if let Some(why) = self.boot_failure.lock().unwrap().clone() {
            return Err(DriverError(why));
        }
        let mut disk = self.disk();
        for layer in &spec.layers {
            if !disk.snapshots.contains_key(layer) {
                let violation =
                    format!("{} boots over the missing layer {layer}", spec.instance_id);
                disk.violations.push(violation);
            }
        }
        if disk
            .running
            .values()
            .any(|volume| *volume == spec.volume_id)
        {
            let violation = format!("{} is booted twice at once", spec.volume_id);
            disk.violations.push(violation);
        }
        if !disk.served.contains(&spec.instance_id) {
            let violation = format!("{} boots without metadata", spec.instance_id);
            disk.violations.push(violation);
        }
        disk.volumes
            .insert(spec.volume_id.clone(), spec.layers.clone());
        disk.running
            .insert(spec.instance_id.clone(), spec.volume_id.clone());
        disk.boots.push(spec);
        Ok(())
    }

    async fn power_off(&self, instance_id: &str) -> DriverResult<()> {
        self.alive().await;
        if self.disk().running.remove(instance_id).is_some() {
            self.events
                .send(PowerEvent {
                    instance_id: instance_id.to_owned(),
                    cause: PowerOff::Requested,
                })
                .ok();
        }
        Ok(())
    }

    async fn console(&self, instance_id: &str) -> DriverResult<Vec<u8>> {
        let booted = self
            .disk()
            .boots
            .iter()
            .any(|spec| spec.instance_id == instance_id);
        Ok(if booted {
            format!("console of {instance_id}\r\n").into_bytes()
        } else {
            Vec::new()
        })
    }

    async fn freeze(&self, volume_id: &str, snapshot: &str) -> DriverResult<u64> {
        self.alive().await;
        if let Some(why) = self.freeze_failure.lock().unwrap().clone() {
            return Err(DriverError(why));
        }
        let mut disk = self.disk();
        if disk.running.values().any(|volume| volume == volume_id) {
            let violation = format!("{volume_id} is frozen while a guest runs on it");
            disk.violations.push(violation);
        }
        let mut layers = disk.volumes.get(volume_id).cloned().unwrap_or_default();
        if layers.last().is_none_or(|last| last != snapshot) {
            layers.push(snapshot.to_owned());
        }
        disk.snapshots.insert(snapshot.to_owned(), layers.clone());
        disk.volumes.insert(volume_id.to_owned(), layers);
        Ok(4096)
    }

    async fn delete_volume(&self, volume_id: &str) -> DriverResult<()> {
        self.alive().await;
        let mut disk = self.disk();
        if disk.running.values().any(|volume| volume == volume_id) {
            let violation = format!("{volume_id} is deleted while a guest runs on it");
            disk.violations.push(violation);
        }
        disk.volumes.remove(volume_id);
        Ok(())
    }

    async fn delete_snapshot(&self, snapshot: &str) -> DriverResult<()> {
        self.alive().await;
        let mut disk = self.disk();
        disk.snapshots.remove(snapshot);
        let orphans: Vec<String> = disk
            .snapshots
            .iter()
            .chain(disk.volumes.iter())
            .filter(|(_, layers)| layers.iter().any(|layer| layer == snapshot))
            .map(|(id, _)| format!("{snapshot} is deleted under {id}"))
            .collect();
        disk.violations.extend(orphans);
        Ok(())
    }

    fn console_path(&self, instance_id: &str) -> PathBuf {
        PathBuf::from(instance_id)
    }
}

struct FakeMetadata(Arc<FakeDriver>);

#[async_trait]
impl MetadataService for FakeMetadata {
    async fn open(&self, instance_id: &str) -> DriverResult<String> {
        self.0.alive().await;
        self.0.disk().served.insert(instance_id.to_owned());
        Ok(format!("http://{instance_id}.metadata"))
    }

    async fn close(&self, instance_id: &str) {
        self.0.alive().await;
        self.0.disk().served.remove(instance_id);
    }
}

/// The SDK's way to [`Ec2::handle`].
#[derive(Clone)]
struct InProcess(Arc<Ec2>);

impl std::fmt::Debug for InProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InProcess")
    }
}

impl HttpConnector for InProcess {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let ec2 = Arc::clone(&self.0);
        HttpConnectorFuture::new(async move {
            let body = request.body().bytes().unwrap().to_vec();
            let mut params = Params::parse(&body).unwrap();
            let action = params.required("Action").unwrap();
            assert_eq!(params.required("Version").unwrap(), "2016-11-15");
            let (status, text) = match ec2.handle(&Caller::root(), &action, &mut params).await {
                Ok(answer) => (200, Envelope::Ec2.answer(&action, &answer, "req-1")),
                Err(error) => (error.status, Envelope::Ec2.error(&error, "req-1")),
            };
            Ok(HttpResponse::new(status.try_into().unwrap(), text.into()))
        })
    }
}

/// The cloud and everything around it that a test turns.
pub struct Cloud {
    pub client: Client,
    pub ec2: Arc<Ec2>,
    pub clock: Arc<ManualClock>,
    pub driver: Arc<FakeDriver>,
    pub store: Store,
}

impl Cloud {
    /// A new cloud at 2026-01-02 03:04:05 GMT.
    pub fn new() -> Self {
        let clock = Arc::new(ManualClock::new(
            "2026-01-02T03:04:05Z".parse::<Timestamp>().unwrap(),
        ));
        Self::over(Store::in_memory().unwrap(), clock, Disk::default())
    }

    fn over(store: Store, clock: Arc<ManualClock>, disk: Disk) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let driver = FakeDriver::new(sender, disk);
        let ec2 = Arc::new(
            Ec2::new(Ec2Options {
                store: store.clone(),
                clock: clock.clone(),
                driver: driver.clone(),
                metadata: Arc::new(FakeMetadata(driver.clone())),
                endpoint: "http://127.0.0.1:4566".to_owned(),
            })
            .unwrap(),
        );
        ec2.start(events).unwrap();
        let connector = SharedHttpConnector::new(InProcess(ec2.clone()));
        let config = aws_sdk_ec2::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-local-1"))
            .credentials_provider(Credentials::new("AKIATEST", "secret", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build();
        Self {
            client: Client::from_conf(config),
            ec2,
            clock,
            driver,
            store,
        }
    }

    /// The same state under a new server, as after a crash: guests are gone, the disk is not.
    pub fn crash_and_restart(self) -> Self {
        self.driver.dead.store(true, Ordering::SeqCst);
        let mut disk = self.driver.disk().clone();
        disk.running.clear();
        disk.served.clear();
        // A driver that was just started has not been asked for the base.
        disk.base = false;
        Self::over(self.store, self.clock, disk)
    }

    pub fn wait(&self, seconds: i64) {
        self.clock.advance(SignedDuration::from_secs(seconds));
    }

    /// RunInstances of one c7i.large from the base image.
    pub fn run(&self) -> RunInstancesFluentBuilder {
        self.client
            .run_instances()
            .image_id(BASE_IMAGE)
            .instance_type(InstanceType::from("c7i.large"))
            .min_count(1)
            .max_count(1)
    }

    /// One launched instance, running.
    pub async fn running(&self) -> String {
        let id = self.run().send().await.unwrap().instances()[0]
            .instance_id()
            .unwrap()
            .to_owned();
        self.until(&id, "running").await;
        id
    }

    /// One launched instance that was stopped, and its volume.
    pub async fn stopped(&self) -> (String, String) {
        let id = self.running().await;
        self.client
            .stop_instances()
            .instance_ids(&id)
            .send()
            .await
            .unwrap();
        let instance = self.until(&id, "stopped").await;
        (id, volume_of(&instance))
    }

    pub async fn instance(&self, id: &str) -> Instance {
        self.client
            .describe_instances()
            .instance_ids(id)
            .send()
            .await
            .unwrap()
            .reservations()[0]
            .instances()[0]
            .clone()
    }

    /// Waits until the instance is in a state.
    pub async fn until(&self, id: &str, state: &str) -> Instance {
        let mut last = String::new();
        for _ in 0..2500 {
            let instance = self.instance(id).await;
            state_of(&instance).clone_into(&mut last);
            if last == state {
                return instance;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("{id} did not come to be {state}; last seen: {last}");
    }

    /// Waits until something holds of the disk.
    pub async fn until_disk(&self, what: &str, holds: impl Fn(&Disk) -> bool) {
        for _ in 0..2500 {
            if holds(&self.driver.disk()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!(
            "never came true: {what}; the disk: {:?}",
            self.driver.disk()
        );
    }

    pub async fn until_snapshot(&self, id: &str, state: &SnapshotState) -> Snapshot {
        for _ in 0..2500 {
            let answer = self
                .client
                .describe_snapshots()
                .snapshot_ids(id)
                .send()
                .await
                .unwrap();
            if answer.snapshots()[0].state() == Some(state) {
                return answer.snapshots()[0].clone();
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("{id} did not come to be {state:?}");
    }

    /// An instance profile of this name under `/muck/test/`.
    pub fn profile(&self, name: &str) -> String {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        self.store
            .transaction(|tx| iam::create_profile(tx, name, "/muck/test/", now))
            .unwrap()
            .arn()
    }

    /// The model's disk must never have been misused, and the base must be the only layer that is
    /// always there.
    pub fn assert_sound(&self) {
        let disk = self.driver.disk();
        assert_eq!(disk.violations, Vec::<String>::new());
    }

    pub fn layers(&self) -> Vec<String> {
        self.driver
            .disk()
            .snapshots
            .keys()
            .filter(|id| *id != BASE_SNAPSHOT)
            .cloned()
            .collect()
    }
}

pub fn state_of(instance: &Instance) -> &str {
    instance.state().unwrap().name().unwrap().as_str()
}

pub fn volume_of(instance: &Instance) -> String {
    instance.block_device_mappings()[0]
        .ebs()
        .unwrap()
        .volume_id()
        .unwrap()
        .to_owned()
}

/// The AWS code and message of an SDK error.
pub fn code<E, R>(error: &aws_sdk_ec2::error::SdkError<E, R>) -> (String, String)
where
    E: ProvideErrorMetadata,
    aws_sdk_ec2::error::SdkError<E, R>: ProvideErrorMetadata,
{
    (
        ProvideErrorMetadata::code(error).unwrap_or("?").to_owned(),
        ProvideErrorMetadata::message(error)
            .unwrap_or("?")
            .to_owned(),
    )
}

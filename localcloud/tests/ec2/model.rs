//! Random operations, with crashes between them, against what must always hold.

use aws_sdk_ec2::types::{
    ArchitectureValues, BlockDeviceMapping, EbsBlockDevice, ShutdownBehavior,
};
use localcloud::ec2::base::BASE_SNAPSHOT;
use proptest::prelude::*;

use super::rig::{Cloud, state_of, volume_of};

#[derive(Debug, Clone)]
enum Step {
    Run {
        terminate: bool,
        image: usize,
    },
    Stop(usize),
    Start(usize),
    Terminate(usize),
    PowerOff(usize),
    Snapshot(usize),
    Register(usize),
    Deregister(usize, bool),
    DeleteSnapshot(usize),
    Crash,
    /// Lets background work go on.
    Rest,
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0..8_usize;
    prop_oneof![
        3 => (any::<bool>(), which.clone()).prop_map(|(terminate, image)| Step::Run { terminate, image }),
        3 => which.clone().prop_map(Step::Stop),
        2 => which.clone().prop_map(Step::Start),
        2 => which.clone().prop_map(Step::Terminate),
        2 => which.clone().prop_map(Step::PowerOff),
        4 => which.clone().prop_map(Step::Snapshot),
        3 => which.clone().prop_map(Step::Register),
        2 => (which.clone(), any::<bool>()).prop_map(|(n, snapshots)| Step::Deregister(n, snapshots)),
        2 => which.prop_map(Step::DeleteSnapshot),
        1 => Just(Step::Crash),
        6 => Just(Step::Rest),
    ]
}

fn pick(all: &[String], n: usize) -> Option<&String> {
    (!all.is_empty()).then(|| &all[n % all.len()])
}

impl Cloud {
    async fn instances(&self) -> Vec<aws_sdk_ec2::types::Instance> {
        let answer = self.client.describe_instances().send().await.unwrap();
        answer
            .reservations()
            .iter()
            .flat_map(|reservation| reservation.instances().to_vec())
            .collect()
    }

    async fn images(&self) -> Vec<String> {
        let answer = self.client.describe_images().send().await.unwrap();
        answer
            .images()
            .iter()
            .map(|image| image.image_id().unwrap().to_owned())
            .collect()
    }

    async fn snapshots(&self) -> Vec<String> {
        let answer = self.client.describe_snapshots().send().await.unwrap();
        answer
            .snapshots()
            .iter()
            .map(|snapshot| snapshot.snapshot_id().unwrap().to_owned())
            .collect()
    }

    /// Does a step; an error of the API is a good answer to a step that doesn't fit.
    async fn step(self, step: Step, number: usize) -> Self {
        let instances = self.instances().await;
        let ids: Vec<String> = instances
            .iter()
            .map(|instance| instance.instance_id().unwrap().to_owned())
            .collect();
        match step {
            Step::Run { terminate, image } => {
                let images = self.images().await;
                let behavior = if terminate {
                    ShutdownBehavior::Terminate
                } else {
                    ShutdownBehavior::Stop
                };
                self.run()
                    .image_id(pick(&images, image).unwrap())
                    .instance_initiated_shutdown_behavior(behavior)
                    .send()
                    .await
                    .ok();
            }
            Step::Stop(n) => {
                if let Some(id) = pick(&ids, n) {
                    self.client
                        .stop_instances()
                        .instance_ids(id)
                        .send()
                        .await
                        .ok();
                }
            }
            Step::Start(n) => {
                if let Some(id) = pick(&ids, n) {
                    self.client
                        .start_instances()
                        .instance_ids(id)
                        .send()
                        .await
                        .ok();
                }
            }
            Step::Terminate(n) => {
                if let Some(id) = pick(&ids, n) {
                    self.client
                        .terminate_instances()
                        .instance_ids(id)
                        .send()
                        .await
                        .unwrap();
                }
            }
            Step::PowerOff(n) => {
                let running: Vec<String> = self.driver.disk().running.keys().cloned().collect();
                if let Some(id) = pick(&running, n) {
                    self.driver.guest_powers_off(id);
                }
            }
            Step::Snapshot(n) => {
                let stopped: Vec<String> = instances
                    .iter()
                    .filter(|instance| state_of(instance) == "stopped")
                    .map(volume_of)
                    .collect();
                if let Some(volume) = pick(&stopped, n) {
                    self.wait(15);
                    self.client
                        .create_snapshot()
                        .volume_id(volume)
                        .send()
                        .await
                        .ok();
                }
            }
            Step::Register(n) => {
                if let Some(snapshot) = pick(&self.snapshots().await, n) {
                    self.client
                        .register_image()
                        .name(format!("image-{number}"))
                        .architecture(ArchitectureValues::X8664)
                        .virtualization_type("hvm")
                        .root_device_name("/dev/xvda")
                        .block_device_mappings(
                            BlockDeviceMapping::builder()
                                .device_name("/dev/xvda")
                                .ebs(EbsBlockDevice::builder().snapshot_id(snapshot).build())
                                .build(),
                        )
                        .send()
                        .await
                        .ok();
                }
            }
            Step::Deregister(n, snapshots) => {
                if let Some(image) = pick(&self.images().await, n) {
                    self.client
                        .deregister_image()
                        .image_id(image)
                        .delete_associated_snapshots(snapshots)
                        .send()
                        .await
                        .ok();
                }
            }
            Step::DeleteSnapshot(n) => {
                if let Some(snapshot) = pick(&self.snapshots().await, n) {
                    self.client
                        .delete_snapshot()
                        .snapshot_id(snapshot)
                        .send()
                        .await
                        .ok();
                }
            }
            Step::Crash => return self.crash_and_restart(),
            Step::Rest => {
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
            }
        }
        self
    }

    /// Removes everything, and sees that nothing is left.
    async fn tear_down(&self) {
        for instance in self.instances().await {
            let id = instance.instance_id().unwrap();
            self.client
                .terminate_instances()
                .instance_ids(id)
                .send()
                .await
                .unwrap();
        }
        for instance in self.instances().await {
            self.until(instance.instance_id().unwrap(), "terminated")
                .await;
        }
        let ours = self
            .client
            .describe_images()
            .owners("self")
            .send()
            .await
            .unwrap();
        for image in ours.images() {
            self.client
                .deregister_image()
                .image_id(image.image_id().unwrap())
                .send()
                .await
                .unwrap();
        }
        for snapshot in self.snapshots().await {
            self.client
                .delete_snapshot()
                .snapshot_id(snapshot)
                .send()
                .await
                .unwrap();
        }
        self.until_disk("nothing but the base is left", |disk| {
            disk.running.is_empty()
                && disk.volumes.is_empty()
                && disk.served.is_empty()
                && disk.snapshots.keys().all(|id| id == BASE_SNAPSHOT)
        })
        .await;
    }
}

async fn play(steps: Vec<Step>) {
    let mut cloud = Cloud::new();
    for (number, step) in steps.into_iter().enumerate() {
        cloud = cloud.step(step, number).await;
        cloud.assert_sound();
    }
    cloud.tear_down().await;
    cloud.assert_sound();
}

proptest! {
    // A case is some dozens of calls; failures are printed with their steps, so no file keeps them.
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_is_left_and_no_layer_goes_too_early(
        steps in prop::collection::vec(step(), 1..40)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(steps));
    }

    /// The same with background work on other threads, so in any order. (A crash there can't be told
    /// apart from work that was done just before it, so there are none.)
    #[test]
    fn nor_when_things_happen_at_once(
        steps in prop::collection::vec(
            step().prop_filter("no crash", |step| !matches!(step, Step::Crash)), 1..40)
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(3)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(play(steps));
    }
}

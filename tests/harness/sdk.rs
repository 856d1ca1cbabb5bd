//! Plain SDK clients: what somebody does behind muck's back.

use std::time::{Duration, Instant};

use aws_sdk_sqs::types::SendMessageBatchRequestEntry;

use super::machine::{Access, Machine};
use super::{Ended, World};

/// The local cloud's Debian image.
pub const BASE: &str = "ami-00000000000000d13";
/// The local cloud's account and region.
const PLACE: &str = "000000000000-us-local-1-an";

/// Clients of a cloud, which must be running.
pub struct Sdk {
    runtime: tokio::runtime::Runtime,
    access: Access,
    pub ec2: aws_sdk_ec2::Client,
    pub s3: aws_sdk_s3::Client,
    pub sqs: aws_sdk_sqs::Client,
    pub iam: aws_sdk_iam::Client,
    pub sns: aws_sdk_sns::Client,
    pub sts: aws_sdk_sts::Client,
}

impl Sdk {
    /// Of a story's local cloud.
    pub fn of(world: &World) -> Self {
        Self::over(&Access::of(world))
    }

    pub fn over(access: &Access) -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("runtime");
        let config = runtime.block_on(access.sdk_config());
        let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(true);
        Self {
            ec2: aws_sdk_ec2::Client::new(&config),
            s3: aws_sdk_s3::Client::from_conf(s3.build()),
            sqs: aws_sdk_sqs::Client::new(&config),
            iam: aws_sdk_iam::Client::new(&config),
            sns: aws_sdk_sns::Client::new(&config),
            sts: aws_sdk_sts::Client::new(&config),
            runtime,
            access: access.clone(),
        }
    }

    /// Runs calls to their end.
    pub fn run<T>(&self, calls: impl Future<Output = T>) -> T {
        self.runtime.block_on(calls)
    }

    /// Runs `muck` on another machine.
    pub fn muck_elsewhere(&self, arguments: &[&str]) -> Ended {
        Machine::new(&self.access, "elsewhere")
            .patient()
            .muck(arguments)
    }

    pub fn bucket(stack: &str, purpose: &str) -> String {
        format!("muck-{stack}-{purpose}-{PLACE}")
    }

    /// Sends messages to a queue of a stack, as many a call as SQS takes.
    pub fn send_all(&self, stack: &str, purpose: &str, bodies: &[String]) {
        let url = self.queue_url(stack, purpose);
        for some in bodies.chunks(10) {
            let entries = some.iter().enumerate().map(|(index, body)| {
                SendMessageBatchRequestEntry::builder()
                    .id(index.to_string())
                    .message_body(body)
                    .build()
                    .expect("an entry")
            });
            let call = self.sqs.send_message_batch().queue_url(&url);
            let call = call.set_entries(Some(entries.collect()));
            let answer = self.run(call.send()).expect("sends");
            assert!(answer.failed().is_empty(), "{answer:?}");
        }
    }

    pub fn queue_url(&self, stack: &str, purpose: &str) -> String {
        let name = format!("muck-{stack}-{purpose}");
        let call = self.sqs.get_queue_url().queue_name(name);
        let answer = self.run(call.send()).expect("the queue is there");
        answer.queue_url.expect("a URL")
    }

    /// Adds tags to all seven parts of a stack.
    pub fn tag_stack(&self, stack: &str, tags: &[(&str, &str)]) {
        use aws_sdk_iam::types::Tag as IamTag;
        use aws_sdk_s3::types::{Tag, Tagging};

        for purpose in ["input", "output"] {
            let bucket = self.access.bucket(stack, purpose);
            let there = self.run(self.s3.get_bucket_tagging().bucket(&bucket).send());
            let mut all: Vec<Tag> = there.expect("tags").tag_set;
            all.retain(|tag| !tags.iter().any(|(key, _)| tag.key() == *key));
            all.extend(
                tags.iter().map(|(key, value)| {
                    Tag::builder().key(*key).value(*value).build().expect("tag")
                }),
            );
            let all = Tagging::builder()
                .set_tag_set(Some(all))
                .build()
                .expect("tags");
            let call = self.s3.put_bucket_tagging().bucket(&bucket).tagging(all);
            self.run(call.send()).expect("tags the bucket");
        }
        for purpose in ["input", "output", "failed"] {
            let url = self.queue_url(stack, purpose);
            let all = tags
                .iter()
                .map(|(key, value)| ((*key).into(), (*value).into()));
            let call = self.sqs.tag_queue().queue_url(url);
            self.run(call.set_tags(Some(all.collect())).send())
                .expect("tags the queue");
        }
        let name = format!("muck-{stack}-worker");
        let all: Vec<IamTag> = tags
            .iter()
            .map(|(key, value)| {
                IamTag::builder()
                    .key(*key)
                    .value(*value)
                    .build()
                    .expect("tag")
            })
            .collect();
        let call = self.iam.tag_role().role_name(&name);
        self.run(call.set_tags(Some(all.clone())).send())
            .expect("tags the role");
        let call = self.iam.tag_instance_profile().instance_profile_name(&name);
        self.run(call.set_tags(Some(all)).send())
            .expect("tags the profile");
    }

    /// Starts an instance of the base image that has these tags, as has its volume; returns both ids.
    pub fn start_instance(&self, tags: &[(&str, &str)], volume_goes_too: bool) -> (String, String) {
        use aws_sdk_ec2::types as sdk;

        let tags: Vec<sdk::Tag> = tags
            .iter()
            .map(|(key, value)| sdk::Tag::builder().key(*key).value(*value).build())
            .collect();
        let specification = |kind| {
            sdk::TagSpecification::builder()
                .resource_type(kind)
                .set_tags(Some(tags.clone()))
                .build()
        };
        let disk = sdk::EbsBlockDevice::builder()
            .delete_on_termination(volume_goes_too)
            .volume_size(8);
        let call = self
            .ec2
            .run_instances()
            .image_id(BASE)
            .instance_type(sdk::InstanceType::C7iLarge)
            .min_count(1)
            .max_count(1)
            .block_device_mappings(
                sdk::BlockDeviceMapping::builder()
                    .device_name("/dev/xvda")
                    .ebs(disk.build())
                    .build(),
            )
            .tag_specifications(specification(sdk::ResourceType::Instance))
            .tag_specifications(specification(sdk::ResourceType::Volume));
        let answer = self.run(call.send()).expect("starts");
        let id = answer.instances()[0]
            .instance_id()
            .expect("an id")
            .to_owned();
        let filter = sdk::Filter::builder()
            .name("attachment.instance-id")
            .values(&id)
            .build();
        let volumes = self
            .run(self.ec2.describe_volumes().filters(filter).send())
            .expect("volumes");
        let volume = volumes.volumes()[0].volume_id().expect("an id").to_owned();
        (id, volume)
    }

    /// Tags of all instances whose `muck:kind` is `kind`, ended ones too.
    pub fn tags_of_instances(&self, kind: &str) -> Vec<Vec<(String, String)>> {
        let filter = aws_sdk_ec2::types::Filter::builder()
            .name("tag:muck:kind")
            .values(kind);
        let call = self.ec2.describe_instances().filters(filter.build());
        let answer = self.run(call.send()).expect("instances");
        let instances = answer.reservations().iter();
        let instances = instances.flat_map(aws_sdk_ec2::types::Reservation::instances);
        let tags = instances.map(|one| {
            let tags = one.tags().iter();
            tags.filter_map(|tag| Some((tag.key()?.to_owned(), tag.value()?.to_owned())))
                .collect()
        });
        tags.collect()
    }

    /// `running`, `terminated` …; `gone` for one that EC2 does not know.
    pub fn instance_state(&self, id: &str) -> String {
        let filter = aws_sdk_ec2::types::Filter::builder()
            .name("instance-id")
            .values(id)
            .build();
        let answer = self
            .run(self.ec2.describe_instances().filters(filter).send())
            .expect("instances");
        answer
            .reservations()
            .iter()
            .flat_map(aws_sdk_ec2::types::Reservation::instances)
            .filter_map(|one| one.state()?.name())
            .map(|name| name.as_str().to_owned())
            .next()
            .unwrap_or_else(|| "gone".to_owned())
    }

    pub fn wait_for_state(&self, id: &str, state: &str, limit: Duration) {
        let start = Instant::now();
        loop {
            let now = self.instance_state(id);
            if now == state {
                return;
            }
            assert!(start.elapsed() < limit, "{id} is {now}, not {state}");
            self.run(async { tokio::time::sleep(Duration::from_millis(300)).await });
        }
    }

    /// Whether EC2 still knows the volume.
    pub fn has_volume(&self, id: &str) -> bool {
        let filter = aws_sdk_ec2::types::Filter::builder()
            .name("volume-id")
            .values(id)
            .build();
        let answer = self.run(self.ec2.describe_volumes().filters(filter).send());
        !answer.expect("volumes").volumes().is_empty()
    }
}

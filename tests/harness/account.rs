//! A cloud's account seen from outside, through plain SDK clients.

use std::time::{Duration, Instant};

use super::World;
use super::machine::Access;

/// Clients of a cloud, which must be running.
pub struct Account {
    runtime: tokio::runtime::Runtime,
    config: aws_config::SdkConfig,
    /// 12 digits.
    id: String,
}

impl Account {
    /// Of a story's local cloud.
    pub fn of(world: &World) -> Self {
        Self::over(&Access::of(world))
    }

    pub fn over(access: &Access) -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("runtime");
        let config = runtime.block_on(access.sdk_config());
        Self {
            runtime,
            config,
            id: access.account.clone(),
        }
    }

    /// Everything in the account that anybody made and that may cost money or be in the way, one line each:
    /// instances in every state but terminated (EC2 shows those for an hour), volumes, images, snapshots,
    /// buckets with objects, versions, markers and unfinished uploads, queues, topics, roles with policies,
    /// and instance profiles. Managed policies there are none: the local cloud's IAM has no action that
    /// makes one.
    pub fn left_overs(&self) -> Vec<String> {
        self.runtime.block_on(async {
            let (stores, compute, identities) =
                tokio::join!(self.stores(), self.compute(), self.identities());
            [stores, compute, identities].concat()
        })
    }

    async fn stores(&self) -> Vec<String> {
        let mut left = Vec::new();
        let s3 = aws_sdk_s3::Client::from_conf(
            aws_sdk_s3::config::Builder::from(&self.config)
                .force_path_style(true)
                .build(),
        );
        let buckets = s3.list_buckets().send().await.expect("list buckets");
        for bucket in buckets.buckets().iter().filter_map(|bucket| bucket.name()) {
            left.push(format!("bucket {bucket}"));
            left.extend(contents(&s3, bucket).await);
        }
        let sqs = aws_sdk_sqs::Client::new(&self.config);
        let queues = sqs.list_queues().send().await.expect("list queues");
        left.extend(queues.queue_urls().iter().map(|url| format!("queue {url}")));
        let sns = aws_sdk_sns::Client::new(&self.config);
        let topics = sns.list_topics().send().await.expect("list topics");
        let arns = topics.topics().iter().filter_map(|topic| topic.topic_arn());
        left.extend(arns.map(|arn| format!("topic {arn}")));
        left
    }

    async fn compute(&self) -> Vec<String> {
        let mut left = Vec::new();
        let ec2 = aws_sdk_ec2::Client::new(&self.config);
        let instances = ec2.describe_instances().send().await.expect("instances");
        let instances = instances
            .reservations()
            .iter()
            .flat_map(aws_sdk_ec2::types::Reservation::instances);
        for instance in instances {
            let state = instance
                .state()
                .and_then(|state| state.name())
                .map_or("of unknown state", |name| name.as_str());
            if state != "terminated" {
                let id = instance.instance_id().unwrap_or("?");
                left.push(format!("instance {id} {state}"));
            }
        }
        let volumes = ec2.describe_volumes().send().await.expect("volumes");
        let ids = volumes.volumes().iter().filter_map(|one| one.volume_id());
        left.extend(ids.map(|id| format!("volume {id}")));
        let images = ec2
            .describe_images()
            .owners("self")
            .send()
            .await
            .expect("images");
        let ids = images.images().iter().filter_map(|one| one.image_id());
        left.extend(ids.map(|id| format!("image {id}")));
        let snapshots = ec2
            .describe_snapshots()
            .owner_ids("self")
            .send()
            .await
            .expect("snapshots");
        let ids = snapshots
            .snapshots()
            .iter()
            // moto answers with everybody's.
            .filter(|one| one.owner_id() == Some(&self.id))
            .filter_map(|one| one.snapshot_id());
        left.extend(ids.map(|id| format!("snapshot {id}")));
        left
    }

    async fn identities(&self) -> Vec<String> {
        let mut left = Vec::new();
        let iam = aws_sdk_iam::Client::new(&self.config);
        let roles = iam.list_roles().send().await.expect("roles");
        for role in roles.roles() {
            let name = role.role_name();
            left.push(format!("role {name}"));
            let policies = iam
                .list_role_policies()
                .role_name(name)
                .send()
                .await
                .expect("policies");
            left.extend(
                policies
                    .policy_names()
                    .iter()
                    .map(|policy| format!("policy {policy} of role {name}")),
            );
        }
        let profiles = iam.list_instance_profiles().send().await.expect("profiles");
        left.extend(
            profiles
                .instance_profiles()
                .iter()
                .map(|p| format!("profile {}", p.instance_profile_name())),
        );
        left
    }

    /// Bodies of up to ten messages of a queue, which stay in it. Waits until `count` are there.
    pub fn peek(&self, queue: &str, count: usize, limit: Duration) -> Vec<String> {
        let start = Instant::now();
        self.runtime.block_on(async {
            let sqs = aws_sdk_sqs::Client::new(&self.config);
            let url = sqs
                .get_queue_url()
                .queue_name(queue)
                .send()
                .await
                .expect("queue");
            let url = url.queue_url().expect("queue URL").to_owned();
            loop {
                let wanted = aws_sdk_sqs::types::QueueAttributeName::ApproximateNumberOfMessages;
                let counts = sqs
                    .get_queue_attributes()
                    .queue_url(&url)
                    .attribute_names(wanted.clone())
                    .send()
                    .await
                    .expect("attributes");
                let there: usize = counts
                    .attributes()
                    .and_then(|map| map.get(&wanted))
                    .map_or(0, |n| n.parse().expect("a number"));
                if there >= count {
                    break;
                }
                assert!(
                    start.elapsed() < limit,
                    "{queue} has {there} of {count} messages"
                );
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            let received = sqs
                .receive_message()
                .queue_url(&url)
                .max_number_of_messages(10)
                .visibility_timeout(0)
                .send()
                .await
                .expect("messages");
            received
                .messages()
                .iter()
                .filter_map(|m| m.body())
                .map(ToOwned::to_owned)
                .collect()
        })
    }
}

/// What is in a bucket, one line each.
async fn contents(s3: &aws_sdk_s3::Client, bucket: &str) -> Vec<String> {
    let mut left = Vec::new();
    let versions = s3
        .list_object_versions()
        .bucket(bucket)
        .send()
        .await
        .expect("versions");
    let keys = versions.versions().iter().filter_map(|one| one.key());
    left.extend(keys.map(|key| format!("object {bucket}/{key}")));
    let keys = versions.delete_markers().iter().filter_map(|one| one.key());
    left.extend(keys.map(|key| format!("delete marker {bucket}/{key}")));
    let uploads = s3
        .list_multipart_uploads()
        .bucket(bucket)
        .send()
        .await
        .expect("uploads");
    let keys = uploads.uploads().iter().filter_map(|one| one.key());
    left.extend(keys.map(|key| format!("upload {bucket}/{key}")));
    left
}

//! The local cloud's account seen from outside, through plain SDK clients.

use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_ec2::types::Filter;

use super::World;

/// Clients of a story's local cloud, which must be running.
pub struct Account {
    runtime: tokio::runtime::Runtime,
    config: aws_config::SdkConfig,
}

impl Account {
    pub fn of(world: &World) -> Self {
        let status = world.muck(&["local", "status", "--json"]).exits(0).json();
        let text = |key: &str| status[key].as_str().expect("a string").to_owned();
        let runtime = tokio::runtime::Runtime::new().expect("runtime");
        let config = runtime.block_on(
            aws_config::defaults(BehaviorVersion::v2026_01_12())
                .http_client(aws_smithy_http_client::Builder::new().build_http())
                .endpoint_url(text("endpoint"))
                .region(Region::new(text("region")))
                .credentials_provider(Credentials::from_keys(
                    text("access_key_id"),
                    text("secret_access_key"),
                    None,
                ))
                .load(),
        );
        Self { runtime, config }
    }

    /// Everything in the account that anybody made and that may cost money, one line each.
    pub fn left_overs(&self) -> Vec<String> {
        self.runtime.block_on(async {
            let mut left = self.stores().await;
            left.extend(self.compute().await);
            left.extend(self.identities().await);
            left
        })
    }

    async fn stores(&self) -> Vec<String> {
        let mut left = Vec::new();
        let s3 = aws_sdk_s3::Client::new(&self.config);
        let buckets = s3.list_buckets().send().await.expect("list buckets");
        left.extend(
            buckets
                .buckets()
                .iter()
                .filter_map(|b| b.name())
                .map(|b| format!("bucket {b}")),
        );
        let sqs = aws_sdk_sqs::Client::new(&self.config);
        let queues = sqs.list_queues().send().await.expect("list queues");
        left.extend(queues.queue_urls().iter().map(|url| format!("queue {url}")));
        let sns = aws_sdk_sns::Client::new(&self.config);
        let topics = sns.list_topics().send().await.expect("list topics");
        left.extend(
            topics
                .topics()
                .iter()
                .map(|topic| format!("topic {topic:?}")),
        );
        left
    }

    async fn compute(&self) -> Vec<String> {
        let mut left = Vec::new();
        let ec2 = aws_sdk_ec2::Client::new(&self.config);
        let alive = Filter::builder()
            .name("instance-state-name")
            .values("pending")
            .values("running")
            .values("stopping")
            .values("stopped")
            .values("shutting-down")
            .build();
        let instances = ec2
            .describe_instances()
            .filters(alive)
            .send()
            .await
            .expect("instances");
        for instance in instances
            .reservations()
            .iter()
            .flat_map(aws_sdk_ec2::types::Reservation::instances)
        {
            left.push(format!(
                "instance {}",
                instance.instance_id().unwrap_or("?")
            ));
        }
        let volumes = ec2.describe_volumes().send().await.expect("volumes");
        left.extend(
            volumes
                .volumes()
                .iter()
                .map(|v| format!("volume {:?}", v.volume_id())),
        );
        let images = ec2
            .describe_images()
            .owners("self")
            .send()
            .await
            .expect("images");
        left.extend(
            images
                .images()
                .iter()
                .map(|i| format!("image {:?}", i.image_id())),
        );
        let snapshots = ec2
            .describe_snapshots()
            .owner_ids("self")
            .send()
            .await
            .expect("snapshots");
        left.extend(
            snapshots
                .snapshots()
                .iter()
                .map(|s| format!("snapshot {:?}", s.snapshot_id())),
        );
        left
    }

    async fn identities(&self) -> Vec<String> {
        let mut left = Vec::new();
        let iam = aws_sdk_iam::Client::new(&self.config);
        let roles = iam.list_roles().send().await.expect("roles");
        left.extend(
            roles
                .roles()
                .iter()
                .map(|role| format!("role {}", role.role_name())),
        );
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

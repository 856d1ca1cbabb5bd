//! RunInstances: what it takes, what it refuses, client tokens.

use aws_sdk_ec2::primitives::DateTime;
use aws_sdk_ec2::types::{
    BlockDeviceMapping, EbsBlockDevice, HttpTokensState, IamInstanceProfileSpecification,
    InstanceInterruptionBehavior, InstanceMarketOptionsRequest, InstanceMetadataOptionsRequest,
    InstanceNetworkInterfaceSpecification, InstanceType, MarketType, Placement, ResourceType,
    RunInstancesMonitoringEnabled, ShutdownBehavior, SpotMarketOptions, Tag, TagSpecification,
    VolumeType,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use localcloud::caller::Caller;
use localcloud::query_protocol::Params;
use localcloud::state::ec2::instance_facts;

use super::rig::{Cloud, code, state_of, volume_of};

const ZONE_B: &str = "us-local-1b";

fn tag(kind: ResourceType) -> TagSpecification {
    TagSpecification::builder()
        .resource_type(kind)
        .tags(Tag::builder().key("muck:stack").value("s1").build())
        .tags(Tag::builder().key("Name").value("<&> ü").build())
        .build()
}

#[tokio::test]
async fn everything_asked_for_is_shown_and_reaches_the_guest() {
    let cloud = Cloud::new();
    let arn = cloud.profile("muck-s1-worker");
    let script = "#!/bin/sh\necho ü\n";
    let answer = cloud
        .run()
        .max_count(2)
        .client_token("token-1")
        .user_data(STANDARD.encode(script))
        .iam_instance_profile(
            IamInstanceProfileSpecification::builder()
                .name("muck-s1-worker")
                .build(),
        )
        .instance_initiated_shutdown_behavior(ShutdownBehavior::Terminate)
        .metadata_options(
            InstanceMetadataOptionsRequest::builder()
                .http_tokens(HttpTokensState::Required)
                .http_put_response_hop_limit(1)
                .build(),
        )
        .tag_specifications(tag(ResourceType::Instance))
        .tag_specifications(tag(ResourceType::Volume))
        .block_device_mappings(
            BlockDeviceMapping::builder()
                .device_name("/dev/xvda")
                .ebs(
                    EbsBlockDevice::builder()
                        .volume_size(12)
                        .volume_type(VolumeType::Gp3)
                        .iops(3000)
                        .throughput(125)
                        .encrypted(true)
                        .build(),
                )
                .build(),
        )
        .placement(Placement::builder().availability_zone(ZONE_B).build())
        .network_interfaces(
            InstanceNetworkInterfaceSpecification::builder()
                .device_index(0)
                .associate_public_ip_address(true)
                .groups("sg-00000000000000001")
                .delete_on_termination(true)
                .build(),
        )
        .monitoring(
            RunInstancesMonitoringEnabled::builder()
                .enabled(true)
                .build(),
        )
        .ebs_optimized(true)
        .send()
        .await
        .unwrap();
    assert!(answer.reservation_id().unwrap().starts_with("r-0"));
    assert_eq!(answer.owner_id(), Some("000000000000"));
    assert_eq!(answer.instances().len(), 2);
    let mut addresses = Vec::new();
    for (index, launched) in (0..).zip(answer.instances()) {
        assert_eq!(state_of(launched), "pending");
        let id = launched.instance_id().unwrap();
        let instance = cloud.until(id, "running").await;
        assert_eq!(instance.ami_launch_index(), Some(index));
        assert_eq!(
            instance.instance_type(),
            Some(&InstanceType::from("c7i.large"))
        );
        assert_eq!(instance.client_token(), Some("token-1"));
        assert_eq!(
            instance.launch_time(),
            Some(&DateTime::from_secs(1_767_323_045))
        );
        assert_eq!(
            instance.placement().unwrap().availability_zone(),
            Some(ZONE_B)
        );
        assert_eq!(
            instance.iam_instance_profile().unwrap().arn(),
            Some(arn.as_str())
        );
        assert_eq!(instance.architecture().unwrap().as_str(), "x86_64");
        assert_eq!(instance.root_device_name(), Some("/dev/xvda"));
        assert_eq!(instance.ebs_optimized(), Some(true));
        assert_eq!(
            instance.monitoring().unwrap().state().unwrap().as_str(),
            "enabled"
        );
        assert_eq!(instance.vpc_id(), Some("vpc-00000000000000001"));
        assert_eq!(instance.subnet_id(), Some("subnet-0000000000000001b"));
        assert_eq!(instance.security_groups()[0].group_name(), Some("default"));
        assert_eq!(instance.cpu_options().unwrap().core_count(), Some(1));
        let options = instance.metadata_options().unwrap();
        assert_eq!(options.http_tokens(), Some(&HttpTokensState::Required));
        assert_eq!(options.http_put_response_hop_limit(), Some(1));
        let mut tags: Vec<_> = instance
            .tags()
            .iter()
            .map(|tag| (tag.key().unwrap(), tag.value().unwrap()))
            .collect();
        tags.sort_unstable();
        assert_eq!(tags, [("Name", "<&> ü"), ("muck:stack", "s1")]);
        addresses.push(instance.private_ip_address().unwrap().to_owned());

        let volumes = cloud
            .client
            .describe_volumes()
            .volume_ids(volume_of(&instance))
            .send()
            .await
            .unwrap();
        let volume = &volumes.volumes()[0];
        assert_eq!(volume.size(), Some(12));
        assert_eq!(volume.volume_type(), Some(&VolumeType::Gp3));
        assert_eq!(
            (volume.iops(), volume.throughput()),
            (Some(3000), Some(125))
        );
        assert_eq!(volume.encrypted(), Some(true));
        assert_eq!(volume.availability_zone(), Some(ZONE_B));
        assert_eq!(volume.state().unwrap().as_str(), "in-use");
        assert_eq!(volume.attachments()[0].instance_id(), Some(id));
        assert_eq!(volume.attachments()[0].delete_on_termination(), Some(true));
        assert_eq!(volume.tags().len(), 2);

        let boots = cloud.driver.disk().boots.clone();
        let boot = boots.iter().find(|spec| spec.instance_id == id).unwrap();
        assert_eq!(boot.user_data.as_deref(), Some(script.as_bytes()));
        assert!(boot.first_boot);
        assert_eq!(
            boot.hostname,
            format!("ip-{}", addresses.last().unwrap().replace('.', "-"))
        );
        assert_eq!(
            boot.environment,
            [
                ("AWS_ENDPOINT_URL", "http://127.0.0.1:4566".to_owned()),
                (
                    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
                    format!("http://{id}.metadata")
                ),
                ("AWS_REGION", "us-local-1".to_owned()),
            ]
            .map(|(name, value)| (name.to_owned(), value))
        );

        let facts = instance_facts(&cloud.store, id).unwrap().unwrap();
        assert_eq!(facts.user_data.as_deref(), Some(script.as_bytes()));
        assert_eq!(facts.profile.unwrap().name(), "muck-s1-worker");
        assert_eq!(facts.hostname, boot.hostname);
        assert_eq!(facts.mac.len(), "02:00:00:00:00:00".len());
        assert!(facts.metadata.tokens_required);
        assert_eq!(facts.tags, None);
    }
    addresses.dedup();
    assert_eq!(addresses.len(), 2, "each has its own address");
    cloud.assert_sound();
}

/// The SDK writes what it is given; a parameter that this cloud doesn't act on must not pass in silence.
#[tokio::test]
async fn unknown_parameters_and_actions_are_named() {
    let cloud = Cloud::new();
    let error = cloud.run().key_name("mine").send().await.unwrap_err();
    assert_eq!(code(&error).0, "UnknownParameter");
    assert!(code(&error).1.contains("KeyName"), "{error:?}");
    let error = cloud
        .run()
        .placement(Placement::builder().host_id("h-1").build())
        .send()
        .await
        .unwrap_err();
    assert!(code(&error).1.contains("Placement.HostId"), "{error:?}");
    let error = cloud
        .client
        .create_vpc()
        .cidr_block("10.0.0.0/16")
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error).0, "InvalidAction");
    assert!(code(&error).1.contains("CreateVpc"), "{error:?}");
    assert!(cloud.driver.disk().boots.is_empty());
}

#[tokio::test]
async fn refuses_what_ec2_refuses() {
    let cloud = Cloud::new();
    let profile = |name: &str| {
        IamInstanceProfileSpecification::builder()
            .name(name)
            .build()
    };
    let device = |name: &str, size: i32| {
        BlockDeviceMapping::builder()
            .device_name(name)
            .ebs(EbsBlockDevice::builder().volume_size(size).build())
            .build()
    };
    let interface = |index: i32| {
        InstanceNetworkInterfaceSpecification::builder()
            .device_index(index)
            .build()
    };
    let cases = vec![
        (
            cloud.run().instance_type(InstanceType::from("z9.huge")),
            "InvalidParameterValue",
            "Invalid value 'z9.huge' for InstanceType.",
        ),
        (
            cloud.run().instance_type(InstanceType::from("c7g.large")),
            "InvalidParameterValue",
            "The architecture 'arm64' of the specified instance type does not match",
        ),
        (
            cloud.run().image_id("ami-0123456789abcdef0"),
            "InvalidAMIID.NotFound",
            "The image id '[ami-0123456789abcdef0]' does not exist",
        ),
        (
            cloud.run().image_id("debian"),
            "InvalidAMIID.Malformed",
            "Invalid id: \"debian\" (expecting \"ami-...\")",
        ),
        (
            cloud.run().user_data("%%%"),
            "InvalidUserData.Malformed",
            "Invalid BASE64 encoding of user data.",
        ),
        (
            cloud
                .run()
                .user_data(STANDARD.encode(vec![b'x'; 16 * 1024 + 1])),
            "InvalidParameterValue",
            "User data is limited to 16384 bytes",
        ),
        (
            cloud.run().iam_instance_profile(profile("absent")),
            "InvalidParameterValue",
            "Value (absent) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name",
        ),
        (
            cloud.run().min_count(2),
            "InvalidParameterValue",
            "minCount",
        ),
        (
            cloud.run().subnet_id("subnet-0123456789abcdef0"),
            "InvalidSubnetID.NotFound",
            "The subnet ID 'subnet-0123456789abcdef0' does not exist",
        ),
        (
            cloud.run().security_group_ids("sg-0123456789abcdef0"),
            "InvalidGroup.NotFound",
            "The security group 'sg-0123456789abcdef0' does not exist",
        ),
        (
            cloud
                .run()
                .placement(Placement::builder().availability_zone("mars-1a").build()),
            "InvalidParameterValue",
            "Invalid availability zone: [mars-1a]",
        ),
        (
            cloud.run().block_device_mappings(device("/dev/xvda", 7)),
            "InvalidBlockDeviceMapping",
            "expect size >= 8GB",
        ),
        (
            cloud.run().block_device_mappings(device("/dev/sdb", 9)),
            "UnsupportedOperation",
            "/dev/sdb",
        ),
        (
            cloud
                .run()
                .security_group_ids("sg-00000000000000001")
                .network_interfaces(interface(0)),
            "InvalidParameterCombination",
            "security groups",
        ),
        (
            cloud.run().network_interfaces(interface(1)),
            "InvalidParameterValue",
            "deviceIndex",
        ),
        (
            cloud.run().tag_specifications(tag(ResourceType::Image)),
            "InvalidParameterValue",
            "'image' is not a valid taggable resource type for this operation.",
        ),
        (
            cloud.run().client_token("t".repeat(65)),
            "InvalidParameterValue",
            "clientToken",
        ),
        (
            cloud.run().metadata_options(
                InstanceMetadataOptionsRequest::builder()
                    .http_put_response_hop_limit(65)
                    .build(),
            ),
            "InvalidParameterValue",
            "HttpPutResponseHopLimit",
        ),
        (
            cloud.run().dry_run(true),
            "DryRunOperation",
            "Request would have succeeded, but DryRun flag is set.",
        ),
        // A dry run tells the first reason why it would not succeed.
        (
            cloud
                .run()
                .dry_run(true)
                .iam_instance_profile(profile("absent")),
            "InvalidParameterValue",
            "Invalid IAM Instance Profile name",
        ),
    ];
    for (request, expected, words) in cases {
        let error = request.send().await.unwrap_err();
        let (code, message) = code(&error);
        assert_eq!(code, expected, "{message}");
        assert!(message.contains(words), "{message:?} has {words:?}");
    }
    let all = cloud.client.describe_instances().send().await.unwrap();
    assert!(all.reservations().is_empty(), "nothing was launched");
    let volumes = cloud.client.describe_volumes().send().await.unwrap();
    assert!(volumes.volumes().is_empty());
}

#[tokio::test]
async fn the_same_token_gives_the_same_instances_for_a_day() {
    let cloud = Cloud::new();
    let launch = async |size: i32| {
        cloud
            .run()
            .max_count(size)
            .client_token("token-7")
            .send()
            .await
    };
    let ids = |answer: &aws_sdk_ec2::operation::run_instances::RunInstancesOutput| -> Vec<String> {
        let mut ids: Vec<_> = answer
            .instances()
            .iter()
            .map(|instance| instance.instance_id().unwrap().to_owned())
            .collect();
        ids.sort();
        ids
    };
    let first = launch(2).await.unwrap();
    let second = launch(2).await.unwrap();
    assert_eq!(ids(&first), ids(&second));
    assert_eq!(first.reservation_id(), second.reservation_id());
    for id in ids(&first) {
        cloud.until(&id, "running").await;
    }
    assert_eq!(cloud.driver.disk().boots.len(), 2);

    let error = launch(1).await.unwrap_err();
    assert_eq!(code(&error).0, "IdempotentParameterMismatch");

    cloud
        .client
        .terminate_instances()
        .set_instance_ids(Some(ids(&first)))
        .send()
        .await
        .unwrap();
    for id in ids(&first) {
        cloud.until(&id, "terminated").await;
    }
    // Even when they are no longer listed, the token brings back the dead.
    cloud.wait(23 * 3600);
    let third = launch(2).await.unwrap();
    assert_eq!(ids(&first), ids(&third));
    assert_eq!(state_of(&third.instances()[0]), "terminated");

    cloud.wait(3600);
    let fourth = launch(2).await.unwrap();
    assert_ne!(ids(&first), ids(&fourth));
    cloud.assert_sound();
}

#[tokio::test]
async fn concurrent_calls_with_one_token_launch_once() {
    let cloud = Cloud::new();
    let calls = (0..20).map(|_| cloud.run().client_token("same").send());
    let mut ids: Vec<_> = futures::future::join_all(calls)
        .await
        .into_iter()
        .map(|answer| {
            answer.unwrap().instances()[0]
                .instance_id()
                .unwrap()
                .to_owned()
        })
        .collect();
    ids.dedup();
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn a_dry_run_remembers_no_token() {
    let cloud = Cloud::new();
    let dry = cloud.run().client_token("t").dry_run(true).send().await;
    assert_eq!(code(&dry.unwrap_err()).0, "DryRunOperation");
    cloud.run().client_token("t").send().await.unwrap();
    let dry = cloud.run().client_token("t").dry_run(true).send().await;
    assert_eq!(code(&dry.unwrap_err()).0, "DryRunOperation");
}

#[tokio::test]
async fn spot_instances_are_told_and_taken() {
    let cloud = Cloud::new();
    let market = |behavior: InstanceInterruptionBehavior| {
        InstanceMarketOptionsRequest::builder()
            .market_type(MarketType::Spot)
            .spot_options(
                SpotMarketOptions::builder()
                    .max_price("0.05")
                    .instance_interruption_behavior(behavior)
                    .build(),
            )
            .build()
    };
    let error = cloud
        .run()
        .instance_market_options(market(InstanceInterruptionBehavior::Hibernate))
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error).0, "UnsupportedOperation");

    let answer = cloud
        .run()
        .instance_market_options(market(InstanceInterruptionBehavior::Terminate))
        .send()
        .await
        .unwrap();
    let id = answer.instances()[0].instance_id().unwrap();
    let instance = cloud.until(id, "running").await;
    assert_eq!(instance.instance_lifecycle().unwrap().as_str(), "spot");
    assert!(
        instance
            .spot_instance_request_id()
            .unwrap()
            .starts_with("sir-")
    );
    let error = cloud
        .client
        .stop_instances()
        .instance_ids(id)
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&error).0, "UnsupportedOperation");

    let now = localcloud::clock::Clock::now(&*cloud.clock);
    cloud
        .ec2
        .interrupt_spot(id, now + jiff::SignedDuration::from_millis(50))
        .unwrap();
    let facts = instance_facts(&cloud.store, id).unwrap().unwrap();
    assert!(facts.spot);
    assert_eq!(facts.spot_notice.unwrap().action, "terminate");
    let ended = cloud.until(id, "terminated").await;
    assert_eq!(
        ended.state_reason().unwrap().code(),
        Some("Server.SpotInstanceTermination")
    );
}

#[tokio::test]
async fn burstable_instances_have_the_credits_that_were_asked_for() {
    let cloud = Cloud::new();
    let run = |kind: &str, credits: Option<&str>| {
        let mut pairs = vec![
            ("ImageId", "ami-00000000000000d13"),
            ("InstanceType", kind),
            ("MinCount", "1"),
            ("MaxCount", "1"),
        ];
        pairs.extend(credits.map(|credits| ("CreditSpecification.CpuCredits", credits)));
        Params::from_pairs(pairs.clone())
    };
    for (kind, credits, expected) in [
        ("t3.micro", None, Ok("unlimited")),
        ("t3.micro", Some("standard"), Ok("standard")),
        ("t3a.large", Some("unlimited"), Ok("unlimited")),
        ("t3.micro", Some("much"), Err("InvalidParameterValue")),
        (
            "c7i.large",
            Some("standard"),
            Err("InstanceCreditSpecification.NotSupported"),
        ),
    ] {
        let caller = Caller::root();
        let launched = cloud
            .ec2
            .handle(&caller, "RunInstances", &mut run(kind, credits))
            .await;
        match expected {
            Ok(credits) => {
                let launched = launched.unwrap().into_string();
                let (_, rest) = launched.split_once("<instanceId>").unwrap();
                let (id, _) = rest.split_once('<').unwrap();
                let mut ask = Params::from_pairs(vec![("InstanceId.1", id)]);
                let action = "DescribeInstanceCreditSpecifications";
                let told = cloud.ec2.handle(&caller, action, &mut ask).await;
                let told = told.unwrap().into_string();
                let line = format!("<cpuCredits>{credits}</cpuCredits>");
                assert!(told.contains(&line), "{kind}: {told}");
            }
            Err(code) => assert_eq!(launched.unwrap_err().code, code, "{kind}"),
        }
    }
}

/// What no SDK would send, sent raw.
#[tokio::test]
async fn refuses_malformed_calls() {
    let cloud = Cloud::new();
    for (action, pairs, expected) in [
        ("RunInstances", vec![], "MissingParameter"),
        (
            "RunInstances",
            vec![
                ("ImageId", "ami-00000000000000d13"),
                ("InstanceType", "t3.large"),
                ("MinCount", "one"),
                ("MaxCount", "1"),
            ],
            "InvalidParameterValue",
        ),
        (
            "DescribeInstances",
            vec![("DryRun", "maybe")],
            "InvalidParameterValue",
        ),
        (
            "DescribeInstances",
            vec![("InstanceId.1", "i-xyz")],
            "InvalidInstanceID.Malformed",
        ),
        ("TerminateInstances", vec![], "MissingParameter"),
        (
            "ModifyInstanceAttribute",
            vec![("InstanceId", "i-12345678")],
            "InvalidParameterCombination",
        ),
        (
            "DescribeInstances",
            vec![("Filter.1.Name", "colour"), ("Filter.1.Value.1", "red")],
            "InvalidParameterValue",
        ),
        (
            "RunInstances",
            vec![
                ("IamInstanceProfile.Name", "a"),
                ("IamInstanceProfile.Arn", "b"),
                ("ImageId", "ami-00000000000000d13"),
                ("InstanceType", "t3.large"),
                ("MinCount", "1"),
                ("MaxCount", "1"),
            ],
            "InvalidParameterCombination",
        ),
    ] {
        let mut params = Params::from_pairs(pairs.clone());
        let error = cloud
            .ec2
            .handle(&Caller::root(), action, &mut params)
            .await
            .unwrap_err();
        assert_eq!(error.code, expected, "{action} {pairs:?}: {error}");
    }
}

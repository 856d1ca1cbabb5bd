use std::time::Duration;

use aws_config::imds::Client;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::ProvideCredentials;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::clock::ManualClock;
use crate::state::ec2::instance::{MetadataOptions, ProfileAssociation};
use crate::state::ec2::{Instance, InstanceState, ShutdownBehavior, SpotNotice, put};
use crate::state::iam::{add_role_to_profile, create_profile, create_role, find_profile};

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
    "Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

/// A store with one instance, and its service.
struct Cloud {
    store: Store,
    clock: Arc<ManualClock>,
    imds: Imds,
    endpoint: String,
}

impl Cloud {
    async fn new(change: impl FnOnce(&mut Instance)) -> Self {
        let store = Store::in_memory().unwrap();
        // The SDK's clients compare what they get with the real time.
        let now = Timestamp::now();
        let clock = Arc::new(ManualClock::new(now));
        let mut instance = Instance {
            id: "i-1".into(),
            reservation_id: "r-1".into(),
            launch_index: 0,
            image_id: "ami-1".into(),
            instance_type: "c7i.large".into(),
            architecture: "x86_64".into(),
            state: InstanceState::Running,
            state_reason: None,
            transition_reason: String::new(),
            launch_time: "2026-01-02T03:04:05Z".parse().unwrap(),
            terminated_at: None,
            client_token: None,
            user_data: None,
            profile: None,
            shutdown_behavior: ShutdownBehavior::Terminate,
            zone: "us-local-1a".into(),
            subnet_id: "subnet-1".into(),
            interface_id: "eni-0123456789abcdef0".into(),
            private_ip: "127.77.3.4".parse().unwrap(),
            security_groups: vec!["default".into()],
            metadata: MetadataOptions {
                tokens_required: true,
                hop_limit: 1,
                endpoint_enabled: true,
                tags_enabled: false,
            },
            monitoring: false,
            ebs_optimized: false,
            disable_api_termination: false,
            cpu_credits: None,
            spot_request: None,
            spot_notice: None,
            root_device: "/dev/xvda".into(),
            volume_id: "vol-1".into(),
            boots: 1,
        };
        change(&mut instance);
        store.transaction(|tx| put(tx, &instance)).unwrap();
        let imds = Imds::new(store.clone(), Arc::clone(&clock) as Arc<dyn Clock>);
        let endpoint = imds.open("i-1").await.unwrap();
        Self {
            store,
            clock,
            imds,
            endpoint,
        }
    }

    fn client(&self) -> Client {
        let http = aws_smithy_http_client::Builder::new().build_http();
        Client::builder()
            .configure(&ProviderConfig::default().with_http_client(http))
            .endpoint(&self.endpoint)
            .unwrap()
            .max_attempts(1)
            .build()
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (StatusCode, String) {
        let address = self.endpoint.strip_prefix("http://").unwrap();
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", address);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// With a token of its own.
    async fn get(&self, path: &str) -> (StatusCode, String) {
        let (status, token) = self
            .call(Method::PUT, "/latest/api/token", &[(TTL, "60")])
            .await;
        assert_eq!(status, StatusCode::OK);
        self.call(Method::GET, path, &[("x-aws-ec2-metadata-token", &token)])
            .await
    }

    fn profile(&self) -> ProfileAssociation {
        let now = self.clock.now();
        let profile = self
            .store
            .transaction(|db| {
                create_role(db, "worker", "/muck/demo/", TRUST, None, 3600, now)?;
                create_profile(db, "worker-profile", "/muck/demo/", now)?;
                add_role_to_profile(db, "worker-profile", "worker")?;
                find_profile(db, "worker-profile")
            })
            .unwrap();
        ProfileAssociation {
            association_id: "iip-assoc-1".into(),
            arn: profile.arn(),
            profile_id: profile.id,
            since: now,
        }
    }

    fn change(&self, change: impl FnOnce(&mut Instance)) {
        self.store
            .transaction(|tx| {
                let mut instance: Instance = crate::state::ec2::get(tx, "i-1")?.unwrap();
                change(&mut instance);
                put(tx, &instance)
            })
            .unwrap();
    }
}

const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";

#[tokio::test]
async fn the_sdks_client_reads_the_tree() {
    let cloud = Cloud::new(|instance| {
        instance.user_data = Some("U2VydmljZTogQ29udmVydFZpZGVvCg==".into());
    })
    .await;
    assert!(
        cloud.endpoint.starts_with("http://127.77.3.4:"),
        "{}",
        cloud.endpoint
    );
    let client = cloud.client();
    for (path, expected) in [
        ("instance-id", "i-1"),
        ("instance-type", "c7i.large"),
        ("ami-id", "ami-1"),
        ("hostname", "ip-127-77-3-4"),
        ("local-ipv4", "127.77.3.4"),
        ("placement/availability-zone", "us-local-1a"),
        ("placement/region", "us-local-1"),
        ("services/domain", "amazonaws.com"),
        ("instance-life-cycle", "on-demand"),
        ("placement", "availability-zone\nregion"),
        ("placement/", "availability-zone\nregion"),
    ] {
        let value = client
            .get(format!("/latest/meta-data/{path}"))
            .await
            .unwrap();
        assert_eq!(value.as_ref(), expected, "{path}");
    }
    let user_data = client.get("/latest/user-data").await.unwrap();
    assert_eq!(user_data.as_ref(), "Service: ConvertVideo\n");
    let root = client.get("/latest").await.unwrap();
    assert_eq!(root.as_ref(), "dynamic/\nmeta-data/\nuser-data");
    // cloud-init asks for dated versions.
    for version in ["2009-04-04", "2021-03-23"] {
        let id = client.get(format!("/{version}/meta-data/instance-id"));
        assert_eq!(id.await.unwrap().as_ref(), "i-1", "{version}");
    }
    assert!(client.get("/2009-04-05/meta-data/").await.is_err());
    let document = client
        .get("/latest/dynamic/instance-identity/document")
        .await
        .unwrap();
    let document: serde_json::Value = serde_json::from_str(document.as_ref()).unwrap();
    assert_eq!(document["accountId"], "000000000000");
    assert_eq!(document["region"], "us-local-1");
    assert_eq!(document["pendingTime"], "2026-01-02T03:04:05Z");
    for absent in [
        "meta-data/spot/instance-action",
        "meta-data/iam/info",
        "meta-data/tags",
        "x",
    ] {
        let error = client.get(format!("/latest/{absent}")).await.unwrap_err();
        assert!(format!("{error:?}").contains("404"), "{absent}: {error:?}");
    }
}

#[tokio::test]
async fn role_credentials_come_by_the_sdks_provider_and_are_renewed() {
    let cloud = Cloud::new(|_| {}).await;
    let (status, _) = cloud
        .get("/latest/meta-data/iam/security-credentials/")
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND, "no profile yet");
    let profile = cloud.profile();
    // Associated while it runs.
    cloud.change(|instance| instance.profile = Some(profile.clone()));
    let (_, roles) = cloud
        .get("/latest/meta-data/iam/security-credentials/")
        .await;
    assert_eq!(roles, "worker");
    let (_, info) = cloud.get("/latest/meta-data/iam/info").await;
    assert!(info.contains(&profile.arn), "{info}");

    let provider = ImdsCredentialsProvider::builder()
        .imds_client(cloud.client())
        .build();
    let first = provider.provide_credentials().await.unwrap();
    assert!(first.access_key_id().starts_with("ASIA"));
    assert!(first.session_token().is_some());
    let known = crate::state::iam::find_key(&cloud.store, first.access_key_id())
        .unwrap()
        .unwrap();
    assert_eq!(known.secret_access_key, first.secret_access_key());

    let path = "/latest/meta-data/iam/security-credentials/worker";
    let (_, again) = cloud.get(path).await;
    assert!(
        again.contains(first.access_key_id()),
        "the same while they last"
    );
    let left = Duration::from_mins(10);
    let expiry = Timestamp::try_from(first.expiry().unwrap()).unwrap();
    cloud.clock.advance(
        expiry.duration_since(cloud.clock.now()) - SignedDuration::try_from(left).unwrap(),
    );
    let (_, renewed) = cloud.get(path).await;
    assert!(!renewed.contains(first.access_key_id()), "{renewed}");
    let (status, _) = cloud
        .get("/latest/meta-data/iam/security-credentials/other")
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_spot_notice_appears_when_it_is_given() {
    let cloud = Cloud::new(|instance| instance.spot_request = Some("sir-1".into())).await;
    assert_eq!(
        cloud.get("/latest/meta-data/instance-life-cycle").await.1,
        "spot"
    );
    let path = "/latest/meta-data/spot/instance-action";
    assert_eq!(cloud.get(path).await.0, StatusCode::NOT_FOUND);
    cloud.change(|instance| {
        instance.spot_notice = Some(SpotNotice {
            action: "terminate".into(),
            at: "2026-01-02T03:06:05Z".parse().unwrap(),
        });
    });
    assert_eq!(
        cloud.get(path).await.1,
        r#"{"action":"terminate","time":"2026-01-02T03:06:05Z"}"#
    );
}

#[tokio::test]
async fn only_version_two_is_spoken() {
    let cloud = Cloud::new(|_| {}).await;
    let id = "/latest/meta-data/instance-id";
    assert_eq!(
        cloud.call(Method::GET, id, &[]).await.0,
        StatusCode::UNAUTHORIZED
    );
    let wrong = [("x-aws-ec2-metadata-token", "wrong")];
    assert_eq!(
        cloud.call(Method::GET, id, &wrong).await.0,
        StatusCode::UNAUTHORIZED
    );

    let token = "/latest/api/token";
    for bad in ["0", "21601", "-1", "x", ""] {
        let answer = cloud.call(Method::PUT, token, &[(TTL, bad)]).await;
        assert_eq!(answer.0, StatusCode::BAD_REQUEST, "{bad:?}");
    }
    assert_eq!(
        cloud.call(Method::PUT, token, &[]).await.0,
        StatusCode::BAD_REQUEST
    );
    let forwarded = [(TTL, "60"), ("x-forwarded-for", "192.0.2.1")];
    assert_eq!(
        cloud.call(Method::PUT, token, &forwarded).await.0,
        StatusCode::FORBIDDEN
    );
    let (status, value) = cloud.call(Method::PUT, token, &[(TTL, "21600")]).await;
    assert_eq!(status, StatusCode::OK);
    let header = [("x-aws-ec2-metadata-token", value.as_str())];
    assert_eq!(
        cloud.call(Method::GET, id, &header).await,
        (StatusCode::OK, "i-1".to_owned())
    );
    assert_eq!(
        cloud.call(Method::POST, id, &header).await.0,
        StatusCode::METHOD_NOT_ALLOWED
    );
    cloud.clock.advance(SignedDuration::from_hours(6));
    assert_eq!(
        cloud.call(Method::GET, id, &header).await.0,
        StatusCode::UNAUTHORIZED
    );

    cloud.change(|instance| instance.metadata.endpoint_enabled = false);
    assert_eq!(
        cloud.call(Method::PUT, token, &[(TTL, "60")]).await.0,
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn it_ends_with_the_instance() {
    let cloud = Cloud::new(|_| {}).await;
    assert_eq!(cloud.imds.open("i-1").await.unwrap(), cloud.endpoint);
    cloud.imds.close("i-1").await;
    cloud.imds.close("i-1").await;
    let address = cloud.endpoint.strip_prefix("http://").unwrap();
    // Aborting is asynchronous.
    for _ in 0..200 {
        if tokio::net::TcpStream::connect(address).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("still served");
}

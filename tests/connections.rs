//! A company's network: a proxy between muck and the cloud, and certificates of its own authority.

use std::net::SocketAddr;

use crate::harness::World;
use crate::harness::machine::{Access, Machine};
use crate::harness::proxy::{Proxy, TlsServer, ca_file};

/// The local cloud behind TLS, as `https://cloud.test`, which only the proxy finds.
struct Company {
    machine: Machine,
    proxy: Proxy,
    certificate: tempfile::NamedTempFile,
    _runtime: tokio::runtime::Runtime,
    _world: World,
}

impl Company {
    fn new() -> Self {
        let world = World::without_booting();
        world.muck(&["up", "--local"]).exits(0);
        let mut access = Access::of(&world);
        let cloud: SocketAddr = access
            .url
            .trim_start_matches("http://")
            .parse()
            .expect("address");
        let runtime = tokio::runtime::Runtime::new().expect("runtime");
        let proxy = runtime.block_on(async {
            let tls = TlsServer::start(Some(cloud)).await;
            Proxy::start(tls.address).await
        });
        "https://cloud.test".clone_into(&mut access.url);
        Self {
            machine: Machine::new(&access, "company"),
            proxy,
            certificate: ca_file(),
            _runtime: runtime,
            _world: world,
        }
    }

    /// `muck up` with these variables, its exit code and stderr.
    fn up(&self, variables: &[(&str, &str)]) -> (i32, String) {
        let mut command = self.machine.command(&["up", "--no-sweep"]);
        let output = command
            .envs(variables.iter().copied())
            .output()
            .expect("muck starts");
        (
            output.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }
}

#[test]
fn all_of_it_works_behind_a_proxy_and_a_certificate_of_the_company() {
    let company = Company::new();
    let proxy = format!("http://ann:secret@{}", company.proxy.address);
    let ca = company.certificate.path().to_str().expect("UTF-8");

    let (code, stderr) = company.up(&[("HTTPS_PROXY", &proxy), ("AWS_CA_BUNDLE", ca)]);
    assert_eq!(code, 0, "{stderr}");
    let tunnels = company.proxy.requests();
    assert!(!tunnels.is_empty());
    assert!(
        tunnels
            .iter()
            .all(|line| line == "CONNECT cloud.test:443 HTTP/1.1"),
        "{tunnels:?}"
    );
    // `ann:secret` in base64.
    assert!(
        company
            .proxy
            .saw_header("proxy-authorization: Basic YW5uOnNlY3JldA==")
    );

    let (code, stderr) = company.up(&[("HTTPS_PROXY", &proxy), ("SSL_CERT_FILE", ca)]);
    assert_eq!(code, 0, "{stderr}");

    let before = company.proxy.requests().len();
    let (code, stderr) = company.up(&[
        ("HTTPS_PROXY", &proxy),
        ("AWS_CA_BUNDLE", ca),
        ("NO_PROXY", ".test"),
    ]);
    assert_eq!(code, 1);
    assert!(
        stderr.contains("https://cloud.test cannot be reached"),
        "{stderr}"
    );
    assert_eq!(company.proxy.requests().len(), before);
}

#[test]
fn a_proxy_that_does_not_answer_and_a_bundle_that_is_none_are_named() {
    let company = Company::new();
    let (code, stderr) = company.up(&[("HTTPS_PROXY", "http://127.0.0.1:1")]);
    assert_eq!(code, 1);
    assert!(stderr.contains("HTTPS_PROXY names a proxy"), "{stderr}");
    let (code, stderr) = company.up(&[("AWS_CA_BUNDLE", "/nowhere.pem")]);
    assert_eq!(code, 2);
    assert!(
        stderr.contains("AWS_CA_BUNDLE names /nowhere.pem"),
        "{stderr}"
    );
}

#[test]
fn the_local_cloud_needs_no_proxy() {
    let world = World::without_booting();
    let mut command = world.command(&["plan", "--local"]);
    let output = command
        .env("HTTP_PROXY", "http://127.0.0.1:1")
        .env("ALL_PROXY", "socks5://nowhere")
        .output()
        .expect("muck starts");
    // 3: there is no stack yet.
    assert_eq!(
        output.status.code(),
        Some(3),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

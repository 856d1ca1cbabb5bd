//! The HTTP client of all SDK clients. A plain-HTTP endpoint (the local cloud) needs no certificates, and
//! reading all that a machine trusts takes longer than a call to it: TLS is set up by the first request that is not plain
//! HTTP to an address.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

/// A client for both schemes.
pub fn client() -> SharedHttpClient {
    SharedHttpClient::new(ByScheme {
        plain: aws_smithy_http_client::Builder::new().build_http(),
        tls: muck_worker::aws::http_client(),
    })
}

#[derive(Debug)]
struct ByScheme {
    plain: SharedHttpClient,
    tls: SharedHttpClient,
}

impl HttpClient for ByScheme {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector {
            plain: self.plain.http_connector(settings, components),
            tls: self.tls.clone(),
            settings: settings.clone(),
            components: components.clone(),
            connected: Arc::default(),
        })
    }
}

#[derive(Debug)]
struct Connector {
    plain: SharedHttpConnector,
    tls: SharedHttpClient,
    settings: HttpConnectorSettings,
    components: RuntimeComponents,
    /// Made by the first request that needs it.
    connected: Arc<OnceLock<SharedHttpConnector>>,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if is_plain(request.uri()) {
            return self.plain.call(request);
        }
        self.connected
            .get_or_init(|| self.tls.http_connector(&self.settings, &self.components))
            .call(request)
    }
}

/// Whether a request goes by plain HTTP to an address. A host name goes by the other connector, which looks it up
/// without the C library (see [`muck_worker::dns`]).
fn is_plain(uri: &str) -> bool {
    let Some(rest) = uri.strip_prefix("http://") else {
        return false;
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(address) => address.split(']').next(),
        None => authority.split(':').next(),
    };
    host.is_some_and(|host| host.parse::<IpAddr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_are_plain() {
        for plain in [
            "http://127.0.0.1:4566/bucket/key?x=http://y",
            "http://169.254.169.254/latest",
            "http://[::1]:80",
        ] {
            assert!(is_plain(plain), "{plain}");
        }
        for other in [
            "https://127.0.0.1/",
            "http://localhost:5000/",
            "http://proxy.example/127.0.0.1",
        ] {
            assert!(!is_plain(other), "{other}");
        }
    }
}

//! The HTTP client of all SDK clients: which requests go through a proxy, which certificates are trusted, and how hosts are
//! looked up. The SDK's own choices apply only to its default client, which needs a C++ tool chain.
//!
//! Addresses of the machine itself and of its metadata services never go through a proxy. Plain HTTP to an address (the local
//! cloud) needs no certificates, and reading all that a machine trusts takes longer than a call to it: each connector is
//! built by the first request that needs it.

use std::net::IpAddr;

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

use crate::dns::SystemResolver;

mod settings;
#[cfg(test)]
mod tests;

pub use settings::{HttpSettings, HttpSettingsError};

/// A client for both schemes, by the settings of the environment.
///
/// # Errors
/// [`HttpSettingsError`]: a proxy or a certificate bundle that cannot be used.
pub fn from_environment() -> Result<SharedHttpClient, HttpSettingsError> {
    HttpSettings::from_environment().map(|settings| client(&settings))
}

/// A client for both schemes.
pub fn client(settings: &HttpSettings) -> SharedHttpClient {
    let resolver = SystemResolver::default();
    let tls = |proxy: Option<ProxyConfig>| {
        let (proxy, trusted, resolver) = (
            proxy.unwrap_or_else(ProxyConfig::disabled),
            settings.ca_bundle.clone(),
            resolver.clone(),
        );
        Builder::new().build_with_connector_fn(move |settings, components| {
            let mut builder = Connector::builder()
                .tls_provider(Provider::Rustls(CryptoMode::Ring))
                .tls_context(tls_context(trusted.as_deref()))
                .proxy_config(proxy.clone());
            builder.set_connector_settings(settings.cloned());
            builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
            builder.build_with_resolver(resolver.clone())
        })
    };
    let direct = tls(None);
    let by = |proxy: Option<ProxyConfig>| match proxy {
        None => direct.clone(),
        Some(proxy) => tls(Some(proxy)),
    };
    SharedHttpClient::new(ByRoute {
        plain: Builder::new().build_http(),
        http: by(settings.http_proxy()),
        https: by(settings.https_proxy()),
        has_http_proxy: settings.http_proxy().is_some(),
        direct: direct.clone(),
    })
}

/// A bundle replaces what the machine trusts, as it does for the AWS CLI.
fn tls_context(bundle: Option<&[u8]>) -> TlsContext {
    let trusted = match bundle {
        None => TrustStore::default(),
        Some(bundle) => TrustStore::empty().with_pem_certificate(bundle),
    };
    TlsContext::builder()
        .with_trust_store(trusted)
        .build()
        .expect("the builder has no failing path")
}

/// How a request travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    /// Plain HTTP to an address: neither TLS nor a name to look up.
    Plain,
    /// To this machine or its metadata services, never by a proxy.
    Direct,
    /// `http:`, by the proxy for that, if one is set.
    Http,
    /// `https:`, likewise.
    Https,
}

#[derive(Debug, Clone)]
struct ByRoute {
    plain: SharedHttpClient,
    direct: SharedHttpClient,
    http: SharedHttpClient,
    https: SharedHttpClient,
    has_http_proxy: bool,
}

impl ByRoute {
    fn of(&self, uri: &str) -> &SharedHttpClient {
        match route(uri, self.has_http_proxy) {
            Route::Plain => &self.plain,
            Route::Direct => &self.direct,
            Route::Http => &self.http,
            Route::Https => &self.https,
        }
    }
}

impl HttpClient for ByRoute {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(RouteConnector {
            clients: self.clone(),
            settings: settings.clone(),
            components: components.clone(),
        })
    }
}

#[derive(Debug)]
struct RouteConnector {
    clients: ByRoute,
    settings: HttpConnectorSettings,
    components: RuntimeComponents,
}

impl HttpConnector for RouteConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        // The clients cache their connectors.
        self.clients
            .of(request.uri())
            .http_connector(&self.settings, &self.components)
            .call(request)
    }
}

fn route(uri: &str, has_http_proxy: bool) -> Route {
    let (is_plain, rest) = match uri.strip_prefix("http://") {
        Some(rest) => (true, rest),
        None => (false, uri.strip_prefix("https://").unwrap_or(uri)),
    };
    let host = host(rest.split(['/', '?']).next().unwrap_or_default());
    let address = host.parse::<IpAddr>().ok();
    let is_local = match address {
        Some(address) => is_local(address),
        None => host == "localhost" || host.ends_with(".localhost"),
    };
    match (is_plain, address.is_some()) {
        (true, true) if is_local || !has_http_proxy => Route::Plain,
        _ if is_local => Route::Direct,
        (true, _) => Route::Http,
        (false, _) => Route::Https,
    }
}

/// The host of an authority, without brackets.
fn host(authority: &str) -> &str {
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(address) => address.split(']').next(),
        None => authority.split(':').next(),
    };
    host.unwrap_or_default()
}

/// Loopback, and where EC2, ECS and EKS serve metadata and credentials: 169.254.169.254, 169.254.170.2,
/// 169.254.170.23, and fd00:ec2::/32.
fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_link_local(),
        IpAddr::V6(address) => {
            address.is_loopback()
                || address.is_unicast_link_local()
                || address.segments()[..2] == [0xfd00, 0x0ec2]
        }
    }
}

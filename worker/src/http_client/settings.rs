//! Proxies and trusted certificates, from the variables that the AWS CLI reads.

use std::ffi::OsString;
use std::path::Path;

use aws_smithy_http_client::proxy::ProxyConfig;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use thiserror::Error;

/// Each variable in the order in which its spellings count, as in the SDK's own client.
const HTTPS_PROXY: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
const HTTP_PROXY: [&str; 2] = ["HTTP_PROXY", "http_proxy"];
const ALL_PROXY: [&str; 2] = ["ALL_PROXY", "all_proxy"];
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];
/// A file of PEM certificates; replaces what the machine trusts. The SDK does not read it.
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";

/// A variable whose value cannot be used.
#[derive(Debug, Error)]
pub enum HttpSettingsError {
    /// The value may hold a password and is not shown.
    #[error("{variable} is no proxy that can be used: {why}")]
    Proxy { variable: &'static str, why: String },
    #[error("{CA_BUNDLE} names {file}, which cannot be used: {why}")]
    CaBundle { file: String, why: String },
}

/// What the environment says about connections.
#[derive(Clone, Default)]
pub struct HttpSettings {
    https: Option<Proxy>,
    http: Option<Proxy>,
    no_proxy: String,
    /// PEM, checked: every certificate in it can be parsed.
    pub(super) ca_bundle: Option<Vec<u8>>,
}

#[derive(Clone)]
struct Proxy {
    variable: &'static str,
    /// With scheme; may hold a password.
    url: String,
}

impl HttpSettings {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// [`HttpSettingsError`].
    pub fn from_environment() -> Result<Self, HttpSettingsError> {
        Self::read(|name| std::env::var_os(name))
    }

    /// Like [`Self::from_environment`], but takes the environment.
    pub(super) fn read(
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, HttpSettingsError> {
        let first = |names: &[&'static str]| {
            names.iter().find_map(|name| {
                let value = variable(name).filter(|value| !value.is_empty())?;
                Some((*name, value))
            })
        };
        let proxy = |names: [&'static str; 2]| {
            first(&names)
                .or_else(|| first(&ALL_PROXY))
                .map(|(name, value)| Proxy::parse(name, value))
                .transpose()
        };
        Ok(Self {
            https: proxy(HTTPS_PROXY)?,
            http: proxy(HTTP_PROXY)?,
            no_proxy: first(&NO_PROXY)
                .map(|(_, value)| no_proxy_rules(&value.to_string_lossy()))
                .unwrap_or_default(),
            ca_bundle: first(&[CA_BUNDLE])
                .map(|(_, file)| read_bundle(Path::new(&file)))
                .transpose()?,
        })
    }

    pub(super) fn https_proxy(&self) -> Option<ProxyConfig> {
        let proxy = self.https.as_ref()?;
        let config = ProxyConfig::https(proxy.url.as_str()).ok()?;
        Some(config.no_proxy(&self.no_proxy))
    }

    pub(super) fn http_proxy(&self) -> Option<ProxyConfig> {
        let proxy = self.http.as_ref()?;
        let config = ProxyConfig::http(proxy.url.as_str()).ok()?;
        Some(config.no_proxy(&self.no_proxy))
    }

    /// Name of the variable that sets the proxy for HTTPS, if one does.
    pub fn https_proxy_variable(&self) -> Option<&'static str> {
        self.https.as_ref().map(|proxy| proxy.variable)
    }
}

impl Proxy {
    /// A value without a scheme means `http://`, as for curl.
    fn parse(variable: &'static str, value: OsString) -> Result<Self, HttpSettingsError> {
        let unusable = |why: String| HttpSettingsError::Proxy { variable, why };
        let value = value
            .into_string()
            .map_err(|_| unusable("it is not UTF-8".to_owned()))?;
        let url = if value.contains("://") {
            value
        } else {
            format!("http://{value}")
        };
        ProxyConfig::all(url.as_str()).map_err(|error| unusable(error.to_string()))?;
        Ok(Self { variable, url })
    }
}

impl std::fmt::Debug for HttpSettings {
    /// Without the proxies' passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpSettings")
            .field("https_proxy", &self.https.as_ref().map(|p| p.variable))
            .field("http_proxy", &self.http.as_ref().map(|p| p.variable))
            .field("no_proxy", &self.no_proxy)
            .field("ca_bundle", &self.ca_bundle.is_some())
            .finish()
    }
}

/// The client's matcher takes `.example.com` and not the `*.example.com` of other programs.
fn no_proxy_rules(value: &str) -> String {
    value
        .split(',')
        .map(str::trim)
        .map(|rule| match rule.strip_prefix('*') {
            Some(domain) if domain.starts_with('.') => domain,
            _ => rule,
        })
        .collect::<Vec<_>>()
        .join(",")
}

/// Every certificate is parsed here: the client panics on one that cannot be.
fn read_bundle(file: &Path) -> Result<Vec<u8>, HttpSettingsError> {
    let unusable = |why: String| HttpSettingsError::CaBundle {
        file: file.display().to_string(),
        why,
    };
    let pem = std::fs::read(file).map_err(|error| unusable(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("it holds no PEM certificate".to_owned()));
    }
    Ok(pem)
}

//! Looks up host names without the C library.
//!
//! Our programs are linked statically, so that they run whatever C library a machine has. A static program that calls
//! `getaddrinfo` loads the machine's name service modules, which need just the C library that it was linked with
//! (glibc's manual, "Configuration and compilation" of name services). So names are looked up in `/etc/hosts` and by the
//! servers of `/etc/resolv.conf`.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use hickory_resolver::TokioResolver;
use hickory_resolver::net::NetError;

/// Names the servers.
const CONFIGURATION: &str = "/etc/resolv.conf";

/// The machine's resolver. Cheap to clone; clones share one cache.
#[derive(Clone, Default)]
pub struct SystemResolver {
    current: Arc<Mutex<Option<Configured>>>,
}

/// A resolver, and when the file that configured it was changed.
#[derive(Clone)]
struct Configured {
    changed: Option<SystemTime>,
    resolver: TokioResolver,
}

impl SystemResolver {
    /// The configuration is read again when it has changed: machines move to other networks.
    fn resolver(&self) -> Result<TokioResolver, NetError> {
        let changed = Path::new(CONFIGURATION)
            .metadata()
            .and_then(|file| file.modified())
            .ok();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(configured) = current.as_ref()
            && configured.changed == changed
        {
            return Ok(configured.resolver.clone());
        }
        let resolver = TokioResolver::builder_tokio()?.build()?;
        *current = Some(Configured {
            changed,
            resolver: resolver.clone(),
        });
        Ok(resolver)
    }
}

impl std::fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SystemResolver").finish_non_exhaustive()
    }
}

impl ResolveDns for SystemResolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move {
            let resolver = self.resolver().map_err(ResolveDnsError::new)?;
            let found = resolver
                .lookup_ip(name)
                .await
                .map_err(ResolveDnsError::new)?;
            Ok(found.iter().collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_come_from_the_hosts_file() {
        let resolver = SystemResolver::default();
        let found = resolver.resolve_dns("localhost").await.expect("found");
        assert!(found.iter().all(std::net::IpAddr::is_loopback), "{found:?}");
        assert!(!found.is_empty());
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_is_an_error() {
        let resolver = SystemResolver::default();
        assert!(resolver.resolve_dns("nowhere.invalid").await.is_err());
    }
}

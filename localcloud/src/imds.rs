//! The instance metadata service (IMDSv2): what an instance is told of itself, each on a listener of its own.
//!
//! On EC2 it answers at 169.254.169.254; guests here share the host's network, so each has an address in
//! 127.0.0.0/8 and learns it by `AWS_EC2_METADATA_SERVICE_ENDPOINT`. Every request asks the state anew, so an
//! instance profile that is associated later, or a spot notice, is seen.
//! Facts: AWS's *EC2 User Guide*, "Access instance metadata" and "Instance metadata categories".

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::driver::{DriverError, DriverResult, MetadataService};
use crate::state::Store;
use crate::state::ec2::instance_facts;

mod credentials;
mod pages;
mod server;
#[cfg(test)]
mod tests;
mod tokens;

/// The metadata endpoints of all running instances.
pub struct Imds {
    store: Store,
    clock: Arc<dyn Clock>,
    open: Mutex<HashMap<String, Listener>>,
}

/// One instance's endpoint; closed when dropped.
struct Listener {
    endpoint: String,
    task: JoinHandle<()>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Imds {
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            clock,
            open: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Listener>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl MetadataService for Imds {
    async fn open(&self, instance_id: &str) -> DriverResult<String> {
        if let Some(listener) = self.lock().get(instance_id) {
            return Ok(listener.endpoint.clone());
        }
        let address = instance_facts(&self.store, instance_id)
            .map_err(|error| DriverError(error.to_string()))?
            .map(|facts| facts.private_ip)
            .ok_or_else(|| DriverError(format!("there is no instance {instance_id}")))?;
        let listener = bind(address).await.map_err(|error| {
            DriverError(format!(
                "can't serve the metadata of {instance_id}: {error}"
            ))
        })?;
        let address = listener
            .local_addr()
            .map_err(|error| DriverError(format!("a listener has no address: {error}")))?;
        let router = server::router(self.store.clone(), Arc::clone(&self.clock), instance_id);
        let id = instance_id.to_owned();
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(instance = id, %error, "metadata service ended");
            }
        });
        let endpoint = format!("http://{address}");
        self.lock().insert(
            instance_id.to_owned(),
            Listener {
                endpoint: endpoint.clone(),
                task,
            },
        );
        Ok(endpoint)
    }

    async fn close(&self, instance_id: &str) {
        self.lock().remove(instance_id);
    }
}

/// At the instance's own loopback address where the system has all of 127.0.0.0/8 (Linux does), else at
/// 127.0.0.1. Never at an address that others can reach.
async fn bind(address: Ipv4Addr) -> std::io::Result<TcpListener> {
    if address.is_loopback()
        && let Ok(listener) = TcpListener::bind(SocketAddr::from((address, 0))).await
    {
        return Ok(listener);
    }
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
}

//! What one run of the program has: its options, its settings, its printer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::task::JoinHandle;

use crate::account::sweep::{self, Own};
use crate::aws::{Aws, Target};
use crate::cli::GlobalArgs;
use crate::cloud::Cloud;
use crate::commands::local;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::event::Events;
use crate::resources::region;
use crate::ui::Ui;

/// Regions that are connected to, or looked at, at a time.
pub const REGIONS_AT_ONCE: usize = 8;

#[derive(Debug)]
pub struct Session {
    pub global: GlobalArgs,
    pub ui: Ui,
    pub events: Events,
    /// What the command does with its stack.
    pub own: Own,
    /// The sweep beside the command, once a cloud is known.
    pub sweep: Mutex<Option<JoinHandle<()>>>,
    /// The sweep has found something and is removing it.
    pub removing: Arc<AtomicBool>,
}

impl Session {
    /// The settings in force (file, environment, flags).
    pub fn config(&self) -> Result<Config> {
        Config::load(&self.global.overrides())
    }

    /// Connects to the cloud that the options name.
    pub async fn cloud(&self) -> Result<Cloud> {
        let config = self.config()?;
        self.connect(config).await
    }

    /// The same with settings of the command's own.
    pub async fn connect(&self, config: Config) -> Result<Cloud> {
        if self.global.local {
            return self.local_cloud(config).await;
        }
        let target = Target {
            region: config.region.clone(),
            ..Target::default()
        };
        let cloud = Cloud::connect(&target, config, self.events.clone()).await?;
        self.begin_sweep(&cloud);
        Ok(cloud)
    }

    fn begin_sweep(&self, cloud: &Cloud) {
        let mut sweep = self.sweep();
        if self.global.no_sweep || !cloud.config.sweep || sweep.is_some() {
            return;
        }
        let (cloud, own, removing) = (cloud.clone(), self.own, Arc::clone(&self.removing));
        *sweep = Some(tokio::spawn(async move {
            Box::pin(sweep::sweep(&cloud, own, &removing)).await;
        }));
    }

    fn sweep(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.sweep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when the sweep has ended, or has taken too long. What it leaves is found again.
    pub async fn sweep_done(&self) {
        let Some(mut sweep) = self.sweep().take() else {
            return;
        };
        let waited = tokio::time::timeout(sweep::LOOKING, &mut sweep).await;
        if waited.is_ok() {
            return;
        }
        let patience = if self.removing.load(Ordering::Relaxed) {
            sweep::REMOVING
        } else {
            std::time::Duration::ZERO
        };
        if tokio::time::timeout(patience, &mut sweep).await.is_err() {
            tracing::debug!("the sweep takes too long: what is left is for the next one");
            sweep.abort();
        }
    }

    /// Ends the sweep where it is.
    pub fn sweep_ends(&self) {
        if let Some(handle) = self.sweep().take() {
            handle.abort();
        }
    }

    /// The same account in another region.
    pub async fn region(&self, cloud: &Cloud, region: &str) -> Result<Aws> {
        let mut target = if cloud.local {
            if region != cloud.aws.region {
                return Err(Error::usage(format!(
                    "the local cloud has one region, {}: there is no {region}",
                    cloud.aws.region
                )));
            }
            local::target(&self.events, &mut cloud.config.clone()).await?
        } else {
            Target::default()
        };
        target.region = Some(region.to_owned());
        Aws::connect(&target).await
    }

    /// The same place in all regions that are enabled for the account.
    ///
    /// # Errors
    /// The regions can't be listed, or one can't be reached.
    pub async fn all_regions(&self, cloud: &Cloud) -> Result<Vec<Cloud>> {
        let names = region::list_enabled(&cloud.aws).await?;
        let all = names.iter().map(async |name| {
            let aws = self.region(cloud, name).await?;
            Ok(cloud.in_region(aws))
        });
        stream::iter(all)
            .buffered(REGIONS_AT_ONCE)
            .try_collect()
            .await
    }

    /// Connects to the local cloud, which is started if it does not run.
    pub async fn local_cloud(&self, mut config: Config) -> Result<Cloud> {
        let target = local::target(&self.events, &mut config).await?;
        let cloud = Cloud::connect(&target, config, self.events.clone()).await?;
        let cloud = Cloud {
            local: true,
            ..cloud
        };
        self.begin_sweep(&cloud);
        Ok(cloud)
    }
}

//! What one run of the program has: its options, its settings, its printer.

use crate::aws::Target;
use crate::cli::GlobalArgs;
use crate::cloud::Cloud;
use crate::commands::local;
use crate::config::Config;
use crate::error::Result;
use crate::event::Events;
use crate::ui::Ui;

#[derive(Debug)]
pub struct Session {
    pub global: GlobalArgs,
    pub ui: Ui,
    pub events: Events,
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
        Cloud::connect(&target, config, self.events.clone()).await
    }

    /// Connects to the local cloud, which is started if it does not run.
    pub async fn local_cloud(&self, mut config: Config) -> Result<Cloud> {
        let target = local::target(&self.events, &mut config).await?;
        let cloud = Cloud::connect(&target, config, self.events.clone()).await?;
        Ok(Cloud {
            local: true,
            ..cloud
        })
    }
}

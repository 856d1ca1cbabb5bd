//! What one run of the program has: its options, its settings, its printer.

use crate::aws::Target;
use crate::cli::GlobalArgs;
use crate::cloud::Cloud;
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
        let mut config = self.config()?;
        let target = if self.global.local {
            crate::commands::local::target(&self.events, &mut config).await?
        } else {
            Target {
                region: config.region.clone(),
                ..Target::default()
            }
        };
        Cloud::connect(&target, config, self.events.clone()).await
    }
}

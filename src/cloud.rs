//! One stack's place: clients, names, settings and where to tell what happens. What every domain
//! function takes.

use jiff::Timestamp;

use crate::aws::{Aws, Target};
use crate::config::Config;
use crate::error::Result;
use crate::event::Events;
use crate::lifetime::{Lifetime, whole_seconds};
use crate::names::{Names, StackName};

#[derive(Debug, Clone)]
pub struct Cloud {
    pub aws: Aws,
    pub names: Names,
    pub config: Config,
    pub events: Events,
    /// It is the local cloud: commands that we advise need `--local`.
    pub local: bool,
}

impl Cloud {
    /// What to type to remove the stack.
    pub fn down_command(&self) -> String {
        self.command("down")
    }

    /// What to type to run a subcommand on this stack, e.g. `muck up --stack films --local`.
    pub fn command(&self, subcommand: &str) -> String {
        let local = if self.local { " --local" } else { "" };
        format!("muck {subcommand} --stack {}{local}", self.names.stack)
    }

    /// The same place, another stack.
    #[must_use]
    pub fn of_stack(&self, stack: &StackName) -> Self {
        let mut other = self.clone();
        other.names.stack.clone_from(stack);
        other.config.stack.clone_from(stack);
        other
    }

    /// How long the stack shall live if it is used now.
    pub fn lifetime(&self) -> Lifetime {
        Lifetime {
            expires: whole_seconds(Timestamp::now() + self.config.ttl),
            on_expiry: self.config.on_expiry,
        }
    }

    /// Connects to `target` (see [`Aws::connect`]) and derives the stack's names.
    pub async fn connect(target: &Target, config: Config, events: Events) -> Result<Self> {
        let aws = Aws::connect(target).await?;
        let names = Names {
            stack: config.stack.clone(),
            account: aws.account.clone(),
            region: aws.region.clone(),
        };
        Ok(Self {
            local: false,
            aws,
            names,
            config,
            events,
        })
    }
}

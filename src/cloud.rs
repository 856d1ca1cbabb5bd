//! One stack's place: clients, names, settings and where to tell what happens. What every domain
//! function takes.

use jiff::{SignedDuration, Timestamp};

use crate::aws::{Aws, Target};
use crate::config::Config;
use crate::error::Result;
use crate::event::Events;
use crate::lifetime::{Lifetime, whole_seconds};
use crate::names::{Names, StackName};

/// Until a command is over that creates or launches and does not wait for conversions.
pub const SHORT_COMMAND: SignedDuration = SignedDuration::from_mins(10);

#[derive(Debug, Clone)]
pub struct Cloud {
    pub aws: Aws,
    pub names: Names,
    pub config: Config,
    pub events: Events,
    /// It is the local cloud: commands that we advise need `--local`.
    pub local: bool,
    /// It is not the region that commands use without `--region`.
    pub other_region: bool,
}

impl Cloud {
    /// What to type to remove the stack.
    pub fn down_command(&self) -> String {
        self.command("down")
    }

    /// What to type to run a subcommand on this stack, e.g. `muck up --stack films --local`.
    pub fn command(&self, subcommand: &str) -> String {
        let local = if self.local { " --local" } else { "" };
        let region = if self.other_region {
            format!(" --region {}", self.names.region)
        } else {
            String::new()
        };
        format!(
            "muck {subcommand} --stack {}{region}{local}",
            self.names.stack
        )
    }

    /// The same place, another stack.
    #[must_use]
    pub fn of_stack(&self, stack: &StackName) -> Self {
        let mut other = self.clone();
        other.names.stack.clone_from(stack);
        other.config.stack.clone_from(stack);
        other
    }

    /// The same stack name in another region of the account.
    #[must_use]
    pub fn in_region(&self, aws: Aws) -> Self {
        let mut other = self.clone();
        other.other_region |= aws.region != self.names.region;
        other.names.region.clone_from(&aws.region);
        other.config.region = Some(aws.region.clone());
        other.aws = aws;
        other
    }

    /// Refuses credentials that nothing renews and that end before `command` does.
    ///
    /// # Errors
    /// See [`CredentialLife::require`](crate::aws::credentials::CredentialLife::require).
    pub fn require_credentials(&self, needed: SignedDuration, command: &str) -> Result<()> {
        let known = self
            .aws
            .credential_life
            .require(needed, command, Timestamp::now())?;
        if let Some(warning) = known.warning() {
            self.events.warn(warning);
        }
        Ok(())
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
            extra_tags: config.tags.clone(),
        };
        Ok(Self {
            local: false,
            other_region: false,
            aws,
            names,
            config,
            events,
        })
    }
}

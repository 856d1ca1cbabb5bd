//! `muck launch`.

use jiff::SignedDuration;
use muck_worker::slots::Slots;

use crate::batch::{self, Launch, LaunchOptions};
use crate::cloud::SHORT_COMMAND;
use crate::config;
use crate::error::Result;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many instances to start [default: from muck.toml, else 1]
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    instances: Option<u32>,
    /// Instance type [default: from muck.toml]
    #[arg(long = "type", short = 't', value_name = "TYPE")]
    instance_type: Option<String>,
    /// Files that each instance works on beside each other, or auto: as many as cores and memory carry [default: from muck.toml, else auto]
    #[arg(long, value_name = "auto|N")]
    slots: Option<Slots>,
    /// Disk of each instance in GiB; a film takes twice its size [default: from muck.toml, else the image's]
    #[arg(long, value_name = "GIB", value_parser = config::disk)]
    disk: Option<u32>,
    /// What the instances do with each file: ConvertVideo, or Probe: media facts as JSON, nothing is converted [default: ConvertVideo]
    #[arg(long, value_name = "NAME", value_parser = config::service)]
    service: Option<&'static str>,
    /// Tell this address when an instance starts and stops
    #[arg(long, short, value_name = "ADDRESS")]
    email: Option<String>,
    /// Tag the instances with this batch
    #[arg(long, short)]
    batch: Option<String>,
    /// Start from this AMI [default: the stack's newest of the current recipe]
    #[arg(long, value_name = "AMI")]
    image: Option<String>,
    /// After this long instances end themselves and the stack expires [default: from muck.toml, else 12h]
    #[arg(long, value_name = "TIME", value_parser = config::parse_ttl)]
    ttl: Option<SignedDuration>,
    /// Use the image for this processor architecture, x86_64 or arm64 [default: from muck.toml, else as the recipe says]
    #[arg(long, value_name = "NAME", value_parser = config::architecture)]
    architecture: Option<String>,
}

pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let mut config = session.config()?;
    config.override_ttl(args.ttl);
    config.override_disk(args.disk);
    config.override_architecture(args.architecture.as_deref());
    let cloud = session.connect(config).await?;
    cloud.require_credentials(SHORT_COMMAND, "`muck launch`")?;
    let options = LaunchOptions {
        count: args.instances.unwrap_or(cloud.config.instances),
        instance_type: args.instance_type.clone(),
        email: args.email.clone(),
        batch: args.batch.clone(),
        slots: args.slots,
        service: args.service,
        image: args.image.clone(),
    };
    let launch = batch::launch(&cloud, &options).await?;
    session.ui.data(&launch, Launch::text)?;
    launch.failure().map_or(Ok(()), Err)
}

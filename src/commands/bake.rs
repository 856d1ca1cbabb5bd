//! `muck bake`.

use std::path::PathBuf;

use crate::cli::ConsoleArgs;
use crate::config::architecture;
use crate::error::Result;
use crate::image::{self, BakeOptions, Baked, Verified};
use crate::interrupt::Interrupts;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Bake even if there is an image of this recipe
    #[arg(long, short)]
    force: bool,
    /// Resolve base image, packages and worker anew, bake, and write them to image.lock
    #[arg(long)]
    update: bool,
    /// Bake again from what the image was made of, keep nothing, and name what differs: exit code 1
    /// if anything [default image: the current recipe's]
    #[arg(long, value_name = "AMI", num_args = 0..=1, default_missing_value = "", conflicts_with_all = ["force", "update"])]
    verify: Option<String>,
    /// Processor architecture, x86_64 or arm64 [default: from muck.toml, else as the recipe says]
    #[arg(long, value_name = "NAME", value_parser = architecture)]
    architecture: Option<String>,
    /// The worker binary that goes into the image [default: from muck.toml, else beside muck]
    #[arg(long, value_name = "FILE")]
    worker: Option<PathBuf>,
    #[command(flatten)]
    pub console: ConsoleArgs,
}

pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let mut config = session.config()?;
    config.override_architecture(args.architecture.as_deref());
    if args.worker.is_some() {
        config.worker.clone_from(&args.worker);
    }
    let cloud = session.connect(config).await?;
    let mut interrupts = Interrupts::listen()?;
    if let Some(id) = &args.verify {
        let id = Some(id.as_str()).filter(|id| !id.is_empty());
        let verified = Box::pin(image::verify(&cloud, id, interrupts.next())).await?;
        session.ui.data(&verified, Verified::text)?;
        return verified.failure().map_or(Ok(()), Err);
    }
    let options = BakeOptions {
        force: args.force,
        update: args.update,
    };
    let baked = Box::pin(image::bake(&cloud, options, interrupts.next())).await?;
    session.ui.data(&baked, Baked::text)
}

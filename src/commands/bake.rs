//! `muck bake`.

use crate::error::Result;
use crate::image::{self, BakeOptions, Baked};
use crate::interrupt::Interrupts;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Bake even if there is an image of this recipe
    #[arg(long, short)]
    force: bool,
}

pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let cloud = session.cloud().await?;
    let mut interrupts = Interrupts::listen()?;
    let options = BakeOptions { force: args.force };
    let baked = Box::pin(image::bake(&cloud, options, interrupts.next())).await?;
    session.ui.data(&baked, Baked::text)
}

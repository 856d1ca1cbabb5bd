//! `muck images`: what was baked.

use muck_worker::text::printable;

use crate::error::Result;
use crate::image::copy::{self, Copied};
use crate::image::kept::{self, Kept, Paper, Shown};
use crate::image::prune;
use crate::interrupt::Interrupts;
use crate::session::Session;
use crate::stack::Confirmed;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the images of this account and region; with --stack only those that it baked
    Ls,
    /// Show one image: what it is made of, its size, who uses it
    Show(ShowArgs),
    /// Remove old images with their snapshots; never one that an instance uses. With --stack only those that it baked
    Prune(PruneArgs),
    /// Copy an image to another region, with its tags
    Copy(CopyArgs),
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// The AMI
    #[arg(value_name = "AMI")]
    id: String,
    /// Print all that the bake reported, as JSON. Where it is not at hand, the image is started for some seconds to send it (the stack must be up)
    #[arg(long, group = "paper")]
    report: bool,
    /// Print the manifest: packages, and every path that the bake made, changed or removed
    #[arg(long, group = "paper")]
    manifest: bool,
    /// Print the bake's log
    #[arg(long, group = "paper")]
    log: bool,
    /// Print the software bill of materials: SPDX 2.3 as JSON
    #[arg(long, group = "paper")]
    sbom: bool,
}

#[derive(Debug, clap::Args)]
struct PruneArgs {
    /// How many to keep of each architecture, the newest first
    #[arg(long, value_name = "N", default_value_t = 1)]
    keep: usize,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, clap::Args)]
struct CopyArgs {
    /// The AMI
    #[arg(value_name = "AMI")]
    id: String,
    /// Where to
    #[arg(long, value_name = "REGION")]
    to: String,
}

pub async fn run(args: &Args, session: &Session) -> Result<()> {
    match &args.action {
        Action::Ls => {
            let cloud = session.cloud().await?;
            let images = kept::list(&cloud, session.global.stack.as_ref()).await?;
            session.ui.data(&images, |images| kept::text(images))
        }
        Action::Show(args) => show(args, session).await,
        Action::Prune(args) => prune_old(args, session).await,
        Action::Copy(args) => {
            let cloud = session.cloud().await?;
            let there = session.region(&cloud, &args.to).await?;
            let mut interrupts = Interrupts::listen()?;
            let copied = copy::copy(&cloud, &args.id, &there, interrupts.next()).await?;
            session.ui.data(&copied, Copied::text)
        }
    }
}

async fn show(args: &ShowArgs, session: &Session) -> Result<()> {
    let cloud = session.cloud().await?;
    let papers = [
        (args.report, Paper::Report),
        (args.manifest, Paper::Manifest),
        (args.log, Paper::Log),
        (args.sbom, Paper::Sbom),
    ];
    let Some((_, paper)) = papers.into_iter().find(|(wanted, _)| *wanted) else {
        let shown = kept::show(&cloud, &args.id).await?;
        return session.ui.data(&shown, Shown::text);
    };
    let mut interrupts = Interrupts::listen()?;
    let text = Box::pin(kept::paper(&cloud, &args.id, paper, interrupts.next())).await?;
    // What packages and scripts named is foreign text.
    let lines: Vec<String> = text.lines().map(printable).collect();
    session.ui.line(lines.join("\n"));
    Ok(())
}

async fn prune_old(args: &PruneArgs, session: &Session) -> Result<()> {
    let cloud = session.cloud().await?;
    let images = kept::list(&cloud, session.global.stack.as_ref()).await?;
    let pruning = prune::plan(images, args.keep);
    if pruning.doomed.is_empty() {
        session.events.note("There is no image to remove");
    } else {
        let confirmed = if args.yes {
            Confirmed::by_flag()
        } else {
            let question = format!(
                "These images and their snapshots are deleted for good:\n{}\nDelete them?",
                kept::text(&pruning.doomed)
            );
            Confirmed::by_answer(session.ui.confirm(&question).await)?
        };
        prune::carry_out(&cloud, &pruning, confirmed).await?;
    }
    session.ui.data(&pruning, |pruning| {
        let staying: Vec<Kept> = pruning.staying.iter().map(|(one, _)| one.clone()).collect();
        let removed = pruning.doomed.len();
        let mut lines = vec![format!("{removed} removed, {} kept", staying.len())];
        lines.extend(
            pruning
                .staying
                .iter()
                .map(|(one, reason)| format!("  {} stays: {reason}", one.id)),
        );
        lines.join("\n")
    })
}

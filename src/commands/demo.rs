//! `muck demo`: the main job with the built-in sample clips on the local cloud.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::batch;
use crate::cli::ConsoleArgs;
use crate::commands::local;
use crate::commands::run::job::Job;
use crate::commands::run::{own_stack, whole_job};
use crate::error::{Error, Result};
use crate::session::Session;
use crate::ui::seconds;

/// Short clips as a camera of 2007 writes them (see `samples/make-samples.sh`).
const SAMPLES: [(&str, &[u8]); 5] = [
    ("MVI_3113.AVI", include_bytes!("../../samples/MVI_3113.AVI")),
    ("MVI_3114.AVI", include_bytes!("../../samples/MVI_3114.AVI")),
    ("MVI_3115.AVI", include_bytes!("../../samples/MVI_3115.AVI")),
    ("MVI_3121.AVI", include_bytes!("../../samples/MVI_3121.AVI")),
    (
        "birthday/MVI_3130.AVI",
        include_bytes!("../../samples/birthday/MVI_3130.AVI"),
    ),
];

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder for the results; made if absent
    #[arg(long, short, value_name = "DIR", default_value = "demo-results")]
    output: PathBuf,
    /// How many instances convert
    #[arg(long, short = 'n', value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    instances: u32,
    /// Remove the image too; the next demo bakes it again
    #[arg(long)]
    remove_image: bool,
    #[command(flatten)]
    pub console: ConsoleArgs,
}

pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let started = Instant::now();
    let clips = tempfile::tempdir()
        .map_err(|error| Error::failed("cannot make a temporary folder").because(error))?;
    write_samples(clips.path())?;
    let output = batch::check_output(args.output.clone()).await?;

    let local = local::ensure(&session.events).await?;
    let outcome = in_local_cloud(args, session, clips.path(), &output).await;
    session.sweep_done().await;
    local.stop_if_started().await?;
    outcome?;
    session
        .events
        .note(format!("All of it took {}.", seconds(started.elapsed())));
    Ok(())
}

async fn in_local_cloud(args: &Args, session: &Session, clips: &Path, output: &Path) -> Result<()> {
    let mut config = session.config()?;
    config.stack = own_stack("demo")?;
    // What is meant for an AWS account does not belong into the demo.
    config.subnets.clear();
    config.public_ip = None;
    config.security_groups.clear();
    let job = Job {
        paths: vec![clips.as_os_str().to_owned()],
        output: output.as_os_str().to_owned(),
        instances: Some(args.instances),
        instance_type: None,
        disk: None,
        preset: "ipod".to_owned(),
        service: None,
        all: false,
        salvage: false,
        keep_times: true,
        keep_image: !args.remove_image,
        ttl_seconds: config.ttl.as_secs(),
    };
    job.mark(&mut config);
    let cloud = session.local_cloud(config).await?;
    whole_job(&cloud, &job, session, None).await
}

fn write_samples(folder: &Path) -> Result<()> {
    for (name, bytes) in SAMPLES {
        let path = folder.join(name);
        let write = || {
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(&path, bytes)
        };
        write().map_err(|error| {
            Error::failed(format!("cannot write {}", path.display())).because(error)
        })?;
    }
    Ok(())
}

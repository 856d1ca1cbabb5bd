//! The program `muck-worker`: start-up and exit code; everything else is in the library.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use muck_worker::clock::{Clock as _, SystemClock};
use muck_worker::inbox::SqsQueue;
use muck_worker::instance::{self, Instance, Machine};
use muck_worker::notify::{self, Notifier};
use muck_worker::service;
use muck_worker::store::S3Store;
use muck_worker::user_data::UserData;
use muck_worker::worker::{Ended, Worker};
use muck_worker::{aws, text};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Converts the videos that a queue names, until the queue is empty.
///
/// On an instance it needs no arguments: user data tells it everything. Endpoint, region and
/// credentials come from the usual environment of AWS programs and from the instance's role.
#[derive(Debug, Parser)]
#[command(name = "muck-worker", version)]
struct Args {
    /// The service to run [default: the one that user data names]
    #[arg(long, value_name = "NAME")]
    service: Option<String>,

    /// Read user data from this file instead of from the instance's metadata
    #[arg(long, value_name = "FILE")]
    user_data: Option<PathBuf>,

    /// Where files are worked on; not in memory, as /tmp may be
    #[arg(long, value_name = "DIR", default_value = "/var/tmp")]
    work_dir: PathBuf,

    /// Power the machine off at the end, whatever the end is
    #[arg(long)]
    power_off: bool,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_env("MUCK_LOG")
                .unwrap_or_else(|_| EnvFilter::new("muck_worker=info,warn")),
        )
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        // Waiting for the network, the disk and ffmpeg needs few threads; ffmpeg needs the cores.
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("can't start: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(async {
        let code = match run(&args).await {
            Ok(ended) => {
                tracing::info!("end: {}", describe(ended));
                ExitCode::SUCCESS
            }
            Err(error) => {
                tracing::error!("{}", aws::chain(error.as_ref()));
                ExitCode::FAILURE
            }
        };
        if args.power_off
            && let Err(error) = instance::power_off().await
        {
            tracing::error!("{error}");
            return ExitCode::FAILURE;
        }
        code
    })
}

async fn run(args: &Args) -> Result<Ended, Failure> {
    let stop = stop_on_signals()?;
    let (mut data, machine) = if let Some(file) = &args.user_data {
        let text = std::fs::read_to_string(file)
            .map_err(|e| format!("can't read {}: {e}", file.display()))?;
        (
            parse_user_data(&text)?,
            Machine {
                host: instance::hostname(),
                instance_id: None,
            },
        )
    } else {
        let instance = Instance::new();
        (
            parse_user_data(&instance.user_data().await?)?,
            instance.machine().await?,
        )
    };
    if let Some(name) = &args.service {
        name.clone_into(&mut data.service);
    }
    let service = service::named(&data.service).await?;
    std::fs::create_dir_all(&args.work_dir)
        .map_err(|e| format!("can't make the folder {}: {e}", args.work_dir.display()))?;

    let config = aws::load(&data.region).await;
    let sqs = aws_sdk_sqs::Client::new(&config);
    let clock = SystemClock;
    let worker = Worker {
        service: service.as_ref(),
        inbox: &SqsQueue::new(sqs.clone(), &data.input_queue),
        outbox: &SqsQueue::new(sqs, &data.output_queue),
        store: &S3Store::new(aws::s3(&config), &data.account),
        clock: &clock,
        data: &data,
        machine: &machine,
        work_root: args.work_dir.clone(),
        stop,
    };
    tracing::info!(
        "muck-worker {} runs {} for the stack {} on {}",
        env!("CARGO_PKG_VERSION"),
        data.service,
        text::printable(&data.stack),
        text::printable(&machine.host),
    );
    worker.wait_ready().await?;
    let notifier = data
        .notify_topic
        .as_ref()
        .map(|t| Notifier::new(aws_sdk_sns::Client::new(&config), t));
    let tell = async |happened: &str| {
        if let Some(notifier) = &notifier {
            let body = notify::body(&data, &machine, happened, clock.now());
            notifier
                .send(&notify::subject(&data, happened), &body)
                .await;
        }
    };
    tell("Starting").await;
    let ended = worker.run().await;
    match &ended {
        Ok(ended) => tell(&format!("Shutting Down: {}", describe(*ended))).await,
        Err(error) => tell(&format!("Shutting Down: {error}")).await,
    }
    Ok(ended?)
}

fn describe(ended: Ended) -> &'static str {
    match ended {
        Ended::Idle => "no more work",
        Ended::Expired => "the time is over",
        Ended::Stopped => "asked to stop",
    }
}

/// A token that SIGTERM and SIGINT cancel.
fn stop_on_signals() -> Result<CancellationToken, std::io::Error> {
    let token = CancellationToken::new();
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind)?;
        let token = token.clone();
        tokio::spawn(async move {
            signals.recv().await;
            token.cancel();
        });
    }
    Ok(token)
}

fn parse_user_data(text: &str) -> Result<UserData, String> {
    UserData::parse(text).map_err(|error| format!("the user data can't be used: {error}"))
}

//! The program `muck-worker`: start-up and exit code; everything else is in the library.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use aws_config::SdkConfig;
use clap::Parser;
use clap::builder::FalseyValueParser;
use muck_worker::clock::{Clock as _, SystemClock};
use muck_worker::inbox::{Outbox, SqsQueue};
use muck_worker::instance::{self, Instance, Machine};
use muck_worker::jail::{self, Jail, Limits};
use muck_worker::notify::{self, Notifier};
use muck_worker::progress::Publisher;
use muck_worker::recent_log::{self, RecentLog};
use muck_worker::service;
use muck_worker::slots::Slots;
use muck_worker::store::{S3Store, Store as _};
use muck_worker::user_data::UserData;
use muck_worker::worker::{Desk, Ended, Leaving, Notice, Space, Worker};
use muck_worker::{aws, spot, text};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

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

    /// Run ffmpeg without its jail, under limits only: for files that you trust
    #[arg(long, env = "MUCK_WORKER_UNJAILED", value_parser = FalseyValueParser::new())]
    unjailed: bool,

    /// Try the jail in which ffmpeg will run, say what holds, and end
    #[arg(long)]
    check_jail: bool,

    /// How many files to work on beside each other: a number, or `auto` for as many as cores and
    /// memory carry [default: what user data says, else auto]
    #[arg(long, value_name = "auto|N")]
    slots: Option<Slots>,

    /// How long a message is held at a time. If this machine dies, another gets the message after so
    /// long; much shorter, and a slow network loses messages that are at work
    #[arg(long, value_name = "SECONDS", default_value_t = 90, value_parser = clap::value_parser!(u64).range(3..=43_200))]
    hold: u64,

    /// How long after SIGTERM or SIGINT work may still be finished; what would take longer goes back to
    /// the queue at once. Supervisors kill after 5 s at the earliest
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    grace: u64,

    /// Power the machine off at the end, whatever the end is
    #[arg(long)]
    power_off: bool,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    if let Some(code) = jail::called() {
        return code;
    }
    let args = Args::parse();
    let log = RecentLog::default();
    let filter = std::env::var("MUCK_LOG")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| {
            Targets::new()
                .with_default(LevelFilter::WARN)
                .with_target("muck_worker", LevelFilter::INFO)
        });
    tracing_subscriber::registry()
        .with(
            tracing_subscriber::fmt::layer()
                .with_writer(log.clone())
                .with_ansi(false)
                .with_target(false),
        )
        .with(filter)
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
    if args.check_jail {
        return runtime.block_on(check_jail(&args));
    }
    runtime.block_on(async {
        let code = match run(&args, &log).await {
            Ok(_) => ExitCode::SUCCESS,
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

async fn run(args: &Args, log: &RecentLog) -> Result<Ended, Failure> {
    let leaving = Leaving::new();
    leave_on_signals(&leaving, Duration::from_secs(args.grace))?;
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
        let told = (
            parse_user_data(&instance.user_data().await?)?,
            instance.machine().await?,
        );
        tokio::spawn(spot::watch(instance, leaving.clone()));
        told
    };
    if let Some(name) = &args.service {
        name.clone_into(&mut data.service);
    }
    let config = aws::load(&data.region).await?;
    let store = S3Store::new(aws::s3(&config), &data.account);
    // Without an instance id several may run on one host.
    let name = (machine.instance_id.clone())
        .unwrap_or_else(|| format!("{}-{}", machine.host, std::process::id()));
    let notifier = data
        .notify_topic
        .as_ref()
        .map(|t| Notifier::new(aws_sdk_sns::Client::new(&config), t));
    let tell = async |happened: &str| {
        if let Some(notifier) = &notifier {
            let body = notify::body(&data, &machine, happened, SystemClock.now());
            notifier
                .send(&notify::subject(&data, happened), &body)
                .await;
        }
    };
    let start = Start {
        args,
        data: &data,
        machine: &machine,
        config: &config,
        store: &store,
        name: &name,
    };
    let ended = work(start, leaving, async || tell("Starting").await).await;
    let why = match &ended {
        Ok(ended) => describe(*ended).to_owned(),
        Err(error) => aws::chain(error.as_ref()),
    };
    tracing::info!("end: {why}");
    let last_words = format!("Shutting Down: {why}");
    let key = format!("{}{name}.log", recent_log::PREFIX);
    let text = log.text();
    let stored = store.put_note(
        &data.output_bucket,
        &key,
        &text,
        "text/plain; charset=utf-8",
    );
    let ((), stored) = tokio::join!(tell(&last_words), stored);
    if let Err(error) = stored {
        tracing::warn!("{error}");
    }
    ended
}

/// What is known before the work can begin.
struct Start<'a> {
    args: &'a Args,
    data: &'a UserData,
    machine: &'a Machine,
    config: &'a SdkConfig,
    store: &'a S3Store,
    /// The instance's, or one that no other worker has.
    name: &'a str,
}

/// From the trial of the jail to the end of the work; `begun` is told when the queue was reached.
async fn work(
    start: Start<'_>,
    leaving: Leaving,
    begun: impl AsyncFnOnce(),
) -> Result<Ended, Failure> {
    let Start {
        args,
        data,
        machine,
        config,
        store,
        name,
    } = start;
    let slots = args.slots.unwrap_or(data.slots).count();
    let (jail, checked) = jail(args, slots).await?;
    tracing::info!("{checked}");
    let service = service::named(&data.service, jail).await?;
    let sqs = aws_sdk_sqs::Client::new(config);
    let failed = data
        .failed_queue
        .as_ref()
        .map(|url| SqsQueue::new(sqs.clone(), url));
    let space = Space::of(&args.work_dir);
    let left = space.clear();
    if left > 0 {
        tracing::info!(
            "removed the folders of {} whose workers were killed",
            text::quantity(left, "job")
        );
    }
    let desk = Desk::new(slots);
    let worker = Worker {
        service: service.as_ref(),
        inbox: &SqsQueue::new(sqs.clone(), &data.input_queue),
        outbox: &SqsQueue::new(sqs, &data.output_queue),
        failed: failed.as_ref().map(|queue| queue as &dyn Outbox),
        store,
        clock: &SystemClock,
        data,
        machine,
        name,
        space: &space,
        desk: &desk,
        hold: Duration::from_secs(args.hold),
        leaving,
    };
    tracing::info!(
        "muck-worker {} runs {} in {} for the stack {} on {}",
        env!("CARGO_PKG_VERSION"),
        data.service,
        text::quantity(desk.slots(), "slot"),
        text::printable(&data.stack),
        text::printable(&machine.host),
    );
    worker.wait_ready().await?;
    begun().await;
    let publisher = Publisher {
        store,
        clock: &SystemClock,
        machine,
        desk: &desk,
        bucket: &data.output_bucket,
        name,
    };
    Ok(publisher.beside(worker.run()).await?)
}

/// The jail for what will be run in so many slots, tried.
async fn jail(args: &Args, slots: usize) -> Result<(Jail, jail::Checked), Failure> {
    std::fs::create_dir_all(&args.work_dir)
        .map_err(|e| format!("can't make the folder {}: {e}", args.work_dir.display()))?;
    let limits = Limits::of(jail::Machine::of_this(), slots as u64);
    let jail = if args.unjailed {
        Jail::unjailed(limits)?
    } else {
        Jail::new(limits)?
    };
    let checked = jail.check(&args.work_dir).await?;
    Ok((jail, checked))
}

/// `--check-jail`.
async fn check_jail(args: &Args) -> ExitCode {
    let text = match jail(args, args.slots.unwrap_or_default().count()).await {
        Ok((_, checked)) => checked.to_string() + "\n" + &checked.lines(),
        Err(error) => {
            tracing::error!("{}", aws::chain(error.as_ref()));
            return ExitCode::FAILURE;
        }
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn describe(ended: Ended) -> &'static str {
    match ended {
        Ended::Idle => "no more work",
        Ended::Spare => "no message waits, and another worker stays for those in work",
        Ended::Expired => "the time is over",
        Ended::Stopped => "asked to leave",
    }
}

/// Lets SIGTERM and SIGINT say that the machine goes; a second one, that it goes now.
fn leave_on_signals(leaving: &Leaving, grace: Duration) -> Result<(), std::io::Error> {
    for (kind, name) in [
        (SignalKind::terminate(), "SIGTERM"),
        (SignalKind::interrupt(), "SIGINT"),
    ] {
        let mut signals = signal(kind)?;
        let leaving = leaving.clone();
        tokio::spawn(async move {
            for left in [grace, Duration::ZERO] {
                signals.recv().await;
                tracing::info!("{name}: leaving within {} s", left.as_secs());
                leaving.notify(Notice {
                    why: name.to_owned(),
                    until: Instant::now() + left,
                });
            }
        });
    }
    Ok(())
}

fn parse_user_data(text: &str) -> Result<UserData, String> {
    UserData::parse(text).map_err(|error| format!("the user data can't be used: {error}"))
}

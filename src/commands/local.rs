//! `muck local …`, and what `--local` means: find the local cloud in the user's state folder, or
//! start it there.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use localcloud::server::{self, DriverChoice, ServeOptions, ServerInfo};

use crate::aws::Target;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::event::Events;
use crate::folders;
use crate::interrupt::Interrupts;
use crate::session::Session;

/// A server that has not answered by then has a reason, which its log tells.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How much of a dead server's log is shown.
const LOG_LINES: usize = 5;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Run the local cloud in the foreground; prints its endpoint and keys
    Serve {
        #[command(flatten)]
        place: Place,
        /// Port on 127.0.0.1 [default: the one of last time, else any free one]
        #[arg(long)]
        port: Option<u16>,
        /// How instances boot
        #[arg(long, value_enum, default_value_t = Driver::Auto, env = "MUCK_LOCAL_DRIVER")]
        driver: Driver,
    },
    /// Tell whether the local cloud runs, where, and how its instances boot
    Status(Place),
    /// Stop the local cloud; its instances are powered off, its state stays
    Stop(Place),
    /// Stop the local cloud and delete all that is in it: buckets, queues, images …
    Reset {
        #[command(flatten)]
        place: Place,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Place {
    /// Folder of the local cloud's state [default: in your state folder]
    #[arg(long, value_name = "FOLDER", env = "MUCK_LOCAL_DIR")]
    dir: Option<PathBuf>,
}

impl Place {
    fn resolve(&self) -> Result<PathBuf> {
        self.dir.clone().map_or_else(default_dir, Ok)
    }
}

/// How instances boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Driver {
    /// `sandbox` where this machine can, else `process`
    Auto,
    /// Namespaces and overlays: a real Debian boots
    Sandbox,
    /// A staged folder and this machine's own ffmpeg
    Process,
}

fn default_dir() -> Result<PathBuf> {
    match std::env::var_os("MUCK_LOCAL_DIR") {
        Some(dir) if !dir.is_empty() => Ok(PathBuf::from(dir)),
        _ => Ok(folders::state()?.join("local")),
    }
}

pub async fn run(args: &Args, session: &Session) -> Result<()> {
    match &args.action {
        Action::Serve {
            place,
            port,
            driver,
        } => serve(session, place.resolve()?, *port, *driver).await,
        Action::Status(place) => status(session, &place.resolve()?).await,
        Action::Stop(place) => {
            let dir = place.resolve()?;
            let was_running = server::find(&dir).await.is_some();
            stop(&dir).await?;
            let text = if was_running {
                "stopped"
            } else {
                "was not running"
            };
            session.events.note(format!("the local cloud {text}"));
            Ok(())
        }
        Action::Reset { place, yes } => {
            let dir = place.resolve()?;
            let question = format!("Delete everything in the local cloud at {}?", dir.display());
            if !*yes {
                session.ui.confirm(&question).await?;
            }
            server::reset(&dir)
                .await
                .map_err(|error| Error::failed("cannot reset the local cloud").because(error))?;
            session
                .events
                .note(format!("the local cloud at {} is empty", dir.display()));
            Ok(())
        }
    }
}

async fn serve(session: &Session, dir: PathBuf, port: Option<u16>, driver: Driver) -> Result<()> {
    let mut interrupts = Interrupts::listen()?;
    let driver = match driver {
        Driver::Auto => DriverChoice::Auto,
        Driver::Sandbox => DriverChoice::Sandbox,
        Driver::Process => DriverChoice::Process,
    };
    let options = ServeOptions {
        dir,
        cache_dir: folders::cache()?,
        port,
        driver,
    };
    let running = server::serve(options)
        .await
        .map_err(|error| Error::failed("cannot start the local cloud").because(error))?;
    session.ui.line(json_line(&running.info)?);
    for (name, value) in environment(&running.info) {
        session.ui.line(format!("export {name}={value}"));
    }
    interrupts.next().await;
    session.events.note("powering instances off");
    running.shutdown().await;
    Ok(())
}

/// One JSON line even on a terminal: scripts read the first line.
fn json_line(info: &ServerInfo) -> Result<String> {
    serde_json::to_string(info).map_err(|error| Error::failed("cannot write JSON").because(error))
}

/// What any AWS client needs to talk to this server.
fn environment(info: &ServerInfo) -> [(&'static str, &str); 5] {
    [
        ("AWS_ENDPOINT_URL", &info.endpoint),
        // boto and older SDKs know the second name only.
        ("AWS_REGION", &info.region),
        ("AWS_DEFAULT_REGION", &info.region),
        ("AWS_ACCESS_KEY_ID", &info.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", &info.secret_access_key),
    ]
}

async fn status(session: &Session, dir: &Path) -> Result<()> {
    let Some(info) = server::find(dir).await else {
        return Err(
            Error::failed(format!("no local cloud runs in {}", dir.display())).hint(
                "any command with --local starts it; `muck local serve` runs it in the foreground",
            ),
        );
    };
    session.ui.data(&info, |info| {
        format!(
            "endpoint  {}\nregion    {}\naccount   {}\ndriver    {}\nprocess   {}\nfolder    {}",
            info.endpoint,
            info.region,
            info.account,
            info.driver_reason,
            info.pid,
            dir.display()
        )
    })
}

/// Stops the server of `dir` and waits until it is gone.
pub async fn stop(dir: &Path) -> Result<()> {
    server::stop(dir)
        .await
        .map(|_| ())
        .map_err(|error| Error::failed("cannot stop the local cloud").because(error))
}

/// The local cloud of the user's state folder.
#[derive(Debug)]
pub struct Local {
    pub info: ServerInfo,
    pub dir: PathBuf,
    /// It was not running before: whoever wants it gone afterwards may stop it.
    pub started: bool,
}

impl Local {
    /// Leaves the machine as it was found: what this program started, it stops.
    pub async fn stop_if_started(&self) -> Result<()> {
        if self.started {
            stop(&self.dir).await
        } else {
            Ok(())
        }
    }
}

/// Finds the local cloud, or starts it in the background.
pub async fn ensure(events: &Events) -> Result<Local> {
    let dir = default_dir()?;
    if let Some(info) = server::find(&dir).await {
        return Ok(Local {
            info,
            dir,
            started: false,
        });
    }
    let info = start(&dir).await?;
    events.note(format!(
        "local cloud started at {} ({} driver); `muck local stop` ends it",
        info.endpoint, info.driver
    ));
    if info.driver != "sandbox" {
        // What is not isolated, and why: users must know before a stranger's film is converted.
        events.warn(format!("instances don't boot here. {}", info.driver_reason));
    }
    Ok(Local {
        info,
        dir,
        started: true,
    })
}

/// What [`crate::cloud::Cloud`] needs for `--local`. The region is the local cloud's own, whatever
/// the settings say: they are meant for AWS.
pub async fn target(events: &Events, config: &mut Config) -> Result<Target> {
    let info = ensure(events).await?.info;
    config.region = Some(info.region.clone());
    Ok(Target {
        region: Some(info.region),
        endpoint: Some(info.endpoint),
        keys: Some((info.access_key_id, info.secret_access_key)),
    })
}

async fn start(dir: &Path) -> Result<ServerInfo> {
    use std::os::unix::process::CommandExt;

    let cannot = |error: std::io::Error| {
        Error::failed(format!("cannot start the local cloud in {}", dir.display())).because(error)
    };
    std::fs::create_dir_all(dir).map_err(cannot)?;
    let log_path = dir.join("server.log");
    let log = File::create(&log_path).map_err(cannot)?;
    let program = std::env::current_exe().map_err(cannot)?;
    let mut child = std::process::Command::new(program)
        .args(["local", "serve", "--dir"])
        .arg(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .current_dir("/")
        // Its own process group: Ctrl-C here must not end the cloud under our teardown.
        .process_group(0)
        .spawn()
        .map_err(cannot)?;

    let started = std::time::Instant::now();
    loop {
        if let Some(info) = server::find(dir).await {
            return Ok(info);
        }
        let ended = child.try_wait().map_err(cannot)?;
        if ended.is_some() || started.elapsed() > START_LIMIT {
            let what = if ended.is_some() {
                "ended at once"
            } else {
                "does not answer"
            };
            return Err(Error::failed(format!(
                "the local cloud {what}: {}",
                last_lines(&log_path)
            ))
            .hint(format!("its log is {}", log_path.display())));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn last_lines(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

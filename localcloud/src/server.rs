//! The server's life: opening its folder, wiring the services, listening, and ending; and finding, stopping and
//! resetting one that another process runs.

mod folder;
mod health;
mod listen;
mod remote;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub use crate::sandbox::DriverChoice;
pub use remote::{find, reset, stop};

use crate::account::{ACCOUNT, REGION};
use crate::clock::{Clock, SystemClock};
use crate::driver::{Driver, DriverResult, PowerEvent};
use crate::ec2::{Ec2, Ec2Options};
use crate::error::ApiError;
use crate::faults::Faults;
use crate::gateway::Gateway;
use crate::iam::Iam;
use crate::journal::Journal;
use crate::sns::Sns;
use crate::sqs::Sqs;
use crate::state::Store;
use crate::state::iam::{root_key, set_root_key};
use crate::sts::Sts;
use folder::Folder;

/// How long calls under way may take to end at a shutdown. A long poll of SQS is cut off by it, which its
/// client retries.
const GRACE: Duration = Duration::from_secs(2);

/// What goes wrong in starting, finding or ending a server; `Display` is a sentence for a person.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Another server has the folder.
    #[error("the folder {} is in use by another local cloud{}; stop that one (`muck local stop`) or take another folder (`--dir`)", dir.display(), pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    InUse { dir: PathBuf, pid: Option<u32> },
    #[error("can't {what} {}", path.display())]
    File {
        what: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(
        "can't listen on 127.0.0.1:{port}; choose another port (`--port`) or leave it to chance"
    )]
    Port { port: u16, source: std::io::Error },
    /// The driver can't work here; the sentence says why.
    #[error("{0}")]
    Driver(#[from] crate::driver::DriverError),
    #[error("the local cloud's state: {0}")]
    State(#[from] ApiError),
    #[error("the local cloud in {} (process {pid}) did not end within {seconds} s; end it by hand", dir.display())]
    DoesNotEnd {
        dir: PathBuf,
        pid: u32,
        seconds: u64,
    },
}

/// How to run a server.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Where all its state lies; made if absent. One server at a time.
    pub dir: PathBuf,
    /// Where base roots are kept, for all folders.
    pub cache_dir: PathBuf,
    /// On 127.0.0.1. If absent: the folder's last port where it is free, else any free one.
    pub port: Option<u16>,
    pub driver: DriverChoice,
}

/// What a client needs to know. Written to `<dir>/server.json` (mode 0600) while the server runs.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct ServerInfo {
    /// `http://127.0.0.1:PORT`
    pub endpoint: String,
    pub region: String,
    pub account: String,
    pub access_key_id: String,
    pub secret_access_key: String,
    /// `sandbox` or `process`.
    pub driver: String,
    /// Which driver and why, as a sentence.
    pub driver_reason: String,
    pub pid: u32,
    pub dir: PathBuf,
    pub started: Timestamp,
}

/// Never shows the secret.
impl std::fmt::Debug for ServerInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerInfo")
            .field("endpoint", &self.endpoint)
            .field("driver", &self.driver)
            .field("pid", &self.pid)
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

/// A server in this process. Dropping it without [`Running::shutdown`] leaves guests to the driver's own end.
pub struct Running {
    pub info: ServerInfo,
    stop: watch::Sender<bool>,
    listening: JoinHandle<()>,
    ec2: Arc<Ec2>,
    folder: Folder,
}

/// Starts a server and returns when it answers.
///
/// # Errors
/// When the folder is in use or unusable, the port is taken, or the driver can't work here.
pub async fn serve(options: ServeOptions) -> Result<Running, ServerError> {
    let folder = Folder::open(&options.dir)?;
    let (power_events, powered_off) = mpsc::unbounded_channel();
    let (driver, reason) = crate::sandbox::choose(
        options.driver,
        folder.path(),
        &options.cache_dir,
        power_events,
    )
    .await?;
    start(folder, options.port, driver, reason, powered_off).await
}

/// The same in the folder `dir` with another way of booting: `driver` is told the folder and whom to tell of
/// guests that end.
///
/// # Errors
/// As [`serve`].
pub async fn serve_with(
    dir: &Path,
    driver: impl FnOnce(&Path, mpsc::UnboundedSender<PowerEvent>) -> DriverResult<Arc<dyn Driver>>,
) -> Result<Running, ServerError> {
    let folder = Folder::open(dir)?;
    let (power_events, powered_off) = mpsc::unbounded_channel();
    let driver = driver(folder.path(), power_events)?;
    let reason = format!("{}: given by the program that serves", driver.name());
    start(folder, None, driver, reason, powered_off).await
}

async fn start(
    folder: Folder,
    port: Option<u16>,
    driver: Arc<dyn Driver>,
    driver_reason: String,
    powered_off: mpsc::UnboundedReceiver<PowerEvent>,
) -> Result<Running, ServerError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = Store::open(folder.path())?;
    let root = match root_key(&store)? {
        Some(key) => key,
        None => set_root_key(&store)?,
    };

    let listener = listen::bind(port, folder.last_port()).await?;
    let port = listener
        .local_addr()
        .map_err(|source| ServerError::Port { port: 0, source })?
        .port();
    folder.remember_port(port)?;
    let endpoint = format!("http://127.0.0.1:{port}");

    let metadata = crate::imds::Imds::new(store.clone(), Arc::clone(&clock));
    let ec2 = Arc::new(Ec2::new(Ec2Options {
        store: store.clone(),
        clock: Arc::clone(&clock),
        driver: Arc::clone(&driver),
        metadata: Arc::new(metadata),
        endpoint: endpoint.clone(),
    })?);
    ec2.start(powered_off)?;

    let info = ServerInfo {
        endpoint: endpoint.clone(),
        region: REGION.to_owned(),
        account: ACCOUNT.to_owned(),
        access_key_id: root.access_key_id.clone(),
        secret_access_key: root.secret_access_key.clone(),
        driver: driver.name().to_owned(),
        driver_reason,
        pid: std::process::id(),
        dir: folder.path().to_owned(),
        started: clock.now(),
    };
    let gateway = Arc::new(Gateway {
        iam: Iam::new(store.clone(), Arc::clone(&clock)),
        sts: Sts::new(store.clone()),
        sqs: Sqs::new(store.clone(), Arc::clone(&clock), endpoint),
        sns: Sns::new(
            store.clone(),
            Arc::clone(&clock),
            folder.path().join("mail"),
        ),
        s3: crate::s3::service(store.clone(), folder.path(), Arc::clone(&clock))?,
        ec2: Arc::clone(&ec2),
        faults: Faults::default(),
        journal: Journal::default(),
        root,
        health: health::answer(&info),
        store,
        clock,
    });
    let (stop, stopped) = watch::channel(false);
    let listening = tokio::spawn(listen::accept(listener, gateway, stopped, GRACE));
    folder.write_info(&info)?;
    tracing::info!(
        endpoint = info.endpoint,
        driver = info.driver,
        "local cloud is up"
    );
    Ok(Running {
        info,
        stop,
        listening,
        ec2,
        folder,
    })
}

impl Running {
    /// Powers the guests off, closes the connections and gives the folder free.
    pub async fn shutdown(self) {
        // Guests first: their last calls (a worker giving its message back) still find the server.
        if let Err(error) = self.ec2.shutdown().await {
            tracing::warn!(%error, "not all guests were powered off in good order");
        }
        let _ = self.stop.send(true);
        if let Err(error) = self.listening.await {
            tracing::warn!(%error, "the listener ended badly");
        }
        self.folder.close();
    }
}

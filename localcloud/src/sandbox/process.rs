//! The `process` driver, for where namespaces are forbidden: an instance is a staged folder, in which user data
//! and rc.local run as processes of the host, with the host's programs. Nothing is isolated and nothing
//! provisioned; programs that would change the host are replaced by ones that say what they skip.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use nix::sys::signal::Signal;
use tokio::sync::mpsc;

use super::boot::{PATH, UNIGNORING, plain_name, write};
use super::guest::Machine;
use super::layout::{Layout, failure, make_folder};
use super::namespace::{Namespace, run};
use super::overlay::{Guests, blocking, read_console, size};
use super::processes;
use crate::driver::{BootSpec, Driver, DriverError, DriverResult, PowerEvent};

const INIT: &str = include_str!("process/init.sh");
const SHIM: &str = include_str!("process/shim.sh");
const WATCH: &str = include_str!("process/watch.sh");

/// The programs that provisioning uses and that would change the host, or ask it for what it may not have.
const SHIMS: [&str; 35] = [
    "addgroup",
    "adduser",
    "apt",
    "apt-get",
    "apt-mark",
    "chpasswd",
    "delgroup",
    "deluser",
    "dpkg",
    "dpkg-query",
    "dpkg-reconfigure",
    "fstrim",
    "groupadd",
    "groupdel",
    "halt",
    "hostname",
    "hostnamectl",
    "ldconfig",
    "modprobe",
    "mount",
    "passwd",
    "poweroff",
    "reboot",
    "service",
    "shutdown",
    "swapon",
    "sysctl",
    "systemctl",
    "timedatectl",
    "umount",
    "update-ca-certificates",
    "update-rc.d",
    "useradd",
    "userdel",
    "usermod",
];

/// What guests take from the host, each with the Debian package that brings it.
const TOOLS: [(&str, &str); 5] = [
    ("ffmpeg", "ffmpeg"),
    ("ffprobe", "ffmpeg"),
    ("curl", "curl"),
    ("setpriv", "util-linux"),
    ("setsid", "util-linux"),
];

/// A sentence that says which of the host's programs guests lack, if any.
pub(super) fn missing() -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| PATH.into());
    let mut packages: Vec<&str> = TOOLS
        .iter()
        .filter(|(tool, _)| !std::env::split_paths(&path).any(|folder| folder.join(tool).is_file()))
        .map(|(_, package)| *package)
        .collect();
    packages.dedup();
    (!packages.is_empty()).then(|| {
        format!(
            "programs are missing: `apt-get install {}` brings them",
            packages.join(" ")
        )
    })
}

/// How long processes may take to end on SIGTERM before SIGKILL, as in the sandbox's init.
const TERM_GRACE: Duration = Duration::from_secs(5);

/// How often it is looked whether they have.
const LOOK: Duration = Duration::from_millis(50);

/// Runs instances as processes of the host.
pub(super) struct ProcessDriver {
    layout: Layout,
    guests: Guests,
    events: mpsc::UnboundedSender<PowerEvent>,
    /// Why the host can't jail a guest's programs, if it can't.
    jailless: Option<String>,
}

impl ProcessDriver {
    /// `jailless` as [`super::jail::missing`] tells it.
    pub(super) fn new(
        layout: Layout,
        events: mpsc::UnboundedSender<PowerEvent>,
        jailless: Option<String>,
    ) -> Self {
        Self {
            layout,
            guests: Guests::default(),
            events,
            jailless,
        }
    }
}

/// All files of this driver belong to the caller.
fn rights() -> Namespace {
    Namespace::Root
}

#[async_trait]
impl Driver for ProcessDriver {
    fn name(&self) -> &'static str {
        "process"
    }

    /// An empty root: the host's programs are used in place of Debian's.
    async fn ensure_base(
        &self,
        snapshot: &str,
        _progress: mpsc::UnboundedSender<String>,
    ) -> DriverResult<()> {
        let layer = self.layout.layer(snapshot);
        // A link is the base of the sandbox driver.
        if layer.is_symlink() {
            fs::remove_file(&layer).map_err(|error| failure("delete", &layer, &error))?;
        }
        make_folder(&layer)?;
        let mark = self.layout.base_mark(snapshot);
        fs::write(&mark, "").map_err(|error| failure("write", &mark, &error))
    }

    async fn boot(&self, mut spec: BootSpec) -> DriverResult<()> {
        self.guests.refuse_running(&spec)?;
        if let Some(why) = &self.jailless {
            tracing::warn!("guests run ffmpeg unjailed: {why}");
            spec.environment.push(super::jail::without());
        }
        let instance_id = spec.instance_id.clone();
        let volume_id = spec.volume_id.clone();
        let console = self.layout.console(&instance_id);
        let layout = self.layout.clone();
        let machine = blocking(move || {
            make_folder(&layout.instance(&spec.instance_id))?;
            stage(&layout, &spec)?;
            ProcessMachine::new(&layout, spec)
        })
        .await?;
        self.guests
            .boot(
                instance_id,
                volume_id,
                Box::new(machine),
                console,
                self.events.clone(),
            )
            .await
    }

    async fn power_off(&self, instance_id: &str) -> DriverResult<()> {
        self.guests.power_off(instance_id).await
    }

    async fn console(&self, instance_id: &str) -> DriverResult<Vec<u8>> {
        read_console(&self.layout, instance_id)
    }

    /// The volume's folder is a whole tree, so the snapshot is one too. The volume gets a copy of it at
    /// its next boot.
    async fn freeze(&self, volume_id: &str, snapshot: &str) -> DriverResult<u64> {
        self.guests.refuse_use(volume_id)?;
        let layout = self.layout.clone();
        let (volume_id, snapshot) = (volume_id.to_owned(), snapshot.to_owned());
        blocking(move || {
            let upper = layout.upper(&volume_id);
            let layer = layout.layer(&snapshot);
            make_folder(&layout.snapshot(&snapshot))?;
            // There already after a crash between the rename and the answer.
            if !layer.exists() {
                if upper.exists() {
                    fs::rename(&upper, &layer).map_err(|error| failure("move", &upper, &error))?;
                } else {
                    make_folder(&layer)?;
                    let mark = empty_mark(&layout, &snapshot);
                    fs::write(&mark, "").map_err(|error| failure("write", &mark, &error))?;
                }
            }
            size(rights(), &layer)
        })
        .await
    }

    async fn delete_volume(&self, volume_id: &str) -> DriverResult<()> {
        self.guests.refuse_use(volume_id)?;
        let path = self.layout.volume(volume_id);
        blocking(move || rights().remove_tree(&path)).await
    }

    async fn delete_snapshot(&self, snapshot: &str) -> DriverResult<()> {
        let path = self.layout.snapshot(snapshot);
        blocking(move || rights().remove_tree(&path)).await
    }

    fn console_path(&self, instance_id: &str) -> PathBuf {
        self.layout.console(instance_id)
    }
}

/// Says that a snapshot was made of a volume that was never booted: what is under it counts.
fn empty_mark(layout: &Layout, snapshot: &str) -> PathBuf {
    layout.snapshot(snapshot).join("empty")
}

/// Fills a new volume with a copy of the highest tree under it. Not by hard links: a program that writes into
/// a file would write into the snapshot.
fn stage(layout: &Layout, spec: &BootSpec) -> DriverResult<()> {
    let upper = layout.upper(&spec.volume_id);
    if upper.exists() {
        return Ok(());
    }
    let tree = spec
        .layers
        .iter()
        .rev()
        .find(|snapshot| !empty_mark(layout, snapshot).exists())
        .map(|snapshot| layout.layer(snapshot))
        .ok_or_else(|| {
            DriverError(format!(
                "volume {} has no snapshot under it",
                spec.volume_id
            ))
        })?;
    let staging = upper.with_extension("new");
    rights().remove_tree(&staging)?;
    make_folder(&layout.volume(&spec.volume_id))?;
    run(Command::new("cp")
        .args(["-a", "--reflink=auto", "--"])
        .arg(&tree)
        .arg(&staging))?;
    fs::rename(&staging, &upper).map_err(|error| failure("rename", &staging, &error))
}

/// A guest that is a session of the host.
struct ProcessMachine {
    spec: BootSpec,
    root: PathBuf,
    boot: PathBuf,
    /// In the environment of all its processes.
    mark: String,
    /// Ends them if the server is killed: it reads until our end of its input closes.
    watcher: Mutex<Option<Child>>,
}

impl ProcessMachine {
    fn new(layout: &Layout, spec: BootSpec) -> DriverResult<Self> {
        for (what, value) in [
            ("instance id", &spec.instance_id),
            ("volume id", &spec.volume_id),
            ("host name", &spec.hostname),
        ] {
            plain_name(what, value)?;
        }
        let instance = layout.instance(&spec.instance_id);
        let mark = format!("LOCALCLOUD_GUEST={}", instance.display());
        Ok(Self {
            root: layout.upper(&spec.volume_id),
            boot: instance.join("boot"),
            spec,
            mark,
            watcher: Mutex::new(None),
        })
    }

    fn watcher(&self) -> MutexGuard<'_, Option<Child>> {
        self.watcher.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self) -> DriverResult<Child> {
        Command::new("setsid")
            .args(["sh", "-c", WATCH, "watch", &self.mark])
            .arg(self.boot.join("init.pid"))
            .env_clear()
            .env("PATH", PATH)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| DriverError(format!("can't run setsid: {error}")))
    }

    fn lay_out(&self, first: bool) -> DriverResult<()> {
        rights().remove_tree(&self.boot)?;
        let shims = self.boot.join("shims");
        make_folder(&shims)?;
        write(&shims.join("shim"), SHIM.as_bytes(), 0o755)?;
        for name in SHIMS {
            let shim = shims.join(name);
            symlink("shim", &shim).map_err(|error| failure("link", &shim, &error))?;
        }
        let facts = format!(
            "INSTANCE_ID={}\nHOST_NAME={}\nFIRST_BOOT={}\n",
            self.spec.instance_id,
            self.spec.hostname,
            if first { "yes" } else { "no" },
        );
        write(&self.boot.join("facts"), facts.as_bytes(), 0o644)?;
        match &self.spec.user_data {
            Some(bytes) => write(&self.boot.join("user-data"), bytes, 0o600),
            None => Ok(()),
        }
    }

    /// Processes that carry the mark, wherever they have moved.
    fn marked(&self) -> Vec<u32> {
        let own = std::process::id();
        processes::all()
            .into_iter()
            .filter(|process| !process.zombie && process.pid != own)
            .filter(|process| {
                fs::read(format!("/proc/{}/environ", process.pid)).is_ok_and(|environment| {
                    environment
                        .split(|byte| *byte == 0)
                        .any(|variable| variable == self.mark.as_bytes())
                })
            })
            .map(|process| process.pid)
            .collect()
    }

    /// All of the guest but its init: descendants (orphans too, since init adopts them), its session, and
    /// who carries the mark.
    fn members(&self, child: u32) -> Vec<u32> {
        let mut members = processes::descendants(child);
        members.extend(
            processes::all()
                .into_iter()
                .filter(|process| process.session == child && !process.zombie)
                .map(|process| process.pid),
        );
        members.extend(self.marked());
        members.retain(|pid| *pid != child);
        members.sort_unstable();
        members.dedup();
        members
    }

    /// Kills until nobody is left: a process may be born while we look.
    fn kill_members(&self, child: u32) {
        let end = Instant::now() + TERM_GRACE;
        loop {
            let members = self.members(child);
            if members.is_empty() {
                return;
            }
            for pid in &members {
                processes::signal(*pid, Signal::SIGKILL);
            }
            if Instant::now() > end {
                tracing::error!(?members, "processes of a guest don't end");
                return;
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl Machine for ProcessMachine {
    fn command(&self, again: bool) -> DriverResult<Command> {
        self.lay_out(self.spec.first_boot && !again)?;
        *self.watcher() = Some(self.watch()?);
        let mut path = vec![self.boot.join("shims"), self.root.join("usr/local/bin")];
        path.extend(std::env::split_paths(
            &std::env::var_os("PATH").unwrap_or_else(|| PATH.into()),
        ));
        let path = std::env::join_paths(path)
            .map_err(|error| DriverError(format!("a folder can't be in a search path: {error}")))?;
        let (mark, value) = self.mark.split_once('=').unwrap_or((&self.mark, ""));
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL"])
            .args(UNIGNORING)
            .args(["setsid", "sh", "-c", INIT, "init"])
            .args([&self.root, &self.boot])
            .env_clear()
            .env("PATH", path)
            .env("LANG", "C.UTF-8")
            .env("DESTDIR", &self.root)
            .env("TMPDIR", self.root.join("tmp"))
            .env(mark, value)
            .envs(
                self.spec
                    .environment
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            .current_dir(&self.root);
        // SAFETY: between fork and exec only one system call is made, which is async-signal-safe.
        unsafe {
            // Init adopts its orphans, so that all of the guest stay its descendants.
            command
                .pre_exec(|| nix::sys::prctl::set_child_subreaper(true).map_err(io::Error::from));
        }
        Ok(command)
    }

    fn init(&self, child: u32) -> Option<u32> {
        Some(child)
    }

    fn end_processes(&self, child: u32) {
        for pid in self.members(child) {
            processes::signal(pid, Signal::SIGTERM);
            processes::signal(pid, Signal::SIGCONT);
        }
        let end = Instant::now() + TERM_GRACE;
        // Init itself idles with a `sleep`, which comes back: only who was there at the end counts.
        while Instant::now() < end && !self.members(child).iter().all(|pid| is_idle(*pid, child)) {
            std::thread::sleep(LOOK);
        }
        for pid in self.members(child) {
            processes::signal(pid, Signal::SIGKILL);
        }
    }

    fn kill(&self, child: u32) {
        for pid in self.members(child) {
            processes::signal(pid, Signal::SIGKILL);
        }
        processes::signal(child, Signal::SIGKILL);
    }

    fn ended(&self, child: u32) {
        self.kill_members(child);
        if let Some(mut watcher) = self.watcher().take() {
            // Its input closes here, by which it looks a last time and ends.
            drop(watcher.stdin.take());
            if let Err(error) = watcher.wait() {
                tracing::warn!(%error, "can't wait for a guest's watcher");
            }
        }
    }
}

/// Whether a process is the `sleep` with which init idles.
fn is_idle(pid: u32, init: u32) -> bool {
    let of_init = processes::all()
        .iter()
        .any(|process| process.pid == pid && process.parent == init);
    of_init
        && fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == b"sleep\0infinity\0")
}

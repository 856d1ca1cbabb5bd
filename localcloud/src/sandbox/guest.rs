//! One running instance, whatever booted it: its thread, its console, its power button.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::sync::{mpsc, oneshot, watch};

use super::console::{self, Console};
use super::processes;
use crate::driver::{DriverError, DriverResult, PowerEvent, PowerOff};

/// How long a guest may take to power itself off once asked, before it is killed. The guest's own
/// init gives its processes half of it.
const POWER_OFF_GRACE: Duration = Duration::from_secs(10);

/// How long the kernel may take to clear away a killed guest.
const KILL_GRACE: Duration = Duration::from_secs(10);

/// How long a boot may take until init runs. It takes a fraction of a second on an idle machine.
const BOOT_GRACE: Duration = Duration::from_mins(1);

/// Exit code of an init that asks for a reboot: 128 + SIGHUP, by which reboot(2) ends the init of a
/// pid namespace.
const REBOOT: i32 = 129;

/// What a driver knows of starting and ending its kind of guest.
pub(super) trait Machine: Send + Sync {
    /// The command that becomes the guest; `again` after the guest rebooted itself. Its standard input
    /// will be the pipe on which init says `up`.
    fn command(&self, again: bool) -> DriverResult<Command>;

    /// The process to which signals for the guest's init go, given the command's.
    fn init(&self, child: u32) -> Option<u32>;

    /// Ends all of the guest's processes but the command's own, when init says `off`, `reboot` or `halt` on
    /// the pipe. Machines whose init does that itself never say so.
    fn end_processes(&self, _child: u32) {}

    /// Kills the guest whole.
    fn kill(&self, child: u32);

    /// Called when init is gone, before it is waited for: ends what init may have left.
    fn ended(&self, _child: u32) {}
}

/// A guest that is on, or was.
pub(super) struct Guest {
    pub volume_id: String,
    instance_id: String,
    machine: Box<dyn Machine>,
    /// The command's process; `None` before it runs and as soon as it has been waited for, so that no
    /// signal reaches a stranger.
    child: Mutex<Option<u32>>,
    requested: AtomicBool,
    off: watch::Sender<bool>,
}

impl Guest {
    /// Boots. Returns when init runs; the error holds the console's last words.
    pub(super) async fn boot(
        instance_id: String,
        volume_id: String,
        machine: Box<dyn Machine>,
        console: PathBuf,
        events: mpsc::UnboundedSender<PowerEvent>,
    ) -> DriverResult<Arc<Self>> {
        let guest = Arc::new(Self {
            volume_id,
            instance_id: instance_id.clone(),
            machine,
            child: Mutex::new(None),
            requested: AtomicBool::new(false),
            off: watch::Sender::new(false),
        });
        let (ready, up) = oneshot::channel();
        let thread_guest = Arc::clone(&guest);
        // A thread of its own for the guest's life, because the kernel ties the guest to the thread that
        // started it (PR_SET_PDEATHSIG), and run-time threads come and go.
        std::thread::Builder::new()
            .name(instance_id.clone())
            .spawn(move || thread_guest.live(&console, ready, &events))
            .map_err(|error| DriverError(format!("can't start a thread for a guest: {error}")))?;
        match tokio::time::timeout(BOOT_GRACE, up).await {
            Ok(Ok(result)) => result.map(|()| guest),
            Ok(Err(_)) => Err(DriverError(format!(
                "the boot of {instance_id} was given up"
            ))),
            Err(_) => {
                guest.kill();
                Err(DriverError(format!(
                    "{instance_id} did not boot within {} s",
                    BOOT_GRACE.as_secs()
                )))
            }
        }
    }

    pub(super) fn is_off(&self) -> bool {
        *self.off.borrow()
    }

    /// Presses the power button, waits, and pulls the plug when that doesn't help.
    pub(super) async fn power_off(&self) -> DriverResult<()> {
        self.requested.store(true, Ordering::SeqCst);
        self.signal_init(Signal::SIGPWR);
        let mut off = self.off.subscribe();
        if tokio::time::timeout(POWER_OFF_GRACE, off.wait_for(|off| *off))
            .await
            .is_ok()
        {
            return Ok(());
        }
        tracing::warn!(instance = self.instance_id, "doesn't power off: killing it");
        self.kill();
        match tokio::time::timeout(KILL_GRACE, off.wait_for(|off| *off)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(DriverError(format!(
                "{} was killed, but the kernel has not ended it for {} s",
                self.instance_id,
                KILL_GRACE.as_secs()
            ))),
        }
    }

    /// Kills it whole, without waiting.
    pub(super) fn kill(&self) {
        self.requested.store(true, Ordering::SeqCst);
        if let Some(child) = *self.child() {
            self.machine.kill(child);
        }
    }

    fn signal_init(&self, signal: Signal) {
        let child = self.child();
        if let Some(init) = child.and_then(|child| self.machine.init(child)) {
            processes::signal(init, signal);
        }
    }

    fn child(&self) -> MutexGuard<'_, Option<u32>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The guest's life, boots and reboots, on its thread.
    fn live(
        &self,
        console: &Path,
        ready: oneshot::Sender<DriverResult<()>>,
        events: &mpsc::UnboundedSender<PowerEvent>,
    ) {
        let mut ready = Some(ready);
        let mut again = false;
        let mut up = false;
        loop {
            match self.one_boot(console, again, &mut ready) {
                Ok(true) if !self.requested.load(Ordering::SeqCst) => {
                    again = true;
                    up = true;
                    continue;
                }
                Ok(_) => up |= ready.is_none(),
                Err(error) => {
                    if let Some(ready) = ready.take() {
                        // Nobody waits any more if the boot took too long.
                        let _ = ready.send(Err(error));
                    } else {
                        tracing::error!(instance = self.instance_id, %error, "reboot failed");
                    }
                }
            }
            break;
        }
        self.off.send_replace(true);
        if up {
            let cause = if self.requested.load(Ordering::SeqCst) {
                PowerOff::Requested
            } else {
                PowerOff::Guest
            };
            // No receiver: the server is going down.
            let _ = events.send(PowerEvent {
                instance_id: self.instance_id.clone(),
                cause,
            });
        } else if let Some(ready) = ready.take() {
            let words = console::tail(console).unwrap_or_default();
            let words = String::from_utf8_lossy(&words).trim().to_owned();
            let _ = ready.send(Err(DriverError(format!(
                "{} did not boot: {words}",
                self.instance_id
            ))));
        }
    }

    /// From power on to power off; true if the guest wants to be booted again.
    fn one_boot(
        &self,
        console: &Path,
        again: bool,
        ready: &mut Option<oneshot::Sender<DriverResult<()>>>,
    ) -> DriverResult<bool> {
        let failed =
            |what: &str, error: std::io::Error| DriverError(format!("can't {what}: {error}"));
        let console = if again {
            Console::append(console)
        } else {
            Console::create(console)
        }
        .map_err(|error| failed("open the console file", error))?;
        let (output, guest_output) = std::io::pipe().map_err(|e| failed("make a pipe", e))?;
        let (said, guest_says) = std::io::pipe().map_err(|e| failed("make a pipe", e))?;
        let guest_errors = guest_output
            .try_clone()
            .map_err(|e| failed("make a pipe", e))?;

        let mut child = {
            let mut slot = self.child();
            let mut command = self.machine.command(again)?;
            command
                .stdin(guest_says)
                .stdout(guest_output)
                .stderr(guest_errors);
            let child = command.spawn().map_err(|error| {
                let program = command.get_program().to_string_lossy();
                failed(&format!("run {program}"), error)
            })?;
            *slot = Some(child.id());
            child
            // Our ends of the guest's pipes close here, with `command`.
        };
        let pump = std::thread::spawn(move || console.pump(output));

        let mut reboot = false;
        for line in BufReader::new(said).lines().map_while(Result::ok) {
            match line.as_str() {
                "up" => {
                    if let Some(ready) = ready.take() {
                        let _ = ready.send(Ok(()));
                    }
                }
                "halt" => self.machine.end_processes(child.id()),
                "off" | "reboot" => {
                    reboot = line == "reboot";
                    self.machine.end_processes(child.id());
                    self.machine.kill(child.id());
                }
                other => tracing::warn!(instance = self.instance_id, other, "unknown word of init"),
            }
        }
        self.machine.ended(child.id());
        let status = child.wait();
        *self.child() = None;
        let status = status.map_err(|error| failed("wait for a guest", error))?;
        // The last process has ended, so this is only what is still in the pipe.
        let _ = pump.join();
        Ok(reboot || wants_reboot(status))
    }
}

fn wants_reboot(status: ExitStatus) -> bool {
    status.code() == Some(REBOOT)
}

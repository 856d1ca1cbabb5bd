//! How a sandboxed guest comes up: what is laid out for it, and the command that becomes it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use super::guest::Machine;
use super::layout::{Layout, failure, make_folder};
use super::namespace::Namespace;
use super::processes;
use crate::driver::{BootSpec, DriverError, DriverResult};

const BOOT: &str = include_str!("guest/boot.sh");
const INIT: &str = include_str!("guest/init.sh");
const SYSTEMCTL: &str = include_str!("guest/systemctl.sh");
const COVER: &str = include_str!("guest/cover.sh");

/// The search path that Debian gives to root's services.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs a command with no signal ignored.
pub(super) const UNIGNORING: [&str; 2] = ["env", "--default-signal"];

/// Takes our `systemctl` away while apt replaces packages; see `cover.sh`.
const APT_HOOKS: &str = "DPkg::Pre-Invoke { \"/run/localcloud/cover off\"; };\n\
    DPkg::Post-Invoke { \"/run/localcloud/cover on\"; };\n";

/// A guest in namespaces over an overlay.
pub(super) struct SandboxMachine {
    layout: Layout,
    namespace: Namespace,
    spec: BootSpec,
}

impl SandboxMachine {
    pub(super) fn new(layout: Layout, namespace: Namespace, spec: BootSpec) -> DriverResult<Self> {
        // They are read by a shell, and are names of folders.
        for (what, value) in [
            ("instance id", &spec.instance_id),
            ("volume id", &spec.volume_id),
            ("host name", &spec.hostname),
        ] {
            plain_name(what, value)?;
        }
        Ok(Self {
            layout,
            namespace,
            spec,
        })
    }

    /// Writes the folder that becomes `/run/localcloud` in the guest.
    fn lay_out(&self, first: bool) -> DriverResult<()> {
        let instance = self.layout.instance(&self.spec.instance_id);
        let boot = instance.join("boot");
        make_folder(&instance.join("root"))?;
        make_folder(&boot)?;
        make_folder(&self.layout.upper(&self.spec.volume_id))?;
        write(&boot.join("init"), INIT.as_bytes(), 0o755)?;
        write(&boot.join("systemctl"), SYSTEMCTL.as_bytes(), 0o755)?;
        write(&boot.join("cover"), COVER.as_bytes(), 0o755)?;
        let apt = format!("{}{APT_HOOKS}", host_proxy());
        write(&boot.join("apt.conf"), apt.as_bytes(), 0o644)?;
        let facts = format!(
            "INSTANCE_ID={}\nHOST_NAME={}\nFIRST_BOOT={}\n",
            self.spec.instance_id,
            self.spec.hostname,
            if first { "yes" } else { "no" },
        );
        write(&boot.join("facts"), facts.as_bytes(), 0o644)?;
        let user_data = boot.join("user-data");
        match &self.spec.user_data {
            Some(bytes) => write(&user_data, bytes, 0o600),
            None if user_data.exists() => {
                fs::remove_file(&user_data).map_err(|error| failure("delete", &user_data, &error))
            }
            None => Ok(()),
        }
    }

    /// The folders of the layers, the highest first as `mount` wants them.
    fn layers(&self) -> DriverResult<Vec<PathBuf>> {
        let mut layers = Vec::new();
        for snapshot in self.spec.layers.iter().rev() {
            let layer = self.layout.layer(snapshot);
            // Through the link of a base image, because the boot script's folder is another.
            layers.push(layer.canonicalize().map_err(|error| {
                failure(
                    &format!("find the layer of snapshot {snapshot} at"),
                    &layer,
                    &error,
                )
            })?);
        }
        if layers.is_empty() {
            return Err(DriverError(format!(
                "volume {} has no snapshot under it, so there is nothing to boot",
                self.spec.volume_id
            )));
        }
        Ok(layers)
    }
}

impl Machine for SandboxMachine {
    fn command(&self, again: bool) -> DriverResult<Command> {
        self.lay_out(self.spec.first_boot && !again)?;
        // The guest dies with the thread that starts it, even if the server is killed: `setpriv` ties
        // `unshare` to the thread, `--kill-child` ties the guest's init to `unshare`. A session of its own keeps the terminal's
        // Ctrl-C from it: init would take that for a reboot. Signals that whoever started the server ignores
        // (a shell's `&` does that with SIGINT, nohup with SIGHUP) would be ignored by init for good,
        // and by them the kernel tells it of reboot and power-off; so all are set back.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL"])
            .args(UNIGNORING)
            .args(["setsid", "unshare"])
            .args(self.namespace.unshare_flags())
            .args([
                "--mount",
                "--pid",
                "--fork",
                "--uts",
                "--ipc",
                "--kill-child",
            ])
            .args(["sh", "-c", BOOT, "boot"])
            .arg(self.layout.instance(&self.spec.instance_id))
            .arg(self.layout.volume(&self.spec.volume_id))
            .arg(self.namespace.overlay_options())
            .args(self.layers()?)
            .env_clear()
            .env("PATH", PATH)
            .env("LANG", "C.UTF-8")
            .env("APT_CONFIG", "/run/localcloud/apt.conf")
            .envs(
                self.spec
                    .environment
                    .iter()
                    .map(|(name, value)| (name, value)),
            );
        Ok(command)
    }

    fn init(&self, child: u32) -> Option<u32> {
        processes::child_of(child)
    }

    fn kill(&self, child: u32) {
        if let Some(init) = self.init(child) {
            processes::signal(init, Signal::SIGKILL);
        }
        processes::signal(child, Signal::SIGKILL);
    }
}

/// Refuses a name that a shell or a path could take for something else.
pub(super) fn plain_name(what: &str, value: &str) -> DriverResult<()> {
    let plain = !value.is_empty()
        && !value.starts_with('-')
        && value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if plain {
        Ok(())
    } else {
        Err(DriverError(format!(
            "the {what} {value:?} must consist of letters, digits and hyphens"
        )))
    }
}

/// Writes a file with a mode.
pub(super) fn write(path: &Path, bytes: &[u8], mode: u32) -> DriverResult<()> {
    fs::write(path, bytes)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .map_err(|error| failure("write", path, &error))
}

/// The proxy by which the host's apt reaches its mirrors, as lines for the guest's.
fn host_proxy() -> String {
    let dump = Command::new("apt-config")
        .arg("dump")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    proxy_lines(&dump)
}

/// `Acquire::http::Proxy` and its like (also those for single hosts) out of apt's settings.
fn proxy_lines(dump: &str) -> String {
    dump.lines()
        .filter(|line| {
            ["Acquire::http::Proxy", "Acquire::https::Proxy"]
                .iter()
                .any(|name| {
                    line.strip_prefix(name)
                        .is_some_and(|rest| rest.starts_with(' ') || rest.starts_with("::"))
                })
        })
        .flat_map(|line| [line, "\n"])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_only_the_proxies() {
        let dump = "Acquire \"\";\nAcquire::http::Proxy \"http://proxy.example:3128\";\n\
            Acquire::http::Proxy::mirror.example \"DIRECT\";\nAcquire::http::Proxy-Auto-Detect \"/x\";\n";
        assert_eq!(
            proxy_lines(dump),
            "Acquire::http::Proxy \"http://proxy.example:3128\";\n\
             Acquire::http::Proxy::mirror.example \"DIRECT\";\n"
        );
    }

    #[test]
    fn names_for_the_shell_are_plain() {
        assert!(plain_name("host name", "ip-127-0-3-17").is_ok());
        for bad in ["", "-x", "a b", "a;b", "../x", "a\nb"] {
            assert!(plain_name("host name", bad).is_err(), "{bad:?}");
        }
    }
}

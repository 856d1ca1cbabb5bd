//! With which rights guests and their layers are handled: as root, or as root of a user namespace.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::unistd::geteuid;

use crate::driver::{DriverError, DriverResult};

/// `unshare`'s switches that make the caller root of a new user namespace in which its subordinate
/// ids (`/etc/subuid`) are the other users.
const USER_NAMESPACE: [&str; 3] = ["--user", "--map-auto", "--map-root-user"];

/// Whose rights a sandbox uses. Layers made by one can't be used by another: the owners of their
/// files and the attributes of their overlays differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Namespace {
    /// Root of the machine.
    Root,
    /// Root of a user namespace that somebody else made (a container).
    NestedRoot,
    /// An ordinary user, by its id, who makes a user namespace for each guest.
    User(u32),
}

impl Namespace {
    /// What the caller is.
    pub(super) fn of_caller() -> Self {
        let user = geteuid();
        if !user.is_root() {
            return Self::User(user.as_raw());
        }
        // "0 0 4294967295" in the machine's own user namespace (user_namespaces(7)).
        let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        if map.split_whitespace().eq(["0", "0", "4294967295"]) {
            Self::Root
        } else {
            Self::NestedRoot
        }
    }

    /// A name that differs where layers can't be shared.
    pub(super) fn label(self) -> String {
        match self {
            Self::Root => "root".to_owned(),
            Self::NestedRoot => "root of a user namespace".to_owned(),
            Self::User(id) => format!("user {id}"),
        }
    }

    /// Overlay options. All features that bind an upper layer to the lower ones of its first mount are
    /// off, because a frozen layer is used under others. Outside the machine's own user namespace the
    /// overlay's marks must lie in `user.*` attributes, which turns those features off by itself.
    pub(super) fn overlay_options(self) -> &'static str {
        match self {
            Self::Root => "index=off,metacopy=off,redirect_dir=off,xino=off",
            Self::NestedRoot | Self::User(_) => "userxattr",
        }
    }

    /// Switches for `unshare` beside those for the guest's other namespaces.
    pub(super) fn unshare_flags(self) -> &'static [&'static str] {
        match self {
            Self::Root | Self::NestedRoot => &[],
            Self::User(_) => &USER_NAMESPACE,
        }
    }

    /// A command with the rights over files in layers, whoever of the guest owns them.
    pub(super) fn command(self, program: &str) -> Command {
        let flags = self.unshare_flags();
        if flags.is_empty() {
            return Command::new(program);
        }
        let mut command = Command::new("unshare");
        command.args(flags).arg(program);
        command
    }

    /// Deletes a folder with all in it; no error if it is absent.
    pub(super) fn remove_tree(self, path: &Path) -> DriverResult<()> {
        if !path.exists() && !path.is_symlink() {
            return Ok(());
        }
        run(self.command("rm").arg("-rf").arg("--").arg(path))?;
        Ok(())
    }
}

/// Runs a command to its end and returns what it printed; its last words are the error.
pub(super) fn run(command: &mut Command) -> DriverResult<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|error| DriverError(format!("can't run {program}: {error}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(DriverError(format!(
        "{program} failed ({}): {}",
        output.status,
        words.trim()
    )))
}

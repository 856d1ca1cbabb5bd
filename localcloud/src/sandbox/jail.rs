//! Whether programs of guests of the `process` driver can be jailed with the host's `bubblewrap`. In a sandboxed
//! guest its own is used, and it always can: who makes a sandbox can make a jail in it.

use std::process::{Command, Stdio};

use nix::unistd::geteuid;

use super::boot::PATH;
use super::namespace::run;

/// What tells the image's worker to do without, by its name.
pub(super) fn without() -> (String, String) {
    ("MUCK_WORKER_UNJAILED".to_owned(), "1".to_owned())
}

/// An id that no user has, as the worker's jail takes one where it is root.
const NOBODYS: &str = "65525";

/// A sentence that says what is missing and what helps, if anything is missing: found out by making a tiny jail.
pub(super) fn missing() -> Option<String> {
    let mut command = if geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", NOBODYS, "--regid", NOBODYS, "--clear-groups"])
            .arg("bwrap");
        command
    } else {
        Command::new("bwrap")
    };
    let installed = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join("bwrap").is_file())
    });
    if !installed {
        return Some("bwrap is not on PATH: `apt-get install bubblewrap` brings it".to_owned());
    }
    command
        .args([
            "--unshare-user",
            "--unshare-all",
            "--disable-userns",
            "--die-with-parent",
        ])
        .args(["--ro-bind", "/", "/", "true"])
        .env(
            "PATH",
            std::env::var_os("PATH").unwrap_or_else(|| PATH.into()),
        )
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null());
    let error = run(&mut command).err()?;
    Some(format!(
        "user namespaces are not possible here ({error}); `sysctl kernel.unprivileged_userns_clone=1 \
         kernel.apparmor_restrict_unprivileged_userns=0` allows them where one of these is set otherwise"
    ))
}

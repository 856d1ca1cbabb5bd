//! Whether sandboxed guests are possible here: found out by making a tiny one.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::base::Base;
use super::boot::PATH;
use super::layout::{Layout, failure, make_folder};
use super::namespace::{Namespace, run};
use crate::driver::{DriverError, DriverResult};

const PROBE: &str = include_str!("guest/probe.sh");

/// Tools of the host that a boot uses, each with the Debian package that brings it.
const TOOLS: [(&str, &str); 5] = [
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("pivot_root", "util-linux"),
    ("mount", "mount"),
    ("tar", "tar"),
];

/// `Ok` if guests can be made from layers in these folders; the error is a sentence that says what is
/// missing and what helps.
pub(super) fn probe(layout: &Layout, cache_dir: &Path, namespace: Namespace) -> DriverResult<()> {
    let mut missing: Vec<&str> = TOOLS
        .iter()
        .filter(|(tool, _)| !installed(tool))
        .map(|(_, package)| *package)
        .collect();
    if matches!(namespace, Namespace::User(_)) && !installed("newuidmap") {
        missing.push("uidmap");
    }
    // Not needed any more once the root is made.
    if !Base::new(cache_dir, namespace).is_cached() && !installed("mmdebstrap") {
        missing.push("mmdebstrap");
    }
    missing.dedup();
    if !missing.is_empty() {
        return Err(DriverError(format!(
            "tools are missing: `apt-get install {}` brings them",
            missing.join(" ")
        )));
    }
    if let Namespace::User(id) = namespace {
        user_namespace()?;
        subordinate_ids(id)?;
    }
    let stage = layout.probe();
    let lower = cache_dir.join(format!("probe.{}", std::process::id()));
    let result = try_it(&stage, &lower, namespace);
    // The probe's own answer is the one to tell.
    for folder in [&stage, &lower] {
        if let Err(error) = namespace.remove_tree(folder) {
            tracing::warn!(%error, "a probing folder is left");
        }
    }
    result
}

fn try_it(stage: &Path, lower: &Path, namespace: Namespace) -> DriverResult<()> {
    namespace.remove_tree(stage)?;
    make_folder(stage)?;
    make_folder(lower)?;
    let lower = lower
        .canonicalize()
        .map_err(|error| failure("open", lower, &error))?;
    let old = lower.join("old");
    fs::write(&old, "").map_err(|error| failure("write", &old, &error))?;
    let mut command = Command::new("unshare");
    command
        .args(namespace.unshare_flags())
        .args([
            "--mount",
            "--pid",
            "--fork",
            "--uts",
            "--ipc",
            "--kill-child",
        ])
        .args(["sh", "-c", PROBE, "probe"])
        .arg(stage)
        .arg(lower)
        .arg(namespace.overlay_options())
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .stdin(Stdio::null());
    run(&mut command)
        .map(drop)
        .map_err(|error| DriverError(format!("{error}{}", hint(namespace))))
}

fn installed(tool: &str) -> bool {
    PATH.split(':')
        .any(|folder| Path::new(folder).join(tool).exists())
}

/// An error if the user may make no user namespace at all. Asked first and without subordinate ids: `unshare
/// --map-auto` leaves a helper behind that waits for ever if the kernel refuses the namespace (util-linux 2.38).
fn user_namespace() -> DriverResult<()> {
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "true"])
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .stdin(Stdio::null());
    run(&mut command)
        .map(drop)
        .map_err(|error| DriverError(format!("{error}{}", hint(Namespace::of_caller()))))
}

/// An error if the user has no ids to give to the guests' other users.
fn subordinate_ids(user: u32) -> DriverResult<()> {
    // Asked of a program of the host: `getpwuid` of a static program can't load the host's name service modules.
    let name = run(Command::new("id").arg("-un").arg(user.to_string()))
        .map(|name| name.trim().to_owned())
        .unwrap_or_default();
    for file in ["/etc/subuid", "/etc/subgid"] {
        let text = fs::read_to_string(file).unwrap_or_default();
        let listed = text
            .lines()
            .filter_map(|line| line.split(':').next())
            .any(|owner| owner == name || owner == user.to_string());
        if !listed {
            let option = if file.ends_with("uid") {
                "uids"
            } else {
                "gids"
            };
            return Err(DriverError(format!(
                "{file} gives the user {name} no subordinate ids: \
                 `sudo usermod --add-sub{option} 100000-165535 {name}` does"
            )));
        }
    }
    Ok(())
}

/// What most probably forbade it, from the switches that kernels have for that.
fn hint(namespace: Namespace) -> String {
    let switch = |name: &str| {
        fs::read_to_string(format!("/proc/sys/{name}"))
            .map(|text| text.trim().to_owned())
            .unwrap_or_default()
    };
    if !matches!(namespace, Namespace::User(_)) {
        return " (in a container it needs CAP_SYS_ADMIN, and folders that aren't on an overlay themselves)"
            .to_owned();
    }
    for (name, forbidding, allowing) in [
        ("kernel/unprivileged_userns_clone", "0", "1"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
        ("user/max_user_namespaces", "0", "10000"),
    ] {
        if switch(name) == forbidding {
            let name = name.replace('/', ".");
            return format!(
                " (user namespaces are off: `sudo sysctl {name}={allowing}` allows them)"
            );
        }
    }
    String::new()
}

//! The part before the walls, still with the worker's rights: makes what only root can reach reachable for the jail's
//! user, becomes that user, and turns into `bwrap`.
//!
//! A worker that isn't root has no other user to become: then the jail is a user namespace of the worker's own user,
//! in which it has another id and nothing else of the machine is shown.

use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use nix::libc::O_PATH;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

pub(super) const NAME: &str = "enter";

/// Where things are shown, in a mount namespace of the jail's own: a folder that every system has.
const STAGE: &str = "/mnt";

/// The job's folder, shown.
pub(super) const FOLDER: &str = "/mnt/job";

/// This program, shown.
pub(super) const OWN: &str = "/mnt/muck-worker";

/// The program that is to run, if it isn't the system's, shown.
pub(super) const PROGRAM: &str = "/mnt/program";

/// `jail:enter FOLDER INPUT OWN PROGRAM BWRAP ARGUMENT…`
pub(super) fn main(words: &[OsString]) -> ExitCode {
    let why = match enter(words) {
        Ok(error) => format!("can't run bwrap: {error}"),
        Err(why) => why,
    };
    let _ = writeln!(std::io::stderr(), "jail: {why}");
    ExitCode::FAILURE
}

/// Returns only if `bwrap` can't be run.
fn enter(words: &[OsString]) -> Result<std::io::Error, String> {
    let [folder, input, own, program, bwrap, args @ ..] = words else {
        return Err("a folder, an input, two programs and bwrap are needed".to_owned());
    };
    // When memory runs out the program goes, not the worker. Everybody may make it worse for himself; where it
    // can't be said (no /proc), nothing is lost but that.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    if let Some(user) = super::user() {
        let (folder, own, program) = (Path::new(folder), Path::new(own), Path::new(program));
        give(folder, input, user)?;
        show(folder, own, program)
            .map_err(|error| format!("can't show the job's folder: {error}"))?;
        become_user(user).map_err(|error| format!("can't become the user {user}: {error}"))?;
    }
    Ok(Command::new(bwrap).args(args).env_clear().exec())
}

/// The folder becomes the user's, and it may read the input, which stays the worker's.
fn give(folder: &Path, input: &OsString, user: Uid) -> Result<(), String> {
    let open = |path: PathBuf| {
        // A link would lead out of the folder.
        File::options()
            .read(true)
            .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
            .open(&path)
            .map_err(|error| format!("can't open {}: {error}", path.display()))
    };
    let id = user.as_raw();
    fchown(open(folder.to_owned())?, Some(id), Some(id))
        .map_err(|error| format!("can't give away {}: {error}", folder.display()))?;
    open(folder.join(input))?
        .set_permissions(Permissions::from_mode(0o444))
        .map_err(|error| format!("can't make the input readable: {error}"))
}

/// Shows folder and programs at [`STAGE`], for this process and what becomes of it only. Their own paths may lead
/// through folders that are closed to others.
fn show(folder: &Path, own: &Path, program: &Path) -> std::io::Result<()> {
    let none = None::<&str>;
    let open = |path: &Path| File::options().read(true).custom_flags(O_PATH).open(path);
    unshare(CloneFlags::CLONE_NEWNS)?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(none, "/", none, private, none)?;
    // In the new namespace, for mounts of another can't be shown; and before anything lies over them.
    let (folder, own, program) = (open(folder)?, open(own)?, open(program)?);
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(
        Some("jail"),
        STAGE,
        Some("tmpfs"),
        flags,
        Some("mode=755,size=64k"),
    )?;
    std::fs::create_dir(FOLDER)?;
    File::create(OWN)?;
    File::create(PROGRAM)?;
    for (opened, target) in [(folder, FOLDER), (own, OWN), (program, PROGRAM)] {
        let path = format!("/proc/self/fd/{}", opened.as_raw_fd());
        mount(Some(path.as_str()), target, none, MsFlags::MS_BIND, none)?;
    }
    Ok(())
}

/// Gives up all rights.
fn become_user(user: Uid) -> nix::Result<()> {
    let group = Gid::from_raw(user.as_raw());
    setgroups(&[])?;
    setresgid(group, group, group)?;
    setresuid(user, user, user)
}

//! The jail in which ffmpeg and ffprobe read a stranger's file.
//!
//! A file that takes over its decoder finds: a user that owns nothing and has no capability, no network, no
//! other process, no `/proc`, an empty environment, the system's programs and libraries read-only, its
//! own input read-only, one folder to write into, and limits of memory, processes, processor time and
//! file size that it can't raise. All of it dies with the worker.
//!
//! The walls are made by `bubblewrap`: namespaces and mounts are its whole business, Debian keeps it, and
//! it needs no rights where user namespaces are allowed. (Landlock alone leaves other processes visible, has no limits, and
//! bounds the network by TCP port only.) Around and in it this program calls itself twice, as whoever
//! limits and measures must stand directly above what it starts:
//!
//! 1. [`enter`], where the worker is root: shows the job's folder and nothing else of what only root can
//!    reach, becomes a user of its own, and turns into `bwrap`;
//! 2. [`inside`]: sets the limits, runs the program, kills what it left, and reports how it ended and what it took.
//!
//! [`probe`] tries the walls from inside before the first file comes. A worker that can't make them doesn't start, unless it
//! was told by name to do without. docs/jail.md tells all of it to whoever runs a machine.

mod enter;
mod inside;
mod limits;
mod probe;
mod report;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::unistd::{Uid, geteuid};
use tokio::process::Command;

pub use limits::{Access, Bounds, Limits, Machine};
pub use probe::Checked;
pub(crate) use report::Report;

/// The user and group of jailed programs. Debian's policy reserves 65000 to 65533 and gives them to nobody;
/// systemd's dynamic users end at 65519. Below 65536, so that it exists in user namespaces with that many ids.
const USER: u32 = 65525;

/// The job's folder, seen from inside.
const FOLDER: &str = "/job";

/// This program, seen from inside.
const OWN: &str = "/jail/muck-worker";

/// What the host's root has that programs need: links into `/usr` on a merged system, else folders.
const SYSTEM: [&str; 6] = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// The little of `/etc` that is read: where alternatives lead (libblas is found through one), and where
/// libraries lie.
const SETTINGS: [&str; 2] = ["/etc/alternatives", "/etc/ld.so.cache"];

/// The devices that programs open: for discarding, and for random numbers.
const DEVICES: [&str; 3] = ["/dev/null", "/dev/zero", "/dev/urandom"];

/// First argument by which this program is called by itself.
const CALL: &str = "jail:";

/// Why there is no jail.
#[derive(Debug, thiserror::Error)]
pub enum JailError {
    #[error("`bwrap` is not on PATH; install the package `bubblewrap`{BY_NAME}")]
    NoBubblewrap,
    #[error("this program can't find itself")]
    Own(#[source] std::io::Error),
    #[error("ffmpeg can't be jailed here: {0}{BY_NAME}")]
    Impossible(String),
    #[error("ffmpeg's jail has holes here, for it is not so that {0}{BY_NAME}")]
    Holes(String),
}

const BY_NAME: &str =
    " (--unjailed, or MUCK_WORKER_UNJAILED=1, runs ffmpeg without walls: for files that you trust)";

/// What stands around a program.
#[derive(Debug, Clone)]
enum Walls {
    Bubblewrap(PathBuf),
    /// Told so by name: only limits.
    Open,
}

/// How programs are run on a stranger's file.
#[derive(Debug, Clone)]
pub struct Jail {
    walls: Walls,
    /// This program. Without it (in this library's own tests, whose program it isn't) nothing is limited or measured.
    own: Option<PathBuf>,
    limits: Limits,
}

impl Jail {
    /// A jail with these limits. Nothing is tried yet: [`Jail::check`] does.
    ///
    /// # Errors
    /// [`JailError::NoBubblewrap`].
    pub fn new(limits: Limits) -> Result<Self, JailError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let bwrap = std::env::split_paths(&path)
            .map(|folder| folder.join("bwrap"))
            .find(|file| file.is_file())
            .ok_or(JailError::NoBubblewrap)?;
        Self::with(Walls::Bubblewrap(bwrap), limits)
    }

    /// The limits without the walls.
    ///
    /// # Errors
    /// [`JailError::Own`].
    pub fn unjailed(limits: Limits) -> Result<Self, JailError> {
        Self::with(Walls::Open, limits)
    }

    fn with(walls: Walls, limits: Limits) -> Result<Self, JailError> {
        Ok(Self {
            walls,
            own: Some(std::env::current_exe().map_err(JailError::Own)?),
            limits,
        })
    }

    /// For this library's own tests: programs run as they are.
    #[cfg(test)]
    pub(crate) fn bare() -> Self {
        Self {
            walls: Walls::Open,
            own: None,
            limits: Limits::of(Machine::of_this(), 1),
        }
    }

    /// What every job may take.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Whether the last line of standard error is a [`Report`].
    pub(crate) fn reports(&self) -> bool {
        self.own.is_some()
    }

    /// The command that runs `program` with `args` in a job's folder. `input` is the file in it that must
    /// stay as it is; all else may change if `bounds` let it write.
    ///
    /// The folder becomes its user's, where the jail has a user of its own.
    pub(crate) fn command(
        &self,
        program: &Path,
        args: &[OsString],
        folder: &Path,
        input: &str,
        bounds: Bounds,
    ) -> Command {
        let Some(own) = &self.own else {
            let mut command = Command::new(program);
            command.args(args).current_dir(folder);
            return command;
        };
        // The jail's parts are started elsewhere.
        let folder = &std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let limited = |own: &Path| -> Vec<OsString> {
            let limits = inside::argument(self.limits, bounds);
            let mut words = vec![
                own.into(),
                call(inside::NAME),
                limits.into(),
                program.into(),
            ];
            words.extend_from_slice(args);
            words
        };
        match &self.walls {
            Walls::Open => {
                let words = limited(own);
                let mut command = Command::new(&words[0]);
                command.args(&words[1..]).current_dir(folder);
                command
            }
            Walls::Bubblewrap(bwrap) => {
                // Where `enter` shows them if it becomes another user.
                let shown = if user().is_some() {
                    Shown {
                        folder: Path::new(enter::FOLDER),
                        own: Path::new(enter::OWN),
                        program: Path::new(enter::PROGRAM),
                    }
                } else {
                    Shown {
                        folder,
                        own,
                        program,
                    }
                };
                let mut command = Command::new(own);
                command
                    .arg(call(enter::NAME))
                    .arg(folder)
                    .arg(input)
                    .arg(own)
                    .arg(if is_elsewhere(program) { program } else { own })
                    .arg(bwrap)
                    .args(walls(shown, input, program, bounds.access))
                    .arg("--")
                    .args(limited(Path::new(OWN)))
                    .current_dir("/");
                command
            }
        }
    }

    /// Tries the jail from inside, in a folder below `work_root`, where jobs will be.
    ///
    /// # Errors
    /// [`JailError`]: it can't be made, or it has holes; each is named.
    pub async fn check(&self, work_root: &Path) -> Result<Checked, JailError> {
        probe::check(self, work_root).await
    }
}

/// The word by which this program is called for a part of the jail.
fn call(part: &str) -> OsString {
    format!("{CALL}{part}").into()
}

/// Where `bwrap` finds what isn't the system's.
#[derive(Clone, Copy)]
struct Shown<'a> {
    folder: &'a Path,
    own: &'a Path,
    program: &'a Path,
}

/// Whether a program is neither the system's nor this one.
fn is_elsewhere(program: &Path) -> bool {
    !program.starts_with("/usr") && program != Path::new(OWN)
}

/// `bwrap`'s arguments up to the program.
fn walls(shown: Shown<'_>, input: &str, program: &Path, access: Access) -> Vec<OsString> {
    let Shown { folder, own, .. } = shown;
    let mut all: Vec<OsString> = Vec::new();
    let mut add = |words: &[&OsStr]| all.extend(words.iter().map(OsString::from));
    let word = OsStr::new;
    // `--unshare-all` alone would go on without a user namespace where there can't be one.
    for option in [
        "--unshare-user",
        "--unshare-all",
        "--disable-userns",
        "--die-with-parent",
        "--new-session",
        "--clearenv",
    ] {
        add(&[word(option)]);
    }
    let user = USER.to_string();
    add(&[word("--uid"), word(&user), word("--gid"), word(&user)]);
    add(&[word("--cap-drop"), word("ALL")]);
    add(&[word("--hostname"), word("jail")]);
    add(&[word("--ro-bind"), word("/usr"), word("/usr")]);
    for name in SYSTEM {
        match std::fs::read_link(name) {
            Ok(target) => add(&[word("--symlink"), target.as_os_str(), word(name)]),
            Err(_) => add(&[word("--ro-bind-try"), word(name), word(name)]),
        }
    }
    for name in SETTINGS {
        add(&[word("--ro-bind-try"), word(name), word(name)]);
    }
    for name in DEVICES {
        add(&[word("--dev-bind"), word(name), word(name)]);
    }
    add(&[word("--ro-bind"), own.as_os_str(), word(OWN)]);
    if is_elsewhere(program) {
        add(&[
            word("--ro-bind"),
            shown.program.as_os_str(),
            program.as_os_str(),
        ]);
    }
    match access {
        Access::Read => add(&[word("--ro-bind"), folder.as_os_str(), word(FOLDER)]),
        Access::Write => {
            add(&[word("--bind"), folder.as_os_str(), word(FOLDER)]);
            let (from, to) = (folder.join(input), Path::new(FOLDER).join(input));
            add(&[word("--ro-bind"), from.as_os_str(), to.as_os_str()]);
        }
    }
    add(&[word("--remount-ro"), word("/")]);
    add(&[word("--chdir"), word(FOLDER)]);
    all
}

/// The jail's user on the machine: a user of its own where the worker may become another, else the worker's.
fn user() -> Option<Uid> {
    // Where it can't be read, becoming that user will tell; nobody stays root for want of /proc.
    let possible =
        || std::fs::read_to_string("/proc/self/uid_map").map_or(true, |map| maps(&map, USER));
    (geteuid().is_root() && possible()).then(|| Uid::from_raw(USER))
}

/// Whether a user namespace with that `uid_map` (lines of first id inside, first id outside, count:
/// user_namespaces(7)) has this user. The root of one with a single user can become nobody else.
fn maps(map: &str, user: u32) -> bool {
    map.lines().any(|line| {
        let numbers: Vec<u32> = line
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        matches!(numbers[..], [first, _, count] if user.checked_sub(first).is_some_and(|at| at < count))
    })
}

/// Whether this process was started by [`Jail::command`]; then it does its part, and this is its end.
pub fn called() -> Option<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    let part = words.next()?;
    let part = part.to_str()?.strip_prefix(CALL)?;
    let words: Vec<OsString> = words.collect();
    Some(match part {
        enter::NAME => enter::main(&words),
        inside::NAME => inside::main(&words),
        probe::NAME => probe::main(&words),
        _ => ExitCode::FAILURE,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_namespace_tells_whom_root_can_become() {
        assert!(maps("         0          0 4294967295\n", USER));
        assert!(maps("0 1000 1\n1 100000 65536\n", USER));
        assert!(!maps("         0       1000          1\n", USER));
        assert!(!maps("", USER));
    }

    fn line(access: Access, program: &str) -> String {
        let shown = Shown {
            folder: Path::new("/w/job"),
            own: Path::new("/w/worker"),
            program: Path::new("/w/program"),
        };
        walls(shown, "input", Path::new(program), access)
            .iter()
            .map(|word| word.to_str().expect("UTF-8"))
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn who_only_reads_gets_nothing_to_write_into() {
        let reading = line(Access::Read, "/usr/bin/ffprobe");
        assert!(reading.contains("--ro-bind /w/job /job "), "{reading}");
        assert!(!reading.contains("--bind /w"), "{reading}");
        let writing = line(Access::Write, "/usr/bin/ffmpeg");
        assert!(
            writing.contains("--bind /w/job /job --ro-bind /w/job/input /job/input --remount-ro /"),
            "{writing}"
        );
        let elsewhere = line(Access::Read, "/opt/ffmpeg/ffmpeg");
        assert!(
            elsewhere.contains("--ro-bind /w/program /opt/ffmpeg/ffmpeg"),
            "{elsewhere}"
        );
    }

    #[test]
    fn a_usual_command_line_is_not_taken_for_a_call() {
        assert!(called().is_none());
    }
}

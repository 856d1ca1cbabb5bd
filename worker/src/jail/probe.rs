//! Tries the walls: from inside whatever a file might try that has taken over its decoder, from outside whether it was
//! seen to get through.

use std::ffi::OsString;
use std::fmt;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::sync::{Arc, RwLock};
use std::thread::Builder;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::getrlimit;
use nix::sys::signal::kill;
use nix::unistd::{
    Gid, Pid, Uid, chroot, geteuid, getgid, getgroups, getuid, sethostname, setresgid, setresuid,
};

use super::limits::{Access, Bounds};
use super::{FOLDER, Jail, JailError, OWN, Report, USER, Walls, inside};
use crate::text::quantity_of;

pub(super) const NAME: &str = "look";

/// A look takes milliseconds; this long on a machine that is busy with its boot.
const LIMIT: Duration = Duration::from_secs(30);

/// The metadata service of EC2, which gives out the role's credentials.
const METADATA: &str = "169.254.169.254:80";

/// How long a connection that isn't refused is waited for.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// Bytes of stack of a thread that does nothing.
const THREAD_STACK: usize = 64 << 10;

/// What may be seen at the top.
const TOP: [&str; 11] = [
    "bin", "dev", "etc", "jail", "job", "lib", "lib32", "lib64", "libx32", "sbin", "usr",
];

/// What was tried of a jail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// What holds, a line each; empty if the jail was left out by name.
    pub holds: Vec<String>,
}

impl Checked {
    /// [`Checked::holds`], each line ended.
    pub fn lines(&self) -> String {
        self.holds.iter().flat_map(|line| [line, "\n"]).collect()
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.holds.is_empty() {
            return f.write_str("ffmpeg runs UNJAILED, as told by name: only files that you trust");
        }
        write!(
            f,
            "ffmpeg runs jailed; its walls hold: {} from inside",
            quantity_of(&self.holds, "attempt")
        )
    }
}

/// Looks at the jail from both sides.
pub(super) async fn check(jail: &Jail, work_root: &Path) -> Result<Checked, JailError> {
    if matches!(jail.walls, Walls::Open) {
        return Ok(Checked { holds: Vec::new() });
    }
    let outside = |error: std::io::Error| {
        JailError::Impossible(format!("in {}: {error}", work_root.display()))
    };
    let folder = tempfile::Builder::new()
        .prefix("muck-jail-")
        .tempdir_in(work_root)
        .map_err(outside)?;
    let job = folder.path().join("job");
    let secret = folder.path().join("secret");
    std::fs::create_dir(&job).map_err(outside)?;
    std::fs::write(job.join("input"), "input").map_err(outside)?;
    // Readable for everybody: what hides it must be the walls.
    std::fs::write(&secret, "secret").map_err(outside)?;
    let listener = TcpListener::bind("127.0.0.1:0").map_err(outside)?;
    listener.set_nonblocking(true).map_err(outside)?;
    let port = listener.local_addr().map_err(outside)?;

    let mut holds = Vec::new();
    let mut broken = Vec::new();
    for bounds in [Bounds::reading(LIMIT), Bounds::writing(LIMIT, 1 << 20)] {
        let text = look(jail, &job, &secret, port, bounds).await?;
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("holds", what)) => holds.push(what.to_owned()),
                Some(("hole", what)) => broken.push(what.to_owned()),
                _ => broken.push(format!("it says {line:?}")),
            }
        }
    }
    if listener.accept().is_ok() {
        broken.push("it has reached this machine's loopback".to_owned());
    }
    match std::fs::metadata(job.join("made")) {
        Ok(made) => {
            let wanted = super::user().unwrap_or_else(geteuid).as_raw();
            if made.uid() == wanted {
                holds.push(format!("its files belong to the user {wanted}"));
            } else {
                broken.push(format!(
                    "its files belong to the user {}, not {wanted}",
                    made.uid()
                ));
            }
        }
        Err(error) => {
            return Err(JailError::Impossible(format!(
                "it can't write into its folder: {error}"
            )));
        }
    }
    let input = std::fs::read_to_string(job.join("input")).unwrap_or_default();
    if input != "input" {
        broken.push("the input was changed".to_owned());
    }
    broken.sort();
    broken.dedup();
    holds.sort();
    holds.dedup();
    if !broken.is_empty() {
        return Err(JailError::Holes(broken.join("; ")));
    }
    Ok(Checked { holds })
}

/// What [`main`] says.
async fn look(
    jail: &Jail,
    job: &Path,
    secret: &Path,
    port: SocketAddr,
    bounds: Bounds,
) -> Result<String, JailError> {
    let args: [OsString; 6] = [
        super::call(NAME),
        secret.into(),
        port.to_string().into(),
        std::process::id().to_string().into(),
        inside::argument(jail.limits, bounds).into(),
        if bounds.access == Access::Write {
            "write"
        } else {
            "read"
        }
        .into(),
    ];
    let mut command = jail.command(Path::new(OWN), &args, job, "input", bounds);
    let running = command
        .env("MUCK_JAIL_PROBE", "must not be seen")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LIMIT, running)
        .await
        .map_err(|_| JailError::Impossible(format!("no answer in {} s", LIMIT.as_secs())))?
        .map_err(|error| JailError::Impossible(error.to_string()))?;
    let words = String::from_utf8_lossy(&output.stderr);
    let last = words.lines().rev().find(|line| !line.trim().is_empty());
    match last.map(|line| (line, Report::read(line))) {
        Some((_, Some(Report { code: Some(0), .. }))) => {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Some((_, Some(report))) => Err(JailError::Impossible(
            report
                .unstarted
                .clone()
                .unwrap_or_else(|| format!("{report:?}")),
        )),
        Some((line, None)) => Err(JailError::Impossible(line.to_owned())),
        None => Err(JailError::Impossible(format!(
            "bwrap ended ({})",
            output.status
        ))),
    }
}

/// `jail:look SECRET PORT PID LIMITS read|write`, inside. Prints a line for each thing tried.
pub(super) fn main(words: &[OsString]) -> ExitCode {
    let words: Vec<String> = words
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let [secret, port, worker, limits, access] = words.as_slice() else {
        return ExitCode::FAILURE;
    };
    let mut tried: Vec<(String, bool)> = Vec::new();
    let mut holds = |what: &str, good: bool| tried.push((what.to_owned(), good));

    let user = (getuid().as_raw(), getgid().as_raw());
    holds("it is a user of its own", user == (USER, USER));
    holds(
        "it is in no other group",
        getgroups().is_ok_and(|groups| groups.iter().all(|g| [USER, 65534].contains(&g.as_raw()))),
    );
    holds(
        "it can gain no rights by starting a program",
        nix::sys::prctl::get_no_new_privs() == Ok(true),
    );
    let (root, nobody) = (Uid::from_raw(0), Gid::from_raw(0));
    holds("it can't become root", setresuid(root, root, root).is_err());
    holds(
        "it can't join root's group",
        setresgid(nobody, nobody, nobody).is_err(),
    );
    holds("it can't change its root", chroot("/usr").is_err());
    holds("it can't name the machine", sethostname("x").is_err());
    let none = None::<&str>;
    let mounted = mount(Some("x"), "/usr", Some("tmpfs"), MsFlags::empty(), none);
    holds("it can't mount", mounted.is_err());
    holds(
        "it can't make a user namespace",
        unshare(CloneFlags::CLONE_NEWUSER).is_err(),
    );

    holds(
        "its environment is empty",
        std::env::vars_os().next().is_none(),
    );
    let worker = worker.parse().map(Pid::from_raw);
    holds(
        "it doesn't see the worker's process",
        worker.is_ok_and(|pid| kill(pid, None).is_err()),
    );
    holds("it has few processes beside it", std::process::id() < 16);
    holds(
        "it sees no /proc and no /sys",
        !Path::new("/proc").exists() && !Path::new("/sys").exists(),
    );

    let reached = |address: &str| {
        address
            .parse()
            .is_ok_and(|address| TcpStream::connect_timeout(&address, CONNECT_LIMIT).is_ok())
    };
    holds("it doesn't reach this machine's loopback", !reached(port));
    holds("it doesn't reach the metadata service", !reached(METADATA));

    let names = |folder: &str| -> Vec<String> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    };
    let top = names("/");
    holds(
        "it sees nothing at the top but what it needs",
        !top.is_empty() && top.iter().all(|name| TOP.contains(&name.as_str())),
    );
    holds(
        "it sees nothing of /etc but what it needs",
        names("/etc")
            .iter()
            .all(|name| super::SETTINGS.contains(&format!("/etc/{name}").as_str())),
    );
    let mut byte = [0];
    holds(
        "it can't read a file beside its folder",
        [secret.as_str(), "/job/../secret", "/etc/passwd"]
            .iter()
            .all(|path| std::fs::File::open(path).is_err()),
    );
    holds(
        "it can read its input",
        std::fs::File::open(format!("{FOLDER}/input")).is_ok_and(|mut f| f.read(&mut byte).is_ok()),
    );
    let write = |path: &str| {
        std::fs::File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .and_then(|mut file| file.write_all(b"x"))
    };
    for path in [
        "/x",
        "/usr/x",
        "/etc/x",
        "/jail/x",
        "/dev/x",
        "/job/input",
        OWN,
    ] {
        // Written to by nobody since it runs, in a worker that isn't jailed too; so told apart.
        let refused = write(path).is_err_and(|e| e.kind() != ErrorKind::NotFound);
        holds(&format!("it can't write {path}"), refused);
    }
    holds(
        "it can't remove its input",
        std::fs::remove_file(format!("{FOLDER}/input")).is_err(),
    );
    let made = write(&format!("{FOLDER}/made")).is_ok();
    if access == "write" {
        holds("it can write into its folder", made);
    } else {
        holds("it can't write into its folder when it only looks", !made);
    }
    for (name, good) in limits_hold(limits) {
        holds(&format!("the limit {name} holds"), good);
    }
    holds("it can't fill the machine with processes", bounded(limits));

    let mut text = String::new();
    for (what, good) in &tried {
        text.push_str(if *good { "holds " } else { "hole " });
        text.push_str(what);
        text.push('\n');
    }
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Starts as many threads as the kernel lets it, which count as processes there: whether they come to an end.
fn bounded(argument: &str) -> bool {
    let Some((limits, _)) = inside::read(argument) else {
        return false;
    };
    let gate = Arc::new(RwLock::new(()));
    let closed = gate.write();
    let start = |_| {
        let gate = Arc::clone(&gate);
        let wait = move || drop(gate.read());
        Builder::new().stack_size(THREAD_STACK).spawn(wait).ok()
    };
    // Fewer than the limit: we are one ourselves.
    let started: Vec<_> = (0..limits.processes).map_while(start).collect();
    let fewer = (started.len() as u64) < limits.processes;
    drop(closed);
    for thread in started {
        let _ = thread.join();
    }
    fewer
}

/// Whether each limit is what was asked for, soft and hard.
fn limits_hold(argument: &str) -> Vec<(String, bool)> {
    let Some((limits, bounds)) = inside::read(argument) else {
        return vec![("of anything".to_owned(), false)];
    };
    bounds
        .resources(limits)
        .into_iter()
        .map(|(resource, soft, hard)| {
            (
                format!("{resource:?}"),
                getrlimit(resource) == Ok((soft, hard)),
            )
        })
        .collect()
}

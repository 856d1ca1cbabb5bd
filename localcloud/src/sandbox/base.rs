//! The root of the base AMI: a Debian like its cloud image for our purposes, made once by `mmdebstrap` and
//! cached over all server folders.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::layout::{failure, make_folder};
use super::namespace::{Namespace, run};
use crate::driver::{DriverError, DriverResult};

const SUITE: &str = "trixie";

/// What the cloud image has and our guests use, beyond what apt itself needs: HTTPS, a metadata client, accounts, the
/// power commands, and `ip`.
const PACKAGES: &str =
    "adduser,ca-certificates,curl,iproute2,passwd,procps,sudo,systemd-sysv,util-linux";

/// Raised when [`FINISH`] or the way of packing changes, so that older caches are not used.
const VERSION: u32 = 1;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What is done to the unpacked root: mount points, and the state in which a cloud image waits for its
/// first boot (no host name, no machine id, a resolver that the network fills in).
const FINISH: &str = "set -eu; cd \"$1\"; mkdir -p dev proc sys run tmp; chmod 755 .; rm -f etc/hostname; \
    : >etc/machine-id; ln -sfn ../run/systemd/resolve/stub-resolv.conf etc/resolv.conf; \
    printf '127.0.0.1 localhost\\n' >etc/hosts";

/// A guest tells what its boot changed by the inodes' own times, in whole seconds that it counts back from now, so it
/// may be two early. No AMI is so young that its files would be taken for the boot's; a root that was unpacked just now
/// is kept back until it is old enough.
const SETTLED: Duration = Duration::from_secs(3);

/// All that decides what is in a base root.
pub(super) struct Base {
    cache_dir: PathBuf,
    namespace: Namespace,
    sources: Vec<String>,
}

impl Base {
    pub(super) fn new(cache_dir: &Path, namespace: Namespace) -> Self {
        Self {
            cache_dir: cache_dir.to_owned(),
            namespace,
            sources: debian_sources(),
        }
    }

    /// Whether it needn't be made.
    pub(super) fn is_cached(&self) -> bool {
        self.root().is_dir()
    }

    fn digest(&self) -> String {
        let mut recipe = format!(
            "version {VERSION}\nsuite {SUITE}\npackages {PACKAGES}\narch {}\nowner {}\n",
            architecture(),
            self.namespace.label(),
        );
        for source in &self.sources {
            let _ = writeln!(recipe, "{source}");
        }
        // 64 bits name a handful of roots well enough.
        hex::encode(&Sha256::digest(recipe.as_bytes())[..8])
    }

    fn folder(&self) -> PathBuf {
        self.cache_dir
            .join(format!("base-{SUITE}-{}", self.digest()))
    }

    fn root(&self) -> PathBuf {
        self.folder().join("root")
    }

    /// The root's folder, made if need be: tens of seconds, and the network. Blocks.
    pub(super) fn ensure(&self, progress: &mpsc::UnboundedSender<String>) -> DriverResult<PathBuf> {
        make_folder(&self.cache_dir)?;
        if self.is_cached() {
            return Ok(self.root());
        }
        let tell = |line: String| {
            // Nobody listens: then nobody is told.
            let _ = progress.send(line);
        };
        // One maker at a time; the lock goes with the process.
        let lock_path = self.folder().with_extension("lock");
        let lock =
            fs::File::create(&lock_path).map_err(|error| failure("write", &lock_path, &error))?;
        let lock = match Flock::lock(lock, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((lock, _)) => {
                tell("waiting for another process that makes the Debian root".to_owned());
                Flock::lock(lock, FlockArg::LockExclusive)
                    .map_err(|(_, error)| failure("lock", &lock_path, &error.into()))?
            }
        };
        if self.is_cached() {
            return Ok(self.root());
        }
        // Under the lock, so a folder that is there belongs to a maker that was killed.
        let making = self.folder().with_extension("making");
        self.namespace.remove_tree(&making)?;
        make_folder(&making)?;
        let made = self.make(&making, &tell).and_then(|()| {
            fs::rename(&making, self.folder()).map_err(|error| failure("rename", &making, &error))
        });
        if made.is_err() {
            // The first error is the one to tell.
            let _ = self.namespace.remove_tree(&making);
        }
        drop(lock);
        made.map(|()| self.root())
    }

    fn make(&self, making: &Path, tell: &impl Fn(String)) -> DriverResult<()> {
        let tar = making.join("root.tar");
        let root = making.join("root");
        make_folder(&root)?;
        tell(format!(
            "making the Debian root ({SUITE}, {}) with mmdebstrap: about a minute, once",
            architecture()
        ));
        // A tar, because an ordinary user's mmdebstrap and our namespaces number the owners differently.
        let mut command = Command::new("setpriv");
        command
            .args([
                "--pdeathsig",
                "KILL",
                "mmdebstrap",
                "--variant=apt",
                "--format=tar",
            ])
            .arg(format!("--include={PACKAGES}"))
            .arg(format!("--architectures={}", architecture()))
            // Guests get their devices at boot.
            .arg("--skip=output/dev")
            .arg(SUITE)
            .arg(&tar)
            .args(&self.sources)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(|error| DriverError(format!("can't run setpriv and mmdebstrap: {error}")))?;
        let mut last = Vec::new();
        if let Some(stderr) = child.stderr.take() {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                last.push(line.clone());
                if last.len() > 8 {
                    last.remove(0);
                }
                tell(line);
            }
        }
        let status = child
            .wait()
            .map_err(|error| DriverError(format!("can't wait for mmdebstrap: {error}")))?;
        if !status.success() {
            return Err(DriverError(format!(
                "mmdebstrap could not make the Debian root ({status}): {}",
                last.join("; ")
            )));
        }
        run(self
            .namespace
            .command("tar")
            .arg("-C")
            .arg(&root)
            .arg("-xpf")
            .arg(&tar))?;
        run(self
            .namespace
            .command("sh")
            .args(["-c", FINISH, "finish"])
            .arg(&root))?;
        fs::remove_file(&tar).map_err(|error| failure("delete", &tar, &error))?;
        std::thread::sleep(SETTLED);
        Ok(())
    }
}

/// Debian's name of this machine's architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The lines of trixie's `sources.list`: from MUCK_DEBIAN_MIRROR and MUCK_DEBIAN_SECURITY_MIRROR, else from
/// the mirrors that the host's apt uses. None: mmdebstrap then takes Debian's own mirrors, those of the
/// updates and of security among them.
pub fn debian_sources() -> Vec<String> {
    // On a host that isn't Debian it prints nothing of Debian's, or isn't there.
    let targets = Command::new("apt-get")
        .args([
            "indextargets",
            "--format",
            "$(LABEL)\t$(REPO_URI)",
            "Created-By: Packages",
        ])
        .stderr(Stdio::null())
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    let mirror = |variable: &str, label: &str| {
        std::env::var(variable)
            .ok()
            .filter(|value| !value.is_empty())
            .or_else(|| repository(&targets, label))
            .map(|uri| uri.trim_end_matches('/').to_owned())
    };
    let Some(main) = mirror("MUCK_DEBIAN_MIRROR", "Debian") else {
        return Vec::new();
    };
    let security = mirror("MUCK_DEBIAN_SECURITY_MIRROR", "Debian-Security");
    // Elsewhere than on Debian apt trusts other keys by default.
    let signed = if Path::new(KEYRING).exists() {
        format!("[signed-by={KEYRING}] ")
    } else {
        String::new()
    };
    let mut sources = vec![
        format!("deb {signed}{main} {SUITE} main"),
        format!("deb {signed}{main} {SUITE}-updates main"),
    ];
    sources
        .extend(security.map(|security| format!("deb {signed}{security} {SUITE}-security main")));
    sources
}

/// The first HTTP repository with this label in apt's list of them.
fn repository(targets: &str, label: &str) -> Option<String> {
    targets
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .find(|(its, uri)| *its == label && uri.starts_with("http"))
        .map(|(_, uri)| uri.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_hosts_mirrors() {
        let targets = "Google\thttps://a.example/x/\nDebian\tfile:/srv/debian/\n\
            Debian\thttp://mirror.example/debian/\nDebian-Security\thttp://s.example/ds/\n";
        assert_eq!(
            repository(targets, "Debian").as_deref(),
            Some("http://mirror.example/debian/")
        );
        assert_eq!(
            repository(targets, "Debian-Security").as_deref(),
            Some("http://s.example/ds/")
        );
        assert_eq!(repository("", "Debian"), None);
    }

    #[test]
    fn another_owner_is_another_root() {
        let cache = Path::new("/nowhere");
        let root = Base::new(cache, Namespace::Root);
        let user = Base::new(cache, Namespace::User(1000));
        assert_ne!(root.folder(), user.folder());
        assert_eq!(root.folder(), Base::new(cache, Namespace::Root).folder());
    }
}

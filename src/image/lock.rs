//! `image.lock`: what a recipe's patterns were resolved to, once, so that every later bake makes the same image.
//!
//! A section an architecture: the base image, the date of the package archive, the worker's digest, and every
//! package that a bake brings in, dependencies included, with its version. `muck bake --update` writes it; people
//! commit it. It lies beside `image.toml`, or for the built-in recipe beside `muck.toml`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::recipe::{is_package_name, is_version};
use crate::config::Config;
use crate::error::{Error, Result};

/// Its name.
pub const FILE_NAME: &str = "image.lock";

/// Raised when a later form could be misread by this program.
const VERSION: u32 = 1;

const HEAD: &str = "# Written by `muck bake --update`; keep it under version control. Every bake takes just these versions.\n\n";

/// The form in which the dated archive's URLs carry a time, e.g. `20260102T030405Z`
/// (<http://snapshot.debian.org/>).
pub const ARCHIVE_DATE: &str = "%Y%m%dT%H%M%SZ";

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    version: u32,
    /// By EC2's name of the architecture.
    #[serde(default)]
    architecture: BTreeMap<String, Locked>,
}

/// What is resolved for one architecture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// When it was resolved, in the form of [`ARCHIVE_DATE`]: the state of the dated archive. Empty: that
    /// archive is not tried.
    #[serde(default)]
    pub archive: String,
    /// Hex SHA-256 of the worker binary.
    pub worker: String,
    pub base: LockedBase,
    /// Package (`name`, or `name:architecture` of another machine's) → version.
    pub packages: BTreeMap<String, String>,
}

/// The base image. Owner and name say which it is in every region; its id differs from region to region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedBase {
    pub owner: String,
    pub name: String,
    /// Region → AMI id, where it was looked up.
    #[serde(default)]
    pub ids: BTreeMap<String, String>,
}

impl Default for Lock {
    fn default() -> Self {
        Self {
            version: VERSION,
            architecture: BTreeMap::new(),
        }
    }
}

/// Where the lock of the recipe in force is.
pub fn path(config: &Config) -> PathBuf {
    config
        .image
        .as_ref()
        .unwrap_or(&config.folder)
        .join(FILE_NAME)
}

impl Lock {
    /// Reads the file; `None` if there is none.
    ///
    /// # Errors
    /// Kind `Usage`: a file that can't be read or isn't right.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(Error::usage(format!("cannot read {}", path.display())).because(error));
            }
        };
        Self::parse(&text).map(Some).map_err(|error| {
            Error::usage(format!("{} is not right", path.display()))
                .because(error)
                .hint("`muck bake --update` writes a new one if this one is removed")
        })
    }

    /// Reads its text.
    pub fn parse(text: &str) -> Result<Self> {
        let lock: Self = toml::from_str(text)
            .map_err(|error| Error::usage(error.to_string().trim_end().to_owned()))?;
        if lock.version != VERSION {
            return Err(Error::usage(format!(
                "version = {}: this muck knows {VERSION}",
                lock.version
            )));
        }
        for locked in lock.architecture.values() {
            locked.validate()?;
        }
        Ok(lock)
    }

    pub fn text(&self) -> Result<String> {
        let text = toml::to_string(self)
            .map_err(|error| Error::failed("cannot write the lock").because(error))?;
        Ok(format!("{HEAD}{text}"))
    }

    /// Writes the file: whole or not at all.
    pub fn write(&self, path: &Path) -> Result<()> {
        let failed = |error: std::io::Error| {
            Error::failed(format!("cannot write {}", path.display())).because(error)
        };
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        let mut file =
            tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(failed)?;
        std::io::Write::write_all(&mut file, self.text()?.as_bytes()).map_err(failed)?;
        // Temporary files are for their maker's eyes; this one is for all who share the project.
        let all_may_read = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        file.as_file()
            .set_permissions(all_may_read)
            .map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    pub fn of(&self, architecture: &str) -> Option<&Locked> {
        self.architecture.get(architecture)
    }

    pub fn set(&mut self, architecture: &str, locked: Locked) {
        self.architecture.insert(architecture.to_owned(), locked);
    }
}

impl Locked {
    /// Date of the archive to try first.
    pub fn archive_date(&self) -> Option<String> {
        Some(self.archive.clone()).filter(|date| !date.is_empty())
    }

    /// Package and version a line, as the builder's script takes them.
    pub fn pins(&self) -> String {
        self.packages
            .iter()
            .fold(String::new(), |text, (name, version)| {
                text + name + " " + version + "\n"
            })
    }

    /// Refuses what could mean something else in a shell script or a URL.
    pub(super) fn validate(&self) -> Result<()> {
        let alphanumeric = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric());
        if !alphanumeric(&self.archive) {
            return Err(Error::usage(format!(
                "archive = {:?} is not a date like 20260102T030405Z",
                self.archive
            )));
        }
        for (name, version) in &self.packages {
            let (package, architecture) = name.split_once(':').unwrap_or((name, "all"));
            if !is_package_name(package) || !alphanumeric(architecture) {
                return Err(Error::usage(format!(
                    "{name:?} is not the name of a Debian package"
                )));
            }
            if !is_version(version) {
                return Err(Error::usage(format!(
                    "{name} = {version:?}: not a version of a Debian package"
                )));
            }
        }
        Ok(())
    }

    /// What `new` says otherwise, for people: old → new, thing by thing.
    pub fn changes(old: Option<&Self>, new: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut compare = |what: &str, old: Option<&str>, new: Option<&str>| {
            if old != new {
                changes.push(Change {
                    what: what.to_owned(),
                    old: old.map(ToOwned::to_owned),
                    new: new.map(ToOwned::to_owned),
                });
            }
        };
        compare(
            "base image",
            old.map(|old| old.base.name.as_str()),
            Some(&new.base.name),
        );
        compare(
            "archive of",
            old.map(|old| old.archive.as_str()),
            Some(&new.archive),
        );
        compare(
            "worker",
            old.map(|old| short(&old.worker)),
            Some(short(&new.worker)),
        );
        let none = BTreeMap::new();
        let was = old.map_or(&none, |old| &old.packages);
        let mut names: Vec<&String> = was.keys().chain(new.packages.keys()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            compare(
                name,
                was.get(name).map(String::as_str),
                new.packages.get(name).map(String::as_str),
            );
        }
        changes
    }
}

/// As many digits as tell two sums apart.
fn short(sum: &str) -> &str {
    sum.get(..12).unwrap_or(sum)
}

/// One thing that an update changed in the lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// `base image`, `archive of`, `worker`, or the name of a package.
    pub what: String,
    pub old: Option<String>,
    pub new: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, old, new } = self;
        match (old, new) {
            (None, Some(new)) => write!(f, "+ {what} {new}"),
            (Some(old), None) => write!(f, "- {what} {old}"),
            (old, new) => write!(
                f,
                "~ {what} {} → {}",
                old.as_deref().unwrap_or("-"),
                new.as_deref().unwrap_or("-")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked() -> Locked {
        Locked {
            archive: "20260102T030405Z".into(),
            worker: "a".repeat(64),
            base: LockedBase {
                owner: "136693071363".into(),
                name: "debian-13-amd64-20260101-1234".into(),
                ids: BTreeMap::from([("eu-central-1".into(), "ami-1".into())]),
            },
            packages: BTreeMap::from([
                ("ffmpeg".into(), "7:7.1.1-1+deb13u1".into()),
                ("libx264-164".into(), "2:0.164".into()),
            ]),
        }
    }

    #[test]
    fn the_file_reads_well_and_back() {
        let mut lock = Lock::default();
        lock.set("x86_64", locked());
        let text = lock.text().expect("writes");
        insta::assert_snapshot!(text);
        assert_eq!(Lock::parse(&text).expect("reads"), lock);
        assert_eq!(lock.of("x86_64"), Some(&locked()));
        assert_eq!(lock.of("arm64"), None);
    }

    #[test]
    fn it_is_written_whole_and_read_again() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join(FILE_NAME);
        assert_eq!(Lock::read(&path).expect("no file is fine"), None);
        let mut lock = Lock::default();
        lock.set("arm64", locked());
        lock.write(&path).expect("writes");
        assert_eq!(Lock::read(&path).expect("reads"), Some(lock));
        assert_eq!(std::fs::read_dir(folder.path()).expect("list").count(), 1);
    }

    #[test]
    fn what_a_shell_could_misread_is_refused() {
        let mut lock = Lock::default();
        lock.set("x86_64", locked());
        let good = lock.text().expect("writes");
        for (from, to) in [
            ("version = 1", "version = 2"),
            ("20260102T030405Z", "'; reboot; '"),
            ("ffmpeg = ", "\"ffmpeg; reboot\" = "),
            ("7:7.1.1-1+deb13u1", "1' ; reboot '"),
            ("owner = ", "colour = "),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            assert!(Lock::parse(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_update_is_shown_thing_by_thing() {
        let old = locked();
        let mut new = locked();
        new.archive = "20260202T030405Z".into();
        new.base.name = "debian-13-amd64-20260201-1234".into();
        new.packages
            .insert("ffmpeg".into(), "7:7.1.2-0+deb13u1".into());
        new.packages.remove("libx264-164");
        new.packages.insert("libx264-165".into(), "2:0.165".into());
        let told = |old: Option<&Locked>| {
            Locked::changes(old, &new)
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("\n")
        };
        insta::assert_snapshot!(told(Some(&old)), @r"
        ~ base image debian-13-amd64-20260101-1234 → debian-13-amd64-20260201-1234
        ~ archive of 20260102T030405Z → 20260202T030405Z
        ~ ffmpeg 7:7.1.1-1+deb13u1 → 7:7.1.2-0+deb13u1
        - libx264-164 2:0.164
        + libx264-165 2:0.165
        ");
        assert!(told(None).starts_with("+ base image"), "{}", told(None));
        assert!(Locked::changes(Some(&new), &new).is_empty());
    }
}

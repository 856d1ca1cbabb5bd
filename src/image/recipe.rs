//! The recipe of the image: what is in it, and the digest that says whether two images are the same.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::lock::{self, Lock, Locked};
use super::script;
use super::worker_file::WorkerFile;
use crate::config::{self, Config};
use crate::error::{Error, Result};

/// The recipe that is built in.
const SETTINGS: &str = include_str!("../../images/converter/image.toml");
const PROVISION: &str = include_str!("../../images/converter/provision.sh.hbs");
const CHECK: &str = include_str!("../../images/converter/check.sh");

/// Enough to boot, install ffmpeg's hundred packages and copy them, on a slow day.
const DEFAULT_DEADLINE: SignedDuration = SignedDuration::from_mins(30);
/// The script ends itself a minute ahead of the machine, and a bake of little takes most of another.
const SHORTEST_DEADLINE: SignedDuration = SignedDuration::from_mins(2);
/// A presigned URL lives for a week at most (S3), and no bake needs a day.
const LONGEST_DEADLINE: SignedDuration = SignedDuration::from_hours(24);

/// A boot that takes longer hangs: on EC2 it takes a minute, and the waits in it that have a limit end earlier
/// (cloud-init's for metadata after four minutes, networkd's for an address after two).
const DEFAULT_BOOT_DEADLINE: SignedDuration = SignedDuration::from_mins(30);
/// A shorter one would end instances that boot while those waits run out one after the other.
const SHORTEST_BOOT_DEADLINE: SignedDuration = SignedDuration::from_mins(5);
/// What hangs is billed until then.
const LONGEST_BOOT_DEADLINE: SignedDuration = SignedDuration::from_hours(12);

/// `image.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `x86_64` or `arm64`.
    pub architecture: String,
    pub base: Base,
    /// Debian package → version, or `*` for what the archive has.
    pub packages: BTreeMap<String, String>,
    /// `None`: the image's own archive is all there is.
    #[serde(default)]
    pub archive: Option<Archive>,
    pub volume: Volume,
    #[serde(default)]
    boot: Boot,
    pub builder: Builder,
}

/// How an instance of the image boots.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Boot {
    /// E.g. `30m`; see [`Recipe::boot_deadline`].
    #[serde(default)]
    deadline: Option<String>,
}

/// Debian's archive as it was at a time: URLs in which `{timestamp}` stands for it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// Of the suites `trixie` and `trixie-updates`, or whatever the image's code name is.
    pub main: String,
    /// Of the suite `trixie-security`; empty for none.
    #[serde(default)]
    pub security: String,
}

const TIMESTAMP: &str = "{timestamp}";

impl Archive {
    /// Both URLs at `date` (see [`lock::ARCHIVE_DATE`]).
    pub fn at(&self, date: &str) -> (String, String) {
        let at = |url: &str| url.replace(TIMESTAMP, date);
        (at(&self.main), at(&self.security))
    }
}

/// Which image is built upon.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// Account id that publishes it.
    pub owner: String,
    /// Name pattern with `*` and `?`; the newest that fits is taken. `{architecture}` is `amd64` or `arm64`.
    pub name: String,
    /// Architecture → region → AMI id, which is then taken instead.
    #[serde(default)]
    pub ids: BTreeMap<String, BTreeMap<String, String>>,
}

/// The root volume.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// GiB.
    pub size: u32,
    /// EBS type, e.g. `gp3`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// The instance that bakes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Builder {
    /// By architecture.
    pub instance_type: BTreeMap<String, String>,
    /// E.g. `30m`; see [`Recipe::deadline`].
    #[serde(default)]
    deadline: Option<String>,
}

/// All that decides what is in an image, but the base image and the worker binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    pub settings: Settings,
    /// Template of the script that the builder runs.
    pub provision: String,
    /// Script that says whether the result is fit.
    pub check: String,
    /// How long a bake may take; the builder powers itself off after it.
    pub deadline: Duration,
    /// How long after power-on an instance of the image may take to reach `/etc/rc.local`; it powers itself off
    /// after that, whatever cloud-init and the network do.
    pub boot_deadline: Duration,
    /// What all of it was resolved to; `None`: the newest of everything.
    pub locked: Option<Locked>,
}

impl Recipe {
    /// The recipe that the settings name, for their architecture, without its lock.
    ///
    /// # Errors
    /// As [`Recipe::load`].
    pub fn unlocked(config: &Config) -> Result<Self> {
        let mut recipe = Self::load(config.image.as_deref())?;
        if let Some(architecture) = &config.architecture {
            recipe.settings.architecture.clone_from(architecture);
        }
        Ok(recipe)
    }

    /// The same, bound by the lock if there is one for the architecture.
    ///
    /// # Errors
    /// Also a lock that can't be read.
    pub fn of(config: &Config) -> Result<Self> {
        let mut recipe = Self::unlocked(config)?;
        recipe.locked = Lock::read(&lock::path(config))?
            .and_then(|lock| lock.of(&recipe.settings.architecture).cloned());
        Ok(recipe)
    }

    /// The recipe in `folder` (files `image.toml`, `provision.sh.hbs`, `check.sh`), or the one built in.
    ///
    /// # Errors
    /// Kind `Usage`: a file that can't be read, or a setting that isn't right, by name.
    pub fn load(folder: Option<&Path>) -> Result<Self> {
        let Some(folder) = folder else {
            return Self::new(SETTINGS, PROVISION, CHECK);
        };
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).map_err(|error| {
                Error::usage(format!(
                    "cannot read {} of the image recipe",
                    path.display()
                ))
                .because(error)
            })
        };
        Self::new(
            &read("image.toml")?,
            &read("provision.sh.hbs")?,
            &read("check.sh")?,
        )
        .map_err(|error| {
            Error::usage(format!(
                "the image recipe in {} is not right",
                folder.display()
            ))
            .because(error)
        })
    }

    fn new(settings: &str, provision: &str, check: &str) -> Result<Self> {
        let settings: Settings = toml::from_str(settings).map_err(|error| {
            Error::usage(format!("image.toml:\n{}", error.to_string().trim_end()))
        })?;
        settings.validate()?;
        let deadline = config::duration(
            "builder.deadline",
            settings.builder.deadline.as_deref(),
            DEFAULT_DEADLINE,
        )?;
        if !(SHORTEST_DEADLINE..=LONGEST_DEADLINE).contains(&deadline) {
            return Err(Error::usage(
                "builder.deadline must be between 2 minutes and 24 hours",
            ));
        }
        let boot_deadline = config::duration(
            "boot.deadline",
            settings.boot.deadline.as_deref(),
            DEFAULT_BOOT_DEADLINE,
        )?;
        if !(SHORTEST_BOOT_DEADLINE..=LONGEST_BOOT_DEADLINE).contains(&boot_deadline) {
            return Err(Error::usage(
                "boot.deadline must be between 5 minutes and 12 hours",
            ));
        }
        Ok(Self {
            settings,
            provision: provision.to_owned(),
            check: check.to_owned(),
            deadline: deadline.unsigned_abs(),
            boot_deadline: boot_deadline.unsigned_abs(),
            locked: None,
        })
    }

    /// Of the builder: the one for the architecture.
    ///
    /// # Errors
    /// If the recipe names none.
    pub fn builder_type(&self) -> Result<&str> {
        let architecture = &self.settings.architecture;
        self.settings
            .builder
            .instance_type
            .get(architecture)
            .map(String::as_str)
            .ok_or_else(|| {
                Error::usage(format!(
                    "image.toml: builder.instance_type has no type for {architecture}"
                ))
            })
    }

    /// Debian's word for the architecture.
    pub fn debian_architecture(&self) -> &'static str {
        match self.settings.architecture.as_str() {
            "arm64" => "arm64",
            _ => "amd64",
        }
    }

    /// The base image's name: the lock's, else the pattern.
    pub fn base_name(&self) -> String {
        match &self.locked {
            Some(locked) => locked.base.name.clone(),
            None => self
                .settings
                .base
                .name
                .replace("{architecture}", self.debian_architecture()),
        }
    }

    /// Refuses another worker than the lock's.
    ///
    /// # Errors
    /// Naming both.
    pub fn check_worker(&self, worker: &WorkerFile) -> Result<()> {
        match &self.locked {
            Some(locked) if locked.worker != worker.sha256 => Err(Error::failed(format!(
                "the worker binary {} has the SHA-256 {}, but image.lock says {}",
                worker.path.display(),
                worker.sha256,
                locked.worker
            ))
            .hint("take this one into the lock: muck bake --update")
            .hint("or name the right one: muck bake --worker PATH")),
            _ => Ok(()),
        }
    }

    /// Hex SHA-256 over all that decides what is in the image: base image, rendered provision script (which
    /// holds `check.sh`, the units and the lock's packages), rc.local, worker binary, package pins, architecture and volume.
    ///
    /// `base` is `owner/name` of the base image: its id differs from region to region. What differs from
    /// bake to bake (presigned URLs, where packages come from) is not in it.
    pub fn digest(&self, base: &str, worker_sha256: &str) -> Result<String> {
        let packages = self.settings.package_specs().join(
            "
",
        );
        let volume = format!(
            "{} GiB {}",
            self.settings.volume.size, self.settings.volume.kind
        );
        let parts = [
            ("base", base),
            (
                "provision",
                &script::provision(self, &script::Transfers::placeholders(worker_sha256))?,
            ),
            ("rc.local", &script::rc_local()?),
            ("worker", worker_sha256),
            ("packages", &packages),
            ("architecture", &self.settings.architecture),
            ("volume", &volume),
        ];
        let mut hash = Sha256::new();
        for (name, value) in parts {
            // The lengths keep parts from running into each other.
            hash.update(format!("{name} {}\n", value.len()));
            hash.update(value);
        }
        Ok(hex::encode(hash.finalize()))
    }
}

impl Settings {
    /// Refuses what could mean something else in a shell script or to EC2.
    fn validate(&self) -> Result<()> {
        let refuse = |what: String| Err(Error::usage(format!("image.toml: {what}")));
        if !matches!(self.architecture.as_str(), "x86_64" | "arm64") {
            return refuse(format!(
                "architecture = {:?}: use \"x86_64\" or \"arm64\"",
                self.architecture
            ));
        }
        if self.volume.size == 0 || self.volume.size > 16_384 {
            // 16 TiB is the most that gp3 takes (EBS user guide).
            return refuse(format!(
                "volume.size = {}: use 1 to 16384 (GiB)",
                self.volume.size
            ));
        }
        for (name, version) in &self.packages {
            if !is_package_name(name) {
                return refuse(format!("{name:?} is not the name of a Debian package"));
            }
            if version != "*" && !is_version(version) {
                return refuse(format!(
                    "{name} = {version:?}: not a version of a Debian package (or \"*\")"
                ));
            }
        }
        self.check_archive()
    }

    /// Refuses what would end a quoted word of the script.
    fn check_archive(&self) -> Result<()> {
        let Some(archive) = &self.archive else {
            return Ok(());
        };
        for (key, url) in [("main", &archive.main), ("security", &archive.security)] {
            let right = url.is_empty() && key == "security"
                || (url.starts_with("http://") || url.starts_with("https://"))
                    && url.contains(TIMESTAMP)
                    && url
                        .replace(TIMESTAMP, "")
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || "-._~:/?&=%@+".contains(c));
            if !right {
                return Err(Error::usage(format!(
                    "image.toml: archive.{key} = {url:?}: use a URL with {TIMESTAMP} in it"
                )));
            }
        }
        Ok(())
    }

    /// Packages as apt-get takes them: `name` or `name=version`.
    pub fn package_specs(&self) -> Vec<String> {
        self.packages
            .iter()
            .map(|(name, version)| match version.as_str() {
                "*" => name.clone(),
                version => format!("{name}={version}"),
            })
            .collect()
    }
}

/// Debian policy, 5.6.1: lower-case letters, digits, `+`, `-`, `.`; at least two, the first alphanumeric.
pub(super) fn is_package_name(name: &str) -> bool {
    name.len() >= 2
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c))
}

/// Debian policy, 5.6.12: alphanumerics and `. + - ~ :`, beginning with a digit (epoch or version).
pub(super) fn is_version(version: &str) -> bool {
    version.starts_with(|c: char| c.is_ascii_digit())
        && version
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ".+-~:".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built_in() -> Recipe {
        Recipe::load(None).expect("the built-in recipe is valid")
    }

    #[test]
    fn the_built_in_recipe_is_debian_with_ffmpeg() {
        let recipe = built_in();
        assert_eq!(recipe.settings.base.owner, "136693071363");
        assert_eq!(recipe.settings.package_specs(), ["bubblewrap", "ffmpeg"]);
        assert_eq!(recipe.deadline, Duration::from_mins(30));
        assert_eq!(recipe.boot_deadline, Duration::from_mins(30));
    }

    #[test]
    fn a_boot_has_between_5_minutes_and_12_hours() {
        let with = |deadline: &str| {
            let changed = SETTINGS.replace(
                "[boot]\ndeadline = \"30m\"",
                &format!("[boot]\ndeadline = \"{deadline}\""),
            );
            assert_ne!(changed, SETTINGS, "the shipped recipe has changed");
            Recipe::new(&changed, PROVISION, CHECK).map(|recipe| recipe.boot_deadline)
        };
        assert_eq!(with("45m").expect("valid"), Duration::from_mins(45));
        for refused in ["4m", "13h", "soon"] {
            let error = with(refused).expect_err("out of bounds");
            assert!(error.to_string().contains("boot.deadline"), "{error}");
        }
    }

    #[test]
    fn every_input_changes_the_digest() {
        type Change = fn(&mut Recipe);
        let digest = |recipe: &Recipe, base: &str, sha256: &str| {
            recipe.digest(base, &sha256.repeat(64)).expect("renders")
        };
        let original = digest(&built_in(), "ami-1", "a");
        assert_eq!(original.len(), 64);
        assert_eq!(
            original,
            digest(&built_in(), "ami-1", "a"),
            "the same input, the same digest"
        );
        let mut seen = vec![
            original,
            digest(&built_in(), "ami-2", "a"),
            digest(&built_in(), "ami-1", "b"),
        ];
        let changes: [Change; 10] = [
            |recipe| recipe.boot_deadline = Duration::from_mins(31),
            |recipe| recipe.settings.architecture = "arm64".into(),
            |recipe| recipe.settings.volume.size += 1,
            |recipe| recipe.settings.volume.kind = "io2".into(),
            |recipe| {
                recipe
                    .settings
                    .packages
                    .insert("ffmpeg".into(), "7:7.1.1-1".into());
            },
            |recipe| {
                recipe.settings.packages.insert("hello".into(), "*".into());
            },
            |recipe| recipe.locked = Some(locked()),
            |recipe| {
                let mut locked = locked();
                locked.packages.insert("ffmpeg".into(), "7:7.1.2-1".into());
                recipe.locked = Some(locked);
            },
            |recipe| recipe.provision.push_str("# more\n"),
            |recipe| recipe.check.push_str("# more\n"),
        ];
        for change in changes {
            let mut recipe = built_in();
            change(&mut recipe);
            seen.push(digest(&recipe, "ami-1", "a"));
        }
        let count = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), count, "two different recipes have one digest");
    }

    fn locked() -> Locked {
        let text = format!(
            "version = 1\n[architecture.x86_64]\narchive = \"20260102T030405Z\"\nworker = \"{}\"\n\
             [architecture.x86_64.base]\nowner = \"136693071363\"\nname = \"ami-1\"\n\
             [architecture.x86_64.packages]\nffmpeg = \"7:7.1.1-1\"\n",
            "a".repeat(64)
        );
        let lock = Lock::parse(&text).expect("a lock");
        lock.of("x86_64").expect("there").clone()
    }

    #[test]
    fn where_packages_come_from_is_not_in_the_digest() {
        let digest = |change: fn(&mut Recipe)| {
            let mut recipe = built_in();
            recipe.locked = Some(locked());
            change(&mut recipe);
            recipe.digest("x", &"a".repeat(64)).expect("renders")
        };
        let original = digest(|_| {});
        let elsewhere = digest(|recipe| {
            recipe.settings.archive = Some(Archive {
                main: "http://mirror.example/{timestamp}/".into(),
                security: String::new(),
            });
            recipe.locked.as_mut().expect("locked").archive = "20270102T030405Z".into();
        });
        assert_eq!(original, elsewhere);
    }

    #[test]
    fn another_worker_than_the_locks_is_refused() {
        let mut recipe = built_in();
        let worker = |digit: &str| WorkerFile {
            path: "muck-worker".into(),
            bytes: 1,
            sha256: digit.repeat(64),
        };
        recipe.check_worker(&worker("b")).expect("no lock");
        recipe.locked = Some(locked());
        recipe.check_worker(&worker("a")).expect("the lock's");
        let error = recipe.check_worker(&worker("b")).expect_err("another");
        assert!(error.hints()[0].contains("--update"), "{:?}", error.hints());
    }

    #[test]
    fn each_architecture_has_its_base_and_its_builder() {
        let mut recipe = built_in();
        assert_eq!(recipe.base_name(), "debian-13-amd64-*");
        assert_eq!(recipe.builder_type().expect("named"), "c7i.large");
        recipe.settings.architecture = "arm64".into();
        assert_eq!(recipe.base_name(), "debian-13-arm64-*");
        assert_eq!(recipe.builder_type().expect("named"), "c7g.large");
        recipe.settings.builder.instance_type.remove("arm64");
        assert!(recipe.builder_type().is_err());
    }

    #[test]
    fn archives_are_urls_with_a_time_in_them() {
        let with = |url: &str| {
            let text = SETTINGS.replace(
                "http://snapshot.debian.org/archive/debian/{timestamp}/",
                url,
            );
            Recipe::new(&text, PROVISION, CHECK)
        };
        let recipe = with("https://a.example/{timestamp}/debian").expect("a URL");
        let archive = recipe.settings.archive.expect("given");
        assert_eq!(
            archive.at("20260102T030405Z").0,
            "https://a.example/20260102T030405Z/debian"
        );
        for bad in [
            "http://a.example/debian/",
            "file:///{timestamp}",
            "http://a/{timestamp}\\\" ; reboot",
            "",
        ] {
            assert!(with(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_a_shell_could_misread_is_refused() {
        let with = |line: &str| {
            let text = SETTINGS.replace("ffmpeg = \"*\"", line);
            Recipe::new(&text, PROVISION, CHECK).map(|_| ())
        };
        assert!(with("ffmpeg = \"7:7.1.1-1+deb13u1~bpo1\"").is_ok());
        for bad in [
            "\"ffmpeg; reboot\" = \"*\"",
            "ffmpeg = \"1' ; reboot '\"",
            "ffmpeg = \"\"",
            "ffmpeg = \"latest\"",
            "\"-o\" = \"*\"",
        ] {
            assert!(with(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn unknown_keys_and_bad_deadlines_are_named() {
        let error = Recipe::new(
            &SETTINGS.replace("size = 16", "size = 16\nspeed = 3"),
            PROVISION,
            CHECK,
        )
        .expect_err("unknown key");
        assert!(error.to_string().contains("speed"), "{error}");
        let error = Recipe::new(&SETTINGS.replace("\"30m\"", "\"30s\""), PROVISION, CHECK)
            .expect_err("too short");
        assert!(error.to_string().contains("builder.deadline"), "{error}");
    }

    #[test]
    fn a_folder_replaces_the_built_in_recipe() {
        let folder = tempfile::tempdir().expect("folder");
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("write");
        let error = Recipe::load(Some(folder.path())).expect_err("empty");
        assert!(error.to_string().contains("image.toml"), "{error}");
        write("image.toml", &SETTINGS.replace("size = 16", "size = 20"));
        write("provision.sh.hbs", PROVISION);
        write("check.sh", CHECK);
        let recipe = Recipe::load(Some(folder.path())).expect("complete");
        assert_eq!(recipe.settings.volume.size, 20);
    }
}

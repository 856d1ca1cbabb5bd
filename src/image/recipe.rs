//! The recipe of the image: what is in it, and the digest that says whether two images are the same.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::script;
use super::worker_file::WorkerFile;
use crate::config;
use crate::error::{Error, Result};

/// The recipe that is built in.
const SETTINGS: &str = include_str!("../../images/converter/image.toml");
const PROVISION: &str = include_str!("../../images/converter/provision.sh.hbs");
const CHECK: &str = include_str!("../../images/converter/check.sh");

/// Enough to boot, install ffmpeg's hundred packages and copy them, on a slow day.
const DEFAULT_DEADLINE: SignedDuration = SignedDuration::from_mins(30);
/// `shutdown +N` counts minutes, and no builder is done sooner than this.
const SHORTEST_DEADLINE: SignedDuration = SignedDuration::from_mins(3);
/// A presigned URL lives for a week at most (S3), and no bake needs a day.
const LONGEST_DEADLINE: SignedDuration = SignedDuration::from_hours(24);

/// `image.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `x86_64` or `arm64`.
    pub architecture: String,
    pub base: Base,
    /// Debian package → version, or `*` for what the archive has.
    pub packages: BTreeMap<String, String>,
    pub volume: Volume,
    pub builder: Builder,
}

/// Which image is built upon.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// Account id that publishes it.
    pub owner: String,
    /// Name pattern with `*` and `?`; the newest that fits is taken.
    pub name: String,
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
    pub instance_type: String,
    /// E.g. `30m`; see [`Recipe::deadline`].
    #[serde(default)]
    deadline: Option<String>,
}

/// All that decides what is in an image, but the base image's id and the worker binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    pub settings: Settings,
    /// Template of the script that the builder runs.
    pub provision: String,
    /// Script that says whether the result is fit.
    pub check: String,
    /// How long a bake may take; the builder powers itself off after it.
    pub deadline: Duration,
}

impl Recipe {
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
                "builder.deadline must be between 3 minutes and 24 hours",
            ));
        }
        Ok(Self {
            settings,
            provision: provision.to_owned(),
            check: check.to_owned(),
            deadline: deadline.unsigned_abs(),
        })
    }

    /// Hex SHA-256 over all that decides what is in the image: base image id, rendered provision
    /// script (which holds `check.sh`), rc.local, worker binary, package pins, architecture and volume.
    ///
    /// What differs from bake to bake (presigned URLs) is not in it.
    pub fn digest(&self, base_image_id: &str, worker: &WorkerFile) -> Result<String> {
        let packages = self.settings.package_specs().join(
            "
",
        );
        let volume = format!(
            "{} GiB {}",
            self.settings.volume.size, self.settings.volume.kind
        );
        let parts = [
            ("base", base_image_id),
            (
                "provision",
                &script::provision(self, &script::Transfers::placeholders(worker))?,
            ),
            ("rc.local", &script::rc_local()?),
            ("worker", &worker.sha256),
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
fn is_package_name(name: &str) -> bool {
    name.len() >= 2
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c))
}

/// Debian policy, 5.6.12: alphanumerics and `. + - ~ :`, beginning with a digit (epoch or version).
fn is_version(version: &str) -> bool {
    version.starts_with(|c: char| c.is_ascii_digit())
        && version
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ".+-~:".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(sha256: &str) -> WorkerFile {
        WorkerFile {
            path: "muck-worker".into(),
            bytes: 1,
            sha256: sha256.repeat(64),
        }
    }

    fn built_in() -> Recipe {
        Recipe::load(None).expect("the built-in recipe is valid")
    }

    #[test]
    fn the_built_in_recipe_is_debian_with_ffmpeg() {
        let recipe = built_in();
        assert_eq!(recipe.settings.base.owner, "136693071363");
        assert_eq!(recipe.settings.package_specs(), ["ffmpeg"]);
        assert_eq!(recipe.deadline, Duration::from_mins(30));
    }

    #[test]
    fn every_input_changes_the_digest() {
        type Change = fn(&mut Recipe);
        let digest = |recipe: &Recipe, base: &str, sha256: &str| {
            recipe.digest(base, &worker(sha256)).expect("renders")
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
        let changes: [Change; 7] = [
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
                recipe
                    .settings
                    .packages
                    .insert("bubblewrap".into(), "*".into());
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
        let error = Recipe::new(&SETTINGS.replace("\"30m\"", "\"1m\""), PROVISION, CHECK)
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

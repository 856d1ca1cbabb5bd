//! The report that the provision script sends: how it went, and what is in the image.
//!
//! Header lines (`Name: value`), then sections: a line `[name]` and its lines, each indented by a space.

use std::collections::BTreeMap;
use std::fmt;

use muck_worker::text::printable_short;
use serde::Serialize;

use super::lock::{Locked, LockedBase};
use super::manifest::{Manifest, SHOWN, section_name};
use crate::error::{Error, Result};

/// Longest failing script's last words that go into an error.
const LAST_WORDS: usize = 15;

/// A package that the bake brought in, or brought to another version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Installed {
    /// With `:architecture` behind it where that is not the image's own.
    pub name: String,
    pub version: String,
    /// Debian's `Installed-Size`.
    pub kib: u64,
    /// Version that the base image had.
    pub replaced: Option<String>,
}

/// What the lock says and the builder found otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotAsLocked {
    /// Name of the package.
    pub package: String,
    /// `None`: the lock does not know the package.
    pub wanted: Option<String>,
    /// Versions there are, comma-separated; `None`: none.
    pub had: Option<String>,
}

/// What the builder says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    pub succeeded: bool,
    /// The last step that began.
    pub step: String,
    /// Exit code of the script.
    pub exit: i32,
    pub seconds: u64,
    /// Space that the root file system takes, if the builder could tell.
    pub root_kib: Option<u64>,
    /// Steps with their seconds.
    pub steps: Vec<(String, u64)>,
    /// The script's last lines.
    pub log: Vec<String>,
    /// EC2's name of it.
    pub architecture: String,
    /// `owner/name` of the base image.
    pub base: String,
    /// Hex SHA-256 of the worker binary.
    pub worker: String,
    /// Date of the archive that was tried first; empty for none.
    pub archive_date: String,
    /// The dated archive was used.
    pub dated_archive: bool,
    /// The same before anything was installed.
    pub base_kib: Option<u64>,
    pub installed: Vec<Installed>,
    pub not_as_locked: Vec<NotAsLocked>,
    pub manifest: Manifest,
    /// Hex SHA-256 of the manifest in the image, as the builder counted it.
    pub manifest_digest: Option<String>,
}

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    /// If it isn't one; names the line.
    pub fn parse(text: &str) -> Result<Self> {
        let mut report = Self {
            succeeded: false,
            step: String::new(),
            exit: -1,
            seconds: 0,
            root_kib: None,
            steps: Vec::new(),
            log: Vec::new(),
            architecture: String::new(),
            base: String::new(),
            worker: String::new(),
            archive_date: String::new(),
            dated_archive: false,
            base_kib: None,
            installed: Vec::new(),
            not_as_locked: Vec::new(),
            manifest: Manifest::default(),
            manifest_digest: None,
        };
        let mut lines = text.lines().enumerate();
        if lines.next().map(|(_, line)| line) != Some("Muck-Report: 1") {
            return Err(Error::failed(
                "the builder's report does not begin with Muck-Report: 1",
            ));
        }
        let mut status_seen = false;
        let mut section = "";
        for (index, line) in lines {
            let wrong = || {
                Error::failed(format!(
                    "line {} of the builder's report cannot be read: `{}`",
                    index + 1,
                    printable_short(line, SHOWN)
                ))
            };
            if let Some(item) = line.strip_prefix(' ') {
                report.item(section, item).ok_or_else(wrong)?;
            } else if let Some(name) = section_name(line) {
                section = name;
            } else if let Some((name, value)) = line.split_once(':') {
                status_seen |= name == "Status";
                report.header(name, value.trim()).ok_or_else(wrong)?;
            } else {
                return Err(wrong());
            }
        }
        if !status_seen {
            return Err(Error::failed("the builder's report has no line Status"));
        }
        Ok(report)
    }

    fn header(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "Status" => {
                self.succeeded = match value {
                    "ok" => true,
                    "failed" => false,
                    _ => return None,
                }
            }
            "Step" => value.clone_into(&mut self.step),
            "Exit" => self.exit = value.parse().ok()?,
            "Seconds" => self.seconds = value.parse().ok()?,
            "Root-KiB" => self.root_kib = value.parse().ok(),
            "Base-KiB" => self.base_kib = value.parse().ok(),
            "Architecture" => value.clone_into(&mut self.architecture),
            "Base" => value.clone_into(&mut self.base),
            "Worker" => value.clone_into(&mut self.worker),
            "Archive-Date" => value.clone_into(&mut self.archive_date),
            "Archive" => self.dated_archive = value == "dated",
            "Manifest" => self.manifest_digest = Some(value.to_owned()),
            // A later script may tell more.
            _ => {}
        }
        Some(())
    }

    fn item(&mut self, section: &str, item: &str) -> Option<()> {
        match section {
            "steps" => {
                let (seconds, step) = item.split_once(' ')?;
                self.steps.push((step.to_owned(), seconds.parse().ok()?));
            }
            "log" => self.log.push(item.to_owned()),
            "packages" | "files" | "links" | "folders" | "removed" => {
                self.manifest.take(section, item)?;
            }
            "installed" => {
                let mut words = item.splitn(4, ' ');
                self.installed.push(Installed {
                    name: words.next()?.to_owned(),
                    version: words.next()?.to_owned(),
                    kib: words.next()?.parse().unwrap_or(0),
                    replaced: words.next().and_then(told),
                });
            }
            "lock" => {
                let mut words = item.splitn(3, ' ');
                self.not_as_locked.push(NotAsLocked {
                    package: words.next()?.to_owned(),
                    wanted: words.next().and_then(told),
                    had: words.next().and_then(told),
                });
            }
            _ => {}
        }
        Some(())
    }

    /// Fails if the script did, naming the step and the script's last words.
    pub fn check(&self) -> Result<()> {
        if self.succeeded && self.exit == 0 {
            return self.check_manifest();
        }
        if !self.not_as_locked.is_empty() {
            return Err(self.lock_error());
        }
        let from = self.log.len().saturating_sub(LAST_WORDS);
        let words = super::builder::indented(&self.log[from..]);
        Err(Error::failed(format!(
            "provisioning failed in the step \"{}\" (exit code {}); its last lines:{words}",
            self.step, self.exit
        )))
    }

    /// What the bake took, as a lock says it: with it the same is baked again.
    ///
    /// # Errors
    /// If the report does not tell all of it.
    pub fn locked(&self) -> Result<Locked> {
        let (owner, name) = self
            .base
            .split_once('/')
            .filter(|_| !self.worker.is_empty())
            .ok_or_else(|| {
                Error::failed("the bake's report does not tell base image and worker")
                    .hint("a recipe's script must write the headers Base and Worker as the built-in one does")
            })?;
        let locked = Locked {
            archive: self.archive_date.clone(),
            worker: self.worker.clone(),
            base: LockedBase {
                owner: owner.to_owned(),
                name: name.to_owned(),
                ids: BTreeMap::new(),
            },
            packages: self
                .installed
                .iter()
                .map(|one| (one.name.clone(), one.version.clone()))
                .collect(),
        };
        locked.validate()?;
        Ok(locked)
    }

    /// What the builder counted and what we read must be one manifest.
    fn check_manifest(&self) -> Result<()> {
        let ours = self.manifest.digest();
        match &self.manifest_digest {
            Some(theirs) if *theirs == ours => Ok(()),
            theirs => Err(Error::failed(format!(
                "the manifest in the image has the SHA-256 {}, the one reported {ours}: a recipe's script must write the sections of its report as the built-in one does",
                theirs.as_deref().unwrap_or("(none was told)")
            ))),
        }
    }

    fn lock_error(&self) -> Error {
        let told: Vec<String> = self
            .not_as_locked
            .iter()
            .take(LAST_WORDS)
            .map(ToString::to_string)
            .collect();
        let lines = super::builder::indented(&told);
        let more = match self.not_as_locked.len().saturating_sub(LAST_WORDS) {
            0 => String::new(),
            more => format!("\n    and {more} more"),
        };
        Error::failed(format!(
            "packages are not as the lock says (step \"{}\"):{lines}{more}",
            self.step
        ))
        .hint("take the versions that there are now into the lock: muck bake --update")
    }
}

impl fmt::Display for NotAsLocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            package,
            wanted,
            had,
        } = self;
        match (wanted, had) {
            (Some(wanted), Some(had)) => write!(f, "{package}: wanted {wanted}, there is {had}"),
            (Some(wanted), None) => write!(f, "{package}: wanted {wanted}, there is none"),
            (None, had) => write!(
                f,
                "{package}: not in the lock, installed was {}",
                had.as_deref().unwrap_or("(no version)")
            ),
        }
    }
}

/// The script writes `-` for nothing.
fn told(word: &str) -> Option<String> {
    (word != "-").then(|| word.to_owned())
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const GOOD: &str = "Muck-Report: 1
Status: ok
Step: report
Exit: 0
Seconds: 42
Architecture: x86_64
Base: 136693071363/debian-13-amd64-20260101-1234
Worker: 0123
Archive-Date: 20260102T030405Z
Archive: dated
Base-KiB: 312345
Root-KiB: 812345
Manifest: MANIFEST
Colour: red
[steps]
 3 update package lists
 20 install packages
[log]
 == check
 [not a section]
 
[installed]
 ffmpeg 7:7.1.1-1+deb13u1 2345 -
 libc6 2.41-2 9000 2.41-1
[packages]
 ffmpeg 7:7.1.1-1+deb13u1 amd64
[files]
 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 755 0:0 1234 /usr/bin/a file
";

    #[test]
    fn a_good_report_is_read() {
        let mut report = Report::parse(GOOD).expect("reads");
        report.manifest_digest = Some(report.manifest.digest());
        report.check().expect("it succeeded");
        assert!(report.dated_archive);
        assert_eq!(report.base_kib, Some(312_345));
        assert_eq!(
            (report.installed[0].kib, &report.installed[0].replaced),
            (2345, &None)
        );
        assert_eq!(report.installed[1].replaced.as_deref(), Some("2.41-1"));
        assert_eq!(report.seconds, 42);
        assert_eq!(report.root_kib, Some(812_345));
        assert_eq!(report.steps[1], ("install packages".to_owned(), 20));
        assert_eq!(report.log, ["== check", "[not a section]", ""]);
        assert_eq!(
            report.manifest.version_of("ffmpeg"),
            Some("7:7.1.1-1+deb13u1")
        );
        assert_eq!(report.manifest.files[0].path, "/usr/bin/a file");
        assert_eq!(report.manifest.files[0].bytes, 1234);
    }

    #[test]
    fn a_failed_report_names_the_step_and_shows_the_last_lines() {
        let text = "Muck-Report: 1\nStatus: failed\nStep: install packages\nExit: 100\n[log]\n Get:1 http://x\n E: Unable to locate package ffmpg\n";
        let error = Report::parse(text)
            .expect("reads")
            .check()
            .expect_err("failed");
        insta::assert_snapshot!(error.to_string(), @r#"
        provisioning failed in the step "install packages" (exit code 100); its last lines:
            Get:1 http://x
            E: Unable to locate package ffmpg
        "#);
    }

    #[test]
    fn versions_other_than_the_locks_are_named() {
        let text = "Muck-Report: 1\nStatus: failed\nStep: compare the archive with the lock\nExit: 1\n[lock]\n ffmpeg 7:7.1.1 7:7.1.5,7:7.1.4\n libgone 1 -\n libnew - 2\n";
        let error = Report::parse(text)
            .expect("reads")
            .check()
            .expect_err("failed");
        insta::assert_snapshot!(error.to_string(), @r#"
        packages are not as the lock says (step "compare the archive with the lock"):
            ffmpeg: wanted 7:7.1.1, there is 7:7.1.5,7:7.1.4
            libgone: wanted 1, there is none
            libnew: not in the lock, installed was 2
        "#);
        assert!(error.hints()[0].contains("muck bake --update"));
    }

    #[test]
    fn a_report_says_what_would_bake_the_same() {
        let locked = Report::parse(GOOD).expect("reads").locked().expect("told");
        assert_eq!(locked.base.name, "debian-13-amd64-20260101-1234");
        assert_eq!(locked.packages["ffmpeg"], "7:7.1.1-1+deb13u1");
        assert_eq!(
            (locked.worker.as_str(), locked.archive.as_str()),
            ("0123", "20260102T030405Z")
        );
        let silent = Report::parse("Muck-Report: 1\nStatus: ok\n").expect("reads");
        assert!(silent.locked().is_err());
    }

    #[test]
    fn a_manifest_that_is_not_the_images_is_refused() {
        let error = Report::parse(GOOD)
            .expect("reads")
            .check()
            .expect_err("another digest");
        assert!(error.to_string().contains("SHA-256 MANIFEST"), "{error}");
    }

    #[test]
    fn what_is_no_report_is_refused() {
        for bad in [
            "",
            "<html>",
            "Muck-Report: 1\n",
            "Muck-Report: 1\nStatus: maybe\n",
            "Muck-Report: 1\nStatus: ok\nnoise\n",
            "Muck-Report: 1\nStatus: ok\n[files]\n short 755 0:0 1 /x\n",
            "Muck-Report: 1\nStatus: ok\n[steps]\n many install\n",
        ] {
            assert!(Report::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_report_cut_short_is_not_a_success() {
        let cut = Report::parse("Muck-Report: 1\nStatus: ok\nStep: check\n").expect("reads");
        assert!(cut.check().is_err(), "no exit code");
    }
}

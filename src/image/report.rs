//! The report that the provision script sends: how it went, and what is in the image.
//!
//! Header lines (`Name: value`), then sections: a line `[name]` and its lines, each indented by a space.

use serde::Serialize;

use crate::error::{Error, Result};

/// Longest failing script's last words that go into an error.
const LAST_WORDS: usize = 15;

/// A package in the image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Package {
    pub name: String,
    pub version: String,
    /// Debian's name: `amd64`, `all` …
    pub architecture: String,
}

/// A file that the bake made or changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ChangedFile {
    pub path: String,
    /// Hex.
    pub sha256: String,
    /// Octal digits, e.g. `755`.
    pub mode: String,
    /// `uid:gid`.
    pub owner: String,
    pub bytes: u64,
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
    pub packages: Vec<Package>,
    pub files: Vec<ChangedFile>,
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
            packages: Vec::new(),
            files: Vec::new(),
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
                    "line {} of the builder's report cannot be read: {line:?}",
                    index + 1
                ))
            };
            if let Some(item) = line.strip_prefix(' ') {
                report.item(section, item).ok_or_else(wrong)?;
            } else if let Some(name) = line
                .strip_prefix('[')
                .and_then(|name| name.strip_suffix(']'))
            {
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
            "packages" => {
                let mut words = item.split(' ');
                let mut word = || words.next().map(str::to_owned);
                self.packages.push(Package {
                    name: word()?,
                    version: word()?,
                    architecture: word()?,
                });
            }
            "files" => {
                let mut words = item.splitn(5, ' ');
                let mut word = || words.next().map(str::to_owned);
                self.files.push(ChangedFile {
                    sha256: word().filter(|sum| sum.len() == 64)?,
                    mode: word()?,
                    owner: word()?,
                    bytes: word()?.parse().ok()?,
                    path: word()?,
                });
            }
            _ => {}
        }
        Some(())
    }

    /// Fails if the script did, naming the step and the script's last words.
    pub fn check(&self) -> Result<()> {
        if self.succeeded && self.exit == 0 {
            return Ok(());
        }
        let from = self.log.len().saturating_sub(LAST_WORDS);
        let words = super::bake::indented(&self.log[from..]);
        Err(Error::failed(format!(
            "provisioning failed in the step \"{}\" (exit code {}); its last lines:{words}",
            self.step, self.exit
        )))
    }

    /// Version of a package in the image.
    pub fn version_of(&self, package: &str) -> Option<&str> {
        self.packages
            .iter()
            .find(|one| one.name == package)
            .map(|one| one.version.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "Muck-Report: 1
Status: ok
Step: report
Exit: 0
Seconds: 42
Root-KiB: 812345
Colour: red
[steps]
 3 update package lists
 20 install packages
[log]
 == check
 [not a section]
 
[packages]
 ffmpeg 7:7.1.1-1+deb13u1 amd64
[files]
 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 755 0:0 1234 /usr/bin/a file
";

    #[test]
    fn a_good_report_is_read() {
        let report = Report::parse(GOOD).expect("reads");
        report.check().expect("it succeeded");
        assert_eq!(report.seconds, 42);
        assert_eq!(report.root_kib, Some(812_345));
        assert_eq!(report.steps[1], ("install packages".to_owned(), 20));
        assert_eq!(report.log, ["== check", "[not a section]", ""]);
        assert_eq!(report.version_of("ffmpeg"), Some("7:7.1.1-1+deb13u1"));
        assert_eq!(report.files[0].path, "/usr/bin/a file");
        assert_eq!(report.files[0].bytes, 1234);
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

    proptest! {
        #[test]
        fn no_text_panics(text in "(Muck-Report: 1\n)?(.*\n){0,8}") {
            let _ = Report::parse(&text).map(|report| report.check());
        }
    }
}

//! What is in an image: its packages with their versions, and every path that the bake made, changed or
//! removed. Two images of one recipe have the same manifest, byte by byte; where they have not, this says what differs.
//!
//! As text: sections `[packages]`, `[files]`, `[links]`, `[folders]` and `[removed]`, each line of a section
//! indented by a space. The image holds it as `/usr/local/share/muck/manifest`. Times are in none of it.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use muck_worker::text::printable_short;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Characters of a line that can't be read.
pub(super) const SHOWN: usize = 200;

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

/// A symbolic link that the bake made or changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Link {
    pub path: String,
    pub target: String,
    /// `uid:gid`.
    pub owner: String,
}

/// A folder that the bake made, or whose mode or owner it changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Folder {
    pub path: String,
    /// Octal digits.
    pub mode: String,
    /// `uid:gid`.
    pub owner: String,
}

/// See the module's documentation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Manifest {
    pub packages: Vec<Package>,
    pub files: Vec<ChangedFile>,
    pub links: Vec<Link>,
    pub folders: Vec<Folder>,
    /// Paths that the base image has and this one has not.
    pub removed: Vec<String>,
}

impl Manifest {
    /// Reads what [`Manifest::text`] wrote.
    ///
    /// # Errors
    /// If it is no manifest; names the line.
    pub fn parse(text: &str) -> Result<Self> {
        let mut manifest = Self::default();
        let mut section = None;
        // Not `lines`, which takes a carriage return at the end of a file's name for a part of the line's end.
        for (index, line) in text.split_terminator('\n').enumerate() {
            let wrong = || {
                Error::failed(format!(
                    "line {} of the manifest cannot be read: `{}`",
                    index + 1,
                    printable_short(line, SHOWN)
                ))
            };
            match line.strip_prefix(' ') {
                Some(item) => {
                    let taken = section.and_then(|section| manifest.take(section, item));
                    taken.ok_or_else(wrong)?;
                }
                None => section = Some(section_name(line).ok_or_else(wrong)?),
            }
        }
        Ok(manifest)
    }

    /// Takes one line of a section; `None` if section or line is not right.
    pub(super) fn take(&mut self, section: &str, item: &str) -> Option<()> {
        let mut words = item.splitn(5, ' ');
        let mut word = || words.next().map(str::to_owned);
        match section {
            "packages" => self.packages.push(Package {
                name: word()?,
                version: word()?,
                architecture: word()?,
            }),
            "files" => self.files.push(ChangedFile {
                sha256: word().filter(|sum| sum.len() == 64)?,
                mode: word()?,
                owner: word()?,
                bytes: word()?.parse().ok()?,
                path: word()?,
            }),
            "links" => {
                let (owner, rest) = item.split_once(' ')?;
                let (path, target) = rest.split_once(" => ")?;
                self.links.push(Link {
                    path: path.to_owned(),
                    target: target.to_owned(),
                    owner: owner.to_owned(),
                });
            }
            "folders" => {
                let mut words = item.splitn(3, ' ');
                let mut word = || words.next().map(str::to_owned);
                self.folders.push(Folder {
                    mode: word()?,
                    owner: word()?,
                    path: word()?,
                });
            }
            "removed" => self.removed.push(item.to_owned()),
            _ => return None,
        }
        Some(())
    }

    /// The text that is in the image, byte by byte.
    pub fn text(&self) -> String {
        let mut text = String::from("[packages]\n");
        for one in &self.packages {
            let _ = writeln!(text, " {} {} {}", one.name, one.version, one.architecture);
        }
        text.push_str("[files]\n");
        for one in &self.files {
            let ChangedFile {
                path,
                sha256,
                mode,
                owner,
                bytes,
            } = one;
            let _ = writeln!(text, " {sha256} {mode} {owner} {bytes} {path}");
        }
        text.push_str("[links]\n");
        for one in &self.links {
            let _ = writeln!(text, " {} {} => {}", one.owner, one.path, one.target);
        }
        text.push_str("[folders]\n");
        for one in &self.folders {
            let _ = writeln!(text, " {} {} {}", one.mode, one.owner, one.path);
        }
        text.push_str("[removed]\n");
        for path in &self.removed {
            let _ = writeln!(text, " {path}");
        }
        text
    }

    /// Hex SHA-256 of the text: the tag `muck:manifest` of image and snapshot.
    pub fn digest(&self) -> String {
        hex::encode(Sha256::digest(self.text()))
    }

    /// Version of a package in the image.
    pub fn version_of(&self, package: &str) -> Option<&str> {
        self.packages
            .iter()
            .find(|one| one.name == package)
            .map(|one| one.version.as_str())
    }

    /// What `again` has otherwise than `self`, which is the manifest that was kept.
    pub fn differences(&self, again: &Self) -> Vec<Difference> {
        let (kept, again) = (self.entries(), again.entries());
        let mut differences: Vec<Difference> = kept
            .iter()
            .filter(|(key, attributes)| again.get(*key) != Some(*attributes))
            .map(|(key, attributes)| Difference::between(key, Some(attributes), again.get(key)))
            .collect();
        differences.extend(
            again
                .iter()
                .filter(|(key, _)| !kept.contains_key(*key))
                .map(|(key, attributes)| Difference::between(key, None, Some(attributes))),
        );
        differences.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        differences
    }

    fn entries(&self) -> BTreeMap<Key, Attributes> {
        let mut all = BTreeMap::new();
        for one in &self.packages {
            let name = format!("{}:{}", one.name, one.architecture);
            let of = vec![("version", one.version.clone())];
            all.insert((EntryKind::Package, name), of);
        }
        for one in &self.files {
            let of = vec![
                ("content", one.sha256.clone()),
                ("bytes", one.bytes.to_string()),
                ("mode", one.mode.clone()),
                ("owner", one.owner.clone()),
            ];
            all.insert((EntryKind::File, one.path.clone()), of);
        }
        for one in &self.links {
            let of = vec![("target", one.target.clone()), ("owner", one.owner.clone())];
            all.insert((EntryKind::Link, one.path.clone()), of);
        }
        for one in &self.folders {
            let of = vec![("mode", one.mode.clone()), ("owner", one.owner.clone())];
            all.insert((EntryKind::Folder, one.path.clone()), of);
        }
        for path in &self.removed {
            all.insert((EntryKind::Removed, path.clone()), Vec::new());
        }
        all
    }
}

/// The name in a line `[name]`.
pub(super) fn section_name(line: &str) -> Option<&str> {
    line.strip_prefix('[')?.strip_suffix(']')
}

type Key = (EntryKind, String);
type Attributes = Vec<(&'static str, String)>;

/// What a line of the manifest is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    Package,
    File,
    Link,
    Folder,
    /// That a path of the base image is gone.
    Removed,
}

/// One thing that two manifests tell otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub kind: EntryKind,
    /// `name:architecture` of a package, else a path.
    pub name: String,
    pub change: Change,
}

/// How.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Only in the manifest that was kept.
    Missing,
    /// Only in the new one.
    Extra,
    /// In both, with attributes that differ.
    Attributes(Vec<Attribute>),
}

/// One attribute that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attribute {
    /// `version`, `content` (SHA-256), `bytes`, `mode`, `owner` or `target`.
    pub name: &'static str,
    pub kept: String,
    pub again: String,
}

impl Difference {
    fn between(key: &Key, kept: Option<&Attributes>, again: Option<&Attributes>) -> Self {
        let change = match (kept, again) {
            (Some(kept), Some(again)) => Change::Attributes(
                kept.iter()
                    .zip(again)
                    .filter(|(one, other)| one.1 != other.1)
                    .map(|((name, kept), (_, again))| Attribute {
                        name,
                        kept: kept.clone(),
                        again: again.clone(),
                    })
                    .collect(),
            ),
            (Some(_), None) => Change::Missing,
            _ => Change::Extra,
        };
        Self {
            kind: key.0,
            name: key.1.clone(),
            change,
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            EntryKind::Package => "package",
            EntryKind::File => "file",
            EntryKind::Link => "link",
            EntryKind::Folder => "folder",
            EntryKind::Removed => "removed",
        };
        write!(f, "{kind} {}: ", self.name)?;
        match &self.change {
            Change::Missing => f.write_str("only in the image that was kept"),
            Change::Extra => f.write_str("only in the second bake"),
            Change::Attributes(attributes) => {
                for (index, attribute) in attributes.iter().enumerate() {
                    let Attribute { name, kept, again } = attribute;
                    let (kept, again) = match *name {
                        // As many digits as tell two sums apart.
                        "content" => (shortened(kept), shortened(again)),
                        _ => (kept.as_str(), again.as_str()),
                    };
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{name} {kept} → {again}")?;
                }
                Ok(())
            }
        }
    }
}

fn shortened(sum: &str) -> &str {
    sum.get(..12).unwrap_or(sum)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn manifest() -> Manifest {
        let sum = "a".repeat(64);
        Manifest::parse(&format!(
            "[packages]\n ffmpeg 7:7.1.1-1+deb13u1 amd64\n libc6 2.41 amd64\n[files]\n {sum} 755 0:0 1234 /usr/bin/a file\n\
             [links]\n 0:0 /usr/lib/liba.so => liba.so.1\n[folders]\n 755 0:0 /usr/share/x\n[removed]\n /etc/hostname\n"
        ))
        .expect("reads")
    }

    #[test]
    fn what_was_written_is_read() {
        let manifest = manifest();
        assert_eq!(manifest.files[0].path, "/usr/bin/a file");
        assert_eq!(manifest.links[0].target, "liba.so.1");
        assert_eq!(manifest.removed, ["/etc/hostname"]);
        assert_eq!(manifest.version_of("ffmpeg"), Some("7:7.1.1-1+deb13u1"));
        assert_eq!(
            Manifest::parse(&manifest.text()).expect("reads"),
            manifest,
            "{}",
            manifest.text()
        );
        assert_eq!(manifest.digest().len(), 64);
    }

    #[test]
    fn each_difference_is_named() {
        let kept = manifest();
        assert!(kept.differences(&kept).is_empty());
        let mut again = kept.clone();
        again.packages[0].version = "7:7.1.2-1".into();
        again.packages.remove(1);
        again.files[0].sha256 = "b".repeat(64);
        again.files[0].mode = "4755".into();
        again.links[0].target = "liba.so.2".into();
        again.folders[0].owner = "0:33".into();
        again.removed[0] = "/etc/motd".into();
        let told: Vec<String> = kept
            .differences(&again)
            .iter()
            .map(ToString::to_string)
            .collect();
        insta::assert_snapshot!(told.join("\n"), @r"
        package ffmpeg:amd64: version 7:7.1.1-1+deb13u1 → 7:7.1.2-1
        package libc6:amd64: only in the image that was kept
        file /usr/bin/a file: content aaaaaaaaaaaa → bbbbbbbbbbbb, mode 755 → 4755
        link /usr/lib/liba.so: target liba.so.1 → liba.so.2
        folder /usr/share/x: owner 0:0 → 0:33
        removed /etc/hostname: only in the image that was kept
        removed /etc/motd: only in the second bake
        ");
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        for bad in [
            " ffmpeg 1 amd64\n",
            "[other]\n x\n",
            "[files]\n short 755 0:0 1 /x\n",
            "noise\n",
            "[links]\n 0:0 /x\n",
        ] {
            assert!(Manifest::parse(bad).is_err(), "{bad:?}");
        }
    }
}

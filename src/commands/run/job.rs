//! What `muck run` is asked for, in a form that another `muck` can go on with.

use std::ffi::OsString;
use std::path::PathBuf;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::config::{self, Config};
use crate::error::{Error, Result};
use crate::lifetime::OnExpiry;

/// One batch from files to results. Paths are absolute, so that it can be gone on with from any folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Files and folders, sorted. Not all names are text.
    pub paths: Vec<OsString>,
    pub output: OsString,
    /// `None`: as configured. So are the next two.
    pub instances: Option<u32>,
    pub instance_type: Option<String>,
    /// GiB of each instance's disk.
    pub disk: Option<u32>,
    pub preset: String,
    /// `None`: the usual one.
    pub service: Option<String>,
    pub all: bool,
    /// Damaged files are converted as far as they decode.
    pub salvage: bool,
    /// Results get the modification times of their originals.
    pub keep_times: bool,
    pub keep_image: bool,
    pub ttl_seconds: i64,
}

impl Job {
    /// The stack is made for this job alone: when its time is over, any `muck` may remove it.
    pub fn mark(&self, config: &mut Config) {
        config.override_ttl(Some(SignedDuration::from_secs(self.ttl_seconds)));
        config.override_disk(self.disk);
        config.on_expiry = if self.keep_image {
            OnExpiry::DeleteButImage
        } else {
            OnExpiry::Delete
        };
    }

    pub fn paths(&self) -> Vec<PathBuf> {
        self.paths.iter().map(PathBuf::from).collect()
    }

    pub fn output(&self) -> PathBuf {
        PathBuf::from(&self.output)
    }

    /// # Errors
    /// A service that this version doesn't know.
    pub fn service(&self) -> Result<Option<&'static str>> {
        self.service
            .as_deref()
            .map(config::service)
            .transpose()
            .map_err(Error::usage)
    }

    /// Whether both convert the same files to the same results, wherever these go and whatever machines are used.
    pub fn is_same_work(&self, other: &Self) -> bool {
        let work = |job: &Self| {
            (
                job.paths.clone(),
                job.preset.clone(),
                job.service.clone(),
                job.all,
                job.salvage,
            )
        };
        work(self) == work(other)
    }

    /// # Errors
    /// If it can't be written as JSON.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|error| Error::failed("cannot write the run down").because(error))
    }
}

/// Absolute paths in a fixed order, each once.
///
/// # Errors
/// A path that does not exist.
pub fn absolute(paths: &[PathBuf]) -> Result<Vec<OsString>> {
    let mut all = paths
        .iter()
        .map(|path| {
            path.canonicalize()
                .map(PathBuf::into_os_string)
                .map_err(|error| {
                    Error::failed(format!("cannot read {}", path.display())).because(error)
                })
        })
        .collect::<Result<Vec<_>>>()?;
    all.sort();
    all.dedup();
    Ok(all)
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    pub(in crate::commands::run) fn job(paths: &[&str]) -> Job {
        Job {
            paths: paths.iter().map(OsString::from).collect(),
            output: "/out".into(),
            instances: None,
            instance_type: None,
            disk: None,
            preset: "web".into(),
            service: None,
            all: false,
            salvage: false,
            keep_times: true,
            keep_image: false,
            ttl_seconds: 3600,
        }
    }

    #[test]
    fn names_that_are_no_text_are_read_back() {
        let mut written = job(&["/films"]);
        written
            .paths
            .push(OsString::from_vec(b"/\xff.avi".to_vec()));
        let json = written.to_json().expect("writes");
        let read: Job = serde_json::from_str(&json).expect("reads");
        assert_eq!(read, written);
    }

    #[test]
    fn the_same_work_may_go_elsewhere_but_is_of_the_same_files() {
        let one = job(&["/films"]);
        let mut other = Job {
            output: "/elsewhere".into(),
            instances: Some(9),
            ttl_seconds: 7200,
            ..one.clone()
        };
        assert!(one.is_same_work(&other));
        other.preset = "hevc".into();
        assert!(!one.is_same_work(&other));
        assert!(!one.is_same_work(&job(&["/films", "/more"])));
    }
}

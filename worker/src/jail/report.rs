//! What [`super::inside`] tells the worker of a program that has ended: the last line of standard error.
//!
//! The program could print such a line too, but never the last one: it is dead, with all that it
//! started, when this one is written.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Begins the line, so that words of a program are not read as a report.
const MARK: &str = "muck-jail ";

/// How a program ended and what it took, with all that it started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The exit code, if it ended by itself.
    pub(crate) code: Option<i32>,
    /// The signal, if one killed it.
    pub(crate) signal: Option<i32>,
    /// Why it could not be started.
    pub(crate) unstarted: Option<String>,
    /// Processor time, of all threads, in microseconds.
    pub(crate) cpu_us: u64,
    /// The most memory that was resident at a time, in bytes.
    pub(crate) peak_bytes: u64,
}

impl Report {
    /// Reads a line of standard error; none if it is no report.
    pub(crate) fn read(line: &str) -> Option<Self> {
        serde_json::from_str(line.strip_prefix(MARK)?).ok()
    }

    /// The line.
    pub(super) fn line(&self) -> String {
        let json = serde_json::to_string(self).unwrap_or_default();
        format!("{MARK}{json}")
    }

    pub(crate) fn cpu(&self) -> Duration {
        Duration::from_micros(self.cpu_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_comes_back_and_other_words_are_none() {
        let report = Report {
            signal: Some(24),
            cpu_us: 12_345,
            peak_bytes: 1 << 33,
            ..Report::default()
        };
        assert_eq!(Report::read(&report.line()), Some(report));
        for other in ["", "muck-jail", "muck-jail {", "Conversion failed!"] {
            assert_eq!(Report::read(other), None, "{other}");
        }
    }
}

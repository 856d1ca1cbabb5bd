//! How large an image is, and what makes it so.

use muck_worker::text::quantity;
use serde::Serialize;

use super::report::Report;

/// Packages that are named: enough to see where it pays to save.
const NAMED: usize = 5;
/// Where the worker lies in the image.
const WORKER: &str = "/usr/local/bin/muck-worker";

/// Parts of an image's root file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Size {
    /// KiB on disk, as far as the builder could tell.
    pub total_kib: Option<u64>,
    /// The same before the bake.
    pub base_kib: Option<u64>,
    pub worker_kib: u64,
    /// What the packages that the bake brought in take by Debian's count, which includes the documentation
    /// that was left out.
    pub packages_kib: u64,
    /// How many they are.
    pub packages: usize,
    /// The largest of them with their KiB.
    pub largest: Vec<(String, u64)>,
}

impl Size {
    pub fn of(report: &Report) -> Self {
        let mut largest: Vec<(String, u64)> = report
            .installed
            .iter()
            .map(|one| (one.name.clone(), one.kib))
            .collect();
        largest.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        largest.truncate(NAMED);
        let worker = report.manifest.files.iter().find(|one| one.path == WORKER);
        Self {
            total_kib: report.root_kib,
            base_kib: report.base_kib,
            worker_kib: worker.map_or(0, |file| file.bytes.div_ceil(1024)),
            packages_kib: report.installed.iter().map(|one| one.kib).sum(),
            packages: report.installed.len(),
            largest,
        }
    }

    /// For people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(total) = self.total_kib {
            let mut parts = Vec::new();
            parts.extend(self.base_kib.map(|kib| format!("base {}", mib(kib))));
            parts.push(format!("worker {}", mib(self.worker_kib)));
            if let Some(base) = self.base_kib {
                let rest = total.saturating_sub(base).saturating_sub(self.worker_kib);
                parts.push(format!("packages and the rest {}", mib(rest)));
            }
            lines.push(format!("{} in all: {}", mib(total), parts.join(", ")));
        }
        if self.packages > 0 {
            let largest: Vec<String> = self
                .largest
                .iter()
                .map(|(name, kib)| format!("{name} {}", mib(*kib)))
                .collect();
            lines.push(format!(
                "{} came in, {} by Debian's count; the largest: {}",
                quantity(self.packages, "package"),
                mib(self.packages_kib),
                largest.join(", ")
            ));
        }
        lines
    }
}

fn mib(kib: u64) -> String {
    format!("{} MiB", kib.div_ceil(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told() {
        let sum = "a".repeat(64);
        let report = Report::parse(&format!(
            "Muck-Report: 1\nStatus: ok\nExit: 0\nBase-KiB: 204800\nRoot-KiB: 409600\n\
             [installed]\n ffmpeg 7 2048 -\n libllvm19 1 102400 -\n[files]\n {sum} 755 0:0 10485760 /usr/local/bin/muck-worker\n"
        ))
        .expect("reads");
        insta::assert_snapshot!(Size::of(&report).lines().join("\n"), @r"
        400 MiB in all: base 200 MiB, worker 10 MiB, packages and the rest 190 MiB
        2 packages came in, 102 MiB by Debian's count; the largest: libllvm19 100 MiB, ffmpeg 2 MiB
        ");
    }
}

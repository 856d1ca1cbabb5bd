//! How much memory this machine has for us.

use std::path::Path;

/// In bytes: the machine's, or less where a control group limits it. `None` if it isn't known.
pub(crate) fn of_this_machine() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| total_of(&text));
    let group = std::fs::read_to_string(Path::new("/sys/fs/cgroup/memory.max"))
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok());
    match (machine, group) {
        (Some(machine), Some(group)) => Some(machine.min(group)),
        (machine, group) => machine.or(group),
    }
}

/// `MemTotal` of proc(5)'s meminfo, which is in KiB.
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_measured() {
        assert_eq!(
            total_of("MemFree: 1 kB\nMemTotal:       16306152 kB\n"),
            Some(16_306_152 << 10)
        );
        assert_eq!(total_of("nothing"), None);
        assert!(of_this_machine() > Some(1 << 28));
    }
}

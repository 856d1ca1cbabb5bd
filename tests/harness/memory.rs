//! The most memory that a program had.

use std::process::{Child, ExitStatus};
use std::time::Duration;

/// Waits for the end of `child`; returns its end and the most resident memory that it was seen to have, in KiB
/// (`VmHWM` of proc(5)).
pub fn wait_measured(child: &mut Child) -> (ExitStatus, u64) {
    let mut most = 0;
    loop {
        most = high_water(child.id()).unwrap_or(0).max(most);
        if let Some(end) = child.try_wait().expect("a child") {
            return (end, most);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The most resident memory that a process had so far, in KiB; `None` if there is no such process, or it has ended.
pub fn high_water(process: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

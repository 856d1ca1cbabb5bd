//! Who is whose child: what `/proc` tells of the processes of a guest.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What we need to know of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    pub pid: u32,
    pub parent: u32,
    pub session: u32,
    /// Ended, but not yet waited for.
    pub zombie: bool,
}

/// All processes that we see.
pub(super) fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?))
        .collect()
}

/// Reads `/proc/PID/stat` (proc_pid_stat(5)): the name in parentheses may hold anything, so we count
/// from the last one: state, parent, process group, session.
fn parse(pid: u32, stat: &str) -> Option<Process> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    Some(Process {
        pid,
        parent,
        session,
        zombie: state == "Z" || state == "X",
    })
}

/// A living child of `parent`.
pub(super) fn child_of(parent: u32) -> Option<u32> {
    all()
        .into_iter()
        .find(|process| process.parent == parent && !process.zombie)
        .map(|process| process.pid)
}

/// All living descendants of `ancestor`, without itself.
pub(super) fn descendants(ancestor: u32) -> Vec<u32> {
    let all = all();
    let mut family = vec![ancestor];
    // Parents may come after their children in the list, so until nothing is added.
    loop {
        let before = family.len();
        for process in &all {
            if family.contains(&process.parent) && !family.contains(&process.pid) {
                family.push(process.pid);
            }
        }
        if family.len() == before {
            break;
        }
    }
    family.retain(|pid| {
        *pid != ancestor
            && all
                .iter()
                .any(|process| process.pid == *pid && !process.zombie)
    });
    family
}

/// Sends a signal. That the process is gone already is no error for any of our uses.
pub(super) fn signal(pid: u32, signal: Signal) {
    let Ok(pid) = i32::try_from(pid) else { return };
    // 0 and 1 would mean groups of processes or the machine's init.
    if pid > 1 {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_stat_line_with_a_nasty_name() {
        let line = "42 (a) R 1 (b) S 7 42 9 34816 0 0";
        let process = parse(42, line).unwrap();
        assert_eq!(
            process,
            Process {
                pid: 42,
                parent: 7,
                session: 9,
                zombie: false
            }
        );
        assert!(parse(42, "42 (x) Z 7 42 9").unwrap().zombie);
        assert!(parse(42, "42 x").is_none());
    }

    #[test]
    fn finds_a_child() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        assert!(descendants(std::process::id()).contains(&child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!descendants(std::process::id()).contains(&child.id()));
    }
}

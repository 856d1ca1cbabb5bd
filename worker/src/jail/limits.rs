//! How much a jailed program may take.

use std::time::Duration;

use nix::sys::resource::Resource;

use crate::memory;

/// Memory that is left to the system and to the worker, in bytes. A Debian without a desktop takes 100 to
/// 150 MiB, the worker with transfers in flight less than 100 MiB.
const SPARE_MEMORY: u64 = 256 << 20;

/// The least share of memory, in bytes: what the presets need for 1080p (docs/jail.md has the table). With
/// less nothing would be converted; the kernel's choice of whom to kill is then the better limit.
const LEAST_MEMORY: u64 = 768 << 20;

/// The greatest, in bytes. The largest pictures that are let in, 8192x4320, take libx264 7.2 GiB; a file that wants more than
/// this wants the machine.
const MOST_MEMORY: u64 = 12 << 30;

/// Threads that any conversion may have …
const LEAST_PROCESSES: u64 = 256;

/// … and for each processor on top: SVT-AV1, the hungriest, starts some 15 a processor.
const PROCESSES_A_PROCESSOR: u64 = 32;

/// Bytes of a thread's stack, all of which count as memory. ffmpeg and its codecs run on systems that give 512 KiB
/// to a thread; Linux's usual 8 MiB would make a gigabyte of SVT-AV1's threads.
const STACK: u64 = 2 << 20;

/// Files that may be open at a time: ffmpeg itself needs the input, its outputs, and libraries while they load.
const OPEN_FILES: u64 = 256;

/// After the limit of processor time a program is told (SIGXCPU, on which ffmpeg ends its file in
/// order), and killed when it has taken so many seconds more.
const CPU_GRACE: u64 = 10;

/// What there is to share out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Bytes of memory.
    pub memory: u64,
    /// Processors that this process may use.
    pub processors: u64,
}

impl Machine {
    /// This machine, as its control group and the scheduler's affinity bound it. Memory that isn't known counts as 1 GiB.
    pub fn of_this() -> Self {
        Self {
            memory: memory::of_this_machine().unwrap_or(1 << 30),
            processors: std::thread::available_parallelism().map_or(1, |n| n.get() as u64),
        }
    }
}

/// What one job may take, whatever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory that it may write to (`RLIMIT_DATA`). Not the address space: programs reserve
    /// much of that and never touch it (the C library alone 64 MiB a thread), and libraries count in it.
    pub memory: u64,
    /// Processes and threads (`RLIMIT_NPROC`, which the kernel counts in each user namespace by itself).
    pub processes: u64,
    /// Processors of which it may use all the time: its share, rounded up.
    pub processors: u64,
}

impl Limits {
    /// The share of one of `slots` jobs beside each other.
    pub fn of(machine: Machine, slots: u64) -> Self {
        let slots = slots.max(1);
        Self {
            memory: (machine.memory.saturating_sub(SPARE_MEMORY) / slots)
                .clamp(LEAST_MEMORY, MOST_MEMORY),
            processes: LEAST_PROCESSES + PROCESSES_A_PROCESSOR * machine.processors,
            processors: machine.processors.div_ceil(slots).max(1),
        }
    }
}

/// Whether a program makes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It only looks.
    Read,
    /// It writes into the job's folder.
    Write,
}

/// What one program may take, because of what it is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub access: Access,
    /// Time on the clock.
    pub wall: Duration,
    /// Bytes that it may write into the job's folder, in all and for each file.
    pub output: u64,
}

impl Bounds {
    /// Looking at a file for at most that time.
    pub fn reading(wall: Duration) -> Self {
        Self {
            access: Access::Read,
            wall,
            output: 0,
        }
    }

    /// Writing so many bytes in at most that time.
    pub fn writing(wall: Duration, output: u64) -> Self {
        Self {
            access: Access::Write,
            wall,
            output,
        }
    }

    /// Seconds of processor time: all of the share, all the time. It binds when nobody is left to look at the clock.
    pub fn cpu_seconds(self, limits: Limits) -> u64 {
        self.wall.as_secs().max(1).saturating_mul(limits.processors)
    }

    /// The kernel's limits, each with its soft and its hard value.
    pub(super) fn resources(self, limits: Limits) -> [(Resource, u64, u64); 7] {
        let cpu = self.cpu_seconds(limits);
        let both = |resource, value| (resource, value, value);
        [
            both(Resource::RLIMIT_CORE, 0),
            both(Resource::RLIMIT_NOFILE, OPEN_FILES),
            both(Resource::RLIMIT_NPROC, limits.processes),
            both(Resource::RLIMIT_STACK, STACK),
            both(Resource::RLIMIT_DATA, limits.memory),
            both(Resource::RLIMIT_FSIZE, self.output),
            (Resource::RLIMIT_CPU, cpu, cpu.saturating_add(CPU_GRACE)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_share_what_there_is() {
        let machine = Machine {
            memory: 4 << 30,
            processors: 2,
        };
        let one = Limits::of(machine, 1);
        assert_eq!((one.memory, one.processors), ((4 << 30) - (256 << 20), 2));
        let each = Limits::of(machine, 2);
        assert_eq!((each.memory, each.processors), (one.memory / 2, 1));
        assert_eq!(Limits::of(machine, 0), one);
        let tiny = Machine {
            memory: 0,
            processors: 1,
        };
        assert_eq!(Limits::of(tiny, 9).memory, LEAST_MEMORY);
        let huge = Machine {
            memory: 1 << 40,
            processors: 96,
        };
        assert_eq!(Limits::of(huge, 2).memory, MOST_MEMORY);
    }
}

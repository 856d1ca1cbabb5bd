//! A lane of a sweep: a local cloud of its own, in which one point is tried after another, each with a stack
//! name of its own (SQS refuses a deleted queue's name for 60 s). Lanes run side by side.

use super::World;
use super::account::Account;
use super::faults::Faults;
use super::machine::{Access, Machine};
use super::sdk::Sdk;

/// Larger than one part of an upload (8 MiB), so that `submit` also makes a multipart upload.
pub const TWO_PARTS: usize = 9 << 20;

/// The commands that are swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Job {
    Up,
    Bake,
    Submit,
    Launch,
    Down,
}

impl Job {
    pub const ALL: [Self; 5] = [Self::Up, Self::Bake, Self::Submit, Self::Launch, Self::Down];

    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Bake => "bake",
            Self::Submit => "submit",
            Self::Launch => "launch",
            Self::Down => "down",
        }
    }

    /// What must have been done before.
    fn needs(self) -> &'static [Self] {
        match self {
            Self::Up => &[],
            Self::Bake | Self::Submit => &[Self::Up],
            Self::Launch => &[Self::Up, Self::Bake],
            Self::Down => &[Self::Up, Self::Bake, Self::Launch, Self::Submit],
        }
    }

    /// How it is typed.
    pub fn arguments(self, stack: &str) -> Vec<String> {
        let words: &[&str] = match self {
            Self::Up => &["up"],
            Self::Bake => &["bake"],
            // Noise: the workers refuse it at once, and no time goes into converting.
            Self::Submit => &["submit", "big.avi", "small.avi", "--batch", "swept"],
            Self::Launch => &["launch", "-n", "2"],
            Self::Down => &["down", "--yes"],
        };
        let mut arguments: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        arguments.extend(["--stack".to_owned(), stack.to_owned()]);
        arguments
    }
}

pub struct Lane {
    pub account: Account,
    pub faults: Faults,
    access: Access,
    sdk: Sdk,
    /// Where the swept commands run.
    pub machine: Machine,
    stacks: u32,
    // Last: the local cloud goes after all that calls it.
    _world: World,
}

impl Lane {
    /// Starts a local cloud with nothing in it.
    pub fn open() -> Self {
        let world = World::without_booting();
        // Any command starts it; this one makes nothing.
        world.muck(&["plan", "--local"]).exits(3);
        let access = Access::of(&world);
        let machine = Machine::new(&access, "swept");
        machine.file("small.avi", noise(100_000));
        machine.file("big.avi", noise(TWO_PARTS));
        let lane = Self {
            account: Account::of(&world),
            faults: Faults::of(&world),
            sdk: Sdk::over(&access),
            access,
            machine,
            stacks: 0,
            _world: world,
        };
        assert_eq!(lane.account.left_overs(), Vec::<String>::new());
        lane
    }

    /// A stack name that was never used here.
    pub fn new_stack(&mut self) -> String {
        self.stacks += 1;
        format!("p{}", self.stacks)
    }

    /// Another machine, with nothing on it.
    pub fn elsewhere(&self) -> Machine {
        Machine::new(&self.access, "elsewhere")
    }

    /// Does undisturbed all that `job` needs.
    pub fn prepare(&self, job: Job, stack: &str) {
        for needed in job.needs() {
            self.run(*needed, stack).exits(0);
        }
        if job == Job::Down {
            // Whether its workers have stored anything yet is chance, and with it how many calls empty the buckets.
            let call = self.sdk.s3.put_object().key("verdicts/early.json");
            let call = call.bucket(Sdk::bucket(stack, "output"));
            self.sdk.run(call.send()).expect("stores");
        }
    }

    /// Runs `job` to its end.
    pub fn run(&self, job: Job, stack: &str) -> super::Ended {
        let arguments = job.arguments(stack);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.machine.muck(&arguments)
    }
}

/// Bytes that are no video and that no filter would take for repetitive.
pub fn noise(bytes: usize) -> Vec<u8> {
    // A multiplier of Steele and Vigna's tables for congruential generators; any odd number would do.
    let mut state = bytes as u64;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
        (state >> 56) as u8
    })
    .take(bytes)
    .collect()
}

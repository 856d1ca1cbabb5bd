//! One call of one command: what sweeps go over.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::lane::{Job, Lane};

/// The `occurrence`th call of this action that the command makes, counting from 1.
///
/// Not the command's nth call of all: it makes many calls side by side, so the nth is another one in each run,
/// while there are just so many of each action.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    pub job: Job,
    pub service: String,
    pub action: String,
    pub occurrence: u64,
}

impl Call {
    /// Whether it changes anything in the cloud.
    pub fn changes(&self) -> bool {
        !["Get", "List", "Describe", "Head"]
            .iter()
            .any(|verb| self.action.starts_with(verb))
    }

    /// The calls of an undisturbed run of `job` on `stack`, in the order in which they arrived.
    pub fn all_of(lane: &Lane, job: Job, stack: &str) -> Vec<Self> {
        let before = lane.faults.last_call();
        lane.run(job, stack).exits(0);
        let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
        let calls = lane.faults.calls(lane.machine.client(), before);
        calls
            .into_iter()
            .map(|call| {
                let occurrence = counts
                    .entry((call.service.clone(), call.action.clone()))
                    .or_default();
                *occurrence += 1;
                Self {
                    job,
                    service: call.service,
                    action: call.action,
                    occurrence: *occurrence,
                }
            })
            .collect()
    }
}

/// `bake ec2.RunInstances#1`
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}.{}#{}",
            self.job.name(),
            self.service,
            self.action,
            self.occurrence
        )
    }
}

impl FromStr for Call {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (job, call) = text.split_once(' ')?;
            let (call, occurrence) = call.split_once('#')?;
            let (service, action) = call.split_once('.')?;
            Some(Self {
                job: Job::ALL.into_iter().find(|one| one.name() == job)?,
                service: service.to_owned(),
                action: action.to_owned(),
                occurrence: occurrence.parse().ok()?,
            })
        };
        parse().ok_or_else(|| {
            format!("{text:?} is no call: write it like \"bake ec2.RunInstances#1\"")
        })
    }
}

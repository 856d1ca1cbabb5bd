//! Which runs of this machine are unfinished, and whether a process still works on one.

use std::fs::{File, TryLockError};
use std::path::PathBuf;

use jiff::Timestamp;

use super::job::Job;
use crate::batch::ledger::{Ledger, RunRecord};
use crate::cloud::Cloud;
use crate::error::{Error, Result};
use crate::folders;
use crate::stack::survey::{Depths, Survey};

/// A run that goes on in this process: other processes see that until it ends, however it ends.
#[derive(Debug)]
pub struct Record {
    ledger: Ledger,
    lock: RunLock,
    pub batch: String,
    pub started: Timestamp,
}

impl Record {
    /// Writes down that this process runs `job` in the cloud's stack. Goes on with the run that is there, if one is.
    ///
    /// # Errors
    /// If another process works on that run.
    pub fn begin(cloud: &Cloud, job: &Job, known: Option<&RunRecord>) -> Result<Self> {
        let Some(lock) = lock(cloud)? else {
            return Err(Error::failed(format!(
                "another muck works on the run in stack {}",
                cloud.names.stack
            ))
            .hint("wait until it has ended, or end it with Ctrl-C"));
        };
        let ledger = Ledger::open(cloud)?;
        let now = Timestamp::now();
        let record = RunRecord {
            stack: cloud.names.stack.to_string(),
            started: known.map_or(now, |known| known.started),
            batch: known.map_or_else(
                || crate::batch::submit::new_name(now),
                |known| known.batch.clone(),
            ),
            request: job.to_json()?,
        };
        ledger.begin_run(&record)?;
        Ok(Self {
            ledger,
            lock,
            batch: record.batch,
            started: record.started,
        })
    }

    /// Closes the run: nothing is left of its stack.
    pub fn end(&self) -> Result<()> {
        self.ledger.end_run(Timestamp::now())?;
        // One that stays is an empty file.
        let _ = std::fs::remove_file(&self.lock.path);
        Ok(())
    }
}

/// An unfinished run, and what was asked for.
#[derive(Debug, Clone)]
pub struct Unfinished {
    pub record: RunRecord,
    pub job: Job,
    /// The stack, in the same account and region.
    pub cloud: Cloud,
    /// A process of this machine works on it.
    pub is_live: bool,
}

/// The unfinished runs of this machine in the cloud's account and region, the newest first. Asks no cloud: what is left of
/// them is not known.
///
/// # Errors
/// No ledger.
pub fn recorded(cloud: &Cloud) -> Result<Vec<Unfinished>> {
    let mut all = Vec::new();
    for record in Ledger::open(cloud)?.unfinished_runs()? {
        let (Ok(stack), Ok(job)) = (record.stack.parse(), serde_json::from_str(&record.request))
        else {
            // Another version's.
            continue;
        };
        let cloud = cloud.of_stack(&stack);
        let is_live = lock(&cloud)?.is_none();
        all.push(Unfinished {
            record,
            job,
            cloud,
            is_live,
        });
    }
    Ok(all)
}

/// Those of `recorded` of which anything exists. One of which nothing is left is closed.
///
/// # Errors
/// No ledger.
pub async fn existing(recorded: Vec<Unfinished>) -> Result<Vec<Unfinished>> {
    let mut all = Vec::new();
    for one in recorded {
        let survey = Survey::take(&one.cloud, Depths::Bare).await;
        if !one.is_live && survey.errors.is_empty() && survey.named.is_empty() {
            Ledger::open(&one.cloud)?.end_run(Timestamp::now())?;
        } else {
            all.push(one);
        }
    }
    Ok(all)
}

/// The right to work on a run, which one process has at a time.
#[derive(Debug)]
struct RunLock {
    /// Locked; the kernel unlocks it when the process has ended.
    _file: File,
    path: PathBuf,
}

/// Locks the run in the cloud's stack; `None`: another process holds it.
fn lock(cloud: &Cloud) -> Result<Option<RunLock>> {
    let path = lock_path(cloud)?;
    let cannot = |error: std::io::Error| {
        Error::failed(format!("cannot lock {}", path.display())).because(error)
    };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(cannot)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(RunLock { _file: file, path })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(cannot(error)),
    }
}

fn lock_path(cloud: &Cloud) -> Result<PathBuf> {
    let folder = folders::state()?.join("runs");
    std::fs::create_dir_all(&folder).map_err(|error| {
        Error::failed(format!("cannot make the folder {}", folder.display())).because(error)
    })?;
    let names = &cloud.names;
    Ok(folder.join(format!(
        "{}-{}-{}.lock",
        names.account, names.region, names.stack
    )))
}

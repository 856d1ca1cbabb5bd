//! Gives outputs that have come their names, many at a time: so they are taken to the disk together.

use tokio::task::JoinHandle;

use crate::batch::fetch::{self, Unnamed};
use crate::batch::submit::broken;
use crate::error::{Error, Result};

/// Outputs that are published together, at the most, and bytes of them at which they are, however few: small ones are in memory.
const GROUP: usize = 32;
const GROUP_BYTES: u64 = 16 << 20;

/// Publishes outputs in groups, one group while the next comes.
#[derive(Default)]
pub(super) struct Publisher {
    coming: Vec<(i64, u32, Box<Unnamed>)>,
    under_way: Option<JoinHandle<(Vec<Published>, Option<Error>)>>,
}

/// What became of an output.
pub(super) struct Published {
    pub job: i64,
    pub ordinal: u32,
    pub bytes: u64,
    pub requests: u64,
    /// Below the results' folder; or why it has none. `None` if what ended the group kept it from one.
    pub name: Option<Result<String, String>>,
}

impl Publisher {
    pub(super) fn add(&mut self, job: i64, ordinal: u32, output: Box<Unnamed>) {
        self.coming.push((job, ordinal, output));
    }

    pub(super) fn is_full(&self) -> bool {
        let bytes: u64 = self.coming.iter().map(|(_, _, output)| output.bytes).sum();
        self.coming.len() >= GROUP || bytes >= GROUP_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.coming.is_empty() && self.under_way.is_none()
    }

    /// Begins with the group that has come, and returns what became of the one before, if there was one, with what shall end the
    /// whole run.
    pub(super) async fn turn(&mut self) -> Result<(Vec<Published>, Option<Error>)> {
        let before = match self.under_way.take() {
            Some(task) => task.await.map_err(broken)?,
            None => (Vec::new(), None),
        };
        if !self.coming.is_empty() {
            let group = std::mem::take(&mut self.coming);
            self.under_way = Some(tokio::task::spawn_blocking(move || publish(group)));
        }
        Ok(before)
    }
}

/// Blocking.
fn publish(group: Vec<(i64, u32, Box<Unnamed>)>) -> (Vec<Published>, Option<Error>) {
    let facts: Vec<_> = group
        .iter()
        .map(|(job, ordinal, output)| (*job, *ordinal, output.bytes, output.requests))
        .collect();
    let outputs = group.into_iter().map(|(_, _, output)| *output).collect();
    let (names, failure) = fetch::publish(outputs);
    let published = facts.into_iter().zip(names);
    let published = published.map(|((job, ordinal, bytes, requests), name)| Published {
        job,
        ordinal,
        bytes,
        requests,
        name,
    });
    (published.collect(), failure)
}

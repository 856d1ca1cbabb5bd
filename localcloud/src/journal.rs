//! The journal of calls, which tests read over the control endpoint.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;

use crate::iam::{Demand, Demands};

/// Calls kept: more than any test or demo makes, and a few MiB at most.
const KEPT: usize = 20_000;

/// How far a call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// Not answered yet.
    Running,
    /// A fault keeps it from taking effect and from being answered.
    HeldBefore,
    /// It took effect; a fault keeps it from being answered.
    HeldAfter,
    /// Answered (or, by a fault, cut off in the answer).
    Done,
    /// The caller went away before the answer.
    Abandoned,
}

/// One call.
#[derive(Debug, Clone, Serialize)]
pub struct Call {
    /// Counts from 1 over the server's life.
    pub seq: u64,
    pub time: Timestamp,
    /// Microseconds from its arrival to its answer, once there is one. Delays on purpose count.
    pub took_us: Option<u64>,
    pub service: String,
    /// e.g. `RunInstances`; for S3 as the gateway reads it from method and query.
    pub action: String,
    /// `root`, `role/<role>/<instance>`, `user/<name>`, or `unknown`.
    pub principal: String,
    /// The application id that the caller's SDK sends; empty if it sends none.
    pub client: String,
    pub progress: Progress,
    /// HTTP status of the answer, once there is one.
    pub status: Option<u16>,
    /// AWS error code, if it failed (not known for S3's own errors).
    pub code: Option<String>,
    /// The fault on purpose, if there was one.
    pub fault: Option<String>,
    /// The permissions that it needed, granted or not.
    pub demands: Vec<Demand>,
}

/// The last calls of this server.
#[derive(Clone, Default)]
pub struct Journal(Arc<Mutex<Entries>>);

#[derive(Default)]
struct Entries {
    calls: VecDeque<Call>,
    next: u64,
}

/// A call under way; it counts as abandoned if dropped before [`Entry::done`].
pub struct Entry {
    journal: Journal,
    seq: u64,
    demands: Demands,
    began: Instant,
}

impl Journal {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        // Entries are whole after any panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a call came in.
    pub fn begin(&self, now: Timestamp, service: &str, action: &str) -> Entry {
        let mut entries = self.entries();
        entries.next += 1;
        let seq = entries.next;
        entries.calls.push_back(Call {
            seq,
            time: now,
            took_us: None,
            service: service.to_owned(),
            action: action.to_owned(),
            principal: "unknown".to_owned(),
            client: String::new(),
            progress: Progress::Running,
            status: None,
            code: None,
            fault: None,
            demands: Vec::new(),
        });
        if entries.calls.len() > KEPT {
            entries.calls.pop_front();
        }
        Entry {
            journal: self.clone(),
            seq,
            demands: Demands::default(),
            began: Instant::now(),
        }
    }

    /// The calls after number `seq`, oldest first.
    pub fn after(&self, seq: u64) -> Vec<Call> {
        self.entries()
            .calls
            .iter()
            .filter(|call| call.seq > seq)
            .cloned()
            .collect()
    }
}

impl Entry {
    /// Where the call's needs are to be noted.
    pub fn demands(&self) -> Demands {
        self.demands.clone()
    }

    fn change(&self, change: impl FnOnce(&mut Call)) {
        let mut entries = self.journal.entries();
        let Some(first) = entries.calls.front().map(|call| call.seq) else {
            return;
        };
        let index = self
            .seq
            .checked_sub(first)
            .and_then(|i| usize::try_from(i).ok());
        if let Some(call) = index.and_then(|index| entries.calls.get_mut(index)) {
            change(call);
            call.demands = self.demands.all();
        }
    }

    /// Who makes the call.
    pub fn principal(&self, principal: &str) {
        self.change(|call| principal.clone_into(&mut call.principal));
    }

    /// Which program makes it.
    pub fn client(&self, client: &str) {
        self.change(|call| client.clone_into(&mut call.client));
    }

    /// Which fault it meets.
    pub fn fault(&self, fault: String) {
        self.change(|call| call.fault = Some(fault));
    }

    /// A fault holds it here.
    pub fn held(&self, progress: Progress) {
        self.change(|call| call.progress = progress);
    }

    /// It is answered.
    pub fn done(self, status: u16, code: Option<&str>) {
        let took = self.began.elapsed().as_micros();
        self.change(|call| {
            call.took_us = u64::try_from(took).ok();
            call.progress = Progress::Done;
            call.status = Some(status);
            call.code = code.map(str::to_owned);
        });
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.change(|call| {
            if call.progress == Progress::Running {
                call.progress = Progress::Abandoned;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_how_far_calls_came() {
        let journal = Journal::default();
        let now = Timestamp::UNIX_EPOCH;
        let first = journal.begin(now, "ec2", "RunInstances");
        first.principal("root");
        first.done(200, None);
        let second = journal.begin(now, "ec2", "RunInstances");
        second.held(Progress::HeldAfter);
        drop(journal.begin(now, "s3", "GetObject"));
        let calls = journal.after(0);
        let progress: Vec<_> = calls.iter().map(|call| call.progress).collect();
        assert_eq!(
            progress,
            [Progress::Done, Progress::HeldAfter, Progress::Abandoned]
        );
        drop(second);
        assert_eq!(journal.after(1)[0].progress, Progress::HeldAfter);
        assert_eq!(calls[0].principal, "root");
        assert!(calls[0].took_us.is_some() && calls[1].took_us.is_none());
    }

    #[test]
    fn forgets_the_oldest() {
        let journal = Journal::default();
        for _ in 0..KEPT + 10 {
            journal
                .begin(Timestamp::UNIX_EPOCH, "s3", "x")
                .done(200, None);
        }
        let calls = journal.after(0);
        assert_eq!(calls.len(), KEPT);
        assert_eq!(calls[0].seq, 11);
        assert_eq!(calls[0].status, Some(200));
    }
}

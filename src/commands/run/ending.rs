//! How a run ends: its instances first, then what they converted is fetched, then everything is deleted. What can't be
//! fetched is kept, in a stack that computes no more and expires by itself.

use jiff::Timestamp;
use muck_worker::text::quantity;

use super::convert::{Run, Summary};
use super::kept::Kept;
use crate::batch::{self, Report};
use crate::commands::down;
use crate::error::{Error, Kind, Result};
use crate::interrupt::Interrupts;
use crate::lifetime::expiry_of;
use crate::resources::bucket;
use crate::stack::survey::{Depths, Survey};
use crate::stack::{self, Confirmed, DownOptions, TeardownReport};

/// What a second signal leaves.
const AGAIN: &str = "Ctrl-C again leaves things as they are";

impl Run<'_> {
    /// Ends the run after `outcome`, and says how it went altogether.
    pub async fn end(
        &self,
        outcome: Result<()>,
        summary: &mut Summary,
        interrupts: &mut Interrupts,
    ) -> Result<()> {
        let is_fetched = summary.report.as_ref().is_some_and(Report::is_fetched);
        let is_waited_for = !matches!(&outcome, Err(error) if error.kind() == Kind::Interrupted);
        let may_hold = self.resumed || summary.launching;
        let outcome = if !may_hold || (is_fetched && is_waited_for) {
            outcome
        } else {
            match self.rescue(outcome, summary, interrupts).await {
                Rescue::Fetched(outcome) => outcome,
                Rescue::Kept(error) => return Err(error),
            }
        };
        // There will be nothing left to renew.
        summary.renewal = None;
        let torn_down = tokio::select! {
            torn_down = self.tear_down(summary.baked) => torn_down,
            () = interrupts.next() => Err(self.remaining_error().await),
        };
        let torn_down = torn_down.and_then(|report| {
            let report = summary.teardown.insert(report);
            down::verdict(self.cloud, report, self.session)?;
            self.record.end()
        });
        match (outcome, torn_down) {
            (outcome, Ok(())) => outcome,
            (Ok(()), Err(left)) => Err(left),
            // The first error is the cause; what is left is what costs money. Both must be reported.
            (Err(first), Err(left)) => {
                self.cloud.events.warn(first.chain());
                Err(left)
            }
        }
    }

    /// Ends the instances and fetches what they have converted.
    async fn rescue(
        &self,
        outcome: Result<()>,
        summary: &mut Summary,
        interrupts: &mut Interrupts,
    ) -> Rescue {
        let events = &self.cloud.events;
        let first = outcome.err();
        match &first {
            Some(error) if error.kind() != Kind::Interrupted => {
                events.note(format!("Ending the instances: {}", error.chain()));
            }
            _ => events.note("Ending the instances"),
        }
        let mut again = false;
        let mut ending = std::pin::pin!(self.end_compute(summary.baked));
        let ended = loop {
            tokio::select! {
                ended = &mut ending => break ended,
                () = interrupts.next() => {
                    if again {
                        return Rescue::Kept(self.remaining_error().await);
                    }
                    again = true;
                    events.warn(format!("nothing is fetched: the converted files stay in the stack; {AGAIN}"));
                }
            }
        };
        let fetched = if again {
            Err(Error::new(Kind::Interrupted, "interrupted"))
        } else {
            events.note("Fetching what is converted; Ctrl-C again leaves it in the stack");
            tokio::select! {
                fetched = self.fetch_rest(summary) => fetched,
                () = interrupts.next() => Err(Error::new(Kind::Interrupted, "interrupted again")),
            }
        };
        let failed = match fetched {
            Ok(()) => return Rescue::Fetched(self.all_fetched(first, summary)),
            Err(error) => error,
        };
        let first = first.unwrap_or(failed);
        if ended.is_ok() && !stack::may_hold_outputs(self.cloud).await {
            return Rescue::Fetched(Err(first));
        }
        let kept = self.keep(summary).await;
        let error = kept.explain(self.cloud, &first, ended.err().as_ref());
        summary.kept = Some(kept);
        Rescue::Kept(error)
    }

    /// How a run went that was cut short by `first`, and of which all that was converted is here by now.
    fn all_fetched(&self, first: Option<Error>, summary: &Summary) -> Result<()> {
        let finished = self.finish(summary);
        let Some(first) = first else {
            return finished;
        };
        let Some(report) = &summary.report else {
            return Err(first);
        };
        let totals = &report.totals;
        if first.kind() == Kind::Interrupted {
            return Err(Error::new(
                Kind::Interrupted,
                match totals.jobs {
                    0 => "interrupted: nothing was converted".to_owned(),
                    jobs => format!(
                        "interrupted: {} of {} converted and fetched",
                        totals.converted,
                        quantity(jobs, "file")
                    ),
                },
            ));
        }
        if totals.jobs == 0 || totals.outstanding > 0 {
            return Err(first);
        }
        // It did no harm.
        self.cloud.events.warn(first.chain());
        finished
    }

    /// # Errors
    /// Why a converted file is not here.
    async fn fetch_rest(&self, summary: &mut Summary) -> Result<()> {
        let report = self.fetch(summary, false).await?;
        if report.is_fetched() {
            return Ok(());
        }
        Err(report
            .failure()
            .unwrap_or_else(|| Error::failed("not every converted file could be fetched")))
    }

    /// Deletes what computes, and looks whether it is gone.
    async fn end_compute(&self, baked: bool) -> Result<()> {
        let options = DownOptions {
            keep_image: self.job.keep_image && baked,
            keep_stack: true,
            ..DownOptions::default()
        };
        let report = self.delete(options).await?;
        if report.is_clean() {
            return Ok(());
        }
        down::verdict(self.cloud, &report, self.session)
    }

    /// Sees to it that what is stored lives long enough to be fetched, and no longer.
    async fn keep(&self, summary: &Summary) -> Kept {
        let cloud = self.cloud;
        if let Err(error) = stack::extend(cloud, self.record.started).await {
            cloud.events.warn(error.chain());
        }
        // An earlier command may have given it longer.
        let presence = bucket::look(&cloud.aws, &cloud.names.output_bucket()).await;
        let expires = presence.ok().flatten().and_then(|one| expiry_of(&one.tags));
        let latest = summary.launch.as_ref().map(|launch| launch.expires);
        let expires = expires.or(latest).unwrap_or_else(Timestamp::now);
        Kept::count(cloud, expires).await
    }

    async fn tear_down(&self, baked: bool) -> Result<TeardownReport> {
        self.cloud.events.note("Teardown");
        let options = DownOptions {
            keep_image: self.job.keep_image && baked,
            ..DownOptions::default()
        };
        self.delete(options).await
    }

    async fn delete(&self, options: DownOptions) -> Result<TeardownReport> {
        // Instances that have ended are forgotten within the hour; their times are on the bill.
        if let Err(error) = batch::observe_instances(self.cloud).await {
            self.cloud.events.warn(error.chain());
        }
        let survey = Survey::take(self.cloud, Depths::Bare).await;
        down::delete(self.cloud, &survey, options, Confirmed::for_own_stack()).await
    }

    /// What the last signal leaves, and how to remove it.
    async fn remaining_error(&self) -> Error {
        let name = &self.cloud.names.stack;
        let left = match super::remaining(self.cloud, |_| true).await.as_slice() {
            [] => "nothing is left of it".to_owned(),
            left => format!("still there:\n{}", left.join("\n")),
        };
        Error::new(
            Kind::Interrupted,
            format!("interrupted while stack {name} was torn down; {left}"),
        )
        .hint(format!("go on with it: {}", self.cloud.command("resume")))
        .hint(format!("remove it: {} --yes", self.cloud.down_command()))
    }
}

/// What became of the converted files.
enum Rescue {
    /// All are here. How the run went apart from that.
    Fetched(Result<()>),
    Kept(Error),
}

//! `muck status`: queues, instances, the batch, its pace, and what was spent.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use muck_worker::text::{printable_short, quantity, quantity_of};
use serde::Serialize;

use super::bill;
use super::collect::{Collector, Depths};
use super::estimate::Estimate;
use super::fleet;
use super::ledger::{Batch, FirstRead, Ledger, Totals};
use super::money::Dollars;
use super::progress::{AtWork, Reports};
use super::statistics::Statistics;
use super::usage;
use crate::cloud::Cloud;
use crate::error::Result;
use crate::resources::instance::InstanceState;
use crate::ui::seconds;

/// How a stack and its newest (or named) batch stand.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    pub stack: String,
    pub queues: Depths,
    pub instances: Vec<InstanceStatus>,
    /// What the workers report of the files that they work on.
    pub at_work: Vec<AtWork>,
    /// `None` if no batch is known here.
    pub batch: Option<BatchStatus>,
}

#[derive(Debug, Clone, Serialize)]
pub struct InstanceStatus {
    pub id: String,
    pub kind: String,
    pub instance_type: String,
    pub state: InstanceState,
    /// Since its launch.
    pub age_seconds: u64,
}

#[derive(Debug, Clone, Serialize)]
pub struct BatchStatus {
    pub name: String,
    /// As far as results were read; reports that wait in the output queue are counted in
    /// `reported` until then.
    pub totals: Totals,
    pub reported: u64,
    /// From launch to first message, of each instance that brought a result back.
    pub first_reads: Vec<FirstRead>,
    /// How much of the batch is converted; files in work count in part.
    pub percent: u32,
    /// Results a minute.
    pub transactions_per_minute: Option<f64>,
    pub eta_seconds: Option<u64>,
    /// `None` where prices are not known.
    pub spent: Option<Dollars>,
    /// Nothing is really spent: that is what AWS would have asked.
    pub rehearsal: bool,
}

/// Looks at the stack. `batch`: `None` for the newest. `reports`: kept from one look to the next.
pub async fn status(cloud: &Cloud, batch: Option<&str>, reports: &mut Reports) -> Result<Status> {
    status_by(cloud, &Ledger::open(cloud)?, batch, reports).await
}

/// The same with the ledger given.
pub(super) async fn status_by(
    cloud: &Cloud,
    ledger: &Ledger,
    batch: Option<&str>,
    reports: &mut Reports,
) -> Result<Status> {
    let chosen = match batch {
        Some(_) => Some(bill::known(ledger, batch)?),
        None => ledger.newest_batch()?,
    };
    let queues = Collector::look(cloud).await?;
    let now = Timestamp::now();
    let mut instances: Vec<InstanceStatus> = fleet::observe(cloud, ledger)
        .await?
        .into_iter()
        .filter(|one| one.state != InstanceState::Terminated)
        .map(|one| InstanceStatus {
            kind: one.kind().unwrap_or_default().to_owned(),
            age_seconds: one.launched.map_or(0, |at| {
                u64::try_from(now.as_second() - at.as_second()).unwrap_or(0)
            }),
            id: one.id,
            instance_type: one.instance_type,
            state: one.state,
        })
        .collect();
    instances.sort_by(|a, b| {
        b.age_seconds
            .cmp(&a.age_seconds)
            .then_with(|| a.id.cmp(&b.id))
    });
    let mut at_work = if queues.input.in_flight > 0 {
        reports.read(cloud).await?
    } else {
        Vec::new()
    };
    if let Some(batch) = &chosen {
        let jobs = ledger.jobs(batch)?;
        at_work.retain(|one| one.file.batch.as_ref() != Some(&batch.name) || one.is_of(&jobs));
    }
    Ok(Status {
        stack: cloud.names.stack.to_string(),
        batch: chosen
            .map(|batch| batch_status(cloud, ledger, &batch, &queues, &at_work, now))
            .transpose()?,
        queues,
        instances,
        at_work,
    })
}

fn batch_status(
    cloud: &Cloud,
    ledger: &Ledger,
    batch: &Batch,
    queues: &Depths,
    at_work: &[AtWork],
    now: Timestamp,
) -> Result<BatchStatus> {
    let totals = ledger.totals(batch)?;
    let jobs = ledger.jobs(batch)?;
    let times: Vec<_> = jobs.iter().filter_map(|job| job.times).collect();
    let spent = bill::price(
        &usage::gather(ledger, batch, 0, now)?,
        &cloud.names.region,
        bill::is_aws(cloud),
    );
    let of_batch: Vec<AtWork> = at_work
        .iter()
        .filter(|one| one.file.batch.as_ref() == Some(&batch.name))
        .cloned()
        .collect();
    let estimate = Estimate::of(&jobs, &of_batch, now);
    Ok(BatchStatus {
        name: batch.name.clone(),
        first_reads: ledger.first_reads(batch)?,
        reported: queues.output.visible.min(totals.outstanding),
        transactions_per_minute: Statistics::of(&times).map(|all| all.transactions_per_minute),
        percent: estimate.percent(),
        eta_seconds: estimate
            .eta
            .filter(|_| totals.outstanding > 0)
            .map(|eta| eta.as_secs()),
        totals,
        spent: (!spent.incomplete).then_some(spent.total),
        rehearsal: !bill::is_aws(cloud),
    })
}

impl Status {
    /// For a terminal: a few lines.
    pub fn text(&self) -> String {
        let queues = &self.queues;
        let mut text = format!(
            "stack      {}\nqueue      {} waiting, {} in work, {} to read, {} dead",
            self.stack,
            queues.input.visible,
            queues.input.in_flight,
            quantity(queues.output.visible, "report"),
            queues.failed.visible + queues.failed.in_flight
        );
        if self.instances.is_empty() {
            text.push_str("\ninstances  none");
        }
        for (index, one) in self.instances.iter().enumerate() {
            let label = if index == 0 { "instances" } else { "" };
            let age = seconds(Duration::from_secs(one.age_seconds));
            let _ = write!(
                text,
                "\n{label:<10} {}  {:<8} {:<12} {:<13} {age}",
                one.id,
                printable_short(&one.kind, 20),
                one.instance_type,
                one.state
            );
        }
        for (index, one) in self.at_work.iter().enumerate() {
            let label = if index == 0 { "at work" } else { "" };
            let _ = write!(text, "\n{label:<10} {}", one.text());
        }
        match &self.batch {
            Some(batch) => text.push_str(&batch.text()),
            None => text.push_str("\nbatch      none was submitted from here"),
        }
        text
    }
}

impl BatchStatus {
    fn text(&self) -> String {
        let totals = &self.totals;
        let mut text = format!(
            "\nbatch      {}\njobs       {} of {} done, {} %",
            printable_short(&self.name, 70),
            totals.converted + totals.failed,
            totals.jobs,
            self.percent
        );
        if totals.failed > 0 {
            let _ = write!(text, ", {} of them failed", totals.failed);
        }
        if self.reported > 0 {
            let _ = write!(
                text,
                ", {} more reported (`muck results` reads them)",
                self.reported
            );
        }
        let seconds_taken = self.first_reads.iter().map(|one| one.seconds);
        if let (Some(least), Some(most)) = (seconds_taken.clone().min(), seconds_taken.max()) {
            let span = if least == most {
                format!("{most} s")
            } else {
                format!("{least} to {most} s")
            };
            let instances = quantity_of(&self.first_reads, "instance");
            let _ = write!(text, "\nfirst read {span} after the launch ({instances})");
        }
        if let Some(pace) = self.transactions_per_minute {
            let _ = write!(text, "\nthroughput {pace:.1} transactions / minute");
        }
        if let Some(eta) = self.eta_seconds {
            let _ = write!(text, "\nETA        {}", seconds(Duration::from_secs(eta)));
        }
        if let Some(spent) = self.spent {
            let note = if self.rehearsal {
                " (what AWS would have asked)"
            } else {
                ""
            };
            let _ = write!(text, "\nspent      {spent}{note}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::message::Depth;

    #[test]
    fn the_status_reads_well() {
        let depth = |visible, in_flight| Depth {
            visible,
            in_flight,
            made: 0,
        };
        let status = Status {
            stack: "demo".into(),
            queues: Depths {
                input: depth(3, 2),
                output: depth(1, 0),
                failed: depth(1, 0),
            },
            instances: vec![
                InstanceStatus {
                    id: "i-0123456789abcdef0".into(),
                    kind: "worker".into(),
                    instance_type: "c7i.large".into(),
                    state: InstanceState::Running,
                    age_seconds: 65,
                },
                InstanceStatus {
                    id: "i-0123456789abcdef1".into(),
                    kind: "worker".into(),
                    instance_type: "c7i.large".into(),
                    state: InstanceState::ShuttingDown,
                    age_seconds: 4,
                },
            ],
            at_work: vec![AtWork {
                instance: "i-0123456789abcdef0".into(),
                file: muck_worker::progress::FileReport {
                    file: "MVI_3113.AVI".into(),
                    batch: None,
                    stage: "working".into(),
                    percent: Some(42),
                    speed: Some(1.9),
                    eta_seconds: Some(31),
                },
            }],
            batch: Some(BatchStatus {
                name: "20260102-030405-9f3a".into(),
                totals: Totals {
                    jobs: 10,
                    converted: 4,
                    failed: 1,
                    outstanding: 5,
                    unsent: 0,
                },
                reported: 1,
                percent: 47,
                first_reads: [7, 12]
                    .map(|seconds| FirstRead {
                        instance: "i-0123456789abcdef0".into(),
                        seconds,
                    })
                    .to_vec(),
                transactions_per_minute: Some(31.25),
                eta_seconds: Some(90),
                spent: Some(Dollars::from_nanos(12_345_000)),
                rehearsal: true,
            }),
        };
        insta::assert_snapshot!(status.text(), @r"
        stack      demo
        queue      3 waiting, 2 in work, 1 report to read, 1 dead
        instances  i-0123456789abcdef0  worker   c7i.large    running       1 min 05 s
                   i-0123456789abcdef1  worker   c7i.large    shutting-down 4.0 s
        at work    i-0123456789abcdef0  MVI_3113.AVI                   working   42 %  1.9×  ETA 31 s
        batch      20260102-030405-9f3a
        jobs       5 of 10 done, 47 %, 1 of them failed, 1 more reported (`muck results` reads them)
        first read 7 to 12 s after the launch (2 instances)
        throughput 31.2 transactions / minute
        ETA        1 min 30 s
        spent      $0.012345 (what AWS would have asked)
        ");
        let nothing = Status {
            instances: vec![],
            at_work: vec![],
            batch: None,
            ..status
        };
        assert!(
            nothing
                .text()
                .ends_with("instances  none\nbatch      none was submitted from here")
        );
    }
}

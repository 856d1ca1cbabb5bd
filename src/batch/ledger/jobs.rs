//! The ledger's pages on jobs: one file, one preset, one batch.

use std::collections::BTreeSet;

use jiff::Timestamp;
use muck_worker::message::{Status, StatusMessage};
use rusqlite::{OptionalExtension as _, Row, Transaction, params};

use super::{Batch, Ledger, execute, make_batch, query_row, time, whole};
use crate::batch::statistics::JobTimes;
use crate::error::Result;

/// A job that is about to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    pub input_key: String,
    /// As the message carries it.
    pub name: String,
    /// Empty for none.
    pub location: String,
    pub preset: String,
    /// Bytes.
    pub size: u64,
}

/// What became of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JobStatus {
    Outstanding,
    Converted,
    Failed,
    /// A dead letter without a status message: nobody said why. A status message that comes after
    /// all takes its place.
    Dead,
}

/// A job as the ledger knows it.
#[derive(Debug, Clone)]
pub struct Job {
    pub(in crate::batch) id: i64,
    pub input_key: String,
    pub name: String,
    pub location: String,
    pub preset: String,
    pub size: u64,
    pub sent: Option<Timestamp>,
    pub status: JobStatus,
    pub error: Option<String>,
    pub instance: Option<String>,
    pub times: Option<JobTimes>,
    /// The whole status message.
    pub message: Option<String>,
    pub outputs: Vec<Output>,
}

/// One output of a converted job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub ordinal: u32,
    pub bucket: String,
    pub key: String,
    pub mime: String,
    /// What tells it from the job's other outputs, see [`muck_worker::message::OutputKey::name`].
    pub name: Option<String>,
    /// Bytes, known once it was fetched.
    pub size: Option<u64>,
}

/// Where an output was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub job: i64,
    pub ordinal: u32,
    /// Below the folder of the results.
    pub file: String,
    pub bytes: u64,
}

/// A status message and where it belongs.
#[derive(Debug)]
pub struct Told<'a> {
    /// Name of the batch; one that is not known here is made.
    pub batch: &'a str,
    pub status: &'a StatusMessage,
    /// The message as it came.
    pub raw: &'a str,
}

/// How a batch stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Totals {
    pub jobs: u64,
    pub converted: u64,
    /// Failed jobs and dead letters.
    pub failed: u64,
    pub outstanding: u64,
    /// Outstanding ones whose message was never sent: a submit was cut short.
    pub unsent: u64,
}

impl Ledger {
    /// Writes down a job before its message is sent. Returns its number, and whether its message
    /// has still to be sent. It is on the disk after [`Ledger::harden`].
    ///
    /// A job that went to another queue of the same name (the stack was removed and made again
    /// since) starts anew.
    pub fn add_job(&self, batch: &Batch, job: &NewJob, queue_made: i64) -> Result<(i64, bool)> {
        self.lightly(|connection| {
            let change = connection.transaction()?;
            execute(&change,
                "INSERT OR IGNORE INTO jobs (batch, input_key, name, location, preset, size, created, queue_made)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    batch.id, job.input_key, job.name, job.location, job.preset, whole(job.size),
                    Timestamp::now().as_millisecond(), queue_made
                ],
            )?;
            let (id, sent, made): (i64, Option<i64>, i64) = query_row(&change,
                "SELECT id, sent, queue_made FROM jobs WHERE batch = ?1 AND input_key = ?2 AND name = ?3
                 AND location = ?4 AND preset = ?5",
                params![batch.id, job.input_key, job.name, job.location, job.preset],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )?;
            let again = made != queue_made;
            if again {
                execute(&change, "DELETE FROM outputs WHERE job = ?1", [id])?;
                execute(&change, "DELETE FROM fetched WHERE job = ?1", [id])?;
                execute(&change,
                    "UPDATE jobs SET queue_made = ?2, sent = NULL, status = NULL, error = NULL, server = NULL,
                     host = NULL, instance = NULL, service_read = NULL, service_write = NULL, message = NULL
                     WHERE id = ?1",
                    params![id, queue_made],
                )?;
                execute(&change,
                    "UPDATE batches SET removed = NULL WHERE id = ?1",
                    [batch.id],
                )?;
            }
            change.commit()?;
            Ok((id, again || sent.is_none()))
        })
    }

    /// Writes down that the jobs' messages are in the queue. Should a power failure undo it, they are sent twice, which
    /// workers bear.
    pub fn mark_sent(&self, jobs: &[i64], now: Timestamp) -> Result<()> {
        self.lightly(|connection| {
            let change = connection.transaction()?;
            for job in jobs {
                execute(
                    &change,
                    "UPDATE jobs SET sent = ?2 WHERE id = ?1",
                    params![job, now.as_millisecond()],
                )?;
            }
            change.commit()
        })
    }

    /// Writes down status messages, all or none; `output_bucket` is where their outputs are. They are on the disk when it
    /// returns. For each, the number of the job that is done by it; `None` if it was done before, and nothing changed.
    ///
    /// The first message of a job counts, but a success outdoes a failure, and either a dead letter.
    pub fn record(&self, messages: &[Told<'_>], output_bucket: &str) -> Result<Vec<Option<i64>>> {
        let mut connection = self.connection();
        let mut record = || -> rusqlite::Result<Vec<Option<i64>>> {
            let change = connection.transaction()?;
            let recorded = messages
                .iter()
                .map(|told| record_one(&change, self.place, told, output_bucket))
                .collect::<rusqlite::Result<_>>()?;
            change.commit()?;
            Ok(recorded)
        };
        record().map_err(|error| self.failure(error))
    }

    /// Writes down that an outstanding job's message is a dead letter, written at that time if a worker
    /// wrote it. One that was sent again since says nothing. Returns whether that is news.
    pub fn record_dead(
        &self,
        batch: &Batch,
        job: &NewJob,
        reason: &str,
        written: Option<Timestamp>,
    ) -> Result<bool> {
        self.connection()
            .execute(
                "UPDATE jobs SET status = 'dead', error = ?6 WHERE batch = ?1 AND input_key = ?2 AND name = ?3
                 AND location = ?4 AND preset = ?5 AND status IS NULL
                 AND (redriven IS NULL OR ?7 IS NULL OR ?7 > redriven)",
                params![
                    batch.id, job.input_key, job.name, job.location, job.preset, reason,
                    written.map(Timestamp::as_millisecond)
                ],
            )
            .map(|rows| rows > 0)
            .map_err(|error| self.failure(error))
    }

    /// Writes down that a job's dead letter is about to be sent again: a failed job is outstanding. Answers
    /// written up to `told` are of the try before.
    pub fn record_redriven(&self, batch: &Batch, job: &NewJob, told: Timestamp) -> Result<()> {
        self.connection()
            .execute(
                "UPDATE jobs SET status = NULL, error = NULL, server = NULL, host = NULL, instance = NULL,
                 service_read = NULL, service_write = NULL, message = NULL, redriven = ?6
                 WHERE batch = ?1 AND input_key = ?2 AND name = ?3 AND location = ?4 AND preset = ?5
                 AND (status IS NULL OR status IN ('failed', 'dead'))",
                params![
                    batch.id, job.input_key, job.name, job.location, job.preset,
                    told.as_millisecond()
                ],
            )
            .map(|_| ())
            .map_err(|error| self.failure(error))
    }

    /// How the batch stands.
    pub fn totals(&self, batch: &Batch) -> Result<Totals> {
        self.connection()
            .query_row(
                "SELECT count(*), count(*) FILTER (WHERE status = 'converted'),
                 count(*) FILTER (WHERE status IN ('failed', 'dead')), count(*) FILTER (WHERE status IS NULL),
                 count(*) FILTER (WHERE status IS NULL AND sent IS NULL)
                 FROM jobs WHERE batch = ?1",
                [batch.id],
                |row| {
                    let number = |index| row.get::<_, i64>(index).map(i64::unsigned_abs);
                    Ok(Totals {
                        jobs: number(0)?,
                        converted: number(1)?,
                        failed: number(2)?,
                        outstanding: number(3)?,
                        unsent: number(4)?,
                    })
                },
            )
            .map_err(|error| self.failure(error))
    }

    /// All jobs of the batch, in the order of location and name.
    pub fn jobs(&self, batch: &Batch) -> Result<Vec<Job>> {
        self.jobs_where("batch = ?1 ORDER BY location, name, id", &[batch.id])
    }

    /// The jobs of these numbers, in their order.
    pub fn jobs_of(&self, numbers: &BTreeSet<i64>) -> Result<Vec<Job>> {
        self.jobs_where("id = ?1", numbers)
    }

    /// What meets the condition for each of `values`.
    fn jobs_where<'a>(
        &self,
        condition: &str,
        values: impl IntoIterator<Item = &'a i64>,
    ) -> Result<Vec<Job>> {
        let connection = self.connection();
        let read = || -> rusqlite::Result<Vec<Job>> {
            let mut statement = connection.prepare(&format!(
                "SELECT id, input_key, name, location, preset, size, sent, status, error, instance,
                 service_read, service_write, message FROM jobs WHERE {condition}"
            ))?;
            let mut jobs = Vec::new();
            for value in values {
                for one in statement.query_map([value], job)? {
                    jobs.push(one?);
                }
            }
            let mut statement = connection
                .prepare("SELECT ordinal, bucket, key, mime, size, name FROM outputs WHERE job = ?1 ORDER BY ordinal")?;
            for job in &mut jobs {
                job.outputs = statement
                    .query_map([job.id], output)?
                    .collect::<rusqlite::Result<Vec<_>>>()?;
            }
            Ok(jobs)
        };
        read().map_err(|error| self.failure(error))
    }

    /// Where an output was put below `folder`, if it was.
    pub fn fetched(&self, job: i64, ordinal: u32, folder: &str) -> Result<Option<String>> {
        self.connection()
            .query_row(
                "SELECT file FROM fetched WHERE job = ?1 AND ordinal = ?2 AND folder = ?3",
                params![job, ordinal, folder],
                |row| row.get(0),
            )
            .optional()
            .map_err(|error| self.failure(error))
    }

    /// Writes down where outputs were put, and how many bytes they have. Should a power failure undo it, the next run finds
    /// the files by their content.
    pub fn mark_fetched(&self, folder: &str, outputs: &[Fetched]) -> Result<()> {
        self.lightly(|connection| {
            let change = connection.transaction()?;
            for one in outputs {
                execute(
                    &change,
                    "INSERT OR REPLACE INTO fetched (job, ordinal, folder, file) VALUES (?1, ?2, ?3, ?4)",
                    params![one.job, one.ordinal, folder, one.file],
                )?;
                execute(
                    &change,
                    "UPDATE outputs SET size = ?3 WHERE job = ?1 AND ordinal = ?2",
                    params![one.job, one.ordinal, whole(one.bytes)],
                )?;
            }
            change.commit()
        })
    }

    /// Bytes of the batch's inputs and of its known outputs; a content that several jobs share
    /// is stored once.
    pub fn stored_bytes(&self, batch: &Batch) -> Result<(u64, u64)> {
        self.connection()
            .query_row(
                // Not `sum`: sizes come from messages too, and where two are too large together it is an error.
                "SELECT
                 (SELECT CAST(total(size) AS INTEGER) FROM (SELECT DISTINCT input_key, size FROM jobs WHERE batch = ?1)),
                 (SELECT CAST(total(size) AS INTEGER) FROM (SELECT DISTINCT o.bucket, o.key, o.size FROM outputs o
                  JOIN jobs j ON j.id = o.job WHERE j.batch = ?1 AND o.size IS NOT NULL))",
                [batch.id],
                |row| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?.unsigned_abs())),
            )
            .map_err(|error| self.failure(error))
    }
}

fn record_one(
    change: &Transaction<'_>,
    place: i64,
    told: &Told<'_>,
    output_bucket: &str,
) -> rusqlite::Result<Option<i64>> {
    let status = told.status;
    let job = find_or_add(change, place, told)?;
    let (known, redriven): (Option<String>, Option<i64>) = query_row(
        change,
        "SELECT status, redriven FROM jobs WHERE id = ?1",
        [job],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let word = status.status.to_string();
    let of_an_earlier_try = status.status == Status::Failed
        && redriven.is_some_and(|time| status.service_write.as_millisecond() <= time);
    let better = match known.as_deref() {
        _ if of_an_earlier_try => false,
        None | Some("dead") => true,
        Some("failed") => status.status == Status::Converted,
        _ => false,
    };
    if !better {
        return Ok(None);
    }
    execute(change,
        "UPDATE jobs SET status = ?2, error = ?3, server = ?4, host = ?5, instance = ?6, service_read = ?7,
         service_write = ?8, message = ?9 WHERE id = ?1",
        params![
            job,
            word,
            status.error,
            status.server,
            status.host,
            status.instance_id,
            status.service_read.as_millisecond(),
            status.service_write.as_millisecond(),
            told.raw
        ],
    )?;
    // Those that a failure told of, whoever wrote it, are not the conversion's.
    execute(change, "DELETE FROM outputs WHERE job = ?1", [job])?;
    for (ordinal, output) in status.outputs.iter().enumerate() {
        execute(
            change,
            "INSERT INTO outputs (job, ordinal, bucket, key, mime, name)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                job,
                whole(ordinal as u64),
                output_bucket,
                output.key,
                output.mime,
                output.name
            ],
        )?;
    }
    Ok(Some(job))
}

/// The job that a status message is about; one that was not submitted from here is added.
fn find_or_add(change: &Transaction<'_>, place: i64, told: &Told<'_>) -> rusqlite::Result<i64> {
    let input = &told.status.input;
    let batch = make_batch(change, place, told.batch, Timestamp::now(), false)?;
    let location = input.original_location.as_deref().unwrap_or_default();
    let preset = input.preset.as_deref().unwrap_or_default();
    let now = Timestamp::now().as_millisecond();
    execute(change,
        "INSERT OR IGNORE INTO jobs (batch, input_key, name, location, preset, size, created, queue_made, sent)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?7)",
        params![batch, input.input_key, input.original_file_name, location, preset, whole(input.size), now],
    )?;
    query_row(
        change,
        "SELECT id FROM jobs WHERE batch = ?1 AND input_key = ?2 AND name = ?3 AND location = ?4 AND preset = ?5",
        params![
            batch,
            input.input_key,
            input.original_file_name,
            location,
            preset
        ],
        |row| row.get(0),
    )
}

fn job(row: &Row<'_>) -> rusqlite::Result<Job> {
    let status = match row.get::<_, Option<String>>(7)?.as_deref() {
        None => JobStatus::Outstanding,
        Some("converted") => JobStatus::Converted,
        Some("dead") => JobStatus::Dead,
        Some(_) => JobStatus::Failed,
    };
    let times = match (
        row.get::<_, Option<i64>>(10)?,
        row.get::<_, Option<i64>>(11)?,
    ) {
        (Some(read), Some(written)) => Some(JobTimes {
            read: time(read),
            written: time(written),
        }),
        _ => None,
    };
    Ok(Job {
        id: row.get(0)?,
        input_key: row.get(1)?,
        name: row.get(2)?,
        location: row.get(3)?,
        preset: row.get(4)?,
        size: row.get::<_, i64>(5)?.unsigned_abs(),
        sent: row.get::<_, Option<i64>>(6)?.map(time),
        status,
        error: row.get(8)?,
        instance: row.get(9)?,
        times,
        message: row.get(12)?,
        outputs: Vec::new(),
    })
}

fn output(row: &Row<'_>) -> rusqlite::Result<Output> {
    Ok(Output {
        ordinal: row.get(0)?,
        bucket: row.get(1)?,
        key: row.get(2)?,
        mime: row.get(3)?,
        size: row.get::<_, Option<i64>>(4)?.map(i64::unsigned_abs),
        name: row.get(5)?,
    })
}

impl Job {
    /// Location and name, for people.
    pub fn shown(&self) -> String {
        match (self.location.as_str(), self.name.as_str()) {
            (_, "") => "(no name)".to_owned(),
            ("", name) => name.to_owned(),
            (location, name) => format!("{location}/{name}"),
        }
    }
}

//! Runs of `muck run` that may have to be gone on with.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row, params};

use super::{Ledger, time};
use crate::error::Result;

/// A run as it was begun from this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    /// Name of its stack.
    pub stack: String,
    pub started: Timestamp,
    pub batch: String,
    /// What was asked for, JSON.
    pub request: String,
}

const COLUMNS: &str = "SELECT places.stack, runs.started, runs.batch, runs.request
     FROM runs JOIN places ON places.id = runs.place";

fn record(row: &Row<'_>) -> rusqlite::Result<RunRecord> {
    Ok(RunRecord {
        stack: row.get(0)?,
        started: time(row.get(1)?),
        batch: row.get(2)?,
        request: row.get(3)?,
    })
}

impl Ledger {
    /// Writes down that a run works in this stack from now on.
    pub fn begin_run(&self, run: &RunRecord) -> Result<()> {
        self.connection()
            .execute(
                "INSERT INTO runs (place, started, batch, request) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (place) DO UPDATE SET started = excluded.started, batch = excluded.batch,
                 request = excluded.request, ended = NULL",
                params![
                    self.place,
                    run.started.as_millisecond(),
                    run.batch,
                    run.request
                ],
            )
            .map(|_| ())
            .map_err(|error| self.failure(error))
    }

    /// The run in this stack, if it has not ended.
    pub fn run(&self) -> Result<Option<RunRecord>> {
        self.connection()
            .query_row(
                &format!("{COLUMNS} WHERE runs.place = ?1 AND runs.ended IS NULL"),
                [self.place],
                record,
            )
            .optional()
            .map_err(|error| self.failure(error))
    }

    /// All runs of the same account, region and cloud that have not ended, the newest first.
    pub fn unfinished_runs(&self) -> Result<Vec<RunRecord>> {
        let connection = self.connection();
        let all = || -> rusqlite::Result<Vec<RunRecord>> {
            let mut statement = connection.prepare(&format!(
                "{COLUMNS} JOIN places here ON here.id = ?1 WHERE runs.ended IS NULL
                 AND places.account = here.account AND places.region = here.region
                 AND places.endpoint = here.endpoint ORDER BY runs.started DESC"
            ))?;
            statement.query_map([self.place], record)?.collect()
        };
        all().map_err(|error| self.failure(error))
    }

    /// Writes down that nothing is left of the run's stack.
    pub fn end_run(&self, now: Timestamp) -> Result<()> {
        self.connection()
            .execute(
                "UPDATE runs SET ended = ?2 WHERE place = ?1 AND ended IS NULL",
                params![self.place, now.as_millisecond()],
            )
            .map(|_| ())
            .map_err(|error| self.failure(error))
    }
}

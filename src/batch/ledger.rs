//! The ledger: what was submitted from this machine and what came back, in one SQLite file in the
//! user's state folder. All pages of one [`Ledger`] belong to one stack in one place.
//!
//! Every message is in the ledger before it leaves its queue, so a crash at any point loses nothing.

mod instances;
mod jobs;
mod runs;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};

use crate::cloud::Cloud;
use crate::error::{Error, Result};
use crate::folders;

pub use instances::{FirstRead, SeenInstance, Sighting};
pub use jobs::{Fetched, Job, JobStatus, NewJob, Output, Told, Totals};
pub use runs::RunRecord;

/// Names another folder for the ledger, see [`folders::state`].
const STATE_DIR_VARIABLE: &str = "MUCK_STATE_DIR";
const FILE_NAME: &str = "ledger.sqlite";
/// Another `muck` may write at the same time; its transactions take milliseconds.
const BUSY: Duration = Duration::from_secs(30);

/// The schema, one step a version: an old ledger gets the steps that it lacks. Never edit a step
/// that was released; add one.
const STEPS: [&str; 5] = [
    include_str!("ledger/schema-1.sql"),
    include_str!("ledger/schema-2.sql"),
    include_str!("ledger/schema-3.sql"),
    include_str!("ledger/schema-4.sql"),
    include_str!("ledger/schema-5.sql"),
];

/// The ledger's pages of one stack.
#[derive(Debug)]
pub struct Ledger {
    connection: Mutex<Connection>,
    path: PathBuf,
    place: i64,
}

/// Which stack's pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub stack: String,
    pub account: String,
    pub region: String,
    /// Empty for AWS itself. Without the port where it is on this machine: a local cloud that is
    /// started again may get another one.
    pub endpoint: String,
}

impl Place {
    fn of(cloud: &Cloud) -> Self {
        Self {
            stack: cloud.names.stack.to_string(),
            account: cloud.names.account.clone(),
            region: cloud.names.region.clone(),
            endpoint: cloud
                .aws
                .endpoint
                .as_deref()
                .map(lasting_endpoint)
                .unwrap_or_default(),
        }
    }
}

fn lasting_endpoint(endpoint: &str) -> String {
    let endpoint = endpoint.trim_end_matches('/');
    let host = endpoint
        .split_once("://")
        .map_or(endpoint, |(_, host)| host);
    match host.rsplit_once(':') {
        Some(("127.0.0.1" | "localhost" | "[::1]", _)) => "loopback".to_owned(),
        _ => endpoint.to_owned(),
    }
}

/// One submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub(super) id: i64,
    pub name: String,
    pub created: Timestamp,
    /// Submitted from this machine; otherwise only its messages were seen here, and how many jobs
    /// it has is not known.
    pub ours: bool,
}

/// What a batch used, for the bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// S3 requests of the dearer class: put, post, copy, list.
    Puts,
    /// S3 requests of the cheaper class: get, head.
    Gets,
    /// SQS requests.
    Queue,
    /// Bytes fetched from S3 to here.
    BytesOut,
}

impl Counter {
    fn name(self) -> &'static str {
        match self {
            Self::Puts => "puts",
            Self::Gets => "gets",
            Self::Queue => "queue",
            Self::BytesOut => "bytes-out",
        }
    }
}

impl Ledger {
    /// Opens the user's ledger at the pages of this cloud's stack, making it if needed.
    pub fn open(cloud: &Cloud) -> Result<Self> {
        Self::open_at(&folders::state()?.join(FILE_NAME), &Place::of(cloud))
    }

    /// Opens the ledger in the file `path`.
    pub fn open_at(path: &Path, place: &Place) -> Result<Self> {
        let cannot = |why: Box<dyn std::error::Error + Send + Sync>| {
            Error::failed(format!("cannot open the ledger {}", path.display()))
                .because(why)
                .hint(format!("{STATE_DIR_VARIABLE} names another folder for it"))
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| cannot(error.into()))?;
        }
        let mut connection = Connection::open(path).map_err(|error| cannot(error.into()))?;
        connection
            .busy_timeout(BUSY)
            .map_err(|error| cannot(error.into()))?;
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;",
            )
            .map_err(|error| cannot(error.into()))?;
        migrate(&mut connection).map_err(cannot)?;
        let id = place_id(&connection, place).map_err(|error| cannot(error.into()))?;
        Ok(Self {
            connection: Mutex::new(connection),
            path: path.to_owned(),
            place: id,
        })
    }

    /// A panic while the lock was held leaves no half-done transaction: SQLite rolls it back.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes without waiting for the disk: what the end of this process can't undo, but a power failure just after it can.
    /// [`Self::harden`], or any other change, takes it to the disk.
    fn lightly<T>(&self, write: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T> {
        let mut connection = self.connection();
        let level = |connection: &Connection, level: &str| {
            connection.pragma_update(None, "synchronous", level)
        };
        let work = || {
            level(&connection, "NORMAL")?;
            let written = write(&mut connection);
            level(&connection, "FULL")?;
            written
        };
        work().map_err(|error| self.failure(error))
    }

    /// Takes all that was written before to the disk: a change that waits for the write-ahead log waits for the whole of it.
    pub fn harden(&self) -> Result<()> {
        self.connection()
            .execute("UPDATE places SET id = id WHERE id = ?1", [self.place])
            .map(|_| ())
            .map_err(|error| self.failure(error))
    }

    fn failure(&self, error: rusqlite::Error) -> Error {
        let full = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
        let failure =
            Error::failed(format!("cannot use the ledger {}", self.path.display())).because(error);
        if full {
            return failure.hint(format!(
                "free some space there, or set {STATE_DIR_VARIABLE}"
            ));
        }
        failure
    }

    /// Finds the batch or writes it down as submitted from here.
    pub fn begin_batch(&self, name: &str, now: Timestamp) -> Result<Batch> {
        self.make_batch(name, now, true)
    }

    /// Finds the batch or writes it down as submitted elsewhere.
    pub fn seen_batch(&self, name: &str, now: Timestamp) -> Result<Batch> {
        self.make_batch(name, now, false)
    }

    fn make_batch(&self, name: &str, now: Timestamp, ours: bool) -> Result<Batch> {
        make_batch(&self.connection(), self.place, name, now, ours)
            .map_err(|error| self.failure(error))?;
        self.batch(name)?
            .ok_or_else(|| Error::failed(format!("the ledger lost batch {name}")))
    }

    /// The batch of that name.
    pub fn batch(&self, name: &str) -> Result<Option<Batch>> {
        self.find_batch("name = ?2", name)
    }

    /// The batch that was last submitted from here; else the last one seen.
    pub fn newest_batch(&self) -> Result<Option<Batch>> {
        self.find_batch("?2 = ''", "")
    }

    fn find_batch(&self, condition: &str, value: &str) -> Result<Option<Batch>> {
        self.connection()
            .query_row(
                &format!(
                    "SELECT id, name, created, ours FROM batches WHERE place = ?1 AND {condition}
                     ORDER BY ours DESC, created DESC, id DESC LIMIT 1"
                ),
                params![self.place, value],
                |row| {
                    Ok(Batch {
                        id: row.get(0)?,
                        name: row.get(1)?,
                        created: time(row.get(2)?),
                        ours: row.get(3)?,
                    })
                },
            )
            .optional()
            .map_err(|error| self.failure(error))
    }

    /// Adds to a batch's counter.
    pub fn count(&self, batch: &Batch, counter: Counter, more: u64) -> Result<()> {
        if more == 0 {
            return Ok(());
        }
        self.lightly(|connection| {
            execute(
                connection,
                "INSERT INTO counters (batch, name, value) VALUES (?1, ?2, ?3)
                 ON CONFLICT (batch, name) DO UPDATE SET value = value + excluded.value",
                params![batch.id, counter.name(), whole(more)],
            )
        })
        .map(|_| ())
    }

    /// What was counted so far.
    pub fn counted(&self, batch: &Batch, counter: Counter) -> Result<u64> {
        self.connection()
            .query_row(
                "SELECT value FROM counters WHERE batch = ?1 AND name = ?2",
                params![batch.id, counter.name()],
                |row| row.get::<_, i64>(0),
            )
            .optional()
            .map(|value| value.map_or(0, i64::unsigned_abs))
            .map_err(|error| self.failure(error))
    }

    /// Keeps a message that could not be used, once, and says whether it is a new one.
    pub fn keep_stray(&self, queue: &str, id: &str, body: &str, reason: &str) -> Result<bool> {
        self.connection()
            .execute(
                "INSERT OR IGNORE INTO strays (place, queue, message, body, reason, received)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    self.place,
                    queue,
                    id,
                    body,
                    reason,
                    Timestamp::now().as_millisecond()
                ],
            )
            .map(|rows| rows > 0)
            .map_err(|error| self.failure(error))
    }

    /// Writes down that the stack's buckets are gone: storage is not billed past `now`, and no run goes on there.
    pub fn stack_removed(&self, now: Timestamp) -> Result<()> {
        self.end_run(now)?;
        self.connection()
            .execute(
                "UPDATE batches SET removed = ?2 WHERE place = ?1 AND removed IS NULL",
                params![self.place, now.as_millisecond()],
            )
            .map(|_| ())
            .map_err(|error| self.failure(error))
    }

    /// When the batch's stack was removed, if it was.
    pub fn removed(&self, batch: &Batch) -> Result<Option<Timestamp>> {
        self.connection()
            .query_row(
                "SELECT removed FROM batches WHERE id = ?1",
                [batch.id],
                |row| row.get::<_, Option<i64>>(0),
            )
            .map(|removed| removed.map(time))
            .map_err(|error| self.failure(error))
    }
}

/// Brings the schema to this program's version.
fn migrate(connection: &mut Connection) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let change = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version: u32 = change.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = u32::try_from(STEPS.len())?;
    if version > known {
        return Err(
            format!("a newer muck wrote it (schema {version}, this one knows {known})").into(),
        );
    }
    for step in STEPS.iter().skip(version as usize) {
        change.execute_batch(step)?;
    }
    change.pragma_update(None, "user_version", known)?;
    change.commit()?;
    Ok(())
}

/// [`Connection::execute`] for what is done for every file: the statement is kept.
fn execute(
    connection: &Connection,
    statement: &str,
    values: impl Params,
) -> rusqlite::Result<usize> {
    connection.prepare_cached(statement)?.execute(values)
}

/// [`Connection::query_row`] in the same way.
fn query_row<T>(
    connection: &Connection,
    statement: &str,
    values: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection
        .prepare_cached(statement)?
        .query_row(values, read)
}

/// Finds the batch or writes it down; returns its number.
fn make_batch(
    connection: &Connection,
    place: i64,
    name: &str,
    now: Timestamp,
    ours: bool,
) -> rusqlite::Result<i64> {
    query_row(
        connection,
        "INSERT INTO batches (place, name, created, ours) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (place, name) DO UPDATE SET ours = max(ours, excluded.ours) RETURNING id",
        params![place, name, now.as_millisecond(), ours],
        |row| row.get(0),
    )
}

fn place_id(connection: &Connection, place: &Place) -> rusqlite::Result<i64> {
    let key = params![place.stack, place.account, place.region, place.endpoint];
    connection.execute(
        "INSERT OR IGNORE INTO places (stack, account, region, endpoint) VALUES (?1, ?2, ?3, ?4)",
        key,
    )?;
    connection.query_row(
        "SELECT id FROM places WHERE stack = ?1 AND account = ?2 AND region = ?3 AND endpoint = ?4",
        key,
        |row| row.get(0),
    )
}

/// Times are kept in milliseconds since 1970.
fn time(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// SQLite's integers are signed.
fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;

//! What the cloud remembers: one SQLite database in the server's folder. No HTTP here; the clock
//! is passed in. Each service owns its tables in a file of its own.

use std::path::Path;
use std::sync::{Arc, Mutex};

use rusqlite::Connection;

use crate::error::{ApiError, ApiResult};

pub mod ec2;
pub mod iam;
pub mod s3;
pub mod sns;
pub mod sqs;

/// `CREATE TABLE IF NOT EXISTS …` of every service, run at each start.
const SCHEMAS: &[&str] = &[
    ec2::SCHEMA,
    iam::SCHEMA,
    s3::SCHEMA,
    sns::SCHEMA,
    sqs::SCHEMA,
];

/// The database, shared by all services. Statements are short, so one connection is enough.
#[derive(Clone)]
pub struct Store(Arc<Mutex<Connection>>);

impl Store {
    /// Opens (or makes) `cloud.sqlite` in `dir`.
    pub fn open(dir: &Path) -> ApiResult<Self> {
        Self::prepare(Connection::open(dir.join("cloud.sqlite"))?)
    }

    /// A store that is gone when dropped; for tests.
    pub fn in_memory() -> ApiResult<Self> {
        Self::prepare(Connection::open_in_memory()?)
    }

    fn prepare(connection: Connection) -> ApiResult<Self> {
        // WAL with NORMAL: a crash of the server loses nothing; only a crash of the machine may
        // lose the last moments, which a rehearsal can bear.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        for schema in SCHEMAS {
            connection.execute_batch(schema)?;
        }
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// Runs `work` in one transaction: committed if it returns `Ok`, rolled back otherwise.
    pub fn transaction<T>(
        &self,
        work: impl FnOnce(&rusqlite::Transaction<'_>) -> ApiResult<T>,
    ) -> ApiResult<T> {
        let mut connection = self
            .0
            .lock()
            .map_err(|_| ApiError::internal("state lock poisoned by an earlier panic"))?;
        let transaction = connection.transaction()?;
        let value = work(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }
}

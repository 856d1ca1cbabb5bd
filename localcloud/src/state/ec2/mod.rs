//! State of EC2: instances, volumes, snapshots, images, tags and client tokens.
//!
//! Each resource is a document (JSON) in a table of its kind; what its states are and how they
//! follow one another is in the file of its noun. No HTTP, no driver; the clock's time is an argument.

use rusqlite::{OptionalExtension, Transaction, params};
use serde::{Serialize, de::DeserializeOwned};

use crate::error::{ApiError, ApiResult};

pub mod facts;
pub mod image;
pub mod instance;
pub mod layers;
pub mod snapshot;
pub mod tags;
pub mod tokens;
pub mod volume;

pub use facts::{InstanceFacts, ProfileFacts, SpotNotice, instance_facts};
pub use image::Image;
pub use instance::{Instance, InstanceState, ShutdownBehavior};
pub use snapshot::{Snapshot, SnapshotState};
pub use volume::Volume;

/// Tables of this service. `number` keeps the order of creation.
pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS ec2_instances (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS ec2_volumes (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS ec2_snapshots (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS ec2_images (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS ec2_tags (
    resource TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (resource, key));
CREATE TABLE IF NOT EXISTS ec2_client_tokens (
    action TEXT NOT NULL, token TEXT NOT NULL, fingerprint TEXT NOT NULL, made TEXT NOT NULL,
    created INTEGER NOT NULL, PRIMARY KEY (action, token));
";

/// A resource kept as JSON in the table of its kind.
pub trait Document: Serialize + DeserializeOwned {
    /// The table's name; a constant of ours, never a caller's text.
    const TABLE: &'static str;
    fn id(&self) -> &str;
}

/// The document `id`, if there is one.
pub fn get<T: Document>(tx: &Transaction<'_>, id: &str) -> ApiResult<Option<T>> {
    let sql = format!("SELECT document FROM {} WHERE id = ?1", T::TABLE);
    let text: Option<String> = tx
        .prepare_cached(&sql)?
        .query_row([id], |row| row.get(0))
        .optional()?;
    text.map(|text| read(&text)).transpose()
}

/// All documents of a kind, oldest first.
pub fn list<T: Document>(tx: &Transaction<'_>) -> ApiResult<Vec<T>> {
    let sql = format!("SELECT document FROM {} ORDER BY number", T::TABLE);
    let mut statement = tx.prepare_cached(&sql)?;
    let texts = statement.query_map([], |row| row.get::<_, String>(0))?;
    texts.map(|text| read(&text?)).collect()
}

/// Writes a document, new or changed.
pub fn put<T: Document>(tx: &Transaction<'_>, document: &T) -> ApiResult<()> {
    let text = serde_json::to_string(document).map_err(ApiError::internal)?;
    let sql = format!(
        "INSERT INTO {} (id, document) VALUES (?1, ?2)
         ON CONFLICT (id) DO UPDATE SET document = excluded.document",
        T::TABLE
    );
    tx.prepare_cached(&sql)?
        .execute(params![document.id(), text])?;
    Ok(())
}

/// Forgets a document. No error if absent. Its tags are not touched: see [`tags::forget`].
pub fn remove<T: Document>(tx: &Transaction<'_>, id: &str) -> ApiResult<()> {
    let sql = format!("DELETE FROM {} WHERE id = ?1", T::TABLE);
    tx.prepare_cached(&sql)?.execute([id])?;
    Ok(())
}

fn read<T: Document>(text: &str) -> ApiResult<T> {
    serde_json::from_str(text)
        .map_err(|error| ApiError::internal(format!("unreadable row in {}: {error}", T::TABLE)))
}

/// A new id as EC2 makes them: the kind, then `0` and 16 hexadecimal digits.
pub fn new_id(kind: &str) -> String {
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("{kind}-0{}", &random[..16])
}

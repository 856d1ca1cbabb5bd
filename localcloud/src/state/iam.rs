//! State of IAM and of the access keys by which callers are known.
//!
//! Functions take a connection (a [`Store::transaction`]) so that one action can do several in one
//! transaction. Errors are IAM's.

mod keys;
mod profiles;
mod roles;
mod tags;
mod users;

use jiff::Timestamp;
use rusqlite::Connection;

use crate::error::ApiError;

use super::Store;

pub use keys::{find_key, issue_role_credentials, issue_session, root_key, set_root_key};
pub use profiles::{
    InstanceProfile, add_role_to_profile, create_profile, delete_profile, find_profile,
    find_profile_by_arn, list_profiles, profiles_of_role, remove_role_from_profile,
};
pub use roles::{
    Role, create_role, delete_role, delete_role_policy, find_role, list_role_policies, list_roles,
    put_role_policy, role_policies, role_policy, set_trust_policy,
};
pub use tags::{TagOwner, tag, tags, untag};
pub use users::{put_user, user_id, user_policy};

/// Tables of this service. Times are milliseconds since the epoch.
pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS iam_keys (
    access_key_id TEXT PRIMARY KEY,
    secret TEXT NOT NULL,
    session_token TEXT,
    expires INTEGER,
    role TEXT,           -- NULL: the account's root
    session TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS iam_roles (
    name TEXT PRIMARY KEY COLLATE NOCASE,
    id TEXT NOT NULL,
    path TEXT NOT NULL,
    trust_policy TEXT NOT NULL,
    description TEXT,
    max_session_seconds INTEGER NOT NULL,
    created INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS iam_role_policies (
    role TEXT NOT NULL COLLATE NOCASE REFERENCES iam_roles(name),
    name TEXT NOT NULL COLLATE NOCASE,
    document TEXT NOT NULL,
    PRIMARY KEY (role, name)
) STRICT;
CREATE TABLE IF NOT EXISTS iam_profiles (
    name TEXT PRIMARY KEY COLLATE NOCASE,
    id TEXT NOT NULL,
    path TEXT NOT NULL,
    role TEXT COLLATE NOCASE REFERENCES iam_roles(name),
    created INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS iam_users (
    name TEXT PRIMARY KEY COLLATE NOCASE,
    id TEXT NOT NULL,
    access_key_id TEXT NOT NULL UNIQUE,
    secret TEXT NOT NULL,
    policy TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS iam_tags (
    owner_kind TEXT NOT NULL,   -- 'role' or 'profile'
    owner TEXT NOT NULL COLLATE NOCASE,
    key TEXT NOT NULL COLLATE NOCASE,
    value TEXT NOT NULL,
    PRIMARY KEY (owner_kind, owner, key)
) STRICT;
";

/// Who made a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// The account's owner: the key that the server made at its first start.
    Root,
    /// Credentials of a role, delivered to an instance by its IMDS.
    /// `session` is the instance id, as on EC2.
    Role { role: String, session: String },
    /// A user with a lasting key, made over the control endpoint to try a policy.
    User { name: String },
}

/// An access key and what it stands for.
#[derive(Clone)]
pub struct AccessKey {
    pub access_key_id: String,
    pub secret_access_key: String,
    /// Only temporary credentials have one; the caller must send exactly this.
    pub session_token: Option<String>,
    pub expires: Option<Timestamp>,
    pub principal: Principal,
}

/// Never shows the secret or the token.
impl std::fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessKey")
            .field("access_key_id", &self.access_key_id)
            .field("expires", &self.expires)
            .field("principal", &self.principal)
            .finish_non_exhaustive()
    }
}

/// `NoSuchEntity` (HTTP 404) in IAM's words.
fn no_such(kind: &str, name: &str) -> ApiError {
    ApiError::new(
        "NoSuchEntity",
        format!("The {kind} with name {name} cannot be found."),
    )
    .with_status(404)
}

/// `EntityAlreadyExists` (HTTP 409) in IAM's words.
fn already_exists(kind: &str, name: &str) -> ApiError {
    ApiError::new(
        "EntityAlreadyExists",
        format!("{kind} with name {name} already exists."),
    )
    .with_status(409)
}

/// `DeleteConflict` (HTTP 409) in IAM's words.
fn delete_conflict(what_first: &str) -> ApiError {
    ApiError::new(
        "DeleteConflict",
        format!("Cannot delete entity, must {what_first} first."),
    )
    .with_status(409)
}

/// `LimitExceeded` (HTTP 409) in IAM's words.
fn limit_exceeded(what: &str, limit: usize) -> ApiError {
    ApiError::new(
        "LimitExceeded",
        format!("Cannot exceed quota for {what}: {limit}"),
    )
    .with_status(409)
}

/// A time column.
fn time(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// `prefix` and `length` random characters of the alphabet that AWS's ids use (base 32).
fn random_id(prefix: &str, length: usize) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let random: Vec<u8> = random_bytes(length);
    let mut id = prefix.to_owned();
    id.extend(
        random
            .into_iter()
            .map(|byte| char::from(ALPHABET[usize::from(byte % 32)])),
    );
    id
}

/// Bytes from the operating system's seeded generator, good enough for keys.
fn random_bytes(length: usize) -> Vec<u8> {
    rand::random_iter().take(length).collect()
}

/// Whether `query` finds a row.
fn exists(db: &Connection, query: &str, name: &str) -> rusqlite::Result<bool> {
    db.prepare_cached(query)?.exists([name])
}

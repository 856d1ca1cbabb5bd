//! Users with one key and one policy: somebody who is not the account's owner.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::keys::new_secret;
use super::{AccessKey, Principal, no_such, random_id};
use crate::error::ApiResult;
use crate::iam::policy::Policy;

/// Sets what `name` may do; the user and its key are made at the first call.
///
/// # Errors
/// `MalformedPolicyDocument`.
pub fn put_user(db: &Connection, name: &str, policy: &str) -> ApiResult<AccessKey> {
    Policy::parse(policy)?;
    db.execute(
        "INSERT INTO iam_users (name, id, access_key_id, secret, policy) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (name) DO UPDATE SET policy = excluded.policy",
        params![
            name,
            random_id("AIDA", 17),
            random_id("AKIA", 16),
            new_secret(),
            policy
        ],
    )?;
    Ok(db.query_row(
        "SELECT name, access_key_id, secret FROM iam_users WHERE name = ?1",
        [name],
        read_key,
    )?)
}

/// The key with this id, if a user has it.
pub(super) fn user_key(db: &Connection, access_key_id: &str) -> ApiResult<Option<AccessKey>> {
    Ok(db
        .query_row(
            "SELECT name, access_key_id, secret FROM iam_users WHERE access_key_id = ?1",
            [access_key_id],
            read_key,
        )
        .optional()?)
}

/// What a user may do.
///
/// # Errors
/// `NoSuchEntity`.
pub fn user_policy(db: &Connection, name: &str) -> ApiResult<String> {
    column(db, "SELECT policy FROM iam_users WHERE name = ?1", name)
}

/// The id that STS tells, `AIDA…`.
///
/// # Errors
/// `NoSuchEntity`.
pub fn user_id(db: &Connection, name: &str) -> ApiResult<String> {
    column(db, "SELECT id FROM iam_users WHERE name = ?1", name)
}

fn column(db: &Connection, query: &str, name: &str) -> ApiResult<String> {
    db.query_row(query, [name], |row| row.get(0))
        .optional()?
        .ok_or_else(|| no_such("user", name))
}

fn read_key(row: &rusqlite::Row<'_>) -> rusqlite::Result<AccessKey> {
    Ok(AccessKey {
        access_key_id: row.get("access_key_id")?,
        secret_access_key: row.get("secret")?,
        session_token: None,
        expires: None,
        principal: Principal::User {
            name: row.get("name")?,
        },
    })
}

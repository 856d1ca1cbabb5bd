//! Roles and their inline policies.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    TagOwner, already_exists, delete_conflict, exists, limit_exceeded, no_such, random_id, tags,
    time,
};
use crate::account::ACCOUNT;
use crate::error::ApiResult;
use crate::iam::policy::{Policy, TrustPolicy};

/// Inline policies of one role may hold this many characters in all, white space not counted
/// (IAM quotas).
const INLINE_POLICY_CHARACTERS: usize = 10_240;

/// A trust policy may hold this many characters, white space not counted (IAM quotas, default).
const TRUST_POLICY_CHARACTERS: usize = 2_048;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    pub name: String,
    /// `AROA…`
    pub id: String,
    /// Begins and ends with `/`.
    pub path: String,
    /// JSON, as it was given.
    pub trust_policy: String,
    pub description: Option<String>,
    pub max_session_seconds: i64,
    pub created: Timestamp,
}

impl Role {
    pub fn arn(&self) -> String {
        format!("arn:aws:iam::{ACCOUNT}:role{}{}", self.path, self.name)
    }
}

const COLUMNS: &str = "name, id, path, trust_policy, description, max_session_seconds, created";

fn read_role(row: &rusqlite::Row<'_>) -> rusqlite::Result<Role> {
    Ok(Role {
        name: row.get("name")?,
        id: row.get("id")?,
        path: row.get("path")?,
        trust_policy: row.get("trust_policy")?,
        description: row.get("description")?,
        max_session_seconds: row.get("max_session_seconds")?,
        created: time(row.get("created")?),
    })
}

fn characters(document: &str) -> usize {
    document.chars().filter(|c| !c.is_whitespace()).count()
}

/// # Errors
/// `EntityAlreadyExists`, `MalformedPolicyDocument`, `LimitExceeded`.
pub fn create_role(
    db: &Connection,
    name: &str,
    path: &str,
    trust_policy: &str,
    description: Option<&str>,
    max_session_seconds: i64,
    now: Timestamp,
) -> ApiResult<Role> {
    check_trust_policy(trust_policy)?;
    if exists(db, "SELECT 1 FROM iam_roles WHERE name = ?1", name)? {
        return Err(already_exists("Role", name));
    }
    db.execute(
        "INSERT INTO iam_roles (name, id, path, trust_policy, description, max_session_seconds, created)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            name,
            random_id("AROA", 17),
            path,
            trust_policy,
            description,
            max_session_seconds,
            now.as_millisecond()
        ],
    )?;
    find_role(db, name)
}

fn check_trust_policy(document: &str) -> ApiResult<()> {
    TrustPolicy::parse(document)?;
    if characters(document) > TRUST_POLICY_CHARACTERS {
        return Err(limit_exceeded("ACLSizePerRole", TRUST_POLICY_CHARACTERS));
    }
    Ok(())
}

/// # Errors
/// `NoSuchEntity`.
pub fn find_role(db: &Connection, name: &str) -> ApiResult<Role> {
    db.query_row(
        &format!("SELECT {COLUMNS} FROM iam_roles WHERE name = ?1"),
        [name],
        read_role,
    )
    .optional()?
    .ok_or_else(|| no_such("role", name))
}

/// Roles whose path begins with `path_prefix`, after the name `after`, in name order.
pub fn list_roles(
    db: &Connection,
    path_prefix: &str,
    after: &str,
    limit: usize,
) -> ApiResult<Vec<Role>> {
    let roles = db
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM iam_roles
             WHERE substr(path, 1, length(?1)) = ?1 AND name > ?2 ORDER BY name LIMIT ?3"
        ))?
        .query_map(
            params![path_prefix, after, i64::try_from(limit).unwrap_or(i64::MAX)],
            read_role,
        )?
        .collect::<Result<_, _>>()?;
    Ok(roles)
}

/// # Errors
/// `NoSuchEntity`, `MalformedPolicyDocument`, `LimitExceeded`.
pub fn set_trust_policy(db: &Connection, role: &str, document: &str) -> ApiResult<()> {
    find_role(db, role)?;
    check_trust_policy(document)?;
    db.execute(
        "UPDATE iam_roles SET trust_policy = ?2 WHERE name = ?1",
        [role, document],
    )?;
    Ok(())
}

/// # Errors
/// `NoSuchEntity`; `DeleteConflict` while it has policies or stands in a profile.
pub fn delete_role(db: &Connection, name: &str) -> ApiResult<()> {
    find_role(db, name)?;
    if exists(db, "SELECT 1 FROM iam_profiles WHERE role = ?1", name)? {
        return Err(delete_conflict("remove roles from instance profile"));
    }
    if exists(db, "SELECT 1 FROM iam_role_policies WHERE role = ?1", name)? {
        return Err(delete_conflict("delete policies"));
    }
    tags::drop_all(db, &TagOwner::Role(name.to_owned()))?;
    db.execute("DELETE FROM iam_keys WHERE role = ?1", [name])?;
    db.execute("DELETE FROM iam_roles WHERE name = ?1", [name])?;
    Ok(())
}

/// Adds or replaces an inline policy.
///
/// # Errors
/// `NoSuchEntity`, `MalformedPolicyDocument`, `LimitExceeded`.
pub fn put_role_policy(db: &Connection, role: &str, name: &str, document: &str) -> ApiResult<()> {
    let role = find_role(db, role)?;
    Policy::parse(document)?;
    db.execute(
        "INSERT INTO iam_role_policies (role, name, document) VALUES (?1, ?2, ?3)
         ON CONFLICT (role, name) DO UPDATE SET document = excluded.document",
        [&role.name, name, document],
    )?;
    let all: usize = role_policies(db, &role.name)?
        .iter()
        .map(|(_, document)| characters(document))
        .sum();
    if all > INLINE_POLICY_CHARACTERS {
        return Err(limit_exceeded("PolicySize", INLINE_POLICY_CHARACTERS));
    }
    Ok(())
}

/// The document of one inline policy.
///
/// # Errors
/// `NoSuchEntity` for the role or the policy.
pub fn role_policy(db: &Connection, role: &str, name: &str) -> ApiResult<String> {
    find_role(db, role)?;
    db.query_row(
        "SELECT document FROM iam_role_policies WHERE role = ?1 AND name = ?2",
        [role, name],
        |row| row.get(0),
    )
    .optional()?
    .ok_or_else(|| no_such("role policy", name))
}

/// Names of the role's inline policies, in order.
///
/// # Errors
/// `NoSuchEntity`.
pub fn list_role_policies(db: &Connection, role: &str) -> ApiResult<Vec<String>> {
    find_role(db, role)?;
    Ok(role_policies(db, role)?
        .into_iter()
        .map(|(name, _)| name)
        .collect())
}

/// Names and documents of a role's inline policies; none if there is no such role.
pub fn role_policies(db: &Connection, role: &str) -> ApiResult<Vec<(String, String)>> {
    let policies = db
        .prepare_cached(
            "SELECT name, document FROM iam_role_policies WHERE role = ?1 ORDER BY name",
        )?
        .query_map([role], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    Ok(policies)
}

/// # Errors
/// `NoSuchEntity` for the role or the policy.
pub fn delete_role_policy(db: &Connection, role: &str, name: &str) -> ApiResult<()> {
    role_policy(db, role, name)?;
    db.execute(
        "DELETE FROM iam_role_policies WHERE role = ?1 AND name = ?2",
        [role, name],
    )?;
    Ok(())
}

//! Instance profiles: what an instance names to get a role.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::{
    Role, TagOwner, already_exists, delete_conflict, exists, find_role, limit_exceeded, no_such,
    random_id, tags, time,
};
use crate::account::ACCOUNT;
use crate::error::{ApiError, ApiResult};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceProfile {
    pub name: String,
    /// `AIPA…`
    pub id: String,
    /// Begins and ends with `/`.
    pub path: String,
    /// At most one, as on AWS.
    pub role: Option<Role>,
    pub created: Timestamp,
}

impl InstanceProfile {
    pub fn arn(&self) -> String {
        format!(
            "arn:aws:iam::{ACCOUNT}:instance-profile{}{}",
            self.path, self.name
        )
    }
}

/// # Errors
/// `EntityAlreadyExists`.
pub fn create_profile(
    db: &Connection,
    name: &str,
    path: &str,
    now: Timestamp,
) -> ApiResult<InstanceProfile> {
    if exists(db, "SELECT 1 FROM iam_profiles WHERE name = ?1", name)? {
        return Err(already_exists("Instance Profile", name));
    }
    db.execute(
        "INSERT INTO iam_profiles (name, id, path, created) VALUES (?1, ?2, ?3, ?4)",
        params![name, random_id("AIPA", 17), path, now.as_millisecond()],
    )?;
    find_profile(db, name)
}

/// # Errors
/// `NoSuchEntity`.
pub fn find_profile(db: &Connection, name: &str) -> ApiResult<InstanceProfile> {
    select(db, "name = ?1", params![name])?
        .pop()
        .ok_or_else(|| no_such_profile(name))
}

fn no_such_profile(name: &str) -> ApiError {
    ApiError::new(
        "NoSuchEntity",
        format!("Instance Profile {name} cannot be found."),
    )
    .with_status(404)
}

/// The profile with this ARN, if there is one; RunInstances takes either name or ARN.
pub fn find_profile_by_arn(db: &Connection, arn: &str) -> ApiResult<Option<InstanceProfile>> {
    let Some((_, name)) = arn.rsplit_once('/') else {
        return Ok(None);
    };
    Ok(select(db, "name = ?1", params![name])?
        .into_iter()
        .find(|profile| profile.arn() == arn))
}

/// Profiles whose path begins with `path_prefix`, after the name `after`, in name order.
pub fn list_profiles(
    db: &Connection,
    path_prefix: &str,
    after: &str,
    limit: usize,
) -> ApiResult<Vec<InstanceProfile>> {
    select(
        db,
        "substr(path, 1, length(?1)) = ?1 AND name > ?2 ORDER BY name LIMIT ?3",
        params![path_prefix, after, i64::try_from(limit).unwrap_or(i64::MAX)],
    )
}

/// Profiles that hold the role, in name order.
///
/// # Errors
/// `NoSuchEntity` for the role.
pub fn profiles_of_role(db: &Connection, role: &str) -> ApiResult<Vec<InstanceProfile>> {
    find_role(db, role)?;
    select(db, "role = ?1 ORDER BY name", params![role])
}

fn select(
    db: &Connection,
    condition: &str,
    arguments: &[&dyn rusqlite::ToSql],
) -> ApiResult<Vec<InstanceProfile>> {
    let rows: Vec<(InstanceProfile, Option<String>)> = db
        .prepare_cached(&format!(
            "SELECT name, id, path, role, created FROM iam_profiles WHERE {condition}"
        ))?
        .query_map(arguments, |row| {
            Ok((
                InstanceProfile {
                    name: row.get("name")?,
                    id: row.get("id")?,
                    path: row.get("path")?,
                    role: None,
                    created: time(row.get("created")?),
                },
                row.get("role")?,
            ))
        })?
        .collect::<Result<_, _>>()?;
    rows.into_iter()
        .map(|(mut profile, role)| {
            profile.role = role.map(|role| find_role(db, &role)).transpose()?;
            Ok(profile)
        })
        .collect()
}

/// # Errors
/// `NoSuchEntity` for either; `LimitExceeded` if the profile holds a role already.
pub fn add_role_to_profile(db: &Connection, profile: &str, role: &str) -> ApiResult<()> {
    let profile = find_profile(db, profile)?;
    let role = find_role(db, role)?;
    if profile.role.is_some() {
        return Err(limit_exceeded("InstanceSessionsPerInstanceProfile", 1));
    }
    db.execute(
        "UPDATE iam_profiles SET role = ?2 WHERE name = ?1",
        [&profile.name, &role.name],
    )?;
    Ok(())
}

/// # Errors
/// `NoSuchEntity` for either, or if the profile does not hold the role.
pub fn remove_role_from_profile(db: &Connection, profile: &str, role: &str) -> ApiResult<()> {
    let profile = find_profile(db, profile)?;
    if profile
        .role
        .is_none_or(|held| !held.name.eq_ignore_ascii_case(role))
    {
        return Err(no_such("role", role));
    }
    db.execute(
        "UPDATE iam_profiles SET role = NULL WHERE name = ?1",
        [&profile.name],
    )?;
    Ok(())
}

/// # Errors
/// `NoSuchEntity`; `DeleteConflict` while it holds a role.
pub fn delete_profile(db: &Connection, name: &str) -> ApiResult<()> {
    if find_profile(db, name)?.role.is_some() {
        return Err(delete_conflict("remove roles from instance profile"));
    }
    tags::drop_all(db, &TagOwner::Profile(name.to_owned()))?;
    db.execute("DELETE FROM iam_profiles WHERE name = ?1", [name])?;
    Ok(())
}

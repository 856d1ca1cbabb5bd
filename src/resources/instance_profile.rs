//! IAM instance profiles: what hands a role to an instance.

use jiff::Timestamp;

use super::role::{ABSENT, CONFLICTS, EXISTS, Listed, SETTLE_LIMIT, plain_tags, sdk_tags};
use super::{Attributes, Found, Presence, ours};
use crate::aws::{Aws, Cause};
use crate::error::{Error, Result};
use crate::names::StackName;
use crate::wait::{self, Look};

/// Name of the role in the profile; a profile holds at most one.
pub const ROLE: &str = "role";

/// A profile has one role at most: another one is in it, or IAM has not yet seen it leave.
const FULL: &str = "LimitExceeded";

pub async fn look(aws: &Aws, name: &str) -> Result<Option<Presence>> {
    Ok(find(aws, name).await?.map(|found| found.presence))
}

/// All instance profiles of the account below `path`, of all regions.
pub async fn list(aws: &Aws, path: &str) -> Result<Vec<Listed>> {
    let mut pages = aws
        .iam
        .list_instance_profiles()
        .path_prefix(path)
        .into_paginator()
        .items()
        .send();
    let mut profiles = Vec::new();
    while let Some(profile) = pages.next().await {
        let profile = profile.map_err(|error| {
            Error::failed(format!("cannot list the instance profiles below {path}"))
                .because(Cause::from(error))
        })?;
        profiles.push(Listed {
            created: Timestamp::from_second(profile.create_date.secs()).ok(),
            path: profile.path,
            name: profile.instance_profile_name,
        });
    }
    Ok(profiles)
}

/// The profile with its role, or `None`.
pub async fn find(aws: &Aws, name: &str) -> Result<Option<Found>> {
    let call = aws.iam.get_instance_profile().instance_profile_name(name);
    let profile = match call.send().await.map_err(Cause::from) {
        Ok(answer) => answer.instance_profile,
        Err(cause) if cause.is(ABSENT) => None,
        Err(cause) => return Err(cannot("look at", name, cause)),
    };
    Ok(profile.map(|profile| {
        let roles: Vec<&str> = profile
            .roles()
            .iter()
            .map(aws_sdk_iam::types::Role::role_name)
            .collect();
        let mut attributes = Attributes::new();
        if !roles.is_empty() {
            attributes.insert(ROLE, roles.join(","));
        }
        let tags = plain_tags(profile.tags());
        Found {
            presence: Presence {
                id: profile.instance_profile_name,
                tags,
            },
            attributes,
        }
    }))
}

/// Creates the profile, empty. One of ours that is already there is adopted.
///
/// # Errors
/// If the name is taken by a profile without the stack's tag.
pub async fn create(
    aws: &Aws,
    name: &str,
    stack: &StackName,
    path: &str,
    tags: &[(String, String)],
) -> Result<()> {
    let call = aws
        .iam
        .create_instance_profile()
        .instance_profile_name(name)
        .path(path)
        .set_tags(Some(sdk_tags(tags)));
    match call.send().await.map_err(Cause::from) {
        Ok(_) => Ok(()),
        Err(cause) if cause.is(EXISTS) => {
            let presence = look(aws, name)
                .await?
                .ok_or_else(|| cannot("create", name, cause).hint("run it again"))?;
            ours("instance profile", name, stack, &aws.region, presence).map(drop)
        }
        Err(cause) => Err(cannot("create", name, cause)),
    }
}

/// Adds tags, or replaces their values.
pub async fn tag(aws: &Aws, name: &str, tags: &[(String, String)]) -> Result<()> {
    aws.iam
        .tag_instance_profile()
        .instance_profile_name(name)
        .set_tags(Some(sdk_tags(tags)))
        .send()
        .await
        .map_err(|error| cannot("tag", name, Cause::from(error)))?;
    Ok(())
}

/// Puts `role` into the profile, in place of any other.
pub async fn set_role(aws: &Aws, name: &str, role: &str) -> Result<()> {
    wait::until(
        &format!("IAM to know instance profile {name}"),
        SETTLE_LIMIT,
        || async {
            let call = aws.iam.add_role_to_instance_profile();
            let call = call.instance_profile_name(name).role_name(role);
            match call.send().await.map_err(Cause::from) {
                Ok(_) => Ok(Look::Done(())),
                Err(cause) if cause.is(ABSENT) || cause.is_any(&CONFLICTS) => {
                    Ok(Look::NotYet(cause.to_string()))
                }
                Err(cause) if cause.is(FULL) || cause.is(EXISTS) => {
                    let there = roles(aws, name).await?;
                    if there == [role] {
                        return Ok(Look::Done(()));
                    }
                    remove_roles(aws, name, there).await?;
                    Ok(Look::NotYet(cause.to_string()))
                }
                Err(cause) => Err(cannot(&format!("put role {role} into"), name, cause)),
            }
        },
    )
    .await
}

async fn roles(aws: &Aws, name: &str) -> Result<Vec<String>> {
    let found = find(aws, name).await?;
    let roles = found
        .and_then(|mut found| found.attributes.remove(ROLE))
        .unwrap_or_default();
    Ok(roles
        .split(',')
        .filter(|role| !role.is_empty())
        .map(str::to_owned)
        .collect())
}

async fn remove_roles(aws: &Aws, name: &str, roles: Vec<String>) -> Result<()> {
    for role in roles {
        let call = aws.iam.remove_role_from_instance_profile();
        let call = call.instance_profile_name(name).role_name(&role);
        match call.send().await.map_err(Cause::from) {
            Ok(_) => {}
            Err(cause) if cause.is(ABSENT) => {}
            Err(cause) => return Err(cannot(&format!("remove role {role} from"), name, cause)),
        }
    }
    Ok(())
}

/// Takes `role` out of the profile; where it is not in there that is fine.
pub async fn remove_role(aws: &Aws, name: &str, role: &str) -> Result<()> {
    remove_roles(aws, name, vec![role.to_owned()]).await
}

/// Deletes a profile, empty or not. One that is not there is fine.
pub async fn delete(aws: &Aws, name: &str) -> Result<()> {
    wait::until(
        &format!("instance profile {name} to let go"),
        SETTLE_LIMIT,
        || async {
            let call = aws
                .iam
                .delete_instance_profile()
                .instance_profile_name(name);
            match call.send().await.map_err(Cause::from) {
                Ok(_) => Ok(Look::Done(())),
                Err(cause) if cause.is(ABSENT) => Ok(Look::Done(())),
                Err(cause) if cause.is_any(&CONFLICTS) => {
                    remove_roles(aws, name, roles(aws, name).await?).await?;
                    Ok(Look::NotYet(cause.to_string()))
                }
                Err(cause) => Err(cannot("delete", name, cause)),
            }
        },
    )
    .await
}

fn cannot(verb: &str, name: &str, cause: Cause) -> Error {
    Error::failed(format!("cannot {verb} instance profile {name}")).because(cause)
}

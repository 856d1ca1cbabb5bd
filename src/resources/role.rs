//! IAM roles with one inline policy.

use std::time::Duration;

use aws_sdk_iam::types::Tag;
use jiff::Timestamp;
use percent_encoding::percent_decode_str;

use super::policy::canonical;
use super::{Attributes, Found, Presence, Tags, ours};
use crate::aws::{Aws, Cause};
use crate::error::{Error, Result};
use crate::names::StackName;
use crate::wait::{self, Look};

/// Who may take the role, in canonical JSON.
pub const TRUST: &str = "trust-policy";
/// What the role may do, in canonical JSON: the inline policy [`POLICY_NAME`].
pub const POLICY: &str = "policy";
/// Names of further inline policies, comma-separated. Set means: somebody gave the role more
/// rights. Setting it (to whatever) removes them.
pub const FURTHER_POLICIES: &str = "further-policies";

/// Name of the one inline policy.
const POLICY_NAME: &str = "worker";

/// IAM is eventually consistent over continents: what was created may be unknown to the next call
/// for seconds, rarely a minute.
pub(super) const SETTLE_LIMIT: Duration = Duration::from_secs(90);

pub(super) const ABSENT: &str = "NoSuchEntity";
pub(super) const EXISTS: &str = "EntityAlreadyExists";
/// Passing conflicts: another change is under way, or what was removed still counts.
pub(super) const CONFLICTS: [&str; 2] = ["DeleteConflict", "ConcurrentModification"];

pub async fn look(aws: &Aws, name: &str) -> Result<Option<Presence>> {
    Ok(get(aws, name).await?.map(|role| presence(&role)))
}

async fn get(aws: &Aws, name: &str) -> Result<Option<aws_sdk_iam::types::Role>> {
    match aws
        .iam
        .get_role()
        .role_name(name)
        .send()
        .await
        .map_err(Cause::from)
    {
        Ok(answer) => Ok(answer.role),
        Err(cause) if cause.is(ABSENT) => Ok(None),
        Err(cause) => Err(cannot("look at", name, cause)),
    }
}

/// A role or instance profile as the account's list has it: without its tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub path: String,
    pub name: String,
    pub created: Option<Timestamp>,
}

/// All roles of the account below `path`, of all regions.
pub async fn list(aws: &Aws, path: &str) -> Result<Vec<Listed>> {
    let mut pages = aws
        .iam
        .list_roles()
        .path_prefix(path)
        .into_paginator()
        .items()
        .send();
    let mut roles = Vec::new();
    while let Some(role) = pages.next().await {
        let role = role.map_err(|error| {
            Error::failed(format!("cannot list the roles below {path}")).because(Cause::from(error))
        })?;
        roles.push(Listed {
            created: Timestamp::from_second(role.create_date.secs()).ok(),
            path: role.path,
            name: role.role_name,
        });
    }
    Ok(roles)
}

fn presence(role: &aws_sdk_iam::types::Role) -> Presence {
    Presence {
        id: role.arn.clone(),
        tags: plain_tags(role.tags()),
    }
}

pub(super) fn plain_tags(tags: &[Tag]) -> Tags {
    tags.iter()
        .map(|tag| (tag.key.clone(), tag.value.clone()))
        .collect()
}

pub(super) fn sdk_tags(tags: &[(String, String)]) -> Vec<Tag> {
    // `build` fails only where key or value is missing.
    tags.iter()
        .filter_map(|(key, value)| Tag::builder().key(key).value(value).build().ok())
        .collect()
}

/// The role with its policies, or `None`.
pub async fn find(aws: &Aws, name: &str) -> Result<Option<Found>> {
    let (role, policy, names) = tokio::join!(
        get(aws, name),
        inline_policy(aws, name),
        policy_names(aws, name)
    );
    let Some(role) = role? else { return Ok(None) };
    let mut attributes = Attributes::new();
    if let Some(trust) = role.assume_role_policy_document() {
        attributes.insert(TRUST, document(trust));
    }
    if let Some(policy) = policy? {
        attributes.insert(POLICY, policy);
    }
    let further: Vec<String> = names?
        .into_iter()
        .filter(|name| name != POLICY_NAME)
        .collect();
    if !further.is_empty() {
        attributes.insert(FURTHER_POLICIES, further.join(","));
    }
    Ok(Some(Found {
        presence: presence(&role),
        attributes,
    }))
}

async fn inline_policy(aws: &Aws, name: &str) -> Result<Option<String>> {
    let call = aws
        .iam
        .get_role_policy()
        .role_name(name)
        .policy_name(POLICY_NAME);
    match call.send().await.map_err(Cause::from) {
        Ok(answer) => Ok(Some(document(&answer.policy_document))),
        Err(cause) if cause.is(ABSENT) => Ok(None),
        Err(cause) => Err(cannot("read the policy of", name, cause)),
    }
}

async fn policy_names(aws: &Aws, name: &str) -> Result<Vec<String>> {
    let mut pages = aws
        .iam
        .list_role_policies()
        .role_name(name)
        .into_paginator()
        .items()
        .send();
    let mut names = Vec::new();
    while let Some(item) = pages.next().await {
        match item.map_err(Cause::from) {
            Ok(policy) => names.push(policy),
            Err(cause) if cause.is(ABSENT) => return Ok(Vec::new()),
            Err(cause) => return Err(cannot("list the policies of", name, cause)),
        }
    }
    Ok(names)
}

/// IAM answers with percent-encoded documents (RFC 3986).
fn document(text: &str) -> String {
    if text.trim_start().starts_with('{') {
        return canonical(text);
    }
    canonical(&percent_decode_str(text).decode_utf8_lossy())
}

/// Creates the role (without its policy: see [`set`]) and returns its ARN. A role of ours that is
/// already there is adopted, its trust policy set.
///
/// # Errors
/// If the name is taken by a role without the stack's tag.
pub async fn create(
    aws: &Aws,
    name: &str,
    stack: &StackName,
    path: &str,
    tags: &[(String, String)],
    trust: &str,
) -> Result<String> {
    let call = aws
        .iam
        .create_role()
        .role_name(name)
        .path(path)
        .description(format!(
            "What converting instances of the muck stack {stack} may do"
        ))
        .assume_role_policy_document(trust)
        .set_tags(Some(sdk_tags(tags)));
    match call.send().await.map_err(Cause::from) {
        Ok(answer) => answer.role.map(|role| role.arn).ok_or_else(|| {
            Error::failed(format!("IAM created role {name} but did not describe it"))
        }),
        Err(cause) if cause.is(EXISTS) => {
            let presence = look(aws, name)
                .await?
                .ok_or_else(|| cannot("create", name, cause).hint("run it again"))?;
            let arn = ours("role", name, stack, &aws.region, presence)?.id;
            set_one(aws, name, TRUST, trust).await?;
            Ok(arn)
        }
        Err(cause) => Err(cannot("create", name, cause)),
    }
}

/// Adds tags, or replaces their values.
pub async fn tag(aws: &Aws, name: &str, tags: &[(String, String)]) -> Result<()> {
    aws.iam
        .tag_role()
        .role_name(name)
        .set_tags(Some(sdk_tags(tags)))
        .send()
        .await
        .map_err(|error| cannot("tag", name, Cause::from(error)))?;
    Ok(())
}

/// Sets the given attributes, all at once.
pub async fn set(aws: &Aws, name: &str, attributes: &Attributes) -> Result<()> {
    let all = attributes
        .iter()
        .map(|(attribute, value)| set_one(aws, name, attribute, value));
    futures::future::join_all(all).await.into_iter().collect()
}

async fn set_one(aws: &Aws, name: &str, attribute: &str, value: &str) -> Result<()> {
    if attribute == FURTHER_POLICIES {
        let further = policy_names(aws, name)
            .await?
            .into_iter()
            .filter(|name| name != POLICY_NAME);
        return delete_policies(aws, name, further.collect()).await;
    }
    wait::until(
        &format!("IAM to know role {name}"),
        SETTLE_LIMIT,
        || async {
            let result = if attribute == TRUST {
                let call = aws.iam.update_assume_role_policy().role_name(name);
                let call = call.policy_document(value);
                call.send().await.map(drop).map_err(Cause::from)
            } else {
                let call = aws
                    .iam
                    .put_role_policy()
                    .role_name(name)
                    .policy_name(POLICY_NAME);
                let call = call.policy_document(value);
                call.send().await.map(drop).map_err(Cause::from)
            };
            match result {
                Ok(()) => Ok(Look::Done(())),
                Err(cause) if cause.is(ABSENT) || cause.is_any(&CONFLICTS) => {
                    Ok(Look::NotYet(cause.to_string()))
                }
                Err(cause) => Err(cannot(&format!("set the {attribute} of"), name, cause)),
            }
        },
    )
    .await
}

async fn delete_policies(aws: &Aws, name: &str, policies: Vec<String>) -> Result<()> {
    let all = policies.into_iter().map(|policy| async move {
        let call = aws
            .iam
            .delete_role_policy()
            .role_name(name)
            .policy_name(&policy);
        match call.send().await.map_err(Cause::from) {
            Ok(_) => Ok(()),
            Err(cause) if cause.is(ABSENT) => Ok(()),
            Err(cause) => Err(cannot(&format!("delete policy {policy} of"), name, cause)),
        }
    });
    futures::future::join_all(all).await.into_iter().collect()
}

/// Deletes the role's inline policies: ours at once, and whatever else a list shows.
pub async fn delete_inline_policies(aws: &Aws, name: &str) -> Result<()> {
    let ours = delete_policies(aws, name, vec![POLICY_NAME.to_owned()]);
    let further = async {
        let mut names = policy_names(aws, name).await?;
        names.retain(|name| name != POLICY_NAME);
        delete_policies(aws, name, names).await
    };
    let (ours, further) = tokio::join!(ours, further);
    ours.and(further)
}

/// Deletes a role without inline policies. One that is not there is fine; conflicts that pass (a
/// profile just removed still counts) are waited out.
pub async fn delete(aws: &Aws, name: &str) -> Result<()> {
    wait::until(&format!("role {name} to let go"), SETTLE_LIMIT, || async {
        match aws
            .iam
            .delete_role()
            .role_name(name)
            .send()
            .await
            .map_err(Cause::from)
        {
            Ok(_) => Ok(Look::Done(())),
            Err(cause) if cause.is(ABSENT) => Ok(Look::Done(())),
            Err(cause) if cause.is_any(&CONFLICTS) => {
                delete_inline_policies(aws, name).await?;
                detach_policies(aws, name).await?;
                Ok(Look::NotYet(cause.to_string()))
            }
            Err(cause) => Err(cannot("delete", name, cause)),
        }
    })
    .await
}

/// Somebody may have attached managed policies; they hold the role until detached.
async fn detach_policies(aws: &Aws, name: &str) -> Result<()> {
    let mut pages = aws
        .iam
        .list_attached_role_policies()
        .role_name(name)
        .into_paginator()
        .items()
        .send();
    while let Some(item) = pages.next().await {
        let attached = item
            .map_err(|error| cannot("list the policies attached to", name, Cause::from(error)))?;
        let Some(arn) = attached.policy_arn else {
            continue;
        };
        aws.iam
            .detach_role_policy()
            .role_name(name)
            .policy_arn(&arn)
            .send()
            .await
            .map_err(|error| {
                cannot(
                    &format!("detach policy {arn} from"),
                    name,
                    Cause::from(error),
                )
            })?;
    }
    Ok(())
}

fn cannot(verb: &str, name: &str, cause: Cause) -> Error {
    Error::failed(format!("cannot {verb} role {name}")).because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_documents_are_read() {
        assert_eq!(
            document("%7B%22Version%22%3A%20%222012-10-17%22%7D"),
            r#"{"Version":"2012-10-17"}"#
        );
        // A percent sign in a plain document is a percent sign.
        assert_eq!(document(r#"{"Sid":"%41"}"#), r#"{"Sid":"%41"}"#);
    }
}

//! May this caller do this? Root may do all; a role or user what their own policies and the thing's policy say.

use super::condition::Context;
use super::demand::Demand;
use super::policy::{Decision, Policy, evaluate};
use super::resource_policy;
use crate::account::{ACCOUNT, REGION};
use crate::caller::Caller;
use crate::error::{ApiError, ApiResult};
use crate::state::Store;
use crate::state::iam::{Principal, find_role, role_policies, user_policy};

/// Checks one action (`s3:GetObject`) on one resource (an ARN, or `*` for actions without one) that has no
/// policy of its own.
///
/// # Errors
/// `AccessDenied` (HTTP 403) in AWS's words.
pub fn authorize(
    store: &Store,
    caller: &Caller,
    action: &str,
    resource: &str,
    context: &Context,
) -> ApiResult<()> {
    authorize_on(store, caller, action, resource, context, None)
}

/// The same where the thing has a policy: an explicit deny in either wins, then an allow in either is enough,
/// as for every caller of the thing's own account.
///
/// # Errors
/// `AccessDenied` (HTTP 403) in AWS's words.
pub fn authorize_on(
    store: &Store,
    caller: &Caller,
    action: &str,
    resource: &str,
    context: &Context,
    resource_policy: Option<&str>,
) -> ApiResult<()> {
    caller.demands.note(Demand::new(action, resource, context));
    let mut context = context.clone();
    let (own, documents) = match &caller.principal {
        Principal::Root => return Ok(()),
        Principal::Role { role, session } => {
            let (arn, policies) = store.transaction(|db| {
                let policies = role_policies(db, role)?;
                // A deleted role's credentials live on and may do nothing.
                let arn = find_role(db, role).map(|role| role.arn());
                Ok((arn, policies))
            })?;
            let arn = arn.unwrap_or_else(|_| format!("arn:aws:iam::{ACCOUNT}:role/{role}"));
            context
                .set("aws:PrincipalArn", &arn)
                .set("aws:PrincipalType", "AssumedRole")
                // Role credentials come from the IMDS alone, and it speaks version 2 alone.
                .set("ec2:RoleDelivery", "2.0")
                .set(
                    "ec2:SourceInstanceARN",
                    &format!("arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{session}"),
                );
            let documents: Vec<String> = policies.into_iter().map(|(_, text)| text).collect();
            (vec![arn, caller.arn()], documents)
        }
        Principal::User { name } => {
            context
                .set("aws:PrincipalArn", &caller.arn())
                .set("aws:PrincipalType", "User")
                .set("aws:username", name);
            let policy = store.transaction(|db| user_policy(db, name))?;
            (vec![caller.arn()], vec![policy])
        }
    };
    let policies = documents
        .iter()
        .map(|document| Policy::parse(document))
        .collect::<ApiResult<Vec<_>>>()?;
    let identity = evaluate(&policies, action, resource, &context);
    let resources = match resource_policy {
        Some(document) => resource_policy::weigh(document, &own, action, resource, &context)?,
        None => Decision::ImplicitDeny,
    };
    let because = match (identity, resources) {
        (Decision::ExplicitDeny, _) => {
            "with an explicit deny in an identity-based policy".to_owned()
        }
        (_, Decision::ExplicitDeny) => {
            "with an explicit deny in a resource-based policy".to_owned()
        }
        (Decision::NotUnderstood(what), _) => {
            format!(
                "because the local cloud does not understand {what} in an identity-based policy"
            )
        }
        (_, Decision::NotUnderstood(what)) => {
            format!("because the local cloud does not understand {what} in a resource-based policy")
        }
        (Decision::Allow, _) | (_, Decision::Allow) => return Ok(()),
        (Decision::ImplicitDeny, Decision::ImplicitDeny) => {
            format!("because no identity-based policy allows the {action} action")
        }
    };
    Err(ApiError::new(
        "AccessDenied",
        format!(
            "User: {} is not authorized to perform: {action} on resource: {resource} {because}",
            caller.arn()
        ),
    )
    .with_status(403))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::iam::{create_role, put_role_policy, put_user};

    #[test]
    fn a_role_may_do_what_its_policies_say_and_root_may_do_all() {
        let store = Store::in_memory().unwrap();
        let trust = r#"{"Statement":{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}}"#;
        let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sqs:SendMessage",
            "Resource":"arn:aws:sqs:*:*:out","Condition":{"Bool":{"aws:SecureTransport":"true"},
            "NumericGreaterThanEquals":{"ec2:RoleDelivery":"2.0"},
            "StringEquals":{"aws:ResourceAccount":"000000000000"}}}]}"#;
        store
            .transaction(|db| {
                create_role(db, "w", "/", trust, None, 3600, jiff::Timestamp::UNIX_EPOCH)?;
                put_role_policy(db, "w", "p", policy)
            })
            .unwrap();
        let caller = Caller::of(
            Principal::Role {
                role: "w".into(),
                session: "i-1".into(),
            },
            "ASIA",
        );
        let check = |caller: &Caller, resource: &str| {
            authorize(
                &store,
                caller,
                "sqs:SendMessage",
                resource,
                &Context::default(),
            )
        };
        check(&caller, "arn:aws:sqs:us-local-1:000000000000:out").unwrap();
        let error = check(&caller, "arn:aws:sqs:us-local-1:000000000000:in").unwrap_err();
        assert_eq!((error.status, error.code.as_str()), (403, "AccessDenied"));
        assert_eq!(
            error.message,
            "User: arn:aws:sts::000000000000:assumed-role/w/i-1 is not authorized to perform: \
             sqs:SendMessage on resource: arn:aws:sqs:us-local-1:000000000000:in because no \
             identity-based policy allows the sqs:SendMessage action"
        );
        check(&Caller::root(), "arn:aws:sqs:us-local-1:000000000000:in").unwrap();
    }

    #[test]
    fn a_things_policy_may_allow_and_deny() {
        let store = Store::in_memory().unwrap();
        store
            .transaction(|db| {
                put_user(
                    db,
                    "eve",
                    r#"{"Statement":{"Effect":"Allow","Action":"sqs:SendMessage","Resource":"*"}}"#,
                )
            })
            .unwrap();
        let eve = Caller::of(Principal::User { name: "eve".into() }, "AKIA");
        let may = |action: &str, policy: &str| {
            authorize_on(&store, &eve, action, "q", &Context::default(), Some(policy)).is_ok()
        };
        let deny =
            r#"{"Statement":{"Effect":"Deny","Principal":"*","Action":"sqs:*","Resource":"*"}}"#;
        let allow = deny.replace("Deny", "Allow");
        let silent = deny.replace("sqs:*", "sqs:PurgeQueue");
        assert!(may("sqs:SendMessage", &silent));
        assert!(!may("sqs:SendMessage", deny));
        assert!(may("sqs:ReceiveMessage", &allow));
        assert!(!may("sqs:ReceiveMessage", &silent));
        let asked: Vec<String> = eve.demands.all().into_iter().map(|d| d.action).collect();
        assert_eq!(asked, ["sqs:SendMessage", "sqs:ReceiveMessage"]);
    }
}

//! May this caller do this? Root may do all; a role what its inline policies say.

use super::condition::Context;
use super::policy::{Decision, Policy, evaluate};
use crate::caller::Caller;
use crate::error::{ApiError, ApiResult};
use crate::state::Store;
use crate::state::iam::{Principal, role_policies};

/// Checks one action (`s3:GetObject`) on one resource (an ARN, or `*` for actions without one).
///
/// Resource-based policies (of queues and buckets) are not weighed here.
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
    let Principal::Role { role, session } = &caller.principal else {
        return Ok(());
    };
    let policies = store
        .transaction(|db| role_policies(db, role))?
        .iter()
        .map(|(_, document)| Policy::parse(document))
        .collect::<ApiResult<Vec<_>>>()?;
    let mut context = context.clone();
    context
        .set(
            "aws:PrincipalArn",
            &format!("arn:aws:iam::{}:role/{role}", crate::account::ACCOUNT),
        )
        .set("aws:PrincipalType", "AssumedRole")
        // Role credentials come from the IMDS alone, and it speaks version 2 alone.
        .set("ec2:RoleDelivery", "2.0")
        .set(
            "ec2:SourceInstanceARN",
            &format!(
                "arn:aws:ec2:{}:{}:instance/{session}",
                crate::account::REGION,
                crate::account::ACCOUNT
            ),
        );
    let because = match evaluate(&policies, action, resource, &context) {
        Decision::Allow => return Ok(()),
        Decision::ExplicitDeny => "with an explicit deny in an identity-based policy".to_owned(),
        Decision::ImplicitDeny => {
            format!("because no identity-based policy allows the {action} action")
        }
        Decision::NotUnderstood(what) => {
            format!(
                "because the local cloud does not understand {what} in an identity-based policy"
            )
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
    use crate::state::iam::{create_role, put_role_policy};

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
        let caller = Caller {
            principal: Principal::Role {
                role: "w".into(),
                session: "i-1".into(),
            },
            access_key_id: "ASIA".into(),
        };
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
}

//! STS: who am I (awsQuery).

use crate::account::ACCOUNT;
use crate::caller::Caller;
use crate::error::{ApiError, ApiResult};
use crate::iam::{Context, authorize};
use crate::query_protocol::{Params, XmlBody};
use crate::state::Store;
use crate::state::iam::{Principal, find_role, user_id};

/// The XML namespace of STS's only API version.
pub const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// The service.
#[derive(Clone)]
pub struct Sts {
    store: Store,
}

impl Sts {
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Does one action. `GetCallerIdentity` needs no permission, as on AWS. Who may not assume a role is told
    /// so; who may is told that it isn't offered.
    ///
    /// # Errors
    /// `InvalidAction` for one that isn't offered here.
    #[expect(
        clippy::unused_async,
        reason = "the form of every service's entry point"
    )]
    pub async fn handle(
        &self,
        caller: &Caller,
        action: &str,
        params: &mut Params,
    ) -> ApiResult<XmlBody> {
        if action == "AssumeRole" {
            let role = params.required("RoleArn")?;
            let context = Context::default();
            authorize(&self.store, caller, "sts:AssumeRole", &role, &context)?;
        }
        if action != "GetCallerIdentity" {
            return Err(ApiError::new(
                "InvalidAction",
                format!("The local cloud's STS has no action {action}."),
            ));
        }
        params.finish()?;
        let user_id = match &caller.principal {
            Principal::Root => ACCOUNT.to_owned(),
            Principal::Role { role, session } => {
                let role = self.store.transaction(|db| find_role(db, role))?;
                format!("{}:{session}", role.id)
            }
            Principal::User { name } => self.store.transaction(|db| user_id(db, name))?,
        };
        let mut xml = XmlBody::new();
        xml.text("Arn", caller.arn())
            .text("UserId", user_id)
            .text("Account", ACCOUNT);
        Ok(xml)
    }
}

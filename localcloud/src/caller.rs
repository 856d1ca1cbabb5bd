//! Who makes a call, as the services see it.

use crate::account::ACCOUNT;
use crate::iam::Demands;
use crate::state::iam::Principal;

/// The verified maker of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub principal: Principal,
    /// The key that signed the call.
    pub access_key_id: String,
    /// What the call needed permission for, so far.
    pub demands: Demands,
}

impl Caller {
    pub fn of(principal: Principal, access_key_id: &str) -> Self {
        Self {
            principal,
            access_key_id: access_key_id.to_owned(),
            demands: Demands::default(),
        }
    }

    /// The account's owner with a made-up key; for unit tests of services.
    pub fn root() -> Self {
        Self::of(Principal::Root, "AKIALOCALTEST")
    }

    /// The ARN that STS and error messages name, e.g.
    /// `arn:aws:sts::000000000000:assumed-role/ROLE/i-0123`.
    pub fn arn(&self) -> String {
        match &self.principal {
            Principal::Root => format!("arn:aws:iam::{ACCOUNT}:root"),
            Principal::Role { role, session } => {
                format!("arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session}")
            }
            Principal::User { name } => format!("arn:aws:iam::{ACCOUNT}:user/{name}"),
        }
    }
}

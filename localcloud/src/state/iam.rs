//! State of IAM and of the access keys by which callers are known.

use jiff::Timestamp;

use super::Store;
use crate::error::ApiResult;

/// Tables of this service.
pub(super) const SCHEMA: &str = "";

/// Who made a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// The account's owner: the key that the server made at its first start.
    Root,
    /// Credentials of a role, delivered to an instance by its IMDS.
    /// `session` is the instance id, as on EC2.
    Role { role: String, session: String },
}

/// An access key and what it stands for.
#[derive(Debug, Clone)]
pub struct AccessKey {
    pub access_key_id: String,
    pub secret_access_key: String,
    /// Only temporary credentials have one; the caller must send exactly this.
    pub session_token: Option<String>,
    pub expires: Option<Timestamp>,
    pub principal: Principal,
}

/// Makes temporary credentials of `role` for the instance `session`, as IMDS hands them out.
/// Key ids begin with `ASIA`, as AWS's temporary ones do.
///
/// # Errors
/// `NoSuchEntity` if there is no such role.
pub fn issue_role_credentials(
    _store: &Store,
    _role: &str,
    _session: &str,
    _now: Timestamp,
) -> ApiResult<AccessKey> {
    Err(crate::error::ApiError::internal("not built yet"))
}

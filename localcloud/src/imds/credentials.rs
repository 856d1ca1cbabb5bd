//! The role credentials that an instance is told, renewed in good time.

use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::error::ApiResult;
use crate::state::Store;
use crate::state::iam::{AccessKey, find_profile_by_arn, issue_role_credentials};

/// New ones are handed out at least this long before the old ones expire: AWS promises five minutes
/// ("Retrieve security credentials from instance metadata"); the rest is for a slow client.
const RENEWED_BEFORE: SignedDuration = SignedDuration::from_mins(15);

/// The role of an instance profile, by the profile's ARN.
pub(super) fn role_of(store: &Store, profile_arn: &str) -> ApiResult<Option<String>> {
    store.transaction(|db| {
        let profile = find_profile_by_arn(db, profile_arn)?;
        Ok(profile
            .and_then(|profile| profile.role)
            .map(|role| role.name))
    })
}

/// The last ones told, so that an instance that asks often gets the same.
#[derive(Default)]
pub(super) struct Credentials(Mutex<Option<Told>>);

struct Told {
    role: String,
    key: AccessKey,
    issued: Timestamp,
}

impl Credentials {
    /// The document at `iam/security-credentials/ROLE`. What goes wrong is told in it, as EC2 does.
    pub(super) fn document(
        &self,
        store: &Store,
        role: &str,
        instance_id: &str,
        now: Timestamp,
    ) -> Value {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = told.as_ref().is_some_and(|told| {
            told.role == role
                && told
                    .key
                    .expires
                    .is_some_and(|end| end - RENEWED_BEFORE > now)
        });
        if !fresh {
            match issue_role_credentials(store, role, instance_id, now) {
                Ok(key) => {
                    *told = Some(Told {
                        role: role.to_owned(),
                        key,
                        issued: now,
                    });
                }
                Err(error) => {
                    return json!({
                        "Code": error.code,
                        "Message": error.message,
                        "LastUpdated": seconds(now),
                    });
                }
            }
        }
        let Some(Told { key, issued, .. }) = told.as_ref() else {
            return Value::Null;
        };
        json!({
            "Code": "Success",
            "LastUpdated": seconds(*issued),
            "Type": "AWS-HMAC",
            "AccessKeyId": key.access_key_id,
            "SecretAccessKey": key.secret_access_key,
            "Token": key.session_token,
            "Expiration": key.expires.map(seconds),
        })
    }
}

/// RFC 3339 in whole seconds, as IMDS writes times.
pub(super) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

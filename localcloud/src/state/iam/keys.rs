//! Access keys: the account's own and those of roles on instances.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension as _, params};

use super::users::user_key;
use super::{AccessKey, Principal, Store, find_role, random_bytes, random_id, time};
use crate::error::{ApiError, ApiResult};
use crate::iam::policy::TrustPolicy;

/// How long role credentials of an instance live: 6 h, as EC2 hands them out.
const ROLE_CREDENTIALS_LIFE: SignedDuration = SignedDuration::from_hours(6);

/// The account's key, if one was made in this folder.
pub fn root_key(store: &Store) -> ApiResult<Option<AccessKey>> {
    store.transaction(|db| {
        Ok(db
            .query_row(
                "SELECT access_key_id, secret, session_token, expires, role, session
                 FROM iam_keys WHERE role IS NULL AND session_token IS NULL",
                [],
                read_key,
            )
            .optional()?)
    })
}

/// Makes and keeps the account's key. Called once in the life of a folder.
pub fn set_root_key(store: &Store) -> ApiResult<AccessKey> {
    let key = AccessKey {
        access_key_id: random_id("AKIA", 16),
        secret_access_key: new_secret(),
        session_token: None,
        expires: None,
        principal: Principal::Root,
    };
    store.transaction(|db| {
        db.execute(
            "INSERT INTO iam_keys (access_key_id, secret) VALUES (?1, ?2)",
            params![key.access_key_id, key.secret_access_key],
        )?;
        Ok(())
    })?;
    Ok(key)
}

/// The key with this id. Expired keys are found too, so that the answer can say `ExpiredToken`.
pub fn find_key(store: &Store, access_key_id: &str) -> ApiResult<Option<AccessKey>> {
    store.transaction(|db| {
        let found = db
            .query_row(
                "SELECT access_key_id, secret, session_token, expires, role, session
                 FROM iam_keys WHERE access_key_id = ?1",
                [access_key_id],
                read_key,
            )
            .optional()?;
        match found {
            Some(key) => Ok(Some(key)),
            None => user_key(db, access_key_id),
        }
    })
}

/// Makes temporary credentials of `role` for the instance `session`, as IMDS hands them out.
/// Key ids begin with `ASIA`, as AWS's temporary ones do. They expire after 6 h.
///
/// # Errors
/// `NoSuchEntity` if there is no such role; `AssumeRoleUnauthorizedAccess` (the code that IMDS shows) if
/// its trust policy does not let `ec2.amazonaws.com` assume it.
pub fn issue_role_credentials(
    store: &Store,
    role: &str,
    session: &str,
    now: Timestamp,
) -> ApiResult<AccessKey> {
    store.transaction(|db| {
        let role = find_role(db, role)?;
        let trust = TrustPolicy::parse(&role.trust_policy)?;
        if !trust.allows_service("ec2.amazonaws.com") {
            return Err(ApiError::new(
                "AssumeRoleUnauthorizedAccess",
                format!(
                    "EC2 cannot assume the role {}. Please see documentation at \
                     https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_iam-ec2.html. \
                     (Its trust policy does not allow ec2.amazonaws.com.)",
                    role.name
                ),
            )
            .with_status(403));
        }
        // Long dead keys are of no use even for a good error message.
        db.execute(
            "DELETE FROM iam_keys WHERE expires < ?1",
            [(now - SignedDuration::from_hours(24)).as_millisecond()],
        )?;
        let expires = now + ROLE_CREDENTIALS_LIFE;
        let key = AccessKey {
            access_key_id: random_id("ASIA", 16),
            secret_access_key: new_secret(),
            session_token: Some(BASE64.encode(random_bytes(192))),
            expires: Some(time(expires.as_millisecond())),
            principal: Principal::Role {
                role: role.name.clone(),
                session: session.to_owned(),
            },
        };
        db.execute(
            "INSERT INTO iam_keys (access_key_id, secret, session_token, expires, role, session)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                key.access_key_id,
                key.secret_access_key,
                key.session_token,
                expires.as_millisecond(),
                role.name,
                session
            ],
        )?;
        Ok(key)
    })
}

/// Issues temporary credentials of the account itself, as `GetSessionToken` does. Their token is valid until `expires`.
pub fn issue_session(store: &Store, expires: Timestamp) -> ApiResult<AccessKey> {
    let key = AccessKey {
        access_key_id: random_id("ASIA", 16),
        secret_access_key: new_secret(),
        session_token: Some(BASE64.encode(random_bytes(192))),
        expires: Some(time(expires.as_millisecond())),
        principal: Principal::Root,
    };
    store.transaction(|db| {
        db.execute(
            "INSERT INTO iam_keys (access_key_id, secret, session_token, expires) VALUES (?1, ?2, ?3, ?4)",
            params![
                key.access_key_id,
                key.secret_access_key,
                key.session_token,
                expires.as_millisecond(),
            ],
        )?;
        Ok(())
    })?;
    Ok(key)
}

fn read_key(row: &rusqlite::Row<'_>) -> rusqlite::Result<AccessKey> {
    let role: Option<String> = row.get("role")?;
    let session: Option<String> = row.get("session")?;
    Ok(AccessKey {
        access_key_id: row.get("access_key_id")?,
        secret_access_key: row.get("secret")?,
        session_token: row.get("session_token")?,
        expires: row.get::<_, Option<i64>>("expires")?.map(time),
        principal: match role {
            None => Principal::Root,
            Some(role) => Principal::Role {
                role,
                session: session.unwrap_or_default(),
            },
        },
    })
}

/// 40 characters, as AWS's secrets have.
pub(super) fn new_secret() -> String {
    BASE64.encode(random_bytes(30))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::iam::{create_role, set_trust_policy};

    const TRUSTS_EC2: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
        "Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

    fn now() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().unwrap()
    }

    #[test]
    fn role_credentials_name_their_role_and_expire() {
        let store = Store::in_memory().unwrap();
        store
            .transaction(|db| create_role(db, "worker", "/", TRUSTS_EC2, None, 3600, now()))
            .unwrap();
        let key = issue_role_credentials(&store, "worker", "i-1", now()).unwrap();
        assert!(key.access_key_id.starts_with("ASIA") && key.access_key_id.len() == 20);
        let found = find_key(&store, &key.access_key_id).unwrap().unwrap();
        assert_eq!(found.session_token, key.session_token);
        assert_eq!(
            found.principal,
            Principal::Role {
                role: "worker".into(),
                session: "i-1".into()
            }
        );
        assert_eq!(found.expires, Some(now() + SignedDuration::from_hours(6)));
    }

    #[test]
    fn a_role_that_does_not_trust_ec2_gives_no_credentials() {
        let store = Store::in_memory().unwrap();
        assert_eq!(
            issue_role_credentials(&store, "worker", "i-1", now())
                .unwrap_err()
                .code,
            "NoSuchEntity"
        );
        store
            .transaction(|db| {
                create_role(db, "worker", "/", TRUSTS_EC2, None, 3600, now())?;
                set_trust_policy(
                    db,
                    "worker",
                    &TRUSTS_EC2.replace("ec2.amazonaws", "lambda.amazonaws"),
                )
            })
            .unwrap();
        assert_eq!(
            issue_role_credentials(&store, "worker", "i-1", now())
                .unwrap_err()
                .code,
            "AssumeRoleUnauthorizedAccess"
        );
    }

    #[test]
    fn a_session_is_the_accounts_and_not_its_key() {
        let store = Store::in_memory().unwrap();
        let root = set_root_key(&store).unwrap();
        let expires = now() + SignedDuration::from_mins(15);
        let session = issue_session(&store, expires).unwrap();
        let found = find_key(&store, &session.access_key_id).unwrap().unwrap();
        assert_eq!(
            (found.principal, found.expires),
            (Principal::Root, Some(expires))
        );
        let kept = root_key(&store).unwrap().unwrap();
        assert_eq!(kept.access_key_id, root.access_key_id);
    }

    #[test]
    fn the_root_key_is_made_once_and_kept() {
        let store = Store::in_memory().unwrap();
        assert!(root_key(&store).unwrap().is_none());
        let made = set_root_key(&store).unwrap();
        assert_eq!(made.secret_access_key.len(), 40);
        let kept = root_key(&store).unwrap().unwrap();
        assert_eq!(kept.access_key_id, made.access_key_id);
        assert_eq!(kept.secret_access_key, made.secret_access_key);
        assert!(!format!("{made:?}").contains(&made.secret_access_key));
    }
}

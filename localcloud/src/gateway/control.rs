//! The server's own endpoints under `/_muck/`: health for all, the rest for who has the root secret.
//!
//! | endpoint | does |
//! |---|---|
//! | `GET /_muck/health` | version, region, account, driver, pid |
//! | `GET /_muck/faults` | the fault rules and their counts |
//! | `POST /_muck/faults` | sets the rules: a JSON list of [`crate::faults::Rule`], in place of all before |
//! | `GET /_muck/calls?after=N` | the journal of calls after number N |
//! | `POST /_muck/users` | `{"name": "ann", "policy": {…}}`: makes the user or changes its policy; answers with its key |
//! | `POST /_muck/network` | a [`crate::ec2::NetworkSettings`]: the account's VPC, in place of what it was |
//! | `POST /_muck/sessions` | `{"seconds": 900}`: answers with temporary credentials of the account |
//! | `POST /_muck/spot-interruptions` | `{"instance_id": "i-…", "seconds": 120}`: notice now, interruption then |

use bytes::Bytes;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;

use super::{Body, Gateway, plain, read_body};
use crate::error::{ApiError, ApiResult};
use crate::faults::Rule;
use crate::state::iam::{issue_session, put_user};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SpotInterruption {
    instance_id: String,
    /// From the notice to the interruption; EC2 gives two minutes.
    #[serde(default = "two_minutes")]
    seconds: u32,
}

/// Somebody with a policy, to try what it allows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    name: String,
    policy: Value,
}

/// Temporary credentials of the account, as `GetSessionToken` issues them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Session {
    seconds: u32,
}

fn two_minutes() -> u32 {
    120
}

impl Gateway {
    pub(super) async fn control(&self, request: Request<Incoming>) -> Response<Body> {
        let result = self.control_action(request).await;
        let (status, value) = match result {
            Ok(value) => (200, value),
            Err(error) => (
                error.status,
                json!({"error": error.code, "message": error.message}),
            ),
        };
        plain(status, "application/json", value.to_string(), "")
    }

    async fn control_action(&self, request: Request<Incoming>) -> ApiResult<Value> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        if (&parts.method, path) == (&Method::GET, "/_muck/health") {
            return Ok(self.health.clone());
        }
        let bearer = parts
            .headers
            .get(http::header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
            .unwrap_or_default();
        let secret = &self.root.secret_access_key;
        if !bool::from(bearer.as_bytes().ct_eq(secret.as_bytes())) {
            return Err(ApiError::new(
                "AccessDenied",
                "Send the root secret as a bearer token: `Authorization: Bearer SECRET`.",
            )
            .with_status(401));
        }
        let body = read_body(body).await?;
        match (&parts.method, path) {
            (&Method::GET, "/_muck/faults") => Ok(json!(self.faults.states())),
            (&Method::POST, "/_muck/faults") => {
                self.faults.set(read::<Vec<Rule>>(&body)?);
                Ok(json!(self.faults.states()))
            }
            (&Method::GET, "/_muck/calls") => {
                let after = match parts.uri.query() {
                    None => 0,
                    Some(query) => query
                        .strip_prefix("after=")
                        .and_then(|number| number.parse().ok())
                        .ok_or_else(|| {
                            ApiError::new("BadRequest", "Only ?after=NUMBER is understood.")
                        })?,
                };
                Ok(json!(self.journal.after(after)))
            }
            (&Method::POST, "/_muck/users") => {
                let user: User = read(&body)?;
                let policy = user.policy.to_string();
                let key = self
                    .store
                    .transaction(|db| put_user(db, &user.name, &policy))?;
                Ok(json!({
                    "access_key_id": key.access_key_id,
                    "secret_access_key": key.secret_access_key,
                }))
            }
            (&Method::POST, "/_muck/network") => {
                self.ec2.set_network(read(&body)?);
                Ok(json!(self.ec2.network()))
            }
            (&Method::POST, "/_muck/sessions") => {
                let session: Session = read(&body)?;
                let expires = self.clock.now() + SignedDuration::from_secs(session.seconds.into());
                let key = issue_session(&self.store, expires)?;
                Ok(json!({
                    "access_key_id": key.access_key_id,
                    "secret_access_key": key.secret_access_key,
                    "session_token": key.session_token,
                    "expires": expires,
                }))
            }
            (&Method::POST, "/_muck/spot-interruptions") => {
                let wanted: SpotInterruption = read(&body)?;
                let at = self.clock.now() + SignedDuration::from_secs(wanted.seconds.into());
                self.ec2.interrupt_spot(&wanted.instance_id, at)?;
                Ok(json!({"at": at}))
            }
            _ => Err(ApiError::new(
                "NotFound",
                format!("There is no {} {path} here.", parts.method),
            )
            .with_status(404)),
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(body: &Bytes) -> ApiResult<T> {
    serde_json::from_slice(body).map_err(|error| ApiError::new("BadRequest", error.to_string()))
}

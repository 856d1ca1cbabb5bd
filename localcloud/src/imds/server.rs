//! The HTTP of the metadata service: tokens, refusals, folders and pages.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, Method, StatusCode};

use super::credentials::{Credentials, role_of};
use super::pages::{CREDENTIALS, listing, pages};
use super::tokens::{LONGEST, Tokens};
use crate::clock::Clock;
use crate::error::ApiResult;
use crate::state::Store;
use crate::state::ec2::instance_facts;

/// The versions that EC2 lists at `/` up to the newest that a client of ours asks for (cloud-init:
/// 2009-04-04 and 2021-03-23), and `latest`. All are told the same.
const VERSIONS: [&str; 26] = [
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "2011-01-01",
    "2011-05-01",
    "2012-01-12",
    "2014-02-25",
    "2014-11-05",
    "2015-10-20",
    "2016-04-19",
    "2016-06-30",
    "2016-09-02",
    "2018-03-28",
    "2018-08-17",
    "2018-09-24",
    "2019-10-01",
    "2020-10-27",
    "2021-01-03",
    "2021-03-23",
    "latest",
];

const TOKEN: &str = "x-aws-ec2-metadata-token";
const TOKEN_TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";

/// What one instance's service works on.
struct Instance {
    id: String,
    store: Store,
    clock: Arc<dyn Clock>,
    tokens: Tokens,
    credentials: Credentials,
}

/// The service of one instance.
pub(super) fn router(store: Store, clock: Arc<dyn Clock>, instance_id: &str) -> Router {
    Router::new()
        .fallback(answer)
        .with_state(Arc::new(Instance {
            id: instance_id.to_owned(),
            store,
            clock,
            tokens: Tokens::default(),
            credentials: Credentials::default(),
        }))
}

async fn answer(State(instance): State<Arc<Instance>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let path = parts.uri.path().to_owned();
    match instance.answer(&parts.method, &path, &parts.headers) {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(instance = instance.id, %error, "metadata can't be told");
            refusal(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

impl Instance {
    fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> ApiResult<Response> {
        let now = self.clock.now();
        let Some(facts) = instance_facts(&self.store, &self.id)? else {
            return Ok(refusal(StatusCode::NOT_FOUND));
        };
        if !facts.metadata.endpoint_enabled {
            return Ok(refusal(StatusCode::FORBIDDEN));
        }
        if method == Method::PUT {
            return Ok(self.token(path, headers));
        }
        if method != Method::GET && method != Method::HEAD {
            return Ok(refusal(StatusCode::METHOD_NOT_ALLOWED));
        }
        // IMDSv2 only, whatever the instance's options say: muck never launches another.
        let known = headers
            .get(TOKEN)
            .and_then(|token| token.to_str().ok())
            .is_some_and(|token| self.tokens.is_valid(token, now));
        if !known {
            return Ok(refusal(StatusCode::UNAUTHORIZED));
        }
        let Some(path) = path.strip_prefix('/') else {
            return Ok(refusal(StatusCode::BAD_REQUEST));
        };
        if path.is_empty() {
            return Ok(text(VERSIONS.join("\n").into()));
        }
        // Repeated slashes count as one on EC2 too.
        let path: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        if path
            .first()
            .is_none_or(|version| !VERSIONS.contains(version))
        {
            return Ok(refusal(StatusCode::NOT_FOUND));
        }
        let path = path[1..].join("/");

        let role = match &facts.profile {
            Some(profile) => role_of(&self.store, &profile.arn)?,
            None => None,
        };
        let pages = pages(&facts, role.as_deref(), now);
        if let Some(page) = pages.get(&path) {
            return Ok(match path.strip_prefix(CREDENTIALS) {
                Some(role) => text(
                    serde_json::to_string_pretty(&self.credentials.document(
                        &self.store,
                        role,
                        &self.id,
                        now,
                    ))
                    .unwrap_or_default()
                    .into_bytes(),
                ),
                None if path == "user-data" => content(page.clone(), "application/octet-stream"),
                None => text(page.clone()),
            });
        }
        let folder = if path.is_empty() { path } else { path + "/" };
        Ok(match listing(&pages, &folder) {
            Some(names) => text(names.into_bytes()),
            None => refusal(StatusCode::NOT_FOUND),
        })
    }

    fn token(&self, path: &str, headers: &HeaderMap) -> Response {
        if path != "/latest/api/token" {
            return refusal(StatusCode::METHOD_NOT_ALLOWED);
        }
        // So that a proxy in front of something open can't be used to get one.
        if headers.contains_key("x-forwarded-for") {
            return refusal(StatusCode::FORBIDDEN);
        }
        let seconds = headers
            .get(TOKEN_TTL)
            .and_then(|seconds| seconds.to_str().ok())
            .and_then(|seconds| seconds.parse::<u32>().ok())
            .filter(|seconds| (1..=LONGEST).contains(seconds));
        let Some(seconds) = seconds else {
            return refusal(StatusCode::BAD_REQUEST);
        };
        let token = self.tokens.issue(seconds, self.clock.now());
        let mut response = text(token.into_bytes());
        response.headers_mut().insert(TOKEN_TTL, seconds.into());
        response
    }
}

fn text(body: Vec<u8>) -> Response {
    content(body, "text/plain")
}

fn content(body: Vec<u8>, kind: &'static str) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static(kind),
    );
    response
}

/// A short page, as EC2 sends one.
fn refusal(status: StatusCode) -> Response {
    let reason = status.canonical_reason().unwrap_or_default();
    let mut response = content(
        format!("{} - {reason}\n", status.as_u16()).into_bytes(),
        "text/plain",
    );
    *response.status_mut() = status;
    response
}

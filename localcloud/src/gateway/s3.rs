//! S3, which verifies and authorises by itself.

use std::sync::Arc;

use http::request::Parts;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::answer::s3_error;
use super::unread::Unread;
use super::{Body, Dropped, Gateway, client_of, principal_name};
use crate::error::ApiError;
use crate::faults::Meant;
use crate::signature::Authorization;
use crate::state::iam::find_key;

impl Gateway {
    /// Notes the call and lets it meet its fault.
    pub(super) async fn answer_s3(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Dropped> {
        let (parts, body) = request.into_parts();
        let action = crate::s3_action::name(&parts);
        let entry = self.journal.begin(self.clock.now(), "s3", &action);
        // Said, not verified yet: it serves the journal and the fault rules alone.
        let principal = access_key_of(&parts)
            .and_then(|id| find_key(&self.store, &id).ok().flatten())
            .map_or_else(
                || "unknown".to_owned(),
                |key| principal_name(&key.principal),
            );
        entry.principal(&principal);
        let client = client_of(&parts);
        let s3 = self.s3.clone();
        let mut request =
            Request::from_parts(parts, s3s::Body::http_body_unsync(Unread::new(body)));
        request.extensions_mut().insert(entry.demands());
        self.run(
            Meant {
                service: "s3",
                action: &action,
                principal: &principal,
                client: &client,
            },
            entry,
            None,
            async move { Ok(s3.call(request).await) },
            |result| match result {
                Ok(Ok(response)) => (
                    None,
                    response.map(|body| body.map_err(Into::into).boxed_unsync()),
                ),
                Ok(Err(error)) => {
                    let error = ApiError::internal(format!("{error:?}"));
                    let response = s3_error(&error);
                    (Some(error.code), response)
                }
                Err(error) => {
                    let response = s3_error(&error);
                    (Some(error.code), response)
                }
            },
        )
        .await
    }
}

/// The access key that an S3 request says it is signed with, in its header or its URL.
fn access_key_of(parts: &Parts) -> Option<String> {
    if let Ok(Some(authorization)) = Authorization::from_headers(&parts.headers) {
        return Some(authorization.access_key_id);
    }
    url::form_urlencoded::parse(parts.uri.query()?.as_bytes())
        .find(|(name, _)| name == "X-Amz-Credential")
        .and_then(|(_, credential)| Some(credential.split('/').next()?.to_owned()))
}

//! SQS, which speaks AWS JSON.

use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;

use super::answer::{json_error, plain};
use super::{Body, Dropped, Gateway, client_of, principal_name, read_body};
use crate::error::ApiError;
use crate::faults::Meant;
use crate::json_protocol;
use crate::signature::Dialect;

impl Gateway {
    pub(super) async fn answer_sqs(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Dropped> {
        let request_id = uuid::Uuid::new_v4().to_string();
        let (parts, body) = request.into_parts();
        let client = client_of(&parts);
        let target = parts
            .headers
            .get("x-amz-target")
            .and_then(|target| target.to_str().ok())
            .and_then(|target| target.strip_prefix("AmazonSQS."))
            .map(str::to_owned);
        let entry = self.journal.begin(
            self.clock.now(),
            "sqs",
            target.as_deref().unwrap_or("Unknown"),
        );
        let ready = async {
            let body = read_body(body).await?;
            let caller = self.verify(Dialect::Json, &parts, &body, &entry)?;
            let action = target.ok_or_else(|| {
                ApiError::new(
                    "InvalidAction",
                    "The request has no X-Amz-Target AmazonSQS.…: the local cloud's SQS speaks AWS JSON 1.0 \
                     (not the older query protocol).",
                )
            })?;
            Ok::<_, ApiError>((body, caller, action))
        }
        .await;
        let (body, caller, action) = match ready {
            Ok(ready) => ready,
            Err(error) => {
                entry.done(error.status, Some(&error.code));
                return Ok(json_error(&error, &request_id));
            }
        };
        self.run(
            Meant {
                service: "sqs",
                action: &action,
                principal: &principal_name(&caller.principal),
                client: &client,
            },
            entry,
            None,
            // Not a task of its own: a receive whose caller is gone must not take messages.
            self.sqs.handle(&caller, &action, &body),
            |result| match result {
                Ok(value) => {
                    let body = if value.is_null() {
                        String::new()
                    } else {
                        value.to_string()
                    };
                    (
                        None,
                        plain(200, json_protocol::CONTENT_TYPE, body, &request_id),
                    )
                }
                Err(error) => {
                    let response = json_error(&error, &request_id);
                    (Some(error.code), response)
                }
            },
        )
        .await
    }
}

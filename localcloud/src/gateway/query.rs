//! EC2, IAM, STS and SNS: the services that speak the query protocol.

use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;

use super::answer::xml;
use super::{Body, Dropped, Gateway, client_of, principal_name, read_body};
use crate::caller::Caller;
use crate::error::{ApiError, ApiResult};
use crate::faults::Meant;
use crate::query_protocol::{Envelope, Params, XmlBody};
use crate::signature::Dialect;

/// A service that speaks the query protocol.
pub(super) struct QueryService {
    pub(super) name: &'static str,
    /// The only API version.
    version: &'static str,
    envelope: Envelope,
    dialect: Dialect,
}

pub(super) const QUERY_SERVICES: &[QueryService] = &[
    QueryService {
        name: "ec2",
        version: "2016-11-15",
        envelope: Envelope::Ec2,
        dialect: Dialect::Ec2,
    },
    QueryService {
        name: "iam",
        version: "2010-05-08",
        envelope: Envelope::AwsQuery {
            namespace: crate::iam::NAMESPACE,
        },
        dialect: Dialect::Query,
    },
    QueryService {
        name: "sts",
        version: "2011-06-15",
        envelope: Envelope::AwsQuery {
            namespace: crate::sts::NAMESPACE,
        },
        dialect: Dialect::Query,
    },
    QueryService {
        name: "sns",
        version: "2010-03-31",
        envelope: Envelope::AwsQuery {
            namespace: crate::sns::NAMESPACE,
        },
        dialect: Dialect::Query,
    },
];

impl Gateway {
    pub(super) async fn answer_query(
        self: Arc<Self>,
        service: &'static QueryService,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Dropped> {
        let request_id = uuid::Uuid::new_v4().to_string();
        let (parts, body) = request.into_parts();
        let client = client_of(&parts);
        let read = read_body(body).await.and_then(|body| {
            let params = Params::parse(&body)?;
            let action = params.required("Action")?;
            Ok((body, params, action))
        });
        let action = read.as_ref().map_or("Unknown", |(_, _, action)| action);
        let entry = self.journal.begin(self.clock.now(), service.name, action);
        let ready = read.and_then(|(body, params, action)| {
            let caller = self.verify(service.dialect, &parts, &body, &entry)?;
            let version = params.required("Version")?;
            if version != service.version {
                return Err(ApiError::new(
                    "InvalidAction",
                    format!(
                        "Could not find operation {action} for version {version} (the local cloud has {})",
                        service.version
                    ),
                ));
            }
            Ok((params, caller, action))
        });
        let (params, caller, action) = match ready {
            Ok(ready) => ready,
            Err(error) => {
                entry.done(error.status, Some(&error.code));
                let document = service.envelope.error(&error, &request_id);
                return Ok(xml(error.status, document, &request_id));
            }
        };
        let gateway = Arc::clone(&self);
        let name = action.clone();
        self.run(
            Meant {
                service: service.name,
                action: &action,
                principal: &principal_name(&caller.principal),
                client: &client,
            },
            entry,
            (service.name == "ec2" && action.starts_with("Describe")).then(XmlBody::new),
            async move {
                // A task of its own: a call that began takes its effect even if the caller goes away.
                let work =
                    async move { gateway.query_action(service, &caller, &name, params).await };
                tokio::spawn(work)
                    .await
                    .unwrap_or_else(|panic| Err(ApiError::internal(panic)))
            },
            |result| match result {
                Ok(body) => {
                    let document = service.envelope.answer(&action, &body, &request_id);
                    (None, xml(200, document, &request_id))
                }
                Err(error) => {
                    let document = service.envelope.error(&error, &request_id);
                    (Some(error.code), xml(error.status, document, &request_id))
                }
            },
        )
        .await
    }

    async fn query_action(
        &self,
        service: &QueryService,
        caller: &Caller,
        action: &str,
        mut params: Params,
    ) -> ApiResult<XmlBody> {
        let answer = match service.name {
            "ec2" => {
                self.ec2.allow(caller, action, &params.copy())?;
                self.ec2.handle(caller, action, &mut params).await
            }
            "iam" => self.iam.handle(caller, action, &mut params).await,
            "sts" => self.sts.handle(caller, action, &mut params).await,
            _ => self.sns.handle(caller, action, &mut params).await,
        }?;
        // Services refuse unknown parameters before they act; this finds one that forgot to.
        params.finish().map_err(|error| {
            ApiError::internal(format!("{} {action} left unread: {error}", service.name))
        })?;
        Ok(answer)
    }
}

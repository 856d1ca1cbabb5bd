//! The one door: which service is meant, who calls, which fault is due, and the answer in the caller's
//! protocol. It knows no action of any service.

mod answer;
mod control;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use s3s::service::S3Service;

pub use answer::{Body, Dropped};
use answer::{cut_off, json_error, plain, s3_error, xml};

use crate::caller::Caller;
use crate::clock::Clock;
use crate::ec2::Ec2;
use crate::error::{ApiError, ApiResult};
use crate::faults::{Fault, Faults};
use crate::iam::{Context, Iam, authorize};
use crate::journal::{Entry, Journal, Progress};
use crate::json_protocol;
use crate::query_protocol::{Envelope, Params, XmlBody};
use crate::signature::{self, Authorization, Dialect};
use crate::sns::Sns;
use crate::sqs::Sqs;
use crate::state::Store;
use crate::state::iam::{AccessKey, Principal, find_key};
use crate::sts::Sts;

/// Largest body of a call that is not S3's: an SQS batch of 1 MiB, with room for its JSON escapes.
const LARGEST_BODY: usize = 8 << 20;

/// How long a fault of the time-out kind holds a call: longer than any client waits.
const HOLD: Duration = Duration::from_hours(24);

/// All services, behind one port.
pub struct Gateway {
    pub store: Store,
    pub clock: Arc<dyn Clock>,
    pub iam: Iam,
    pub sts: Sts,
    pub sqs: Sqs,
    pub sns: Sns,
    pub ec2: Arc<Ec2>,
    pub s3: S3Service,
    pub faults: Faults,
    pub journal: Journal,
    /// Guards the control endpoints.
    pub root: AccessKey,
    /// What `/_muck/health` says.
    pub health: serde_json::Value,
}

/// A service that speaks the query protocol.
struct QueryService {
    name: &'static str,
    /// The only API version.
    version: &'static str,
    envelope: Envelope,
    dialect: Dialect,
}

const QUERY_SERVICES: &[QueryService] = &[
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

/// Which protocol a request speaks.
enum Target {
    Control,
    S3,
    Sqs,
    Query(&'static QueryService),
    /// A service that there is not here.
    Unknown(String),
}

fn target(parts: &Parts) -> Target {
    // No bucket's name may hold an underscore.
    if parts.uri.path().starts_with("/_muck/") {
        return Target::Control;
    }
    match Authorization::from_headers(&parts.headers) {
        Ok(Some(authorization)) => match authorization.service.as_str() {
            "s3" => Target::S3,
            "sqs" => Target::Sqs,
            other => match QUERY_SERVICES.iter().find(|service| service.name == other) {
                Some(service) => Target::Query(service),
                None => Target::Unknown(other.to_owned()),
            },
        },
        // Unsigned (or signed in the URL): an SQS call names its target, the other services post forms to
        // the root, and all else is S3's to judge.
        _ if parts.headers.contains_key("x-amz-target") => Target::Sqs,
        _ if parts.method == Method::POST
            && parts.uri.path() == "/"
            && !parts
                .uri
                .query()
                .is_some_and(|query| query.contains("X-Amz-")) =>
        {
            Target::Query(&QUERY_SERVICES[1])
        }
        _ => Target::S3,
    }
}

/// `root`, `role/<role>/<instance>`.
fn principal_name(principal: &Principal) -> String {
    match principal {
        Principal::Root => "root".to_owned(),
        Principal::Role { role, session } => format!("role/{role}/{session}"),
    }
}

impl Gateway {
    /// Answers one request, or closes the connection without an answer.
    pub async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Dropped> {
        match target(&request.clone_head()) {
            Target::Control => Ok(self.control(request).await),
            Target::S3 => self.answer_s3(request).await,
            Target::Sqs => self.answer_sqs(request).await,
            Target::Query(service) => self.answer_query(service, request).await,
            Target::Unknown(name) => Ok(xml(
                400,
                Envelope::AwsQuery { namespace: "" }.error(
                    &ApiError::new(
                        "UnknownService",
                        format!("The local cloud has no service {name}: it has s3, sqs, ec2, iam, sts and sns."),
                    ),
                    "",
                ),
                "",
            )),
        }
    }

    async fn answer_query(
        self: Arc<Self>,
        service: &'static QueryService,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Dropped> {
        let request_id = uuid::Uuid::new_v4().to_string();
        let (parts, body) = request.into_parts();
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
            service.name,
            &action,
            &principal_name(&caller.principal),
            entry,
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
                // Resource-level permissions of EC2 are not told apart: the action is checked on `*`.
                authorize(
                    &self.store,
                    caller,
                    &format!("ec2:{action}"),
                    "*",
                    &Context::at(self.clock.now()),
                )
                .map_err(|error| {
                    ApiError::new(
                        "UnauthorizedOperation",
                        format!(
                            "You are not authorized to perform this operation. {}",
                            error.message
                        ),
                    )
                    .with_status(403)
                })?;
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

    async fn answer_sqs(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Dropped> {
        let request_id = uuid::Uuid::new_v4().to_string();
        let (parts, body) = request.into_parts();
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
            "sqs",
            &action,
            &principal_name(&caller.principal),
            entry,
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

    /// S3 verifies and authorises by itself; here its calls are only noted and meet their faults.
    async fn answer_s3(
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
        let s3 = self.s3.clone();
        let request = Request::from_parts(parts, s3s::Body::from(body));
        self.run(
            "s3",
            &action,
            &principal,
            entry,
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

    /// Who calls; noted in the journal.
    fn verify(
        &self,
        dialect: Dialect,
        parts: &Parts,
        body: &[u8],
        entry: &Entry,
    ) -> ApiResult<Caller> {
        let authorization = Authorization::from_headers(&parts.headers)?
            .ok_or_else(|| signature::missing(dialect))?;
        let caller = signature::verify(
            &self.store,
            self.clock.now(),
            dialect,
            &authorization,
            parts,
            body,
        )?;
        entry.principal(&principal_name(&caller.principal));
        Ok(caller)
    }

    /// Runs a verified call under the fault that is due to it. `work` does it, `respond` writes the answer
    /// and says the error's code.
    async fn run<T>(
        &self,
        service: &str,
        action: &str,
        principal: &str,
        entry: Entry,
        work: impl Future<Output = ApiResult<T>>,
        respond: impl FnOnce(ApiResult<T>) -> (Option<String>, Response<Body>),
    ) -> Result<Response<Body>, Dropped> {
        let verdict = self.faults.judge(service, action, principal);
        if !verdict.delay.is_zero() {
            tokio::time::sleep(verdict.delay).await;
        }
        if let Some(fault) = &verdict.fault {
            entry.fault(
                serde_json::to_value(fault)
                    .ok()
                    .and_then(|fault| Some(fault.get("kind")?.as_str()?.to_owned()))
                    .unwrap_or_default(),
            );
        }
        match &verdict.fault {
            Some(Fault::TimeoutBefore) => {
                entry.held(Progress::HeldBefore);
                tokio::time::sleep(HOLD).await;
                return Err(Dropped);
            }
            Some(Fault::ResetBefore) => {
                entry.held(Progress::HeldBefore);
                return Err(Dropped);
            }
            Some(fault) => {
                if let Some(error) = fault.error(service) {
                    let (code, response) = respond(Err(error));
                    entry.done(response.status().as_u16(), code.as_deref());
                    return Ok(response);
                }
            }
            None => {}
        }
        let (code, response) = respond(work.await);
        match verdict.fault {
            Some(Fault::TimeoutAfter) => {
                entry.held(Progress::HeldAfter);
                tokio::time::sleep(HOLD).await;
                Err(Dropped)
            }
            Some(Fault::ResetMidBody) => {
                entry.done(response.status().as_u16(), code.as_deref());
                cut_off(response).await
            }
            _ => {
                entry.done(response.status().as_u16(), code.as_deref());
                Ok(response)
            }
        }
    }
}

/// The whole body.
async fn read_body(body: Incoming) -> ApiResult<Bytes> {
    match Limited::new(body, LARGEST_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::new(
            "RequestEntityTooLarge",
            format!("The request's body is larger than {LARGEST_BODY} bytes."),
        )
        .with_status(413)),
        Err(error) => Err(ApiError::new(
            "IncompleteBody",
            format!("The request's body did not arrive whole: {error}"),
        )),
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

/// A request's head alone.
trait CloneHead {
    fn clone_head(&self) -> Parts;
}

impl<B> CloneHead for Request<B> {
    fn clone_head(&self) -> Parts {
        let mut head = Request::new(());
        head.method_mut().clone_from(self.method());
        head.uri_mut().clone_from(self.uri());
        head.headers_mut().clone_from(self.headers());
        head.into_parts().0
    }
}

/// The body type's error can't happen for bodies in memory.
fn never(infallible: Infallible) -> Box<dyn std::error::Error + Send + Sync> {
    match infallible {}
}

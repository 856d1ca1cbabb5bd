//! The one door: which service is meant, who calls, which fault is due, and the answer in the caller's
//! protocol. It knows no action of any service.

mod answer;
mod control;
mod query;
mod s3;
mod sqs;
mod unread;

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
use answer::{cut_off, plain, xml};
use query::{QUERY_SERVICES, QueryService};

use crate::caller::Caller;
use crate::clock::Clock;
use crate::ec2::Ec2;
use crate::error::{ApiError, ApiResult};
use crate::faults::{Fault, Faults, Meant, Phase};
use crate::iam::Iam;
use crate::journal::{Entry, Journal, Progress};
use crate::query_protocol::Envelope;
use crate::signature::{self, Authorization, Dialect};
use crate::sns::Sns;
use crate::sqs::Sqs;
use crate::state::Store;
use crate::state::iam::{AccessKey, Principal};
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
            // Which one it was meant for can't be known; all refuse it alike.
            Target::Query(&QUERY_SERVICES[0])
        }
        _ => Target::S3,
    }
}

/// `root`, `role/<role>/<instance>`, `user/<name>`.
fn principal_name(principal: &Principal) -> String {
    match principal {
        Principal::Root => "root".to_owned(),
        Principal::Role { role, session } => format!("role/{role}/{session}"),
        Principal::User { name } => format!("user/{name}"),
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
        let mut caller = signature::verify(
            &self.store,
            self.clock.now(),
            dialect,
            &authorization,
            parts,
            body,
        )?;
        entry.principal(&principal_name(&caller.principal));
        caller.demands = entry.demands();
        Ok(caller)
    }

    /// Runs a verified call under the fault that is due to it. `work` does it, `respond` writes the answer
    /// and says the error's code. `nothing` is what a list with nothing in it answers, if the call is one.
    async fn run<T>(
        &self,
        call: Meant<'_>,
        entry: Entry,
        nothing: Option<T>,
        work: impl Future<Output = ApiResult<T>>,
        respond: impl FnOnce(ApiResult<T>) -> (Option<String>, Response<Body>),
    ) -> Result<Response<Body>, Dropped> {
        let Meant {
            service, client, ..
        } = call;
        entry.client(client);
        let verdict = self.faults.judge(&call);
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
            Some(
                Fault::TimeoutBefore
                | Fault::Freeze {
                    phase: Phase::Before,
                },
            ) => {
                entry.held(Progress::HeldBefore);
                tokio::time::sleep(HOLD).await;
                return Err(Dropped);
            }
            Some(Fault::ResetBefore) => {
                entry.held(Progress::HeldBefore);
                return Err(Dropped);
            }
            Some(Fault::Unlisted) => {
                let answer = nothing.ok_or_else(|| {
                    ApiError::new("BadFault", "The fault `unlisted` is for EC2's lists alone.")
                });
                let (code, response) = respond(answer);
                entry.done(response.status().as_u16(), code.as_deref());
                return Ok(response);
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
            Some(
                Fault::TimeoutAfter
                | Fault::Freeze {
                    phase: Phase::After,
                },
            ) => {
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

/// The application id in the head of a request (`AWS_SDK_UA_APP_ID` of the SDKs); empty if there is none.
fn client_of(parts: &Parts) -> String {
    ["x-amz-user-agent", "user-agent"]
        .iter()
        .filter_map(|header| parts.headers.get(*header)?.to_str().ok())
        .flat_map(|agent| agent.split(' '))
        .find_map(|word| word.strip_prefix("app/"))
        .unwrap_or_default()
        .to_owned()
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

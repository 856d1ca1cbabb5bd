//! Making HTTP answers.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;

use super::never;
use crate::error::ApiError;
use crate::json_protocol;
use crate::query_protocol::XmlBody;

/// The body of any answer.
pub type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("dropped by a fault on purpose")]
pub struct Dropped;

/// A body that is all in memory.
pub(super) fn plain(
    status: u16,
    content_type: &str,
    body: impl Into<Bytes>,
    request_id: &str,
) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()).map_err(never).boxed_unsync());
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in [
        ("content-type", content_type),
        ("x-amzn-requestid", request_id),
    ] {
        if let (false, Ok(value)) = (value.is_empty(), value.parse()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

pub(super) fn xml(status: u16, document: String, request_id: &str) -> Response<Body> {
    plain(status, "text/xml;charset=UTF-8", document, request_id)
}

/// An error of SQS.
pub(super) fn json_error(error: &ApiError, request_id: &str) -> Response<Body> {
    let (body, query_error) = json_protocol::error(error);
    let mut response = plain(error.status, json_protocol::CONTENT_TYPE, body, request_id);
    if let Ok(value) = query_error.parse() {
        response.headers_mut().insert("x-amzn-query-error", value);
    }
    response
}

/// An error of S3 that the gateway itself makes (a fault on purpose).
pub(super) fn s3_error(error: &ApiError) -> Response<Body> {
    let mut document = XmlBody::new();
    document.element("Error", |xml| {
        xml.text("Code", &error.code)
            .text("Message", &error.message);
    });
    let document = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}",
        document.into_string()
    );
    plain(error.status, "application/xml", document, "")
}

/// The first half of an answer's first piece, and then the connection closes. An answer without a body is
/// not sent at all.
pub(super) async fn cut_off(response: Response<Body>) -> Result<Response<Body>, Dropped> {
    let (parts, mut body) = response.into_parts();
    let first = loop {
        match body.frame().await {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if !data.is_empty() => break data,
                _ => {}
            },
            _ => return Err(Dropped),
        }
    };
    let half = first.slice(..first.len() / 2);
    let mut response = Response::from_parts(
        parts,
        StreamBody::new(futures::stream::iter([
            Ok(Frame::data(half)),
            Err(Box::new(Dropped) as Box<dyn std::error::Error + Send + Sync>),
        ]))
        .boxed_unsync(),
    );
    // With its length said, a body cut short can't be taken for whole.
    if !response.headers().contains_key("content-length") {
        response
            .headers_mut()
            .insert("content-length", first.len().into());
    }
    Ok(response)
}

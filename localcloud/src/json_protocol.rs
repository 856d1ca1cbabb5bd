//! The wire format of SQS (AWS JSON 1.0): the action in `X-Amz-Target`, JSON in and out.

use serde::de::DeserializeOwned;

use crate::error::{ApiError, ApiResult};

/// Content type of requests and answers.
pub const CONTENT_TYPE: &str = "application/x-amz-json-1.0";

/// Reads a request. Members that the type doesn't know are refused by name (its
/// `deny_unknown_fields`).
///
/// # Errors
/// `SerializationException` for what isn't JSON, `UnknownParameter` for members that aren't known, `MissingParameter`
/// and `InvalidParameterValue` for the rest.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> ApiResult<T> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| {
        let why = error.to_string();
        let code = if !error.is_data() {
            "SerializationException"
        } else if why.starts_with("unknown field") {
            "UnknownParameter"
        } else if why.starts_with("missing field") {
            "MissingParameter"
        } else {
            "InvalidParameterValue"
        };
        ApiError::new(code, why)
    })
}

/// An error as SQS answers it: the body, and the value of the header `x-amzn-query-error` that carries the code of the older
/// query protocol, by which SDKs know it.
pub fn error(error: &ApiError) -> (String, String) {
    let side = if error.status < 500 {
        "Sender"
    } else {
        "Receiver"
    };
    let body = serde_json::json!({
        "__type": format!("com.amazonaws.sqs#{}", shape(&error.code)),
        "message": error.message,
    });
    (body.to_string(), format!("{};{side}", error.code))
}

/// The name of the error in the JSON protocol.
fn shape(code: &str) -> &str {
    match code {
        "AWS.SimpleQueueService.NonExistentQueue" => "QueueDoesNotExist",
        "QueueAlreadyExists" => "QueueNameExists",
        "AccessDenied" => "AccessDeniedException",
        other => other
            .strip_prefix("AWS.SimpleQueueService.")
            .unwrap_or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Request {
        #[serde(rename = "QueueUrl")]
        _queue_url: String,
    }

    #[test]
    fn names_what_it_does_not_know() {
        let error = read::<Request>(br#"{"QueueUrl":"x","Colour":1}"#).unwrap_err();
        assert_eq!(error.code, "UnknownParameter");
        assert!(error.message.contains("Colour"), "{error}");
        assert_eq!(read::<Request>(b"").unwrap_err().code, "MissingParameter");
        assert_eq!(
            read::<Request>(b"{").unwrap_err().code,
            "SerializationException"
        );
        assert_eq!(
            read::<Request>(br#"{"QueueUrl":1}"#).unwrap_err().code,
            "InvalidParameterValue"
        );
    }

    #[test]
    fn carries_both_names_of_an_error() {
        let (body, header) = error(&ApiError::new(
            "AWS.SimpleQueueService.NonExistentQueue",
            "gone",
        ));
        assert!(body.contains("com.amazonaws.sqs#QueueDoesNotExist"));
        assert_eq!(header, "AWS.SimpleQueueService.NonExistentQueue;Sender");
    }
}

//! Receipt handles: opaque to clients, and different for every receive.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::Queue;
use crate::error::{ApiError, ApiResult};

/// What a handle says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) message_id: String,
    /// Of one receive.
    pub(super) nonce: String,
}

impl Receipt {
    pub(super) fn write(queue: &Queue, message_id: &str, nonce: &str) -> String {
        BASE64.encode(format!("{} {message_id} {nonce}", queue.id))
    }

    /// # Errors
    /// `ReceiptHandleIsInvalid` for what isn't a handle of this queue.
    pub(super) fn read(queue: &Queue, handle: &str) -> ApiResult<Self> {
        let text = BASE64
            .decode(handle)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok());
        let fields: Vec<&str> = text
            .as_deref()
            .map(|text| text.split(' ').collect())
            .unwrap_or_default();
        match fields[..] {
            [id, message_id, nonce] if id == queue.id.to_string() => Ok(Self {
                message_id: message_id.to_owned(),
                nonce: nonce.to_owned(),
            }),
            _ => Err(ApiError::new(
                "ReceiptHandleIsInvalid",
                format!("The input receipt handle \"{handle}\" is not a valid receipt handle."),
            )),
        }
    }
}

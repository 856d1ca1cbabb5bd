//! The error that every emulated service answers with: an AWS code, a message and an HTTP status.

/// An API error as AWS would answer it. The gateway renders it in the protocol of the caller.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// HTTP status, e.g. 400.
    pub status: u16,
    /// AWS error code, e.g. `InvalidInstanceID.NotFound`.
    pub code: String,
    pub message: String,
}

impl ApiError {
    /// A client error (HTTP 400), the status of nearly all EC2, SQS, IAM and STS errors.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status: 400,
            code: code.into(),
            message: message.into(),
        }
    }

    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Something in the local cloud itself went wrong (HTTP 500).
    pub fn internal(what: impl std::fmt::Display) -> Self {
        Self::new("InternalError", what.to_string()).with_status(500)
    }
}

impl From<rusqlite::Error> for ApiError {
    fn from(error: rusqlite::Error) -> Self {
        Self::internal(format!("state database: {error}"))
    }
}

pub type ApiResult<T> = Result<T, ApiError>;

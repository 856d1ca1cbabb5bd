//! State of S3.

/// Tables of this service.
pub(super) const SCHEMA: &str = "";

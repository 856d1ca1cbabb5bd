//! State of SQS.

/// Tables of this service.
pub(super) const SCHEMA: &str = "";

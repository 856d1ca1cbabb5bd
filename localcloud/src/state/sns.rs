//! State of SNS.

/// Tables of this service.
pub(super) const SCHEMA: &str = "";

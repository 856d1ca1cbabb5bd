//! State of EC2.

/// Tables of this service.
pub(super) const SCHEMA: &str = "";

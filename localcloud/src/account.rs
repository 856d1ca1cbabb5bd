//! Who and where the local cloud is. None of these can be taken for a real account or region.

/// The one region. The form is that of a real one, the name can't be.
pub const REGION: &str = "us-local-1";

/// The one account. Twelve zeros are no valid account of AWS.
pub const ACCOUNT: &str = "000000000000";

//! IAM: the wire side of roles, instance profiles and their tags (awsQuery).

pub mod access;
pub mod condition;
pub mod policy;

pub use access::authorize;
pub use condition::Context;

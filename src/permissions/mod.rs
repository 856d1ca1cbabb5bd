//! Which permissions of AWS each command needs, and the IAM policy that grants just these.
//!
//! The one source is [`table`]; [`scope`] narrows it to a stack, an account and a region; [`policy`] writes
//! it down. Pure: no cloud is asked, so that an administrator can print it before anybody has a key.

pub mod policy;
pub mod scope;
pub mod table;

pub use policy::{Limit, Policy, Row, policy, rows};
pub use scope::{Scope, Slot};
pub use table::Command;

//! One file a resource kind: find, create, delete, and what its errors mean. SDK types end here.

pub mod ec2_tags;
pub mod image;
pub mod instance;
pub mod run_instances;
pub mod snapshot;
pub mod subnet;
pub mod volume;
pub mod message;
pub mod object;

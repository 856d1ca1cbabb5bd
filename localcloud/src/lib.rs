//! The local cloud: a loopback server that speaks the AWS wire protocols (S3, SQS, EC2, IAM, STS,
//! SNS) and whose EC2 instances really boot.
//!
//! It is a rehearsal and an embedded default, not a security boundary. It binds 127.0.0.1 only,
//! verifies SigV4 on every call, and refuses what AWS refuses: an unknown action or parameter is
//! an error that names it.

pub mod account;
pub mod caller;
pub mod clock;
pub mod driver;
pub mod ec2;
pub mod error;
pub mod faults;
mod gateway;
pub mod iam;
pub mod imds;
mod journal;
pub mod json_protocol;
pub mod query_protocol;
pub mod s3;
mod s3_action;
pub mod sandbox;
pub mod server;
pub mod signature;
pub mod sns;
pub mod sqs;
pub mod state;
pub mod sts;

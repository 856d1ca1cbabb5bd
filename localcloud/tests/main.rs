//! All contract tests of the local cloud, in one binary.

mod ec2;
mod gateway;
mod harness;
mod iam;
mod s3;
mod server;
mod sns;
mod sqs;
mod whole;

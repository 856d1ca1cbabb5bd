//! All contract tests of the local cloud, in one binary.

mod ec2;
mod s3;

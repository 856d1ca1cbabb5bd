//! All contract tests of the local cloud, in one binary.

mod s3;

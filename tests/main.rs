//! One test binary: a file a story.

mod bad_input;
mod harness;
mod whole_job;

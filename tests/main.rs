//! One test binary: a file a story.

mod bad_files;
mod bad_input;
mod bakes;
mod crash_point;
mod crash_sweep;
mod drift;
mod expired;
mod harness;
mod interrupted;
mod launches;
mod vm;
mod whole_job;

//! One test binary: a file a story.

mod archive;
mod bad_files;
mod bad_input;
mod bakes;
mod crash_point;
mod crash_sweep;
mod drift;
mod expired;
mod harness;
mod images;
mod interrupted;
mod launches;
mod lifecycle_bench;
mod teardown_bench;
mod vm;
mod whole_job;

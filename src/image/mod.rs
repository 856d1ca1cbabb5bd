//! The image (AMI) that converts: its recipe and lock, its bake, the manifest and the report of one.

pub mod bake;
mod base;
mod builder;
mod builder_console;
pub mod console;
pub mod copy;
pub mod kept;
pub mod lock;
mod made;
pub mod manifest;
pub mod papers;
pub mod prune;
pub mod recipe;
pub mod report;
pub mod sbom;
pub mod script;
mod signing_window;
pub mod size;
pub mod verify;
pub mod worker_file;

pub use bake::{BakeOptions, Baked, bake, find};
pub use verify::{Verified, verify};

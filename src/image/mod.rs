//! The image (AMI) that converts: its recipe, its bake, the report of one.

pub mod bake;
mod builder;
pub mod console;
pub mod recipe;
pub mod report;
pub mod script;
pub mod worker_file;

pub use bake::{BakeOptions, Baked, bake, find};

//! The conversion service that runs on an instance, and the formats that it speaks.
//!
//! The deployer `muck` imports the formats: [`message`], [`user_data`], [`preset`], [`verdict`]'s
//! names and [`text`].

pub mod dates;
pub mod message;
pub mod preset;
pub mod text;
pub mod user_data;
pub mod verdict;

/// The folder of inputs and outputs in their buckets; the rest of the key is the content's MD5.
pub const MEDIA_PREFIX: &str = "media/";

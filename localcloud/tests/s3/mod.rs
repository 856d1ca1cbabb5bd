//! S3 through the real SDK client, served on a loopback port of its own.

mod access;
mod bodies;
mod buckets;
mod checksums;
mod conditions;
mod listing;
mod model;
mod multipart;
mod objects;
mod rig;
mod survive;
mod versions;

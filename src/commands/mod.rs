//! One file a subcommand: arguments in, domain calls, data out. Thin.

pub mod init;
pub mod local;
pub mod results;
pub mod submit;

//! One file a subcommand: arguments in, domain calls, data out. Thin.

pub mod bake;
pub mod bill;
pub mod completions;
pub mod demo;
pub mod down;
pub mod failed;
pub mod images;
pub mod init;
pub mod launch;
pub mod local;
pub mod logs;
pub mod ls;
pub mod man_pages;
pub mod permissions;
pub mod plan;
pub mod presets;
pub mod results;
pub mod resume;
pub mod run;
pub mod status;
pub mod submit;
pub mod up;

//! Where muck keeps what is its own: the ledger and the local cloud (state), Debian roots (cache).

use std::path::PathBuf;

use etcetera::BaseStrategy;

use crate::error::{Error, Result};

/// The user's state folder for muck: `$MUCK_STATE_DIR`, else `$XDG_STATE_HOME/muck`, else
/// `~/.local/state/muck`. Made if absent.
pub fn state() -> Result<PathBuf> {
    let default = strategy()?.state_dir();
    ready("MUCK_STATE_DIR", default)
}

/// The user's cache folder for muck: `$MUCK_CACHE_DIR`, else `$XDG_CACHE_HOME/muck`, else
/// `~/.cache/muck`. Made if absent; what is in it can be made again.
pub fn cache() -> Result<PathBuf> {
    let default = Some(strategy()?.cache_dir());
    ready("MUCK_CACHE_DIR", default)
}

fn strategy() -> Result<etcetera::base_strategy::Xdg> {
    etcetera::base_strategy::Xdg::new().map_err(|error| {
        Error::failed("no home folder is known")
            .because(error)
            .hint("set HOME")
    })
}

fn ready(variable: &str, default: Option<PathBuf>) -> Result<PathBuf> {
    let folder = match std::env::var_os(variable) {
        Some(value) if !value.is_empty() => PathBuf::from(value),
        _ => default
            .ok_or_else(|| Error::failed("no home folder is known").hint("set HOME"))?
            .join("muck"),
    };
    std::fs::create_dir_all(&folder).map_err(|error| {
        Error::failed(format!("cannot make the folder {}", folder.display()))
            .because(error)
            .hint(format!("set {variable} to a folder that can be written"))
    })?;
    // Children and the local cloud's guests are started from other working folders.
    folder
        .canonicalize()
        .map_err(|error| Error::failed(format!("cannot find {}", folder.display())).because(error))
}

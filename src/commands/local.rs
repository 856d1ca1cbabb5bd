//! `muck local …` and what `--local` means.

use crate::aws::Target;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::event::Events;

/// Finds or starts the local cloud.
pub async fn target(_events: &Events, _config: &mut Config) -> Result<Target> {
    Err(Error::failed("pending"))
}

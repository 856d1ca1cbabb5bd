//! The `DryRun` parameter, which every action takes.

use crate::error::{ApiError, ApiResult};
use crate::query_protocol::Params;

/// Whether the call only asks if it would succeed.
#[derive(Debug, Clone, Copy)]
pub(super) struct DryRun(bool);

impl DryRun {
    pub(super) fn read(params: &Params) -> ApiResult<Self> {
        Ok(Self(params.boolean("DryRun")?.unwrap_or(false)))
    }

    /// To be called last in the transaction of a change: the error that ends a dry run rolls
    /// it back, after every check has been passed.
    ///
    /// # Errors
    /// `DryRunOperation` (HTTP 412) if it is one.
    pub(super) fn end(self) -> ApiResult<()> {
        if self.0 {
            return Err(ApiError::new(
                "DryRunOperation",
                "Request would have succeeded, but DryRun flag is set.",
            )
            .with_status(412));
        }
        Ok(())
    }
}

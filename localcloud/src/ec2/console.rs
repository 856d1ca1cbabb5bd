//! GetConsoleOutput.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::dry_run::DryRun;
use super::{Ec2, ids, iso};
use crate::error::{ApiError, ApiResult};
use crate::query_protocol::{Params, XmlBody};

/// EC2 keeps this much of a console: "the most recent 64 KB".
const LONGEST: usize = 64 * 1024;

impl Ec2 {
    pub(super) async fn get_console_output(
        &self,
        params: &Params,
        dry_run: DryRun,
    ) -> ApiResult<XmlBody> {
        let id = params.required("InstanceId")?;
        // The output here is always the latest.
        params.boolean("Latest")?;
        params.finish()?;
        let now = self.clock.now();
        self.store.transaction(|tx| {
            ids::instance(tx, &id, now)?;
            dry_run.end()
        })?;
        let mut output = self.lifecycle.prelude(&id).into_bytes();
        output.extend(
            self.lifecycle
                .driver
                .console(&id)
                .await
                .map_err(ApiError::internal)?,
        );
        let start = output.len().saturating_sub(LONGEST);
        let mut body = XmlBody::new();
        body.text("instanceId", &id).text("timestamp", iso(now));
        // Nothing printed yet: EC2 leaves the element out.
        if !output.is_empty() {
            body.text("output", STANDARD.encode(&output[start..]));
        }
        Ok(body)
    }
}

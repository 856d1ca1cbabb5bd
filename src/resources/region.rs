//! The regions of the account.

use crate::aws::{Aws, Cause};
use crate::error::{Error, Result};

/// Names of all regions that are enabled for the account, sorted.
pub async fn list_enabled(aws: &Aws) -> Result<Vec<String>> {
    let answer =
        aws.ec2.describe_regions().send().await.map_err(|error| {
            Error::failed("cannot list the regions").because(Cause::from(error))
        })?;
    let mut names: Vec<String> = answer
        .regions
        .unwrap_or_default()
        .into_iter()
        .filter_map(|region| region.region_name)
        .collect();
    names.sort();
    Ok(names)
}

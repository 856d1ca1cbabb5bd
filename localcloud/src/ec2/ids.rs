//! Ids in parameters: their form, and what EC2 says of those that it doesn't know.

use rusqlite::Transaction;

use crate::error::{ApiError, ApiResult};
use crate::state::ec2::{Document, Image, Instance, Snapshot, Volume, get};
use jiff::Timestamp;

/// Whether `id` is `kind-` and 8 or 17 hexadecimal digits (the old and the present length).
fn well_formed(kind: &str, id: &str) -> bool {
    id.strip_prefix(kind)
        .and_then(|rest| rest.strip_prefix('-'))
        .is_some_and(|digits| {
            matches!(digits.len(), 8 | 17)
                && digits
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        })
}

fn check(kind: &str, noun: &str, id: &str) -> ApiResult<()> {
    if well_formed(kind, id) {
        return Ok(());
    }
    Err(ApiError::new(
        format!("{noun}.Malformed"),
        format!("Invalid id: \"{id}\" (expecting \"{kind}-...\")"),
    ))
}

/// The instances with these ids, all or none.
///
/// # Errors
/// `InvalidInstanceID.Malformed`, `InvalidInstanceID.NotFound` naming every one that isn't there.
pub(super) fn instances(
    tx: &Transaction<'_>,
    ids: &[String],
    now: Timestamp,
) -> ApiResult<Vec<Instance>> {
    for id in ids {
        check("i", "InvalidInstanceID", id)?;
    }
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for id in ids {
        match get::<Instance>(tx, id)?.filter(|instance| instance.visible(now)) {
            Some(instance) => found.push(instance),
            None => missing.push(id.as_str()),
        }
    }
    match missing.as_slice() {
        [] => Ok(found),
        [one] => Err(ApiError::new(
            "InvalidInstanceID.NotFound",
            format!("The instance ID '{one}' does not exist"),
        )),
        many => Err(ApiError::new(
            "InvalidInstanceID.NotFound",
            format!("The instance IDs '{}' do not exist", many.join(", ")),
        )),
    }
}

/// One instance.
pub(super) fn instance(tx: &Transaction<'_>, id: &str, now: Timestamp) -> ApiResult<Instance> {
    let mut found = instances(tx, &[id.to_owned()], now)?;
    found
        .pop()
        .ok_or_else(|| ApiError::internal(format!("{id} was found and lost")))
}

/// An image that is registered.
///
/// # Errors
/// `InvalidAMIID.Malformed`, `.NotFound`, or `.Unavailable` if it was deregistered.
pub(super) fn image(tx: &Transaction<'_>, id: &str) -> ApiResult<Image> {
    check("ami", "InvalidAMIID", id)?;
    match get::<Image>(tx, id)? {
        Some(image) if image.deregistered.is_none() => Ok(image),
        Some(_) => Err(ApiError::new(
            "InvalidAMIID.Unavailable",
            format!("The image ID '{id}' is no longer available"),
        )),
        None => Err(ApiError::new(
            "InvalidAMIID.NotFound",
            format!("The image id '[{id}]' does not exist"),
        )),
    }
}

/// A snapshot of this account that isn't deleted.
///
/// # Errors
/// `InvalidSnapshotID.Malformed`, `InvalidSnapshot.NotFound`.
pub(super) fn snapshot(tx: &Transaction<'_>, id: &str) -> ApiResult<Snapshot> {
    check("snap", "InvalidSnapshotID", id)?;
    get::<Snapshot>(tx, id)?
        .filter(|snapshot| !snapshot.deleted && snapshot.owner == crate::account::ACCOUNT)
        .ok_or_else(|| {
            ApiError::new(
                "InvalidSnapshot.NotFound",
                format!("The snapshot '{id}' does not exist."),
            )
        })
}

/// A volume.
///
/// # Errors
/// `InvalidVolumeID.Malformed`, `InvalidVolume.NotFound`.
pub(super) fn volume(tx: &Transaction<'_>, id: &str) -> ApiResult<Volume> {
    check("vol", "InvalidVolumeID", id)?;
    get::<Volume>(tx, id)?
        .filter(|volume| !volume.deleted)
        .ok_or_else(|| {
            ApiError::new(
                "InvalidVolume.NotFound",
                format!("The volume '{id}' does not exist."),
            )
        })
}

/// A row that another row names.
///
/// # Errors
/// `InternalError` if it isn't there.
pub(super) fn known<T: Document>(tx: &Transaction<'_>, id: &str) -> ApiResult<T> {
    get::<T>(tx, id)?.ok_or_else(|| ApiError::internal(format!("{id} is missing in {}", T::TABLE)))
}

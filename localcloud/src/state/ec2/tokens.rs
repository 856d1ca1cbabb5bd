//! Client tokens of RunInstances: the same token and parameters give the same reservation.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension, Transaction, params};

use crate::error::{ApiError, ApiResult};

/// "at least 24 hours after the termination of the instance" was once documented; what was seen
/// of EC2 is about 24 h after the launch, terminated or not.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24);

/// The reservation that `token` made, if it is remembered.
///
/// # Errors
/// `IdempotentParameterMismatch` if it was made with other parameters.
pub fn recall(
    tx: &Transaction<'_>,
    token: &str,
    fingerprint: &str,
    now: Timestamp,
) -> ApiResult<Option<String>> {
    tx.execute(
        "DELETE FROM ec2_client_tokens WHERE created <= ?1",
        [(now - REMEMBERED).as_second()],
    )?;
    let found: Option<(String, String)> = tx
        .query_row(
            "SELECT fingerprint, reservation FROM ec2_client_tokens WHERE token = ?1",
            [token],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    match found {
        None => Ok(None),
        Some((known, reservation)) if known == fingerprint => Ok(Some(reservation)),
        Some(_) => Err(ApiError::new(
            "IdempotentParameterMismatch",
            "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
        )),
    }
}

/// Remembers what `token` made.
pub fn remember(
    tx: &Transaction<'_>,
    token: &str,
    fingerprint: &str,
    reservation: &str,
    now: Timestamp,
) -> ApiResult<()> {
    tx.execute(
        "INSERT INTO ec2_client_tokens (token, fingerprint, reservation, created) VALUES (?1, ?2, ?3, ?4)",
        params![token, fingerprint, reservation, now.as_second()],
    )?;
    Ok(())
}

//! Client tokens: the same action, token and parameters give the same reservation or image again.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension, Transaction, params};

use crate::error::{ApiError, ApiResult};

/// "at least 24 hours after the termination of the instance" was once documented; what was seen
/// of EC2 is about 24 h after the launch, terminated or not.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24);

/// A call that may be a repetition.
#[derive(Debug, Clone, Copy)]
pub struct Token<'a> {
    /// Tokens of different actions don't meet.
    pub action: &'a str,
    pub token: &'a str,
    /// A digest over the call's other parameters.
    pub fingerprint: &'a str,
}

/// The id of what the token made (a reservation, an image), if it is remembered.
///
/// # Errors
/// `IdempotentParameterMismatch` if it was made with other parameters.
pub fn recall(tx: &Transaction<'_>, token: Token<'_>, now: Timestamp) -> ApiResult<Option<String>> {
    tx.execute(
        "DELETE FROM ec2_client_tokens WHERE created <= ?1",
        [(now - REMEMBERED).as_second()],
    )?;
    let found: Option<(String, String)> = tx
        .query_row(
            "SELECT fingerprint, made FROM ec2_client_tokens WHERE action = ?1 AND token = ?2",
            [token.action, token.token],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    match found {
        None => Ok(None),
        Some((known, made)) if known == token.fingerprint => Ok(Some(made)),
        Some(_) => Err(ApiError::new(
            "IdempotentParameterMismatch",
            "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
        )),
    }
}

/// Remembers what the token made.
pub fn remember(
    tx: &Transaction<'_>,
    token: Token<'_>,
    made: &str,
    now: Timestamp,
) -> ApiResult<()> {
    tx.execute(
        "INSERT INTO ec2_client_tokens (action, token, fingerprint, made, created)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            token.action,
            token.token,
            token.fingerprint,
            made,
            now.as_second()
        ],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::state::Store;

    #[test]
    fn a_token_is_remembered_for_a_day_by_action_and_parameters() {
        let store = Store::in_memory().unwrap();
        let clock = ManualClock::new("2026-01-02T03:04:05Z".parse().unwrap());
        let token = Token {
            action: "RunInstances",
            token: "t",
            fingerprint: "f",
        };
        let recall = |token: Token<'_>| store.transaction(|tx| recall(tx, token, clock.now()));
        assert_eq!(recall(token).unwrap(), None);
        store
            .transaction(|tx| remember(tx, token, "r-1", clock.now()))
            .unwrap();
        clock.advance(REMEMBERED - SignedDuration::from_secs(1));
        assert_eq!(recall(token).unwrap().as_deref(), Some("r-1"));
        let other = Token {
            fingerprint: "g",
            ..token
        };
        assert_eq!(
            recall(other).unwrap_err().code,
            "IdempotentParameterMismatch"
        );
        let elsewhere = Token {
            action: "CopyImage",
            ..other
        };
        assert_eq!(recall(elsewhere).unwrap(), None);
        clock.advance(SignedDuration::from_secs(1));
        assert_eq!(recall(other).unwrap(), None);
    }
}

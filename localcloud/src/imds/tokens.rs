//! Session tokens of one instance's metadata service.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use jiff::{SignedDuration, Timestamp};

/// The longest life of a token, in seconds: six hours.
pub(super) const LONGEST: u32 = 21_600;

/// Random bytes of a token; real ones are 56 characters of base64.
const LENGTH: usize = 42;

/// Tokens kept at once; a guest that asks without end gets the oldest forgotten.
const KEPT: usize = 10_000;

/// What was issued, with the end of each.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<String, Timestamp>>);

impl Tokens {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new token for `seconds`, 1 to [`LONGEST`].
    pub(super) fn issue(&self, seconds: u32, now: Timestamp) -> String {
        let bytes: [u8; LENGTH] = rand::random();
        let token = URL_SAFE.encode(bytes);
        let mut tokens = self.lock();
        if tokens.len() >= KEPT {
            tokens.retain(|_, end| *end > now);
        }
        if tokens.len() >= KEPT
            && let Some(oldest) = tokens
                .iter()
                .min_by_key(|(_, end)| **end)
                .map(|(token, _)| token.clone())
        {
            tokens.remove(&oldest);
        }
        tokens.insert(
            token.clone(),
            now + SignedDuration::from_secs(seconds.into()),
        );
        token
    }

    pub(super) fn is_valid(&self, token: &str, now: Timestamp) -> bool {
        self.lock().get(token).is_some_and(|end| *end > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_lives_its_time() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let tokens = Tokens::default();
        let token = tokens.issue(60, now);
        assert_eq!(token.len(), 56);
        assert!(tokens.is_valid(&token, now + SignedDuration::from_secs(59)));
        assert!(!tokens.is_valid(&token, now + SignedDuration::from_secs(60)));
        assert!(!tokens.is_valid("other", now));
        assert_ne!(token, tokens.issue(60, now));
    }

    #[test]
    fn a_greedy_guest_costs_bounded_memory() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let tokens = Tokens::default();
        for _ in 0..KEPT + 10 {
            tokens.issue(LONGEST, now);
        }
        assert_eq!(tokens.lock().len(), KEPT);
    }
}

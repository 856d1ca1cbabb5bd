//! How long the credentials last, whether that is enough for what is planned, and what to do about profiles that the SDK cannot
//! use.

use std::time::SystemTime;

use aws_config::profile::ProfileSet;
use aws_credential_types::Credentials;
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_types::os_shim_internal::{Env, Fs};
use jiff::{RoundMode, SignedDuration, SignedDurationRound, Timestamp, Unit};

use crate::error::{Error, Result};

/// End of the session in the environment, RFC 3339; `aws configure export-credentials --format env` writes it.
const EXPIRATION_VARIABLE: &str = "AWS_CREDENTIAL_EXPIRATION";
/// The same in a profile, as the tools write it that fill the credentials file: saml2aws and gimme-aws-creds,
/// aws-azure-login and aws-mfa.
const EXPIRATION_KEYS: [&str; 3] = ["x_security_token_expires", "aws_expiration", "expiration"];

/// How long credentials last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialLife {
    /// Long-term keys, or a provider that fetches new ones in time.
    Renewed,
    /// A session token that was copied here: nothing renews it. `None`: nothing states its end.
    Fixed(Option<Timestamp>),
}

impl CredentialLife {
    /// Every provider that can renew its credentials states when they expire; a session token without that stands in the
    /// environment or in a profile.
    pub(super) async fn of(credentials: &Credentials) -> Self {
        let Some(token) = credentials.session_token() else {
            return Self::Renewed;
        };
        if credentials.expiry().is_some() {
            return Self::Renewed;
        }
        let stated = if std::env::var("AWS_SESSION_TOKEN").is_ok_and(|own| own.trim() == token) {
            std::env::var(EXPIRATION_VARIABLE).ok()
        } else {
            profile_key(&EXPIRATION_KEYS).await
        };
        Self::Fixed(stated.and_then(|text| parse_time(&text)))
    }

    /// Refuses credentials that end before `command` does. Those of which no end is known pass: the answer says so.
    ///
    /// # Errors
    /// How long is left, how long is needed, and what to do.
    pub fn require(self, needed: SignedDuration, command: &str, now: Timestamp) -> Result<Known> {
        let end = match self {
            Self::Renewed => return Ok(Known::Lasts),
            Self::Fixed(None) => return Ok(Known::EndUnknown),
            Self::Fixed(Some(end)) => end,
        };
        let left = end.duration_since(now);
        if left >= needed {
            return Ok(Known::Lasts);
        }
        let what = if left <= SignedDuration::ZERO {
            "the AWS session token has expired".to_owned()
        } else {
            format!(
                "the AWS session token expires in {} and nothing renews it, but {command} may need it for {}",
                in_words(left),
                in_words(needed)
            )
        };
        Err(Error::failed(what)
            .hint("nothing has been created: without credentials it could not be removed")
            .hint(format!(
                "use a profile that renews itself (`aws login`, `aws sso login`, a role), or a session of at least {}: \
                 aws sts get-session-token --duration-seconds {}",
                in_words(needed),
                needed.as_secs()
            )))
    }
}

/// What is known of credentials that were not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    Lasts,
    /// A session token whose end is stated nowhere.
    EndUnknown,
}

impl Known {
    /// A sentence for the user, if there is reason for one.
    pub fn warning(self) -> Option<String> {
        (self == Self::EndUnknown).then(|| {
            format!(
                "the AWS session token does not say when it expires: if that is during this command, what it created \
                 remains until its own expiry; set {EXPIRATION_VARIABLE} to have this checked"
            )
        })
    }
}

/// How long from now until `end`.
pub(super) fn left(end: SystemTime, now: Timestamp) -> SignedDuration {
    Timestamp::try_from(end).map_or(SignedDuration::MAX, |end| end.duration_since(now))
}

/// E.g. `1h 20m`; seconds only where there are no minutes.
pub fn in_words(duration: SignedDuration) -> String {
    let unit = if duration.abs() < SignedDuration::from_mins(2) {
        Unit::Second
    } else {
        Unit::Minute
    };
    let rounding = SignedDurationRound::new()
        .smallest(unit)
        .mode(RoundMode::Trunc);
    format!("{:#}", duration.round(rounding).unwrap_or(duration))
}

/// RFC 3339, or as aws-mfa writes it: `2026-01-02 03:04:05`, in UTC.
fn parse_time(text: &str) -> Option<Timestamp> {
    text.trim().parse().ok().or_else(|| {
        let civil: jiff::civil::DateTime = text.trim().parse().ok()?;
        let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(zoned.timestamp())
    })
}

async fn profiles() -> Option<ProfileSet> {
    aws_config::profile::load(&Fs::real(), &Env::real(), &EnvConfigFiles::default(), None)
        .await
        .ok()
}

async fn profile_key(keys: &[&str]) -> Option<String> {
    let profiles = profiles().await?;
    let profile = profiles.get_profile(profiles.selected_profile())?;
    keys.iter()
        .find_map(|key| profile.get(key))
        .map(ToOwned::to_owned)
}

/// Adds the way out where the selected profile asks for a code of an MFA device, which the SDK ignores.
pub(super) async fn explain_mfa(error: Error) -> Error {
    if profile_key(&["mfa_serial"]).await.is_none() {
        return error;
    }
    let name = profiles()
        .await
        .map(|profiles| profiles.selected_profile().to_owned())
        .unwrap_or_default();
    error
        .hint(format!(
            "the profile {name} asks for an MFA code (mfa_serial), and muck cannot ask for one: let the AWS CLI do it, \
             eval \"$(aws configure export-credentials --profile {name} --format env)\""
        ))
        .hint("or: aws sts get-session-token --serial-number DEVICE-ARN --token-code CODE")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().expect("time")
    }

    fn fixed(minutes: i64) -> CredentialLife {
        CredentialLife::Fixed(Some(now() + SignedDuration::from_mins(minutes)))
    }

    const RUN: SignedDuration = SignedDuration::from_hours(12);

    #[test]
    fn a_session_that_ends_too_early_is_refused_with_what_is_left() {
        let error = fixed(22)
            .require(RUN, "`muck run`", now())
            .expect_err("too short");
        assert_eq!(
            error.to_string(),
            "the AWS session token expires in 22m and nothing renews it, but `muck run` may need it for 12h"
        );
        assert!(
            error.hints()[1].contains("--duration-seconds 43200"),
            "{:?}",
            error.hints()
        );
        let error = fixed(-1)
            .require(RUN, "`muck run`", now())
            .expect_err("over");
        assert_eq!(error.to_string(), "the AWS session token has expired");
        assert_eq!(
            fixed(720).require(RUN, "x", now()).expect("fits"),
            Known::Lasts
        );
    }

    #[test]
    fn what_renews_itself_passes_and_an_unknown_end_is_reported() {
        let known = CredentialLife::Renewed
            .require(RUN, "x", now())
            .expect("passes");
        assert_eq!(known.warning(), None);
        let known = CredentialLife::Fixed(None)
            .require(RUN, "x", now())
            .expect("passes");
        assert!(
            known
                .warning()
                .is_some_and(|text| text.contains(EXPIRATION_VARIABLE))
        );
    }

    #[tokio::test]
    async fn only_a_token_without_a_provider_is_fixed() {
        let credentials = |token: Option<&str>, expiry| {
            Credentials::new("id", "secret", token.map(ToOwned::to_owned), expiry, "test")
        };
        let later = Some(SystemTime::now() + std::time::Duration::from_mins(1));
        for (token, expiry, wanted) in [
            (None, None, CredentialLife::Renewed),
            (Some("token"), later, CredentialLife::Renewed),
            (
                Some("token of no environment"),
                None,
                CredentialLife::Fixed(None),
            ),
        ] {
            assert_eq!(
                CredentialLife::of(&credentials(token, expiry)).await,
                wanted
            );
        }
    }

    #[test]
    fn times_of_all_writers_are_read() {
        for text in [
            "2026-01-02T03:04:05Z",
            "2026-01-02T04:04:05+01:00",
            "2026-01-02 03:04:05",
        ] {
            assert_eq!(parse_time(text), Some(now()), "{text}");
        }
        assert_eq!(parse_time("soon"), None);
    }
}

//! Presigned URLs end with the session that signed them: who signs, and how long an instance has that depends on them.

use std::time::Duration;

use aws_credential_types::Credentials;
use jiff::SignedDuration;

use crate::aws::credentials::in_words;
use crate::cloud::Cloud;
use crate::error::{Error, Result};

/// A builder reports this long before the session ends that signed its URLs: its upload takes a moment, and clocks differ.
const SIGNER_MARGIN: Duration = Duration::from_mins(1);
/// Shorter, and a builder would hardly have installed its packages; baking takes 2 to 5 min.
const LEAST_BUILD: Duration = Duration::from_mins(6);

/// Who signs the builder's URLs, and how long the builder has. A presigned URL ends with the session that signed it, whatever
/// time it states itself.
pub(super) struct SigningWindow {
    pub signer: Credentials,
    pub deadline: Duration,
}

impl SigningWindow {
    /// # Errors
    /// If the session ends before a builder can have reported.
    pub(super) async fn open(cloud: &Cloud, deadline: Duration) -> Result<Self> {
        let (signer, left) = cloud.aws.newest_credentials().await?;
        let possible = builder_time(deadline, left)?;
        if possible < deadline {
            cloud.events.warn(format!(
                "the builder has {} min instead of {}: its presigned URLs end with the AWS session that signs them",
                possible.as_secs() / 60,
                deadline.as_secs() / 60
            ));
        }
        Ok(Self {
            signer,
            deadline: possible,
        })
    }
}

/// The same time; the longest there is, if it is longer.
pub(super) fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// The builder's time if the credentials that sign for it last for `left`.
fn builder_time(deadline: Duration, left: Option<SignedDuration>) -> Result<Duration> {
    let Some(left) = left else {
        return Ok(deadline);
    };
    let usable = left.saturating_sub(signed(SIGNER_MARGIN));
    if usable >= signed(deadline.min(LEAST_BUILD)) {
        return Ok(deadline.min(usable.unsigned_abs()));
    }
    Err(Error::failed(format!(
        "the AWS session ends in {}, and with it the presigned URLs by which a builder fetches the worker and reports: too early for a bake",
        in_words(left.max(SignedDuration::ZERO))
    ))
    .hint(format!(
        "begin a new session (`aws login`, `aws sso login`), best one that lasts over {} min (builder.deadline in image.toml, and some)",
        (deadline + SIGNER_MARGIN).as_secs() / 60
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_builder_has_no_longer_than_its_urls() {
        let minutes = Duration::from_mins;
        let left = |minutes| Some(SignedDuration::from_mins(minutes));
        for (deadline, left, wanted) in [
            (30, None, 30),
            (30, left(31), 30),
            (30, left(15), 14),
            (30, left(7), 6),
            (3, left(4), 3),
        ] {
            let time = builder_time(minutes(deadline), left).expect("enough");
            assert_eq!(time, minutes(wanted), "{deadline} {left:?}");
        }
        let error = builder_time(minutes(30), left(5)).expect_err("too short");
        assert!(error.to_string().contains("ends in 5m"), "{error}");
        assert!(
            error.hints()[0].contains("over 31 min"),
            "{:?}",
            error.hints()
        );
        assert!(builder_time(minutes(30), left(-5)).is_err());
    }
}

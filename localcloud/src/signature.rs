//! Who signed this request? SigV4 of SQS, EC2, IAM, STS and SNS calls (S3 has its own in `s3s`).
//!
//! The signature is made again by the official signer from what the request says it signed, and
//! compared in constant time.

mod authorization;

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SessionTokenMode, SignableBody, SignableRequest, SigningParams, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use http::HeaderMap;
use http::request::Parts;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use subtle::ConstantTimeEq as _;

pub use authorization::Authorization;
use authorization::incomplete;

use crate::account::REGION;
use crate::caller::Caller;
use crate::error::{ApiError, ApiResult};
use crate::state::Store;
use crate::state::iam::find_key;

/// How far a caller's clock may be off, either way: 15 min, AWS's own rule.
const LARGEST_SKEW: Duration = Duration::from_mins(15);

/// IAM and STS are global services; clients that know so sign for this region of the AWS partition.
const GLOBAL_REGION: &str = "us-east-1";

/// How a service names authentication errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// IAM, STS, SNS.
    Query,
    /// EC2.
    Ec2,
    /// SQS.
    Json,
}

/// No signature at all.
pub fn missing(dialect: Dialect) -> ApiError {
    let code = match dialect {
        Dialect::Query | Dialect::Ec2 => "MissingAuthenticationToken",
        Dialect::Json => "MissingAuthenticationTokenException",
    };
    ApiError::new(code, "Request is missing Authentication Token").with_status(403)
}

/// Verifies a request whose body is all here.
///
/// # Errors
/// As AWS names them for the service: unknown key, expired token, wrong signature, clock too far off; and
/// a refusal of other regions.
pub fn verify(
    store: &Store,
    now: Timestamp,
    dialect: Dialect,
    authorization: &Authorization,
    parts: &Parts,
    body: &[u8],
) -> ApiResult<Caller> {
    check_region(authorization)?;
    let key = find_key(store, &authorization.access_key_id)?.ok_or_else(|| unknown_key(dialect))?;

    // A temporary key is only valid with its token, and a lasting one only without.
    let token = header(&parts.headers, "x-amz-security-token")?;
    let token_is_right: bool = match (&key.session_token, token) {
        (None, None) => true,
        (Some(kept), Some(sent)) => kept.as_bytes().ct_eq(sent.as_bytes()).into(),
        _ => false,
    };
    if !token_is_right {
        return Err(unknown_key(dialect));
    }

    let signed_at = signing_time(&parts.headers, &authorization.date)?;
    let again = signature_again(
        authorization,
        &key.secret_access_key,
        key.session_token.as_deref(),
        signed_at,
        parts,
        body,
    )?;
    if !bool::from(again.as_bytes().ct_eq(authorization.signature.as_bytes())) {
        return Err(mismatch(
            dialect,
            "The request signature we calculated does not match the signature you provided. \
             Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
        ));
    }
    check_time(dialect, signed_at, now)?;
    if key.expires.is_some_and(|expires| expires <= now) {
        let code = match dialect {
            Dialect::Query => "ExpiredToken",
            Dialect::Ec2 => "RequestExpired",
            Dialect::Json => "ExpiredTokenException",
        };
        return Err(ApiError::new(
            code,
            "The security token included in the request is expired",
        )
        .with_status(403));
    }
    Ok(Caller::of(key.principal, &key.access_key_id))
}

fn check_region(authorization: &Authorization) -> ApiResult<()> {
    let global = matches!(authorization.service.as_str(), "iam" | "sts");
    if authorization.region == REGION || (global && authorization.region == GLOBAL_REGION) {
        return Ok(());
    }
    Err(ApiError::new(
        "SignatureDoesNotMatch",
        format!(
            "Credential should be scoped to a valid region: this is the local cloud {REGION}, \
             the request is signed for '{}'. Set AWS_REGION={REGION}.",
            authorization.region
        ),
    )
    .with_status(403))
}

fn unknown_key(dialect: Dialect) -> ApiError {
    match dialect {
        Dialect::Query => ApiError::new(
            "InvalidClientTokenId",
            "The security token included in the request is invalid.",
        )
        .with_status(403),
        Dialect::Ec2 => ApiError::new(
            "AuthFailure",
            "AWS was not able to validate the provided access credentials",
        )
        .with_status(401),
        Dialect::Json => ApiError::new(
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        )
        .with_status(403),
    }
}

fn mismatch(dialect: Dialect, why: &str) -> ApiError {
    match dialect {
        // EC2 gives one code for all of these.
        Dialect::Ec2 => ApiError::new("AuthFailure", why).with_status(401),
        Dialect::Query => ApiError::new("SignatureDoesNotMatch", why).with_status(403),
        Dialect::Json => ApiError::new("InvalidSignatureException", why).with_status(403),
    }
}

/// `X-Amz-Date`, of the day that the credential scope names.
fn signing_time(headers: &HeaderMap, scope_date: &str) -> ApiResult<Timestamp> {
    let text = header(headers, "x-amz-date")?.ok_or_else(|| {
        incomplete("Authorization header requires existence of an 'X-Amz-Date' header.")
    })?;
    if !text.starts_with(scope_date) {
        return Err(ApiError::new(
            "SignatureDoesNotMatch",
            format!("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{scope_date}' != '{text}'"),
        )
        .with_status(403));
    }
    DateTime::strptime("%Y%m%dT%H%M%SZ", text)
        .and_then(|time| time.to_zoned(TimeZone::UTC))
        .map(|time| time.timestamp())
        .map_err(|_| {
            incomplete(&format!(
                "Date must be in ISO-8601 'basic format'. Got '{text}'. See http://en.wikipedia.org/wiki/ISO_8601"
            ))
        })
}

fn check_time(dialect: Dialect, signed_at: Timestamp, now: Timestamp) -> ApiResult<()> {
    let skew = now.duration_since(signed_at).unsigned_abs();
    if skew <= LARGEST_SKEW {
        return Ok(());
    }
    let why = format!(
        "Signature expired or not yet current: {signed_at} is {} s away from {now}; 15 minutes are allowed. Check this machine's clock.",
        skew.as_secs()
    );
    Err(match dialect {
        Dialect::Ec2 => ApiError::new("RequestExpired", why),
        Dialect::Query | Dialect::Json => mismatch(dialect, &why),
    })
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> ApiResult<Option<&'a str>> {
    headers
        .get(name)
        .map(|value| {
            value
                .to_str()
                .map_err(|_| incomplete(&format!("The header {name} is not ASCII.")))
        })
        .transpose()
}

/// The signature that the holder of `secret` makes of this request.
fn signature_again(
    authorization: &Authorization,
    secret: &str,
    token: Option<&str>,
    signed_at: Timestamp,
    parts: &Parts,
    body: &[u8],
) -> ApiResult<String> {
    let signed = |name: &str| authorization.signed_headers.iter().any(|h| h == name);
    // What steers the call must be signed: else a captured signature serves another action.
    for needed in ["host", "x-amz-date", "x-amz-target"] {
        if parts.headers.contains_key(needed) && !signed(needed) {
            return Err(incomplete(&format!(
                "'{needed}' must be a 'SignedHeader' in the AWS Authorization."
            )));
        }
    }
    let mut headers = Vec::new();
    for name in &authorization.signed_headers {
        // The signer adds these itself.
        if matches!(name.as_str(), "x-amz-date" | "x-amz-security-token") {
            continue;
        }
        for value in parts.headers.get_all(name) {
            let value = value
                .to_str()
                .map_err(|_| incomplete(&format!("The signed header {name} is not ASCII.")))?;
            headers.push((name.as_str(), value));
        }
    }
    let host = header(&parts.headers, "host")?.unwrap_or_default();
    let target = parts
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());

    let mut settings = SigningSettings::default();
    // The header itself says what was signed.
    settings.excluded_headers = None;
    settings.session_token_mode = if signed("x-amz-security-token") {
        SessionTokenMode::Include
    } else {
        SessionTokenMode::Exclude
    };
    let identity = Credentials::new(
        authorization.access_key_id.as_str(),
        secret,
        token.map(str::to_owned),
        None,
        "localcloud",
    )
    .into();
    let params: SigningParams<'_> = v4::SigningParams::builder()
        .identity(&identity)
        .region(&authorization.region)
        .name(&authorization.service)
        .time(SystemTime::from(signed_at))
        .settings(settings)
        .build()
        .map_err(ApiError::internal)?
        .into();
    let request = SignableRequest::new(
        parts.method.as_str(),
        format!("http://{host}{target}"),
        headers.into_iter(),
        SignableBody::Bytes(body),
    )
    .map_err(|error| incomplete(&format!("The request can't be canonicalised: {error}")))?;
    let output = sign(request, &params)
        .map_err(|error| incomplete(&format!("The request can't be canonicalised: {error}")))?;
    Ok(output.signature().to_owned())
}

#[cfg(test)]
mod tests;

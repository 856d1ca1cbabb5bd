//! The `Authorization` header of SigV4.

use http::HeaderMap;

use crate::error::{ApiError, ApiResult};

/// The parts of an `Authorization: AWS4-HMAC-SHA256 …` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    pub access_key_id: String,
    /// `20260102`
    pub date: String,
    pub region: String,
    /// `sqs`
    pub service: String,
    /// Lower-case names.
    pub(super) signed_headers: Vec<String>,
    pub(super) signature: String,
}

impl Authorization {
    /// # Errors
    /// `IncompleteSignature`, saying what is missing.
    pub fn parse(header: &str) -> ApiResult<Self> {
        let rest = header.strip_prefix("AWS4-HMAC-SHA256").ok_or_else(|| {
            incomplete("Unsupported AWS 'algorithm'; the local cloud takes AWS4-HMAC-SHA256")
        })?;
        let part = |name: &str| {
            rest.split(',')
                .map(str::trim)
                .find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
                .ok_or_else(|| {
                    incomplete(&format!(
                        "Authorization header requires '{name}' parameter."
                    ))
                })
        };
        let credential = part("Credential")?;
        let fields: Vec<&str> = credential.split('/').collect();
        let [access_key_id, date, region, service, "aws4_request"] = fields[..] else {
            return Err(incomplete(&format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{credential}'"
            )));
        };
        Ok(Self {
            access_key_id: access_key_id.to_owned(),
            date: date.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            signed_headers: part("SignedHeaders")?
                .split(';')
                .map(str::to_lowercase)
                .collect(),
            signature: part("Signature")?.to_owned(),
        })
    }

    /// From a request's headers, if it has such a header.
    ///
    /// # Errors
    /// As [`Authorization::parse`].
    pub fn from_headers(headers: &HeaderMap) -> ApiResult<Option<Self>> {
        headers
            .get(http::header::AUTHORIZATION)
            .map(|value| {
                let value = value
                    .to_str()
                    .map_err(|_| incomplete("The Authorization header is not ASCII."))?;
                Self::parse(value)
            })
            .transpose()
    }
}

/// A header that is missing or can't be understood.
pub(super) fn incomplete(why: &str) -> ApiError {
    ApiError::new("IncompleteSignature", why)
}

//! The forms of IAM's names and paths.

use crate::error::{ApiError, ApiResult};
use crate::query_protocol::Params;

/// `ValidationError` in IAM's words.
pub(super) fn invalid(field: &str, value: &str, constraint: &str) -> ApiError {
    ApiError::new(
        "ValidationError",
        format!(
            "1 validation error detected: Value '{value}' at '{field}' failed to satisfy constraint: {constraint}"
        ),
    )
}

/// A name of a role (at most 64), profile or policy (at most 128): letters, digits and `_+=,.@-`.
pub(super) fn name(params: &Params, parameter: &str, longest: usize) -> ApiResult<String> {
    let name = params.required(parameter)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if name.is_empty() || name.len() > longest || !name.chars().all(allowed) {
        return Err(invalid(
            parameter,
            &name,
            &format!(
                "Member must be 1 to {longest} letters, digits and the characters _+=,.@- ([\\w+=,.@-]+)"
            ),
        ));
    }
    Ok(name)
}

/// A path: `/`, or a run of visible ASCII that begins and ends with `/`, at most 512 long.
pub(super) fn path(params: &Params) -> ApiResult<String> {
    let path = params.optional("Path").unwrap_or_else(|| "/".to_owned());
    if !path.starts_with('/')
        || !path.ends_with('/')
        || path.len() > 512
        || !path.bytes().all(|byte| (0x21..=0x7e).contains(&byte))
    {
        return Err(invalid(
            "path",
            &path,
            "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.",
        ));
    }
    Ok(path)
}

/// The beginning of a path by which lists are filtered.
pub(super) fn path_prefix(params: &Params) -> ApiResult<String> {
    let prefix = params
        .optional("PathPrefix")
        .unwrap_or_else(|| "/".to_owned());
    if !prefix.starts_with('/') {
        return Err(invalid("pathPrefix", &prefix, "Member must begin with /"));
    }
    Ok(prefix)
}

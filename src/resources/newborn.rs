//! Things so new that not all of EC2's servers have heard of them.

use crate::aws::Cause;

/// What a search found, where the error `unknown` means that the server asked has not heard of the thing
/// yet: as good as not listed. For searches of what was just made; a list that decides what is left over
/// must not take an error for an empty list.
pub(super) fn unknown_is_unlisted<T>(
    found: Result<Vec<T>, Cause>,
    unknown: &str,
) -> Result<Vec<T>, Cause> {
    match found {
        Err(cause) if cause.is(unknown) => Ok(Vec::new()),
        found => found,
    }
}

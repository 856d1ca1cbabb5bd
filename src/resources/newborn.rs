//! Things so new that not all of EC2's servers have heard of them.

use std::time::Duration;

use crate::aws::Cause;

/// EC2 may not know a thing that it has just made; its documentation of eventual consistency and other tools'
/// experience say minutes at worst. After this long, unknown means gone.
pub(super) const NEWBORN: Duration = Duration::from_mins(1);

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

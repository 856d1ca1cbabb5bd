//! Leave to delete users' data.

use crate::error::Result;

/// Proof that the user agreed to the deletion. It cannot be made by accident: whoever deletes
/// needs one, and the compiler says so.
#[derive(Debug)]
pub struct Confirmed(());

impl Confirmed {
    /// The user was asked; `answer` is an error unless the answer was yes.
    pub fn by_answer(answer: Result<()>) -> Result<Self> {
        answer.map(|()| Self(()))
    }

    /// The user said `--yes`.
    pub fn by_flag() -> Self {
        Self(())
    }

    /// The stack was made for one run by somebody who agreed to its end at the time that has passed:
    /// its tags say so.
    pub fn by_expiry() -> Self {
        Self(())
    }

    /// For a stack that this very process made, in which everything is a copy of what the user
    /// has on disk: running the whole job at once is the agreement.
    pub fn for_own_stack() -> Self {
        Self(())
    }
}

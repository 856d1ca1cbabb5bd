//! The one boundary where anything that went wrong becomes a sentence for a person and an exit code.

use std::error::Error as StdError;
use std::fmt;

/// What kind of failure it was; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Something failed (exit 1).
    Failed,
    /// The command was typed wrongly, or its configuration is wrong (exit 2).
    Usage,
    /// `muck plan` found something to do (exit 3).
    ChangesPending,
    /// The batch ended, but some of its jobs failed (exit 4).
    SomeJobsFailed,
    /// After `muck down` something is left (exit 5).
    LeftBehind,
    /// Ctrl-C or SIGTERM (exit 130).
    Interrupted,
}

impl Kind {
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::ChangesPending => 3,
            Self::SomeJobsFailed => 4,
            Self::LeftBehind => 5,
            Self::Interrupted => 130,
        }
    }
}

/// What failed, on which thing, why (the sources), and what to do next (the hints).
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    hints: Vec<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hints: Vec::new(),
            source: None,
        }
    }

    /// `what` failed: name the thing, e.g. `cannot create queue muck-demo-input`.
    pub fn failed(what: impl Into<String>) -> Self {
        Self::new(Kind::Failed, what)
    }

    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Kind::Usage, what)
    }

    /// The cause, printed after the message. `Display` of this error never repeats it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What the user can do next; an imperative sentence.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    #[must_use]
    pub fn with_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// The message and its causes in one line, `message: cause: deeper cause`.
    pub fn chain(&self) -> String {
        let mut text = self.message.clone();
        let mut next = self.source();
        while let Some(cause) = next {
            let cause_text = cause.to_string();
            // Some foreign errors repeat their source in their own text.
            if !text.ends_with(&cause_text) {
                text.push_str(": ");
                text.push_str(&cause_text);
            }
            next = cause.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_tells_each_cause_once() {
        let root = std::io::Error::other("disk on fire");
        let error = Error::failed("cannot write log.csv")
            .because(Error::failed("cannot flush").because(root))
            .hint("free some space");
        assert_eq!(
            error.chain(),
            "cannot write log.csv: cannot flush: disk on fire"
        );
        assert_eq!(error.to_string(), "cannot write log.csv");
    }

    #[test]
    fn exit_codes_are_the_documented_ones() {
        let codes = [
            Kind::Failed,
            Kind::Usage,
            Kind::ChangesPending,
            Kind::SomeJobsFailed,
            Kind::LeftBehind,
            Kind::Interrupted,
        ]
        .map(Kind::exit_code);
        assert_eq!(codes, [1, 2, 3, 4, 5, 130]);
    }
}

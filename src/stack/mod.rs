//! The stack: inventory → plan (pure) → apply, and teardown.

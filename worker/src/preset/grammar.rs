//! Which ffmpeg arguments a preset may have.
//!
//! A list of what is allowed, not of what is forbidden: ffmpeg has hundreds of options, and many
//! of them name files (`-pass`, `-vf movie=…`, `-x264-params stats=…`, `-f tee`, and from version 7
//! `-/option` and `filter=/option=`, which read a value from a file). Each option, encoder
//! parameter and filter here is named with the kind of its value, and no kind has a form in which a path,
//! a URL or a further output can be written.

mod expression;
mod filters;
mod options;
mod values;

pub(super) use expression::SECONDS;
use options::kind;

/// An argument that a preset can't have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    #[error("`{0}` stands where an option is expected; the program places input and output itself")]
    NotAnOption(String),
    #[error("the option `{0}` is not among those that a preset may use")]
    UnknownOption(String),
    #[error("the option `{0}` needs a value")]
    NoValue(String),
    #[error("the option `{option}` can't have the value `{value}`: {why}")]
    Value {
        option: String,
        value: String,
        why: String,
    },
}

/// Checks a preset's arguments.
///
/// # Errors
/// [`ArgumentError`] for the first that isn't allowed.
pub(super) fn check(args: &[String]) -> Result<(), ArgumentError> {
    let shown = |text: &str| crate::text::printable_short(text, 100);
    let mut words = args.iter();
    while let Some(option) = words.next() {
        if !option.starts_with('-') || option.len() < 2 {
            return Err(ArgumentError::NotAnOption(shown(option)));
        }
        let (name, specifier) = match option.split_once(':') {
            Some((name, specifier)) => (name, Some(specifier)),
            None => (option.as_str(), None),
        };
        let kind = kind(name, specifier)
            .filter(|_| specifier.is_none_or(values::is_stream))
            .ok_or_else(|| ArgumentError::UnknownOption(shown(option)))?;
        if matches!(kind, values::Kind::Flag) {
            continue;
        }
        let value = words
            .next()
            .ok_or_else(|| ArgumentError::NoValue(shown(option)))?;
        values::check(kind, value).map_err(|why| ArgumentError::Value {
            option: shown(option),
            value: shown(value),
            why,
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod reaching_out;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(super) use properties::check_reaches_no_file;

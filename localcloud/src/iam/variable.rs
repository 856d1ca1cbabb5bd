//! Policy variables, `${aws:PrincipalAccount}`: keys of the request in resources and condition values.

use super::condition::Context;

/// Puts the request's values in the place of variables.
///
/// # Errors
/// The variable that isn't understood: a key that the request has not, or not just one plain value of; the
/// escapes `${*}`, `${?}` and `${$}`; a default.
pub(super) fn expand(text: &str, context: &Context) -> Result<String, String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (key, after) = after
            .split_once('}')
            .ok_or_else(|| format!("the unfinished policy variable in {text}"))?;
        match context.get(key) {
            // A star in a value is a star, and patterns here have no escape for it.
            [value] if !value.contains(['*', '?', '$']) => {
                expanded.push_str(before);
                expanded.push_str(value);
            }
            _ => {
                return Err(format!(
                    "the policy variable {key} in {text} (the request has no such key with one plain value)"
                ));
            }
        }
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::ACCOUNT;

    #[test]
    fn keys_of_the_request_are_put_in() {
        let mut context = Context::default();
        context.set("aws:username", "ann").set("s3:prefix", "*");
        assert_eq!(
            expand("a/${aws:username}/${AWS:principalaccount}/*", &context),
            Ok(format!("a/ann/{ACCOUNT}/*"))
        );
        assert_eq!(expand("plain", &context), Ok("plain".to_owned()));
        for bad in [
            "${aws:userid}",
            "${*}",
            "${s3:prefix}",
            "${aws:username, 'x'}",
            "${",
        ] {
            assert!(expand(bad, &context).is_err(), "{bad}");
        }
    }
}

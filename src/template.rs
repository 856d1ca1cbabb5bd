//! Strict handlebars: a variable that is not given is an error, never an empty string.

use handlebars::Handlebars;
use serde::Serialize;

use crate::error::{Error, Result};

/// Renders `template` (called `name` in errors) with `data`. Nothing is HTML-escaped: templates
/// make scripts, policies and headers; callers pass values that need no escaping or escape them.
pub fn render(name: &str, template: &str, data: &impl Serialize) -> Result<String> {
    let mut registry = Handlebars::new();
    registry.set_strict_mode(true);
    registry.register_escape_fn(handlebars::no_escape);
    registry
        .render_template(template, data)
        .map_err(|error| Error::failed(format!("cannot render the template {name}")).because(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_variable_is_an_error() {
        let data = serde_json::json!({"a": "<x>"});
        assert_eq!(render("t", "{{a}}!", &data).expect("renders"), "<x>!");
        assert!(render("t", "{{b}}", &data).is_err());
    }
}

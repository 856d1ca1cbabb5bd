//! The parameters of one query call, and the account of which of them were read.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{ApiError, ApiResult};

/// The parameters of a call, or a view of those under a prefix (a structure, a list member).
///
/// Reading a parameter consumes it. Views share one account with the call they come from, so
/// [`Params::finish`] on any of them covers the whole call.
#[derive(Debug, Clone)]
pub struct Params {
    unread: Arc<Mutex<BTreeMap<String, String>>>,
    /// Empty for the call itself, else ending in a dot: `Filter.1.`.
    prefix: String,
}

impl Params {
    /// Reads a form-urlencoded body (or query string).
    ///
    /// # Errors
    /// `MalformedQueryString` if a parameter is given twice.
    pub fn parse(body: &[u8]) -> ApiResult<Self> {
        let mut values = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(body) {
            if values
                .insert(name.to_string(), value.into_owned())
                .is_some()
            {
                return Err(ApiError::new(
                    "MalformedQueryString",
                    format!("The parameter {name} is given more than once."),
                ));
            }
        }
        Ok(Self {
            unread: Arc::new(Mutex::new(values)),
            prefix: String::new(),
        })
    }

    /// From pairs; for unit tests of services.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let values = pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Self {
            unread: Arc::new(Mutex::new(values)),
            prefix: String::new(),
        }
    }

    fn unread(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        // A map of strings is whole after any panic.
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same parameters for a second reader: what it reads still counts as unread here.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self {
            unread: Arc::new(Mutex::new(self.unread().clone())),
            prefix: self.prefix.clone(),
        }
    }

    /// The full name of a parameter as the caller wrote it, for error messages.
    pub fn name_of(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The parameter, if given.
    pub fn optional(&self, name: &str) -> Option<String> {
        let name = self.name_of(name);
        self.unread().remove(&name)
    }

    /// The parameter.
    ///
    /// # Errors
    /// `MissingParameter` if it is absent.
    pub fn required(&self, name: &str) -> ApiResult<String> {
        self.optional(name).ok_or_else(|| {
            ApiError::new(
                "MissingParameter",
                format!(
                    "The request must contain the parameter {}",
                    self.name_of(name)
                ),
            )
        })
    }

    /// A `true` or `false`, if given.
    ///
    /// # Errors
    /// `InvalidParameterValue` if it is anything else.
    pub fn boolean(&self, name: &str) -> ApiResult<Option<bool>> {
        match self.optional(name).as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(self.invalid(name, other, "a boolean (true or false)")),
        }
    }

    /// A number, if given.
    ///
    /// # Errors
    /// `InvalidParameterValue` if it isn't one, or out of the type's range.
    pub fn number<T: FromStr>(&self, name: &str) -> ApiResult<Option<T>> {
        match self.optional(name) {
            None => Ok(None),
            Some(text) => match text.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(self.invalid(name, &text, "a number in range")),
            },
        }
    }

    fn invalid(&self, name: &str, value: &str, expected: &str) -> ApiError {
        ApiError::new(
            "InvalidParameterValue",
            format!(
                "Value ({value}) for parameter {} is invalid. Expected {expected}.",
                self.name_of(name)
            ),
        )
    }

    /// A list of plain values in index order: `Name.1`, `Name.2` (ec2Query) or `Name.member.1`
    /// (awsQuery). Absent and empty (`Name=`) are both the empty list.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.members(name)
            .into_iter()
            .filter_map(|member| self.optional(&member))
            .collect()
    }

    /// A list of structures in index order, each as a view: `Filter.1.Name`, `Filter.1.Value.1`,
    /// or `Tags.member.1.Key`.
    pub fn structures(&self, name: &str) -> Vec<Params> {
        self.members(name)
            .into_iter()
            .map(|member| self.view(&member))
            .collect()
    }

    /// A structure (`IamInstanceProfile.Name`) as a view, if any parameter lies under it.
    pub fn structure(&self, name: &str) -> Option<Params> {
        let prefix = format!("{}.", self.name_of(name));
        let given = self
            .unread()
            .range(prefix.clone()..)
            .next()
            .is_some_and(|(found, _)| found.starts_with(&prefix));
        given.then(|| self.view(name))
    }

    /// A map (`Attributes.entry.1.key`, `Attributes.entry.1.value`; awsQuery) in index order.
    ///
    /// # Errors
    /// `MissingParameter` for a key without a value or the reverse.
    pub fn map(&self, name: &str) -> ApiResult<Vec<(String, String)>> {
        self.structures(&format!("{name}.entry"))
            .into_iter()
            .map(|entry| Ok((entry.required("key")?, entry.required("value")?)))
            .collect()
    }

    /// Tags: `Tags.member.N.Key/Value` or `Tag.N.Key/Value`. A tag without a value has an empty one.
    ///
    /// # Errors
    /// `MissingParameter` for a tag without a key.
    pub fn tags(&self, name: &str) -> ApiResult<Vec<(String, String)>> {
        self.structures(name)
            .into_iter()
            .map(|tag| {
                Ok((
                    tag.required("Key")?,
                    tag.optional("Value").unwrap_or_default(),
                ))
            })
            .collect()
    }

    fn view(&self, name: &str) -> Params {
        Params {
            unread: Arc::clone(&self.unread),
            prefix: format!("{}.", self.name_of(name)),
        }
    }

    /// The members given of a list, as names below this view, in index order without repeats.
    fn members(&self, name: &str) -> Vec<String> {
        // awsQuery writes an empty list as the bare name with nothing.
        let bare = self.name_of(name);
        let mut unread = self.unread();
        if unread.get(&bare).is_some_and(String::is_empty) {
            unread.remove(&bare);
        }
        let mut found = BTreeMap::new();
        for infix in ["", "member."] {
            let prefix = format!("{bare}.{infix}");
            for key in unread.keys() {
                let Some(rest) = key.strip_prefix(&prefix) else {
                    continue;
                };
                let index = rest.split('.').next().unwrap_or_default();
                if let Ok(number) = index.parse::<u32>()
                    && number.to_string() == index
                {
                    found.insert((number, infix), format!("{name}.{infix}{index}"));
                }
            }
        }
        found.into_values().collect()
    }

    /// To be called by every action after it has read its parameters and before it acts.
    ///
    /// # Errors
    /// `UnknownParameter`, naming the first parameter that nobody read.
    pub fn finish(&self) -> ApiResult<()> {
        match self.unread().keys().next() {
            None => Ok(()),
            Some(name) => Err(ApiError::new(
                "UnknownParameter",
                format!("The parameter {name} is not recognized"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ec2_lists_in_index_order() {
        let params = Params::parse(
            b"Filter.2.Name=b&Filter.1.Name=a&Filter.1.Value.10=z&Filter.1.Value.2=y&Id.1=q",
        )
        .unwrap();
        let filters = params.structures("Filter");
        assert_eq!(filters.len(), 2);
        assert_eq!(filters[0].required("Name").unwrap(), "a");
        assert_eq!(filters[0].list("Value"), ["y", "z"]);
        assert_eq!(filters[1].required("Name").unwrap(), "b");
        assert_eq!(params.list("Id"), ["q"]);
        params.finish().unwrap();
    }

    #[test]
    fn reads_member_lists_maps_and_empty_lists() {
        let params = Params::parse(
            b"Tags.member.1.Key=k&Tags.member.1.Value=v%20w&A.entry.1.key=x&A.entry.1.value=y&E=",
        )
        .unwrap();
        assert_eq!(
            params.tags("Tags").unwrap(),
            [("k".to_owned(), "v w".to_owned())]
        );
        assert_eq!(params.map("A").unwrap(), [("x".to_owned(), "y".to_owned())]);
        assert!(params.list("E").is_empty());
        params.finish().unwrap();
    }

    #[test]
    fn names_what_nobody_read_even_inside_a_structure() {
        let params = Params::parse(b"Profile.Name=x&Profile.Colour=red").unwrap();
        let profile = params.structure("Profile").unwrap();
        assert_eq!(profile.optional("Name").as_deref(), Some("x"));
        let error = params.finish().unwrap_err();
        assert_eq!(error.code, "UnknownParameter");
        assert!(error.message.contains("Profile.Colour"), "{error}");
    }

    #[test]
    fn a_structure_is_not_found_by_a_longer_name() {
        let params = Params::parse(b"ProfileX.Name=x").unwrap();
        assert!(params.structure("Profile").is_none());
    }

    #[test]
    fn refuses_a_parameter_given_twice_and_bad_values() {
        assert_eq!(
            Params::parse(b"A=1&A=2").unwrap_err().code,
            "MalformedQueryString"
        );
        let params = Params::parse(b"A=maybe&N=-1").unwrap();
        assert_eq!(
            params.boolean("A").unwrap_err().code,
            "InvalidParameterValue"
        );
        assert_eq!(
            params.number::<u32>("N").unwrap_err().code,
            "InvalidParameterValue"
        );
        assert_eq!(params.required("B").unwrap_err().code, "MissingParameter");
    }
}

//! `MaxResults` and `NextToken`. A token holds the sort key of the last thing shown, so pages
//! stay right when things come and go between them.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::error::{ApiError, ApiResult};
use crate::query_protocol::Params;

/// EC2 gives at most this many a page when it isn't told (API reference, DescribeInstances).
const DEFAULT: usize = 1000;

/// Which page a call asks for.
#[derive(Debug)]
pub(super) struct Page {
    max: Option<usize>,
    after: Option<String>,
}

impl Page {
    /// Reads the parameters; `least` is the smallest page that the action allows (5 for most).
    ///
    /// # Errors
    /// `InvalidParameterValue` for a page size out of range or a token that isn't ours.
    pub(super) fn read(params: &Params, least: usize) -> ApiResult<Self> {
        let max: Option<usize> = params.number("MaxResults")?;
        if let Some(max) = max
            && (max < least || max > DEFAULT)
        {
            return Err(ApiError::new(
                "InvalidParameterValue",
                format!(
                    "Value ( {max} ) for parameter maxResults is invalid. Expecting a value between {least} and {DEFAULT}."
                ),
            ));
        }
        let after = params
            .optional("NextToken")
            .map(|token| {
                URL_SAFE_NO_PAD
                    .decode(&token)
                    .ok()
                    .and_then(|bytes| String::from_utf8(bytes).ok())
                    .ok_or_else(|| {
                        ApiError::new("InvalidNextToken", "The specified token is invalid.")
                    })
            })
            .transpose()?;
        Ok(Self { max, after })
    }

    /// EC2 refuses a page size beside a list of ids (`list` names that list as EC2 does).
    ///
    /// # Errors
    /// `InvalidParameterCombination`.
    pub(super) fn not_beside(&self, ids: &[String], list: &str) -> ApiResult<()> {
        if self.max.is_some() && !ids.is_empty() {
            return Err(ApiError::new(
                "InvalidParameterCombination",
                format!("The parameter {list} cannot be used with the parameter maxResults"),
            ));
        }
        Ok(())
    }

    /// The page's part of `all`, in order of `key` (which must tell any two apart), and the token of the next.
    pub(super) fn cut<T>(
        &self,
        mut all: Vec<T>,
        key: impl Fn(&T) -> String,
    ) -> (Vec<T>, Option<String>) {
        all.sort_by_cached_key(&key);
        if let Some(after) = &self.after {
            all.retain(|item| key(item) > *after);
        }
        let max = self.max.unwrap_or(DEFAULT);
        if all.len() <= max {
            return (all, None);
        }
        all.truncate(max);
        let token = all.last().map(|last| URL_SAFE_NO_PAD.encode(key(last)));
        (all, token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_cover_all_once_even_when_the_last_shown_vanishes() {
        let mut all: Vec<String> = (0..23).map(|n| format!("i-{n:03}")).collect();
        let mut token: Option<String> = None;
        let mut seen = Vec::new();
        loop {
            let mut pairs = vec![("MaxResults", "5")];
            if let Some(token) = &token {
                pairs.push(("NextToken", token));
            }
            let page = Page::read(&Params::from_pairs(pairs), 5).unwrap();
            let (shown, next) = page.cut(all.clone(), Clone::clone);
            all.retain(|item| item != shown.last().unwrap());
            seen.extend(shown);
            token = next;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), 23);
        assert!(seen.is_sorted());
    }

    #[test]
    fn refuses_sizes_out_of_range_and_foreign_tokens() {
        for pairs in [("MaxResults", "4"), ("MaxResults", "1001")] {
            let error = Page::read(&Params::from_pairs([pairs]), 5).unwrap_err();
            assert_eq!(error.code, "InvalidParameterValue");
        }
        let error = Page::read(&Params::from_pairs([("NextToken", "%%")]), 5).unwrap_err();
        assert_eq!(error.code, "InvalidNextToken");
    }
}

//! Dates as messages and user data write them: RFC 1123, always GMT, whole seconds.

use jiff::Timestamp;
use jiff::fmt::rfc2822::{DateTimeParser, DateTimePrinter};

/// Writes a time as RFC 1123 in GMT, e.g. `Tue, 20 Feb 2007 17:21:21 GMT`.
///
/// Parts of a second are dropped. A year that RFC 1123 has no digits for (before 0) is written in
/// ISO 8601, which [`parse`] reads too.
pub fn write(time: Timestamp) -> String {
    DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&time)
        .unwrap_or_else(|_| whole_seconds(time).to_string())
}

/// Reads RFC 1123 (`… GMT`, or with an offset such as `+0200`) and, because the boto library of
/// later years wrote it, ISO 8601 (`2007-02-20T17:21:21Z`).
///
/// Returns `None` for anything else, among it a week day that doesn't belong to the date. The
/// result is cut to whole seconds, as all that is written here.
pub fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    DateTimeParser::new()
        .parse_timestamp(text)
        .ok()
        .or_else(|| text.parse::<Timestamp>().ok())
        .map(whole_seconds)
}

/// Cuts a time to whole seconds, which is all that a date header can hold.
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_articles_date_is_read_and_written() {
        let text = "Tue, 20 Feb 2007 17:21:21 GMT";
        let time = parse(text).expect("a date");
        assert_eq!(time.as_second(), 1_171_992_081);
        assert_eq!(write(time), text);
        assert_eq!(parse("2007-02-20T17:21:21Z"), Some(time));
        assert_eq!(parse("Tue, 20 Feb 2007 19:21:21 +0200"), Some(time));
    }

    #[test]
    fn days_have_two_digits() {
        let time = parse("Fri, 02 Mar 2007 01:02:03 GMT").expect("a date");
        assert_eq!(write(time), "Fri, 02 Mar 2007 01:02:03 GMT");
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "yesterday",
            "Mon, 20 Feb 2007 17:21:21 GMT",
            "99999",
            "2007-02-31T00:00:00Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn written_is_read_back(second in -62_135_596_800_i64..=253_402_207_200) {
            let time = Timestamp::from_second(second).expect("in range");
            prop_assert_eq!(parse(&write(time)), Some(time));
        }

        #[test]
        fn any_text_is_survived(text in any::<String>()) {
            let _ = parse(&text);
        }
    }
}

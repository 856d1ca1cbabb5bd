//! What holds for any arguments that pass: `make fuzz` tries it with many.

use proptest::prelude::*;

use super::reaching_out::{ENCODERS, FILTER_OPTIONS, FILTERS, MUXERS, OPTIONS, PARAMETERS, words};
use super::*;
use crate::mutation::{foreign, mutated};

const WORDS: &[&str] = &[
    " -vf ",
    " -af ",
    " -f ",
    " -c:v ",
    " -map ",
    " -x264-params ",
    " -flags ",
    " -movflags ",
    " -crf ",
    " -r ",
    " -s ",
    " -/vf ",
    " -filter_script ",
    " -pass 1",
    " -stats_enc_pre ",
    "mp4",
    "tee",
    "libx264",
    "0:v",
    "1:v",
    "+pass1",
    "crf=20",
    "stats=x",
    "30/1",
    "1x1",
    "movie=x",
    ",movie=x",
    ";[a]null",
    "scale=2:2",
    "scale=/x",
    "{seconds}",
    "if(gte(iw\\,ih)\\,",
    "yuv420p|",
    "/etc/passwd",
    "out.mov",
    "file:",
    "http://x",
    "x264_2pass.log",
    "@",
    "\\",
    "'",
];

fn args() -> impl Strategy<Value = Vec<String>> {
    let lines = super::tests::USUAL.map(str::to_owned).to_vec();
    mutated(lines, WORDS).prop_map(|line| line.split(' ').map(str::to_owned).collect())
}

/// Whether arguments that passed hold nothing that names a file, an address or a device, read by ffmpeg's own rules
/// and not by the grammar's.
pub(in crate::preset) fn check_reaches_no_file(args: &[String]) -> Result<(), TestCaseError> {
    let mut args = args.iter();
    while let Some(option) = args.next() {
        let name = option.strip_prefix('-');
        prop_assert!(name.is_some(), "{} is a file for ffmpeg", option);
        let name = name
            .and_then(|name| name.split(':').next())
            .unwrap_or_default();
        prop_assert!(
            !name.starts_with('/') && !words(OPTIONS).contains(&name),
            "{}",
            option
        );
        if matches!(name, "an" | "vn" | "sn" | "dn") {
            continue;
        }
        let value = args.next();
        prop_assert!(value.is_some(), "{} has no value", option);
        let value = value.map(String::as_str).unwrap_or_default();
        check_value(value)?;
        match name {
            "f" => prop_assert!(!words(MUXERS).contains(&value), "{}", value),
            "c" => prop_assert!(!words(ENCODERS).contains(&value), "{}", value),
            "map" => prop_assert!(value.starts_with("0:"), "{}", value),
            "map_metadata" | "map_chapters" => {
                prop_assert!(matches!(value, "0" | "-1"), "{}", value);
            }
            "flags" => prop_assert!(!value.contains("pass"), "{}", value),
            "vf" | "af" => check_graph(value)?,
            _ if name.ends_with("-params") => {
                for entry in value.split(':') {
                    let key = entry.split('=').next().unwrap_or_default();
                    prop_assert!(!words(PARAMETERS).contains(&key), "{}", entry);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// No sign that a path or an address would need.
fn check_value(value: &str) -> Result<(), TestCaseError> {
    let path = value.starts_with(['/', '.', '~', '|'])
        || ["..", "=/", ":/", "./", "~/", "://", ",/", "|/"]
            .iter()
            .any(|sign| value.contains(sign))
        || value.contains(['\'', '"', '@', '%', '~', '$', '`', '\0', '\n', ' ']);
    prop_assert!(!path, "{}", value);
    // A name with an extension, which a number isn't.
    let named = value
        .match_indices('.')
        .any(|(at, _)| value[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic()));
    prop_assert!(!named, "{}", value);
    Ok(())
}

/// A graph as ffmpeg reads it: `;` and `,` part filters, `[…]` are links, `name@id=…` names an instance, `:` parts
/// options and `\` takes the meaning of a sign away.
fn check_graph(graph: &str) -> Result<(), TestCaseError> {
    let mut filters = vec![String::new()];
    let mut signs = graph.chars().peekable();
    let mut in_link = false;
    while let Some(sign) = signs.next() {
        match sign {
            '\\' => {
                signs.next();
                filters.last_mut().expect("one").push('_');
            }
            '[' => in_link = true,
            ']' => in_link = false,
            ',' | ';' if !in_link => filters.push(String::new()),
            _ if in_link => prop_assert!(sign != ':', "a stream of an input in {}", graph),
            _ => filters.last_mut().expect("one").push(sign),
        }
    }
    for filter in filters {
        let (name, options) = filter.split_once('=').unwrap_or((&filter, ""));
        let name = name.split('@').next().unwrap_or_default();
        prop_assert!(!words(FILTERS).contains(&name), "{} in {}", name, graph);
        for option in options.split(':') {
            let key = option.split('=').next().unwrap_or_default();
            let named = option.contains('=') && words(FILTER_OPTIONS).contains(&key);
            prop_assert!(!named && !key.starts_with('/'), "{} in {}", option, graph);
        }
    }
    Ok(())
}

fn specifier() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        ":(v|a|s|V|[0-9]|t|d|p:1|m:x|u)(:[0-9]{1,2})?"
    ]
}

proptest! {
    #[test]
    fn what_passes_reaches_no_file(args in args()) {
        match check(&args) {
            Ok(()) => check_reaches_no_file(&args)?,
            Err(error) => {
                let shown = error.to_string();
                prop_assert_eq!(crate::text::printable(&shown), shown.clone());
                // Some three hundred signs of foreign text, each of which may be shown by ten.
                prop_assert!(shown.chars().count() <= 3500, "{}", shown);
            }
        }
    }

    /// No option of the other list passes, for whichever streams and with whichever value.
    #[test]
    fn no_option_that_names_a_file_passes(
        specifier in specifier(),
        value in prop_oneof![foreign(WORDS), "[a-z0-9]{1,4}", "[a-z0-9=:.]{1,12}"],
    ) {
        for name in words(OPTIONS) {
            for option in [format!("-{name}{specifier}"), format!("-/{name}{specifier}"), format!("-{name}")] {
                let refused = |args: &[&String]| {
                    check(&args.iter().map(ToString::to_string).collect::<Vec<_>>()).is_err()
                };
                prop_assert!(refused(&[&option]) && refused(&[&option, &value]), "{} {}", option, value);
            }
        }
    }

    /// No option takes its value from a file: `-/option`, `filter=/option=file`.
    #[test]
    fn no_value_is_read_from_a_file(args in args(), which in any::<prop::sample::Index>(), file in "[a-z./]{1,12}") {
        let mut args = args;
        let which = which.index(args.len());
        let option = args[which].clone();
        args[which] = format!("-/{}", option.trim_start_matches('-'));
        if option.starts_with('-') {
            prop_assert!(check(&args).is_err(), "{:?}", args);
        }
        args[which] = option.replacen('=', &format!("=/{file}="), 1);
        if args[which] != option {
            prop_assert!(check(&args).is_err(), "{:?}", args);
        }
    }

    /// Arithmetic is arithmetic.
    #[test]
    fn no_expression_that_passes_names_a_file(text in "(iw|ih|min|while|[0-9.]{1,3}|[+*/()-]|\\\\,|\\{seconds\\}|/etc|file){0,12}") {
        let args = ["-vf".to_owned(), format!("scale={text}:2")];
        if check(&args).is_ok() {
            // `iw//2` is arithmetic that ffmpeg itself refuses; a path it can't be.
            prop_assert!(!text.starts_with('/') && !text.contains("etc") && !text.contains("file"));
        }
    }
}

/// The first property above says something: of what is tried, a good part passes.
#[test]
fn changed_arguments_that_pass_are_among_those_tried() {
    let part = crate::mutation::part_of(&args(), |args| check(args).is_ok());
    assert!(part > 0.05, "{part}");
}

/// Nothing of the other lists passes, whatever stands before it and with values of each form.
#[test]
fn nothing_of_the_other_lists_passes() {
    let refused = |option: &str, value: &str| {
        let args = [option.to_owned(), value.to_owned()];
        assert!(check(&args).is_err(), "{args:?}");
    };
    for muxer in words(MUXERS) {
        refused("-f", muxer);
    }
    for encoder in words(ENCODERS) {
        for streams in ["-c", "-c:v", "-c:a", "-c:s", "-c:v:0"] {
            refused(streams, encoder);
        }
    }
    for value in ["", "x", "1", "1.5", "1/2", "2x2", "a.b", "/x", "a|b"] {
        for params in ["-x264-params", "-x265-params", "-svtav1-params"] {
            for parameter in words(PARAMETERS) {
                refused(params, &format!("{parameter}={value}"));
                refused(params, &format!("crf=20:{parameter}={value}"));
            }
        }
        for before in ["", "null,", "scale=2:2,", "anull,", "[a]"] {
            for graph in ["-vf", "-af"] {
                for filter in words(FILTERS) {
                    refused(graph, &format!("{before}{filter}"));
                    refused(graph, &format!("{before}{filter}={value}"));
                }
                for option in words(FILTER_OPTIONS) {
                    refused(graph, &format!("{before}scale={option}={value}"));
                    refused(graph, &format!("{before}scale=2:2:{option}={value}"));
                }
            }
        }
    }
}

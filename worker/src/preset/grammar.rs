//! Which ffmpeg arguments a preset may have.
//!
//! A list of what is allowed, not of what is forbidden: ffmpeg has hundreds of options, and many
//! of them name files (`-pass`, `-vf movie=…`, `-x264-params stats=…`, `-f tee`). Each option
//! here has a kind of value in which no path, URL or further output can be written.

/// An argument that a preset can't have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    #[error("`{0}` stands where an option is expected; the program places input and output itself")]
    NotAnOption(String),
    #[error("the option `{0}` is not among those that a preset may use")]
    UnknownOption(String),
    #[error("the option `{0}` needs a value")]
    NoValue(String),
    #[error("the option `{option}` can't have the value `{value}`")]
    Value { option: String, value: String },
}

/// The kinds of values.
#[derive(Clone, Copy)]
enum Kind {
    /// No value follows.
    Flag,
    /// `21`, `1200k`, `1.5M`, `-1`.
    Number,
    /// `25` or `30000/1001`.
    Fraction,
    /// `320x240`.
    Size,
    /// Letters, digits, `_` and `-`, beginning with a letter or digit: codecs, pixel formats.
    Word,
    /// Words joined by `+` or `-` signs: `+mv4+aic`.
    Flags,
    /// `0:V:0`, `0:a?`: streams of the one input.
    Map,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A chain of filters that only change pictures.
    Filters,
}

/// Writers of exactly one file.
const MUXERS: &[&str] = &[
    "mov", "mp4", "ipod", "matroska", "webm", "mpegts", "avi", "mp3", "flac", "ogg", "wav", "gif",
];

/// Filters that open nothing and draw nothing from outside.
const FILTERS: &[&str] = &[
    "scale",
    "setsar",
    "setdar",
    "format",
    "fps",
    "crop",
    "pad",
    "yadif",
    "bwdif",
    "transpose",
    "hflip",
    "vflip",
    "hqdn3d",
    "unsharp",
    "null",
];

fn kind(option: &str) -> Option<Kind> {
    Some(match option {
        "-an" | "-vn" | "-sn" | "-dn" => Kind::Flag,
        "-b"
        | "-q"
        | "-g"
        | "-bf"
        | "-ar"
        | "-ac"
        | "-crf"
        | "-maxrate"
        | "-minrate"
        | "-bufsize"
        | "-trellis"
        | "-threads"
        | "-keyint_min"
        | "-sc_threshold"
        | "-qmin"
        | "-qmax"
        | "-refs"
        | "-frames"
        | "-map_metadata"
        | "-map_chapters"
        | "-max_muxing_queue_size"
        | "-cpu-used"
        | "-row-mt"
        | "-level" => Kind::Number,
        "-r" => Kind::Fraction,
        "-s" => Kind::Size,
        "-c" | "-pix_fmt" | "-preset" | "-tune" | "-profile" | "-mbd" | "-cmp" | "-subcmp"
        | "-tag" | "-color_primaries" | "-color_trc" | "-colorspace" | "-color_range" => Kind::Word,
        "-flags" | "-movflags" => Kind::Flags,
        "-map" => Kind::Map,
        "-fps_mode" => Kind::OneOf(&["passthrough", "cfr", "vfr", "auto"]),
        "-f" => Kind::OneOf(MUXERS),
        "-vf" => Kind::Filters,
        _ => return None,
    })
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
        let kind = kind(name)
            .filter(|_| specifier.is_none_or(is_stream))
            .ok_or_else(|| ArgumentError::UnknownOption(shown(option)))?;
        if matches!(kind, Kind::Flag) {
            continue;
        }
        let value = words
            .next()
            .ok_or_else(|| ArgumentError::NoValue(shown(option)))?;
        if !fits(kind, value) {
            return Err(ArgumentError::Value {
                option: shown(option),
                value: shown(value),
            });
        }
    }
    Ok(())
}

fn fits(kind: Kind, value: &str) -> bool {
    match kind {
        Kind::Flag => false,
        Kind::Number => is_number(value),
        Kind::Fraction => {
            let (n, d) = value.split_once('/').unwrap_or((value, "1"));
            is_digits(n) && is_digits(d)
        }
        Kind::Size => value
            .split_once('x')
            .is_some_and(|(w, h)| is_digits(w) && is_digits(h)),
        Kind::Word => is_word(value),
        Kind::Flags => {
            let words: Vec<&str> = value.split(['+', '-']).collect();
            // A leading sign makes the first word empty.
            let rest = if words[0].is_empty() {
                &words[1..]
            } else {
                &words[..]
            };
            !rest.is_empty() && rest.iter().all(|word| is_word(word))
        }
        Kind::Map => value
            .strip_prefix("0:")
            .is_some_and(|stream| is_stream(stream.strip_suffix('?').unwrap_or(stream))),
        Kind::OneOf(words) => words.contains(&value),
        Kind::Filters => value.split(',').all(is_filter),
    }
}

/// `v`, `a:0`, `V:1` or a number.
fn is_stream(text: &str) -> bool {
    let (kind, index) = match text.split_once(':') {
        Some((kind, index)) => (kind, Some(index)),
        None => (text, None),
    };
    match index {
        Some(index) => ["v", "V", "a", "s"].contains(&kind) && is_digits(index),
        None => ["v", "V", "a", "s"].contains(&kind) || is_digits(kind),
    }
}

/// A filter with arguments in letters, digits and the signs of arithmetic. No quotes, brackets,
/// semicolons or `@`, with which a filter graph takes further inputs or names.
fn is_filter(text: &str) -> bool {
    let (name, args) = text.split_once('=').unwrap_or((text, ""));
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.:=*/+-()|".contains(c);
    FILTERS.contains(&name) && args.chars().all(allowed)
}

fn is_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let text = text.strip_suffix(['k', 'K', 'M']).unwrap_or(text);
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    is_digits(whole) && is_digits(part)
}

/// At most 9 digits: no number that ffmpeg takes here is larger, and all fit into 32 bits.
fn is_digits(text: &str) -> bool {
    (1..=9).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.len() <= 40
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check_line(line: &str) -> Result<(), ArgumentError> {
        check(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn usual_arguments_pass() {
        for line in [
            "-map 0:V:0 -map 0:a? -map 0:1",
            "-c:v libx264 -preset medium -crf 21 -b:a:0 160k -q:v 2",
            "-vf scale=ceil(iw/2)*2:ceil(ih/2)*2,setsar=1,format=yuv420p",
            "-flags +mv4+aic -movflags faststart -an -r 30000/1001 -s 320x240",
            "-map_metadata -1 -fps_mode vfr -f mp4",
        ] {
            assert_eq!(check_line(line), Ok(()), "{line}");
        }
    }

    #[test]
    fn whatever_could_touch_another_file_is_refused() {
        for line in [
            "out.mov",
            "-i /etc/passwd",
            "-f tee",
            "-f segment",
            "-map 1:v",
            "-map [out]",
            "-vf movie=/etc/passwd",
            "-vf scale=1:1,subtitles=x",
            "-vf scale=1:1;[a]overlay",
            "-vf scale=w='1'",
            "-vf null@x",
            "-filter_complex null",
            "-pass 1",
            "-passlogfile x",
            "-x264-params stats=/tmp/x",
            "-attach x",
            "-progress x",
            "-report",
            "-metadata a=b",
            "-c:v ../x",
            "-c:v /x",
            "-c:p:1 copy",
            "-crf",
            "-crf x",
            "-r 1/",
            "-s 1x",
            "-",
            "--",
            "",
            "-b:v 9999999999",
        ] {
            assert!(check_line(line).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_arguments_panic(args in prop::collection::vec(any::<String>(), 0..6)) {
            let _ = check(&args);
        }

        #[test]
        fn what_passes_has_no_path(args in prop::collection::vec("-?[a-z:0-9/.=+]{0,12}", 0..6)) {
            if check(&args).is_ok() {
                prop_assert!(!args.iter().any(|a| a.starts_with('/') || a.contains("://")));
            }
        }
    }
}

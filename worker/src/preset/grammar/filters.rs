//! The filters, each with its options and the kinds of their values.

use super::values::{self, Kind, is_digits, is_word, short};

/// Which filters a graph may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Video,
    Audio,
}

type Options = &'static [(&'static str, Kind)];

/// More filters than any sensible preset has.
const MOST_FILTERS: usize = 24;

const NUMBER: Kind = Kind::Number;
const EXPRESSION: Kind = Kind::Expression;
const WORD: Kind = Kind::Word;
const FRACTION_OR_EXPRESSION: Kind = Kind::Expression;
/// Scaling algorithms joined by `+`.
const SCALERS: Kind = Kind::Flags(&[
    "fast_bilinear",
    "bilinear",
    "bicubic",
    "neighbor",
    "area",
    "lanczos",
    "spline",
    "accurate_rnd",
    "full_chroma_int",
    "full_chroma_inp",
]);

const DEINTERLACE: Options = &[("mode", WORD), ("parity", WORD), ("deint", WORD)];

/// Filters of pictures that open nothing and draw nothing from outside. The options of each are in
/// the order in which ffmpeg takes them without names.
fn video(name: &str) -> Option<Options> {
    Some(match name {
        "scale" => &[
            ("w", EXPRESSION),
            ("h", EXPRESSION),
            ("flags", SCALERS),
            ("width", EXPRESSION),
            ("height", EXPRESSION),
            ("in_range", WORD),
            ("out_range", WORD),
            ("in_color_matrix", WORD),
            ("out_color_matrix", WORD),
            (
                "force_original_aspect_ratio",
                Kind::OneOf(&["disable", "decrease", "increase"]),
            ),
            ("force_divisible_by", NUMBER),
        ],
        "setsar" | "setdar" => &[("r", FRACTION_OR_EXPRESSION), ("max", NUMBER)],
        "format" => &[("pix_fmts", Kind::Words)],
        "fps" => &[
            ("fps", FRACTION_OR_EXPRESSION),
            ("start_time", NUMBER),
            ("round", WORD),
            ("eof_action", WORD),
        ],
        "crop" => &[
            ("w", EXPRESSION),
            ("h", EXPRESSION),
            ("x", EXPRESSION),
            ("y", EXPRESSION),
            ("keep_aspect", NUMBER),
            ("exact", NUMBER),
        ],
        "pad" => &[
            ("w", EXPRESSION),
            ("h", EXPRESSION),
            ("x", EXPRESSION),
            ("y", EXPRESSION),
            ("color", WORD),
        ],
        "yadif" | "bwdif" => DEINTERLACE,
        "transpose" => &[("dir", WORD), ("passthrough", WORD)],
        "hflip" | "vflip" | "null" => &[],
        "hqdn3d" => &[
            ("luma_spatial", NUMBER),
            ("chroma_spatial", NUMBER),
            ("luma_tmp", NUMBER),
            ("chroma_tmp", NUMBER),
        ],
        "unsharp" => &[
            ("luma_msize_x", NUMBER),
            ("luma_msize_y", NUMBER),
            ("luma_amount", NUMBER),
            ("chroma_msize_x", NUMBER),
            ("chroma_msize_y", NUMBER),
            ("chroma_amount", NUMBER),
        ],
        "eq" => &[
            ("contrast", NUMBER),
            ("brightness", NUMBER),
            ("saturation", NUMBER),
            ("gamma", NUMBER),
        ],
        "split" => &[("outputs", NUMBER)],
        "palettegen" => &[
            ("max_colors", NUMBER),
            ("reserve_transparent", NUMBER),
            ("stats_mode", Kind::OneOf(&["full", "diff", "single"])),
        ],
        "paletteuse" => &[
            ("dither", WORD),
            ("bayer_scale", NUMBER),
            ("diff_mode", WORD),
            ("new", NUMBER),
        ],
        "thumbnail" => &[("n", NUMBER)],
        "tile" => &[
            ("layout", Kind::Size),
            ("nb_frames", NUMBER),
            ("margin", NUMBER),
            ("padding", NUMBER),
            ("color", WORD),
        ],
        "tonemap" => &[
            ("tonemap", WORD),
            ("param", NUMBER),
            ("desat", NUMBER),
            ("peak", NUMBER),
        ],
        "zscale" => &[
            ("w", EXPRESSION),
            ("h", EXPRESSION),
            ("t", WORD),
            ("m", WORD),
            ("p", WORD),
            ("r", WORD),
            ("npl", NUMBER),
        ],
        _ => return None,
    })
}

/// The same for sound.
fn audio(name: &str) -> Option<Options> {
    Some(match name {
        "anull" => &[],
        "volume" => &[("volume", EXPRESSION)],
        "loudnorm" => &[
            ("I", NUMBER),
            ("LRA", NUMBER),
            ("TP", NUMBER),
            ("linear", WORD),
        ],
        "dynaudnorm" => &[("f", NUMBER), ("g", NUMBER), ("p", NUMBER), ("m", NUMBER)],
        "aresample" => &[
            ("sample_rate", NUMBER),
            ("async", NUMBER),
            ("first_pts", NUMBER),
        ],
        "aformat" => &[
            ("sample_fmts", Kind::Words),
            ("sample_rates", Kind::Words),
            ("channel_layouts", Kind::Words),
        ],
        "atempo" => &[("tempo", NUMBER)],
        "highpass" | "lowpass" => &[("f", NUMBER), ("p", NUMBER)],
        "acompressor" => &[
            ("threshold", NUMBER),
            ("ratio", NUMBER),
            ("attack", NUMBER),
            ("release", NUMBER),
            ("makeup", NUMBER),
        ],
        _ => return None,
    })
}

/// Whether a graph has known filters with values of their kinds only. Links between its chains are
/// names in brackets; whatever could quote, escape (but `\,`) or name an instance is refused.
pub(super) fn check(graph: &str, family: Family) -> Result<(), String> {
    let filters: Vec<&str> = graph.split(';').flat_map(commas).collect();
    if filters.len() > MOST_FILTERS {
        return Err(format!("more than {MOST_FILTERS} filters"));
    }
    filters
        .into_iter()
        .try_for_each(|filter| check_filter(filter, family))
}

/// Splits at commas that no `\` is before.
fn commas(chain: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut begin = 0;
    for (at, _) in chain.match_indices(',') {
        if !chain[..at].ends_with('\\') {
            parts.push(&chain[begin..at]);
            begin = at + 1;
        }
    }
    parts.push(&chain[begin..]);
    parts
}

fn check_filter(text: &str, family: Family) -> Result<(), String> {
    let mut rest = text;
    while let Some((label, more)) = rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
        check_label(label)?;
        rest = more;
    }
    while let Some((more, label)) = rest.strip_suffix(']').and_then(|r| r.rsplit_once('[')) {
        check_label(label)?;
        rest = more;
    }
    let (name, args) = match rest.split_once('=') {
        Some((name, args)) => (name, Some(args)),
        None => (rest, None),
    };
    let options = match family {
        Family::Video => video(name),
        Family::Audio => audio(name),
    }
    .ok_or_else(|| format!("the filter `{}` is not allowed", short(name)))?;
    let Some(args) = args else { return Ok(()) };
    for (index, arg) in args.split(':').enumerate() {
        let named = arg.split_once('=');
        let option = match named {
            Some((key, _)) => options.iter().find(|(name, _)| *name == key),
            None => options.get(index),
        };
        let value = named.map_or(arg, |(_, value)| value);
        let Some((key, kind)) = option else {
            return Err(format!(
                "`{}` of the filter `{name}` is not allowed",
                short(arg)
            ));
        };
        values::check(*kind, value)
            .map_err(|why| format!("`{key}` of the filter `{name}` is {why}"))?;
    }
    Ok(())
}

/// A letter and a few letters or digits: no reference to a stream, which has a colon.
fn check_label(label: &str) -> Result<(), String> {
    if is_word(label) && !is_digits(label) && label.len() <= 12 {
        Ok(())
    } else {
        Err(format!("`[{}]` is no link's name", short(label)))
    }
}

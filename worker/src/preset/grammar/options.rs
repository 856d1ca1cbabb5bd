//! The options, and the parameters of encoders that have a language of their own.

use super::filters::Family;
use super::values::Kind;

/// Encoders that are programs, not devices, and write nothing beside.
const VIDEO_ENCODERS: &[&str] = &[
    "mpeg4",
    "mpeg2video",
    "libx264",
    "libx265",
    "libsvtav1",
    "libaom-av1",
    "libvpx",
    "libvpx-vp9",
    "prores_ks",
    "dnxhd",
    "ffv1",
    "mjpeg",
    "png",
    "gif",
    "apng",
    "libwebp",
    "copy",
];

const AUDIO_ENCODERS: &[&str] = &[
    "aac",
    "libmp3lame",
    "libopus",
    "libvorbis",
    "flac",
    "alac",
    "ac3",
    "eac3",
    "mp2",
    "pcm_s16le",
    "pcm_s24le",
    "pcm_s16be",
    "copy",
];

const SUBTITLE_ENCODERS: &[&str] = &["mov_text", "srt", "ass", "webvtt", "copy"];

/// Writers of exactly one file. Not `image2` (its name is a pattern), nor any that names others in
/// its options or its content.
const MUXERS: &[&str] = &[
    "mov",
    "mp4",
    "ipod",
    "3gp",
    "matroska",
    "webm",
    "mpegts",
    "avi",
    "flv",
    "mxf",
    "nut",
    "ogg",
    "opus",
    "mp3",
    "flac",
    "wav",
    "adts",
    "ac3",
    "gif",
    "apng",
    "mjpeg",
    "image2pipe",
    "ivf",
    "h264",
    "hevc",
];

/// Not `pass1` and `pass2`: with them x264 writes and reads `x264_2pass.log`.
const FLAGS: &[&str] = &[
    "mv4",
    "qpel",
    "aic",
    "gray",
    "psnr",
    "ildct",
    "ilme",
    "cgop",
    "low_delay",
    "global_header",
    "bitexact",
    "loop",
];

const MOVFLAGS: &[&str] = &[
    "faststart",
    "frag_keyframe",
    "empty_moov",
    "default_base_moof",
    "separate_moof",
    "use_metadata_tags",
    "write_colr",
    "negative_cts_offsets",
    "delay_moov",
    "cmaf",
];

/// Parameters that x264 and x265 both have, numbers and words: none names a file.
const X264_AND_X265: &[(&str, Kind)] = &[
    ("keyint", Kind::Number),
    ("min-keyint", Kind::Number),
    ("scenecut", Kind::Number),
    ("bframes", Kind::Number),
    ("b-adapt", Kind::Number),
    ("ref", Kind::Number),
    ("crf", Kind::Number),
    ("qp", Kind::Number),
    ("bitrate", Kind::Number),
    ("vbv-maxrate", Kind::Number),
    ("vbv-bufsize", Kind::Number),
    ("rc-lookahead", Kind::Number),
    ("aq-mode", Kind::Number),
    ("aq-strength", Kind::Number),
    ("psy-rd", Kind::Number),
    ("qcomp", Kind::Number),
    ("open-gop", Kind::Number),
    ("colorprim", Kind::Word),
    ("transfer", Kind::Word),
    ("colormatrix", Kind::Word),
];

/// Those of x264 alone. Not among them is what names a file: `stats`, `qpfile`, `cqmfile`, `dump-yuv`.
const X264: &[(&str, Kind)] = &[
    ("me", Kind::OneOf(&["dia", "hex", "umh"])),
    ("subme", Kind::Number),
    ("trellis", Kind::Number),
    ("threads", Kind::Number),
    ("lookahead-threads", Kind::Number),
    ("sliced-threads", Kind::Number),
    ("deblock", Kind::Number),
];

/// Those of x265 alone, without `csv`, `stats`, `analysis-*`, `qpfile`, `scaling-list`, `lambda-file`,
/// `zonefile`, `dolby-vision-rpu` and `recon`.
const X265: &[(&str, Kind)] = &[
    ("log-level", Kind::OneOf(&["none", "error", "warning"])),
    ("pools", Kind::Number),
    ("frame-threads", Kind::Number),
    ("psy-rdoq", Kind::Number),
    ("rdoq-level", Kind::Number),
    ("rd", Kind::Number),
    ("sao", Kind::Number),
    ("repeat-headers", Kind::Number),
    ("hdr10-opt", Kind::Number),
];

/// Those of SVT-AV1, without `stat-file`, `pass`, `fgs-table`, `roi-map-file` and `pred-struct-file`.
const SVT_AV1: &[(&str, Kind)] = &[
    ("lp", Kind::Number),
    ("tune", Kind::Number),
    ("keyint", Kind::Number),
    ("scd", Kind::Number),
    ("lookahead", Kind::Number),
    ("film-grain", Kind::Number),
    ("film-grain-denoise", Kind::Number),
    ("enable-overlays", Kind::Number),
    ("tile-rows", Kind::Number),
    ("tile-columns", Kind::Number),
    ("fast-decode", Kind::Number),
    ("crf", Kind::Number),
    ("mbr", Kind::Number),
    ("aq-mode", Kind::Number),
    ("enable-qm", Kind::Number),
    ("qm-min", Kind::Number),
    ("qm-max", Kind::Number),
];

/// The kind of an option's value; `None` for options that a preset can't have. The specifier is what
/// follows a colon: the streams that it is for.
pub(super) fn kind(option: &str, specifier: Option<&str>) -> Option<Kind> {
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
        | "-keyint_min"
        | "-sc_threshold"
        | "-qmin"
        | "-qmax"
        | "-refs"
        | "-frames"
        | "-t"
        | "-max_muxing_queue_size"
        | "-cpu-used"
        | "-row-mt"
        | "-tile-columns"
        | "-level"
        | "-loop"
        | "-final_delay"
        | "-compression_level"
        | "-quality"
        | "-video_track_timescale"
        | "-qscale"
        | "-b_strategy"
        | "-me_range"
        | "-aq-mode"
        | "-vbr"
        | "-lossless" => Kind::Number,
        // -1: none; 0: those of the one input.
        "-map_metadata" | "-map_chapters" => Kind::OneOf(&["-1", "0"]),
        "-enc_time_base" => Kind::OneOf(&["-1", "demux"]),
        "-r" => Kind::Fraction,
        "-s" => Kind::Size,
        "-c" => Kind::OneOf(match specifier.and_then(|s| s.chars().next()) {
            Some('v' | 'V') => VIDEO_ENCODERS,
            Some('a') => AUDIO_ENCODERS,
            Some('s') => SUBTITLE_ENCODERS,
            _ => &["copy"],
        }),
        "-pix_fmt" | "-preset" | "-tune" | "-profile" | "-mbd" | "-cmp" | "-subcmp" | "-tag"
        | "-color_primaries" | "-color_trc" | "-colorspace" | "-color_range" | "-sample_fmt"
        | "-deadline" | "-application" => Kind::Word,
        "-flags" => Kind::Flags(FLAGS),
        "-movflags" => Kind::Flags(MOVFLAGS),
        "-strict" => Kind::OneOf(&["experimental", "unofficial", "normal", "strict"]),
        "-bsf" => Kind::OneOf(&[
            "mpeg4_unpack_bframes",
            "h264_mp4toannexb",
            "hevc_mp4toannexb",
            "aac_adtstoasc",
            "extract_extradata",
            "vp9_superframe",
        ]),
        "-map" => Kind::Map,
        "-fps_mode" => Kind::OneOf(&["passthrough", "cfr", "vfr", "auto"]),
        "-x264-params" => Kind::Parameters(&[X264_AND_X265, X264]),
        "-x265-params" => Kind::Parameters(&[X264_AND_X265, X265]),
        "-svtav1-params" => Kind::Parameters(&[SVT_AV1]),
        "-f" => Kind::OneOf(MUXERS),
        "-vf" => Kind::Filters(Family::Video),
        "-af" => Kind::Filters(Family::Audio),
        _ => return None,
    })
}

//! Colours and the shape of pixels, as an output's header tells them.

use crate::media::Stream;
use crate::preset::{ColorKind, Expectation};

/// What a film for any screen has.
const SDR: &str = "bt709";

/// Formats of pixels of 8 bits that every player decodes.
const SDR_FORMATS: [&str; 2] = ["yuv420p", "yuvj420p"];

/// Codecs whose header has no place for colours, or one meaning only.
const UNTAGGED: [&str; 4] = ["gif", "mjpeg", "png", "apng"];

/// Checks what `video`, made of `source`, says of its colours and pixels.
pub(super) fn check(
    source: &Stream,
    video: &Stream,
    expect: &Expectation,
    faults: &mut Vec<String>,
) {
    if expect.square && !matches!(video.pixel, (0, _) | (_, 0)) && video.pixel.0 != video.pixel.1 {
        let (w, h) = video.pixel;
        faults.push(format!("its pixels are {w}:{h}, not square"));
    }
    if UNTAGGED.contains(&video.codec.as_str()) {
        return;
    }
    match expect.color {
        Some(ColorKind::Sdr) => {
            let told = [
                ("matrix", &video.color.matrix),
                ("transfer", &video.color.transfer),
                ("primaries", &video.color.primaries),
            ];
            for (what, is) in told {
                if is != SDR {
                    faults.push(format!("its {what} is `{is}`, not {SDR}"));
                }
            }
            if video.color.range == "pc" {
                faults.push("its range is full, not limited".to_owned());
            }
            if !SDR_FORMATS.contains(&video.pixel_format.as_str()) {
                faults.push(format!(
                    "its pixels are {}, not {}",
                    video.pixel_format, SDR_FORMATS[0]
                ));
            }
        }
        // What makes HDR bright must not be lost.
        None if expect.recodes_video() && source.color.is_hdr() => {
            let (is, was) = (&video.color.transfer, &source.color.transfer);
            if is != was {
                faults.push(format!("its transfer is `{is}`, not {was}"));
            }
        }
        None => {}
    }
}

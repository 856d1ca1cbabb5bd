//! Whether pictures have the size that they must have.

use crate::media::Stream;
use crate::preset::Size;

/// Sides are even, so each may be up to 2 pixels off its exact share; and where the longer side follows
/// from the shorter, as many times more as it is longer.
const TOLERANCE_PIXELS: f64 = 2.0;

/// A contact sheet has four pictures in a column, each with that tolerance.
const TOLERANCE_SHEET_PIXELS: f64 = 8.0;

/// Compares the sides of `video` with those of `source` by what `size` asks for; `square`: its pixels are square, whatever the
/// input's are.
pub(super) fn check_size(
    source: &Stream,
    video: &Stream,
    size: Size,
    square: bool,
    faults: &mut Vec<String>,
) {
    let is = (video.width, video.height);
    let (right, wanted) = match size {
        Size::Exact(width, height) => (is == (width, height), format!("{width}x{height}")),
        Size::Source => (
            is == (source.width, source.height),
            format!("{}x{}", source.width, source.height),
        ),
        Size::Even => {
            let even = |side: u32| side.saturating_add(side % 2);
            let (width, height) = (even(source.width), even(source.height));
            // A recording on its side is turned when decoded, so its sides change places.
            (
                is == (width, height) || is == (height, width),
                format!("{width}x{height}"),
            )
        }
        Size::Within(width, height) => (
            shapes(source, square)
                .into_iter()
                .any(|shape| fits(is, shape, (width, height))),
            format!("{}x{} within {width}x{height}", source.width, source.height),
        ),
        Size::Fit(width, height) => (
            shapes(source, square)
                .into_iter()
                .any(|shape| fills(is, shape, (width, height))),
            format!(
                "{}x{} filling {width}x{height}",
                source.width, source.height
            ),
        ),
        Size::Width(width) => (
            is.0 == width
                && shapes(source, square).into_iter().any(|(w, h)| {
                    let slack = TOLERANCE_SHEET_PIXELS * (w.max(h) / w.min(h));
                    (f64::from(is.1) - f64::from(width) * h / w).abs() <= slack
                }),
            format!(
                "{width} pixels wide in the shape of {}x{}",
                source.width, source.height
            ),
        ),
    };
    if !right {
        faults.push(format!("it is {}x{}, not {wanted}", is.0, is.1));
    }
}

/// The shapes that the pictures of a stream may be shown in: with oblong pixels made square or, unless they must be, as
/// stored; and each of them turned.
fn shapes(source: &Stream, must_be_square: bool) -> Vec<(f64, f64)> {
    let (width, height) = (
        f64::from(source.width.max(1)),
        f64::from(source.height.max(1)),
    );
    let pixel = match source.pixel {
        (0, _) | (_, 0) => 1.0,
        (w, h) => f64::from(w) / f64::from(h),
    };
    let square = width * pixel;
    // Filters see pictures turned, and make the width right.
    let mut shapes = vec![(square, height), (height, square), (height / pixel, width)];
    if !must_be_square {
        shapes.extend([(width, height), (height, width)]);
    }
    shapes
}

/// Shapes that are taken for that of the box, by this part: 4:3 is told as 1.28 to 1.39 by cameras and broadcasters.
const SAME_SHAPE: f64 = 0.05;

/// Whether a size is a shape's, as large as a box allows.
fn fills(is: (u32, u32), (width, height): (f64, f64), (wide, high): (u32, u32)) -> bool {
    let (wide, high) = (f64::from(wide), f64::from(high));
    let is = (f64::from(is.0), f64::from(is.1));
    let shape = (width / height) / (wide / high);
    if (shape - 1.0).abs() <= SAME_SHAPE && is == (wide, high) {
        return true;
    }
    let part = (wide / width).min(high / height);
    let near = |side: f64, wanted: f64| (side - wanted).abs() <= TOLERANCE_PIXELS;
    is.0 <= wide && is.1 <= high && near(is.0, width * part) && near(is.1, height * part)
}

/// Whether a size is a shape's in a box, which is turned for a shape that is higher than wide.
fn fits(is: (u32, u32), (width, height): (f64, f64), within: (u32, u32)) -> bool {
    let (wide, high) = if width >= height {
        within
    } else {
        (within.1, within.0)
    };
    let part = (f64::from(wide) / width)
        .min(f64::from(high) / height)
        .min(1.0);
    let slack = TOLERANCE_PIXELS * (width.max(height) / width.min(height));
    let near = |side: u32, wanted: f64| (f64::from(side) - wanted).abs() <= slack;
    is.0 <= wide && is.1 <= high && near(is.0, width * part) && near(is.1, height * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: (u32, u32), pixel: (u32, u32), is: (u32, u32), size: Size) -> bool {
        let stream = |(width, height), pixel| Stream {
            width,
            height,
            pixel,
            ..Stream::default()
        };
        let mut faults = Vec::new();
        check_size(
            &stream(source, pixel),
            &stream(is, (1, 1)),
            size,
            false,
            &mut faults,
        );
        faults.is_empty()
    }

    #[test]
    fn a_box_holds_any_shape_and_enlarges_none() {
        let hd = Size::Within(1920, 1080);
        let square = (1, 1);
        assert!(check((3840, 2160), square, (1920, 1080), hd));
        assert!(check((2160, 3840), square, (1080, 1920), hd));
        // On its side in the header, upright when decoded.
        assert!(check((3840, 2160), square, (1080, 1920), hd));
        assert!(check((640, 480), square, (640, 480), hd));
        assert!(check((161, 121), square, (160, 120), hd));
        assert!(check((121, 251), square, (120, 248), hd));
        assert!(!check((640, 480), square, (1440, 1080), hd));
        assert!(!check((3840, 2160), square, (1920, 800), hd));
        assert!(!check((3840, 2160), square, (3840, 2160), hd));
    }

    #[test]
    fn a_box_is_filled() {
        let ipod = Size::Fit(320, 240);
        for (source, pixel, is, right) in [
            ((640, 480), (1, 1), (320, 240), true),
            ((160, 120), (1, 1), (320, 240), true),
            ((720, 480), (10, 11), (320, 240), true),
            ((720, 576), (64, 45), (320, 180), true),
            ((1920, 1080), (1, 1), (320, 180), true),
            ((1080, 1920), (1, 1), (136, 240), true),
            ((1920, 1080), (1, 1), (136, 240), true),
            ((1920, 1080), (1, 1), (320, 240), false),
            ((640, 480), (1, 1), (160, 120), false),
            ((1280, 1024), (1, 1), (300, 240), true),
        ] {
            assert_eq!(check(source, pixel, is, ipod), right, "{source:?} {is:?}");
        }
    }

    #[test]
    fn oblong_pixels_may_be_made_square() {
        let poster = Size::Within(1280, 720);
        assert!(check((720, 576), (64, 45), (1024, 576), poster));
        assert!(check((720, 576), (64, 45), (720, 576), poster));
        assert!(check((720, 576), (16, 11), (396, 720), poster));
        assert!(!check((720, 576), (64, 45), (900, 576), poster));
        assert!(check((720, 576), (64, 45), (1280, 720), Size::Width(1280)));
        assert!(!check((720, 576), (64, 45), (1270, 720), Size::Width(1280)));
        assert!(!check((720, 576), (64, 45), (1280, 500), Size::Width(1280)));
    }
}

//! Pictures whose size or shape changes in the middle, as in broadcasts and calls: one size for all of them.

/// Sides of a picture and the shape of its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Canvas {
    pub width: u32,
    pub height: u32,
    /// Width to height of a pixel.
    pub pixel: (u32, u32),
}

/// Whether pictures change their size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sizes {
    #[default]
    One,
    /// They do, and keep their shape: all become as large as the largest.
    SameShape(Canvas),
    /// They change their shape too, or only that: all are shown in the largest.
    OtherShapes(Canvas),
}

impl Canvas {
    /// `pixel` is the shape of a pixel, where it is known.
    pub fn new(width: u32, height: u32, pixel: (u32, u32)) -> Self {
        Self {
            width,
            height,
            pixel: match pixel {
                (0, _) | (_, 0) => (1, 1),
                known => known,
            },
        }
    }

    fn is_empty(self) -> bool {
        self.width == 0 || self.height == 0
    }

    /// Width to height as shown.
    fn shape(self) -> f64 {
        self.shown_width() / f64::from(self.height)
    }

    /// In pixels as high as this one's.
    fn shown_width(self) -> f64 {
        let (wide, high) = self.pixel;
        f64::from(self.width) * f64::from(wide) / f64::from(high)
    }

    fn turned(self) -> Self {
        Self {
            width: self.height,
            height: self.width,
            pixel: (self.pixel.1, self.pixel.0),
        }
    }
}

/// Shapes that differ by less than this part are one: sides are whole numbers, and 854x480 is 16:9 too.
const SAME_SHAPE: f64 = 0.02;

impl Sizes {
    /// What these are together.
    pub fn of(sizes: impl IntoIterator<Item = Canvas>) -> Self {
        let sizes: Vec<Canvas> = sizes.into_iter().filter(|one| !one.is_empty()).collect();
        let area = |one: &&Canvas| one.shown_width() * f64::from(one.height);
        let by_area = |a: &&Canvas, b: &&Canvas| area(a).total_cmp(&area(b));
        let Some(largest) = sizes.iter().max_by(by_area).copied() else {
            return Self::One;
        };
        let is_same = |one: &Canvas| (one.shape() / largest.shape() - 1.0).abs() < SAME_SHAPE;
        if sizes.iter().all(|one| *one == largest) {
            Self::One
        } else if sizes.iter().all(is_same) {
            Self::SameShape(largest)
        } else {
            Self::OtherShapes(largest)
        }
    }

    /// What all pictures become; `None` if they stay as they are.
    pub fn canvas(self) -> Option<Canvas> {
        match self {
            Self::One => None,
            Self::SameShape(canvas) | Self::OtherShapes(canvas) => Some(canvas),
        }
    }

    /// The filters that make one size of all; `is_turned`: filters see the pictures on their side.
    pub(super) fn filters(self, is_turned: bool) -> Vec<String> {
        let Some(canvas) = self.canvas() else {
            return Vec::new();
        };
        let canvas = if is_turned { canvas.turned() } else { canvas };
        let Canvas {
            width,
            height,
            pixel: (wide, high),
        } = canvas;
        let mut filters = match self {
            Self::OtherShapes(_) => vec![
                format!(
                    "scale=w=max(1\\,round(min({width}\\,{height}*dar*{high}/{wide}))):\
                     h=max(1\\,round(min({height}\\,{width}/dar*{wide}/{high}))):eval=frame"
                ),
                // In the middle of black.
                format!("pad={width}:{height}:-1:-1:eval=frame"),
            ],
            _ => vec![format!("scale={width}:{height}")],
        };
        // Sides are whole numbers: pixels would seem to be a little oblong.
        filters.push(format!("setsar={wide}/{high}"));
        filters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canvas((width, height): (u32, u32), pixel: (u32, u32)) -> Canvas {
        Canvas::new(width, height, pixel)
    }

    fn of(sizes: &[(u32, u32)]) -> Sizes {
        Sizes::of(sizes.iter().map(|size| canvas(*size, (0, 1))))
    }

    #[test]
    fn sizes_are_told_apart() {
        let square = |size| canvas(size, (1, 1));
        assert_eq!(of(&[]), Sizes::One);
        assert_eq!(of(&[(0, 0), (4, 4)]), Sizes::One);
        assert_eq!(
            of(&[(320, 180), (640, 360)]),
            Sizes::SameShape(square((640, 360)))
        );
        assert_eq!(
            of(&[(854, 480), (640, 360)]),
            Sizes::SameShape(square((854, 480)))
        );
        assert_eq!(
            of(&[(320, 240), (640, 360)]),
            Sizes::OtherShapes(square((640, 360)))
        );
    }

    #[test]
    fn pixels_of_another_shape_make_another_picture() {
        let (narrow, wide) = ((16, 15), (64, 45));
        let pal = (720, 576);
        assert_eq!(
            Sizes::of([canvas(pal, narrow), canvas(pal, wide)]),
            Sizes::OtherShapes(canvas(pal, wide))
        );
        assert_eq!(
            Sizes::of([canvas((1024, 576), (1, 1)), canvas(pal, wide)]),
            Sizes::SameShape(canvas(pal, wide))
        );
    }

    #[test]
    fn changing_sizes_become_the_largest() {
        assert_eq!(Sizes::One.filters(false), [""; 0]);
        assert_eq!(
            of(&[(320, 180), (640, 360)]).filters(false),
            ["scale=640:360", "setsar=1/1"]
        );
        let pal = canvas((720, 576), (64, 45));
        assert_eq!(
            Sizes::OtherShapes(pal).filters(false),
            [
                "scale=w=max(1\\,round(min(720\\,576*dar*45/64))):h=max(1\\,round(min(576\\,720/dar*64/45))):eval=frame",
                "pad=720:576:-1:-1:eval=frame",
                "setsar=64/45"
            ]
        );
        assert_eq!(
            Sizes::SameShape(pal).filters(true),
            ["scale=576:720", "setsar=45/64"]
        );
    }
}

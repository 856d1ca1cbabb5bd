//! What is done to a film's pictures before a preset's own filters see them, whatever the preset: one size, one instant a
//! picture, and colours that the output can tell.
//!
//! None of it depends on the preset but whether colours are to be those of a usual screen; so presets stay short, and users'
//! own get the same.

mod color;
mod look;
mod scan;
mod sizes;

use crate::media::{Color, LastPicture, Stream};
pub use color::Colors;
pub use look::{Fields, Look};
pub use scan::Scan;
pub use sizes::{Canvas, Sizes};

/// What is known of the pictures of a film.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Picture {
    /// The largest, in pixels as coded, without what the container crops.
    pub size: (u32, u32),
    /// Width to height of a pixel; 0/0 if unknown.
    pub pixel: (u32, u32),
    /// Whether that changes in the middle.
    pub sizes: Sizes,
    /// They are shown on their side: filters see them turned.
    pub is_turned: bool,
    /// Pictures a second; 0 if unknown.
    pub rate: f64,
    /// As ffmpeg names it.
    pub pixel_format: String,
    pub color: Color,
    pub scan: Scan,
    /// The last one, if it is shown for longer than the others.
    pub last: Option<LastPicture>,
    /// For a while none comes.
    pub has_pauses: bool,
    /// For so long the last few are shown.
    pub ends_slowly: bool,
}

/// So many seconds without a picture are a pause, and so many a slow end. Encoders put a dozen pictures in another order at the most.
pub const PAUSE_SECONDS: f64 = 0.5;

impl Picture {
    /// Of a stream as its header tells.
    pub fn of(stream: &Stream) -> Self {
        let rate = [stream.mean_rate, stream.rate]
            .into_iter()
            .find(|(n, d)| *n > 0 && *d > 0);
        Self {
            size: (stream.width, stream.height),
            pixel: stream.pixel,
            is_turned: stream.is_turned,
            rate: rate.map_or(0.0, |(n, d)| f64::from(n) / f64::from(d)),
            pixel_format: stream.pixel_format.clone(),
            color: stream.color.clone(),
            ..Self::default()
        }
    }

    /// The filters, to stand before a preset's own; none for pictures that need none. `may_grow`: odd sides may become even.
    pub fn filters(&self, colors: Colors, may_grow: bool) -> Vec<String> {
        let mut filters = self.sizes.filters(self.is_turned);
        filters.extend(self.scan.filters());
        filters.extend(color::filters(self, colors, may_grow));
        filters
    }

    /// Whether players take its pixels for square.
    pub fn has_square_pixels(&self) -> bool {
        matches!(self.pixel, (0, _) | (_, 0)) || self.pixel.0 == self.pixel.1
    }

    /// Whether the colours can be converted here.
    ///
    /// # Errors
    /// A sentence that says why not.
    pub fn check_colors(&self) -> Result<(), String> {
        color::check(self)
    }

    /// What stands before the input: where sizes change, ffmpeg is not to begin anew with its filters, which would lose what
    /// they hold; the first of them makes one size of all.
    pub fn input_options(&self) -> Vec<String> {
        match self.sizes {
            Sizes::One => Vec::new(),
            _ => ["-reinit_filter:v", "0"].map(str::to_owned).into(),
        }
    }

    /// What an encoder must be told of the pictures, for an output whose colours are the input's: parameters of that encoder.
    pub fn encoder_parameters(&self, encoder: &str) -> Vec<String> {
        let mut parameters = color::encoder_parameters(&self.color, encoder);
        if self.needs_order() && encoder == "libx265" {
            parameters.push("bframes=0".to_owned());
        }
        parameters
    }

    /// Whether pictures must be coded in the order in which they are shown. MP4 adds up lengths in the order of decoding, and
    /// loses what comes after the picture that is decoded last.
    fn needs_order(&self) -> bool {
        self.last.is_some() || self.ends_slowly
    }

    /// Options that say how long pictures are shown: each by the expression `usually` of ffmpeg's `setts`, the last for as
    /// long as it is in the input.
    pub fn duration_options(&self, encoder: &str, usually: &str) -> Vec<String> {
        let mut options: Vec<String> = Vec::new();
        // What is coded before a pause and shown after it would seem to last as long as the pause.
        let is_torn = self.has_pauses && usually == Self::TO_THE_NEXT;
        if encoder == "libx264" && (self.needs_order() || is_torn) {
            options.extend(["-bf", "0"].map(str::to_owned));
        }
        if self.last.is_some() || usually != Self::AS_CODED {
            options.push("-bsf:v".to_owned());
            options.push(durations(self.last, usually));
        }
        options
    }

    /// The same for pictures that are copied.
    pub fn copied_duration_options(last: LastPicture) -> [String; 2] {
        ["-bsf:v:0".to_owned(), durations(Some(last), Self::AS_CODED)]
    }

    /// Lengths as the encoder tells them.
    pub const AS_CODED: &str = "DURATION";

    /// Lengths up to the next packet, for a muxer that adds up what packets say of themselves.
    pub const TO_THE_NEXT: &str = "if(eq(NEXT_DTS\\,NOPTS)\\,DURATION\\,NEXT_DTS-DTS)";
}

/// ffmpeg's filter that gives packets the length `usually`, and the last its own.
fn durations(last: Option<LastPicture>, usually: &str) -> String {
    let seconds = match last {
        // Its own time tells the unit: ffmpeg 5.1 has another for TB than for the packets that it gives.
        Some(LastPicture { at, seconds }) => {
            let times = seconds / at;
            format!("if(eq(NEXT_PTS\\,NOPTS)\\,PTS*{times:.9}\\,{usually})")
        }
        None => usually.to_owned(),
    };
    // Without the first two it gives every packet one time for both.
    format!("setts=pts=PTS:dts=DTS:duration={seconds}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_not_begun_anew_where_sizes_change() {
        let mut picture = Picture::default();
        assert_eq!(picture.filters(Colors::Source, true), [""; 0]);
        assert_eq!(picture.input_options(), [""; 0]);
        picture.sizes = Sizes::SameShape(Canvas::new(640, 360, (1, 1)));
        assert_eq!(picture.filters(Colors::Source, true)[0], "scale=640:360");
        assert_eq!(picture.input_options(), ["-reinit_filter:v", "0"]);
    }

    #[test]
    fn a_last_picture_keeps_its_time() {
        let mut picture = Picture::default();
        let options = |picture: &Picture, usually| picture.duration_options("libx264", usually);
        assert_eq!(options(&picture, Picture::AS_CODED), [""; 0]);
        assert_eq!(
            options(&picture, Picture::TO_THE_NEXT)[1],
            "setts=pts=PTS:dts=DTS:duration=if(eq(NEXT_DTS\\,NOPTS)\\,DURATION\\,NEXT_DTS-DTS)"
        );
        picture.has_pauses = true;
        assert_eq!(options(&picture, Picture::AS_CODED), [""; 0]);
        assert_eq!(options(&picture, Picture::TO_THE_NEXT)[..2], ["-bf", "0"]);
        picture.ends_slowly = true;
        assert_eq!(options(&picture, Picture::AS_CODED), ["-bf", "0"]);
        picture.last = Some(LastPicture {
            at: 1.5,
            seconds: 3.0,
        });
        assert_eq!(
            options(&picture, Picture::AS_CODED),
            [
                "-bf",
                "0",
                "-bsf:v",
                "setts=pts=PTS:dts=DTS:duration=if(eq(NEXT_PTS\\,NOPTS)\\,PTS*2.000000000\\,DURATION)"
            ]
        );
        assert_eq!(picture.encoder_parameters("libx265"), ["bframes=0"]);
        assert_eq!(picture.encoder_parameters("libsvtav1"), [""; 0]);
    }
}

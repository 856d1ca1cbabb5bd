//! Colours: from what a film has to what an output can tell.
//!
//! Presets for browsers and phones want what any screen shows rightly: BT.709 in 8 bits. What is brighter or more saturated is
//! brought into that, and all of it is said in the output's header. Numbers stand for other colours in each matrix, so a
//! picture whose numbers are kept and whose header is lost is shown in other colours.

use super::Picture;
use crate::media::{Color, Mastering};

/// What colours an output is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colors {
    /// The input's.
    Source,
    /// BT.709, of limited range.
    Film,
    /// BT.709's, in the matrix and range of JFIF: what every reader of a JPEG takes it for.
    Jpeg,
    /// BT.709's, as red, green and blue.
    Rgb,
}

/// The luminance of white paper in HDR, in cd/m² (ITU-R BT.2408): it becomes the white of BT.709.
const PAPER_NITS: f64 = 203.0;

/// HLG is shown on a screen of so many cd/m² unless it says otherwise (ITU-R BT.2100) …
const HLG_PEAK_NITS: f64 = 1000.0;

/// … and PQ is usually graded on one.
const PQ_PEAK_NITS: f64 = 1000.0;

/// Matrices that swscale knows. Others go by zimg.
const SWSCALE: [&str; 7] = [
    "bt709",
    "fcc",
    "bt470bg",
    "smpte170m",
    "smpte240m",
    "bt2020nc",
    "bt2020_ncl",
];

/// Matrices that zimg knows beside them.
const ZIMG: [&str; 5] = [
    "ycgco",
    "bt2020c",
    "chroma-derived-nc",
    "chroma-derived-c",
    "ictcp",
];

/// Transfer characteristics that zimg knows.
const TRANSFERS: [&str; 13] = [
    "bt709",
    "bt470m",
    "bt470bg",
    "smpte170m",
    "smpte240m",
    "linear",
    "log100",
    "log316",
    "iec61966-2-1",
    "bt2020-10",
    "bt2020-12",
    "smpte2084",
    "arib-std-b67",
];

/// Primaries that are as good as those of BT.709: of standard definition.
const NARROW: [&str; 6] = ["", "bt709", "bt470m", "bt470bg", "smpte170m", "smpte240m"];

/// The filters that bring a film's colours into those of an output. `may_grow`: odd sides may become even.
pub(super) fn filters(picture: &Picture, colors: Colors, may_grow: bool) -> Vec<String> {
    let mut source = Source::of(picture);
    source.grows = may_grow && !source.is_even;
    if colors == Colors::Source {
        return source.keep();
    }
    let mut filters = if picture.color.is_hdr() || source.is_wide() {
        source.narrow(colors)
    } else {
        source.convert(colors)
    };
    if colors == Colors::Film {
        filters.push(
            "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709".to_owned(),
        );
    }
    filters
}

/// Whether nothing here can convert the pictures' colours.
///
/// # Errors
/// A sentence with the matrix.
pub(super) fn check(picture: &Picture) -> Result<(), String> {
    let source = Source::of(picture);
    if source.is_usual() || ZIMG.contains(&source.matrix) {
        return Ok(());
    }
    Err(format!(
        "its colours are coded in the matrix `{}`, which ffmpeg can't convert; the preset `remux` keeps them",
        source.matrix
    ))
}

/// What a film's numbers mean.
struct Source<'a> {
    color: &'a Color,
    is_rgb: bool,
    /// Colours by their number in a table, for which swscale knows one matrix only.
    is_indexed: bool,
    /// Both sides are even, as pictures with fewer colours than pixels should have them.
    is_even: bool,
    /// They are not, and become so.
    grows: bool,
    /// Width to height of a pixel as filters see it; 0/0 if unknown.
    pixel: (u32, u32),
    /// Ten bits and more for each of red, green and blue.
    is_deep: bool,
    /// The matrix, told or assumed.
    matrix: &'a str,
}

impl<'a> Source<'a> {
    fn of(picture: &'a Picture) -> Self {
        let color = &picture.color;
        let format = picture.pixel_format.as_str();
        let is_rgb = color.matrix == "gbr" || RGB.iter().any(|begin| format.starts_with(begin));
        let (width, height) = picture.size;
        let matrix = match color.matrix.as_str() {
            // What players assume: the matrix of standard definition for pictures of that size.
            "" | "gbr" if color.is_hdr() => "bt2020nc",
            "" | "gbr" if width < 1280 && height <= 576 => "smpte170m",
            "" | "gbr" => "bt709",
            told => told,
        };
        Self {
            color,
            is_rgb,
            is_indexed: INDEXED.contains(&format),
            is_even: width % 2 == 0 && height % 2 == 0,
            grows: false,
            pixel: match picture.pixel {
                (wide, high) if picture.is_turned => (high, wide),
                pixel => pixel,
            },
            is_deep: DEEP.iter().any(|bits| format.contains(bits)),
            matrix,
        }
    }

    /// The brightest of an HDR film, in cd/m².
    fn peak(&self) -> Option<f64> {
        match self.color.transfer.as_str() {
            "smpte2084" => Some(self.color.peak.unwrap_or(PQ_PEAK_NITS)),
            "arib-std-b67" => Some(HLG_PEAK_NITS),
            _ => None,
        }
    }

    /// Whether swscale reads its numbers.
    fn is_usual(&self) -> bool {
        self.is_rgb || SWSCALE.contains(&self.matrix)
    }

    /// More colours than BT.709 has, or numbers that swscale can't read.
    fn is_wide(&self) -> bool {
        !NARROW.contains(&self.color.primaries.as_str()) || !self.is_usual()
    }

    /// As zimg names it; curves that it doesn't know are near that of BT.709.
    fn transfer(&self) -> &str {
        let told = self.color.transfer.as_str();
        if TRANSFERS.contains(&told) {
            told
        } else {
            "bt709"
        }
    }

    /// Colours stay. Red, green and blue, and what players can't read, become luminance and chrominance in a matrix that they
    /// can, which is said.
    fn keep(&self) -> Vec<String> {
        // What swscale, zimg and ffmpeg's tags call the usual matrix of these primaries.
        let [swscale, zimg, tag] = if self.color.primaries == "bt2020" {
            ["bt2020", "2020_ncl", "bt2020nc"]
        } else {
            ["bt709", "709", "bt709"]
        };
        let mut filters = if self.is_rgb {
            self.scale(&format!("out_color_matrix={swscale}:out_range=tv"))
        } else if self.is_usual() {
            return if self.grows {
                self.even("")
            } else {
                Vec::new()
            };
        } else {
            let mut filters = self.told();
            filters.push(format!("zscale=m={zimg}:r=limited"));
            filters
        };
        let format = if self.is_deep {
            "yuv420p10le"
        } else {
            "yuv420p"
        };
        filters.push(format!("format={format}"));
        filters.push(format!("setparams=range=tv:colorspace={tag}"));
        filters
    }

    /// From one matrix and range to another.
    fn convert(&self, colors: Colors) -> Vec<String> {
        let (matrix, range, format) = match colors {
            Colors::Jpeg => ("smpte170m", "pc", "yuvj420p"),
            Colors::Rgb if self.is_rgb => return Vec::new(),
            // The filter that needs them converts.
            Colors::Rgb => return vec![format!("setparams=colorspace={}", self.matrix)],
            Colors::Film | Colors::Source => ("bt709", "tv", "yuv420p"),
        };
        let told = if self.color.matrix.is_empty() && !self.is_rgb {
            format!("in_color_matrix={}:", self.matrix)
        } else {
            String::new()
        };
        let mut filters = self.scale(&format!(
            "{told}out_color_matrix={matrix}:out_range={range}"
        ));
        filters.push(format!("format={format}"));
        filters
    }

    /// swscale with these options. Sides become even while each pixel still has its colour: of the last one it would mix the
    /// colour with that of a pixel that isn't there.
    fn scale(&self, options: &str) -> Vec<String> {
        let mut filters = Vec::new();
        if self.is_indexed {
            filters.push("format=rgb24".to_owned());
        }
        if self.grows {
            filters.extend(self.even(&format!(":{options}")));
        } else {
            filters.push(format!("scale={options}"));
        }
        filters
    }

    /// Sides that are odd get a pixel more, which keeps its shape.
    fn even(&self, options: &str) -> Vec<String> {
        let mut filters = vec![format!("scale=ceil(iw/2)*2:ceil(ih/2)*2{options}")];
        if let (wide @ 1.., high @ 1..) = self.pixel {
            filters.push(format!("setsar={wide}/{high}"));
        }
        filters
    }

    /// For `zscale`: even sides, and all that it must know. In ffmpeg 7.1 it heeds what pictures say, and not what it is told
    /// in their place.
    fn told(&self) -> Vec<String> {
        let mut filters = Vec::new();
        if !self.is_even {
            filters.extend(self.even(""));
        }
        let matrix = if self.is_rgb { "gbr" } else { self.matrix };
        let range = or(&self.color.range, if self.is_rgb { "pc" } else { "tv" });
        let assumed = if self.color.is_hdr() {
            "bt2020"
        } else {
            "bt709"
        };
        filters.push(format!(
            "setparams=range={range}:color_primaries={}:color_trc={}:colorspace={matrix}",
            or(&self.color.primaries, assumed),
            self.transfer(),
        ));
        filters
    }

    /// From more light or more colours to those of BT.709, in linear light.
    fn narrow(&self, colors: Colors) -> Vec<String> {
        let mut filters = self.told();
        // HLG's light depends on all three colours of a pixel (ITU-R BT.2100, OOTF); by tables zimg takes each for itself.
        let tables = if self.color.transfer == "arib-std-b67" {
            ":agamma=0"
        } else {
            ""
        };
        filters.push(format!("zscale=t=linear:npl={PAPER_NITS}{tables}"));
        filters.push("format=gbrpf32le".to_owned());
        filters.push("zscale=p=bt709".to_owned());
        if let Some(peak) = self.peak()
            && peak > PAPER_NITS
        {
            // Darker than a third of white nothing changes; above, highlights share what is left.
            filters.push(format!(
                "tonemap=tonemap=mobius:param=0.3:desat=0:peak={:.4}",
                peak / PAPER_NITS
            ));
        }
        let (matrix, range, format) = match colors {
            Colors::Jpeg => ("m=170m:", "full", "yuvj420p"),
            Colors::Rgb => ("", "full", "gbrp"),
            Colors::Film | Colors::Source => ("m=709:", "limited", "yuv420p"),
        };
        filters.push(format!("zscale=t=709:p=709:{matrix}r={range}"));
        filters.push(format!("format={format}"));
        filters
    }
}

/// How names of formats begin whose pixels are red, green and blue.
const RGB: [&str; 11] = [
    "rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "x2rgb", "x2bgr", "pal8", "bayer",
];

/// … and those of which a pixel is a number of 8 bits or less.
const INDEXED: [&str; 7] = [
    "pal8",
    "rgb8",
    "bgr8",
    "rgb4",
    "bgr4",
    "rgb4_byte",
    "bgr4_byte",
];

/// What names of formats contain that have ten bits and more of each colour.
const DEEP: [&str; 9] = [
    "p10", "p12", "p14", "p16", "x2rgb10", "x2bgr10", "f32", "48", "64",
];

fn or<'a>(told: &'a str, assumed: &'a str) -> &'a str {
    if told.is_empty() { assumed } else { told }
}

/// What an encoder is told of HDR, in its own words, where the colours are the input's: ffmpeg 7.1 says so by itself, 5.1
/// doesn't.
pub(super) fn encoder_parameters(color: &Color, encoder: &str) -> Vec<String> {
    if color.transfer != "smpte2084" {
        return Vec::new();
    }
    let mut parameters = Vec::new();
    match encoder {
        "libx265" => {
            parameters.push("hdr10=1".to_owned());
            if let Some(Mastering { points, luminance }) = color.mastering {
                let [r, g, b, w] = points.map(|(x, y)| format!("({x},{y})"));
                let (darkest, brightest) = luminance;
                parameters.push(format!(
                    "master-display=G{g}B{b}R{r}WP{w}L({brightest},{darkest})"
                ));
            }
            if let Some((most, mean)) = color.light {
                parameters.push(format!("max-cll={most},{mean}"));
            }
        }
        "libsvtav1" => {
            if let Some(Mastering { points, luminance }) = color.mastering {
                let unit = |n: u32| f64::from(n) / 50_000.0;
                let [r, g, b, w] = points.map(|(x, y)| format!("({:.5},{:.5})", unit(x), unit(y)));
                let nits = |n: u32| f64::from(n) / 10_000.0;
                let (darkest, brightest) = luminance;
                parameters.push(format!(
                    "mastering-display=G{g}B{b}R{r}WP{w}L({:.4},{:.4})",
                    nits(brightest),
                    nits(darkest)
                ));
            }
            if let Some((most, mean)) = color.light {
                parameters.push(format!("content-light={most},{mean}"));
            }
        }
        _ => {}
    }
    parameters
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(size: (u32, u32), format: &str, tags: [&str; 4]) -> Picture {
        let [range, matrix, transfer, primaries] = tags.map(str::to_owned);
        Picture {
            size,
            pixel_format: format.to_owned(),
            color: Color {
                range,
                matrix,
                transfer,
                primaries,
                ..Color::default()
            },
            ..Picture::default()
        }
    }

    fn line(picture: &Picture, colors: Colors) -> String {
        filters(picture, colors, true).join(",")
    }

    const TAGS: &str = ",setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709";

    #[test]
    fn matrices_are_told_or_assumed_by_size() {
        let none = ["", "", "", ""];
        let sd = picture((720, 576), "yuv420p", none);
        assert_eq!(
            line(&sd, Colors::Film),
            format!(
                "scale=in_color_matrix=smpte170m:out_color_matrix=bt709:out_range=tv,format=yuv420p{TAGS}"
            )
        );
        let hd = picture((1280, 720), "yuv420p", none);
        assert!(line(&hd, Colors::Film).starts_with("scale=in_color_matrix=bt709:"));
        assert_eq!(
            line(&hd, Colors::Jpeg),
            "scale=in_color_matrix=bt709:out_color_matrix=smpte170m:out_range=pc,format=yuvj420p"
        );
        assert_eq!(line(&hd, Colors::Rgb), "setparams=colorspace=bt709");
        assert_eq!(line(&hd, Colors::Source), "");
        let told = picture((720, 576), "yuvj420p", ["pc", "bt470bg", "", ""]);
        assert!(
            line(&told, Colors::Film).starts_with("scale=out_color_matrix=bt709:out_range=tv,")
        );
    }

    #[test]
    fn red_green_and_blue_get_a_matrix() {
        let screen = picture((1280, 720), "gbrp", ["pc", "gbr", "", ""]);
        assert_eq!(
            line(&screen, Colors::Film),
            format!("scale=out_color_matrix=bt709:out_range=tv,format=yuv420p{TAGS}")
        );
        assert_eq!(
            line(&screen, Colors::Source),
            "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,setparams=range=tv:colorspace=bt709"
        );
        assert_eq!(line(&screen, Colors::Rgb), "");
        let deep = picture((64, 64), "gbrp10le", ["", "gbr", "smpte2084", "bt2020"]);
        assert!(
            line(&deep, Colors::Source)
                .contains("format=yuv420p10le,setparams=range=tv:colorspace=bt2020nc")
        );
    }

    #[test]
    fn indexed_colours_become_red_green_and_blue_first() {
        let tags = ["", "gbr", "", ""];
        let icon = picture((64, 64), "pal8", tags);
        assert!(
            line(&icon, Colors::Film)
                .starts_with("format=rgb24,scale=out_color_matrix=bt709:out_range=tv,")
        );
        assert_eq!(line(&icon, Colors::Rgb), "");
        let deep = picture((64, 64), "rgb48le", tags);
        assert!(line(&deep, Colors::Film).starts_with("scale=out_color_matrix"));
    }

    #[test]
    fn odd_sides_become_even_before_pixels_share_a_colour() {
        let tags = ["tv", "bt709", "bt709", "bt709"];
        let mut odd = picture((33, 17), "yuv444p", tags);
        assert!(
            filters(&odd, Colors::Film, false)[0].starts_with("scale=out_color_matrix"),
            "where sides must stay"
        );
        assert_eq!(
            line(&odd, Colors::Source),
            "scale=ceil(iw/2)*2:ceil(ih/2)*2"
        );
        odd.pixel = (4, 3);
        odd.is_turned = true;
        for (colors, begin) in [
            (
                Colors::Film,
                "scale=ceil(iw/2)*2:ceil(ih/2)*2:out_color_matrix=bt709:out_range=tv,setsar=3/4,format=yuv420p",
            ),
            (
                Colors::Jpeg,
                "scale=ceil(iw/2)*2:ceil(ih/2)*2:out_color_matrix=smpte170m:",
            ),
        ] {
            let line = line(&odd, colors);
            assert!(line.starts_with(begin), "{line}");
        }
        let screen = picture((33, 17), "gbrp", ["pc", "gbr", "", ""]);
        assert!(
            line(&screen, Colors::Source)
                .starts_with("scale=ceil(iw/2)*2:ceil(ih/2)*2:out_color_matrix=bt709:")
        );
    }

    #[test]
    fn a_matrix_that_players_cannot_read_becomes_the_usual_one() {
        for (format, tags, result) in [
            (
                "yuv444p",
                ["tv", "ycgco", "", ""],
                "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=ycgco,\
                 zscale=m=709:r=limited,format=yuv420p,setparams=range=tv:colorspace=bt709",
            ),
            (
                "yuv420p10le",
                ["", "ictcp", "smpte2084", "bt2020"],
                "setparams=range=tv:color_primaries=bt2020:color_trc=smpte2084:colorspace=ictcp,\
                 zscale=m=2020_ncl:r=limited,format=yuv420p10le,setparams=range=tv:colorspace=bt2020nc",
            ),
        ] {
            let picture = picture((640, 360), format, tags);
            assert_eq!(line(&picture, Colors::Source), result);
            assert_eq!(check(&picture), Ok(()));
        }
    }

    #[test]
    fn hdr_is_brought_into_the_light_of_a_screen() {
        let hlg = ["tv", "bt2020nc", "arib-std-b67", "bt2020"];
        let phone = picture((640, 360), "yuv420p10le", hlg);
        assert_eq!(
            line(&phone, Colors::Film),
            format!(
                "setparams=range=tv:color_primaries=bt2020:color_trc=arib-std-b67:colorspace=bt2020nc,\
                 zscale=t=linear:npl=203:agamma=0,format=gbrpf32le,\
                 zscale=p=bt709,tonemap=tonemap=mobius:param=0.3:desat=0:peak=4.9261,\
                 zscale=t=709:p=709:m=709:r=limited,format=yuv420p{TAGS}"
            )
        );
        assert_eq!(line(&phone, Colors::Source), "");
        let mut pq = picture(
            (641, 360),
            "yuv420p10le",
            ["tv", "bt2020nc", "smpte2084", "bt2020"],
        );
        pq.color.peak = Some(4000.0);
        let shown = line(&pq, Colors::Film);
        assert!(shown.starts_with("scale=ceil(iw/2)*2:"), "{shown}");
        assert!(shown.contains("peak=19.7044"), "{shown}");
        let untold = picture((640, 360), "yuv420p10le", ["", "", "smpte2084", ""]);
        let shown = line(&untold, Colors::Film);
        assert!(
            shown.starts_with(
                "setparams=range=tv:color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc,"
            ),
            "{shown}"
        );
        let cinema = picture(
            (640, 360),
            "yuv420p",
            ["tv", "bt709", "smpte428", "smpte431"],
        );
        assert!(
            line(&cinema, Colors::Film)
                .starts_with("setparams=range=tv:color_primaries=smpte431:color_trc=bt709:")
        );
        let strange = picture((640, 360), "yuv444p", ["tv", "smpte2085", "", ""]);
        let error = check(&strange).expect_err("is refused");
        assert!(error.contains("`smpte2085`"), "{error}");
        let wide = picture((640, 360), "yuv420p", ["tv", "bt709", "bt709", "smpte432"]);
        let shown = line(&wide, Colors::Rgb);
        assert!(
            shown.contains("color_primaries=smpte432") && !shown.contains("tonemap"),
            "{shown}"
        );
        assert!(
            shown.ends_with("zscale=t=709:p=709:r=full,format=gbrp"),
            "{shown}"
        );
    }

    #[test]
    fn encoders_are_told_of_hdr() {
        let mut color = Color {
            transfer: "smpte2084".to_owned(),
            mastering: Some(Mastering {
                points: [
                    (34_000, 16_000),
                    (13_250, 34_500),
                    (7500, 3000),
                    (15_635, 16_450),
                ],
                luminance: (1, 10_000_000),
            }),
            light: Some((1000, 400)),
            ..Color::default()
        };
        assert_eq!(
            encoder_parameters(&color, "libx265").join(":"),
            "hdr10=1:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400"
        );
        assert_eq!(
            encoder_parameters(&color, "libsvtav1").join(":"),
            "mastering-display=G(0.26500,0.69000)B(0.15000,0.06000)R(0.68000,0.32000)WP(0.31270,0.32900)\
             L(1000.0000,0.0001):content-light=1000,400"
        );
        assert_eq!(encoder_parameters(&color, "libx264"), [""; 0]);
        color.transfer = "arib-std-b67".to_owned();
        assert_eq!(encoder_parameters(&color, "libx265"), [""; 0]);
    }
}

//! What encoders can't take: told before anything is converted, with what to do. ffmpeg would tell it in the encoder's words,
//! or crash.

use super::{Facts, Preset, Presets, Size};
use crate::picture::Picture;

/// What an encoder takes.
struct Limits {
    encoder: &'static str,
    /// What people call it.
    name: &'static str,
    /// Of each side, in pixels.
    least: u32,
    most: u32,
    /// Pictures a second.
    fastest: f64,
    /// A side that is shorter than that must be a multiple of 8.
    ragged: u32,
}

/// SVT-AV1: its user guide (64 to 16384 by 8704 pixels, 240 frames a second). x265: its documentation (16 pixels); with
/// smaller pictures than 64 pixels whose sides are no multiples of 8, version 4.1 writes beyond its memory. x264: level limits
/// aside, its sides end where 16 bits do.
const LIMITS: [Limits; 3] = [
    Limits {
        encoder: "libsvtav1",
        name: "SVT-AV1",
        least: 64,
        most: 16_384,
        fastest: 240.0,
        ragged: 0,
    },
    Limits {
        encoder: "libx265",
        name: "x265",
        least: 16,
        most: 16_384,
        fastest: f64::INFINITY,
        ragged: 64,
    },
    Limits {
        encoder: "libx264",
        name: "x264",
        least: 2,
        most: 16_384,
        fastest: f64::INFINITY,
        ragged: 0,
    },
];

/// What the preset that takes nearly anything is called.
const OTHER: &str = "web";

/// Whether the encoders of a preset take a film's pictures.
///
/// # Errors
/// A sentence with the limit, and what would work.
pub(super) fn check(preset: &Preset, facts: &Facts) -> Result<(), String> {
    let Some(picture) = &facts.picture else {
        return Ok(());
    };
    if let Some((profile, false)) = picture.color.dolby_vision
        && preset.recodes_video()
    {
        return Err(format!(
            "its colours are in Dolby Vision metadata of profile {profile}, which nothing here reads; the preset `remux` keeps it as it is"
        ));
    }
    for output in &preset.outputs {
        if output.expect.recodes_video() {
            picture.check_colors()?;
        }
        let encoders = output.args.windows(2).filter(|pair| pair[0] == "-c:v");
        let limits = encoders.filter_map(|pair| LIMITS.iter().find(|one| one.encoder == pair[1]));
        for limit in limits {
            limit.check(picture, output.expect.size).map_err(|why| {
                match Presets::builtin().get(OTHER) {
                    Some(other) if other.name != preset.name => {
                        format!("{why}; the preset `{OTHER}` takes it")
                    }
                    _ => why,
                }
            })?;
        }
    }
    Ok(())
}

impl Limits {
    fn check(&self, picture: &Picture, size: Option<Size>) -> Result<(), String> {
        let Self { name, fastest, .. } = self;
        // A preset may lower the rate by its own options; of those that keep it this is the rate.
        if picture.rate > fastest + 0.5 {
            return Err(format!(
                "{name} takes {fastest:.0} pictures a second at most, and this film has {:.0}",
                picture.rate
            ));
        }
        // Other sizes are the preset's own choice.
        if !matches!(size, Some(Size::Even | Size::Source)) {
            return Ok(());
        }
        let even = |side: u32| side.saturating_add(side % 2);
        let (width, height) = (even(picture.size.0), even(picture.size.1));
        let has = format!("this film has {width}x{height}");
        let sides = [width, height];
        if sides.iter().any(|side| *side < self.least) {
            return Err(format!(
                "{name} takes pictures of at least {0}x{0} pixels, and {has}",
                self.least
            ));
        }
        if sides.iter().any(|side| *side > self.most) {
            return Err(format!(
                "{name} takes pictures at most {} pixels wide or high, and {has}",
                self.most
            ));
        }
        let is_ragged = sides.iter().any(|side| side % 8 != 0);
        if is_ragged && sides.iter().any(|side| *side < self.ragged) {
            return Err(format!(
                "{name} takes pictures of less than {0}x{0} pixels only if their sides are multiples of 8, and {has}",
                self.ragged
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(preset: &str, size: (u32, u32), rate: f64) -> Result<(), String> {
        let facts = Facts {
            picture: Some(Picture {
                size,
                rate,
                ..Picture::default()
            }),
            ..Facts::default()
        };
        check(Presets::builtin().get(preset).expect("exists"), &facts)
    }

    #[test]
    fn a_limit_is_named_with_what_would_work() {
        assert_eq!(
            told("av1", (320, 240), 1000.0),
            Err("SVT-AV1 takes 240 pictures a second at most, and this film has 1000; the preset `web` takes it".to_owned())
        );
        for (preset, size, words) in [
            (
                "av1",
                (62, 240),
                "at least 64x64 pixels, and this film has 62x240",
            ),
            ("hevc", (33, 17), "multiples of 8, and this film has 34x18"),
            ("hevc", (14, 64), "at least 16x16"),
            ("web", (20_000, 64), "at most 16384 pixels"),
        ] {
            let error = told(preset, size, 25.0).expect_err(preset);
            assert!(error.contains(words), "{error}");
            assert_eq!(error.contains("`web`"), preset != "web", "{error}");
        }
        for (preset, size) in [
            ("av1", (64, 64)),
            ("hevc", (16, 48)),
            ("hevc", (66, 66)),
            ("web", (33, 17)),
            ("web-1080p", (20_000, 64)),
        ] {
            assert_eq!(told(preset, size, 240.0), Ok(()), "{preset}");
        }
        assert_eq!(told("gif", (320, 240), 1000.0), Ok(()));
    }
}

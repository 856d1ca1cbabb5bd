//! What ffprobe calls side data: what a container or a picture says beside the pictures themselves.

use serde::Deserialize;

use super::{Color, Mastering};

/// One entry of a `side_data_list`. Cropping is printed since version 7, whose ffmpeg applies it when it decodes.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct SideData {
    #[serde(default, rename = "side_data_type")]
    kind: String,
    #[serde(default)]
    pub crop_top: u32,
    #[serde(default)]
    pub crop_bottom: u32,
    #[serde(default)]
    pub crop_left: u32,
    #[serde(default)]
    pub crop_right: u32,
    /// By which the picture is turned when shown, in degrees.
    rotation: Option<f64>,
    dv_profile: Option<u32>,
    dv_bl_signal_compatibility_id: Option<u32>,
    max_content: Option<u32>,
    max_average: Option<u32>,
    red_x: Option<String>,
    red_y: Option<String>,
    green_x: Option<String>,
    green_y: Option<String>,
    blue_x: Option<String>,
    blue_y: Option<String>,
    white_point_x: Option<String>,
    white_point_y: Option<String>,
    min_luminance: Option<String>,
    max_luminance: Option<String>,
}

/// A screen that is darker than paper, or brighter than PQ can say, in cd/m²: no peak of a film.
const PEAKS: std::ops::RangeInclusive<f64> = 100.0..=10_000.0;

impl SideData {
    /// By a right angle.
    pub(crate) fn is_turned(&self) -> bool {
        self.rotation
            .is_some_and(|angle| (angle.abs() % 180.0 - 90.0).abs() < 1.0)
    }

    /// As American television has them (EIA-608 and 708), in ffprobe's words.
    pub(crate) fn is_captions(&self) -> bool {
        self.kind == "ATSC A53 Part 4 Closed Captions"
    }

    /// Adds what it tells of colours.
    pub(crate) fn add_to(&self, color: &mut Color) {
        if let Some(profile) = self.dv_profile {
            // 0: the pictures are in colours of its own (ITU-T H.Sup; ETSI TS 103 572).
            let alone = self.dv_bl_signal_compatibility_id.is_some_and(|id| id != 0);
            color.dolby_vision = Some((profile, alone));
        }
        if let (Some(most), Some(mean)) = (self.max_content, self.max_average)
            && most > 0
        {
            color.light = Some((most, mean));
        }
        if let Some(mastering) = self.mastering() {
            color.mastering = Some(mastering);
        }
        let graded = color
            .mastering
            .map(|one| f64::from(one.luminance.1) / 10_000.0);
        let brightest = color.light.map(|(most, _)| f64::from(most));
        color.peak = brightest
            .filter(|nits| PEAKS.contains(nits))
            .or(graded.filter(|nits| PEAKS.contains(nits)));
    }

    fn mastering(&self) -> Option<Mastering> {
        let chroma = |x: &Option<String>, y: &Option<String>| {
            Some((
                units(x.as_deref()?, 50_000.0)?,
                units(y.as_deref()?, 50_000.0)?,
            ))
        };
        Some(Mastering {
            points: [
                chroma(&self.red_x, &self.red_y)?,
                chroma(&self.green_x, &self.green_y)?,
                chroma(&self.blue_x, &self.blue_y)?,
                chroma(&self.white_point_x, &self.white_point_y)?,
            ],
            luminance: (
                units(self.min_luminance.as_deref()?, 10_000.0)?,
                units(self.max_luminance.as_deref()?, 10_000.0)?,
            ),
        })
    }
}

/// A fraction `N/D` in units of which so many are one.
fn units(text: &str, in_one: f64) -> Option<u32> {
    let (n, d) = text.split_once('/')?;
    let (n, d): (f64, f64) = (n.parse().ok()?, d.parse().ok()?);
    let units = (n / d * in_one).round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be in range"
    )]
    (0.0..=f64::from(u32::MAX))
        .contains(&units)
        .then_some(units as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn color(json: &str) -> Color {
        let data: Vec<SideData> = serde_json::from_str(json).expect("ffprobe's JSON");
        let mut color = Color::default();
        for one in &data {
            one.add_to(&mut color);
        }
        color
    }

    #[test]
    fn metadata_of_hdr_is_read() {
        let screen = r#"{"side_data_type": "Mastering display metadata", "red_x": "34000/50000", "red_y": "16000/50000",
            "green_x": "13250/50000", "green_y": "34500/50000", "blue_x": "7500/50000", "blue_y": "3000/50000",
            "white_point_x": "15635/50000", "white_point_y": "16450/50000",
            "min_luminance": "1/10000", "max_luminance": "40000000/10000"}"#;
        let light = r#"{"side_data_type": "Content light level metadata", "max_content": 1000, "max_average": 400}"#;
        let graded = color(&format!("[{screen}]"));
        let mastering = graded.mastering.expect("is told");
        assert_eq!(mastering.points[3], (15_635, 16_450));
        assert_eq!(mastering.luminance, (1, 40_000_000));
        assert_eq!(graded.peak, Some(4000.0));
        let both = color(&format!("[{screen}, {light}]"));
        assert_eq!((both.peak, both.light), (Some(1000.0), Some((1000, 400))));
        let nonsense = screen.replace("40000000/10000", "7/0");
        assert_eq!(color(&format!("[{nonsense}]")), Color::default());
        let dolby = r#"[{"dv_profile": 8, "dv_bl_signal_compatibility_id": 4}]"#;
        assert_eq!(color(dolby).dolby_vision, Some((8, true)));
        let own = r#"[{"dv_profile": 5, "dv_bl_signal_compatibility_id": 0}]"#;
        assert_eq!(color(own).dolby_vision, Some((5, false)));
    }

    #[test]
    fn pictures_on_their_side_are_known() {
        for (angle, turned) in [
            (0, false),
            (90, true),
            (-90, true),
            (180, false),
            (270, true),
        ] {
            let data: SideData =
                serde_json::from_str(&format!(r#"{{"rotation": {angle}}}"#)).expect("JSON");
            assert_eq!(data.is_turned(), turned, "{angle}");
        }
    }
}

//! The channels of a sound that becomes AAC: those of a layout that players know.

use std::fmt::Write as _;

use super::Sound;

/// Layouts in which AAC plays everywhere, as ffmpeg names them.
pub(crate) const AAC_LAYOUTS: [&str; 4] = ["mono", "stereo", "5.1", "7.1"];

/// Which of [`AAC_LAYOUTS`] a sound gets. What has more channels than any is mixed down.
pub(super) fn aac_layout(
    Sound {
        channels, layout, ..
    }: &Sound,
) -> &'static str {
    match channels {
        0 | 1 => "mono",
        _ if is_ambisonic(layout) => "stereo",
        5..=7 => "5.1",
        8 => "7.1",
        _ => "stereo",
    }
}

/// Channels of such a layout.
pub(super) fn channels_of(layout: &str) -> u32 {
    match layout {
        "mono" => 1,
        "stereo" => 2,
        "5.1" => 6,
        _ => 8,
    }
}

/// ffmpeg's filter that gives a sound its [`aac_layout`].
pub(super) fn aac_filter(sound: &Sound) -> String {
    /// By ffmpeg's names, of which `pan` can't read that of a second subwoofer. What stands in the middle is heard on both
    /// sides, 3 dB less on each.
    const SIDES: [&str; 11] = [
        "FL", "BL", "SL", "FLC", "WL", "SDL", "TFL", "TBL", "TSL", "BFL", "DL",
    ];
    const MIDDLE: [&str; 7] = ["FC", "LFE", "BC", "TC", "TFC", "TBC", "BFC"];
    const MIDDLE_GAIN: f64 = std::f64::consts::FRAC_1_SQRT_2;
    let Sound {
        channels, layout, ..
    } = sound;
    if is_ambisonic(layout) {
        // Two microphones with their backs to one another: the first component is the sound from all sides, the second that
        // from the left less that from the right (AmbiX).
        return "pan=stereo|c0=0.5*c0+0.5*c1|c1=0.5*c0-0.5*c1".to_owned();
    }
    if *channels <= 8 {
        return format!("aformat=channel_layouts={}", aac_layout(sound));
    }
    // `aformat` leaves those out that it has no rule for.
    let mut filter = "pan=stereo".to_owned();
    for (side, letter) in ["L", "R"].into_iter().enumerate() {
        let parts: Vec<String> = if is_known(layout) {
            let sides = SIDES.iter().map(|name| name.replace('L', letter));
            let middle = MIDDLE.iter().map(|name| format!("{MIDDLE_GAIN:.4}*{name}"));
            sides.chain(middle).collect()
        } else {
            // What records many channels has pairs of them.
            let numbers = (0..*channels).skip(side).step_by(2);
            numbers.map(|number| format!("c{number}")).collect()
        };
        // `<`: never louder than the channels are.
        let _ = write!(filter, "|F{letter}<{}", parts.join("+"));
    }
    filter
}

fn is_ambisonic(layout: &str) -> bool {
    layout.starts_with("ambisonic")
}

/// Whether it is known where the channels are heard: else ffprobe says `unknown` or `12 channels`.
fn is_known(layout: &str) -> bool {
    !(layout.is_empty() || layout == "unknown" || layout.ends_with(" channels"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(channels: u32, layout: &str) -> String {
        aac_filter(&Sound {
            channels,
            layout: layout.to_owned(),
            ..Sound::default()
        })
    }

    #[test]
    fn players_know_the_layout() {
        assert_eq!(filter(1, ""), "aformat=channel_layouts=mono");
        assert_eq!(filter(3, "2.1"), "aformat=channel_layouts=stereo");
        assert_eq!(filter(7, "6.1"), "aformat=channel_layouts=5.1");
        assert_eq!(filter(8, "7.1"), "aformat=channel_layouts=7.1");
    }

    #[test]
    fn none_of_many_channels_is_lost() {
        assert_eq!(
            filter(9, "unknown"),
            "pan=stereo|FL<c0+c2+c4+c6+c8|FR<c1+c3+c5+c7"
        );
        let known = filter(12, "7.1.4");
        assert!(known.starts_with("pan=stereo|FL<FL+BL+SL+FLC+"), "{known}");
        assert!(known.contains("|FR<FR+BR+SR+FRC+WR+SDR+"), "{known}");
        assert!(known.ends_with("+0.7071*TBC+0.7071*BFC"), "{known}");
        assert_eq!(filter(16, "22 channels")[..14], filter(16, "")[..14]);
        assert!(filter(4, "ambisonic 1").starts_with("pan=stereo|c0=0.5*c0"));
    }
}

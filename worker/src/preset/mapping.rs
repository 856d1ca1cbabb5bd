//! A preset says which kinds of streams it takes (`-map 0:a?`); here that becomes which ones, of those that were found
//! usable. And AAC gets a layout that players know, and bits for each of its channels.

/// The streams of an input that may be taken, in the file's order. Indexes are ffmpeg's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Streams {
    /// Moving pictures.
    pub videos: Vec<usize>,
    /// The first of them is H.265.
    pub hevc: bool,
    pub sounds: Vec<Sound>,
    pub subtitles: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sound {
    pub index: usize,
    pub channels: u32,
    /// The one that players play unless asked for another.
    pub default: bool,
}

/// Bits a second for each channel of AAC: with less, music is heard to suffer.
const AAC_BITS_A_CHANNEL: u32 = 64_000;

/// Layouts in which AAC plays everywhere, as ffmpeg names them; `None` for so many channels that no player has one.
pub(crate) fn aac_layout(channels: u32) -> Option<&'static str> {
    match channels {
        1 => Some("mono"),
        2..=4 => Some("stereo"),
        5..=7 => Some("5.1"),
        8 => Some("7.1"),
        _ => None,
    }
}

impl Streams {
    /// The sound that is taken where one is.
    pub fn first_sound(&self) -> Option<&Sound> {
        let default = self.sounds.iter().find(|sound| sound.default);
        default.or(self.sounds.first())
    }

    /// ffmpeg's output arguments with the streams by their indexes.
    pub(super) fn resolve(&self, args: &[String]) -> Vec<String> {
        let mut resolved = Vec::new();
        let mut output = Vec::new();
        let mut words = args.iter();
        while let Some(word) = words.next() {
            output.push(word.clone());
            if word == "-map"
                && let Some(specifier) = words.next()
            {
                output.pop();
                for one in self.maps(specifier) {
                    output.extend(["-map".to_owned(), one]);
                }
            } else if is_output(word) {
                let output = self.with_tag(std::mem::take(&mut output));
                resolved.extend(self.with_layouts(output));
            }
        }
        resolved.extend(output);
        resolved
    }

    /// What a specifier stands for; itself where it stands for nothing and must not, or isn't known.
    fn maps(&self, specifier: &str) -> Vec<String> {
        let (kind, optional) = match specifier.strip_suffix('?') {
            Some(kind) => (kind, true),
            None => (specifier, false),
        };
        let found: Vec<usize> = match kind {
            "0:V:0" => self.videos.first().copied().into_iter().collect(),
            "0:V" => self.videos.clone(),
            "0:a:0" => self
                .first_sound()
                .map(|one| one.index)
                .into_iter()
                .collect(),
            "0:a" => self.sounds.iter().map(|one| one.index).collect(),
            "0:s" => self.subtitles.clone(),
            _ => return vec![specifier.to_owned()],
        };
        if found.is_empty() && !optional {
            return vec![specifier.to_owned()];
        }
        found.iter().map(|index| format!("0:{index}")).collect()
    }

    /// H.265 that is copied into MP4 is called `hvc1` there, without which Apple's players show nothing.
    fn with_tag(&self, mut output: Vec<String>) -> Vec<String> {
        let has = |option: &str, value: &str| {
            output
                .windows(2)
                .any(|pair| pair[0] == option && pair[1] == value)
        };
        if self.hevc && has("-c", "copy") && has("-f", "mp4") {
            let name = output.pop();
            output.extend(["-tag:v:0", "hvc1"].map(str::to_owned));
            output.extend(name);
        }
        output
    }

    /// The arguments of one output, whose last is its name, with a layout and a rate for each sound that becomes AAC, unless
    /// the preset gives its own.
    fn with_layouts(&self, mut output: Vec<String>) -> Vec<String> {
        let has = |names: &[&str]| output.iter().any(|word| names.contains(&word.as_str()));
        let is_aac = output
            .windows(2)
            .any(|pair| pair[0] == "-c:a" && pair[1] == "aac");
        if !is_aac
            || has(&[
                "-af",
                "-filter:a",
                "-ac",
                "-ac:a",
                "-channel_layout",
                "-ch_layout",
            ])
        {
            return output;
        }
        let given: Vec<(String, u32)> = output
            .windows(2)
            .filter(|pair| pair[0].starts_with("-b:a"))
            .filter_map(|pair| Some((pair[0].clone(), bits_a_second(&pair[1])?)))
            .collect();
        let channels: Vec<u32> = output
            .windows(2)
            .filter(|pair| pair[0] == "-map")
            .filter_map(|pair| pair[1].strip_prefix("0:")?.parse::<usize>().ok())
            .filter_map(|index| self.sounds.iter().find(|sound| sound.index == index))
            .map(|sound| sound.channels)
            .collect();
        let name = output.pop();
        for (number, channels) in channels.into_iter().enumerate() {
            let Some(layout) = aac_layout(channels) else {
                continue;
            };
            output.extend([
                format!("-filter:a:{number}"),
                format!("aformat=channel_layouts={layout}"),
            ]);
            let least = AAC_BITS_A_CHANNEL * channels_of(layout);
            let option = format!("-b:a:{number}");
            // ffmpeg takes the last that fits.
            let bits = given
                .iter()
                .rfind(|(name, _)| *name == option || name == "-b:a");
            if bits.is_some_and(|(_, bits)| *bits < least) {
                output.extend([option, least.to_string()]);
            }
        }
        output.extend(name);
        output
    }
}

fn channels_of(layout: &str) -> u32 {
    match layout {
        "mono" => 1,
        "stereo" => 2,
        "5.1" => 6,
        _ => 8,
    }
}

/// `160k` or `160000`.
fn bits_a_second(text: &str) -> Option<u32> {
    match text.strip_suffix('k') {
        Some(thousands) => thousands.parse::<u32>().ok()?.checked_mul(1000),
        None => text.parse().ok(),
    }
}

/// Whether a word names an output: the last of its arguments.
fn is_output(word: &str) -> bool {
    word.starts_with("file:output.") || word == "%v.m3u8"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams(channels: &[u32]) -> Streams {
        Streams {
            videos: vec![0],
            hevc: false,
            sounds: channels
                .iter()
                .enumerate()
                .map(|(number, channels)| Sound {
                    index: number + 2,
                    channels: *channels,
                    default: number == 1,
                })
                .collect(),
            subtitles: vec![9],
        }
    }

    fn resolved(streams: &Streams, args: &str) -> String {
        let args: Vec<String> = args.split(' ').map(str::to_owned).collect();
        streams.resolve(&args).join(" ")
    }

    #[test]
    fn kinds_become_indexes() {
        let two = streams(&[2, 2]);
        assert_eq!(
            resolved(
                &two,
                "-map 0:V:0 -map 0:a? -map 0:s? -c copy file:output.mkv"
            ),
            "-map 0:0 -map 0:2 -map 0:3 -map 0:9 -c copy file:output.mkv"
        );
        assert_eq!(
            resolved(&two, "-map 0:a:0? -c copy file:output.m4a"),
            "-map 0:3 -c copy file:output.m4a",
            "the default sound"
        );
        let silent = streams(&[]);
        assert_eq!(
            resolved(&silent, "-map 0:V:0 -map 0:a? file:output.mp4"),
            "-map 0:0 file:output.mp4"
        );
        assert_eq!(
            resolved(&silent, "-map 0:a:0 file:output.m4a"),
            "-map 0:a:0 file:output.m4a",
            "ffmpeg says that there is none"
        );
    }

    #[test]
    fn aac_has_a_layout_that_players_know_and_bits_for_each_channel() {
        let line = resolved(
            &streams(&[1, 6, 7, 8]),
            "-map 0:V:0 -map 0:a? -c:a aac -b:a 160k file:output.mp4",
        );
        assert_eq!(
            line,
            "-map 0:0 -map 0:2 -map 0:3 -map 0:4 -map 0:5 -c:a aac -b:a 160k \
             -filter:a:0 aformat=channel_layouts=mono \
             -filter:a:1 aformat=channel_layouts=5.1 -b:a:1 384000 \
             -filter:a:2 aformat=channel_layouts=5.1 -b:a:2 384000 \
             -filter:a:3 aformat=channel_layouts=7.1 -b:a:3 512000 file:output.mp4"
        );
    }

    #[test]
    fn each_rung_of_a_ladder_has_its_own_rate() {
        let line = resolved(
            &streams(&[6]),
            "-map 0:V:0 -map 0:a:0 -map 0:V:0 -map 0:a:0 -c:a aac -b:a:0 400k -b:a:1 96k %v.m3u8",
        );
        let end = "-filter:a:0 aformat=channel_layouts=5.1 \
                   -filter:a:1 aformat=channel_layouts=5.1 -b:a:1 384000 %v.m3u8";
        assert!(line.ends_with(end), "{line}");
    }

    #[test]
    fn copied_hevc_has_the_tag_that_apple_knows() {
        let hevc = Streams {
            hevc: true,
            ..streams(&[])
        };
        assert_eq!(
            resolved(&hevc, "-map 0:V -c copy -f mp4 file:output.mp4"),
            "-map 0:0 -c copy -f mp4 -tag:v:0 hvc1 file:output.mp4"
        );
        assert_eq!(
            resolved(&hevc, "-map 0:V -c copy -f matroska file:output.mkv"),
            "-map 0:0 -c copy -f matroska file:output.mkv"
        );
    }

    #[test]
    fn a_presets_own_choice_stands() {
        let args = "-map 0:2 -c:a aac -ac 1 file:output.m4a";
        assert_eq!(resolved(&streams(&[6]), args), args);
    }
}

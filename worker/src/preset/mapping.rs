//! A preset says which kinds of streams it takes (`-map 0:a?`); here that becomes which ones, of those that were found
//! usable, and what each needs in the output's container. AAC gets a layout that players know, and bits for each of its
//! channels.

use super::channels::{aac_filter, aac_layout, channels_of};
use super::plan::{Cover, Plan};
use super::streams::{
    Named, Sound, Streams, attached_cover, is_mp4, is_text, recoded, takes_attachments,
    takes_cover, takes_data, takes_subtitle,
};

/// The specifier of a file's cover pictures.
const COVERS: &str = "0:disp:attached_pic?";

/// Bits a second for each channel of AAC: with less, music is heard to suffer.
const AAC_BITS_A_CHANNEL: u32 = 64_000;

/// The arguments of one output, whose last is its name, on their way to ffmpeg.
struct OutputArgs<'a> {
    streams: &'a Streams,
    args: Vec<String>,
    /// What it attaches.
    covers: Vec<Cover>,
}

impl Streams {
    /// Names the streams in ffmpeg's output arguments by their indexes.
    pub(super) fn resolve(&self, plan: &mut Plan) {
        let mut output = Vec::new();
        for word in std::mem::take(&mut plan.args) {
            let is_last = is_output(&word);
            output.push(word);
            if is_last {
                let mut output = OutputArgs {
                    streams: self,
                    args: std::mem::take(&mut output),
                    covers: Vec::new(),
                };
                output.resolve();
                plan.args.extend(output.args);
                plan.covers.extend(output.covers);
            }
        }
        plan.args.extend(output);
    }
}

impl OutputArgs<'_> {
    fn resolve(&mut self) {
        let muxer = self.value("-f").unwrap_or_default();
        self.map(&muxer);
        // Each of these stands before the name, and none is the preset's own choice.
        let name = self.args.pop();
        self.recode(&muxer);
        self.tag(&muxer);
        self.name_streams(&muxer);
        self.lay_out();
        self.keep_makers_tags(&muxer);
        if let Some(index) = self.streams.tagged.filter(|_| self.has(&["-map_metadata"])) {
            self.put(&["-map_metadata", &format!("0:s:{index}")]);
        }
        self.attach();
        self.args.extend(name);
    }

    /// The last value of an option.
    fn value(&self, option: &str) -> Option<String> {
        let mut pairs = self.args.windows(2).rev();
        pairs
            .find(|pair| pair[0] == option)
            .map(|pair| pair[1].clone())
    }

    fn has(&self, options: &[&str]) -> bool {
        self.args
            .iter()
            .any(|word| options.contains(&word.as_str()))
    }

    fn put(&mut self, words: &[&str]) {
        self.args
            .extend(words.iter().map(|word| (*word).to_owned()));
    }

    /// Indexes in place of kinds.
    fn map(&mut self, muxer: &str) {
        let becomes_text = self.value("-c:s").is_some_and(|encoder| encoder != "copy");
        let args = std::mem::take(&mut self.args);
        let mut words = args.into_iter();
        while let Some(word) = words.next() {
            if word != "-map" {
                self.args.push(word);
                continue;
            }
            let Some(specifier) = words.next() else {
                return;
            };
            for one in self.maps(&specifier, muxer, becomes_text) {
                self.args.extend(["-map".to_owned(), one]);
            }
            if specifier == COVERS {
                self.take_out_covers(muxer);
            }
        }
    }

    /// What a specifier stands for; itself where it stands for nothing and must not, or isn't known.
    fn maps(&self, specifier: &str, muxer: &str, becomes_text: bool) -> Vec<String> {
        let (kind, optional) = match specifier.strip_suffix('?') {
            Some(kind) => (kind, true),
            None => (specifier, false),
        };
        let streams = self.streams;
        let those = |list: &[Named], taken: &dyn Fn(&str) -> bool| -> Vec<usize> {
            let taken = list.iter().filter(|one| taken(&one.codec));
            taken.map(|one| one.index).collect()
        };
        let found: Vec<usize> = match kind {
            "0:V:0" => streams
                .videos
                .first()
                .map(|one| one.index)
                .into_iter()
                .collect(),
            "0:V" => those(&streams.videos, &|_| true),
            "0:a:0" => streams
                .first_sound()
                .map(|one| one.index)
                .into_iter()
                .collect(),
            "0:a" => streams.sounds.iter().map(|one| one.index).collect(),
            "0:s" if becomes_text => those(&streams.subtitles, &is_text),
            "0:s" => those(&streams.subtitles, &|codec| takes_subtitle(muxer, codec)),
            kind if COVERS.strip_suffix('?') == Some(kind) => {
                those(&streams.covers, &|codec| takes_cover(muxer, codec))
            }
            "0:d" => those(&streams.data, &|codec| takes_data(muxer, codec)),
            "0:t" => those(&streams.attachments, &|_| takes_attachments(muxer)),
            _ => return vec![specifier.to_owned()],
        };
        if found.is_empty() && !optional {
            return vec![specifier.to_owned()];
        }
        found.iter().map(|index| format!("0:{index}")).collect()
    }

    /// The indexes that are mapped, in the output's order.
    fn mapped(&self) -> impl Iterator<Item = usize> {
        self.args
            .windows(2)
            .filter(|pair| pair[0] == "-map")
            .filter_map(|pair| pair[1].strip_prefix("0:")?.parse().ok())
    }

    fn sounds(&self) -> Vec<&Sound> {
        let sound = |index| self.streams.sounds.iter().find(|one| one.index == index);
        self.mapped().filter_map(sound).collect()
    }

    fn subtitles(&self) -> Vec<&Named> {
        let subtitle = |index| self.streams.subtitles.iter().find(|one| one.index == index);
        self.mapped().filter_map(subtitle).collect()
    }

    fn copies(&self) -> bool {
        self.value("-c").is_some_and(|encoder| encoder == "copy")
    }

    /// What is copied and the container has no name for is coded so that nothing of it is lost.
    fn recode(&mut self, muxer: &str) {
        if !self.copies() {
            return;
        }
        let subtitles = self.subtitles().into_iter().enumerate();
        let mut options: Vec<String> = subtitles
            .filter_map(|(n, one)| Some((n, recoded(muxer, &one.codec, 0)?)))
            .flat_map(|(n, encoder)| [format!("-c:s:{n}"), encoder.to_owned()])
            .collect();
        let sounds = self.sounds().into_iter().enumerate();
        options.extend(
            sounds
                .filter_map(|(n, one)| Some((n, recoded(muxer, &one.codec, one.bits)?)))
                .flat_map(|(n, encoder)| [format!("-c:a:{n}"), encoder.to_owned()]),
        );
        self.args.extend(options);
    }

    /// H.265 that is copied into MP4 is called `hvc1` there, without which Apple's players show nothing. MPEG-4 of AVI has a
    /// picture a packet elsewhere.
    fn tag(&mut self, muxer: &str) {
        let Some(video) = self.streams.videos.first().filter(|_| self.copies()) else {
            return;
        };
        match video.codec.as_str() {
            "hevc" if is_mp4(muxer) => self.put(&["-tag:v:0", "hvc1"]),
            "mpeg4" if self.streams.is_avi => self.put(&["-bsf:v:0", "mpeg4_unpack_bframes"]),
            _ => {}
        }
    }

    /// MP4 has a title for the film only; what a stream is called stands with its handler.
    fn name_streams(&mut self, muxer: &str) {
        if !is_mp4(muxer) {
            return;
        }
        let sounds = self.sounds().into_iter().map(|one| &one.title);
        let subtitles = self.subtitles().into_iter().map(|one| &one.title);
        let sounds = sounds.enumerate().map(|(n, title)| ("a", n, title));
        let named = sounds.chain(subtitles.enumerate().map(|(n, title)| ("s", n, title)));
        let options: Vec<[String; 2]> = named
            .filter(|(_, _, title)| !title.is_empty())
            .map(|(kind, n, title)| {
                [
                    format!("-metadata:s:{kind}:{n}"),
                    format!("handler_name={title}"),
                ]
            })
            .collect();
        self.args.extend(options.into_iter().flatten());
    }

    /// A layout and a rate for each sound that becomes AAC, unless the preset gives its own.
    fn lay_out(&mut self) {
        const OWN: [&str; 6] = [
            "-af",
            "-filter:a",
            "-ac",
            "-ac:a",
            "-channel_layout",
            "-ch_layout",
        ];
        if self.value("-c:a").as_deref() != Some("aac") || self.has(&OWN) {
            return;
        }
        let given: Vec<(String, u32)> = self
            .args
            .windows(2)
            .filter(|pair| pair[0].starts_with("-b:a"))
            .filter_map(|pair| Some((pair[0].clone(), bits_a_second(&pair[1])?)))
            .collect();
        let needs = |sound: &Sound| {
            let channels = channels_of(aac_layout(sound));
            (aac_filter(sound), AAC_BITS_A_CHANNEL * channels)
        };
        let needs: Vec<(String, u32)> = self.sounds().into_iter().map(needs).collect();
        for (number, (filter, least)) in needs.into_iter().enumerate() {
            self.put(&[&format!("-filter:a:{number}"), &filter]);
            let option = format!("-b:a:{number}");
            // ffmpeg takes the last that fits.
            let bits = given
                .iter()
                .rfind(|(name, _)| *name == option || name == "-b:a");
            if bits.is_some_and(|(_, bits)| *bits < least) {
                self.put(&[&option, &least.to_string()]);
            }
        }
    }

    /// Those that the container has as files.
    fn take_out_covers(&mut self, muxer: &str) {
        for cover in &self.streams.covers {
            let Some((extension, mime)) = attached_cover(muxer, &cover.codec) else {
                continue;
            };
            // Players look for the first by this name.
            let number = match self.covers.len() {
                0 => String::new(),
                others => (others + 1).to_string(),
            };
            self.covers.push(Cover {
                stream: cover.index,
                file: format!("cover{number}.{extension}"),
                mime,
            });
        }
    }

    /// Attaches what was taken out, after the files that are mapped.
    fn attach(&mut self) {
        let attachments = &self.streams.attachments;
        let is_attachment = |index: &usize| attachments.iter().any(|one| one.index == *index);
        let first = self.mapped().filter(is_attachment).count();
        for (number, Cover { file, mime, .. }) in self.covers.iter().enumerate() {
            let option = format!("-metadata:s:t:{}", first + number);
            self.args
                .extend(["-attach".to_owned(), format!("file:{file}")]);
            self.args
                .extend([option.clone(), format!("mimetype={mime}")]);
            self.args.extend([option, format!("filename={file}")]);
        }
    }

    /// As QuickTime writes them.
    fn keep_makers_tags(&mut self, muxer: &str) {
        const KEEP: &str = "+use_metadata_tags";
        // What the input's container says of itself is none.
        const BRANDS: [&str; 3] = ["major_brand=", "minor_version=", "compatible_brands="];
        if !self.streams.has_makers_tags || !is_mp4(muxer) {
            return;
        }
        let at = self.args.iter().rposition(|word| word == "-movflags");
        match at.and_then(|at| self.args.get_mut(at + 1)) {
            Some(flags) => flags.push_str(KEEP),
            None => self.put(&["-movflags", KEEP]),
        }
        for brand in BRANDS {
            self.put(&["-metadata", brand]);
        }
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

    fn named(index: usize, codec: &str) -> Named {
        Named {
            index,
            codec: codec.to_owned(),
            ..Named::default()
        }
    }

    fn streams(channels: &[u32]) -> Streams {
        Streams {
            videos: vec![named(0, "h264")],
            sounds: channels
                .iter()
                .enumerate()
                .map(|(number, channels)| Sound {
                    index: number + 2,
                    codec: "ac3".to_owned(),
                    channels: *channels,
                    default: number == 1,
                    ..Sound::default()
                })
                .collect(),
            subtitles: vec![named(9, "subrip"), named(10, "dvd_subtitle")],
            ..Streams::default()
        }
    }

    fn resolved(streams: &Streams, args: &str) -> String {
        let mut plan = Plan {
            args: args.split(' ').map(str::to_owned).collect(),
            ..Plan::default()
        };
        streams.resolve(&mut plan);
        plan.args.join(" ")
    }

    #[test]
    fn kinds_become_indexes() {
        let two = streams(&[2, 2]);
        assert_eq!(
            resolved(
                &two,
                "-map 0:V:0 -map 0:a? -map 0:s? -c copy -f matroska file:output.mkv"
            ),
            "-map 0:0 -map 0:2 -map 0:3 -map 0:9 -map 0:10 -c copy -f matroska file:output.mkv"
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
            videos: vec![named(0, "hevc")],
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
        let divx = Streams {
            videos: vec![named(0, "mpeg4")],
            is_avi: true,
            ..streams(&[])
        };
        assert_eq!(
            resolved(&divx, "-map 0:V -c copy -f mp4 file:output.mp4"),
            "-map 0:0 -c copy -f mp4 -bsf:v:0 mpeg4_unpack_bframes file:output.mp4"
        );
    }

    #[test]
    fn subtitles_keep_their_names() {
        let mut film = streams(&[]);
        film.subtitles[0].title = "SDH".to_owned();
        assert_eq!(
            resolved(
                &film,
                "-map 0:V:0 -map 0:s? -c:s mov_text -f mp4 file:output.mp4"
            ),
            "-map 0:0 -map 0:9 -c:s mov_text -f mp4 -metadata:s:s:0 handler_name=SDH file:output.mp4"
        );
    }

    #[test]
    fn only_letters_become_letters() {
        assert_eq!(
            resolved(
                &streams(&[]),
                "-map 0:V:0 -map 0:s? -c:v libx264 -c:s mov_text -f mp4 file:output.mp4"
            ),
            "-map 0:0 -map 0:9 -c:v libx264 -c:s mov_text -f mp4 file:output.mp4"
        );
    }

    #[test]
    fn what_a_container_has_no_name_for_is_recoded() {
        let mut camcorder = streams(&[2]);
        camcorder.sounds[0].codec = "pcm_bluray".to_owned();
        camcorder.sounds[0].bits = 16;
        camcorder.subtitles = vec![named(4, "ass"), named(5, "mov_text")];
        assert_eq!(
            resolved(
                &camcorder,
                "-map 0:a? -map 0:s? -c copy -f matroska file:output.mkv"
            ),
            "-map 0:2 -map 0:4 -map 0:5 -c copy -f matroska -c:s:1 srt -c:a:0 pcm_s16le file:output.mkv"
        );
    }

    #[test]
    fn covers_fonts_names_and_makers_tags_are_kept_where_there_is_a_place() {
        let mut song = streams(&[2]);
        song.covers = vec![named(1, "png"), named(7, "webp")];
        song.attachments = vec![named(8, "ttf")];
        song.sounds[0].title = "Film".to_owned();
        song.has_makers_tags = true;
        assert_eq!(
            resolved(
                &song,
                "-map 0:a:0 -map 0:disp:attached_pic? -map 0:t? -c copy -movflags +faststart -f ipod file:output.m4a"
            ),
            "-map 0:2 -map 0:1 -c copy -movflags +faststart+use_metadata_tags -f ipod \
             -metadata:s:a:0 handler_name=Film -metadata major_brand= -metadata minor_version= \
             -metadata compatible_brands= file:output.m4a"
        );
        assert_eq!(
            resolved(
                &song,
                "-map 0:a:0 -map 0:t? -map 0:disp:attached_pic? -c copy -f matroska file:output.mka"
            ),
            "-map 0:2 -map 0:8 -c copy -f matroska -attach file:cover.png -metadata:s:t:1 mimetype=image/png \
             -metadata:s:t:1 filename=cover.png file:output.mka"
        );
        let radio = Streams {
            tagged: Some(1),
            ..streams(&[2])
        };
        assert_eq!(
            resolved(
                &radio,
                "-map 0:a:0 -map_metadata 0 -c copy -f ipod file:output.m4a"
            ),
            "-map 0:2 -map_metadata 0 -c copy -f ipod -map_metadata 0:s:1 file:output.m4a"
        );
        assert_eq!(
            resolved(&song, "-map 0:V:0 -c copy -f mov file:output.mov"),
            "-map 0:0 -c copy -f mov -movflags +use_metadata_tags -metadata major_brand= \
             -metadata minor_version= -metadata compatible_brands= file:output.mov"
        );
    }

    #[test]
    fn a_presets_own_choice_stands() {
        let args = "-map 0:2 -c:a aac -ac 1 file:output.m4a";
        assert_eq!(resolved(&streams(&[6]), args), args);
    }
}

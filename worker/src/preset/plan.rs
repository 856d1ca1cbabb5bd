//! From a preset and an input's facts to ffmpeg's arguments, and to what must come of them. Pure.

use std::collections::BTreeSet;

use super::ladder::{MASTER, MEDIA_MIME, PLAYLIST_MIME};
use super::limits;
use super::{Expectation, Output, Preset, Rate, Size, Streams, grammar};
use crate::media::LastPicture;
use crate::picture::Picture;

/// What of an input decides the arguments.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// Of the video as stored, in pixels.
    pub width: u32,
    pub height: u32,
    /// Length of the video.
    pub seconds: f64,
    /// It has sound.
    pub sound: bool,
    /// Codecs that a container must take to hold all of it.
    pub codecs: Vec<String>,
    /// The streams that may be taken; `None` where there is no file, and kinds of streams are shown.
    pub streams: Option<Streams>,
    /// Length of the whole file, sounds included, as far as its times can be trusted.
    pub whole_seconds: f64,
    /// Times may jump.
    pub jumps: bool,
    /// It is converted as far as it decodes.
    pub salvage: bool,
    /// The last picture, if its packet says another time than it is shown.
    pub last: Option<LastPicture>,
    /// What is known of its pictures, if they were looked at.
    pub picture: Option<Picture>,
}

/// One run of ffmpeg.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Threads of decoder and filters.
    pub threads: u32,
    /// Options of the input.
    pub input: Vec<String>,
    /// However much of the input can't be decoded, the rest is converted.
    pub salvages: bool,
    /// What is taken out of the input first, for `args` to attach.
    pub covers: Vec<Cover>,
    /// Everything after the input, the names of outputs in it.
    pub args: Vec<String>,
    /// What must be there afterwards, in the order in which it is told.
    pub files: Vec<PlannedFile>,
}

impl Plan {
    /// Whether a file is in fragments, which a playlist names.
    pub fn is_fragmented(&self, file: &str) -> bool {
        let is_of = |check: &Check| matches!(check, Check::Playlist(media) if media == file);
        self.files.iter().any(|planned| is_of(&planned.check))
    }

    /// The input's streams that are in any output, by index.
    pub fn taken(&self) -> BTreeSet<usize> {
        let maps = self.args.windows(2).filter(|pair| pair[0] == "-map");
        maps.filter_map(|pair| pair[1].strip_prefix("0:")?.parse().ok())
            .chain(self.covers.iter().map(|cover| cover.stream))
            .collect()
    }
}

/// A cover picture that becomes a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover {
    /// Its index in the input.
    pub stream: usize,
    /// The file's name, in the folder of the job and where it is attached.
    pub file: String,
    /// What kind of picture it is.
    pub mime: &'static str,
}

/// One file that ffmpeg writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFile {
    /// Its name in the folder of the job.
    pub file: String,
    /// What follows the stem and a dot in the result's name, where a job has several outputs.
    pub name: Option<String>,
    pub mime: String,
    pub check: Check,
}

/// How it is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// A film, sound or picture.
    Media(Expectation),
    /// A playlist that names exactly these playlists.
    Master(Vec<String>),
    /// A playlist whose segments are that file.
    Playlist(String),
}

impl Facts {
    /// A film with sound, to show what a preset does.
    pub fn example() -> Self {
        Self {
            width: 1920,
            height: 1080,
            seconds: 0.0,
            sound: true,
            codecs: vec!["h264".to_owned(), "aac".to_owned()],
            streams: None,
            whole_seconds: 0.0,
            jumps: false,
            salvage: false,
            last: None,
            picture: None,
        }
    }
}

impl Preset {
    /// What to run for an input. Of alternatives, one plan for each that takes the input's codecs:
    /// the first one that comes to something counts.
    ///
    /// # Errors
    /// A sentence, if no alternative takes the input's codecs, or an encoder can't take its pictures.
    pub fn plans(&self, facts: &Facts) -> Result<Vec<Plan>, String> {
        limits::check(self, facts)?;
        let mut plans = self.plans_by_kind(facts)?;
        if let Some(streams) = &facts.streams {
            for plan in &mut plans {
                streams.resolve(plan);
            }
        }
        Ok(plans)
    }

    /// Whether it copies streams instead of decoding them.
    pub fn copies(&self) -> bool {
        self.outputs
            .iter()
            .any(|one| one.expect.video.as_deref() == Some(Expectation::COPY))
    }

    /// Whether it codes pictures anew.
    pub fn recodes_video(&self) -> bool {
        self.outputs.iter().any(|one| one.expect.recodes_video())
    }

    fn input_options(&self, facts: &Facts) -> Vec<String> {
        if self.copies() {
            // AVI and transport streams leave times out that other containers need.
            return ["-fflags", "+genpts"].map(str::to_owned).into();
        }
        let picture = facts.picture.as_ref();
        picture.map(Picture::input_options).unwrap_or_default()
    }

    /// The same with streams named by their kinds.
    fn plans_by_kind(&self, facts: &Facts) -> Result<Vec<Plan>, String> {
        let mut plan = Plan {
            threads: self.threads,
            input: self.input_options(facts),
            salvages: facts.salvage,
            ..Plan::default()
        };
        if self.alternatives {
            let takes = |output: &&Output| {
                output
                    .codecs
                    .as_ref()
                    .is_none_or(|known| facts.codecs.iter().all(|codec| known.contains(codec)))
            };
            let plans: Vec<Plan> = self
                .outputs
                .iter()
                .filter(takes)
                .map(|output| {
                    let mut one = plan.clone();
                    self.add(&mut one, output, facts, None);
                    one
                })
                .collect();
            if plans.is_empty() {
                return Err(format!(
                    "no output of the preset `{}` takes the codecs {}",
                    self.name,
                    facts.codecs.join(", ")
                ));
            }
            return Ok(plans);
        }
        for output in &self.outputs {
            let name = (self.outputs.len() > 1).then(|| output.tail());
            match &output.ladder {
                Some(_) => self.add_ladder(&mut plan, output, facts),
                None => self.add(&mut plan, output, facts, name),
            }
        }
        Ok(vec![plan])
    }

    /// What is run for a film of 1920x1080 with sound, for people: `INPUT` stands for the file. Of
    /// alternatives one each. The program adds what bounds the reading of a stranger's file.
    pub fn commands(&self) -> Vec<Vec<String>> {
        let mut facts = Facts::example();
        if self.alternatives {
            // Every container takes no codec.
            facts.codecs.clear();
        }
        self.plans(&facts)
            .into_iter()
            .flatten()
            .map(|plan| {
                let mut words: Vec<String> = ["ffmpeg", "-i", "INPUT"].map(str::to_owned).into();
                words.extend(plan.args);
                words
            })
            .collect()
    }

    fn add(&self, plan: &mut Plan, output: &Output, facts: &Facts, name: Option<String>) {
        let file = format!("output.{}", output.tail());
        plan.args
            .extend(["-threads".to_owned(), self.threads.to_string()]);
        let mut args = placed(output, facts);
        if let Some(picture) = &facts.picture {
            filter_first(&mut args, filters(&output.expect, picture));
            keep_square(&mut args, picture);
            prepare(&mut args, &output.expect, picture, Picture::AS_CODED);
        }
        if let Some(last) = facts.last.filter(|_| self.copies()) {
            args.extend(Picture::copied_duration_options(last));
        }
        end_with_film(&mut args, &output.expect, facts);
        bound(&mut args, facts);
        plan.args.extend(args);
        // `file:` keeps a name from being taken for a URL or an option.
        plan.args.push(format!("file:{file}"));
        plan.files.push(PlannedFile {
            file,
            name,
            mime: output.mime.clone(),
            check: Check::Media(output.expect.clone()),
        });
    }

    fn add_ladder(&self, plan: &mut Plan, output: &Output, facts: &Facts) {
        let Some(ladder) = &output.ladder else { return };
        plan.args.extend(ladder.args(output, facts, self.threads));
        let rungs = ladder.rungs_for(facts);
        let mut put = |file: String, mime: &str, check| {
            plan.files.push(PlannedFile {
                name: Some(format!("{}/{file}", output.tail())),
                file,
                mime: mime.to_owned(),
                check,
            });
        };
        let playlists = rungs.iter().map(|r| format!("{}.m3u8", r.name())).collect();
        put(MASTER.to_owned(), PLAYLIST_MIME, Check::Master(playlists));
        for rung in rungs {
            let media = format!("{}.mp4", rung.name());
            let playlist = Check::Playlist(media.clone());
            put(format!("{}.m3u8", rung.name()), PLAYLIST_MIME, playlist);
            put(media, MEDIA_MIME, Check::Media(rung.expect(&output.expect)));
        }
    }
}

/// An output's own arguments, with the length of the film in them.
fn placed(output: &Output, facts: &Facts) -> Vec<String> {
    let seconds = if facts.seconds > 0.0 {
        format!("{:.3}", facts.seconds)
    } else {
        grammar::SECONDS.to_owned()
    };
    let args = output.args.iter();
    args.map(|arg| arg.replace(grammar::SECONDS, &seconds))
        .collect()
}

/// Where times jump in a way that wasn't foreseen, ffmpeg would fill the gap with pictures without end: an output ends at so
/// many times the length of the file …
const MOST_TIMES: f64 = 1.5;

/// … and so many seconds more, and is then found to be too long.
const MOST_SECONDS: f64 = 30.0;

/// Bounds how long an output may become.
pub(super) fn bound(args: &mut Vec<String>, facts: &Facts) {
    let has_own = args.iter().any(|word| word == "-t");
    if facts.jumps && !has_own {
        let most = facts.whole_seconds * MOST_TIMES + MOST_SECONDS;
        args.extend(["-t".to_owned(), format!("{most:.0}")]);
    }
}

/// A constant rate repeats the last picture for as long as ffmpeg guesses that it is shown, which is wrong where pictures are
/// far apart: it ends with the film.
fn end_with_film(args: &mut Vec<String>, expect: &Expectation, facts: &Facts) {
    let is_constant = matches!(expect.rate, Some(Rate::Exact(..)));
    let ends_slowly = facts.picture.as_ref().is_some_and(|one| one.ends_slowly);
    let has_own = args.iter().any(|word| word == "-t");
    if is_constant && ends_slowly && !has_own && facts.whole_seconds > 0.0 {
        args.extend(["-t".to_owned(), format!("{:.3}", facts.whole_seconds)]);
    }
}

/// Options that name the filters of pictures.
const FILTERS: [&str; 3] = ["-vf", "-filter:v", "-filter:v:0"];

/// The filters that a film's pictures need for an output, joined; empty for one that doesn't code them anew.
pub(super) fn filters(expect: &Expectation, picture: &Picture) -> String {
    if expect.recodes_video() {
        let may_grow = expect.size != Some(Size::Source);
        picture.filters(expect.colors(), may_grow).join(",")
    } else {
        String::new()
    }
}

/// Puts filters before an output's own.
fn filter_first(args: &mut Vec<String>, filters: String) {
    if filters.is_empty() {
        return;
    }
    match value_of(args, |option| FILTERS.contains(&option)) {
        Some(own) => own.insert_str(0, &(filters + ",")),
        None => args.extend(["-vf".to_owned(), filters]),
    }
}

/// Square pixels stay so: where a preset's own filters scale to whole numbers of pixels, ffmpeg would keep the shape of the
/// picture by pixels of 1281:1280.
fn keep_square(args: &mut [String], picture: &Picture) {
    let is_free =
        |own: &String| own.contains("scale=") && !own.contains("setsar") && !own.contains("setdar");
    if let Some(own) = value_of(args, |option| FILTERS.contains(&option)).filter(|own| is_free(own))
        && picture.has_square_pixels()
    {
        own.push_str(SQUARE);
    }
}

/// What makes pixels square, behind other filters.
pub(super) const SQUARE: &str = ",setsar=1";

/// Adds what an encoder must be told of the film's pictures to the arguments of an output that codes them anew; `durations`:
/// how long each is shown, see [`Picture::duration_options`].
pub(super) fn prepare(
    args: &mut Vec<String>,
    expect: &Expectation,
    picture: &Picture,
    durations: &str,
) {
    if !expect.recodes_video() {
        return;
    }
    let encoder = value_of(args, |option| option == "-c:v").cloned();
    let encoder = encoder.unwrap_or_default();
    let parameters = picture.encoder_parameters(&encoder).join(":");
    if !parameters.is_empty() {
        let option = match encoder.as_str() {
            "libx265" => "-x265-params",
            _ => "-svtav1-params",
        };
        match value_of(args, |one| one == option) {
            Some(own) => own.extend([":", &parameters]),
            None => args.extend([option.to_owned(), parameters]),
        }
    }
    let keeps_times = expect.rate == Some(Rate::Source);
    let has_own = args
        .iter()
        .any(|word| word.starts_with("-bsf") || word == "-bf");
    if keeps_times && !has_own {
        args.extend(picture.duration_options(&encoder, durations));
    }
}

/// The value of the last option that is meant.
fn value_of(args: &mut [String], is_meant: impl Fn(&str) -> bool) -> Option<&mut String> {
    let at = args.iter().rposition(|word| is_meant(word))?;
    args.get_mut(at + 1)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Presets;
    use super::*;

    fn plan(preset: &str, facts: &Facts) -> Plan {
        let preset = Presets::builtin().get(preset).expect("exists");
        preset.plans(facts).expect("a plan").remove(0)
    }

    fn names(plan: &Plan) -> Vec<&str> {
        plan.files
            .iter()
            .map(|file| file.name.as_deref().unwrap_or(&file.file))
            .collect()
    }

    #[test]
    fn one_output_has_no_name_and_several_have() {
        let facts = Facts::example();
        assert_eq!(names(&plan("ipod", &facts)), ["output.mov"]);
        let mut facts = facts;
        facts.seconds = 12.5;
        let plan = plan("thumbnails", &facts);
        assert_eq!(names(&plan), ["poster.jpg", "sheet.jpg"]);
        let line = plan.args.join(" ");
        assert!(line.contains("fps=16/12.500,"), "{line}");
        assert!(
            line.contains(" file:output.poster.jpg -threads 1 "),
            "{line}"
        );
    }

    #[test]
    fn square_pixels_stay_square() {
        let line = |preset, pixel| {
            let facts = Facts {
                picture: Some(Picture {
                    size: (64, 48),
                    pixel,
                    ..Picture::default()
                }),
                ..Facts::example()
            };
            plan(preset, &facts).args.join(" ")
        };
        for preset in ["web-1080p", "hls"] {
            assert!(line(preset, (1, 1)).contains(",setsar=1 "), "{preset}");
            assert!(!line(preset, (4, 3)).contains("setsar"), "{preset}");
        }
        assert_eq!(line("gif", (1, 1)).matches("setsar").count(), 2);
    }

    #[test]
    fn rungs_above_the_input_are_left_out() {
        let rungs = |width, height| {
            let facts = Facts {
                width,
                height,
                ..Facts::example()
            };
            let plan = plan("hls", &facts);
            names(&plan)
                .into_iter()
                .filter(|name| Path::new(name).extension().is_some_and(|e| e == "mp4"))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let all = [
            "hls/1080p.mp4",
            "hls/720p.mp4",
            "hls/480p.mp4",
            "hls/360p.mp4",
        ];
        assert_eq!(rungs(3840, 2160), all);
        assert_eq!(rungs(1080, 1920), all);
        assert_eq!(rungs(640, 480), all[2..]);
        assert_eq!(rungs(160, 120), all[3..]);
    }

    #[test]
    fn a_film_without_sound_has_a_ladder_without_sound() {
        let facts = Facts {
            sound: false,
            ..Facts::example()
        };
        let line = plan("hls", &facts).args.join(" ");
        assert!(
            line.contains("-var_stream_map v:0,name:1080p v:1,name:720p"),
            "{line}"
        );
        assert!(!line.contains("0:a:0"), "{line}");
    }

    #[test]
    fn the_container_follows_the_codecs() {
        let with = |codecs: &[&str]| {
            let codecs = codecs.iter().map(|c| (*c).to_owned()).collect();
            let facts = Facts {
                codecs,
                ..Facts::example()
            };
            plan("remux", &facts).files[0].file.clone()
        };
        assert_eq!(with(&["h264", "aac"]), "output.mp4");
        assert_eq!(with(&["mjpeg", "pcm_u8"]), "output.mkv");
        assert_eq!(with(&["h264", "aac", "subrip"]), "output.mkv");
    }
}

//! HLS: one film in several sizes, of which a player takes what its line carries.
//!
//! Each size is one file of fragmented MP4; the segments are byte ranges of it. So a film of two
//! hours is 9 objects and not 5,000, each can be probed as any other film, and the names of all
//! fit into one status message.

use serde::{Deserialize, Serialize};

use super::plan::{SQUARE, bound, filters, prepare};
use super::{Expectation, Facts, Output, Size};
use crate::picture::Picture;

/// The master playlist's name, by convention.
pub(super) const MASTER: &str = "master.m3u8";

/// The registered type of playlists (RFC 8216).
pub(super) const PLAYLIST_MIME: &str = "application/vnd.apple.mpegurl";

/// The type of each size's file.
pub(super) const MEDIA_MIME: &str = "video/mp4";

/// No picture is wider: the other side of a rung is whatever the input's shape makes it.
const ANY_WIDTH: u32 = 65_535;

/// Sizes of one film at most.
const MOST_RUNGS: usize = 8;

/// The sizes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Ladder {
    /// Length of a segment in seconds.
    pub segment_seconds: u32,
    /// The sizes, the highest first.
    pub rungs: Vec<Rung>,
}

/// One size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rung {
    /// Of the shorter side, in pixels; even.
    pub height: u32,
    /// The most that the pictures take, in kbit/s.
    pub video: u32,
    /// What the sound takes, in kbit/s.
    pub audio: u32,
}

impl Ladder {
    pub(super) fn check(&self, expect: &Expectation) -> Result<(), &'static str> {
        if !(1..=60).contains(&self.segment_seconds) {
            return Err("`segment_seconds` is a number from 1 to 60");
        }
        if !(1..=MOST_RUNGS).contains(&self.rungs.len()) {
            return Err("a ladder has one to eight `rungs`");
        }
        if self
            .rungs
            .windows(2)
            .any(|two| two[0].height <= two[1].height)
        {
            return Err("`rungs` are given from the highest to the lowest");
        }
        for rung in &self.rungs {
            if !(16..=4320).contains(&rung.height) || rung.height % 2 != 0 {
                return Err("a rung's `height` is an even number from 16 to 4320");
            }
            if !(16..=200_000).contains(&rung.video) || !(16..=2000).contains(&rung.audio) {
                return Err("a rung's `video` and `audio` are kbit/s: 16 to 200000 and 16 to 2000");
            }
        }
        if expect.video.is_none() || expect.audio.is_none() || expect.rate.is_none() {
            return Err("a ladder's `expect` needs `video`, `audio` and `rate`");
        }
        Ok(())
    }

    /// The rungs that are not above the input; the lowest in any case.
    pub fn rungs_for(&self, facts: &Facts) -> &[Rung] {
        let side = facts.width.min(facts.height);
        let above = self.rungs.iter().take_while(|r| r.height > side).count();
        &self.rungs[above.min(self.rungs.len() - 1)..]
    }

    /// ffmpeg's arguments after the input, up to and with the name of the output.
    pub(super) fn args(&self, output: &Output, facts: &Facts, threads: u32) -> Vec<String> {
        let mut args: Vec<String> = Vec::new();
        let mut put = |words: &[&str]| args.extend(words.iter().map(|word| (*word).to_owned()));
        let rungs = self.rungs_for(facts);
        for _ in rungs {
            put(&["-map", "0:V:0"]);
            if facts.sound {
                put(&["-map", "0:a:0"]);
            }
        }
        put(&["-threads", &threads.to_string()]);
        let mut own = output.args.clone();
        // Before each rung's own.
        let mut first = String::new();
        let mut last = "";
        if let Some(picture) = &facts.picture {
            first = filters(&output.expect, picture);
            if !first.is_empty() {
                first.push(',');
            }
            if picture.has_square_pixels() {
                last = SQUARE;
            }
            prepare(&mut own, &output.expect, picture, Picture::TO_THE_NEXT);
        }
        bound(&mut own, facts);
        put(&own.iter().map(String::as_str).collect::<Vec<_>>());
        let mut streams = Vec::new();
        for (index, rung) in rungs.iter().enumerate() {
            let height = rung.height;
            let side = |own: &str| format!("2*max(1\\,trunc(min({height}\\,{own})/2))");
            let scale = format!(
                "scale=w=if(gte(iw\\,ih)\\,-2\\,{}):h=if(gte(iw\\,ih)\\,{}\\,-2):out_range=tv",
                side("iw"),
                side("ih")
            );
            put(&[
                &format!("-filter:v:{index}"),
                &format!("{first}{scale}{last}"),
            ]);
            put(&[&format!("-maxrate:v:{index}"), &format!("{}k", rung.video)]);
            put(&[
                &format!("-bufsize:v:{index}"),
                &format!("{}k", 2 * rung.video),
            ]);
            let name = rung.name();
            if facts.sound {
                put(&[&format!("-b:a:{index}"), &format!("{}k", rung.audio)]);
                streams.push(format!("v:{index},a:{index},name:{name}"));
            } else {
                streams.push(format!("v:{index},name:{name}"));
            }
        }
        // The same moments in all sizes, so that a player can change between them.
        let keys = format!(
            "expr:if(isnan(prev_forced_t),1,gte(t,prev_forced_t+{}))",
            self.segment_seconds
        );
        put(&["-force_key_frames", &keys]);
        put(&["-f", "hls", "-hls_time", &self.segment_seconds.to_string()]);
        put(&["-hls_playlist_type", "vod", "-hls_segment_type", "fmp4"]);
        put(&["-hls_flags", "single_file+independent_segments"]);
        put(&["-hls_segment_filename", "%v.mp4", "-master_pl_name", MASTER]);
        put(&["-var_stream_map", &streams.join(" "), "%v.m3u8"]);
        args
    }
}

impl Rung {
    /// `720p`.
    pub fn name(&self) -> String {
        format!("{}p", self.height)
    }

    /// What its file must be.
    pub(super) fn expect(&self, ladder: &Expectation) -> Expectation {
        Expectation {
            size: Some(Size::Within(ANY_WIDTH, self.height)),
            ..ladder.clone()
        }
    }
}

//! A look at some pictures of a film before it is converted: what their headers don't tell.
//!
//! Whether pictures are interlaced is told with each of them, and not always rightly: so a few are decoded and looked at. How
//! large they are may change in the middle of broadcasts and calls.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use super::{FfmpegError, INPUT_NAME, Tools, words};
use crate::media::{SideData, fraction};
use crate::picture::{Canvas, Fields, Look};

/// Pictures of one place that are looked at: a dozen times the pattern of telecined film, of five.
const PICTURES: u32 = 60;

/// A film of more seconds is looked at in three places.
const SHORT: f64 = 12.0;

/// Different sizes of one film's pictures that are taken in; more are a bomb.
const MOST_SIZES: usize = 1000;

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    frames: Vec<ListedFrame>,
}

#[derive(Deserialize)]
struct ListedFrame {
    #[serde(default)]
    interlaced_frame: u8,
    #[serde(default)]
    side_data_list: Vec<SideData>,
}

impl Tools {
    /// Looks at some pictures of a stream that lasts `seconds` from `start` on: at what each says of itself.
    ///
    /// # Errors
    /// [`FfmpegError`], if none can be decoded.
    pub async fn look(
        &self,
        folder: &Path,
        stream: usize,
        start: f64,
        seconds: f64,
    ) -> Result<Look, FfmpegError> {
        let places: Vec<String> = places(seconds)
            .into_iter()
            .map(|at| {
                // A file that can't be searched has a beginning all the same.
                let from = if at > 0.0 {
                    format!("{:.3}", start + at)
                } else {
                    String::new()
                };
                format!("{from}%+#{PICTURES}")
            })
            .collect();
        let mut look = Look::default();
        let mut text = String::new();
        let entries = "frame=interlaced_frame:frame_side_data";
        let interval = ["-read_intervals", &places.join(","), "-of", "json"];
        self.frames(folder, stream, entries, &interval, &mut |line| {
            text.push_str(line);
            text.push('\n');
        })
        .await?;
        let listed: Listed = serde_json::from_str(&text).map_err(|error| {
            FfmpegError::Machine(format!("ffprobe's answer can't be read: {error}"))
        })?;
        for frame in listed.frames {
            look.pictures += 1;
            look.marked += u64::from(frame.interlaced_frame != 0);
            for data in &frame.side_data_list {
                data.add_to(&mut look.color);
                look.has_captions |= data.is_captions();
            }
        }
        Ok(look)
    }

    /// Looks at the same pictures, whether they are of one instant or of two.
    ///
    /// # Errors
    /// [`FfmpegError`], if they can't be decoded.
    pub async fn look_at_fields(
        &self,
        folder: &Path,
        stream: usize,
        seconds: f64,
    ) -> Result<Fields, FfmpegError> {
        let mut fields = Fields::default();
        for at in places(seconds) {
            let mut args = words(&["-hide_banner", "-nostdin", "-nostats", "-v", "error"]);
            if at > 0.0 {
                args.extend(words(&["-ss", &format!("{at:.3}")]));
            }
            args.extend(self.input(INPUT_NAME, None));
            args.extend(words(&["-map", &format!("0:{stream}")]));
            args.extend(words(&["-frames:v", &PICTURES.to_string()]));
            args.extend(words(&["-vf", "idet,metadata=mode=print:file=-"]));
            args.extend(words(&["-f", "null", "-"]));
            self.call(&self.ffmpeg, &args, folder, INPUT_NAME, &mut |line| {
                fields.read_line(line);
            })
            .await?;
        }
        Ok(fields)
    }

    /// The sizes of the pictures of a stream, by those that can be decoded without others: only there a size may change.
    ///
    /// # Errors
    /// [`FfmpegError`], if the file can't be read.
    pub async fn sizes(
        &self,
        folder: &Path,
        stream: usize,
    ) -> Result<BTreeSet<Canvas>, FfmpegError> {
        let mut found = BTreeSet::new();
        let options = ["-skip_frame", "nokey", "-of", "csv=p=0"];
        let entries = "frame=width,height,sample_aspect_ratio";
        self.frames(folder, stream, entries, &options, &mut |line| {
            found.extend(canvas(line).filter(|_| found.len() < MOST_SIZES));
        })
        .await?;
        Ok(found)
    }

    async fn frames(
        &self,
        folder: &Path,
        stream: usize,
        entries: &str,
        options: &[&str],
        on_line: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), FfmpegError> {
        let mut args = words(&["-v", "error", "-show_entries", entries]);
        args.extend(words(&["-select_streams", &stream.to_string()]));
        args.extend(words(options));
        args.extend(self.input(INPUT_NAME, None));
        self.call(&self.ffprobe, &args, folder, INPUT_NAME, on_line)
            .await
            .map(|_| ())
    }
}

/// A line of ffprobe's: `720,576,16:15`, or `720,576,N/A`.
fn canvas(line: &str) -> Option<Canvas> {
    let mut fields = line.trim().split(',');
    let mut side = || fields.next()?.parse().ok();
    let (width, height) = (side()?, side()?);
    Some(Canvas::new(width, height, fraction(fields.next())))
}

/// Where to look, in seconds from the beginning.
fn places(seconds: f64) -> Vec<f64> {
    if seconds > SHORT {
        vec![0.0, seconds / 3.0, seconds * 2.0 / 3.0]
    } else {
        vec![0.0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!(
            canvas("720,576,16:15"),
            Some(Canvas::new(720, 576, (16, 15)))
        );
        assert_eq!(canvas("720,576,N/A"), Some(Canvas::new(720, 576, (1, 1))));
        assert_eq!(canvas("side_data"), None);
    }

    #[test]
    fn long_films_are_looked_at_in_three_places() {
        assert_eq!(places(10.0), [0.0]);
        assert_eq!(places(90.0), [0.0, 30.0, 60.0]);
    }
}

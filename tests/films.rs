//! Films of the kinds that people have trouble with elsewhere, each through the whole product by the preset that matters for
//! it, and what came of it. They are made by tests/films/make.sh; tests/films/films.toml says what is right:
//!
//!   file, preset   which film, by what
//!   ends           "converted" (the default) or "failed"
//!   told           words in log.csv's row: what is left out, or why it failed
//!   whole          nothing is left out
//!   seconds        ± 0.15                  frames        pictures, exactly
//!   size           "WxH" as shown          square        pixels are
//!   progressive    no picture is a comb    rgb           mean of the first picture, ± 6 of 255
//!   matrix, transfer, primaries, pixels, tag             of the pictures, as ffprobe names them
//!   audio, subtitles, attachments, data    how many      layout, sound_title  of the first sound
//!   cover          it has one              has           parts of names of tags that it has
//!   extension      of the result           playlist_seconds  of HLS, ± 0.15
//!   patches        colours of as many columns of the first picture, ± 6 of 255

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;

use crate::harness::account::Account;
use crate::harness::{Ended, World};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/films");

/// Seconds that a length may be off: a picture or two, and a packet of sound.
const TOLERANCE_SECONDS: f64 = 0.15;

/// Of 255, that a colour may be off: two lossy codings and their rounding.
const TOLERANCE_COLOR: f64 = 6.0;

#[derive(Debug, Deserialize)]
struct Films {
    film: Vec<Film>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Film {
    file: String,
    preset: String,
    #[serde(default = "converted")]
    ends: String,
    told: Option<String>,
    #[serde(default)]
    whole: bool,
    seconds: Option<f64>,
    frames: Option<u64>,
    size: Option<String>,
    #[serde(default)]
    square: bool,
    #[serde(default)]
    progressive: bool,
    rgb: Option<[f64; 3]>,
    patches: Option<Vec<[f64; 3]>>,
    matrix: Option<String>,
    transfer: Option<String>,
    primaries: Option<String>,
    pixels: Option<String>,
    tag: Option<String>,
    audio: Option<usize>,
    subtitles: Option<usize>,
    attachments: Option<usize>,
    data: Option<usize>,
    layout: Option<String>,
    sound_title: Option<String>,
    #[serde(default)]
    cover: bool,
    #[serde(default)]
    has: Vec<String>,
    extension: Option<String>,
    playlist_seconds: Option<f64>,
}

fn converted() -> String {
    "converted".to_owned()
}

/// By the ffmpeg of the machine that the tests run on.
#[test]
fn films_that_people_have_come_out_right() {
    come_out_right(&World::without_booting());
}

/// By the image's, which is two versions newer.
#[test]
fn films_that_people_have_come_out_right_in_the_image() {
    come_out_right(&World::new());
}

fn muck(world: &World, arguments: &[&str]) -> Ended {
    let mut all = arguments.to_vec();
    all.extend(["--local", "--stack", "films"]);
    world.muck(&all)
}

fn come_out_right(world: &World) {
    let text = std::fs::read_to_string(Path::new(FOLDER).join("films.toml")).expect("reads");
    let films = toml::from_str::<Films>(&text).expect("is TOML").film;
    let presets: BTreeSet<&str> = films.iter().map(|film| film.preset.as_str()).collect();
    muck(world, &["up"]).exits(0);
    muck(world, &["bake"]).exits(0);
    for preset in &presets {
        let of_it = films.iter().filter(|film| film.preset == *preset);
        for film in of_it {
            let content = std::fs::read(Path::new(FOLDER).join(&film.file)).expect("reads");
            world.file(&format!("{preset}-films/{}", film.file), &content);
        }
        let folder = format!("{preset}-films");
        let arguments = ["submit", &folder, "--preset", preset, "--batch", preset];
        muck(world, &arguments).exits(0);
    }
    muck(world, &["launch", "-n", "1"]).exits(0);
    let mut wrong = Vec::new();
    for preset in presets {
        let ended = muck(world, &["results", preset, "--batch", preset]);
        let folder = world.work().join(preset);
        let rows = rows(&folder.join("log.csv"));
        for film in films.iter().filter(|film| film.preset == preset) {
            let faults = match rows.get(&film.file) {
                Some(row) => film.faults(row, &folder),
                None => vec!["is not in log.csv".to_owned()],
            };
            if !faults.is_empty() {
                wrong.push(format!("{preset} {}: {}", film.file, faults.join("; ")));
            }
        }
        let fails = films
            .iter()
            .any(|f| f.preset == preset && f.ends == "failed");
        ended.exits(if fails { 4 } else { 0 });
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    muck(world, &["down", "--yes"]).exits(0);
    assert_eq!(Account::of(world).left_overs(), Vec::<String>::new());
}

type Row = BTreeMap<String, String>;

/// The rows of a log by the names of the originals.
fn rows(log: &Path) -> BTreeMap<String, Row> {
    let mut reader = csv::Reader::from_path(log).expect("a log");
    reader
        .deserialize::<Row>()
        .map(|row| row.expect("a row"))
        .map(|row| (row["OriginalFileName"].clone(), row))
        .collect()
}

impl Film {
    /// What is wrong with what came of it.
    fn faults(&self, row: &Row, folder: &Path) -> Vec<String> {
        let mut faults = Vec::new();
        if row["Status"] != self.ends {
            return vec![format!("{}: {}", row["Status"], row["Error"])];
        }
        if let Some(words) = &self.told
            && !row.values().any(|cell| cell.contains(words.as_str()))
        {
            faults.push(format!(
                "`{words}` isn't told: {} {}",
                row["Left-Out"], row["Error"]
            ));
        }
        if self.whole && !row["Left-Out"].is_empty() {
            faults.push(format!("{} is left out", row["Left-Out"]));
        }
        if self.ends == "failed" {
            return faults;
        }
        let files: Vec<PathBuf> = row["File"]
            .split(';')
            .map(|name| folder.join(name))
            .collect();
        if let Some(missing) = files.iter().find(|file| !file.is_file()) {
            return vec![format!("{} isn't there", missing.display())];
        }
        let is_film = |file: &&PathBuf| file.extension().is_some_and(|e| e != "m3u8");
        let file = files.iter().find(is_film).expect("a film or a picture");
        if let Some(shall) = self.playlist_seconds {
            for (name, is) in files
                .iter()
                .filter_map(|file| Some((file, playlist_seconds(file)?)))
            {
                if (is - shall).abs() > TOLERANCE_SECONDS {
                    faults.push(format!("{} lasts {is} s, not {shall}", name.display()));
                }
            }
        }
        let probed = probe(file);
        self.compare(&probed, file, &mut faults);
        faults
    }

    fn compare(&self, probed: &Value, file: &Path, faults: &mut Vec<String>) {
        let mut same = |what: &str, is: Option<&str>, shall: Option<&String>| {
            if let Some(shall) = shall
                && is != Some(shall.as_str())
            {
                faults.push(format!(
                    "{what} is {}, not {shall}",
                    is.unwrap_or("missing")
                ));
            }
        };
        let none = Vec::new();
        let streams = probed["streams"].as_array().unwrap_or(&none);
        let of_kind = |kind: &str| -> Vec<&Value> {
            let is = |s: &&Value| s["codec_type"] == kind && s["disposition"]["attached_pic"] != 1;
            streams.iter().filter(is).collect()
        };
        let (videos, sounds) = (of_kind("video"), of_kind("audio"));
        let video = videos.first().copied().unwrap_or(&Value::Null);
        let sound = sounds.first().copied().unwrap_or(&Value::Null);
        same(
            "the matrix",
            video["color_space"].as_str(),
            self.matrix.as_ref(),
        );
        same(
            "the transfer",
            video["color_transfer"].as_str(),
            self.transfer.as_ref(),
        );
        same(
            "the primaries",
            video["color_primaries"].as_str(),
            self.primaries.as_ref(),
        );
        same(
            "the format",
            video["pix_fmt"].as_str(),
            self.pixels.as_ref(),
        );
        same(
            "the tag",
            video["codec_tag_string"].as_str(),
            self.tag.as_ref(),
        );
        same(
            "the layout",
            sound["channel_layout"].as_str(),
            self.layout.as_ref(),
        );
        same("the size", Some(&shown_size(video)), self.size.as_ref());
        let extension = file.extension().and_then(|e| e.to_str());
        same("the extension", extension, self.extension.as_ref());
        let mut count = |what: &str, is: usize, shall: Option<usize>| {
            if let Some(shall) = shall
                && is != shall
            {
                faults.push(format!("it has {is} {what}, not {shall}"));
            }
        };
        count("sounds", sounds.len(), self.audio);
        count("subtitles", of_kind("subtitle").len(), self.subtitles);
        count("attachments", of_kind("attachment").len(), self.attachments);
        count("streams of data", of_kind("data").len(), self.data);
        let pictures: u64 = video["nb_read_packets"]
            .as_str()
            .map_or(0, |n| n.parse().unwrap_or(0));
        if self.frames.is_some_and(|frames| frames != pictures) {
            faults.push(format!("it has {pictures} pictures, not {:?}", self.frames));
        }
        let seconds: f64 = probed["format"]["duration"]
            .as_str()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0.0);
        if self
            .seconds
            .is_some_and(|shall| (shall - seconds).abs() > TOLERANCE_SECONDS)
        {
            faults.push(format!("it lasts {seconds} s, not {:?}", self.seconds));
        }
        let pixel = video["sample_aspect_ratio"].as_str().unwrap_or("1:1");
        if self.square && !["1:1", "0:1"].contains(&pixel) {
            faults.push(format!("its pixels are {pixel}"));
        }
        if let Some(title) = &self.sound_title
            && !sound["tags"].to_string().contains(title.as_str())
        {
            faults.push(format!("its sound is called {}", sound["tags"]));
        }
        if self.cover
            && !streams
                .iter()
                .any(|s| s["disposition"]["attached_pic"] == 1)
        {
            faults.push("it has no cover".to_owned());
        }
        let tags = probed["format"]["tags"].to_string();
        for part in &self.has {
            if !tags.contains(part.as_str()) {
                faults.push(format!("it has no tag {part}: {tags}"));
            }
        }
        if self.progressive {
            let (combed, whole) = combed(file);
            if combed > whole / 4 {
                faults.push(format!(
                    "{combed} of its pictures are combs, {whole} are none"
                ));
            }
        }
        let rgb = self.rgb.map(|color| vec![color]);
        if let Some(shall) = self.patches.as_ref().or(rgb.as_ref()) {
            let is = mean_colors(file, shall.len());
            let mut pairs = is.as_flattened().iter().zip(shall.as_flattened());
            if is.len() != shall.len() || pairs.any(|(a, b)| (a - b).abs() > TOLERANCE_COLOR) {
                faults.push(format!("its colours are {is:.0?}, not {shall:.0?}"));
            }
        }
    }
}

/// Of the segments of a playlist; `None` of other files.
fn playlist_seconds(file: &Path) -> Option<f64> {
    let text = std::fs::read_to_string(file).ok()?;
    let times = text.lines().filter_map(|line| {
        let time = line.strip_prefix("#EXTINF:")?;
        time.trim_end_matches(',').parse::<f64>().ok()
    });
    text.contains("#EXTINF:").then(|| times.sum())
}

fn output(program: &str, arguments: &[&str], file: &Path) -> std::process::Output {
    let mut command = Command::new(program);
    for argument in arguments {
        match *argument {
            "FILE" => command.arg(file),
            other => command.arg(other),
        };
    }
    command.output().expect("it runs")
}

fn probe(file: &Path) -> Value {
    let arguments = "-v error -count_packets -show_streams -show_format -of json FILE";
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let told = output("ffprobe", &arguments, file);
    serde_json::from_slice(&told.stdout).expect("JSON")
}

/// With pixels made square, and turned as the header says.
fn shown_size(video: &Value) -> String {
    let side = |name: &str| video[name].as_f64().unwrap_or(0.0);
    let pixel = video["sample_aspect_ratio"].as_str().and_then(|text| {
        let (w, h) = text.split_once(':')?;
        let (w, h): (f64, f64) = (w.parse().ok()?, h.parse().ok()?);
        (w > 0.0 && h > 0.0).then_some(w / h)
    });
    let (width, height) = (
        (side("width") * pixel.unwrap_or(1.0)).round(),
        side("height"),
    );
    let sides = video["side_data_list"].as_array().into_iter().flatten();
    let turned = sides
        .filter_map(|data| data["rotation"].as_i64())
        .any(|angle| angle % 180 != 0);
    if turned {
        format!("{height}x{width}")
    } else {
        format!("{width}x{height}")
    }
}

/// How many pictures look like two instants, and how many like one. Fine stripes are taken for combs now and then.
fn combed(file: &Path) -> (usize, usize) {
    let arguments = [
        "-v",
        "error",
        "-i",
        "FILE",
        "-an",
        "-vf",
        "idet,metadata=mode=print:file=-",
        "-f",
        "null",
        "-",
    ];
    let told = output("ffmpeg", &arguments, file);
    let text = String::from_utf8_lossy(&told.stdout);
    let count = |words: &str| text.lines().filter(|line| line.ends_with(words)).count();
    let is = |word: &str| count(&format!("multiple.current_frame={word}"));
    (is("tff") + is("bff"), is("progressive"))
}

/// Red, green and blue of so many equal columns of the first picture, each from 0 to 255: the mean of a column, without its
/// edges where there are several.
fn mean_colors(file: &Path, columns: usize) -> Vec<[f64; 3]> {
    // Exact to a digit: swscale's usual conversion is not.
    let filters = "scale=flags=accurate_rnd+full_chroma_int,format=rgb24";
    let arguments = format!("-v error -i FILE -frames:v 1 -vf {filters} -f rawvideo -");
    let told = output("ffmpeg", &arguments.split(' ').collect::<Vec<_>>(), file);
    let video = probe(file)["streams"][0].take();
    let width = video["width"].as_u64().expect("a width");
    let mut sums = vec![([0.0; 3], 0.0); columns];
    let columns = columns as u64;
    for (number, pixel) in (0..).zip(told.stdout.chunks_exact(3)) {
        // Quarters of columns from the left.
        let quarter = number % width * columns * 4 / width;
        if columns > 1 && ![1, 2].contains(&(quarter % 4)) {
            continue;
        }
        let column = usize::try_from(quarter / 4).expect("a column");
        let (sum, count) = &mut sums[column];
        *count += 1.0;
        for (sum, byte) in sum.iter_mut().zip(pixel) {
            *sum += f64::from(*byte);
        }
    }
    let means = sums.into_iter().map(|(sum, count)| sum.map(|s| s / count));
    means.collect()
}

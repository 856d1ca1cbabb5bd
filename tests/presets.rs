//! Each preset from `muck submit` to `muck results`, and what ffprobe says of what came. The lines are
//! kept in docs/presets.md: `UPDATE_DOCS=1` writes them anew.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::account::Account;
use crate::harness::sweep::keep_table;
use crate::harness::{Ended, World};

/// The lines between these are the test's.
const BEGIN: &str = "<!-- made by tests/presets.rs -->\n";
const END: &str = "<!-- end -->\n";

/// Preset, and the results it makes of `clip.avi`.
const PRESETS: [(&str, &[&str]); 10] = [
    ("ipod", &["clip.mov"]),
    ("web", &["clip.mp4"]),
    ("web-1080p", &["clip.mp4"]),
    ("hevc", &["clip.mp4"]),
    ("av1", &["clip.mp4"]),
    (
        "hls",
        &[
            "clip.hls/360p.m3u8",
            "clip.hls/360p.mp4",
            "clip.hls/480p.m3u8",
            "clip.hls/480p.mp4",
            "clip.hls/master.m3u8",
        ],
    ),
    ("audio", &["clip.m4a"]),
    ("gif", &["clip.gif"]),
    ("thumbnails", &["clip.poster.jpg", "clip.sheet.jpg"]),
    ("remux", &["clip.mkv"]),
];

const OWN: &str = r#"
[[preset]]
name = "small"
description = "H.264 without sound, 160 pixels wide, and a picture"
[[preset.output]]
suffix = "film"
extension = "mp4"
mime = "video/mp4"
args = ["-map", "0:V:0", "-c:v", "libx264", "-crf", "28", "-vf", "scale=160:-2", "-f", "mp4"]
[preset.output.expect]
container = "mp4"
video = "h264"
size = { width = 160 }
rate = "source"
[[preset.output]]
suffix = "still"
extension = "png"
mime = "image/png"
args = ["-map", "0:V:0", "-vf", "scale=160:-2", "-c:v", "png", "-frames:v", "1", "-f", "image2pipe"]
[preset.output.expect]
container = "png_pipe"
video = "png"
size = { width = 160 }
pictures = 1
"#;

#[test]
fn every_preset_brings_what_it_promises() {
    let world = World::without_booting();
    let table = convert_by_all(&world);
    plays(&world.work().join("hls/clip.hls/master.m3u8"));
    keep_table("presets.txt", &table);
    compare(&table);

    // Once more: nothing is fetched twice, not even of a folder.
    let again = muck(&world, &["results", "hls", "--batch", "hls", "--json"])
        .exits(0)
        .json();
    assert_eq!(again["bytes_fetched"], 0, "{again}");
    // Another file's folder of that name is left alone.
    std::fs::write(world.work().join("hls/clip.hls/360p.m3u8"), "mine").expect("written");
    let beside = muck(&world, &["results", "hls", "--batch", "hls", "--json"])
        .exits(0)
        .json();
    assert_eq!(beside["files"][0], "clip (2).hls/master.m3u8", "{beside}");
    plays(&world.work().join("hls/clip (2).hls/master.m3u8"));

    muck(&world, &["down", "--yes"]).exits(0);
    assert_eq!(Account::of(&world).left_overs(), Vec::<String>::new());
}

/// The image's ffmpeg is two versions newer than that of the machine that tests run on.
#[test]
#[ignore = "bakes an image; `make hostile`"]
fn every_preset_brings_what_it_promises_in_the_image() {
    let world = World::new();
    keep_table("presets-image.txt", &convert_by_all(&world));
    plays(&world.work().join("hls/clip.hls/master.m3u8"));
    muck(&world, &["down", "--yes"]).exits(0);
}

fn muck(world: &World, arguments: &[&str]) -> Ended {
    let mut all = arguments.to_vec();
    all.extend(["--local", "--stack", "presets"]);
    world.muck(&all)
}

/// Converts a clip by each preset and by one of our own; what ffprobe says of each result.
fn convert_by_all(world: &World) -> String {
    world.file("muck.toml", OWN);
    camera_clip(world);
    muck(world, &["up"]).exits(0);
    muck(world, &["bake"]).exits(0);
    let submit = |preset| {
        muck(
            world,
            &["submit", "films", "--preset", preset, "--batch", preset],
        )
    };
    for (preset, _) in PRESETS {
        submit(preset).exits(0);
    }
    submit("small").exits(0);
    submit("vhs").exits(2).says(&["vhs", "web-1080p", "small"]);
    muck(world, &["launch", "-n", "1"]).exits(0);

    let mut table = String::from("```\n");
    for (preset, results) in PRESETS {
        let files = fetch(world, preset, results.len());
        assert_eq!(files, results, "{preset}");
        for file in results {
            let path = world.work().join(preset).join(file);
            let _ = writeln!(table, "{preset:<11}{file:<23}{}", line(&path));
        }
    }
    table.push_str("```\n");
    assert_eq!(
        fetch(world, "small", 2),
        ["clip.film.mp4", "clip.still.png"]
    );
    table
}

#[test]
fn the_other_service_tells_what_a_file_is() {
    let world = World::without_booting();
    camera_clip(&world);
    let arguments = [
        "run",
        "--local",
        "films",
        "-o",
        "facts",
        "--service",
        "probe",
    ];
    let ended = world.muck(&arguments).exits(0);
    assert!(ended.stdout.contains("Server: Probe"), "{ended:?}");
    let text = std::fs::read_to_string(world.work().join("facts/clip.json")).expect("facts");
    let facts: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(facts["version"], 1, "{text}");
    assert_eq!(facts["streams"][0]["codec"], "mjpeg", "{text}");
    assert_eq!(facts["streams"][0]["packets"], 105, "{text}");
    assert_eq!(facts["streams"][1]["sample_rate"], 11_025, "{text}");
    world
        .muck(&["launch", "--local", "--service", "mine"])
        .exits(2)
        .says(&["mine", "ConvertVideo or Probe"]);
}

/// Seven seconds as a camera of 2007 wrote them, large enough for two rungs of the ladder.
fn camera_clip(world: &World) {
    let file = world.file("films/clip.avi", b"");
    let made = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=640x480:rate=15",
        ])
        .args([
            "-f",
            "lavfi",
            "-i",
            "sine=frequency=440:sample_rate=11025",
            "-t",
            "7",
        ])
        .args(["-c:v", "mjpeg", "-q:v", "5", "-c:a", "pcm_u8"])
        .arg(file)
        .status();
    assert!(made.expect("ffmpeg runs").success());
}

/// Gets a batch's results into a folder of its name, and compares log.csv with what is there.
fn fetch(world: &World, batch: &str, count: usize) -> Vec<String> {
    let report = muck(world, &["results", batch, "--batch", batch, "--json"])
        .exits(0)
        .json();
    let told: Vec<String> = serde_json::from_value(report["files"].clone()).expect("names");
    assert_eq!(told.len(), count, "{report}");
    let mut reader = csv::Reader::from_path(world.work().join(batch).join("log.csv")).expect("log");
    let column = |name: &str, reader: &mut csv::Reader<std::fs::File>| {
        let headers = reader.headers().expect("headers");
        headers.iter().position(|h| h == name).expect("a column")
    };
    let (file, keys) = (
        column("File", &mut reader),
        column("OutputKey", &mut reader),
    );
    let row = reader.records().next().expect("a row").expect("readable");
    assert_eq!(row[file].split(';').collect::<Vec<_>>(), told);
    assert_eq!(row[keys].split(',').count(), count);
    let mut found = files(&world.work().join(batch), Path::new(""));
    found.retain(|name| name != "log.csv");
    let mut sorted = told;
    sorted.sort();
    assert_eq!(found, sorted, "nothing else is in the folder");
    found
}

/// All files below a folder, in order.
fn files(root: &Path, below: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root.join(below)).expect("a folder") {
        let entry = entry.expect("an entry");
        let path: PathBuf = below.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            found.extend(files(root, &path));
        } else {
            found.push(path.to_str().expect("UTF-8").to_owned());
        }
    }
    found.sort();
    found
}

/// One line of what ffprobe says: format, streams, seconds, bytes. Of a playlist, its first address.
fn line(file: &Path) -> String {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-of", "json", "-show_entries"])
        .arg("format=format_name,duration,nb_streams:stream=codec_type,codec_name,width,height,avg_frame_rate,sample_rate,channels")
        .arg(file)
        .output()
        .expect("ffprobe runs");
    assert!(
        output.status.success(),
        "{}: {}",
        file.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    let facts: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let mut parts = vec![text(&facts["format"]["format_name"])];
    for stream in facts["streams"].as_array().expect("streams") {
        let codec = text(&stream["codec_name"]);
        parts.push(match stream["codec_type"].as_str() {
            Some("video") => {
                let rate = text(&stream["avg_frame_rate"]);
                let rate = if rate == "0/0" {
                    String::new()
                } else {
                    format!(" {rate}")
                };
                format!("{codec} {}x{}{rate}", stream["width"], stream["height"])
            }
            _ => format!("{codec} {} Hz", text(&stream["sample_rate"])),
        });
    }
    if let Ok(seconds) = text(&facts["format"]["duration"]).parse::<f64>() {
        parts.push(format!("{seconds:.1} s"));
    }
    parts.join(", ")
}

/// Decodes all that a playlist leads to.
fn plays(playlist: &Path) {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(playlist)
        .args(["-map", "0", "-f", "null", "-"])
        .output()
        .expect("ffmpeg runs");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}: {}",
        playlist.display(),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Whether docs/presets.md tells the same.
fn compare(table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/presets.md");
    let page = std::fs::read_to_string(&path).expect("the page");
    let (before, rest) = page.split_once(BEGIN).expect("a place for the lines");
    let (kept, after) = rest.split_once(END).expect("an end of the lines");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).expect("written");
    } else {
        assert_eq!(kept, table, "run this test with UPDATE_DOCS=1");
    }
}

//! What ffprobe says of a file.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The facts that the presets promise.
#[derive(Debug, PartialEq)]
pub struct Media {
    /// ffprobe's name of the container, e.g. `mov,mp4,m4a,3gp,3g2,mj2`.
    pub container: String,
    pub major_brand: String,
    pub video_codec: String,
    pub width: u64,
    pub height: u64,
    /// As a fraction, e.g. `30000/1001`.
    pub frame_rate: String,
    pub audio: Option<Audio>,
    /// Seconds.
    pub duration: f64,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Audio {
    pub codec: String,
    pub sample_rate: String,
}

/// Probes `file`; fails the test if ffprobe cannot read it.
pub fn probe(file: &Path) -> Media {
    let output = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-of",
            "json",
            "-show_format",
            "-show_streams",
        ])
        .arg(file)
        .output()
        .expect("ffprobe is installed by `make test`");
    assert!(
        output.status.success(),
        "{}: {}",
        file.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    let facts: Value = serde_json::from_slice(&output.stdout).expect("ffprobe writes JSON");
    let streams = facts["streams"].as_array().expect("streams");
    let of_type = |kind: &str| streams.iter().find(|stream| stream["codec_type"] == kind);
    let video = of_type("video").unwrap_or_else(|| panic!("{}: no video", file.display()));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Media {
        container: text(&facts["format"]["format_name"]),
        major_brand: text(&facts["format"]["tags"]["major_brand"])
            .trim()
            .to_owned(),
        video_codec: text(&video["codec_name"]),
        width: video["width"].as_u64().expect("width"),
        height: video["height"].as_u64().expect("height"),
        frame_rate: text(&video["r_frame_rate"]),
        audio: of_type("audio").map(|audio| Audio {
            codec: text(&audio["codec_name"]),
            sample_rate: text(&audio["sample_rate"]),
        }),
        duration: text(&facts["format"]["duration"])
            .parse()
            .expect("duration"),
    }
}
